"""ChangeSubjectName: a certificate of another name than the request's own (RFC 6402 section 2.8, EST-137, EST-153)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address

from cryptography import x509
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.error import PyAsn1Error
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5280

from device_sdk_simulators.ca.issue import Wish
from device_sdk_simulators.http.messages import HttpError

CHANGE_SUBJECT_NAME = "1.3.6.1.5.5.7.7.36"
_TEXT: dict[str, Callable[[str], x509.GeneralName]] = {
    "rfc822Name": x509.RFC822Name,
    "dNSName": x509.DNSName,
    "uniformResourceIdentifier": x509.UniformResourceIdentifier,
}


@dataclass(frozen=True)
class ChangedName:
    """What the certificate is to be called.

    Attributes:
        subject: empty if the request names none.
        san: the subjectAltName; None for a certificate without.
    """

    subject: x509.Name
    san: x509.SubjectAlternativeName | None

    def apply(self, wish: Wish) -> Wish:
        """The wish under the new name: the subject replaced, the SAN replaced or removed."""
        kept = [one for one in wish.extensions if one.oid != x509.SubjectAlternativeName.oid]
        if self.san is not None:
            kept.append(x509.Extension(self.san.oid, critical=False, value=self.san))
        return replace(wish, subject=self.subject, extensions=x509.Extensions(kept))


def changed_name(csr: x509.CertificateSigningRequest) -> ChangedName | None:
    """The attribute of a CSR, or None; HttpError 400 for one that is not what RFC 6402 says."""
    value = next((one.value for one in csr.attributes if one.oid.dotted_string == CHANGE_SUBJECT_NAME), None)
    if value is None:
        return None
    try:
        changed = _read(_elements(value))
    except (PyAsn1Error, ValueError, TypeError) as error:
        raise HttpError(400, f"ChangeSubjectName cannot be read: {error}") from error
    if changed.san is None and not list(changed.subject):
        raise HttpError(400, "ChangeSubjectName names nobody")
    return changed


def _read(members: list[bytes]) -> ChangedName:
    """SEQUENCE { subject Name OPTIONAL, subjectAlt GeneralNames OPTIONAL }; neither is tagged."""
    subject = members.pop(0) if members and _is_name(members[0]) else None
    names = members.pop(0) if members else None
    if members or (subject is None and names is None):
        raise ValueError("it is not one Name, one GeneralNames or both")
    name = x509.Name([]) if subject is None else x509.Name.from_bytes(subject)
    return ChangedName(name, None if names is None else x509.SubjectAlternativeName(_general_names(names)))


def _is_name(element: bytes) -> bool:
    """A Name holds SETs or nothing, GeneralNames hold tagged names."""
    header = 2 if element[1] < 0x80 else 2 + (element[1] & 0x7F)
    return element[header : header + 1] in (b"", b"\x31")


def _elements(contents: bytes) -> list[bytes]:
    """The elements of a SEQUENCE whose contents these are."""
    found = []
    while contents:
        element, contents = decode(contents, asn1Spec=univ.Any())
        found.append(bytes(element))
    return found


def _general_names(der: bytes) -> list[x509.GeneralName]:
    names, rest = decode(der, asn1Spec=rfc5280.GeneralNames())
    if rest or not len(names):
        raise ValueError("the alternative names are empty")
    return [_general_name(name.getName(), name.getComponent()) for name in names]


def _general_name(kind: str, value: univ.Any) -> x509.GeneralName:
    if kind in _TEXT:
        return _TEXT[kind](str(value))
    if kind == "iPAddress":
        return x509.IPAddress(ip_address(bytes(value)))
    if kind == "directoryName":
        return x509.DirectoryName(x509.Name.from_bytes(encode(value.getComponent())))
    if kind == "otherName":
        return x509.OtherName(x509.ObjectIdentifier(str(value["type-id"])), bytes(value["value"]))
    raise ValueError(f"alternative names of the kind {kind} are not issued here")
