"""A look at everything a device needs, one check after the other, each with what to do about it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from device_sdk.errors import DeviceSdkError
from device_sdk.model.secret import SecretProvider

_MIN_FREE_BYTES = 1024 * 1024
# the SDK did not exist before this day, so a clock that says so is wrong
_EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: its name, stable for scripts.
        status: "ok", "warning", "failed" or "skipped".
        detail: what was found.
        hint: what to do, or None.
    """

    check: str
    status: str
    detail: str
    hint: str | None = None

    def to_json(self) -> dict[str, object]:
        """The same as data for `--json`."""
        return asdict(self)


class Doctor:
    """Checks one device.

    Args:
        state_dir: the state directory.
        key_uri: the configured key, used when the state directory names none.
        url: the configured EST server, likewise.
        online: also talk to the server.
        pin: gives the key's PIN where its URI names none.
        now: the time; normally datetime.now.
    """

    def __init__(
        self,
        state_dir: str,
        *,
        key_uri: str | None = None,
        url: str | None = None,
        online: bool = False,
        pin: SecretProvider | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path = Path(state_dir)
        self._configured_key = key_uri
        self._configured_url = url
        self._online = online
        self._pin = pin
        self._now = now

    def run(self) -> Iterator[Finding]:
        """Every check in order; none of them raises."""
        from device_sdk.state import StateDirectory

        self._state = StateDirectory(self._path)
        checks = (
            ("tls-provider", self._tls),
            ("state-directory", self._directory),
            ("state-content", self._content),
            ("clock", self._clock),
            ("certificate", self._certificate),
            ("key", self._key),
            ("server", self._server),
        )
        for name, check in checks:
            try:
                status, detail, hint = check()
            except DeviceSdkError as error:
                status, detail, hint = "failed", error.message, error.hint
            except OSError as error:
                status, detail, hint = "failed", str(error), None
            yield Finding(name, status, detail, hint)

    def _tls(self) -> tuple[str, str, str | None]:
        from device_sdk.transports.factory import self_test

        return "ok", f"hardware keys can sign TLS handshakes ({self_test()})", None

    def _directory(self) -> tuple[str, str, str | None]:
        if not self._path.exists():
            return "warning", f"{self._path} does not exist yet", "device-sdk enroll makes it"
        if not os.access(self._path, os.W_OK | os.X_OK):
            return (
                "failed",
                f"{self._path} is not writable for this user",
                "run as its owner, or check the mount options",
            )
        free = shutil.disk_usage(self._path).free
        if free < _MIN_FREE_BYTES:
            return "failed", f"only {free} bytes free for {self._path}", "free some space"
        return "ok", f"{self._path}, {free // 1024**2} MiB free", None

    def _content(self) -> tuple[str, str, str | None]:
        if not self._path.exists():
            return "skipped", "no state directory", None
        found = self._state.check()
        if found:
            return "failed", "; ".join(found), "the next device-sdk enroll or renew puts leftovers of a power cut right"
        journal = self._state.journal()
        if journal is not None:
            words = f"{journal.operation.value} of {journal.key_uri} is under way since {journal.since.isoformat()}"
            return "warning", words, f"device-sdk {journal.operation.value} finishes it"
        return "ok", "consistent", None

    def _clock(self) -> tuple[str, str, str | None]:
        now, floor = self._now(), self._state.load().time_floor
        earliest = max(_EARLIEST, floor) if floor else _EARLIEST
        if now < earliest:
            words = f"the clock says {now.isoformat()}, but {earliest.isoformat()} has certainly passed"
            return "failed", words, "set the clock (time synchronisation) before enrolling"
        return "ok", now.isoformat(timespec="seconds"), None

    def _certificate(self) -> tuple[str, str, str | None]:
        from device_sdk.client.device import Device

        chain = self._state.snapshot()[1]
        if not chain:
            return "warning", "not enrolled yet", "device-sdk enroll"
        decision = Device(self._path).needs_renewal()
        if chain[0].not_valid_after_utc < self._now():
            return "failed", decision.reason, "device-sdk enroll --again"
        if decision.needed:
            return "warning", decision.reason, "device-sdk renew"
        return "ok", f"{chain[0].subject.rfc4514_string()}: {decision.reason}", None

    def _key(self) -> tuple[str, str, str | None]:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        from device_sdk.keystores.registry import open_key

        current = self._state.load().current
        uri = current.key_uri if current else self._configured_key
        if uri is None:
            return "skipped", "no key is named", "set key.uri"
        with open_key(uri, pin=self._pin) as key:
            info = key.info
            chain = self._state.snapshot()[1]
            opened: Any = key
            public = opened.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            if current and public != chain[0].public_key().public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            ):
                return "failed", f"{info.uri} is not the key of the certificate", "device-sdk enroll --again"
        if not info.hardware:
            return (
                "warning",
                f"{info.uri} is a file: whoever reads it is this device",
                "use a token or TPM where there is one",
            )
        if info.extractable:
            return "failed", f"{info.uri} can leave its hardware", "make a new one: device-sdk keys create"
        return "ok", f"{info.uri}: in hardware, not extractable", None

    def _server(self) -> tuple[str, str, str | None]:
        from device_sdk.client.est import EstClient
        from device_sdk.model.trust import ServerTrust

        state, _, anchors = self._state.snapshot()
        url = state.endpoint.url if state.endpoint else self._configured_url
        if not self._online:
            return "skipped", "not asked for", "device-sdk doctor --online"
        if url is None or not anchors:
            return "skipped", "no server or no trust anchors yet", None
        label = state.endpoint.label if state.endpoint else None
        with EstClient(url, ServerTrust(anchors), label=label) as client:
            found = client.cacerts()
        return "ok", f"{url} answers and is trusted; {len(found.anchors)} trust anchors", None
