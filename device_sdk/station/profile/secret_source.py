"""Secrets by reference: a profile says where one is, never what it is."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from device_sdk.errors import ConfigurationError
from device_sdk.model.secret import Secret
from device_sdk.station.profile.tables import Table

_MAX_BYTES = 4096
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


@dataclass(frozen=True)
class SecretSource:
    """Where a secret is: in a file, or in a variable of the environment.

    Attributes:
        file: the file that holds it, perhaps with a line feed behind it.
        variable: name of the variable.
    """

    file: Path | None = None
    variable: str | None = None

    def read(self) -> Secret:
        """The secret, read anew each time.

        Raises:
            ConfigurationError: it is not there, empty or too long.
        """
        place, data = (
            (f"${self.variable}", self._from_environment()) if self.variable else (str(self.file), self._from_file())
        )
        data = data.removesuffix(b"\n").removesuffix(b"\r")
        if not data or len(data) > _MAX_BYTES:
            raise ConfigurationError(f"{place} holds no secret, or one of more than {_MAX_BYTES} bytes")
        return Secret(data)

    def _from_environment(self) -> bytes:
        return os.environb.get((self.variable or "").encode(), b"")

    def _from_file(self) -> bytes:
        try:
            with Path(self.file or "").open("rb") as file:
                return file.read(_MAX_BYTES + 3)
        except OSError as error:
            raise ConfigurationError(f"cannot read {self.file}: {error.strerror}") from error


def secret_source(table: Table, name: str) -> SecretSource | None:
    """What NAME_file or NAME_env of a table says; None if neither is there.

    Raises:
        ConfigurationError: both, or no name of a variable.
    """
    file, variable = table.path(f"{name}_file"), table.optional(f"{name}_env")
    if file and variable:
        raise table.error(f"{name}_env", f"does not go together with {name}_file")
    if variable and not _NAME.fullmatch(variable):
        raise table.error(f"{name}_env", "is no name of a variable")
    return SecretSource(file, variable) if file or variable else None
