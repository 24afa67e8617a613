"""The setting certificates_dir on its way to the keystores.

Keystores are opened in some dozens of places, by whatever has a key's URI and nothing else of the settings: the steps of an
enrolment, registrations, packages, checks. All of them have to agree on that directory, as do programs that this one starts (an
installer of firmware that calls `device-sdk`). So it travels as the environment variable that the keystores read in any
program, and this is the one place that sets it.
"""

from __future__ import annotations

import os

from device_sdk.cli.settings import BY_NAME, Settings

_NAME = "certificates_dir"
_VARIABLE = BY_NAME[_NAME].variable
_put: dict[str, str] = {}
"""What was put into the variable here, and what was in it before."""


def given_environment() -> dict[str, str]:
    """The environment as it was given to this process: an agent reads its settings anew for each operation.

    What an earlier configuration said would count more than the present one if it were taken for the environment's word.
    """
    found = dict(os.environ)
    if found.get(_VARIABLE) in _put:
        before = _put[found.pop(_VARIABLE)]
        return found | {_VARIABLE: before} if before else found
    return found


def tell_keystores(settings: Settings) -> None:
    """Have all keystores of this process keep certificates where the settings say, or else where they do by themselves."""
    before, directory = given_environment().get(_VARIABLE, ""), settings.text(_NAME) or ""
    if os.environ.get(_VARIABLE, "") == directory:
        return
    _put.clear()
    if directory:
        os.environ[_VARIABLE] = directory
        _put[directory] = before
    else:  # an empty word would count more than the configuration of a program that this one starts
        del os.environ[_VARIABLE]
