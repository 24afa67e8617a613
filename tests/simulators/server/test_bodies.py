"""Bodies and media types of requests as they come over TLS: what is read, and what is refused (RFC 8951 section 3)."""

from __future__ import annotations

import base64
import string

import pytest

from tests.simulators.server.support import EST, basic, make_csr, name

TYPE = "application/pkcs10"


def armour(der: bytes, label: str) -> bytes:
    return f"-----BEGIN {label}-----\n".encode() + base64.encodebytes(der) + f"-----END {label}-----\n".encode()


def padded_csr() -> bytes:
    """A CSR whose base64 ends in two equals signs."""
    ders = (make_csr(subject=name("d" * length)) for length in range(1, 60))
    return next(der for der in ders if len(der) % 3 == 1)


def bits_left_over(der: bytes) -> bytes:
    """RFC 4648 section 3.5: the last character before the padding says more than the octets do."""
    text, alphabet = base64.b64encode(der), string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    return text[:-3] + alphabet[alphabet.index(chr(text[-3])) | 1].encode() + text[-2:]


@pytest.fixture
def send(server, connect):
    """One POST: the status and the words of the answer."""

    def run(body: bytes, *, operation: str = "simpleenroll", media_type: str | None = TYPE, **headers: str):
        connection = connect()
        if media_type is not None:
            headers["Content-Type"] = media_type
        connection.request("POST", EST + operation, body, dict([basic(server)]) | headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    return run


BAD_BODIES = {
    "EST-38: a star inside": lambda der: base64.b64encode(der)[:40] + b"*" + base64.b64encode(der)[40:],
    "EST-38: the alphabet of URLs": lambda der: base64.b64encode(der)[:40] + b"-_-_" + base64.b64encode(der)[40:],
    "EST-38: a NUL inside": lambda der: base64.b64encode(der)[:40] + b"\0" + base64.b64encode(der)[40:],
    "EST-38: padding too short": lambda der: base64.b64encode(der).rstrip(b"=")[:-1],
    "EST-38: padding too long": lambda der: base64.b64encode(der) + b"====",
    "EST-38: padding inside": lambda der: base64.b64encode(der[:100]) + base64.b64encode(der[100:]),
    "EST-38: bits left over": bits_left_over,
    "EST-38: a byte after the object": lambda der: base64.b64encode(der + b"\0"),
    "EST-38: an object after the object": lambda der: base64.b64encode(der + b"\x05\0"),
    "EST-38: a byte after raw DER": lambda der: der + b"\xff",
    "EST-38: something after the armour": lambda der: armour(der, "CERTIFICATE REQUEST") + b"MAA=",
    "EST-39: the label of a certificate": lambda der: armour(der, "CERTIFICATE"),
    "EST-39: the label of a message": lambda der: armour(der, "PKCS7"),
    "EST-39: two labels": lambda der: armour(der, "CERTIFICATE REQUEST").replace(b"END CERT", b"END NEW CERT"),
    "EST-39: raw DER with a length of its own": lambda der: der[:2] + bytes([der[2] ^ 1]) + der[3:],
}


@pytest.mark.parametrize("operation", ["simpleenroll", "serverkeygen"])
@pytest.mark.parametrize("case", BAD_BODIES)
def test_bodies_that_are_refused(server, send, case, operation):
    """EST-38, EST-39: 400 with words, and nothing is issued; the same request written well is."""
    server.policy.serverkeygen = {"clear"}
    der = padded_csr()
    status, words = send(BAD_BODIES[case](der), operation=operation)
    assert (status, bool(words)) == (400, True)
    assert server.est.register.entries() == []
    assert send(base64.b64encode(der), operation=operation)[0] == 200


@pytest.mark.parametrize(
    "media_type",
    ["application/pkcs7-mime", "application/x-pem-file", "text/plain", "application/pkcs10+x", "pkcs10", "", "*/*"],
)
@pytest.mark.parametrize("operation", ["simpleenroll", "serverkeygen"])
def test_media_types_that_are_refused_est_43(server, send, operation, media_type):
    server.policy.serverkeygen = {"clear"}
    assert send(base64.b64encode(make_csr()), operation=operation, media_type=media_type)[0] == 415
    assert server.est.register.entries() == []


@pytest.mark.parametrize("media_type", [None, TYPE, "APPLICATION/pkcs10", "application/pkcs10 ; charset=us-ascii"])
def test_media_types_that_are_read_est_43(server, send, media_type):
    """None at all is fine where the body decodes."""
    assert send(base64.b64encode(make_csr()), media_type=media_type)[0] == 200
    assert send(b"no request", media_type=media_type)[0] == 400


@pytest.mark.parametrize("coding", ["base64", "BASE64", "8bit", "binary", "quoted-printable", "x-unknown", ""])
def test_content_transfer_encoding_is_not_looked_at_est_36(send, coding):
    """RFC 8951 section 3: whatever it says, the body is base64; or, by our tolerance, what it is seen to be."""
    headers = {"Content-Transfer-Encoding": coding}
    assert send(base64.b64encode(make_csr()), **headers)[0] == 200
    assert send(make_csr(), **headers)[0] == 200


def test_white_space_inside_base64_est_37(send):
    """LF, CR, space and TAB, wherever they are."""
    text = base64.b64encode(make_csr())
    spread = b"\t" + b" \r\n\t".join(text[at : at + 7] for at in range(0, len(text), 7)) + b"\r\n\r\n"
    assert send(spread)[0] == 200
