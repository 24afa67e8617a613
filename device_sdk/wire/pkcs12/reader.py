"""A PKCS#12 file: its MAC is checked before anything in it is read, and every bound before what it bounds (B-05)."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field

from cryptography import x509

from device_sdk.errors import Pkcs12PasswordError, WireError
from device_sdk.model.keys import PrivateKey
from device_sdk.model.pkcs12 import Pkcs12Policy
from device_sdk.wire.certs_only import usable_certificates
from device_sdk.wire.cms import oids
from device_sdk.wire.cms.definite import make_definite
from device_sdk.wire.cms.reader import INTEGER, SEQUENCE, SET, Reader
from device_sdk.wire.pkcs12.derivation import FOR_MAC, HMACS, CostlyError, Derivations, LegacyError
from device_sdk.wire.pkcs12.encryption import decrypt
from device_sdk.wire.private_key import read_private_key

MAX_BYTES = 256 * 1024
MAX_BAGS = 64

_WHAT = "PKCS#12"
_EXPLICIT_0, _IMPLICIT_0 = 0xA0, 0x80
_PBMAC1 = "1.2.840.113549.1.5.14"
_HASHES = {
    oids.SHA1: "sha1",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_BAG = "1.2.840.113549.1.12.10.1."
_KEY, _SHROUDED_KEY, _CERTIFICATE, _CRL, _SECRET, _NESTED = (f"{_BAG}{last}" for last in range(1, 7))
_X509 = "1.2.840.113549.1.9.22.1"
_MAX_NESTED = 3


@dataclass(frozen=True)
class KeyAndCertificates:
    """What was in it.

    Attributes:
        key: the only one.
        certificates: all, in the file's order; which is the key's is not looked at.
    """

    key: PrivateKey = field(repr=False)
    certificates: tuple[x509.Certificate, ...] = ()


def read_pkcs12(encoded: bytes, policy: Pkcs12Policy) -> KeyAndCertificates:
    """Open a file of one private key.

    Args:
        encoded: DER or BER of a PFX.
        policy: the password, and what is taken.

    Raises:
        Pkcs12PasswordError: the MAC is not that of this password: another password, or a file that was altered.
        WireError: not such a file, no MAC, algorithms or iterations that are not taken, a key that is not encrypted, none or
            several. The message says nothing of a key.
    """
    problem, hint = "", None
    try:
        return _read(encoded, policy)
    except LegacyError as error:
        problem = f"{error}, which is not taken"
        hint = "ask the server's operator for AES and SHA-256, or allow older algorithms (SHA-1 and 3DES; RC2 never)"
    except CostlyError as error:
        problem = str(error)
    except ValueError as error:
        # a decoder's error may hold what it read
        problem = "a text that is none" if isinstance(error, UnicodeError) else str(error)
    raise WireError(f"not a PKCS#12 file that can be used: {problem}", hint=hint, what=_WHAT)


def _read(encoded: bytes, policy: Pkcs12Policy) -> KeyAndCertificates:
    if len(encoded) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    outer = Reader(make_definite(encoded))
    file = outer.enter()
    outer.finish()
    if file.integer() != 3:
        raise ValueError("another version than 3")
    content = _data(file.enter())
    derivations = Derivations(policy)
    if file.next_tag is None:
        raise ValueError("it has no MAC, so that anybody may have altered it")
    _require_mac(file.enter(), content, derivations)
    file.finish()
    found = Bags(derivations)
    found.take_safes(content)
    if len(found.keys) != 1:
        raise ValueError(f"{len(found.keys)} private keys in it, where there is to be one")
    return KeyAndCertificates(found.keys[0], tuple(usable_certificates(found.certificates)))


def _data(info: Reader) -> bytes:
    """The content of a ContentInfo of type data."""
    if info.oid() != oids.DATA:
        raise ValueError("it is not protected by a password")
    inside = info.enter(_EXPLICIT_0)
    info.finish()
    return inside.octets()


def _require_mac(mac_data: Reader, content: bytes, derivations: Derivations) -> None:
    """RFC 7292 section 4, RFC 9579: what the password makes of the content is the MAC that is there."""
    digest_info, salt = mac_data.enter(), mac_data.octets()
    iterations = mac_data.integer() if mac_data.next_tag == INTEGER else 1
    mac_data.finish()
    algorithm, expected = digest_info.enter(), digest_info.octets()
    digest_info.finish()
    name = algorithm.oid()
    if name == _PBMAC1:
        found = _pbmac1(algorithm.enter(), content, derivations)
    elif name in _HASHES:
        hash_name = derivations.require(_HASHES[name])
        size = hmac.new(b"", b"", hash_name).digest_size
        found = hmac.digest(derivations.pkcs12(hash_name, salt, iterations, FOR_MAC, size), content, hash_name)
    else:
        raise ValueError("a MAC of an unknown kind")
    if not hmac.compare_digest(found, expected):
        raise Pkcs12PasswordError("the PKCS#12 file does not open: it has another password, or was altered")


def _pbmac1(parameters: Reader, content: bytes, derivations: Derivations) -> bytes:
    derivation, scheme = parameters.enter(), parameters.enter()
    parameters.finish()
    hash_name = HMACS.get(scheme.oid())
    if not hash_name:
        raise ValueError("a MAC of an unknown kind")
    derivations.require(hash_name)
    return hmac.digest(derivations.pbkdf2(derivation, None), content, hash_name)


class Bags:
    """What comes out of the bags, which the MAC covers.

    Args:
        derivations: makes the keys of what is encrypted.

    Attributes:
        keys: private keys.
        certificates: DER of certificates.
    """

    def __init__(self, derivations: Derivations) -> None:
        self._derivations = derivations
        self._bags = 0
        self.keys: list[PrivateKey] = []
        self.certificates: list[bytes] = []

    def take_safes(self, content: bytes) -> None:
        """Read an AuthenticatedSafe; ValueError or WireError for what is none, or not taken."""
        for info in _members(content):
            kind, inside = info.oid(), info.enter(_EXPLICIT_0)
            info.finish()
            if kind == oids.DATA:
                self._take_bags(inside.octets(), encrypted=False)
            elif kind == oids.ENCRYPTED_DATA:
                self._take_bags(self._decrypted(inside.enter()), encrypted=True)
            else:
                raise ValueError("something in it is not protected by a password")

    def _decrypted(self, data: Reader) -> bytes:
        data.integer()
        part = data.enter()
        if part.oid() != oids.DATA:
            raise ValueError("encrypted content of another type")
        algorithm = part.enter()
        return decrypt(algorithm, part.octets(_IMPLICIT_0), self._derivations)

    def _take_bags(self, content: bytes, *, encrypted: bool, depth: int = 0) -> None:
        """A SafeContents."""
        if depth > _MAX_NESTED:
            raise ValueError("nested too deeply")
        for bag in _members(content):
            self._bags += 1
            if self._bags > MAX_BAGS:
                raise ValueError(f"more than {MAX_BAGS} bags")
            kind, inside = bag.oid(), bag.enter(_EXPLICIT_0)
            bag.skip(SET)
            bag.finish()
            if kind == _NESTED:
                self._take_bags(inside.element(SEQUENCE), encrypted=encrypted, depth=depth + 1)
            else:
                self._take(kind, inside, encrypted=encrypted)

    def _take(self, kind: str, inside: Reader, *, encrypted: bool) -> None:
        if kind == _KEY:
            if not encrypted:
                raise ValueError("the private key in it is not encrypted")
            self._add_key(inside.element(SEQUENCE))
        elif kind == _SHROUDED_KEY:
            shrouded = inside.enter()
            algorithm = shrouded.enter()
            self._add_key(decrypt(algorithm, shrouded.octets(), self._derivations))
        elif kind == _CERTIFICATE:
            certificate = inside.enter()
            if certificate.oid() == _X509:
                self.certificates.append(certificate.enter(_EXPLICIT_0).octets())
        elif kind not in (_CRL, _SECRET):
            raise ValueError("a bag of an unknown kind")

    def _add_key(self, encoded: bytes) -> None:
        if self.keys:
            raise ValueError("several private keys in it, where there is to be one")
        self.keys.append(read_private_key(encoded))


def _members(content: bytes) -> Iterator[Reader]:
    """The members of a SEQUENCE OF SEQUENCE that was octets until now."""
    outer = Reader(make_definite(content))
    listed = outer.enter()
    outer.finish()
    while listed.next_tag is not None:
        yield listed.enter()
