"""Who signs packages of keys, and to whom devices encrypt what they say of them (RFC 7191 section 3, RFC 7192)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap
from cryptography.hazmat.primitives.padding import PKCS7
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5280, rfc5652

from device_sdk_simulators.alone import alone
from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.ca.keys import load_key, pem, write_file, write_key
from device_sdk_simulators.cale.key_agreement import AES_WRAP, shared_info
from device_sdk_simulators.http.messages import HttpError
from device_sdk_simulators.packages.authority import LOCK, PackageAuthority
from device_sdk_simulators.unreadable import UNREADABLE

DIRECTORY = "keys-ca"
RETURNS = "returns.pem"
"""The file for devices: the certificate that encrypted receipts and errors are for."""

_STANDARD_ECDH_SHA256 = "1.3.132.1.11.1"
_AES_CBC = {"2.16.840.1.101.3.4.1.2": 16, "2.16.840.1.101.3.4.1.42": 32}
_MAX_RECIPIENTS = 8


def package_authority(state: Path, now: datetime) -> PackageAuthority:
    """The CA of those who sign packages of keys: one of its own, in `keys-ca`, that issues nothing to devices."""
    return PackageAuthority(state / DIRECTORY, "Reference Package CA", now)


def returns_authority(state: Path, now: datetime) -> Authority:
    """The key that opens encrypted returns and its certificate: `returns.key` and `returns.pem`, made at first use."""
    authority = package_authority(state, now)
    certificate, key = authority.directory / RETURNS, authority.directory / "returns.key"
    # commands may run at the same moment, and beside the server
    with alone(state / LOCK):
        if not certificate.exists():
            made = authority.signer("Reference Returns", now, decrypts=True)
            write_key(key, made.key)
            write_file(certificate, pem(made.certificate), 0o644)
    return Authority(x509.load_pem_x509_certificate(certificate.read_bytes()), load_key(key))


def opened(body: bytes, state: Path, now: datetime) -> bytes:
    """What is in an envelope for this server, as a ContentInfo; the body itself if it is none.

    Args:
        body: as it came.
        state: the server's state directory.
        now: the present.

    Raises:
        HttpError: 400 with one text, whatever does not open: nobody learns from it how far it got.
    """
    return opened_by(body, lambda: returns_authority(state, now))


def opened_by(body: bytes, own_of: Callable[[], Authority]) -> bytes:
    """The same for any key.

    Args:
        body: as it came.
        own_of: gives it and its certificate, where there is an envelope.

    Raises:
        HttpError: see `opened`.
    """
    try:
        info = decode(body, asn1Spec=rfc5652.ContentInfo())[0]
    except UNREADABLE:
        return body  # whoever reads signatures refuses it
    if info["contentType"] != rfc5652.id_envelopedData:
        return body
    own, content = own_of(), None
    with suppress(*UNREADABLE, InvalidUnwrap):
        content = _decrypted(bytes(info["content"]), own)
    if content is None:
        raise HttpError(400, "not an encrypted receipt or error for this server")
    signed = rfc5652.ContentInfo()
    signed["contentType"], signed["content"] = rfc5652.id_signedData, univ.Any(content)
    return bytes(encode(signed))


def _decrypted(encoded: bytes, own: Authority) -> bytes:
    """The SignedData; ValueError, and what pyasn1 raises, for what is not for us or not as it has to be."""
    data, rest = decode(encoded, asn1Spec=rfc5652.EnvelopedData())
    part = data["encryptedContentInfo"]
    algorithm = part["contentEncryptionAlgorithm"]
    # never key wrap, which is for keys (RFC 7192)
    size = _AES_CBC[str(algorithm["algorithm"])]
    if rest or part["contentType"] != rfc5652.id_signedData:
        raise ValueError("not one signed message")
    key = _content_key(data["recipientInfos"], own)
    if len(key) != size:
        raise ValueError("a key of another length")
    vector = bytes(decode(bytes(algorithm["parameters"]), asn1Spec=univ.OctetString())[0])
    decryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).decryptor()
    padded = decryptor.update(bytes(part["encryptedContent"])) + decryptor.finalize()
    unpadder = PKCS7(128).unpadder()
    return unpadder.update(padded) + unpadder.finalize()


def _content_key(infos: univ.SetOf, own: Authority) -> bytes:
    """By the first recipient that is this server's certificate."""
    for info in list(infos)[:_MAX_RECIPIENTS]:
        if info.getName() != "kari":
            continue
        agreement = info["kari"]
        for entry in agreement["recipientEncryptedKeys"]:
            name = entry["rid"]["issuerAndSerialNumber"]
            issuer = bytes(encode(name["issuer"]))
            if (issuer, int(name["serialNumber"])) == (
                own.certificate.issuer.public_bytes(),
                own.certificate.serial_number,
            ):
                return _unwrapped(agreement, bytes(entry["encryptedKey"]), own)
    raise ValueError("for somebody else")


def _unwrapped(agreement: univ.Sequence, wrapped: bytes, own: Authority) -> bytes:
    algorithm = agreement["keyEncryptionAlgorithm"]
    if str(algorithm["algorithm"]) != _STANDARD_ECDH_SHA256 or not isinstance(own.key, ec.EllipticCurvePrivateKey):
        raise ValueError("another way to agree on a key")
    wrap = str(decode(bytes(algorithm["parameters"]), asn1Spec=rfc5280.AlgorithmIdentifier())[0]["algorithm"])
    size = {dotted: length for length, dotted in AES_WRAP.items()}[wrap]
    point = agreement["originator"]["originatorKey"]["publicKey"].asOctets()
    shared = own.key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(own.key.curve, point))
    material = bytes(agreement["ukm"]) if agreement["ukm"].isValue else None
    return aes_key_unwrap(X963KDF(hashes.SHA256(), size, shared_info(wrap, size, material)).derive(shared), wrapped)
