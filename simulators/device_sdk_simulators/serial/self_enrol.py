"""A simulated device enrols itself: EST over real HTTPS, with nothing but the standard library and certs-only messages."""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from device_sdk_simulators.serial.board_request import ConfigurationRefusedError, read_configuration, section
from device_sdk_simulators.serial.refusal import RefusalError

if TYPE_CHECKING:
    from device_sdk_simulators.serial.board import Board

_MOST_BYTES = 1 << 20
_TIMEOUT_S = 60.0


def enrol_over_network(board: Board) -> tuple[bytes, bytes]:
    """/cacerts, /csrattrs and /simpleenroll as the board's configuration says; blocks.

    Returns:
        The answers of /simpleenroll and /cacerts, DER.

    Raises:
        RefusalError: the configuration will not do, or the server refused or cannot be reached.
    """
    est, key = _sections(board)
    uri = str(key.get("uri", "")) or board.keys.keystores[0]
    board.create_key(uri, str(key.get("type", "")) or "ec-p256", file_allowed=uri.startswith("file:"), again=True)
    path = "/.well-known/est" + (f"/{est['label']}" if est.get("label") else "")
    try:
        with _connection(str(est.get("url", "")), board.anchors) as connection:
            chain = _ask(connection, f"{path}/cacerts")
            csr = board.request(_ask(connection, f"{path}/csrattrs"))
            headers = {"Content-Type": "application/pkcs10"}
            if est.get("user"):
                login = f"{est['user']}:{board.password or ''}".encode()
                headers["Authorization"] = f"Basic {base64.b64encode(login).decode()}"
            return _ask(connection, f"{path}/simpleenroll", base64.b64encode(csr), headers), chain
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RefusalError("transport", f"{type(error).__name__}: {str(error)[:300]}", 5) from error


def _sections(board: Board) -> tuple[dict[str, Any], dict[str, Any]]:
    """[est] and [key] of its configuration."""
    try:
        config = read_configuration(board.config or b"")
        est, key = section(config, "est"), section(config, "key")
    except ConfigurationRefusedError as error:
        raise RefusalError("configuration", str(error), 2) from error
    if not est.get("url"):
        raise RefusalError("configuration", "no server: est.url is not set", 2)
    return est, key


@contextmanager
def _connection(url: str, anchors: bytes) -> Iterator[http.client.HTTPSConnection]:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError("est.url is not https://HOST")
    context = ssl.create_default_context(cadata=anchors.decode() or None)
    connection = http.client.HTTPSConnection(parts.hostname, parts.port, context=context, timeout=_TIMEOUT_S)
    try:
        yield connection
    finally:
        connection.close()


def _ask(
    connection: http.client.HTTPSConnection, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> bytes:
    connection.request("POST" if body is not None else "GET", path, body, headers or {})
    response = connection.getresponse()
    content = response.read(_MOST_BYTES)
    if response.status == 204:
        return b""
    if response.status != 200:
        words = content[:200].decode(errors="replace").strip()
        raise RefusalError("remote-protocol", f"{path}: {response.status} {words}", 7)
    return base64.b64decode(content)
