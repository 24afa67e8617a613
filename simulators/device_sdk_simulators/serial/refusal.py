"""What a simulated device says no with."""

from __future__ import annotations


class RefusalError(Exception):
    """What the device says no to.

    Attributes:
        code: for programs.
        exit_code: of the command.
    """

    def __init__(self, code: str, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.code = code
        self.exit_code = exit_code
