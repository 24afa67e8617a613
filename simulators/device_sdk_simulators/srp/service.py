"""The part of the reference server that speaks certificate-less TLS: its users, its countermeasures, its port."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from device_sdk_simulators.audit import AuditLog
from device_sdk_simulators.backoff import BackOff, Guard
from device_sdk_simulators.ca.keys import write_file
from device_sdk_simulators.database import Database
from device_sdk_simulators.http.listener import Listener
from device_sdk_simulators.http.messages import Handler
from device_sdk_simulators.srp.tls import srp_tls
from device_sdk_simulators.srp.users import SrpUsers


@dataclass(frozen=True)
class SrpSettings:
    """How to offer SRP.

    Attributes:
        port: 0 picks a free one.
        user: a user that may enrol.
        password: that user's; by default the one of before, or a random one at the first start.
        back_off: countermeasures against guessing.
    """

    port: int = 0
    user: str = "device"
    password: str | None = field(default=None, repr=False)
    back_off: BackOff = field(default_factory=BackOff)


class SrpService:
    """Users, countermeasures and a listener.

    Args:
        settings: see SrpSettings.
        database: memory.
        state: the server's directory.
        clock: the time.
        audit: where failed handshakes are written down.

    Attributes:
        listener: the port, once `listen` was called.
        password_file: a password made here, for the client to read; only its verifier counts for the server.
    """

    def __init__(
        self,
        settings: SrpSettings,
        database: Database,
        state: Path,
        clock: Callable[[], datetime],
        audit: AuditLog,
    ) -> None:
        self.user = settings.user
        self.users = SrpUsers(database)
        self.guard = Guard(database, clock, settings.back_off)
        self.password_file = state / "srp-password"
        self._settings, self._clock, self._audit = settings, clock, audit
        if settings.password is not None:
            self.password_file.unlink(missing_ok=True)
            self.users.add(self.user, settings.password)
        elif not self.users.exists(self.user):
            password = secrets.token_urlsafe(12)
            write_file(self.password_file, password.encode() + b"\n")
            self.users.add(self.user, password)

    def listen(self, handler: Handler, host: str) -> Listener:
        """Take the port; OSError. The listener is started and stopped like that of the certificates."""
        tls = srp_tls(self.users, self.guard, self._report)
        self.listener = Listener(handler, tls, self._clock, host, self._settings.port)
        return self.listener

    @property
    def port(self) -> int:
        """The TCP port."""
        return self.listener.port

    def describe(self, name_in_url: str) -> dict[str, object]:
        """What a client needs to know."""
        return {
            "srp_url": f"https://{name_in_url}:{self.port}",
            "srp_user": self.user,
            "srp_password_file": str(self.password_file) if self.password_file.exists() else None,
        }

    def _report(self, user: str, address: str, reason: str) -> None:
        now = self._clock().isoformat()
        self._audit.write(time=now, event="srp-handshake-failed", srp_user=user, address=address, reason=reason)
