"""Answers to an enrolment in every form, good and bad, from a scripted server: spec sections 1, 3, 11."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.client.est import EstClient
from device_sdk.errors import (
    DeviceSdkError,
    HttpStatusError,
    RemoteProtocolError,
    ResponseTooLargeError,
    TruncatedResponseError,
)
from tests.est.answers import SPEC, csr_of, trusting
from tests.est.pki import certs_only, certs_only_in_order, der, new_key, one_line
from tests.est.scripted_server import Reply, Seen, http, pkcs7


def wrapped(data: bytes, columns: int, end: bytes) -> bytes:
    text = base64.b64encode(data)
    return b"".join(text[i : i + columns] + end for i in range(0, len(text), columns))


def pem(der: bytes, label: bytes) -> bytes:
    return b"-----BEGIN " + label + b"-----\n" + wrapped(der, 64, b"\n") + b"-----END " + label + b"-----\n"


def indefinite(der: bytes) -> bytes:
    """The same ContentInfo with indefinite lengths outside: BER, as Bouncy Castle and OpenSSL stream it."""
    assert der[:2] == b"\x30\x82"
    inside = der[4:]
    oid_end = 2 + inside[1]
    explicit = inside[oid_end:]
    assert explicit[:2] == b"\xa0\x82"
    return b"\x30\x80" + inside[:oid_end] + b"\xa0\x80" + explicit[4:] + b"\0\0\0\0"


ENCODINGS = {
    "64 LF": lambda der: wrapped(der, 64, b"\n"),
    "76 CRLF": lambda der: wrapped(der, 76, b"\r\n"),
    "one line": base64.b64encode,
    "one line LF": one_line,
    "with white space": lambda der: b" \t" + wrapped(der, 10, b" \r\n\t"),
    "trailing NUL": lambda der: wrapped(der, 64, b"\n") + b"\0",
    "PEM PKCS7": lambda der: pem(der, b"PKCS7"),
    "PEM CMS": lambda der: pem(der, b"CMS"),
    "DER": lambda der: der,
    "BER": lambda der: one_line(indefinite(der)),
}


@pytest.mark.parametrize(("status", "error"), [(200, ResponseTooLargeError), (500, HttpStatusError)])
def test_est_16_ten_mebibytes_of_noise(ca, enroll, status, error):
    noise = bytes(range(256)) * 40960
    with pytest.raises(error) as caught:
        enroll(simpleenroll=lambda seen: http(status, noise, then="close"))
    assert len(str(caught.value)) < 1000


def test_truncated(ca, enroll):
    cut = Reply(b"HTTP/1.1 200 OK\r\nContent-Type: application/pkcs7-mime\r\nContent-Length: 5000\r\n\r\nMIIB", "close")
    with pytest.raises(TruncatedResponseError):
        enroll(simpleenroll=lambda seen: cut)


def test_est_14_close_delimited_needs_close_notify(ca, enroll):
    def answer(then: str):
        return lambda seen: pkcs7(one_line(certs_only(ca.certify_csr(csr_of(seen)))), length=False, then=then)

    assert enroll(simpleenroll=answer("close"))[0].certificate
    with pytest.raises(TruncatedResponseError):
        enroll(simpleenroll=answer("tear"))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_section_1_body_forms(ca, serve, encoding):
    encode = ENCODINGS[encoding]
    server = serve(
        cacerts=lambda seen: pkcs7(encode(certs_only(ca.certificate))),
        simpleenroll=lambda seen: pkcs7(encode(certs_only(ca.certify_csr(csr_of(seen))))),
    )
    with EstClient(server.url, trusting(ca)) as client:
        assert client.enroll(new_key(), SPEC).anchor == ca.certificate


@pytest.mark.parametrize("coding", ["base64", "BASE64", "7bit", "8bit", "binary", "quoted-printable", "x-unknown", ""])
@pytest.mark.parametrize("encoding", ["64 LF", "DER"])
def test_est_36_content_transfer_encoding_is_not_looked_at(ca, serve, coding, encoding):
    """RFC 8951 section 3: it says nothing about the body, on any of the operations."""
    encode, header = ENCODINGS[encoding], ("Content-Transfer-Encoding", coding)
    nothing = encode(b"\x30\x00")
    server = serve(
        cacerts=lambda seen: pkcs7(encode(certs_only(ca.certificate)), header),
        csrattrs=lambda seen: http(200, nothing, ("Content-Type", "application/csrattrs"), header),
        simpleenroll=lambda seen: pkcs7(encode(certs_only(ca.certify_csr(csr_of(seen)))), header),
    )
    with EstClient(server.url, trusting(ca)) as client:
        assert client.enroll(new_key(), SPEC).anchor == ca.certificate
    assert len(server.lines) == 3


def test_est_44_certificates_in_an_order_der_does_not_have(ca, serve):
    """Several servers write the SET OF in the order of their list; cryptography would refuse or warn."""
    root, issuing = ca.certificate, ca.issue_ca("Issuing")

    def answer(*certificates):
        return pkcs7(one_line(certs_only_in_order(*sorted(certificates, key=der, reverse=True))))

    server = serve(
        cacerts=lambda seen: answer(root, issuing.certificate),
        simpleenroll=lambda seen: answer(root, issuing.certificate, issuing.certify_csr(csr_of(seen))),
    )
    with EstClient(server.url, trusting(ca)) as client:
        assert len(client.enroll(new_key(), SPEC).chain) == 2


def test_section_1_pem_certificates(ca, enroll):
    def answer(seen: Seen) -> Reply:
        return pkcs7(
            ca.certify_csr(csr_of(seen)).public_bytes(Encoding.PEM) + ca.certificate.public_bytes(Encoding.PEM)
        )

    assert enroll(simpleenroll=answer)[0].certificate


def test_chunked(ca, enroll):
    def answer(seen: Seen) -> Reply:
        body = one_line(certs_only(ca.certify_csr(csr_of(seen))))
        chunks = b"".join(
            b"%x;ext=1\r\n%s\r\n" % (len(body[i : i + 100]), body[i : i + 100]) for i in range(0, len(body), 100)
        )
        head = b"HTTP/1.1 200 OK\r\ncontent-type: APPLICATION/PKCS7-MIME\r\nTransfer-Encoding: chunked\r\nStatus: 200 OK\r\n\r\n"
        return Reply(head + chunks + b"0\r\n\r\n")

    assert enroll(simpleenroll=answer)[0].certificate


def test_foundries_201(ca, enroll):
    def answer(seen: Seen) -> Reply:
        return pkcs7(one_line(certs_only(ca.certify_csr(csr_of(seen)))), status=201)

    assert enroll(simpleenroll=answer)[0].certificate


@pytest.mark.parametrize("body", [b"", b"not base64!", b"AAAA", one_line(certs_only())[:100]])
def test_garbage_with_200(ca, enroll, body):
    with pytest.raises(RemoteProtocolError, match="simpleenroll"):
        enroll(simpleenroll=lambda seen: pkcs7(body))


def test_est_166_text_with_200(ca, enroll):
    with pytest.raises(RemoteProtocolError, match="queued for the operator"):
        enroll(simpleenroll=lambda seen: http(200, b"queued for the operator", ("Content-Type", "text/plain")))


def test_every_error_is_ours(ca, enroll):
    """A server that answers with something that is no HTTP at all."""
    with pytest.raises(DeviceSdkError):
        enroll(simpleenroll=lambda seen: Reply(b"SSH-2.0-OpenSSH_9.2\r\n", "close"))
