"""Answers for those who may not have one: made like real ones, opened by nobody (CALE-24, CALE-35 to CALE-38)."""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
import secrets
import threading
from collections import deque
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5083, rfc5652

from device_sdk_simulators.ca.hierarchy import Authority, make_authority
from device_sdk_simulators.ca.keys import new_key
from device_sdk_simulators.cale.certificates import AUTHORITY_NAME, Owner, make_certificate, new_serial
from device_sdk_simulators.cale.ciphers import ContentCipher
from device_sdk_simulators.cale.envelope import seal

_REMEMBERED = 16
_POINT_CURVES: dict[int, ec.EllipticCurve] = {65: ec.SECP256R1(), 97: ec.SECP384R1(), 133: ec.SECP521R1()}


class Decoys:
    """Makes decoys from the shapes of real answers seen on the same path, with every random part random anew.

    The same stranger on the same path meets the same shape each time, because that is what a real client meets.
    """

    def __init__(self) -> None:
        self._secret = os.urandom(32)
        self._shapes: dict[str, deque[tuple[bytes, float]]] = {}
        self._lock = threading.Lock()

    def learn(self, path: str, message: bytes, seconds: float) -> None:
        """Remember the shape of a real answer and how long it took."""
        with self._lock:
            self._shapes.setdefault(path, deque(maxlen=_REMEMBERED)).append((message, seconds))

    def make(self, path: str, guid: str, cipher: ContentCipher) -> tuple[bytes, float]:
        """A message, and how many seconds a real one would have taken to make."""
        with self._lock:
            shapes = list(self._shapes.get(path, ()))
        fitting = [shape for shape in shapes if _is_authenticated(shape[0]) == cipher.aead]
        mark = hmac.digest(self._secret, f"{guid}\0{path}".encode(), "sha256")
        if not fitting:
            return _randomized(_first_shape(cipher), mark), 0.0
        message, seconds = fitting[int.from_bytes(mark[:8]) % len(fitting)]
        return _randomized(message, mark), seconds


def _is_authenticated(message: bytes) -> bool:
    content_type = decode(message, asn1Spec=rfc5652.ContentInfo())[0]["contentType"]
    return bool(content_type == rfc5083.id_ct_authEnvelopedData)


@functools.cache
def _first_shape(cipher: ContentCipher) -> bytes:
    """What an answer looks like before any was seen."""
    now = datetime.now(UTC)
    issuer: Authority = make_authority(AUTHORITY_NAME, new_key("ec-p256"), now)
    stranger = rsa.generate_private_key(65537, 2048).public_key()
    return seal(b'{"foo": "bar"}\n', make_certificate(issuer, Owner("nobody"), stranger, now, now), cipher)


def _randomized(message: bytes, mark: bytes) -> bytes:
    content_info = decode(message, asn1Spec=rfc5652.ContentInfo())[0]
    authenticated = content_info["contentType"] == rfc5083.id_ct_authEnvelopedData
    specification = rfc5083.AuthEnvelopedData() if authenticated else rfc5652.EnvelopedData()
    content = decode(content_info["content"], asn1Spec=specification)[0]
    info = content["recipientInfos"][0]
    if info.getName() == "ktri":
        _randomize_transport(info["ktri"], mark)
    else:
        _randomize_agreement(info["kari"])
    part = content["authEncryptedContentInfo" if authenticated else "encryptedContentInfo"]
    parameters = bytes(part["contentEncryptionAlgorithm"]["parameters"])
    # IV and nonce end the parameters of CBC; in those of GCM the length of the tag follows
    tail = parameters[-3:] if authenticated else b""
    start = len(parameters) - len(tail) - (12 if authenticated else 16)
    fresh = parameters[:start] + os.urandom(12 if authenticated else 16) + tail
    part["contentEncryptionAlgorithm"]["parameters"] = fresh
    part["encryptedContent"] = os.urandom(len(bytes(part["encryptedContent"])))
    if authenticated:
        content["mac"] = os.urandom(16)
    content_info["content"] = encode(content)
    return bytes(encode(content_info))


def _randomize_transport(transport: Any, mark: bytes) -> None:
    size = len(bytes(transport["encryptedKey"]))
    # a modulus of its own for each stranger: real ciphertexts of one client are all below one modulus
    modulus = int.from_bytes(hashlib.shake_256(mark).digest(size)) | 1 << (8 * size - 1)
    transport["encryptedKey"] = secrets.randbelow(modulus).to_bytes(size, "big")
    _randomize_identifier(transport["rid"])


def _randomize_identifier(identifier: Any) -> None:
    if identifier.getName() == "issuerAndSerialNumber":
        identifier["issuerAndSerialNumber"]["serialNumber"] = new_serial()
    elif identifier.getName() == "rKeyId":
        identifier["rKeyId"]["subjectKeyIdentifier"] = os.urandom(20)
    else:
        identifier["subjectKeyIdentifier"] = os.urandom(20)


def _randomize_agreement(agreement: Any) -> None:
    old = agreement["originator"]["originatorKey"]["publicKey"].asOctets()
    ephemeral = ec.generate_private_key(_POINT_CURVES[len(old)])
    point = ephemeral.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    agreement["originator"]["originatorKey"]["publicKey"] = univ.BitString.fromOctetString(point)
    for entry in agreement["recipientEncryptedKeys"]:
        entry["encryptedKey"] = os.urandom(len(bytes(entry["encryptedKey"])))
        _randomize_identifier(entry["rid"])
