"""Messages about trust anchors as managers make them, right and wrong; and answers as pyasn1-alt-modules reads them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from device_sdk_simulators.ca.hierarchy import Authority, make_authority
from device_sdk_simulators.ca.keys import new_key
from device_sdk_simulators.packages import signing
from device_sdk_simulators.packages.signing import PLAIN, Oddities, signed_message
from device_sdk_simulators.packages.tamp import anchors, messages, targets
from device_sdk_simulators.packages.tamp.messages import Change, NewApex
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5934, rfc6010

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
ARC = "1.3.6.1.4.1.32473"
HARDWARE, COMMUNITY, SERIAL, URI = f"{ARC}.1", f"{ARC}.9", b"\x00\x17", "urn:example:store:23"
QUERY, UPDATE, APEX, COMMUNITIES, ADJUST = (f"{rfc5934.id_tamp}.{one}" for one in (1, 3, 5, 7, 10))
ANY = "1.2.840.113549.1.9.16.1.0"
FIRMWARE = "1.2.840.113549.1.9.16.1.16"
CCC = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.18")
key_identifier = signing.key_identifier
EVERYBODY = targets.all_modules()

ANSWERS = {
    "2": rfc5934.TAMPStatusResponse,
    "4": rfc5934.TAMPUpdateConfirm,
    "6": rfc5934.TAMPApexUpdateConfirm,
    "8": rfc5934.TAMPCommunityUpdateConfirm,
    "9": rfc5934.TAMPError,
    "11": rfc5934.SequenceNumberAdjustConfirm,
}


def may_sign(
    *types: str, cannot_source: Sequence[str] = (), attributes: Sequence[tuple[str, Sequence[Any]]] = ()
) -> x509.UnrecognizedExtension:
    """CMS content constraints; attributes of the types but anyContentType, which has none, and the updates."""
    found = rfc6010.CMSContentConstraints()
    for position, one in enumerate(types):
        found[position]["contentType"] = univ.ObjectIdentifier(one)
        if one in cannot_source:
            found[position]["canSource"] = "cannotSource"
        for place, (name, values) in enumerate(() if one in (ANY, UPDATE) else attributes):
            constraint = found[position]["attrConstraints"][place]
            constraint["attrType"] = univ.ObjectIdentifier(name)
            for number, value in enumerate(values):
                constraint["attrValues"][number] = encode(value)
    return x509.UnrecognizedExtension(CCC, encode(found))


def authority(name: str, issuer: Authority | None = None, *extensions: x509.ExtensionType) -> Authority:
    return make_authority(name, new_key("ec-p256"), NOW, issuer, extensions=extensions)


def again(one: Authority, *extensions: x509.ExtensionType, name: str = "Again") -> Authority:
    """Something else said of the same key."""
    return make_authority(name, one.key, NOW, extensions=extensions)


def certificate(one: Authority) -> Any:
    return anchors.anchor(one.certificate, "certificate")


def info(one: Authority, title: str = "") -> Any:
    return anchors.anchor(one.certificate, "info", title=title)


def bare(one: Authority) -> Any:
    """A TrustAnchorInfo without certPath: a key that signs messages and leads no paths, whatever its certificate says."""
    found = info(one)
    found["taInfo"]["certPath"] = univ.noValue
    return found


def tbs(one: Authority) -> Any:
    return anchors.anchor(one.certificate, "tbs")


def add(choice: Any) -> Change:
    return Change("add", choice)


def remove(one: Authority) -> Change:
    return messages.removed(one.certificate)


def change(one: Authority, title: str = "", *, controls: bool = True) -> Change:
    return Change("change", anchors.changed_info(one.certificate, title=title, controls=controls))


def change_tbs(one: Authority) -> Change:
    return Change("change", anchors.changed_certificate(one.certificate))


@dataclass
class Manager:
    """Who manages anchors, by its own key or, with a chain, by way of certificates; numbers its messages."""

    authority: Authority
    chain: tuple[x509.Certificate, ...] = ()
    unsigned: Sequence[Any] = field(default_factory=tuple)
    number: int = 0

    def query(self, **options: Any) -> bytes:
        return self._send(QUERY, messages.status_query, options)

    def update(self, *updates: Change, numbers: Sequence[tuple[bytes, int]] = (), **options: Any) -> bytes:
        return self._send(UPDATE, lambda ref, **more: messages.update(ref, updates, numbers=numbers, **more), options)

    def apex(
        self, anchor: Any, *, anchors: bool = False, communities: bool = False, first: int | None = None, **options: Any
    ) -> bytes:
        new = NewApex(anchor, anchors, communities, first)
        return self._send(APEX, lambda ref, **more: messages.apex_update(ref, new, **more), options)

    def communities(
        self, *, gone: Sequence[str] | None = None, new: Sequence[str] | None = None, **options: Any
    ) -> bytes:
        def build(ref: Any, **more: Any) -> bytes:
            return messages.community_update(ref, remove=gone, add=new, **more)

        return self._send(COMMUNITIES, build, options)

    def adjust(self, number: int, **options: Any) -> bytes:
        return self._send(ADJUST, messages.sequence_adjust, options | {"number": number})

    def sign(self, content: bytes, content_type: str, odd: Oddities = PLAIN) -> bytes:
        return signed_message(
            content, content_type, self.authority, certificates=self.chain, unsigned=self.unsigned, odd=odd
        )

    def _send(self, content_type: str, build: Callable[..., bytes], options: dict[str, Any]) -> bytes:
        number = options.pop("number", None)
        self.number = self.number + 1 if number is None else number
        reference = targets.reference(options.pop("target", EVERYBODY), self.number)
        odd = options.pop("odd", PLAIN)
        return self.sign(build(reference, **options), content_type, odd)


def read_answer(content_type: str, content: bytes) -> Any:
    """What the device said, as the foreign reader has it, which writes it back to the same octets."""
    found, rest = decode(content, asn1Spec=ANSWERS[content_type.rpartition(".")[2]]())
    assert rest == b""
    assert encode(found) == content
    return found
