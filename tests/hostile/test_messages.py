"""Servers that are who they should be, speak good HTTP, and send the wrong thing in it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.errors import (
    CertificateMismatchError,
    ClockError,
    CsrAttributesError,
    EnrolmentPendingError,
    HttpStatusError,
    LocalProtocolError,
    RemoteProtocolError,
    ResponseTooLargeError,
    TransportError,
)
from device_sdk.wire import csrattrs_oids as oids
from device_sdk.wire import der
from tests.est.answers import bag, csr_of, issue, issued
from tests.est.pki import DAY, NOW, Ca, certs_only, make, new_key, one_line
from tests.est.scripted_server import Handler, Reply, Seen, http, pkcs7
from tests.hostile.case import Attack, Case, carry_out, table
from tests.hostile.conftest import Lab
from tests.hostile.host import Host

EXTENSIONS, TEMPLATE, OPEN_EXTENSIONS = oids.EXTENSION_REQUEST, oids.TEMPLATE, oids.EXTENSION_REQUEST_TEMPLATE[0]
RSA, P384, RSA_SHA256 = oids.RSA_ENCRYPTION, "1.3.132.0.34", "1.2.840.113549.1.1.11"
SHA256, SHA384 = "2.16.840.1.101.3.4.2.1", "2.16.840.1.101.3.4.2.2"
KEY_USAGE = der.extension("2.5.29.15", b"\x03\x02\x07\x80", critical=True)
PROTOCOL, MISMATCH = RemoteProtocolError, CertificateMismatchError
ENVELOPED = bytes.fromhex("301506092a864886f70d010703a0083006020100310030 00")


def cacerts(body: bytes | Callable[[Host], bytes]) -> Attack:
    def attack(host: Host) -> None:
        content = body if isinstance(body, bytes) else body(host)
        host.answer(cacerts=lambda _seen: pkcs7(content))

    return attack


def attributes(body: bytes, media: str = "application/csrattrs") -> Attack:
    def attack(host: Host) -> None:
        host.answer(csrattrs=lambda _seen: http(200, body, ("Content-Type", media)))

    return attack


def wishing(*entries: bytes) -> Attack:
    """A /csrattrs answer of these entries."""
    return attributes(base64.b64encode(der.sequence(*entries)))


def requested(*extensions: bytes) -> bytes:
    return der.attribute(EXTENSIONS, der.sequence(*extensions))


def template(*inner: bytes, version: int = 0) -> bytes:
    return der.attribute(TEMPLATE, der.sequence(der.integer(version), der.tlv(0xA1, b"".join(inner))))


def enrolling(handler: Callable[[Host], Handler]) -> Attack:
    def attack(host: Host) -> None:
        host.answer(simplereenroll=handler(host))

    return attack


def certifying(**options) -> Attack:
    return enrolling(lambda host: issue(host.ca, **options))


def instead(other: Callable[[Host, x509.CertificateSigningRequest], x509.Certificate]) -> Attack:
    """Another certificate than the one that was asked for."""

    def handler(host: Host) -> Handler:
        def answer(seen: Seen) -> Reply:
            csr = x509.load_der_x509_csr(csr_of(seen))
            return pkcs7(one_line(certs_only(other(host, csr))))

        return answer

    return enrolling(handler)


def body(content: bytes) -> Attack:
    return enrolling(lambda _host: lambda _seen: pkcs7(content))


def mangled(change: Callable[[bytes], bytes]) -> Attack:
    """The honest answer, with its bytes changed."""

    def handler(host: Host) -> Handler:
        def answer(seen: Seen) -> Reply:
            return pkcs7(change(certs_only(host.ca.certify_csr(csr_of(seen)))))

        return answer

    return enrolling(handler)


def with_status(status: int) -> Attack:
    """The honest answer, with another status."""
    return enrolling(lambda host: lambda seen: pkcs7(issued(host.ca, seen), status=status))


def waiting(*headers: tuple[str, str]) -> Attack:
    return enrolling(lambda _host: lambda _seen: http(202, b"", *headers))


def nested(levels: int) -> bytes:
    data = b"\x05\x00"
    for _ in range(levels):
        length = len(data)
        data = b"\x30\x84" + length.to_bytes(4, "big") + data
    return data


def flipped(data: bytes) -> bytes:
    """One bit of the certificate's signature."""
    place = len(data) - 12
    return one_line(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])


