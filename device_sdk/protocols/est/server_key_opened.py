"""The private key of a /serverkeygen answer, out of whatever it came in (RFC 7030 section 4.4.2, RFC 8295 section 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.errors import (
    EnvelopeError,
    KeyPackageRefusedError,
    Pkcs12PasswordError,
    ServerKeyError,
    VerificationError,
    WireError,
)
from device_sdk.model.http import ConnectionFacts
from device_sdk.model.keys import KeyType, PrivateKey
from device_sdk.model.pkcs12 import Pkcs12Policy
from device_sdk.protocols.est.ca_certificates import Ignored
from device_sdk.protocols.est.server_key_answer import ServerKeyAnswer
from device_sdk.protocols.est.server_key_request import DecryptionKey, ProtectionKey
from device_sdk.protocols.key_packages.layers import PackageRules, Trace, peel, unaddressed
from device_sdk.wire.cms import oids, open_envelope
from device_sdk.wire.cms.envelope import Keys
from device_sdk.wire.cms.signed_data import read_signed_data, verify_signed_data
from device_sdk.wire.key_packages.asymmetric import ASYMMETRIC_KEY_PACKAGE, read_asymmetric_key_package
from device_sdk.wire.key_packages.receipts import RECEIPT_REQUEST, ReceiptRequest, read_receipt_request
from device_sdk.wire.path import name_of
from device_sdk.wire.path_inputs import PathInputs
from device_sdk.wire.pkcs12 import read_pkcs12
from device_sdk.wire.private_key import read_private_key

# A ContentInfo goes by the name of data, a bare SignedData by its own; servers do either.
_IN_ENVELOPE = (oids.SIGNED_DATA, oids.DATA)

# id-kp-cmcCA, id-kp-cmcRA, id-kp-cmKGA (RFC 6402 section 2.10, RFC 9480)
_KEY_GENERATORS = {f"1.3.6.1.5.5.7.3.{last}" for last in (27, 28, 32)}

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

# what AES-128 is as strong as (NIST SP 800-57 part 1, table 2)
_EC_BITS_OF_AES_128, _RSA_BITS_OF_AES_128 = 256, 3072


@dataclass(frozen=True)
class Judgement:
    """What an answer is held against.

    Attributes:
        anchors: the Explicit trust anchors.
        intermediates: CA certificates from /cacerts.
        now: the present, with a time zone.
        url: the endpoint, for messages.
        lists: revocation lists that were checked.
        ignored: what of /cacerts is not used, for hints.
        same_names: see check_issued.
        packages: what the messages of RFC 8295 section 8.1 are held to; None takes none of them.
        pkcs12: the password of the PKCS#12 file that was asked for; None takes none.
        key_type: what was asked for in so many words (A-08); None takes what comes.
        known: certificates that the client had otherwise, where none came with the key (AMB-02).
    """

    anchors: Sequence[x509.Certificate]
    intermediates: Sequence[x509.Certificate]
    now: datetime
    url: str
    lists: Sequence[x509.CertificateRevocationList] = ()
    ignored: Sequence[Ignored] = ()
    same_names: bool = False
    packages: PackageRules | None = None
    pkcs12: Pkcs12Policy | None = None
    key_type: KeyType | None = None
    known: Sequence[x509.Certificate] = ()


@dataclass(frozen=True)
class OpenedKey:
    """The key, and what came inside with it.

    Attributes:
        key: its halves fit each other.
        certificates: those beside it; not checked.
        requests: receipts that the package asks for.
        signers: certificates of those who signed the package, outermost first.
    """

    key: PrivateKey = field(repr=False)
    certificates: tuple[x509.Certificate, ...] = ()
    requests: tuple[ReceiptRequest, ...] = ()
    signers: tuple[x509.Certificate, ...] = ()


def open_key(
    answer: ServerKeyAnswer, protection: ProtectionKey | None, judgement: Judgement, trace: Trace | None = None
) -> OpenedKey:
    """Take the key out, if it came as it was asked for.

    Args:
        answer: as it was read.
        protection: the key the request named, or None.
        judgement: what the answer is held against.
        trace: filled on the way where it is a message of RFC 8295 section 8.1.

    Raises:
        ServerKeyError, EnvelopeError, VerificationError, KeyPackageUntrustedError, KeyPackageRefusedError,
            Pkcs12PasswordError, KeyStoreError: see check_server_key.
    """
    _require_form(answer, protection, judgement)
    try:
        if answer.clear is not None:
            key = read_private_key(answer.clear)
            _require_strength(key, answer.connection, judgement)
            return OpenedKey(key)
        if answer.pkcs12 is not None and judgement.pkcs12 is not None:
            found = read_pkcs12(answer.pkcs12, judgement.pkcs12)
            return OpenedKey(found.key, found.certificates)
        if answer.packaged is not None and judgement.packages is not None:
            return _from_package(answer.packaged, protection, judgement.packages, trace)
        return _from_envelope(answer, protection, judgement)
    except (VerificationError, Pkcs12PasswordError, KeyPackageRefusedError) as error:
        raise error.at(judgement.url)  # noqa: B904  # the same error
    except WireError as error:
        raise _mapped(error, protection, judgement) from error


def _mapped(error: WireError, protection: ProtectionKey | None, judgement: Judgement) -> Exception:
    at = f"{judgement.url}: "
    if isinstance(error, EnvelopeError):  # one text for every reason
        return EnvelopeError(
            f"{at}the server's private key cannot be opened with {_shown(protection)}: {error.message}",
            hint="make sure that the server encrypts to this very key or secret, then ask again: the key made now is lost",
        )
    if error.code != WireError.code:
        return error
    return ServerKeyError(f"{at}{error.message}", hint=error.hint, url=judgement.url)


def _require_form(answer: ServerKeyAnswer, protection: ProtectionKey | None, judgement: Judgement) -> None:
    problem, hint = _problem_of_form(answer, protection, judgement)
    if problem:
        raise ServerKeyError(f"{judgement.url}: {problem}", hint=hint, url=judgement.url)


def _problem_of_form(
    answer: ServerKeyAnswer, protection: ProtectionKey | None, judgement: Judgement
) -> tuple[str | None, str | None]:
    """Why the key must not come in this, and what to do; a stranger could have changed the request (EST-197)."""
    if answer.pkcs12 is not None and judgement.pkcs12 is None:
        return "the private key came as PKCS#12, and nobody asked for that", None
    if answer.pkcs12 is None and judgement.pkcs12 is not None:
        return "the private key came otherwise, and PKCS#12 is what was asked for", None
    if answer.clear is not None and protection is not None:
        return "the private key came in the clear, and an encrypted one was asked for", None
    if answer.packaged is not None and judgement.packages is None:
        return (
            "the private key came as a package of RFC 8295, and nothing says who may sign those",
            "say it (--package-anchors); the anchors of the server do not count for this",
        )
    if (answer.enveloped is not None or answer.packaged is not None) and protection is None:
        return "the private key is encrypted, and no key was named to do so", None
    return None, None


def _from_package(
    message: bytes, protection: ProtectionKey | None, rules: PackageRules, trace: Trace | None
) -> OpenedKey:
    """The nestings of RFC 8295 section 8.1 (A-02); certificates inside count where there are none beside (AMB-02)."""
    peeled = peel(message, rules, _opener(protection), trace=trace)
    if peeled.needs_binding(rules):
        raise unaddressed("the package with the private key")
    found = read_asymmetric_key_package(peeled.content)
    signed = (one for layer in peeled.layers for one in layer.certificates)
    return OpenedKey(found.key, (*found.certificates, *signed), peeled.requests, peeled.signers)


def _opener(protection: ProtectionKey | None) -> Keys:
    if isinstance(protection, DecryptionKey):
        return protection.key
    return protection or ()


def _shown(protection: ProtectionKey | None) -> str:
    if isinstance(protection, DecryptionKey):
        return (
            f"the key of the certificate {name_of(protection.certificate)} (identifier {protection.identifier.hex()})"
        )
    return f"the shared secret {protection.identifier.hex()}" if protection else "no key"


def _from_envelope(answer: ServerKeyAnswer, protection: ProtectionKey | None, judgement: Judgement) -> OpenedKey:
    """EnvelopedData, in it SignedData, in it the AsymmetricKeyPackage (RFC 7030 section 4.4.2)."""
    inner = open_envelope(answer.enveloped or b"", _opener(protection), content_types=_IN_ENVELOPE)
    signed = read_signed_data(inner)
    verify_signed_data(
        signed,
        content_type=ASYMMETRIC_KEY_PACKAGE,
        anchors=judgement.anchors,
        intermediates=judgement.intermediates,
        now=judgement.now,
        may_sign=lambda signer: _not_a_key_generator(signer, answer.connection.server_certificate),
        inputs=PathInputs(lists=tuple(judgement.lists)),
    )
    found = read_asymmetric_key_package(signed.content)
    # of several signers only one was found to be good, and nobody says which
    asked = signed.signers[0].attributes.get(RECEIPT_REQUEST) if len(signed.signers) == 1 else None
    requests = (read_receipt_request(asked),) if asked is not None else ()
    return OpenedKey(found.key, found.certificates, requests)


def _not_a_key_generator(signer: x509.Certificate, server: bytes | None) -> str | None:
    """A device of the same CA is no key generator, whatever server it may be elsewhere.

    Who may sign: a certificate made for that, a CA, and the very server this connection leads to.
    """
    if signer.public_bytes(Encoding.DER) == server:
        return None
    usages, basics = _extension(signer, x509.ExtendedKeyUsage), _extension(signer, x509.BasicConstraints)
    if any(usage.dotted_string in _KEY_GENERATORS for usage in usages or ()) or (basics and basics.ca):
        return None
    return (
        "its certificate is neither that of this server nor a CA's, nor one for key generation or registration "
        "(extended key usage id-kp-cmKGA, id-kp-cmcRA or id-kp-cmcCA)"
    )


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _require_strength(key: PrivateKey, connection: ConnectionFacts, judgement: Judgement) -> None:
    """RFC 7030 section 4.4: confidentiality commensurate with the private key being delivered."""
    weak_cipher = "128" in connection.cipher or "CCM" in connection.cipher
    is_rsa = isinstance(key, rsa.RSAPrivateKey)
    if weak_cipher and key.key_size > (_RSA_BITS_OF_AES_128 if is_rsa else _EC_BITS_OF_AES_128):
        raise ServerKeyError(
            f"{judgement.url}: {'an RSA' if is_rsa else 'an elliptic curve'} key of {key.key_size} bits came in the clear "
            f"over {connection.cipher}, which is weaker than the key",
            hint="have the key encrypted, or ask for ec-p256",
            url=judgement.url,
        )
