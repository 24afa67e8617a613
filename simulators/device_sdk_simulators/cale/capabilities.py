"""What a client says it decrypts, and what an answer for it uses within that (RFC 8551 section 2.5.2, RFC 4262)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from cryptography import x509
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.error import PyAsn1Error
from pyasn1_alt_modules import rfc4055, rfc4262, rfc5280, rfc5751

from device_sdk_simulators.cale.binary_http import BINARY_HTTP
from device_sdk_simulators.cale.ciphers import ContentCipher

EXTENSION = x509.ObjectIdentifier(str(rfc4262.smimeCapabilities))
MAX_BYTES = 4096

_RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
_RSAES_OAEP = "1.2.840.113549.1.1.7"
_CONTENTS = tuple(ContentCipher(size, aead) for aead in (True, False) for size in (32, 16))
_SHA1 = "1.3.14.3.2.26"
_HASHES = {
    _SHA1: "sha1",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_KDF = {
    "1.3.133.16.840.63.0.2": "sha1",
    "1.3.132.1.11.1": "sha256",
    "1.3.132.1.11.2": "sha384",
    "1.3.132.1.11.3": "sha512",
}
_WRAPS = {"2.16.840.1.101.3.4.1.5": 16, "2.16.840.1.101.3.4.1.25": 24, "2.16.840.1.101.3.4.1.45": 32}


@dataclass(frozen=True)
class RsaMethod:
    """Key transport: PKCS#1 v1.5, or OAEP with these hashes; SHA-1 is written by leaving it out."""

    oaep_hash: str | None = None
    mgf_hash: str | None = None


@dataclass(frozen=True)
class EcMethod:
    """Key agreement: ECDH with the X9.63 KDF and AES key wrap.

    Attributes:
        kdf_hash: "sha1", "sha256", "sha384" or "sha512".
        wrap_bytes: length of the wrapping key; None for that of the content key.
        cofactor: cofactorDH's name, which on these curves is the same computation.
        user_keying_material: goes into the KDF and the message.
        padded: AES key wrap with padding (RFC 5649), as packages of keys have it.
    """

    kdf_hash: str = "sha256"
    wrap_bytes: int | None = None
    cofactor: bool = False
    user_keying_material: bytes | None = None
    padded: bool = False


Method: TypeAlias = RsaMethod | EcMethod


@dataclass(frozen=True)
class Capabilities:
    """What a client decrypts of what this server can write, in the client's order."""

    contents: tuple[ContentCipher, ...]
    rsa: tuple[RsaMethod, ...]
    ec: tuple[EcMethod, ...]
    responses: bool = False
    """Whether it reads whole responses (`binary_http`)."""


def capabilities_in(extensions: x509.Extensions) -> Capabilities | None:
    """Those in a certificate, or in the extensions of a certification request; None if it has none.

    Raises:
        ValueError: they cannot be read.
    """
    value = extension_in(extensions)
    return None if value is None else read_capabilities(value.value)


def extension_in(extensions: x509.Extensions) -> x509.UnrecognizedExtension | None:
    """The extension itself, for the certificate that is made from a request."""
    try:
        value = extensions.get_extension_for_oid(EXTENSION).value
    except x509.ExtensionNotFound:
        return None
    return value if isinstance(value, x509.UnrecognizedExtension) else None


@lru_cache(maxsize=256)
def read_capabilities(encoded: bytes) -> Capabilities:
    """Read a SMIMECapabilities in DER; what this server does not know is passed over.

    Every request has to do so several times, and clients mostly say the same.

    Raises:
        ValueError: it cannot be read, or is longer than MAX_BYTES.
    """
    if len(encoded) > MAX_BYTES:
        raise ValueError("too many capabilities")
    try:
        listed, rest = decode(encoded, asn1Spec=rfc5751.SMIMECapabilities())
        found = tuple((str(one["capabilityID"]), _parameters(one)) for one in listed)
        methods = tuple(_methods(found))
    except PyAsn1Error as error:
        raise ValueError("not SMIMECapabilities") from error
    if rest:
        raise ValueError("not SMIMECapabilities")
    oids = {cipher.oid: cipher for cipher in _CONTENTS}
    return Capabilities(
        tuple(oids[name] for name, _ in found if name in oids),
        tuple(one for one in methods if isinstance(one, RsaMethod)),
        tuple(one for one in methods if isinstance(one, EcMethod)),
        any(name == BINARY_HTTP for name, _ in found),
    )


