"""Certificates beside their keys: objects of the same CKA_ID, never changed, only replaced."""

from __future__ import annotations

from asn1crypto.core import Integer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pkcs11.constants import Attribute, CertificateType, ObjectClass

from device_sdk.errors import KeyAmbiguousError, KeyStoreError
from device_sdk.keystores.pkcs11.connection import Worker
from device_sdk.keystores.pkcs11.objects import FALSE, TRUE, TokenObject, number, search
from device_sdk.keystores.pkcs11.public import certificate_of, partners
from device_sdk.keystores.pkcs11.reading import ReadKey
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri


def store(worker: Worker, key: ReadKey, certificate: x509.Certificate) -> None:
    """Put a certificate beside its key and remove those it replaces, in this order.

    Args:
        worker: a writable session.
        key: the key.
        certificate: what to store.

    Raises:
        KeyStoreError: the certificate is for another key.
        CkError: the token does not take it.
    """
    if key.public is None or certificate.public_key() != key.public:
        raise KeyStoreError(
            f"{key.info.uri}: the certificate to store beside this key is for another key",
            hint="give the certificate that was issued for this key",
            uri=key.info.uri,
        )
    old = partners(worker, key.found, ObjectClass.CERTIFICATE)
    same = [item for item in old if certificate_of(worker, item) == certificate]
    if not same:
        worker.cryptoki.create_object(worker.handle, _template(key.found, certificate))
    for item in old:
        if item not in same[:1]:
            worker.cryptoki.destroy(worker.handle, item.handle)


def load(worker: Worker, key: ReadKey) -> x509.Certificate | None:
    """The certificate beside a key; the latest, if a power cut left the one it replaced as well."""
    certificates = (certificate_of(worker, item) for item in partners(worker, key.found, ObjectClass.CERTIFICATE))
    own = [item for item in certificates if item is not None and key.public in (None, item.public_key())]
    return max(own, key=_age) if own else None


def load_without_login(worker: Worker, uri: Pkcs11Uri) -> x509.Certificate | None:
    """The certificate that fits a URI by its own label and id; certificates are public objects.

    Raises:
        KeyAmbiguousError: certificates of several keys fit.
    """
    found = (
        certificate_of(worker, i) for i in search(worker, ObjectClass.CERTIFICATE, label=uri.label, key_id=uri.key_id)
    )
    certificates = [item for item in found if item is not None]
    keys = [item.public_key() for item in certificates]
    if any(key != keys[0] for key in keys[1:]):
        raise KeyAmbiguousError(
            f"{uri}: certificates of several keys fit", hint="name one by object= and id=", uri=str(uri)
        )
    return max(certificates, key=_age) if certificates else None


def _age(certificate: x509.Certificate) -> tuple[float, float, bytes]:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begins.timestamp(), ends.timestamp(), certificate.public_bytes(Encoding.DER)


def _template(private: TokenObject, certificate: x509.Certificate) -> dict[int, bytes]:
    template = {
        Attribute.CLASS: number(ObjectClass.CERTIFICATE),
        Attribute.CERTIFICATE_TYPE: number(CertificateType.X_509),
        Attribute.TOKEN: TRUE,
        Attribute.PRIVATE: FALSE,
        Attribute.MODIFIABLE: FALSE,
        Attribute.SUBJECT: certificate.subject.public_bytes(),
        Attribute.ISSUER: certificate.issuer.public_bytes(),
        Attribute.SERIAL_NUMBER: Integer(certificate.serial_number).dump(),
        Attribute.VALUE: certificate.public_bytes(Encoding.DER),
    }
    template |= {Attribute.LABEL: private.label.encode()} if private.label else {}
    return template | ({Attribute.ID: private.key_id} if private.key_id else {})
