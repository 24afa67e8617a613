"""Names of keys: absolute ones for the state directory, and the next one for a rekey."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

from device_sdk.errors import ConfigurationError
from device_sdk.model.key_uri import KeyUri
from device_sdk.wire.key_uri import parse_key_uri

_MAX_TRIES = 64


def absolute(uri: str | KeyUri) -> KeyUri:
    """A key URI that means the same in every working directory.

    Raises:
        UriError: it does not follow its grammar.
    """
    from device_sdk.wire.key_uri.file import FileUri
    from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri
    from device_sdk.wire.key_uri.tpm2 import Tpm2Uri

    parsed = parse_key_uri(uri) if isinstance(uri, str) else uri
    pin_source = _absolute_source(parsed.pin_source)
    if isinstance(parsed, FileUri):
        return replace(parsed, path=str(Path(parsed.path).absolute()), pin_source=pin_source)
    if isinstance(parsed, Tpm2Uri):
        file = None if parsed.file is None else str(Path(parsed.file).absolute())
        return replace(parsed, file=file, pin_source=pin_source)
    if isinstance(parsed, Pkcs11Uri):
        return replace(parsed, pin_source=pin_source)
    return parsed


def _absolute_source(source: str | None) -> str | None:
    """Where a PIN is, from everywhere: a timer runs in another directory than the person who enrolled."""
    if source is None or source.startswith("env:"):
        return source
    scheme, path = ("file:", source[5:]) if source.startswith("file:") else ("", source)
    return scheme + str(Path(path).absolute())


def next_key_uri(base: str, current: str, avoid: Collection[str], taken: Callable[[KeyUri], bool]) -> KeyUri:
    """A name for the key that follows the current one.

    Labels and file names count up: "device", "device-2", "device-3". Persistent handles take the next free one from
    the first handle on.

    Args:
        base: URI of the first key.
        current: URI of the key in use.
        avoid: URIs that must not be used although nothing may be there.
        taken: whether there is a key of that name.

    Raises:
        ConfigurationError: the name does not say how to go on, or nothing near it is free.
    """
    for tried, candidate in enumerate(_candidates(parse_key_uri(base), parse_key_uri(current))):
        if tried >= _MAX_TRIES:
            break
        if str(candidate) not in (current, *avoid) and not taken(candidate):
            return candidate
    raise ConfigurationError(
        f"{current}: no name for the next key can be made from it",
        hint="name the new key yourself, or renew with the same key",
    )


def numbered(uri: str | KeyUri, number: int) -> KeyUri:
    """The name of the first, second, ... of several keys: "device", "device-2"; of persistent handles the following ones.

    Raises:
        ConfigurationError: the name does not say how to go on.
    """
    first = absolute(uri)
    for count, one in enumerate((first, *_candidates(first, first)), 1):
        # the handles begin with the first one again
        if count == number + (number > 1 and _is_handle(first)):
            return replace(one, pin_value=first.pin_value)  # type: ignore[type-var]  # every KeyUri is a dataclass
    raise ConfigurationError(
        f"{first}: no name for another key can be made from it",
        hint="name it by a label or a file, which count up",
    )


def _is_handle(uri: KeyUri) -> bool:
    from device_sdk.wire.key_uri.tpm2 import Tpm2Uri

    return isinstance(uri, Tpm2Uri) and uri.file is None


def _candidates(base: KeyUri, current: KeyUri) -> Iterator[KeyUri]:
    from device_sdk.wire.key_uri.file import FileUri
    from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri
    from device_sdk.wire.key_uri.tpm2 import Tpm2Uri

    if isinstance(base, Pkcs11Uri) and base.label:
        label = current.label if isinstance(current, Pkcs11Uri) else None
        for number in _numbers(base.label, label):
            # A new key has an identifier of its own.
            yield replace(base, label=f"{base.label}-{number}", key_id=None)
    elif isinstance(base, FileUri):
        path = current.path if isinstance(current, FileUri) else None
        yield from (replace(base, path=name) for name in _paths(base.path, path))
    elif isinstance(base, Tpm2Uri) and base.file is not None:
        file = current.file if isinstance(current, Tpm2Uri) else None
        yield from (replace(base, file=name) for name in _paths(base.file, file))
    elif isinstance(base, Tpm2Uri) and base.handle is not None:
        yield from (replace(base, handle=handle) for handle in range(base.handle, base.handle + _MAX_TRIES))


def _paths(base: str, current: str | None) -> Iterator[str]:
    path = Path(base)
    for number in _numbers(path.stem, Path(current).stem if current else None):
        yield str(path.with_stem(f"{path.stem}-{number}"))


def _numbers(base: str, current: str | None) -> Iterator[int]:
    match = re.fullmatch(re.escape(base) + r"-([0-9]{1,9})", current or "")
    first = max(int(match[1]), 1) + 1 if match else 2
    yield from range(first, first + _MAX_TRIES)