def takes_responses(certificate: x509.Certificate) -> bool:
    """Whether answers for this certificate are whole responses: its owner reads them, and the authorization server agreed.

    The certificate alone says it, to the server that answers as to the one that makes decoys, so that both do the same. Only
    in AES-GCM: what nothing authenticates can be made a response with another status by who has no key.

    Raises:
        ValueError: its capabilities cannot be read.
    """
    able = capabilities_in(certificate.extensions)
    return able is not None and able.responses and any(one.aead for one in able.contents)


def without_responses(extension: x509.UnrecognizedExtension) -> x509.UnrecognizedExtension:
    """The same capabilities, read already, less whole responses: what a server certifies that does not write them."""
    listed, _ = decode(extension.value, asn1Spec=rfc5751.SMIMECapabilities())
    kept = rfc5751.SMIMECapabilities()
    kept.extend(one for one in listed if str(one["capabilityID"]) != BINARY_HTTP)
    return x509.UnrecognizedExtension(extension.oid, bytes(encode(kept)))


def fit(cipher: ContentCipher, certificate: x509.Certificate) -> ContentCipher:
    """The cipher for an answer to this certificate: the one of the connection if the client reads it, else the nearest.

    Nearest is: authenticated before not, a key of the same length before another. Who takes whole responses gets nothing that
    is not authenticated.

    Raises:
        ValueError: the client reads none that this server writes.
    """
    able = capabilities_in(certificate.extensions)
    if able is None:
        return cipher
    if not able.contents:
        raise ValueError("the client reads no cipher that this server writes")
    takes = [one for one in able.contents if one.aead] if takes_responses(certificate) else able.contents
    if cipher in takes:
        return cipher
    return min(takes, key=lambda one: (not one.aead, one.key_bytes != cipher.key_bytes))


def method_for(certificate: x509.Certificate, cipher: ContentCipher, *, hardened: bool) -> Method:
    """How the content key is encrypted for this certificate's key.

    Without capabilities: PKCS#1 v1.5 as the draft's samples, OAEP with SHA-256 if hardened; ECDH with SHA-256 and a wrap as
    strong as the content key.

    Raises:
        ValueError: the client reads none that this server writes.
    """
    able = capabilities_in(certificate.extensions)
    if hasattr(certificate.public_key(), "curve"):
        usual = EcMethod("sha256", cipher.key_bytes)
        return usual if able is None else _chosen(able.ec, [usual])
    oaep, plain = RsaMethod("sha256", "sha256"), RsaMethod()
    if able is None:
        return oaep if hardened else plain
    if not hardened:
        return _chosen(able.rsa, [plain])
    return _chosen(tuple(one for one in able.rsa if one.oaep_hash) or able.rsa, [oaep])


def _chosen(able: tuple[Method, ...], preferred: Iterable[Method]) -> Method:
    if not able:
        raise ValueError("the client reads no encrypted key that this server writes")
    return next((one for one in preferred if one in able), able[0])


def _parameters(capability: Any) -> bytes:
    return bytes(capability["parameters"]) if capability["parameters"].isValue else b""


def _methods(found: Iterable[tuple[str, bytes]]) -> Iterator[Method]:
    for name, parameters in found:
        if name == _RSA_ENCRYPTION:
            yield RsaMethod()
        elif name == _RSAES_OAEP:
            method = _oaep(parameters)
            if method is not None:
                yield method
        elif name in _KDF and parameters:
            wrap = str(decode(parameters, asn1Spec=rfc5280.AlgorithmIdentifier())[0]["algorithm"])
            if wrap in _WRAPS:
                yield EcMethod(_KDF[name], _WRAPS[wrap])


def _oaep(parameters: bytes) -> RsaMethod | None:
    """RSAES-OAEP-params; what is left out is SHA-1 (RFC 4055 section 4.1)."""
    read, _ = decode(parameters or b"\x30\x00", asn1Spec=rfc4055.RSAES_OAEP_params())
    digest = masked = _SHA1
    if read["hashFunc"]["algorithm"].isValue:
        digest = str(read["hashFunc"]["algorithm"])
    if read["maskGenFunc"]["parameters"].isValue:
        mask, _ = decode(bytes(read["maskGenFunc"]["parameters"]), asn1Spec=rfc5280.AlgorithmIdentifier())
        masked = str(mask["algorithm"])
    return RsaMethod(_HASHES[digest], _HASHES[masked]) if digest in _HASHES and masked in _HASHES else None
