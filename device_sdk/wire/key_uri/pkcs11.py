"""`pkcs11:` URIs (RFC 7512)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Self
from urllib.parse import quote, unquote_to_bytes

from device_sdk.errors import UriError
from device_sdk.model.key_uri import KeyUri
from device_sdk.model.secret import Secret
from device_sdk.wire.key_uri.components import is_utf8

MAX_URI_CHARACTERS = 4096
MAX_VALUE_BYTES = 1024
OBJECT_TYPES = ("public", "private", "cert", "secret-key", "data")

_PATH = {
    "token": "token",
    "manufacturer": "manufacturer",
    "serial": "serial",
    "model": "model",
    "library-manufacturer": "library_manufacturer",
    "library-description": "library_description",
    "library-version": "library_version",
    "slot-id": "slot_id",
    "slot-description": "slot_description",
    "slot-manufacturer": "slot_manufacturer",
    "object": "label",
    "type": "object_type",
    "id": "key_id",
}
_QUERY = {
    "module-name": "module_name",
    "module-path": "module_path",
    "pin-source": "pin_source",
    "pin-value": "pin_value",
}
_RESERVED_WORDS = {name.partition("-")[0] for name in (*_PATH, *_QUERY)}
_VENDOR_NAME = re.compile(r"([A-Za-z0-9]+)[-_][A-Za-z0-9_-]+")
_PATH_VALUE = re.compile(r"(?:[A-Za-z0-9._~:\[\]@!$'()*+,=&-]|%[0-9A-Fa-f]{2})*")
_QUERY_VALUE = re.compile(r"(?:[A-Za-z0-9._~:\[\]@!$'()*+,=/?|-]|%[0-9A-Fa-f]{2})*")
# Fewer than RFC 7512 allows unencoded: what is left needs no quoting in a shell.
_PATH_SAFE = "-._~:@,+="
_QUERY_SAFE = _PATH_SAFE + "/"


@dataclass(frozen=True)
class Pkcs11Uri(KeyUri):
    """A `pkcs11:` URI; attributes that are None match everything, empty ones match only emptiness.

    Attributes:
        token, manufacturer, serial, model: the token's own words (CK_TOKEN_INFO), without padding.
        library_manufacturer, library_description, library_version: the module's own words (CK_INFO).
        slot_id, slot_description, slot_manufacturer: the slot; slot numbers of some modules change at every start.
        label: the URI's `object`: CKA_LABEL.
        object_type: the URI's `type`: one of OBJECT_TYPES.
        key_id: the URI's `id`: CKA_ID.
        module_name: file name of the module without "lib" and ".so".
        module_path: absolute path of the module.
        pin_source: where the PIN is; pin_value: the PIN itself; never both.
        vendor: vendor attributes of the query, in order; `x-device-sdk-imported=allow` opens keys that were put into
            the token, `x-device-sdk-extractable=allow` also those that can leave it.
    """

    scheme: ClassVar[str] = "pkcs11"

    token: str | None = None
    manufacturer: str | None = None
    serial: str | None = None
    model: str | None = None
    library_manufacturer: str | None = None
    library_description: str | None = None
    library_version: tuple[int, int] | None = None
    slot_id: int | None = None
    slot_description: str | None = None
    slot_manufacturer: str | None = None
    label: str | None = None
    object_type: str | None = None
    key_id: bytes | None = None
    module_name: str | None = None
    module_path: str | None = None
    pin_source: str | None = None
    pin_value: Secret | None = field(default=None, compare=False, repr=False)
    vendor: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        # Zero bytes are left alone here: a token's own words may hold them.
        if not all(is_utf8(value) for value in vars(self).values() if isinstance(value, str)):
            raise UriError("the PKCS#11 URI holds text that is not UTF-8")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a `pkcs11:` URI.

        Unknown attributes of the path are refused, vendor attributes of the query are kept (RFC 7512 section 2.3); the
        scheme may be in any case (RFC 3986 section 3.1).

        Raises:
            UriError: not this scheme, too long, outside the grammar, an attribute twice or unknown, both pin-source and
                pin-value, both module-name and module-path. The message never holds a PIN.
        """
        scheme, colon, rest = text.partition(":")
        if scheme.lower() != cls.scheme or not colon:
            raise UriError("a PKCS#11 URI starts with pkcs11:")
        if len(text) > MAX_URI_CHARACTERS:
            raise UriError(f"the PKCS#11 URI is longer than {MAX_URI_CHARACTERS} characters")
        path, _question, query = rest.partition("?")
        values: dict[str, object] = {}
        for name, raw in _components(path, ";", _PATH_VALUE):
            if name not in _PATH:
                raise _unknown(name, "before the ?")
            values[_PATH[name]] = _path_value(name, raw)
        vendor: list[tuple[str, str]] = []
        for name, raw in _components(query, "&", _QUERY_VALUE):
            value = _text(name, raw)
            if name in _QUERY:
                values[_QUERY[name]] = Secret(value) if name == "pin-value" else value
            elif (match := _VENDOR_NAME.fullmatch(name)) and match[1].lower() not in _RESERVED_WORDS:
                vendor.append((name, value))
            else:
                raise _unknown(name, "after the ?")
        _check_combination(values)
        return cls(**values, vendor=tuple(vendor))  # type: ignore[arg-type]  # one checked value per field name

    def __str__(self) -> str:
        """The canonical form: attributes in one order, `id` fully encoded, without pin-value."""
        path = [f"{name}={text}" for name, key in _PATH.items() if (text := self._path_text(key)) is not None]
        query = [(name, getattr(self, key)) for name, key in _QUERY.items() if name != "pin-value"]
        items = [
            f"{name}={quote(value, safe=_QUERY_SAFE)}" for name, value in (*query, *self.vendor) if value is not None
        ]
        return f"pkcs11:{';'.join(path)}" + (f"?{'&'.join(items)}" if items else "")

    def _path_text(self, key: str) -> str | None:
        value = getattr(self, key)
        if value is None:
            return None
        if isinstance(value, bytes):
            return "".join(f"%{byte:02X}" for byte in value)
        if isinstance(value, tuple):
            return ".".join(map(str, value))
        return quote(str(value), safe=_PATH_SAFE)

    def vendor_value(self, name: str) -> str | None:
        """The value of a vendor attribute, or None."""
        return next((value for key, value in self.vendor if key == name), None)

    def names_object(self) -> bool:
        """Whether the URI says anything about an object, rather than a token as a whole."""
        return self.label is not None or self.key_id is not None


