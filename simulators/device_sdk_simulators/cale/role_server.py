"""One role as a server of its own: state directory, log, TLS and a port."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509

from device_sdk_simulators.audit import AuditLog
from device_sdk_simulators.ca.keys import CaKey, UnusableFileError, load_key
from device_sdk_simulators.cale.hops import Role
from device_sdk_simulators.cale.peers import Peers
from device_sdk_simulators.cale.pki import KeyFiles
from device_sdk_simulators.database import Database
from device_sdk_simulators.http.address import client_name, in_url
from device_sdk_simulators.http.listener import Listener
from device_sdk_simulators.http.messages import Handler, HttpError, Request, Response
from device_sdk_simulators.http.parser import Limits
from device_sdk_simulators.http.tls import TlsSettings
from device_sdk_simulators.softhsm import SimulatorError
from device_sdk_simulators.state_directory import open_directory

INNER_LIMITS = Limits(head_bytes=48 * 1024, header_count=96)
"""Of servers behind the edge device: they take whatever it takes, with a certificate beside it."""


class RoleServer:
    """The surroundings of a role; ready for `listen` when it is made, closed by `stop`.

    Args:
        name: of the role, for people.
        state: directory; made if missing, closed to others, taken for this process.
        clock: time of everything the role issues, checks and logs.

    Raises:
        SimulatorError: the directory cannot be used.

    Attributes:
        opened: what `stop` closes.
        database: memory, in the state directory.
        clock: see above; may be replaced.
        facts: further ones for `describe`.
        waits: what ends the waiting for other servers; called by `stop` before it waits for whoever waits there.
    """

    def __init__(self, name: str, state: Path, clock: Callable[[], datetime] | None = None) -> None:
        self.name = name
        self.state = state.absolute()
        self.clock = clock or (lambda: datetime.now(UTC))
        self.facts: dict[str, object] = {}
        self.waits: list[Callable[[], None]] = []
        self._listener: Listener | None = None
        self._url = ""
        with ExitStack() as opened:
            opened.callback(os.close, open_directory(self.state))
            self.database = Database(self.state / "server.sqlite")
            opened.callback(self.database.close)
            self._audit = AuditLog(self.state / "log.jsonl")
            opened.callback(self._audit.close)
            self.opened = opened.pop_all()

    def now(self) -> datetime:
        """The role's time."""
        return self.clock()

    def listen(self, handler: Handler, tls: TlsSettings, host: str, port: int, limits: Limits | None = None) -> None:
        """Take a port; SimulatorError if it cannot be had. Requests are answered from `start` on."""

        def answer(request: Request) -> Response:
            return self._logged(handler, request)

        try:
            self._listener = Listener(answer, tls, self.now, host, port, limits)
        except OSError as error:
            words = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
            raise SimulatorError(f"cannot listen on {host} port {port}: {words}") from error
        self.opened.callback(self._listener.stop)
        self._url = f"https://{in_url(client_name(host))}:{self._listener.port}"

    def _logged(self, handler: Handler, request: Request) -> Response:
        try:
            if request.error is not None:
                raise request.error
            response = handler(request)
        except HttpError as error:
            response = Response.text(error.status, error.text, error.headers)
        except Exception as error:  # noqa: BLE001 - the client gets 500 and the log the reason
            response = Response.text(500, "internal error")
            response.facts["reason"] = f"{type(error).__name__}: {error}"
        facts: dict[str, object] = {
            "time": self.now().isoformat(),
            "role": self.name,
            "connection": request.connection,
            "source": request.source or None,
            "method": request.method,
            # a query may say more about people than a log should
            "path": request.path,
            "status": response.status,
            "tls_version": request.tls.version or None,
            "cipher": request.tls.cipher or None,
        }
        self._audit.write(**(facts | response.facts))
        return response

    @property
    def url(self) -> str:
        """Base URL."""
        return self._url

    @property
    def port(self) -> int:
        """The TCP port; 0 before `listen`."""
        return self._listener.port if self._listener else 0

    def describe(self) -> dict[str, object]:
        """What others need to know, as data."""
        return {
            "role": self.name,
            "url": self.url,
            "state": str(self.state),
            "log_file": str(self._audit.path),
            "pid": os.getpid(),
            **self.facts,
        }

    def log(self) -> list[dict[str, object]]:
        """The audit log, one dict a request."""
        return self._audit.entries()

    def start(self) -> Self:
        """Begin to answer; the same as entering the `with` block."""
        if self._listener:
            self._listener.start()
        return self

    def stop(self) -> None:
        """End connections and threads, close the files."""
        if self._listener:
            self._listener.end()
        for end in self.waits:
            end()
        self.opened.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()


def by_listed_peers(role: Role, peers: Peers) -> Handler:
    """Requests of listed peers for a role; everybody else gets 403, whoever signed the certificate (CALE-59)."""

    def handle(request: Request) -> Response:
        chain = request.tls.client_chain
        peer = peers.name_of(chain[0] if chain else None)
        if peer is None:
            return Response(403, close=True, facts={"reason": "not a listed peer"})
        response = role.handle(request, peer)
        response.facts = {"peer": peer} | response.facts
        return response

    return handle


def hop_tls(files: KeyFiles) -> TlsSettings:
    """What a role shows to others and wants to see of them: mutual TLS 1.3 (CALE-30, CALE-52)."""
    chain, key = read_pair(files)
    return TlsSettings(chain, key, read_certificates(files.anchors), minimum="TLSv1.3", client_required=True)


def read_pair(files: KeyFiles) -> tuple[list[x509.Certificate], CaKey]:
    """A certificate with its chain, and its key; UnusableFileError or OSError."""
    chain, key = read_certificates(files.certificate), load_key(files.key)
    if chain[0].public_key() != key.public_key():
        raise UnusableFileError(f"the certificate in {files.certificate} is for another key than that in {files.key}")
    return chain, key


def read_certificates(path: Path) -> list[x509.Certificate]:
    """The PEM certificates of a file; UnusableFileError or OSError."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except ValueError as error:
        raise UnusableFileError(f"{path} holds no certificates in PEM") from error
