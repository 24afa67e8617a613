"""A look at everything a device needs, one check after the other, each with what to do about it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_sdk.errors import DeviceSdkError, KeyNotFoundError, StateCorruptError
from device_sdk.model.secret import SecretProvider
from device_sdk.wire.names import shown_name

if TYPE_CHECKING:
    from cryptography import x509

    from device_sdk.client.doctor_hardware import Verdict
    from device_sdk.client.est import EstClient
    from device_sdk.model.trust import Pin, ServerTrust, TlsIdentity
    from device_sdk.state import DeviceState
    from device_sdk.transports.base import Timeouts

_MIN_FREE_BYTES = 1024 * 1024
_ANCHOR_WARNING = timedelta(days=90)
_OUTBOX_WARNING = timedelta(days=1)
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


@dataclass(frozen=True)
class ServerToCheck:
    """The EST server of a device that is not enrolled yet, as it is configured.

    Attributes:
        url: its base URL, or None.
        label: CA label, or None.
        trust: whom to trust, or None.
        pins: fingerprints of its CA.
        timeouts: limits of one exchange, or None for the usual ones.
        proxy: proxy URL, or None.
    """

    url: str | None = None
    label: str | None = None
    trust: ServerTrust | None = None
    pins: Sequence[Pin] = ()
    timeouts: Timeouts | None = None
    proxy: str | None = None


@dataclass
class Doctor:
    """Checks one device.

    Attributes:
        state_dir: the state directory.
        key_uri: the configured key, used when the state directory names none.
        server: the configured EST server, likewise.
        online: also talk to the server.
        pin: gives the key's PIN where its URI names none.
        now: the time; normally datetime.now.
        allow_imported: take a key that was put into its hardware from outside, with a warning.
    """

    state_dir: str
    key_uri: str | None = None
    server: ServerToCheck = field(default_factory=ServerToCheck)
    online: bool = False
    pin: SecretProvider | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    allow_imported: bool = False

    def run(self) -> Iterator[Finding]:
        """Every check in order; none of them raises."""
        self._path = Path(self.state_dir)
        self._bad: set[str] = set()
        checks = (
            ("tls-provider", self._tls),
            ("state-directory", self._directory),
            ("state-content", self._content),
            ("cale", self._cale),
            ("clock", self._clock),
            ("certificate", self._certificate),
            ("trust-anchors", self._anchors),
            ("revocation", self._revocation),
            ("outbox", self._outbox),
            ("hardware", self._hardware),
            ("key", self._key),
            ("key-establishment", self._second),
            ("server", self._server),
            ("tls-client", self._client),
        )
        for name, check in checks:
            try:
                status, detail, hint = check()
            except StateCorruptError as error:
                known = "state-content" in self._bad
                words = "the state directory cannot be read", None
                status, (detail, hint) = ("skipped", words) if known else ("failed", (error.message, error.hint))
            except DeviceSdkError as error:
                status, detail, hint = "failed", error.message, error.hint
            except OSError as error:
                status, detail, hint = "failed", f"{error.filename or name}: {error.strerror}", None
            if status == "failed":
                self._bad.add(name)
            yield Finding(name, status, detail, hint)

    def _snapshot(self) -> tuple[DeviceState, tuple[x509.Certificate, ...], tuple[x509.Certificate, ...]]:
        from device_sdk.state import StateDirectory

        return StateDirectory(self._path).snapshot()

    def _tls(self) -> Verdict:
        from device_sdk.transports.factory import self_test

        return "ok", f"hardware keys can sign TLS handshakes ({self_test()})", None

    def _directory(self) -> Verdict:
        if not self._path.exists():
            return "warning", f"{self._path} does not exist yet", "device-sdk enroll makes it"
        if not self._path.is_dir():
            return "failed", f"{self._path} is not a directory", "name another one with --state"
        if not os.access(self._path, os.W_OK | os.X_OK):
            hint = "run as its owner, or check the mount options"
            return "failed", f"{self._path} is not writable for this user", hint
        disk = os.statvfs(self._path)
        free = disk.f_bavail * disk.f_frsize
        if free < _MIN_FREE_BYTES:
            return "failed", f"only {free} bytes are free for {self._path}", "make some room"
        if disk.f_files and not disk.f_favail:
            return "failed", f"the file system of {self._path} has no inode left", "remove some files"
        return "ok", f"{self._path}, {free // 1024**2} MiB free", None

    def _content(self) -> Verdict:
        from device_sdk.state import StateDirectory

        if not self._path.is_dir():
            return "skipped", "no state directory", None
        state = StateDirectory(self._path)
        # those have a check of their own, as nothing else depends on them
        cale = {str(error) for errors in state.cale_damage().values() for error in errors}
        found = [words for words in state.check() if words not in cale]
        if found:
            hint = "the next device-sdk enroll or renew puts leftovers of a power cut right; restore the rest from a backup"
            return "failed", "; ".join(found), hint
        journal = state.journal()
        if journal is not None:
            # the check of the key names the one it looks at
            other = f" with {journal.key_uri}" if self._uri() != journal.key_uri else ""
            words = f"{journal.operation.value}{other} is under way since {_shown(journal.since)}"
            return "warning", words, f"device-sdk {journal.operation.value} finishes it, device-sdk abandon gives it up"
        return "ok", "consistent", None

    def _cale(self) -> Verdict:
        from device_sdk.state import StateDirectory

        state = StateDirectory(self._path)
        damaged = [error for errors in state.cale_damage().values() for error in errors]
        if damaged:
            return (
                "failed",
                "; ".join(error.message for error in damaged),
                "; ".join(str(error.hint) for error in damaged),
            )
        begun, found = state.cale_journals(), state.cale_registrations()
        if begun:
            words = f"not finished: {', '.join(begun)}"
            return "warning", words, "device-sdk cale register finishes it, device-sdk cale forget gives it up"
        return ("ok", f"registered: {', '.join(found)}", None) if found else ("ok", "nothing is registered", None)

    def _clock(self) -> Verdict:
        now, floor = self.now(), self._snapshot()[0].time_floor
        earliest = max(_EARLIEST, floor) if floor else _EARLIEST
        if now < earliest:
            words = f"the clock says {_shown(now)}, but {_shown(earliest)} has certainly passed"
            return "failed", words, "set the clock (time synchronisation, RTC battery)"
        return "ok", _shown(now), None

    def _certificate(self) -> Verdict:
        from device_sdk.client.device import Device

        chain = self._snapshot()[1]
        if not chain:
            return "warning", "not enrolled yet", "device-sdk enroll"
        if "clock" in self._bad:
            return "skipped", f"{shown_name(chain[0].subject)}: the clock cannot say", None
        decision = Device(self._path).needs_renewal(now=self.now())
        if chain[0].not_valid_after_utc < self.now():
            return "failed", decision.reason, "device-sdk enroll --again"
        if decision.needed:
            return "warning", decision.reason, "device-sdk renew"
        return "ok", f"{shown_name(chain[0].subject)}: {decision.reason}", None

    def _anchors(self) -> Verdict:
        anchors = self._snapshot()[2]
        if not anchors:
            if self._snapshot()[0].anchors:
                return "failed", "none: messages about trust anchors removed them all", "device-sdk enroll --again"
            return "skipped", "none yet", None
        last = max(anchor.not_valid_after_utc for anchor in anchors)
        words = f"{len(anchors)}, the last one ends on {_shown(last)}"
        if last < self.now():
            return "failed", words, "device-sdk enroll --again, with --pin or --anchors of the new CA"
        if last - self.now() < _ANCHOR_WARNING:
            return "warning", words, "device-sdk renew fetches the CA's next certificate, if it has one"
        return "ok", words, None

    def _revocation(self) -> Verdict:
        """What `sync` kept, and whether this device itself is on a list."""
        from device_sdk.client.device.kept import Kept
        from device_sdk.state import StateDirectory
        from device_sdk.wire.revocation import ListsByIssuer

        chain, packages = self._snapshot()[1], StateDirectory(self._path).packages
        kept = Kept.read(packages, self.now())
        since = ListsByIssuer(kept.lists).revoked(chain[0]) if chain else None
        if since:
            hint = "ask the CA's operator; device-sdk enroll --again, if this device shall have another certificate"
            return "failed", f"the certificate of this device was revoked on {_shown(since)}", hint
        if packages.journal():
            return "warning", "a sync was interrupted", "device-sdk sync goes on with it"
        if kept.stale:
            names = ", ".join(shown_name(one.issuer) for one in kept.stale)
            return "warning", f"stale: the revocation list of {names}", "device-sdk sync fetches a newer one"
        signers = f", about who signs packages: {len(kept.signer_lists)}" if kept.signer_lists else ""
        return "ok", f"revocation lists: {len(kept.lists)}{signers}, peers: {len(kept.peers)}", None

    def _outbox(self) -> Verdict:
        """What the server should have been told by now."""
        from device_sdk.state import StateDirectory

        outbox = StateDirectory(self._path).outbox
        waiting, dropped = outbox.pending(), outbox.dropped()
        words = f"messages for the server that wait: {len(waiting)}"
        if dropped:
            return "warning", f"{words}, given up: {len(dropped)}", "device-sdk outbox list"
        if waiting and self.now() - waiting[0].made_at > _OUTBOX_WARNING:
            return "warning", f"{words}, since {_shown(waiting[0].made_at)}", "device-sdk outbox send"
        return "ok", words, None

    def _uri(self) -> str | None:
        """The key in use, else the one of an enrolment that is under way, else the configured one."""
        try:
            current = self._snapshot()[0].current
        except StateCorruptError:
            return self.key_uri
        return current.key_uri if current else self._first_key() or self.key_uri

    def _first_key(self) -> str | None:
        from device_sdk.state import StateDirectory

        journal = StateDirectory(self._path).journal() if self._path.is_dir() else None
        return journal.key_uri if journal else None

    def _hardware(self) -> Verdict:
        from device_sdk.client.doctor_hardware import check_hardware

        uri = self._uri()
        return check_hardware(uri) if uri else ("skipped", "no key is named", "give --key, or set key.uri")

    def _key(self) -> Verdict:
        from device_sdk.client.doctor_keys import check_key

        uri = self._uri()
        if uri is None or "hardware" in self._bad:
            return "skipped", "its hardware cannot be reached" if uri else "no key is named", None
        chain = () if "state-content" in self._bad else self._snapshot()[1]
        try:
            return check_key(
                uri, chain, pin=self.pin, allow_imported=self.allow_imported, anew="device-sdk enroll --again"
            )
        except KeyNotFoundError:
            if uri == self._first_key():
                return "skipped", f"it is not made yet: {uri}", None
            raise

    def _second(self) -> Verdict:
        from device_sdk.client.doctor_keys import check_second

        for name in ("clock", "state-content"):
            if name in self._bad:
                return "skipped", f"the {name} is not in order", None
        return check_second(self._path, self.now(), pin=self.pin, allow_imported=self.allow_imported)

    def _server(self) -> Verdict:
        if not self.online:
            return "skipped", "not asked for", "device-sdk doctor --online"
        url, trust = self._place()
        if url is None:
            return "skipped", "no server is named", "give --url, or set est.url"
        if trust is None and self.server.pins:
            from device_sdk.client.est import bootstrap

            more = {"label": self.server.label, "timeouts": self.server.timeouts, "proxy": self.server.proxy}
            bootstrap(url, self.server.pins, **more)  # type: ignore[arg-type]  # each has its own type
            return "ok", f"{url} answers, and its CA has the pinned fingerprint", None
        if trust is None:
            return "skipped", f"nothing is trusted to vouch for {url}", "give --anchors, --pin or --implicit"
        with self._est(url, trust) as client:
            found = client.cacerts()
        return "ok", f"{url} answers and is trusted; CA certificates: {len(found.anchors)}", None

    def _client(self) -> Verdict:
        """The handshake of a renewal, without a renewal."""
        from device_sdk.client.device import Device

        url, trust = self._place()
        if not self.online or url is None or trust is None or not self._snapshot()[1]:
            return "skipped", "not enrolled, or not asked for", None
        for name in ("key", "hardware", "server"):
            if name in self._bad:
                return "skipped", f"the {name} is not in order", None
        identity = Device(self._path, pin=self.pin, allow_imported=self.allow_imported).tls_identity()
        key: Any = identity.key
        with key, self._est(url, trust, identity) as client:
            client.cacerts()
        return "ok", f"{url} takes this device's certificate and key for TLS", None

    def _place(self) -> tuple[str | None, ServerTrust | None]:
        from device_sdk.model.trust import ServerTrust
        from device_sdk.state import StateDirectory

        state, _, anchors = self._snapshot()
        if state.endpoint is None:
            return self.server.url, self.server.trust
        lists = StateDirectory(self._path).packages.lists()
        return state.endpoint.url, ServerTrust(anchors, state.endpoint.implicit, lists=lists)

    def _est(self, url: str, trust: ServerTrust, identity: TlsIdentity | None = None) -> EstClient:
        from device_sdk.client.est import EstClient

        endpoint = self._snapshot()[0].endpoint
        label = endpoint.label if endpoint else self.server.label
        return EstClient(
            url, trust, label=label, identity=identity, timeouts=self.server.timeouts, proxy=self.server.proxy
        )


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