def _components(part: str, separator: str, grammar: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for component in part.split(separator) if part else ():
        name, equals, raw = component.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
            raise UriError(f"the PKCS#11 URI needs name=value between each {separator}")
        if name in seen:
            raise UriError(f"the PKCS#11 URI has {name} twice")
        if not grammar.fullmatch(raw):
            raise UriError(
                f"{name} in the PKCS#11 URI has a character that must be percent-encoded, or a broken %XX",
                hint="a space is %20, a slash in the part before the ? is %2F",
            )
        seen.add(name)
        yield name, raw


def _unknown(name: str, where: str) -> UriError:
    known = ", ".join(_PATH if where.startswith("before") else _QUERY)
    return UriError(f"the PKCS#11 URI has an unknown attribute {name} {where}", hint=f"known there: {known}")


def _octets(name: str, raw: str) -> bytes:
    data = unquote_to_bytes(raw)
    if len(data) > MAX_VALUE_BYTES:
        raise UriError(f"{name} in the PKCS#11 URI is longer than {MAX_VALUE_BYTES} bytes")
    return data


def _text(name: str, raw: str) -> str:
    try:
        text = _octets(name, raw).decode()
    except UnicodeDecodeError:
        # The cause would quote the bytes, which may be a PIN.
        raise UriError(f"{name} in the PKCS#11 URI is not UTF-8") from None
    if "\0" in text:
        raise UriError(f"{name} in the PKCS#11 URI has a zero byte")
    return text


def _path_value(name: str, raw: str) -> object:
    if name == "id":
        return _octets(name, raw)
    text = _text(name, raw)
    if name == "type" and text not in OBJECT_TYPES:
        raise UriError("type in the PKCS#11 URI is none of " + ", ".join(OBJECT_TYPES))
    if name == "slot-id":
        if not re.fullmatch(r"[0-9]{1,20}", text) or int(text) >= 1 << 64:
            raise UriError("slot-id in the PKCS#11 URI is not a decimal number of at most 64 bits")
        return int(text)
    if name == "library-version":
        match = re.fullmatch(r"([0-9]{1,3})(?:\.([0-9]{1,3}))?", text)
        if not match or max(version := (int(match[1]), int(match[2] or 0))) > 255:
            raise UriError("library-version in the PKCS#11 URI is not MAJOR or MAJOR.MINOR, each at most 255")
        return version
    return text


def _check_combination(values: dict[str, object]) -> None:
    if "pin_source" in values and "pin_value" in values:
        raise UriError(
            "the PKCS#11 URI has both pin-source and pin-value", hint="keep pin-source (RFC 7512 section 2.4)"
        )
    if "module_path" in values and "module_name" in values:
        raise UriError("the PKCS#11 URI has both module-path and module-name", hint="keep one")
    path, name = values.get("module_path"), values.get("module_name")
    if isinstance(path, str) and not path.startswith("/"):
        raise UriError("module-path in the PKCS#11 URI is not an absolute path")
    if isinstance(name, str) and (not name or "/" in name or name.startswith(".")):
        raise UriError("module-name in the PKCS#11 URI is not a bare name such as softhsm2")
