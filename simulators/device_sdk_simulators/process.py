"""The reference server as a process of its own, which a test can kill."""

from __future__ import annotations

from pathlib import Path

from device_sdk_simulators.command_process import CommandProcess


class ServerProcess(CommandProcess):
    """`device-sdk-sim server` in a child process; ready when the `with` block begins, OSError if it does not get so.

    Args:
        state: its state directory; another one may follow in the same place.
        arguments: further arguments of the command ("--fault", "truncate").
        user: a user that may enrol with a password.

    Attributes:
        facts: what the command said about itself.
    """

    def __init__(self, state: Path, *arguments: str, user: str = "device") -> None:
        super().__init__("the reference server", ["server", "--state", str(state), "--user", user, *arguments])
        self.state = state
        self.user = user

    @property
    def cale_url(self) -> str:
        """Base URL of the CALE edge device."""
        return str(self.facts["cale_url"])

    @property
    def ca_file(self) -> Path:
        """PEM with the trust anchor."""
        return Path(str(self.facts["ca_file"]))

    @property
    def issuer_file(self) -> Path:
        """PEM with the CA that signs clients, followed by its root."""
        return Path(str(self.facts["issuer_file"]))

    @property
    def password_file(self) -> Path:
        """File with the password of `user`."""
        return Path(str(self.facts["password_file"]))

    @property
    def password(self) -> str:
        """The password of `user`."""
        return self.password_file.read_text().rstrip("\n")
