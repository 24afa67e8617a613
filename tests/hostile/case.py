"""One row of the tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from device_sdk.errors import DeviceSdkError, TransportTimeoutError
from tests.hostile.conftest import PATIENT, QUICK, Lab
from tests.hostile.host import Host

Attack = Callable[[Host], Any]


@dataclass(frozen=True)
class Case:
    """What the server does, and how that must end.

    Attributes:
        requirement: the EST-nn, or the RFC, that it breaks.
        name: in words.
        attack: sets the host up.
        error: the class, or classes, of the error.
        says: part of the message.
    """

    requirement: str
    name: str
    attack: Attack
    error: type[DeviceSdkError] | tuple[type[DeviceSdkError], ...]
    says: str = ""


def table(cases: Iterable[Case]) -> pytest.MarkDecorator:
    """The cases as parameters of a test, named by requirement and words."""
    listed = list(cases)
    return pytest.mark.parametrize("case", listed, ids=[f"{case.requirement}: {case.name}" for case in listed])


def carry_out(lab: Lab, case: Case) -> DeviceSdkError:
    """The attack, the failure, and the device unharmed."""
    expected = case.error if isinstance(case.error, tuple) else (case.error,)
    lab.timeouts = QUICK if TransportTimeoutError in expected else PATIENT
    case.attack(lab.host)
    failure = lab.renewal_fails()
    assert type(failure) in expected, f"{type(failure).__name__}: {failure}"
    assert case.says in str(failure), str(failure)
    assert failure.hint, f"nothing says what to do: {failure}"
    assert lab.host.url.removeprefix("https://") in str(failure) or "file:" in str(failure), str(failure)
    return failure
