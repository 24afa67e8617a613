"""What a renewal has to repeat of the current certificate (RFC 7030 section 4.2.2, EST-150)."""

from __future__ import annotations

from dataclasses import replace

from cryptography import x509

from device_sdk.errors import LocalProtocolError
from device_sdk.model.csr import CsrSpec, DeviceAttributes
from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.names import shown_name


def renewal_spec(certificate: x509.Certificate, extra: CsrSpec | None = None) -> CsrSpec:
    """A CSR specification with the subject and names of a certificate.

    Args:
        certificate: the one to renew.
        extra: further wishes; its subject and names are replaced, as is what its device attributes would add to them.
    """
    names = alternative_names(certificate)
    if extra is None:
        return CsrSpec(subject=certificate.subject, san=names)
    device = DeviceAttributes(mac_address=extra.device.mac_address)
    return replace(extra, subject=certificate.subject, san=names, device=device)


def renewal_wishes(wishes: CsrAttributes | None) -> CsrAttributes | None:
    """The server's wishes without what they say about subject and names: a renewal repeats those (EST-150)."""
    if wishes is None:
        return None
    san = x509.SubjectAlternativeName.oid.dotted_string
    kept = tuple(extension for extension in wishes.extensions if extension.oid != san)
    return replace(wishes, subject=None, subject_types=(), extensions=kept)


def require_same_identity(csr: x509.CertificateSigningRequest, certificate: x509.Certificate) -> None:
    """Make sure that a CSR asks for exactly the certificate's subject and names, before it is sent.

    Subjects are compared as bytes, since servers do so; the names as a set (EST-150).

    Raises:
        LocalProtocolError: they differ.
    """
    if csr.subject.public_bytes() != certificate.subject.public_bytes():
        raise LocalProtocolError(
            f"the renewal would ask for the subject {shown_name(csr.subject)!r}, "
            f"the certificate has {shown_name(certificate.subject)!r}"
        )
    if set(alternative_names(csr)) != set(alternative_names(certificate)):
        raise LocalProtocolError("the renewal would ask for other subject alternative names than the certificate has")


def alternative_names(holder: x509.Certificate | x509.CertificateSigningRequest) -> tuple[x509.GeneralName, ...]:
    """The subjectAltName entries, in order; empty if there are none."""
    try:
        return tuple(holder.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return ()
