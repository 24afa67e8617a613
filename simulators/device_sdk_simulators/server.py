"""The reference server: EST and CALE over real TLS with a real CA, in this process or in one of its own."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk_simulators.audit import AuditLog
from device_sdk_simulators.ca.directory import single_authority
from device_sdk_simulators.ca.hierarchy import Hierarchy
from device_sdk_simulators.ca.keys import write_file
from device_sdk_simulators.ca.registration_authority import issue_registration_authority
from device_sdk_simulators.ca.rollover import Rollover
from device_sdk_simulators.ca.tls import LOCAL_NAMES, TlsProfile, tls_settings
from device_sdk_simulators.cale.certificates import AUTHORITY_NAME
from device_sdk_simulators.cale.service import CaleService
from device_sdk_simulators.database import Database
from device_sdk_simulators.est.answers import refusal
from device_sdk_simulators.est.app import EstApp
from device_sdk_simulators.est.login import HttpLogin
from device_sdk_simulators.est.site import Surroundings
from device_sdk_simulators.est.sites import Sites, directory_of
from device_sdk_simulators.faults import WIRE_FAULTS, Faults
from device_sdk_simulators.guessing import Guesses
from device_sdk_simulators.http.address import client_name, in_url
from device_sdk_simulators.http.listener import Listener
from device_sdk_simulators.http.messages import Headers, HttpError, Request, Response
from device_sdk_simulators.http.tls import TlsSettings
from device_sdk_simulators.http.wire_faults import DEFAULTS
from device_sdk_simulators.passwords import Users
from device_sdk_simulators.policy import Policy
from device_sdk_simulators.softhsm import SimulatorError
from device_sdk_simulators.srp.service import SrpService, SrpSettings
from device_sdk_simulators.state_directory import StateInUseError, open_directory

__all__ = ["CannotListenError", "ReferenceServer", "StateInUseError"]


class CannotListenError(SimulatorError):
    """The address is not one of this machine, or the port is taken."""


class ReferenceServer:
    """A server that is ready when the `with` block begins and gone, threads and all, when it ends.

    Everything a test may want to change can be changed while it runs: `policy`, `clock`, `faults`. `handle` answers a
    request without any socket.

    Args:
        state: directory with the CA, the database and the log; made if missing, and reused.
        host: address to listen on.
        port: 0 picks a free one.
        user: a user that may enrol with a password; None for none.
        password: that user's password; a random one if not given.
        ca_key_type: "ec-p256", "ec-p384" or "rsa-2048"...; counts when the state directory is new.
        policy: what the server asks for and allows.
        tls: what it shows in handshakes.
        srp: a second port, for certificate-less TLS; None for none.

    Raises:
        StateInUseError: another server works in the directory.
        CannotListenError: the address or the port cannot be had.
        SimulatorError: the directory cannot be used, or holds something else.
        OSError: a file of it cannot be read or written.

    Attributes:
        clock: time of everything issued, checked and logged.
        policy: see `Policy`.
        faults: ways to misbehave, see `faults.FAULTS`.
        est: the EST server; `est.queue` holds requests that wait, `est.register` what was issued.
        cale: the CALE roles; `cale.resource.documents` is what there is to read.
        srp: the part that speaks certificate-less TLS (`srp.users`, `srp.guard`), or None.
    """

    def __init__(  # noqa: PLR0913 - every argument but the first has a default
        self,
        state: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        user: str | None = "device",
        password: str | None = None,
        ca_key_type: str = "ec-p256",
        policy: Policy | None = None,
        tls: TlsProfile | None = None,
        srp: SrpSettings | None = None,
    ) -> None:
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.policy = policy or Policy()
        self.faults = Faults()
        self.state = state.absolute()
        self.user = user
        with ExitStack() as opened:
            self._open(opened, ca_key_type, password)
            self._listener = self._listen(host, port, tls or TlsProfile())
            opened.callback(self._listener.stop)
            self.srp = self._open_srp(opened, srp, host) if srp else None
            # from here on stop() closes everything; until here a failure does
            self._opened = opened.pop_all()

    def _open(self, opened: ExitStack, ca_key_type: str, password: str | None) -> None:
        state, user = self.state, self.user
        opened.callback(os.close, open_directory(state))
        self._database = Database(state / "server.sqlite")
        opened.callback(self._database.close)
        self._audit = AuditLog(state / "log.jsonl")
        opened.callback(self._audit.close)
        self.users = Users(self._database, lambda: "digest" in self.policy.http_auth)
        chosen = password or self._kept_password()
        self.password = chosen or secrets.token_urlsafe(12)
        if user is not None:
            self.users.add(user, self.password, drawn=chosen is None)
            write_file(self.password_file, self.password.encode() + b"\n")
        guesses = Guesses(self._database, self._now)
        self._login = HttpLogin(self.users, self.policy, self._now, guesses)
        shared = Surroundings(self._database, self.users, self.policy, self._now, self.faults, self._login, guesses)
        self.sites = Sites(state, ca_key_type, shared)
        authority = single_authority(state / "cale", AUTHORITY_NAME, "ec-p256", self._now())
        # a dozen parts make tables of their own: one wait for the disk is enough
        with self._database.transaction():
            self.est = EstApp(self.sites, shared)
            identify = self.est.gatekeeper.identify
            self.cale = CaleService(authority, self._database, self.policy, self._now, identify, guesses)
        opened.callback(self.cale.edge.close)

    def _listen(self, host: str, port: int, profile: TlsProfile) -> Listener:
        self._name = client_name(host)
        if self._name not in LOCAL_NAMES:
            profile = replace(profile, names=(*profile.names, self._name))
        self._profile, self._shown = profile, self.sites.hierarchies()
        try:
            listener = Listener(self.handle, self._tls_settings(), self._now, host, port)
        except OSError as error:
            raise _cannot_listen(host, port, error) from error
        listener.before_connection = self._follow_rollover
        return listener

    def _tls_settings(self) -> TlsSettings:
        self.policy.own_names = frozenset((*LOCAL_NAMES, *self._profile.names))
        main, *others = self._shown
        return tls_settings(main, self._profile, self.policy.third_party_anchors, *others)

    def _follow_rollover(self) -> None:
        """Show a certificate of the generation that issues now, and let in clients of those in service."""
        # while the files or the database cannot be read, what was read last still holds
        with suppress(SimulatorError, OSError, sqlite3.Error):
            hierarchies = self.sites.hierarchies()
            if any(new is not old for new, old in zip_longest(hierarchies, self._shown)):
                self._shown = hierarchies
                self._listener.use(self._tls_settings())

    def _open_srp(self, opened: ExitStack, settings: SrpSettings, host: str) -> SrpService:
        service = SrpService(settings, self._database, self.state, self._now, self._audit)
        try:
            listener = service.listen(self.handle, host)
        except OSError as error:
            raise _cannot_listen(host, settings.port, error) from error
        opened.callback(listener.stop)
        return service

    def _now(self) -> datetime:
        return self.clock()

    def _kept_password(self) -> str | None:
        return self.password_file.read_text().rstrip("\n") if self.password_file.exists() else None

    def use_tls(self, profile: TlsProfile) -> None:
        """Show another TLS certificate, or speak other versions, on connections made from now on."""
        self._profile, self._shown = profile, self.sites.hierarchies()
        self._listener.use(self._tls_settings())

    @property
    def hierarchy(self) -> Hierarchy:
        """The main CA as it is now."""
        return self.sites.main.hierarchy

    def registration_authority(self, name: str, public_key: CertificatePublicKeyTypes) -> x509.Certificate:
        """Issue a certificate with which its holder enrols others, if the policy lets such ones (RFC 7030 section 3.7)."""
        return issue_registration_authority(self.hierarchy, self._database, name, public_key, self._now())

    def rollover(self, label: str = "") -> Rollover:
        """The rollover of the main CA, or of a label's own: `server.rollover().publish("ec-p256")`."""
        return Rollover(directory_of(self.state, label), label, self._database, self._now)

    def drop_connections(self) -> None:
        """Break every open connection, as a crash would; the server goes on."""
        self._listener.drop_connections()
        if self.srp:
            self.srp.listener.drop_connections()

    @property
    def port(self) -> int:
        """The TCP port."""
        return self._listener.port

    @property
    def url(self) -> str:
        """Base URL of the EST server."""
        return f"https://{in_url(self._name)}:{self.port}"

    @property
    def srp_url(self) -> str | None:
        """Base URL of the EST server for certificate-less TLS, or None."""
        return f"https://{in_url(self._name)}:{self.srp.port}" if self.srp else None

    @property
    def cale_url(self) -> str:
        """Base URL of the CALE edge device."""
        return self.url

    @property
    def ca_file(self) -> Path:
        """PEM with the trust anchor of the TLS server and of everything issued."""
        return self.state / "ca" / "anchors.pem"

    @property
    def issuer_file(self) -> Path:
        """PEM with the CA that signs clients, followed by its root."""
        return self.state / "ca" / "issuer.pem"

    @property
    def password_file(self) -> Path:
        """File with the password of `user`."""
        return self.state / "password"

    @property
    def ca_sha256(self) -> str:
        """SHA-256 of the root certificate's DER, hex: what a client pins."""
        return hashlib.sha256(self.hierarchy.root.certificate.public_bytes(Encoding.DER)).hexdigest()

    @property
    def connections(self) -> int:
        """TCP connections accepted so far."""
        return self._listener.connections

    def log(self) -> list[dict[str, object]]:
        """The audit log, one dict a request."""
        return self._audit.entries()

    def describe(self) -> dict[str, object]:
        """What a client needs to know, as data (the JSON line of the command)."""
        return {
            "url": self.url,
            "cale_url": self.cale_url,
            "ca_file": str(self.ca_file),
            "issuer_file": str(self.issuer_file),
            "ca_sha256": self.ca_sha256,
            "user": self.user,
            "password_file": str(self.password_file) if self.user is not None else None,
            "state": str(self.state),
            "log_file": str(self._audit.path),
            "label_ca_files": {
                label: str(directory_of(self.state, label) / "anchors.pem") for label in sorted(self.policy.own_cas)
            },
            "pid": os.getpid(),
        } | (self.srp.describe(in_url(self._name)) if self.srp else {})

    def handle(self, request: Request) -> Response:
        """Answer one request and log it; never raises."""
        try:
            if request.error is not None:
                raise request.error
            est = self.est.serves(request.path)
            response = self.est.handle(request) if est else self.cale.edge.handle(request)
        except HttpError as error:
            response = refusal(error, {})
        except Exception as error:  # noqa: BLE001 - the client gets 500 and the log the reason
            response = Response.text(500, "internal error")
            response.facts["reason"] = f"{type(error).__name__}: {error}"
        response.headers = [*self._login_headers(request, response), *response.headers]
        self._record(request, response)
        self._spoil(response)
        return response

    def _login_headers(self, request: Request, response: Response) -> Headers:
        """401 never comes without challenges (RFC 9110 section 15.5.2), nor the proof of a password with it."""
        if response.status != 401:
            return request.answer_headers
        has_some = any(name == "WWW-Authenticate" for name, _ in response.headers)
        return [] if has_some else self._login.challenges()

    def _spoil(self, response: Response) -> None:
        if self.faults.quiet:
            return
        operation = str(response.facts.get("place") or response.facts.get("operation", ""))
        for name in WIRE_FAULTS:
            value = self.faults.take(name, operation, DEFAULTS.get(name, "yes"))
            if value is not None:
                response.wire[name] = value

    def _record(self, request: Request, response: Response) -> None:
        chain = request.tls.client_chain
        facts: dict[str, object] = {
            "time": self._now().isoformat(),
            "connection": request.connection,
            "method": request.method,
            "path": request.target,
            "status": response.status,
            "operation": None,
            "authentication": "none",
            "tls_version": request.tls.version or None,
            "cipher": request.tls.cipher or None,
            "resumed": request.tls.resumed,
            "srp_user": request.tls.srp_user,
            "client_serial": f"{chain[0].serial_number:x}" if chain else None,
            "client_subject": chain[0].subject.rfc4514_string() if chain else None,
            "user_agent": request.header("User-Agent"),
        }
        self._audit.write(**(facts | response.facts))

    def start(self) -> Self:
        """Begin to answer; the same as entering the `with` block."""
        self._listener.start()
        if self.srp:
            self.srp.listener.start()
        return self

    def stop(self) -> None:
        """End connections and threads, close the files."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()


def _cannot_listen(host: str, port: int, error: OSError) -> CannotListenError:
    words = error.strerror
    if error.errno is not None and not isinstance(error, socket.gaierror):
        # without the address, which Python repeats here
        words = os.strerror(error.errno)
    return CannotListenError(f"cannot listen on {host} port {port}: {words}")
