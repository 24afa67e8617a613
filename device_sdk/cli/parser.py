"""argparse, with mistakes reported as every other error of the command line."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from device_sdk.errors import ConfigurationError


class Parser(argparse.ArgumentParser):
    """A parser that raises instead of exiting, and takes no abbreviations: scripts must not break when a flag is added.

    Raises:
        ConfigurationError: from `parse_args`, for arguments that do not fit.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **({"allow_abbrev": False} | options))

    def error(self, message: str) -> NoReturn:
        """What argparse calls when arguments do not fit."""
        # a key URI among arguments that do not fit may hold a PIN
        words = re.sub(r"(pin-value=)[^&;\s'\"]*", r"\1***", message.removeprefix("argument "))
        raise ConfigurationError(words, hint=f"{self.prog} --help")
