from __future__ import annotations

import pickle

import pytest

from device_sdk.model.secret import Secret


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]} {vars(type(secret))}"
    assert secret.reveal() == b"hunter2"


def test_a_secret_is_neither_compared_hashed_nor_pickled() -> None:
    with pytest.raises(TypeError):
        _ = Secret("a") == Secret("a")
    with pytest.raises(TypeError):
        hash(Secret("a"))
    with pytest.raises(TypeError):
        pickle.dumps(Secret("a"))
