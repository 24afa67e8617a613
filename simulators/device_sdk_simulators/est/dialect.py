"""How draft-ietf-pkix-est-04 writes what RFC 7030 says: servers of 2013 still speak like this.

Paths in camel case and no others, also without /.well-known/est as in its examples; PEM in every body; no Content-Transfer-Encoding and no
smime-type; CSR attributes that are object identifiers and nothing else; parts of /serverKeyGen with LF at the line ends.
"""

from __future__ import annotations

import base64
import re

from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ

from device_sdk_simulators.est.bodies import wrap
from device_sdk_simulators.http.messages import Response

DRAFT_04 = "draft-04"
_PATHS = ("/CACerts", "/simpleEnroll", "/simpleReEnroll", "/fullCMC", "/serverKeyGen", "/CSRAttrs")
_BOUNDARY = "estServerExampleBoundary"
_PREAMBLE = b"This is the preamble. It is to be ignored.\n"
_EPILOGUE = b"This is the epilogue. It is also to be ignored.\n"


def well_known(path: str, dialect: str, prefix: str) -> str:
    """The path as RFC 7030 has it; a bare path of the draft's examples gets its prefix."""
    return prefix + path[1:] if dialect == DRAFT_04 and path in _PATHS else path


def operation_of(segment: str, dialect: str) -> str:
    """The operation that the last segment of a path names, in lower case; "" if the dialect does not know the name.

    RFC 7030 has them in lower case, and every case is taken; the draft's are known as it prints them only, so that a client
    which has to spell them so is seen to do it.
    """
    return "" if dialect == DRAFT_04 and f"/{segment}" not in _PATHS else segment.lower()


def dressed(operation: str, response: Response) -> Response:
    """A success as draft-04 writes it; everything else as it is."""
    if response.status not in (200, 204) or operation in ("fullcmc", "firmware"):
        return response
    if operation == "csrattrs":
        response.body = base64.b64encode(_identifiers(response)) + b"\n"
        response.status = 200
        response.headers = [("Content-Type", "application/csrattrs")]
    elif operation == "serverkeygen":
        response.body = _multipart(response)
        response.headers = [("Content-Type", f"multipart/mixed ; boundary={_BOUNDARY}")]
    else:
        response.body = _pem("PKCS7", base64.b64decode(response.body))
        response.headers = [("Content-Type", "application/pkcs7-mime")]
    return response


def _identifiers(response: Response) -> bytes:
    """Csrattrs ::= SEQUENCE SIZE (0..MAX) OF OBJECT IDENTIFIER; there is no 204, and what is no identifier is left out."""
    listed = univ.SequenceOf(componentType=univ.ObjectIdentifier())
    listed.clear()
    if response.status == 200:
        elements, _ = decode(base64.b64decode(response.body), asn1Spec=univ.SequenceOf(componentType=univ.Any()))
        # the tag of an OBJECT IDENTIFIER
        listed.extend(decode(element)[0] for element in elements if bytes(element)[0] == 6)
    return bytes(encode(listed))


def _multipart(response: Response) -> bytes:
    boundary = dict(response.headers)["Content-Type"].partition("boundary=")[2].encode()
    parts = response.body.split(b"--" + boundary)[1:-1]
    return _PREAMBLE + b"".join(_part(part) for part in parts) + f"--{_BOUNDARY}--\n".encode() + _EPILOGUE


def _part(part: bytes) -> bytes:
    head, _, body = part.partition(b"\r\n\r\n")
    found = re.search(rb"Content-Type: *([^;\r\n]+)", head, re.IGNORECASE)
    media_type = found[1].strip().decode() if found else "application/pkcs7-mime"
    label = "PRIVATE KEY" if media_type == "application/pkcs8" else "PKCS7"
    armour = _pem(label, base64.b64decode(body)).decode()
    return f"--{_BOUNDARY}\nContent-Type: {media_type}\n\n{armour}".encode()


def _pem(label: str, der: bytes) -> bytes:
    text = wrap(base64.b64encode(der), 64, b"\n")
    return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (label.encode(), text, label.encode())
