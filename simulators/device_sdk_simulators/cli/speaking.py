"""How the commands speak: data on standard output, one line when something is wrong."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from typing import NoReturn

from device_sdk_simulators.softhsm import SimulatorError


class UsageError(SimulatorError):
    """Options that do not go together, or a file that does not hold what an option needs."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)\n")


def say(text: str) -> None:
    """Print to standard output at once; SimulatorError if nobody takes it."""
    try:
        print(text, flush=True)
    except OSError as error:
        raise SimulatorError(f"standard output: {error.strerror}") from error


def printable(value: object) -> str:
    """What clients chose (names, above all) as part of one line: nothing that moves a cursor or begins a line."""
    return "".join(char if char.isprintable() else "?" for char in str(value))


def complain(error: Exception | str) -> None:
    """Print one line about an error to standard error, or these words."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    with suppress(OSError):
        print(f"device-sdk-sim: {' '.join(text.split())}", file=sys.stderr, flush=True)
    try:
        sys.stdout.flush()
    except OSError:
        # Python flushes once more at its end, and would complain a second time
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
