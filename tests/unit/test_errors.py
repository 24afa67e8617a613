"""One root, facts as attributes, and the drawing in the docstring is the tree."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from device_sdk import errors


def _classes() -> dict[str, type[errors.DeviceSdkError]]:
    return {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.DeviceSdkError)
    }


def test_every_error_is_in_the_drawing_and_the_other_way_round() -> None:
    assert errors.__doc__ is not None
    drawn = set(re.findall(r"\b\w+Error\b", errors.__doc__))
    assert drawn == set(_classes())


def test_every_error_has_a_name_of_its_own_for_scripts() -> None:
    codes = [cls.code for cls in _classes().values() if "code" in vars(cls)]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z0-9-]+", code) for code in codes)


def test_exit_codes_stay_clear_of_the_ones_with_a_meaning_in_systemd_conditions() -> None:
    assert all(cls.exit_code not in (0, 1) for cls in _classes().values())


def test_facts_are_attributes_and_data() -> None:
    error = errors.PinIncorrectError("wrong PIN for token dev", uri="pkcs11:token=dev", attempts_remaining=2, hint="x")
    assert error.attempts_remaining == 2
    assert str(error) == "wrong PIN for token dev (x)"
    assert error.facts() == {
        "code": "pin-incorrect", "message": "wrong PIN for token dev", "hint": "x",
        "uri": "pkcs11:token=dev", "attempts_remaining": 2,
    }  # fmt: skip


def test_a_fact_that_is_not_declared_is_a_defect() -> None:
    with pytest.raises(TypeError, match="has no fact 'tries'"):
        errors.PinIncorrectError("x", tries=2)


def test_an_error_survives_a_process_boundary_with_its_facts() -> None:
    error = pickle.loads(pickle.dumps(errors.HttpStatusError("no", status_code=403, url="https://a")))  # noqa: S301
    assert (error.status_code, error.url, error.message) == (403, "https://a", "no")
