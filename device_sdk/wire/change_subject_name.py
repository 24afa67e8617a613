"""The attribute that asks for a certificate of another name (RFC 6402 section 2.8, EST-137, EST-153)."""

from __future__ import annotations

from cryptography import x509

from device_sdk.errors import ConfigurationError
from device_sdk.model.csr import NewName
from device_sdk.wire import der

CHANGE_SUBJECT_NAME = "1.3.6.1.5.5.7.7.36"


def change_subject_name(name: NewName) -> bytes:
    """DER of ChangeSubjectName: SEQUENCE { subject Name OPTIONAL, subjectAlt GeneralNames OPTIONAL }.

    Both are untagged SEQUENCEs: a reader tells them apart by what is in them, a SET or a tagged name.

    Raises:
        ConfigurationError: no name at all.
    """
    parts = [] if name.subject is None or not list(name.subject) else [name.subject.public_bytes()]
    if name.san:
        parts.append(x509.SubjectAlternativeName(name.san).public_bytes())
    if not parts:
        raise ConfigurationError("the new name is empty", hint="give a subject, or subject alternative names")
    return der.sequence(*parts)
