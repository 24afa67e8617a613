"""/serverkeygen: what is asked for, and what of the answer is believed (RFC 7030 section 4.4, EST-190 to EST-203)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.errors import ClockError, EnvelopeError, ServerKeyError, VerificationError, WireError
from device_sdk.model.http import BodyBuilder, ConnectionFacts, HttpRequest
from device_sdk.model.keys import PrivateKey
from device_sdk.model.secret import Secret
from device_sdk.model.shared_key import SharedKey
from device_sdk.protocols.est.issued import check_issued
from device_sdk.protocols.est.media import PKCS10
from device_sdk.protocols.est.server_key_answer import ServerKeyAnswer
from device_sdk.protocols.est.server_key_request import DecryptionKey, ProtectionKey
from device_sdk.protocols.est.urls import EstEndpoint, Operation
from device_sdk.wire.cms import oids, open_envelope
from device_sdk.wire.cms.signed_data import read_signed_data, verify_signed_data
from device_sdk.wire.path import name_of
from device_sdk.wire.private_key import KEY_PACKAGE, pkcs8_of, read_key_package, read_private_key

# A ContentInfo goes by the name of data, a bare SignedData by its own; servers do either.
_IN_ENVELOPE = (oids.SIGNED_DATA, oids.DATA)

# id-kp-cmcCA, id-kp-cmcRA, id-kp-cmKGA (RFC 6402 section 2.10, RFC 9480)
_KEY_GENERATORS = {f"1.3.6.1.5.5.7.3.{last}" for last in (27, 28, 32)}

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

# what AES-128 is as strong as (NIST SP 800-57 part 1, table 2)
_EC_BITS_OF_AES_128, _RSA_BITS_OF_AES_128 = 256, 3072


@dataclass(frozen=True)
class ServerKey:
    """A key that the server generated, and its certificate; both passed the checks.

    Attributes:
        certificate: the one for the key.
        chain: the certificate first, then the CA certificates up to the anchor, which is left out if it is self-signed.
        anchor: the Explicit trust anchor it leads to.
        private_key: DER PrivateKeyInfo (RFC 5958), not encrypted.
        differences: how the certificate differs from the request, in words; both standards' samples have another subject.
    """

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    anchor: x509.Certificate
    private_key: Secret = field(repr=False)
    differences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """What an answer is held against.

    Attributes:
        anchors: the Explicit trust anchors.
        intermediates: CA certificates from /cacerts.
        now: the present, with a time zone.
        url: the endpoint, for messages.
        lists: revocation lists that were checked.
        same_names: see check_issued.
    """

    anchors: Sequence[x509.Certificate]
    intermediates: Sequence[x509.Certificate]
    now: datetime
    url: str
    lists: Sequence[x509.CertificateRevocationList] = ()
    same_names: bool = False


def serverkeygen_request(endpoint: EstEndpoint, body: bytes | BodyBuilder) -> HttpRequest:
    """POST /serverkeygen; the body is that of an enrolment (RFC 7030 section 4.4.1)."""
    return HttpRequest("POST", endpoint.target(Operation.SERVERKEYGEN), (("Content-Type", PKCS10),), body)


def check_server_key(
    answer: ServerKeyAnswer,
    csr: x509.CertificateSigningRequest,
    protection: ProtectionKey | None,
    judgement: Judgement,
) -> ServerKey:
    """Open the key, and make sure that it and its certificate are what was asked for (EST-196 to EST-198).

    Args:
        answer: as it was read.
        csr: what was sent; its key and, in practice, its subject are not those of the certificate.
        protection: the key the request named; None if none was, and the key may come in the clear.
        judgement: what the answer is held against.

    Raises:
        ServerKeyError: a clear key where an encrypted one was asked for, or the reverse; not a signed key package; not a
            key; the certificate is for another key; a connection weaker than the key that came in the clear.
        EnvelopeError: the protection key does not open it.
        VerificationError: nobody trusted signed it.
        CertificateMismatchError: see check_issued.
        ClockError: the certificate is not valid yet; the error has it and the key, neither of which can be asked for again.
        KeyStoreError: the protection key cannot be used.
    """
    key = _private_key(answer, protection, judgement)
    if not any(one.public_key() == key.public_key() for one in answer.certificates):
        raise ServerKeyError(
            f"{judgement.url}: no certificate of the answer is for the private key beside it", url=judgement.url
        )
    try:
        enrolled = check_issued(
            answer.certificates,
            csr,
            anchors=judgement.anchors,
            intermediates=judgement.intermediates,
            now=judgement.now,
            url=judgement.url,
            public_key=key.public_key(),
            lists=judgement.lists,
            same_names=judgement.same_names,
        )
    except ClockError as error:
        # nobody can ask for this key again, and the certificate is nothing without it
        error.private_key = pkcs8_of(key)
        error.hint = (
            "keep the private key and the certificate of this error; set the clock before they are used, or wait"
        )
        raise
    return ServerKey(enrolled.certificate, enrolled.chain, enrolled.anchor, pkcs8_of(key), enrolled.differences)


def _private_key(answer: ServerKeyAnswer, protection: ProtectionKey | None, judgement: Judgement) -> PrivateKey:
    at = f"{judgement.url}: "
    if answer.clear is not None and protection is not None:
        # EST-197. Whoever took the attributes out of the request could have done so, too.
        raise ServerKeyError(
            f"{at}the private key came in the clear, and an encrypted one was asked for", url=judgement.url
        )
    if answer.enveloped is not None and protection is None:
        raise ServerKeyError(f"{at}the private key is encrypted, and no key was named to do so", url=judgement.url)
    try:
        if answer.clear is not None:
            key = read_private_key(answer.clear)
            _require_strength(key, answer.connection, judgement)
            return key
        return _from_envelope(answer, protection, judgement)
    except VerificationError as error:
        error.url = judgement.url
        raise
    except WireError as error:
        if isinstance(error, EnvelopeError):  # one text for every reason
            raise EnvelopeError(
                f"{at}the server's private key cannot be opened with {_shown(protection)}: {error.message}",
                hint="make sure that the server encrypts to this very key or secret, then ask again: the key made now is lost",
            ) from error
        if error.code != WireError.code:
            raise
        raise ServerKeyError(f"{at}{error.message}", hint=error.hint, url=judgement.url) from error


def _shown(protection: ProtectionKey | None) -> str:
    if isinstance(protection, DecryptionKey):
        return (
            f"the key of the certificate {name_of(protection.certificate)} (identifier {protection.identifier.hex()})"
        )
    return f"the shared secret {protection.identifier.hex()}" if protection else "no key"


def _from_envelope(answer: ServerKeyAnswer, protection: ProtectionKey | None, judgement: Judgement) -> PrivateKey:
    """EnvelopedData, in it SignedData, in it the AsymmetricKeyPackage (RFC 7030 section 4.4.2)."""
    opener = protection.key if isinstance(protection, DecryptionKey) else protection
    inner = open_envelope(answer.enveloped or b"", opener or (), content_types=_IN_ENVELOPE)
    signed = read_signed_data(inner)
    verify_signed_data(
        signed,
        content_type=KEY_PACKAGE,
        anchors=judgement.anchors,
        intermediates=judgement.intermediates,
        now=judgement.now,
        may_sign=lambda signer: _not_a_key_generator(signer, answer.connection.server_certificate),
    )
    return read_key_package(signed.content)


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


__all__ = [
    "DecryptionKey",
    "Judgement",
    "ProtectionKey",
    "ServerKey",
    "SharedKey",
    "check_server_key",
    "serverkeygen_request",
]
