"""Where a PIN comes from: the URI, the place its pin-source names, or whoever the caller put there to be asked."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes

from device_sdk.errors import PinRequiredError
from device_sdk.model.key_uri import KeyUri
from device_sdk.model.secret import Secret, SecretProvider

MAX_PIN_BYTES = 1024
"""The longest PIN or passphrase that is accepted."""

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def resolve_pin(uri: KeyUri, provider: SecretProvider | None, what: str) -> Secret | None:
    """The PIN for a key URI: its pin-value, else what its pin-source holds, else what the provider answers.

    Nothing is kept: every call reads anew, so a changed file counts at the next login.

    Args:
        uri: the reference that is being opened; pin-source is `file:PATH`, a bare path or `env:NAME` (RFC 7512
            section 2.4; its `|command` form is refused).
        provider: asked once, with `what`, when the URI names no PIN at all.
        what: what is to be unlocked, for messages and prompts ("token dev-1").

    Returns:
        The PIN, or None when neither the URI nor the provider has one.

    Raises:
        PinRequiredError: the pin-source cannot be read, is empty, too long, or of a kind that is not understood.
    """
    if uri.pin_value is not None:
        return uri.pin_value
    if uri.pin_source is not None:
        return _read(uri.pin_source, uri, what)
    return provider(what) if provider is not None else None


def _read(source: str, uri: KeyUri, what: str) -> Secret:
    try:
        data = _from_environment(source[4:]) if source.startswith("env:") else _from_file(_path_of(source))
        data = data.removesuffix(b"\n").removesuffix(b"\r")
        if len(data) > MAX_PIN_BYTES:
            raise _UnreadableError(f"it holds more than {MAX_PIN_BYTES} bytes")
        if not data:
            raise _UnreadableError("it is empty")
    except (_UnreadableError, OSError, ValueError) as error:
        # ValueError: a path that no file can have
        reason = (
            str(error) if isinstance(error, _UnreadableError) else getattr(error, "strerror", None) or "cannot be read"
        )
        raise PinRequiredError(
            f"{what}: no PIN from pin-source {source}: {reason}",
            hint="pin-source is file:PATH, a path, or env:NAME",
            uri=str(uri),
        ) from error
    return Secret(data)


class _UnreadableError(Exception):
    """Why a pin-source gives no PIN; becomes part of the message."""


def _from_environment(name: str) -> bytes:
    if not _ENV_NAME.fullmatch(name):
        raise _UnreadableError("that is not the name of an environment variable")
    value = os.environb.get(name.encode())
    if value is None:
        raise _UnreadableError("the environment variable is not set")
    return value


def _path_of(source: str) -> Path:
    if source.startswith("|"):
        raise _UnreadableError("commands are not run for a PIN")
    if not source.startswith("file:"):
        path = source
    else:
        # RFC 8089 allows file:/path, file:///path and file://localhost/path; the value is a URI of its own.
        rest = source.removeprefix("file:")
        if rest.startswith("//"):
            host, slash, tail = rest[2:].partition("/")
            if host not in ("", "localhost") or not slash:
                raise _UnreadableError("only files of this machine are read")
            rest = "/" + tail
        path = os.fsdecode(unquote_to_bytes(rest))
    if not path or "\0" in path:
        raise _UnreadableError("that is not a path")
    return Path(path)


def _from_file(path: Path) -> bytes:
    # Room for the line end and one byte more: /dev/zero or a log file by mistake must not fill the memory.
    limit = MAX_PIN_BYTES + 3
    with path.open("rb", buffering=0) as file:
        data = b""
        while len(data) < limit and (part := file.read(limit - len(data))):
            data += part
    return data