def bag_of_namesakes(host: Host) -> bytes:
    """Two hundred CAs with our CA's name and other keys, and ours not among them."""
    return one_line(certs_only(*(Ca.root("EST root").certificate for _ in range(200))))


def other_key(host: Host, csr: x509.CertificateSigningRequest) -> x509.Certificate:
    return host.ca.certify(csr.subject, new_key().public_key())


def the_old_one(host: Host, csr: x509.CertificateSigningRequest) -> x509.Certificate:
    """The certificate the device has already."""
    held = host.seen[-1].client_certificate
    assert held is not None
    return held


def the_ca(host: Host, _csr: x509.CertificateSigningRequest) -> x509.Certificate:
    return host.ca.certificate


def a_ca_certificate(host: Host, csr: x509.CertificateSigningRequest) -> x509.Certificate:
    return make(csr.subject, csr.public_key(), host.ca.certificate.subject, host.ca.key, ca=True)


def strangers(_host: Host, csr: x509.CertificateSigningRequest) -> x509.Certificate:
    return Ca.root("Stranger").certify(csr.subject, csr.public_key())


def namesakes(_host: Host, csr: x509.CertificateSigningRequest) -> x509.Certificate:
    return Ca.root("EST root").certify(csr.subject, csr.public_key())


def critical(host: Host, csr: x509.CertificateSigningRequest) -> x509.Certificate:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    return host.ca.certify(csr.subject, csr.public_key(), extensions=[(unknown, True)])


def tlv(tag: int, content: bytes) -> bytes:
    return bytes([tag, 0x83]) + len(content).to_bytes(3, "big") + content


OID = bytes.fromhex("060a2b0601040182371402 03".replace(" ", ""))
PUBLIC_KEY_RSA_512 = base64.b64encode(
    bytes.fromhex("3014 3012 0609 2a864886f70d010101 3105 0203 0002 00".replace(" ", ""))
)

