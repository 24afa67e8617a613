"""What certificates have to do with each other: names, keys and signatures, each worked out once and bounded."""

from __future__ import annotations

from collections.abc import Hashable

from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.wire.same_name import canonical_name

MAX_SIGNATURES = 600
MAX_STEPS = 5000
_MAX_RSA_BITS = 8192
_MAX_RSA_EXPONENT_BITS = 32
_HASHES = ("sha224", "sha256", "sha384", "sha512", "sha3-224", "sha3-256", "sha3-384", "sha3-512")


class Relations:
    """The relations of the certificates of one answer.

    Whoever writes the answer chooses how long this takes: a hundred certificates of one name have ten thousand pairs, and
    the cost of a signature grows with the cube of the key. So results are kept, keys that cost too much are not used, and
    when the budget is spent, what was not looked at counts as unrelated.

    Attributes:
        exhausted: the budget was spent; something was refused that might have been good.
    """

    def __init__(self, signatures: int = MAX_SIGNATURES, steps: int = MAX_STEPS) -> None:
        self.exhausted = False
        self._signatures = signatures
        self._steps = steps
        self._issued: dict[tuple[int, int], bool] = {}
        self._numbers: dict[x509.Name, int] = {}
        self._canonical: dict[Hashable, int] = {}
        # By identity, since hashing a certificate can cost as much as a signature; `_kept` keeps the identities theirs.
        self._names: dict[int, tuple[int, int]] = {}
        self._keys: dict[int, tuple[bytes, str | None]] = {}
        self._kept: list[x509.Certificate] = []

    def step(self) -> bool:
        """Whether a search may go on to one more certificate."""
        self._steps -= 1
        if self._steps < 0:
            self.exhausted = True
        return self._steps >= 0

    def subject(self, certificate: x509.Certificate) -> int:
        """A number for the subject, the same for equal names: comparing long names costs more than a signature."""
        return self._names_of(certificate)[0]

    def issuer(self, certificate: x509.Certificate) -> int:
        """The number of the issuer's name."""
        return self._names_of(certificate)[1]

    def same_key(self, one: x509.Certificate, other: x509.Certificate) -> bool:
        """Whether two certificates are for the same SubjectPublicKeyInfo; false for keys that cannot be read."""
        key = self._key_of(one)[0]
        return key != b"" and key == self._key_of(other)[0]

    def key_problem(self, certificate: x509.Certificate) -> str | None:
        """Why a certificate's key verifies no signatures here; None if it does."""
        return self._key_of(certificate)[1]

    def issued_by(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        """The issuer's name is the one named and its key made the signature; says nothing about CA flags or validity."""
        if self.issuer(certificate) != self.subject(issuer) or self.key_problem(issuer):
            return False
        pair = id(certificate), id(issuer)
        if pair not in self._issued:
            if self._signatures <= 0:
                self.exhausted = True
                return False
            self._signatures -= 1
            self._issued[pair] = _verifies(certificate, issuer)
        return self._issued[pair]

    def _names_of(self, certificate: x509.Certificate) -> tuple[int, int]:
        found = self._names.get(id(certificate))
        if found is None:
            found = self._number(certificate.subject), self._number(certificate.issuer)
            self._names[id(certificate)] = found
            self._kept.append(certificate)
        return found

    def _number(self, name: x509.Name) -> int:
        found = self._numbers.get(name)
        if found is None:
            found = self._canonical.setdefault(canonical_name(name), len(self._canonical))
            self._numbers[name] = found
        return found

    def _key_of(self, certificate: x509.Certificate) -> tuple[bytes, str | None]:
        found = self._keys.get(id(certificate))
        if found is None:
            found = self._keys[id(certificate)] = _read_key(certificate)
            self._kept.append(certificate)
        return found


def _verifies(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the issuer's key made the signature; their names were compared before."""
    try:
        if certificate.issuer.public_bytes() == issuer.subject.public_bytes():
            certificate.verify_directly_issued_by(issuer)
        else:
            _verify_by_key(certificate, issuer.public_key())
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _verify_by_key(certificate: x509.Certificate, key: CertificatePublicKeyTypes) -> None:
    """What cryptography does for names that are equal octet by octet, for those that are written differently."""
    whole = asn1.Certificate.load(certificate.public_bytes(Encoding.DER))
    if whole["tbs_certificate"]["signature"].dump() != whole["signature_algorithm"].dump():
        raise ValueError("the signed algorithm is another one")
    algorithm, parameters = certificate.signature_hash_algorithm, certificate.signature_algorithm_parameters
    signature, signed = certificate.signature, certificate.tbs_certificate_bytes
    if algorithm is not None and algorithm.name not in _HASHES:
        raise ValueError("a hash that can be forged")
    if isinstance(key, rsa.RSAPublicKey) and isinstance(parameters, padding.PKCS1v15 | padding.PSS) and algorithm:
        key.verify(signature, signed, parameters, algorithm)
    elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(parameters, ec.ECDSA):
        key.verify(signature, signed, parameters)
    elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) and parameters is None:
        key.verify(signature, signed)
    else:
        raise ValueError("an algorithm that is not the key's")


def _read_key(certificate: x509.Certificate) -> tuple[bytes, str | None]:
    """DER SubjectPublicKeyInfo, and why it is not used for verifying."""
    try:
        key = certificate.public_key()
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return b"", "a key of an unknown kind"
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size > _MAX_RSA_BITS:
            return der, f"an RSA key of {key.key_size} bits; at most {_MAX_RSA_BITS} are used"
        if key.public_numbers().e.bit_length() > _MAX_RSA_EXPONENT_BITS:
            return der, f"an RSA key with an exponent of more than {_MAX_RSA_EXPONENT_BITS} bits"
        return der, None
    usable = isinstance(key, (ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey, ed448.Ed448PublicKey))
    return der, None if usable else "a key of a kind that is not used for certificates here"
