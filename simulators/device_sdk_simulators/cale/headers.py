"""The header fields of CALE: what goes with an encrypted answer, and a certificate as a header value."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from urllib.parse import quote, unquote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk_simulators.http.messages import Headers, HttpError, Request, Response

GUID = "CALE-GUID"
CERTIFICATE = "CALE-PEM"
CLIENT_CERT = "Client-Cert"
IDENTITY = "CALE-Identity"
CORRELATION = "CALE-Correlation"
CIPHER = "Cipher"
ROLE = "CALE-Role"
LENGTHS = "CALE-Lengths"
"""Bytes of a plaintext as bare content and as a whole response. Of an answer made inside: for decoys of either form. Of a
request: how long a decoy to it is, and so an error."""
FORWARDED = ("Accept", "Accept-Language", "User-Agent")
"""What may go inside of a client's own header fields, where the operator wants that (CALE-27).

A service whose answers differ by them lets everybody choose how long a client's are, and decoys do not follow that (CALE-37).
"""
ABOUT_CONTENT = (
    "Content-Type",
    "MIME-Version",
    "Content-Disposition",
    "Content-Transfer-Encoding",
    "Cache-Control",
)
"""What comes outside of the header fields of an answer made inside: decoys have no others."""
LONGEST_CERTIFICATE = 8190
"""Of a header value: what common servers take (CALE-61)."""
LONGEST_TARGET = 8000
"""What RFC 9110 section 4.1 wants to be understood at least."""

_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_TWO_LENGTHS = re.compile(r"([0-9]{1,12}) ([0-9]{1,12})", re.ASCII)
_PLAIN_TEXT = ("Content-Type", "text/plain;charset=UTF-8")
_ARMOUR = re.compile(r"-----(BEGIN|END) CERTIFICATE-----")


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


def certificate_header(certificate: x509.Certificate, form: str = CERTIFICATE) -> tuple[str, str]:
    """A certificate for an inner request.

    Args:
        certificate: of the client.
        form: "CALE-PEM": base64 of the DER in double quotes, despite its name (CALE-60); "Client-Cert": RFC 9440.
    """
    text = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
    return (CLIENT_CERT, f":{text}:") if form == CLIENT_CERT else (CERTIFICATE, f'"{text}"')


def certificate_of(request: Request) -> x509.Certificate:
    """The certificate of an inner request, in CALE-PEM or in Client-Cert; ValueError unless there is just one."""
    values = request.header_values(CERTIFICATE) + request.header_values(CLIENT_CERT)
    if len(values) != 1:
        raise ValueError("not exactly one CALE-PEM or Client-Cert")
    return certificate_from_header(values[0])


def certificate_from_header(value: str) -> x509.Certificate:
    """The certificate in the value of CALE-PEM or Client-Cert; ValueError if there is none.

    With or without quotes, RFC 9440's colons, PEM armour, white space, and percent-encoded as some proxies do it.
    """
    if "%" in value:
        value = unquote(value)
    value = re.sub(r'["\s]', "", _ARMOUR.sub("", value))
    if len(value) > 1 and value[0] == value[-1] == ":":
        value = value[1:-1]
    try:
        der = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("CALE-PEM is not base64") from error
    try:
        return x509.load_der_x509_certificate(der)
    except x509.InvalidVersion as error:
        raise ValueError("a certificate of an unknown version") from error


def identity_header(identity: str) -> tuple[str, str]:
    """CALE-Identity (CALE-31): letters, digits and -._~@ as they are, everything else percent-encoded.

    A parser takes the spaces from the ends of a value: sent as they are, "alice " would arrive as "alice".
    """
    return IDENTITY, quote(identity, safe="@")


def identity_of(request: Request) -> str | None:
    """The identity in CALE-Identity; None unless there is just one, in UTF-8."""
    values = request.header_values(IDENTITY)
    try:
        return unquote(values[0], errors="strict") if len(values) == 1 and values[0] else None
    except UnicodeDecodeError:
        return None


def only(request: Request, name: str) -> str:
    """The value of a field that is there once, or nothing."""
    values = request.header_values(name)
    return values[0] if len(values) == 1 else ""


def forwarded(request: Request, also: Sequence[str] = ()) -> Headers:
    """Those fields of a request that may go inside."""
    return only_fields(request, (*FORWARDED, *also))


def only_fields(request: Request, names: Sequence[str]) -> Headers:
    """The fields of a request that have these names."""
    wanted = {name.lower() for name in names}
    return [(name, value) for name, value in request.headers if name.lower() in wanted]


def without_others(fields: Headers) -> Headers:
    """Those fields of an answer that are about its content, as they came; what a server adds of its own would tell."""
    wanted = {name.lower() for name in ABOUT_CONTENT}
    return [(name, value) for name, value in fields if name.lower() in wanted]


def lengths(of: tuple[int, int]) -> tuple[str, str]:
    """CALE-Lengths."""
    return LENGTHS, "{} {}".format(*of)


def lengths_of(message: Request | Response) -> tuple[int, int] | None:
    """The two lengths in CALE-Lengths; None if there is none such, or more than one."""
    values = [value for name, value in message.headers if name.lower() == LENGTHS.lower()]
    found = _TWO_LENGTHS.fullmatch(values[0]) if len(values) == 1 else None
    return (int(found[1]), int(found[2])) if found else None


def check_size(request: Request) -> None:
    """HttpError for a client's request that servers inside could refuse for its size, or that cannot be sent to them.

    A stranger's request never gets there, so it has to be refused before anybody looks at whose it is.
    """
    if len(request.target) > LONGEST_TARGET:
        raise HttpError(414, f"the target may have {LONGEST_TARGET} characters")
    for _name, value in forwarded(request, ("Content-Type",)):
        if not _VALUE.fullmatch(value):
            raise HttpError(400, "malformed header field")
        if len(value) > LONGEST_CERTIFICATE:
            raise HttpError(431, f"a header field may have {LONGEST_CERTIFICATE} characters")
