"""KeyAgreeRecipientInfo: content keys wrapped with an ephemeral-static ECDH key (RFC 5652 section 6.2.2, RFC 5753)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from device_sdk.errors import MechanismUnsupportedError
from device_sdk.model.wiping import passing
from device_sdk.wire.cms import oids
from device_sdk.wire.cms.definite import encode_element
from device_sdk.wire.cms.reader import BIT_STRING, OCTET_STRING, SEQUENCE, Reader
from device_sdk.wire.cms.wrapping import KeyWrap, read_key_wrap

_ORIGINATOR = 0xA0
_ORIGINATOR_KEY = 0xA1
_UKM = 0xA1
_ENTITY_U_INFO, _SUPP_PUB_INFO = 0xA0, 0xA2
_KEPT_BYTES = 64
"""Of an algorithm at most that is kept: what writers have is half as long."""


@dataclass(frozen=True)
class KeyAgreement:
    """Content keys wrapped for recipients on one curve.

    Attributes:
        originator: the ephemeral public point, SEC 1 encoding.
        kdf_hash: hash of the X9.63 KDF.
        wrap: how the key-encryption key wraps, and its length.
        shared_info: DER of ECC-CMS-SharedInfo.
        encrypted_keys: the wrapped content keys, one a recipient.
    """

    originator: bytes
    kdf_hash: hashes.HashAlgorithm
    wrap: KeyWrap
    shared_info: bytes
    encrypted_keys: tuple[bytes, ...] = field(repr=False)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The names of what it uses, as policies have them."""
        return f"ecdh-{self.kdf_hash.name}", self.wrap.name

    def peer(self, curve: ec.EllipticCurve) -> ec.EllipticCurvePublicKey | None:
        """The originator's key if its point is on this curve; no other may ever reach a private key."""
        try:
            return ec.EllipticCurvePublicKey.from_encoded_point(curve, self.originator)
        except ValueError:
            return None

    def unwrap(self, key: ec.EllipticCurvePrivateKey, peer: ec.EllipticCurvePublicKey, key_bytes: int) -> bytes | None:
        """The first content key of that length which this key opens, or None. One operation of the private key.

        AES key wrap is authenticated (RFC 3394 section 2.2.3): nobody without the shared secret makes one that opens.

        Args:
            key: ours.
            peer: from `peer`, for its curve.
            key_bytes: what the cipher of the content needs.

        Raises:
            KeyStoreError: the key could not be used.
        """
        try:
            shared = passing(key.exchange(ec.ECDH(), peer))
        except (ValueError, MechanismUnsupportedError):
            return None
        wrap_key = passing(wrapping_key(self.kdf_hash, self.wrap, self.shared_info, shared))
        found = [self.wrap.unwrap(wrap_key, wrapped) for wrapped in self.encrypted_keys]
        return next((one for one in found if one is not None and len(one) == key_bytes), None)


def read_key_agreement(info: Reader) -> KeyAgreement | None:
    """Read a KeyAgreeRecipientInfo; None for algorithms that are not supported, static-static among them.

    Args:
        info: inside its [1].

    Raises:
        ValueError: it cannot be read.
    """
    info.integer()
    originator = info.enter(_ORIGINATOR)
    ukm = info.enter(_UKM).octets() if info.next_tag == _UKM else None
    encoded = info.element(SEQUENCE)
    members = info.enter()
    info.finish()
    scheme = (_read_scheme if len(encoded) <= _KEPT_BYTES else _read_scheme.__wrapped__)(encoded)
    if scheme is None or originator.next_tag != _ORIGINATOR_KEY:
        return None
    return KeyAgreement(
        originator=_read_point(originator.enter(_ORIGINATOR_KEY)),
        kdf_hash=scheme.kdf_hash,
        wrap=scheme.wrap,
        shared_info=scheme.info if ukm is None else shared_info(scheme.key_info, ukm, scheme.wrap.key_bytes),
        encrypted_keys=_read_encrypted_keys(members),
    )


@dataclass(frozen=True)
class _Scheme:
    """What a KeyEncryptionAlgorithmIdentifier says.

    Attributes:
        kdf_hash: hash of the X9.63 KDF.
        wrap: how the key-encryption key wraps.
        key_info: DER of the wrap algorithm.
        info: DER of ECC-CMS-SharedInfo without ukm.
    """

    kdf_hash: hashes.HashAlgorithm
    wrap: KeyWrap
    key_info: bytes
    info: bytes


@lru_cache(maxsize=32)
def _read_scheme(encoded: bytes) -> _Scheme | None:
    """Read one; None for algorithms that are not supported. A server writes the same one in all its messages."""
    algorithm = Reader(encoded).enter()
    kdf_hash = oids.ECDH_KDF.get(algorithm.oid())
    if kdf_hash is None:
        return None
    key_info = algorithm.element(SEQUENCE)
    wrap = read_key_wrap(Reader(key_info).enter())
    return _Scheme(kdf_hash(), wrap, key_info, shared_info(key_info, None, wrap.key_bytes)) if wrap else None


def _read_point(public_key: Reader) -> bytes:
    """OriginatorPublicKey; the curve is that of the recipient's key, whatever the algorithm parameters say."""
    public_key.contents(SEQUENCE)
    bits = public_key.contents(BIT_STRING)
    if bits[:1] != b"\0":
        raise ValueError("a point is whole octets")
    return bits[1:]


def _read_encrypted_keys(members: Reader) -> tuple[bytes, ...]:
    found: list[bytes] = []
    while members.next_tag is not None:
        member = members.enter()
        member.contents()  # who it is for is not looked at
        found.append(member.octets())
    return tuple(found)


def wrapping_key(kdf_hash: hashes.HashAlgorithm, wrap: KeyWrap, info: bytes, shared: bytes) -> bytes:
    """The key that wraps content keys, by the X9.63 KDF (RFC 5753 section 7.1.4).

    Args:
        kdf_hash: its hash.
        wrap: what the key is for.
        info: from `shared_info`.
        shared: what ECDH came to.
    """
    return X963KDF(kdf_hash, wrap.key_bytes, info).derive(shared)


def shared_info(key_info: bytes, ukm: bytes | None, wrap_key_bytes: int) -> bytes:
    """DER of ECC-CMS-SharedInfo (RFC 5753 section 7.2): the wrap algorithm as the message has it, ukm, length in bits.

    Args:
        key_info: DER of the wrap algorithm.
        ukm: of the message, or None.
        wrap_key_bytes: length of the key that wraps.
    """
    entity = encode_element(_ENTITY_U_INFO, encode_element(OCTET_STRING, ukm)) if ukm is not None else b""
    length = encode_element(OCTET_STRING, (wrap_key_bytes * 8).to_bytes(4, "big"))
    return encode_element(SEQUENCE, key_info + entity + encode_element(_SUPP_PUB_INFO, length))
