"""The header fields of CALE: what goes with an encrypted answer, and a certificate as a header value."""

from __future__ import annotations

import base64
import binascii
import re

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk_simulators.http.messages import Headers

GUID = "CALE-GUID"
CERTIFICATE = "CALE-PEM"
IDENTITY = "CALE-Identity"
CIPHER = "Cipher"

_GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_PLAIN_TEXT = ("Content-Type", "text/plain;charset=UTF-8")


def is_guid(value: str) -> bool:
    """Whether a value has the form of RFC 4122."""
    return _GUID.fullmatch(value) is not None


def encrypted_answer(form: str, smime_type: str, *, misleading: bool) -> Headers:
    """The headers of an encrypted answer.

    Args:
        form: "draft" (Appendix B, the second Content-Type on one line), "draft-folded" (on two lines as printed, the second
            one indented because anything else is not HTTP) or "plain" (one Content-Type, which every parser understands).
        smime_type: "enveloped-data" or "authEnveloped-data".
        misleading: whether the text/plain of the draft comes first: in all its answers but that to /whoami.
    """
    attachment = ("Content-Disposition", 'attachment; filename="smime.p7m"')
    encoding = ("Content-Transfer-Encoding", "base64")
    store = ("Cache-Control", "no-store")
    parameters = f'smime-type={smime_type}; name="smime.p7m"'
    if form == "plain":
        return [("Content-Type", f"application/pkcs7-mime; {parameters}"), attachment, encoding, store]
    gap = "\r\n " if form == "draft-folded" else " "
    envelope = ("Content-Type", f"application/x-pkcs7-mime;{gap}{parameters}")
    first = [_PLAIN_TEXT] if misleading else []
    return [*first, ("MIME-Version", "1.0"), attachment, envelope, encoding, store]


def certificate_header(certificate: x509.Certificate) -> tuple[str, str]:
    """CALE-PEM: base64 of the DER in double quotes, despite its name (CALE-60)."""
    return CERTIFICATE, '"' + base64.b64encode(certificate.public_bytes(Encoding.DER)).decode() + '"'


def certificate_from_header(value: str) -> x509.Certificate:
    """The certificate in a CALE-PEM value, with or without quotes and white space; ValueError if there is none."""
    try:
        der = base64.b64decode(re.sub(r'["\s]', "", value), validate=True)
    except binascii.Error as error:
        raise ValueError("CALE-PEM is not base64") from error
    return x509.load_der_x509_certificate(der)
