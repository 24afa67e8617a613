"""The HTTP server of the page: loopback without, everywhere else with TLS and a password."""

from __future__ import annotations

import logging
import ssl
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from device_sdk.errors import ConfigurationError, MissingDependencyError
from device_sdk.model.secret import Secret
from device_sdk.station.ledger.reader import LedgerReader
from device_sdk.station.web.access import Access, is_loopback, without_brackets
from device_sdk.station.web.app import make_app

if TYPE_CHECKING:
    from cheroot.wsgi import Server

_log = logging.getLogger(__name__)
_BODY_BYTES = 4096
_QUEUE = 128
_TIMEOUT_S = 10
_MAX_PORT = 65535


class PageServer:
    """Serves the page while the `with` block lasts.

    Args:
        ledger: open for reading.
        address: to listen on.
        port: 0 picks a free one.
        names: further names under which the page is asked for.
        password: needed for any address but the loopback's.
        certificate: PEM file with the page's TLS certificate and its chain; needed for any address but the loopback's.
        key: PEM file with its key.

    Raises:
        ConfigurationError: an address other than the loopback's without TLS or password, a file that cannot be read, or an
            address that cannot be had, or a number that is no port.
        MissingDependencyError: Flask or cheroot is not installed.
    """

    def __init__(  # every argument but the first has a default
        self,
        ledger: LedgerReader,
        *,
        address: str = "127.0.0.1",
        port: int = 8080,
        names: tuple[str, ...] = (),
        password: Secret | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        address = without_brackets(address)
        if not is_loopback(address) and (password is None or certificate is None or key is None):
            raise ConfigurationError(
                f"the page is shown at {address} only with TLS and a password",
                hint="give --tls-cert, --tls-key and --password-file, or leave it at 127.0.0.1 and use a tunnel (ssh -L)",
            )
        if not 0 <= port <= _MAX_PORT:
            raise ConfigurationError(f"{port} is no port", hint=f"--port is 0 to {_MAX_PORT}")
        app = make_app(ledger, Access(frozenset({address, *names}), password))
        self._server = _server(address, port, app, certificate, key)
        self._thread: threading.Thread | None = None
        self._tls = certificate is not None
        self._address = address

    @property
    def url(self) -> str:
        """Where the page is."""
        host = f"[{self._address}]" if ":" in self._address else self._address
        return f"http{'s' * self._tls}://{host}:{self._server.bind_addr[1]}/"

    def __enter__(self) -> Self:
        try:
            self._server.prepare()
        except OSError as error:
            raise ConfigurationError(f"cannot listen at {self._address}: {error.strerror or error}") from error
        self._thread = threading.Thread(target=self._server.serve, name="station page", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._server.stop()
        if self._thread is not None:
            self._thread.join()


def _note(message: str = "", level: int = logging.INFO, traceback: bool = False) -> None:  # as cheroot calls it
    """What cheroot would print. A browser that went away, or spoke no TLS, is nothing that people are to be told."""
    gone = isinstance(sys.exception(), OSError)
    _log.log(logging.DEBUG if gone else level, message, exc_info=traceback and not gone)


def _server(address: str, port: int, app: object, certificate: Path | None, key: Path | None) -> Server:
    try:
        from device_sdk.station.web.waiting import THREADS, LaterAdapter, PatientServer
    except ImportError as error:
        raise MissingDependencyError(
            "the station page needs cheroot", hint="pip install 'device-sdk[station]'"
        ) from error
    server = PatientServer(
        (address, port),
        app,
        numthreads=THREADS,
        max=THREADS,
        request_queue_size=_QUEUE,
        timeout=_TIMEOUT_S,
        server_name="device-sdk",
    )
    setattr(server, "error_log", _note)  # noqa: B010  # a method by its types
    server.max_request_body_size = _BODY_BYTES
    server.max_request_header_size = 16 * 1024
    if certificate is not None and key is not None:
        try:
            adapter = LaterAdapter(str(certificate), str(key))
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"{certificate}, {key}: no usable certificate and key: {error}") from error
        adapter.context.minimum_version = ssl.TLSVersion.TLSv1_2
        server.ssl_adapter = adapter
    return server
