"""What a certificate is for, and what a request for one for key establishment has beyond others (RFC 8295 section 2.1.1)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from asn1crypto.x509 import KeyUsage
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from device_sdk.errors import ConfigurationError
from device_sdk.keystores.keys import DeviceKey
from device_sdk.model.csr import CsrSpec
from device_sdk.wire.csrattrs import CsrAttributes

_OID = x509.KeyUsage.oid.dotted_string


def for_key_establishment(spec: CsrSpec, wishes: CsrAttributes, key: DeviceKey) -> tuple[CsrSpec, CsrAttributes]:
    """The request with keyAgreement or keyEncipherment alone, as the key can; and the wishes without a usage that is another.

    The server asked for the certificate itself: where it fixes a usage that is for key establishment, too, that one is used.

    Raises:
        ConfigurationError: such a key only signs.
    """
    fixed = next((one.value for one in wishes.extensions if one.oid == _OID and one.value is not None), None)
    if fixed is not None and _establishes(fixed):
        return spec, wishes
    kind = key.info.key_type
    name = kind.value if kind else ""
    if kind is None or not (kind.is_ec or name.startswith("rsa")):
        raise ConfigurationError(
            f"{key.info.uri}: a key of type {name or 'unknown'} is not for key establishment",
            hint="choose an RSA or elliptic-curve key (key_establishment.type)",
        )
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=not kind.is_ec,
        data_encipherment=False,
        key_agreement=kind.is_ec,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    others = tuple(one for one in spec.extensions if not isinstance(one.value, x509.KeyUsage))
    wanted = tuple(one for one in wishes.extensions if one.oid != _OID)
    asked = replace(spec, extensions=(*others, x509.Extension(x509.KeyUsage.oid, True, usage)))
    return asked, replace(wishes, extensions=wanted)


def only_establishes(certificate: x509.Certificate) -> bool:
    """Whether a certificate is for key establishment and signs nothing."""
    with suppress(x509.ExtensionNotFound):
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        return not usage.digital_signature and (usage.key_agreement or usage.key_encipherment)
    return False


def shows(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether TLS may show a certificate: it signs, is for clients, and has not ended."""
    with suppress(x509.ExtensionNotFound):
        if not certificate.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature:
            return False
    with suppress(x509.ExtensionNotFound):
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if not {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usages):
            return False
    return certificate.not_valid_after_utc > now


def _establishes(value: bytes) -> bool:
    with suppress(ValueError, TypeError):
        names = KeyUsage.load(value).native
        return "digital_signature" not in names and bool({"key_agreement", "key_encipherment"} & set(names))
    return False
