"""Building a PKCS#10 certification request (RFC 2986)."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.errors import ConfigurationError, CsrAttributesError, LocalProtocolError
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import PrivateKey, PublicKey
from device_sdk.model.secret import Secret
from device_sdk.wire import csrattrs_oids as oids
from device_sdk.wire import der
from device_sdk.wire.change_subject_name import CHANGE_SUBJECT_NAME, change_subject_name
from device_sdk.wire.csr_extensions import request_extensions
from device_sdk.wire.csr_subject import request_subject
from device_sdk.wire.csr_values import filled
from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.csrattrs_key import MIN_EC_BITS, MIN_RSA_BITS, SignatureWish
from device_sdk.wire.mac_address import parse_mac

MAX_CHALLENGE = 255

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_NULL = b"\x05\x00"
_EMPTY_NAME = b"\x30\x00"


def build_csr(
    spec: CsrSpec, key: PrivateKey, *, wishes: CsrAttributes | None = None, challenge_password: str | None = None
) -> bytes:
    """A certification request for `key`, signed by it.

    Written here and not by cryptography's builder, which puts every attribute into a UTF8String: challengePassword has
    to be a PrintableString where it can (EST-108), macAddress is an IA5String. Names, extensions and signatures are
    cryptography's.

    Args:
        spec: subject, names, device attributes.
        key: any EC or RSA private key, in hardware or not; used for one signature.
        wishes: the server's /csrattrs, applied to subject, extensions, attributes and signature (section 12).
        challenge_password: the binding to the TLS connection, base64 without line breaks (EST-93); goes into
            estIdentityLinking if the server lists that, else into challengePassword (EST-106). None for no binding.

    Returns:
        DER of the CertificationRequest.

    Raises:
        ConfigurationError: a value that does not fit its place, a key that is too weak (EST-179).
        LocalProtocolError: the server requires the binding and there is none, or an empty one was given (EST-94).
        CsrAttributesError: the server's wishes cannot be met, or contradict the specification; names both sides.
        KeyStoreError: the key could not sign.
    """
    wishes = wishes or CsrAttributes.none()
    public_key = key.public_key()
    _require_strength(public_key)
    wishes.check_key(public_key)
    spec = filled(spec, wishes)
    subject = request_subject(spec, wishes.subject)
    extensions = request_extensions(spec, wishes.extensions, subject_empty=subject == _EMPTY_NAME)
    info = der.sequence(
        b"\x02\x01\x00",
        subject,
        public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        der.set_of(_attributes(spec, extensions, wishes, challenge_password), tag=0xA0),
    )
    algorithm, signature = _sign(key, info, wishes.signature())
    request = der.sequence(info, algorithm, der.tlv(0x03, b"\0" + signature))
    _require_readable(request, wishes)
    return request


def _require_strength(public_key: PublicKey) -> None:
    floor = MIN_RSA_BITS if isinstance(public_key, rsa.RSAPublicKey) else MIN_EC_BITS
    if public_key.key_size < floor:
        kind = "an RSA" if isinstance(public_key, rsa.RSAPublicKey) else "an EC"
        raise ConfigurationError(f"{kind} key of {public_key.key_size} bits; {floor} are needed")


def _require_readable(request: bytes, wishes: CsrAttributes) -> None:
    """Refuse what only a server would complain about: names and extensions made by hand are not checked before."""
    try:
        read = x509.load_der_x509_csr(request)
        _ = read.subject, read.extensions
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        if wishes.extensions or wishes.subject:
            raise CsrAttributesError("the server asks for values that make the request unreadable") from error
        raise ConfigurationError(
            "the certificate request cannot be read back", hint="a value in it does not fit its place"
        ) from error


def _attributes(
    spec: CsrSpec, extensions: list[bytes], wishes: CsrAttributes, challenge_password: str | None
) -> Iterable[bytes]:
    """Every attribute of the request, each type once."""
    found: list[tuple[str, bytes]] = list(spec.attributes)
    if extensions:
        found.append((oids.EXTENSION_REQUEST, der.sequence(*extensions)))
    if spec.device.mac_address is not None and spec.mac_placement == "attribute":
        found.append((oids.MAC_ADDRESS, der.ia5_string(parse_mac(spec.device.mac_address))))
    if spec.new_name is not None:
        found.append((CHANGE_SUBJECT_NAME, change_subject_name(spec.new_name)))
    found.extend(_challenges(spec, wishes, challenge_password))
    if len(dict(found)) != len(found):
        raise ConfigurationError("a PKCS#10 attribute is given twice")
    return [der.attribute(oid, value) for oid, value in found]


def _challenges(spec: CsrSpec, wishes: CsrAttributes, challenge_password: str | None) -> Iterable[tuple[str, bytes]]:
    """The challenge attributes: the binding always when there is one, the others only when listed (EST-105, EST-106)."""
    if challenge_password is not None:
        linking = oids.EST_IDENTITY_LINKING in wishes.challenges
        yield oids.EST_IDENTITY_LINKING if linking else oids.CHALLENGE_PASSWORD, _challenge(challenge_password)
    elif wishes.wants_binding:
        raise LocalProtocolError(
            "the server requires the request to be bound to the TLS connection, and this connection gives no binding"
        )
    listed = ((oids.OTP_CHALLENGE, spec.otp_challenge), (oids.REVOCATION_CHALLENGE, spec.revocation_challenge))
    for oid, secret in listed:
        if oid in wishes.challenges and secret is not None:
            yield oid, _challenge(_text(secret))


def _challenge(text: str) -> bytes:
    if not text:
        raise LocalProtocolError("an empty challenge attribute is never sent")
    if len(text) > MAX_CHALLENGE:
        raise ConfigurationError(f"a challenge attribute holds {MAX_CHALLENGE} characters, this value has {len(text)}")
    return der.directory_string(text)


def _text(secret: Secret) -> str:
    try:
        return secret.reveal().decode()
    except UnicodeDecodeError:
        # Not chained: the cause would carry the secret's bytes.
        raise ConfigurationError("a challenge has to be text in UTF-8") from None


def _sign(key: PrivateKey, data: bytes, wish: SignatureWish | None) -> tuple[bytes, bytes]:
    """DER AlgorithmIdentifier and signature, in the way the server asked for or in the key's own."""
    name = (wish.hash_name if wish else None) or _natural_hash(key.public_key())
    algorithm = _HASHES[name]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return der.sequence(der.oid(_oid_of("ec", name))), key.sign(data, ec.ECDSA(algorithm))
    if wish is not None and wish.pss:
        scheme = padding.PSS(mgf=padding.MGF1(algorithm), salt_length=algorithm.digest_size)
        return _pss_algorithm(name, algorithm), key.sign(data, scheme, algorithm)
    return der.sequence(der.oid(_oid_of("rsa", name)), _NULL), key.sign(data, padding.PKCS1v15(), algorithm)


def _natural_hash(public_key: PublicKey) -> str:
    """The hash as strong as the curve (RFC 5480 section 4); SHA-256 for RSA."""
    if isinstance(public_key, rsa.RSAPublicKey) or public_key.key_size <= 256:
        return "sha256"
    return "sha384" if public_key.key_size <= 384 else "sha512"


def _oid_of(family: str | None, hash_name: str) -> str:
    return next(oid for oid, (_, *kind) in oids.SIGNATURES.items() if kind == [family, hash_name])


def _pss_algorithm(name: str, algorithm: hashes.HashAlgorithm) -> bytes:
    """RSASSA-PSS with one hash for both, and a salt as long as it (RFC 4055 section 3.1)."""
    digest = der.sequence(der.oid(_oid_of(None, name)), _NULL)
    mask = der.sequence(der.oid("1.2.840.113549.1.1.8"), digest)
    salt = der.tlv(0x02, bytes([algorithm.digest_size]))
    parameters = der.sequence(der.tlv(0xA0, digest), der.tlv(0xA1, mask), der.tlv(0xA2, salt))
    return der.sequence(der.oid(oids.RSASSA_PSS), parameters)
