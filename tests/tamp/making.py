"""Messages about trust anchors as managers make them, by pyasn1-alt-modules, and answers as it reads them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.keywrap import aes_key_wrap, aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from device_sdk_simulators.ca.hierarchy import Authority, make_authority
from device_sdk_simulators.ca.keys import new_key
from device_sdk_simulators.packages.signing import PLAIN, Oddities, attribute, key_identifier, signed_message
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5280, rfc5652, rfc5914, rfc5934, rfc6010

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
ARC = "1.3.6.1.4.1.32473"
HARDWARE, COMMUNITY, SERIAL, URI = f"{ARC}.1", f"{ARC}.9", b"\x00\x17", "urn:example:store:23"
QUERY, UPDATE, APEX, COMMUNITIES, ADJUST = (f"{rfc5934.id_tamp}.{one}" for one in (1, 3, 5, 7, 10))
ANY = "1.2.840.113549.1.9.16.1.0"
FIRMWARE = "1.2.840.113549.1.9.16.1.16"
CCC = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.18")

ANSWERS = {
    "2": rfc5934.TAMPStatusResponse,
    "4": rfc5934.TAMPUpdateConfirm,
    "6": rfc5934.TAMPApexUpdateConfirm,
    "8": rfc5934.TAMPCommunityUpdateConfirm,
    "9": rfc5934.TAMPError,
    "11": rfc5934.SequenceNumberAdjustConfirm,
}


def may_sign(*types: str, cannot_source: Sequence[str] = (), attributes: Sequence = ()) -> x509.UnrecognizedExtension:
    """CMS content constraints."""
    found = rfc6010.CMSContentConstraints()
    for position, one in enumerate(types):
        found[position]["contentType"] = univ.ObjectIdentifier(one)
        if one in cannot_source:
            found[position]["canSource"] = "cannotSource"
        for place, (name, values) in enumerate(attributes):
            found[position]["attrConstraints"][place]["attrType"] = univ.ObjectIdentifier(name)
            for number, value in enumerate(values):
                found[position]["attrConstraints"][place]["attrValues"][number] = encode(value)
    return x509.UnrecognizedExtension(CCC, encode(found))


def authority(name: str, issuer: Authority | None = None, *extensions: x509.ExtensionType) -> Authority:
    return make_authority(name, new_key("ec-p256"), NOW, issuer, extensions=extensions)


def spki(one: Authority) -> bytes:
    return one.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _spec(data: bytes, spec):
    return decode(data, asn1Spec=spec)[0]


def certificate(one: Authority) -> rfc5914.TrustAnchorChoice:
    """The anchor as a Certificate."""
    found = rfc5914.TrustAnchorChoice()
    found["certificate"] = _spec(one.certificate.public_bytes(Encoding.DER), rfc5280.Certificate())
    return found


def tbs(one: Authority) -> rfc5914.TrustAnchorChoice:
    found = rfc5914.TrustAnchorChoice()
    inner = _spec(one.certificate.tbs_certificate_bytes, rfc5280.TBSCertificate())
    for name in inner:
        if inner[name].isValue:
            found["tbsCert"][name] = inner[name]
    return found


@dataclass(frozen=True)
class Controls:
    """CertPathControls."""

    name: str
    certificate: Authority | None = None
    policies: Sequence[str] = ()
    flags: Sequence[int] = ()
    names: x509.NameConstraints | None = None
    length: int | None = None

    def fill(self, found) -> None:
        found["taName"] = _spec(
            x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, self.name)]).public_bytes(), rfc5280.Name()
        )
        if self.certificate:
            inner = _spec(self.certificate.certificate.public_bytes(Encoding.DER), rfc5280.Certificate())
            for name in inner:
                found["certificate"][name] = inner[name]
        for position, one in enumerate(self.policies):
            found["policySet"][position]["policyIdentifier"] = univ.ObjectIdentifier(one)
        if self.flags:
            found["policyFlags"] = "".join("1" if one in self.flags else "0" for one in range(max(self.flags) + 1))
        if self.names:
            inner = _spec(self.names.public_bytes(), rfc5280.NameConstraints())
            for name in inner:
                if inner[name].isValue:
                    for position, one in enumerate(inner[name]):
                        found["nameConstr"][name][position] = one
        if self.length is not None:
            found["pathLenConstraint"] = self.length


def _extensions(found, extensions: Sequence[x509.ExtensionType]) -> None:
    for position, one in enumerate(extensions):
        found[position]["extnID"] = univ.ObjectIdentifier(one.oid.dotted_string)
        found[position]["extnValue"] = one.public_bytes()


def info(
    one: Authority,
    *extensions: x509.ExtensionType,
    controls: Controls | None = None,
    title: str | None = None,
    key_id: bytes | None = None,
) -> rfc5914.TrustAnchorChoice:
    """The anchor as a TrustAnchorInfo."""
    found = rfc5914.TrustAnchorChoice()
    inner = found["taInfo"]
    inner["pubKey"] = _spec(spki(one), rfc5280.SubjectPublicKeyInfo())
    inner["keyId"] = key_id or key_identifier(one.certificate)
    if title:
        inner["taTitle"] = title
    if controls:
        controls.fill(inner["certPath"])
    _extensions(inner["exts"], extensions)
    return found


def add(choice: rfc5914.TrustAnchorChoice) -> rfc5934.TrustAnchorUpdate:
    found = rfc5934.TrustAnchorUpdate()
    kind = choice.getName()
    inner = found["add"].setComponentByName(kind)
    inner[kind] = _spec(encode(choice), rfc5914.TrustAnchorChoice())[kind]
    return found


def remove(one: Authority) -> rfc5934.TrustAnchorUpdate:
    found = rfc5934.TrustAnchorUpdate()
    inner = _spec(spki(one), rfc5280.SubjectPublicKeyInfo())
    for name in inner:
        found["remove"][name] = inner[name]
    return found


def change(
    one: Authority,
    *extensions: x509.ExtensionType,
    controls: Controls | None = None,
    title: str | None = None,
    key_id: bytes | None = None,
) -> rfc5934.TrustAnchorUpdate:
    found = rfc5934.TrustAnchorUpdate()
    inner = found["change"]["taChange"]
    inner["pubKey"] = _spec(spki(one), rfc5280.SubjectPublicKeyInfo())
    if key_id:
        inner["keyId"] = key_id
    if title:
        inner["taTitle"] = title
    if controls:
        controls.fill(inner["certPath"])
    _extensions(inner["exts"], extensions)
    return found


def change_tbs(one: Authority) -> rfc5934.TrustAnchorUpdate:
    found = rfc5934.TrustAnchorUpdate()
    inner = _spec(spki(one), rfc5280.SubjectPublicKeyInfo())
    for name in inner:
        found["change"]["tbsCertChange"]["subjectPublicKeyInfo"][name] = inner[name]
    return found


def everybody(reference) -> None:
    reference["target"]["allModules"] = ""


def modules(hw_type: str, *entries: bytes | tuple[bytes, bytes] | None):
    def fill(reference) -> None:
        found = reference["target"]["hwModules"][0]
        found["hwType"] = univ.ObjectIdentifier(hw_type)
        for position, one in enumerate(entries):
            entry = found["hwSerialEntries"][position]
            if one is None:
                entry["all"] = ""
            elif isinstance(one, bytes):
                entry["single"] = one
            else:
                entry["block"]["low"], entry["block"]["high"] = one

    return fill


def communities(*oids: str):
    def fill(reference) -> None:
        reference["target"]["communities"].clear()
        for position, one in enumerate(oids):
            reference["target"]["communities"][position] = univ.ObjectIdentifier(one)

    return fill


def uri(text: str):
    def fill(reference) -> None:
        reference["target"]["uri"] = text

    return fill


def other_name(kind: str, value: bytes):
    def fill(reference) -> None:
        reference["target"]["otherName"]["type-id"] = univ.ObjectIdentifier(kind)
        reference["target"]["otherName"]["value"] = value

    return fill


def _head(found, name: str, number: int, target, terse: bool) -> None:
    if terse:
        found["terse"] = "terse"
    target(found[name])
    found[name]["seqNum"] = number


@dataclass
class Manager:
    """Who manages anchors, by its own key or, with a chain, by way of certificates."""

    authority: Authority
    chain: tuple[x509.Certificate, ...] = ()
    number: int = 0
    odd: Oddities = PLAIN
    unsigned: Sequence = field(default_factory=tuple)

    def query(self, *, target=everybody, terse: bool = False, number: int | None = None) -> bytes:
        found = rfc5934.TAMPStatusQuery()
        _head(found, "query", self._next(number), target, terse)
        return self.sign(encode(found), QUERY)

    def update(
        self, *updates: rfc5934.TrustAnchorUpdate, target=everybody, terse: bool = False, number: int | None = None,
        numbers: Sequence[tuple[bytes, int]] = (),
    ) -> bytes:  # fmt: skip
        found = rfc5934.TAMPUpdate()
        _head(found, "msgRef", self._next(number), target, terse)
        for position, one in enumerate(updates):
            found["updates"][position] = one
        for position, (key_id, value) in enumerate(numbers):
            found["tampSeqNumbers"][position]["keyId"] = key_id
            found["tampSeqNumbers"][position]["seqNumber"] = value
        return self.sign(encode(found), UPDATE)

    def apex(
        self, choice: rfc5914.TrustAnchorChoice, *, anchors: bool = False, leave: bool = False, first: int | None = None,
        target=everybody, terse: bool = False, number: int | None = None,
    ) -> bytes:  # fmt: skip
        found = rfc5934.TAMPApexUpdate()
        _head(found, "msgRef", self._next(number), target, terse)
        found["clearTrustAnchors"], found["clearCommunities"] = anchors, leave
        if first is not None:
            found["seqNumber"] = first
        found["apexTA"] = choice
        return self.sign(encode(found), APEX)

    def communities(
        self, *, gone: Sequence[str] | None = None, new: Sequence[str] | None = None, target=everybody,
        terse: bool = False, number: int | None = None,
    ) -> bytes:  # fmt: skip
        found = rfc5934.TAMPCommunityUpdate()
        _head(found, "msgRef", self._next(number), target, terse)
        for name, oids in (("remove", gone), ("add", new)):
            if oids is not None:
                found["updates"][name].clear()
                for position, one in enumerate(oids):
                    found["updates"][name][position] = univ.ObjectIdentifier(one)
        return self.sign(encode(found), COMMUNITIES)

    def adjust(self, number: int, *, target=everybody) -> bytes:
        found = rfc5934.SequenceNumberAdjust()
        _head(found, "msgRef", self._next(number), target, terse=False)
        return self.sign(encode(found), ADJUST)

    def sign(self, content: bytes, content_type: str) -> bytes:
        return signed_message(
            content, content_type, self.authority, certificates=self.chain, unsigned=self.unsigned, odd=self.odd
        )

    def _next(self, number: int | None) -> int:
        self.number = self.number + 1 if number is None else number
        return self.number


def unsigned(message: bytes, *, direct: bool = True) -> bytes:
    """A message without its signature."""
    signed = _spec(_spec(message, rfc5652.ContentInfo())["content"], rfc5652.SignedData())
    encap = signed["encapContentInfo"]
    found = rfc5652.ContentInfo()
    found["contentType"] = encap["eContentType"]
    content = encap["eContent"].asOctets()
    found["content"] = content if direct else encode(univ.OctetString(content))
    return encode(found)


def contingency(
    key: Authority, symmetric: bytes, *, padded: bool = True, algorithm: str | None = None
) -> x509.UnrecognizedExtension:
    """The extension that locks a contingency key away."""
    wrap = aes_key_wrap_with_padding if padded else aes_key_wrap
    public = spki(key)
    found = rfc5934.ApexContingencyKey()
    suffix = {16: 5, 32: 45}[len(symmetric)] + (3 if padded else 0)
    found["wrapAlgorithm"]["algorithm"] = univ.ObjectIdentifier(algorithm or f"2.16.840.1.101.3.4.1.{suffix}")
    found["wrappedContinPubKey"] = wrap(symmetric, public)
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(str(rfc5934.id_pe_wrappedApexContinKey)), encode(found))


def opens_contingency(symmetric: bytes) -> rfc5652.Attribute:
    return attribute(rfc5934.id_aa_TAMP_contingencyPublicKeyDecryptKey, univ.OctetString(symmetric))


def read_answer(content_type: str, content: bytes):
    """What the device said, as the foreign reader has it, which writes it back to the same octets."""
    found, rest = decode(content, asn1Spec=ANSWERS[content_type.rpartition(".")[2]]())
    assert rest == b""
    assert encode(found) == content
    return found
