"""Facts, wishes, keys and proofs as JSON: what `device-sdk bench --json` prints and an agent sends, written and read.

Bytes are base64, fingerprints hex. What is read comes from a device and is hostile until it is checked: every field has its
type and bounds, and what is not known is left out.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from device_sdk.client.bench.facts import BenchKey, DeviceFacts, KeyWish, Proof
from device_sdk.errors import LineError
from device_sdk.model.keys import KeyType

_MAX_TEXT, _MAX_URI, _MAX_BYTES, _MAX_ITEMS = 256, 4096, 64 * 1024, 64
_MAX_SERIAL = 64
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def facts_to_json(facts: DeviceFacts) -> dict[str, object]:
    """Facts as data."""
    return {
        "serial_number": facts.serial_number,
        "macs": list(facts.macs),
        "model": facts.model,
        "sdk_version": facts.sdk_version,
        "clock": facts.clock,
        "keystores": list(facts.keystores),
        "enrolled": facts.enrolled,
        "extra": dict(facts.extra),
    }


def facts_from_json(value: object) -> DeviceFacts:
    """Facts as a device says them.

    Raises:
        LineError: it is nothing of the kind.
    """
    fields = _Fields(value, "facts")
    serial = fields.text("serial_number", _MAX_SERIAL)
    if not serial:
        raise fields.wrong("serial_number")
    clock = fields.value("clock")
    if clock is not None and (type(clock) is not int or not 0 <= clock < 2**40):
        raise fields.wrong("clock")
    enrolled = fields.optional_text("enrolled", 64)
    if enrolled is not None and not _SHA256.fullmatch(enrolled):
        raise fields.wrong("enrolled")
    macs = fields.texts("macs", 17)
    if not all(_MAC.fullmatch(mac) for mac in macs):
        raise fields.wrong("macs")
    return DeviceFacts(
        serial_number=serial,
        macs=macs,
        model=fields.text("model", _MAX_TEXT),
        sdk_version=fields.text("sdk_version", _MAX_TEXT),
        clock=clock,
        keystores=fields.texts("keystores", _MAX_URI),
        enrolled=enrolled,
        extra=fields.words("extra"),
    )


def wish_to_json(wish: KeyWish) -> dict[str, object]:
    """A wish as data."""
    return {"uri": wish.uri, "type": wish.type.value, "file_allowed": wish.file_allowed, "again": wish.again}


def wish_from_json(value: object) -> KeyWish:
    """A wish as a station sends it; raises as `facts_from_json`."""
    fields = _Fields(value, "wish")
    return KeyWish(fields.text("uri", _MAX_URI), fields.key_type(), fields.flag("file_allowed"), fields.flag("again"))


def key_to_json(key: BenchKey) -> dict[str, object]:
    """A key as data."""
    return {
        "uri": key.uri,
        "type": key.type.value,
        "public_key": _encoded(key.public_key),
        "attestation": dict(key.attestation),
    }


def key_from_json(value: object) -> BenchKey:
    """A key as a device says it made it; raises as `facts_from_json`."""
    fields = _Fields(value, "key")
    return BenchKey(fields.text("uri", _MAX_URI), fields.key_type(), fields.content("public_key"), fields.attestation())


def proof_to_json(proof: Proof) -> dict[str, object]:
    """A proof as data."""
    return {"certificate": _encoded(proof.certificate), "signature": _encoded(proof.signature)}


def proof_from_json(value: object) -> Proof:
    """A proof as a device sends it, not yet checked; raises as `facts_from_json`."""
    fields = _Fields(value, "proof")
    return Proof(fields.content("certificate"), fields.content("signature"))


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


class _Fields:
    """The members of a JSON object, each with its type."""

    def __init__(self, value: object, what: str) -> None:
        self._what = what
        if not isinstance(value, Mapping):
            raise LineError(f"what should be the device's {what} is no JSON object")
        self._members = value

    def wrong(self, name: str) -> LineError:
        return LineError(f"{name} in the device's {self._what} is missing, too long, or not what it should be")

    def value(self, name: str) -> object:
        return self._members.get(name)

    def text(self, name: str, limit: int) -> str:
        value = self.value(name)
        if not isinstance(value, str) or len(value) > limit or not value.isprintable():
            raise self.wrong(name)
        return value

    def optional_text(self, name: str, limit: int) -> str | None:
        return None if self.value(name) is None else self.text(name, limit)

    def flag(self, name: str) -> bool:
        value = self.value(name)
        # 1 is True to Python, and not to JSON
        if value is not None and type(value) is not bool:
            raise self.wrong(name)
        return value is True

    def texts(self, name: str, limit: int) -> tuple[str, ...]:
        values = self.value(name)
        if not isinstance(values, list) or len(values) > _MAX_ITEMS:
            raise self.wrong(name)
        return tuple(_Fields({name: value}, self._what).text(name, limit) for value in values)

    def words(self, name: str) -> dict[str, str]:
        values = self.value(name)
        if values is None:
            return {}
        if not isinstance(values, Mapping) or len(values) > _MAX_ITEMS:
            raise self.wrong(name)
        members = _Fields(values, f"{self._what}, {name}")
        return {_Fields({name: key}, self._what).text(name, _MAX_TEXT): members.text(key, _MAX_TEXT) for key in values}

    def key_type(self) -> KeyType:
        try:
            return KeyType(self.value("type"))
        except ValueError as error:
            raise self.wrong("type") from error

    def content(self, name: str) -> bytes:
        value = self.value(name)
        if not isinstance(value, str) or len(value) > _MAX_BYTES:
            raise self.wrong(name)
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise self.wrong(name) from error

    def attestation(self) -> dict[str, object]:
        """Names and simple values: texts, numbers, truth values, and lists of texts."""
        values = self.value("attestation")
        if not isinstance(values, Mapping) or len(values) > _MAX_ITEMS:
            raise self.wrong("attestation")
        members = _Fields(values, f"{self._what}, attestation")
        found: dict[str, object] = {}
        for key, value in values.items():
            name = _Fields({"attestation": key}, self._what).text("attestation", _MAX_TEXT)
            if isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**63):
                found[name] = value
            else:
                found[name] = (
                    list(members.texts(key, _MAX_TEXT)) if isinstance(value, list) else members.text(key, _MAX_TEXT)
                )
        return found
