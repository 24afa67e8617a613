"""Packages of keys as the reference server makes them, for a device, and wrong ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.packages import layers
from device_sdk_simulators.packages.key_package import WrittenKey, symmetric_key_package
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc6031, rfc7191

from tests.est.pki import NOW, Ca, new_key

AES = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
VALUE = bytes(range(0x40, 0x50))
CCC = "1.3.6.1.5.5.7.1.18"
SKP = "1.2.840.113549.1.9.16.1.25"


def written(key_id: str = "k1", value: bytes = VALUE, **attributes) -> WrittenKey:
    return WrittenKey({"id": key_id, "algorithm": AES} | attributes, value)


def key_package(*keys: WrittenKey) -> bytes:
    return symmetric_key_package(keys or [written()])


def receipt_request(
    package_id: bytes = b"pkg-1", *, wanted: bool = True, receipts_from: list[x509.Name] | None = None, encrypt=False
) -> bytes:
    value = rfc7191.KeyPkgIdentifierAndReceiptReq()
    value["pkgID"] = package_id
    if wanted:
        request = value["receiptReq"]
        if encrypt:
            request["encryptReceipt"] = True
        for position, one in enumerate(receipts_from or ()):
            entity(request["receiptsFrom"][position], one)
        entity(request["receiptsTo"][0], x509.Name([]))
    return bytes(encode(value))


def entity(target, name: x509.Name) -> None:
    target["sirenType"] = rfc7191.id_dn
    target["sirenValue"] = name.public_bytes()


def constraints(
    content_type: str = SKP, *, can_source: bool = True, attributes: Mapping[str, Sequence[bytes]] | None = None
) -> x509.UnrecognizedExtension:
    """CMS content constraints with one type."""
    from device_sdk.wire import der

    generation = b"" if can_source else b"\x0a\x01\x01"
    limits = [
        der.sequence(der.oid(oid), der.tlv(0x31, b"".join(sorted(values))))
        for oid, values in (attributes or {}).items()
    ]
    value = der.sequence(der.sequence(der.oid(content_type), generation, der.sequence(*limits) if limits else b""))
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(CCC), value)


@dataclass
class Sealer:
    """A maker of packages with a CA of its own, and a device with a key."""

    ca: Ca = field(default_factory=lambda: Ca.root("Package root"))
    device_ca: Ca = field(default_factory=lambda: Ca.root("Device root"))
    device_key: object = field(default_factory=new_key)
    signer_key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    device: x509.Certificate = field(init=False)
    signer: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        self.device = self.device_ca.certify("device 1", self.device_key.public_key())
        self.signer = self.ca.certify("package signer", self.signer_key.public_key())

    @property
    def anchors(self) -> tuple[x509.Certificate, ...]:
        return (self.ca.certificate,)

    def by(self, *, signer: x509.Certificate | None = None, **options) -> layers.Protection:
        certificate = signer or self.signer
        authority = Authority(certificate, self.signer_key)
        return layers.Protection(authority, [certificate], self.device, **options)

    def seal(self, nesting: layers.Nesting = "c", package: bytes | None = None, **options) -> bytes:
        return layers.protect(key_package() if package is None else package, nesting, self.by(**options))

    def content(self, package: bytes | None = None) -> layers.Content:
        return rfc6031.id_ct_KP_sKeyPackage, key_package() if package is None else package

    def signed(self, content: layers.Content, **options) -> layers.Content:
        by = self.by(**options)
        return layers.signed(content, by.signer, by.certificates, request=by.request)

    def enveloped(self, content: layers.Content, cipher: layers.ContentCipher = "kwp") -> layers.Content:
        return layers.enveloped(content, self.device, cipher)


def flip(message: bytes, part: bytes) -> bytes:
    """The message with one bit of a part changed."""
    assert message.count(part) == 1
    return message.replace(part, part[:-1] + bytes([part[-1] ^ 1]))


Wrong = Callable[[Sealer], bytes]
__all__ = ["NOW", "Sealer"]