CASES = [
    Case("EST-110", "empty", cacerts(b""), PROTOCOL),
    Case("EST-110", "not base64", cacerts(b"*" * 100), PROTOCOL),
    Case("EST-110", "base64 of noise", cacerts(base64.b64encode(bytes(range(256)))), PROTOCOL),
    Case("EST-110", "HTML", lambda host: host.answer(cacerts=lambda _s: http(200, b"<html>", ("Content-Type", "text/html"))),
         PROTOCOL),
    Case("EST-110", "EnvelopedData", cacerts(one_line(ENVELOPED)), PROTOCOL),
    Case("EST-120", "an empty bag", cacerts(one_line(certs_only())), PROTOCOL),
    Case("EST-120", "strangers with our CA's name", cacerts(bag_of_namesakes), PROTOCOL),
    Case("EST-110", "a length of four gibibytes", cacerts(one_line(b"\x30\x84\xff\xff\xff\xff\x06")), PROTOCOL),
    Case("EST-110", "ten thousand levels", cacerts(one_line(nested(10_000))), PROTOCOL),
    Case("EST-110", "indefinite lengths without an end", cacerts(one_line(b"\x30\x80" * 5000)), PROTOCOL),
    Case("EST-110", "an OID of half a mebibyte", cacerts(one_line(tlv(0x30, tlv(0x06, b"\x81" * 500_000 + b"\x01")))), PROTOCOL),
    Case("EST-160", "a refusal with a character of five thousand digits", lambda host: host.answer(cacerts=lambda _s: http(
        404, b"<html>&#" + b"9" * 5000 + b";", ("Content-Type", "text/html"))), HttpStatusError),
    Case("EST-171", "csrattrs: an OID of sixty kilobytes", attributes(one_line(tlv(0x30, tlv(0x06, b"\x81" * 60_000 + b"\x01")))),
         PROTOCOL),
    Case("EST-110", "more after the message", cacerts(lambda h: one_line(certs_only(h.ca.certificate) + b"\x30\x00")), PROTOCOL),
    Case("EST-171", "csrattrs: noise", attributes(base64.b64encode(b"\xff" * 100)), PROTOCOL),
    Case("EST-171", "csrattrs: HTML", attributes(b"<html>", "text/html"), PROTOCOL),
    Case("EST-171", "csrattrs: ten thousand levels", attributes(one_line(nested(10_000))), PROTOCOL),
    Case("EST-171", "csrattrs: a hundred thousand wishes", attributes(one_line(tlv(0x30, OID * 100_000))),
         (PROTOCOL, ResponseTooLargeError)),
    Case("EST-179", "csrattrs: an RSA key of 512 bits", attributes(PUBLIC_KEY_RSA_512), (CsrAttributesError, PROTOCOL)),
    Case("EST-179", "csrattrs: MD5", attributes(base64.b64encode(bytes.fromhex("300b06092a864886f70d010104"))),
         (CsrAttributesError, PROTOCOL)),
    Case("EST-171", "csrattrs: an empty list that is called a page", attributes(b"MAA=", "text/html"), PROTOCOL, "text/html"),
    Case("EST-176", "csrattrs: two extension requests", wishing(requested(), requested()), PROTOCOL, "more than one extension"),
    Case("EST-176", "csrattrs: an extension request of two values", wishing(der.sequence(
        der.oid(EXTENSIONS), der.set_of([der.sequence(), der.sequence(KEY_USAGE)]))), PROTOCOL, "2 values"),
    Case("EST-176", "csrattrs: an extension twice", wishing(requested(KEY_USAGE, KEY_USAGE)), PROTOCOL, "asked for twice"),
    Case("EST-178", "csrattrs: an RSA key and one on P-384", wishing(der.oid(RSA), der.oid(P384)), CsrAttributesError, "secp384r1"),
    Case("EST-178", "csrattrs: a key on P-384 and a signature by RSA", wishing(der.oid(P384), der.oid(RSA_SHA256)),
         CsrAttributesError, "sha256WithRSAEncryption"),
    Case("EST-178", "csrattrs: two hashes", wishing(der.oid(SHA256), der.oid(SHA384)), CsrAttributesError, "sha384"),
    Case("EST-179", "csrattrs: a curve nobody has", wishing(der.oid("1.3.132.0.4")), CsrAttributesError, "sect113r1"),
    Case("EST-181", "csrattrs: two templates", wishing(template(), template()), PROTOCOL, "more than one CSR template"),
    Case("EST-182", "csrattrs: a template of another version", wishing(template(version=1)), PROTOCOL, "of version 1"),
    Case("EST-183", "csrattrs: a template with both kinds of extensions", wishing(template(
        requested(KEY_USAGE), der.attribute(OPEN_EXTENSIONS, der.sequence(der.sequence(der.oid("2.5.29.37")))))),
         PROTOCOL, "more than one extension"),
    Case("EST-171", "csrattrs: 403", lambda host: host.answer(csrattrs=lambda _s: http(403)), HttpStatusError),
    Case("EST-139", "for another key", instead(other_key), MISMATCH),
    Case("EST-139", "the old certificate again", instead(the_old_one), MISMATCH),
    Case("EST-139", "the CA's own certificate", instead(the_ca), (MISMATCH, PROTOCOL)),
    Case("EST-139", "a CA certificate for us", instead(a_ca_certificate), MISMATCH),
    Case("EST-139", "from a stranger's CA", instead(strangers), MISMATCH),
    Case("EST-139", "from a CA that borrowed the name", instead(namesakes), MISMATCH),
    Case("EST-139", "expired", certifying(not_before=NOW - 2 * DAY, not_after=NOW - DAY), MISMATCH),
    Case("EST-139", "begins next week", certifying(not_before=NOW + 7 * DAY), ClockError),
    Case("EST-139", "begins in two minutes, for two", certifying(not_before=NOW + timedelta(hours=2),
         not_after=NOW + timedelta(hours=3)), ClockError),
    Case("EST-139", "unknown critical extension", instead(critical), MISMATCH),
    Case("EST-138", "two certificates for us and others", enrolling(lambda h: bag(h.ca.certificate, Ca.root("X").certificate)),
         (MISMATCH, PROTOCOL)),
    Case("EST-138", "an empty bag", body(one_line(certs_only())), PROTOCOL),
    Case("EST-138", "nothing", body(b""), PROTOCOL),
    Case("EST-138", "a flipped bit in the signature", mangled(flipped), (MISMATCH, PROTOCOL)),
    Case("EST-138", "half of it", mangled(lambda data: one_line(data[: len(data) // 2])), PROTOCOL),
    Case("EST-138", "the certificate without CMS around it", enrolling(
        lambda host: lambda seen: pkcs7(one_line(host.ca.certify_csr(csr_of(seen)).public_bytes(Encoding.DER)))), PROTOCOL),
    Case("EST-166", "a page of text with 200", enrolling(lambda _h: lambda _s: http(200, b"OK", ("Content-Type", "text/plain"))),
         PROTOCOL),
    Case("EST-166", "the certificate with 403", with_status(403), HttpStatusError, "CMC response"),
    Case("EST-166", "the certificate with 500", with_status(500), HttpStatusError, "CMC response"),
    Case("EST-166", "the certificate with 203", with_status(203), HttpStatusError, "CMC response"),
    Case("EST-161", "202 and no word when", waiting(), EnrolmentPendingError),
    Case("EST-161", "202 with a date in the past", waiting(("Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT")), EnrolmentPendingError),
    Case("EST-161", "202 with a number of a thousand digits", waiting(("Retry-After", "9" * 1000)), EnrolmentPendingError),
    Case("EST-161", "202 with a negative number", waiting(("Retry-After", "-1")), EnrolmentPendingError),
    Case("EST-161", "202 with nonsense", waiting(("Retry-After", "soon")), EnrolmentPendingError),
    Case("EST-165", "503 for ever", enrolling(lambda _h: lambda _s: http(503, b"", ("Retry-After", "86400"))),
         (HttpStatusError, TransportError)),
    Case("EST-165", "429 for ever", enrolling(lambda _h: lambda _s: http(429)), (HttpStatusError, TransportError)),
]  # fmt: skip


@table(CASES)
def test_wrong_message(lab: Lab, case: Case) -> None:
    failure = carry_out(lab, case)
    lab.assert_no_credential_left()
    assert not isinstance(failure, LocalProtocolError)
    if case.name.startswith("csrattrs:"):
        assert not any(line.startswith("POST") for line in lab.host.lines), "a request was made all the same"


def test_est_114_the_old_anchors_stay(lab: Lab) -> None:
    """A bag of strangers changes nothing about whom the device trusts."""
    before = lab.device.anchors
    carry_out(lab, Case("EST-120", "strangers", cacerts(bag_of_namesakes), PROTOCOL))
    assert lab.device.anchors == before


def test_est_118_a_bag_of_strangers_alone_moves_no_trust(lab: Lab) -> None:
    """The device goes on with the anchors it has: strangers are neither trusted nor an excuse to stop renewing."""
    before = lab.device.anchors
    cacerts(lambda _host: one_line(certs_only(Ca.root("Stranger").certificate)))(lab.host)
    assert lab.device.renew(lab.plan()).changed
    assert lab.device.anchors == before
