"""Reading HTTP answers: spec sections 1, 3 and 11; RFC 7030 sections 4.1.3, 4.2.3, 4.5.2."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest

from device_sdk.errors import AuthenticationRequiredError, HttpStatusError, RemoteProtocolError
from device_sdk.model.http import ConnectionFacts, HttpResponse
from device_sdk.protocols.est.responses import Pending, read_cacerts, read_csrattrs, read_enrolment
from device_sdk.protocols.est.retry_after import parse_retry_after
from tests.est.pki import NOW, Ca, certs_only, new_key, one_line

FACTS = ConnectionFacts("TLSv1.3", "TLS_AES_128_GCM_SHA256")
PKCS7 = "application/pkcs7-mime"


def response(status: int, body: bytes = b"", *headers: tuple[str, str]) -> HttpResponse:
    return HttpResponse(status, headers, body, "https://est.example/.well-known/est/x", FACTS)


@pytest.fixture(scope="module")
def certificate():
    return Ca.root().certify("device", new_key().public_key())


@pytest.mark.parametrize(
    "media",
    [
        "application/pkcs7-mime; smime-type=certs-only",
        "application/pkcs7-mime",
        "APPLICATION/PKCS7-MIME;smime-type=CERTS-ONLY",
        'application/pkcs7-mime; foo=bar; smime-type="certs-only"; charset=utf-8',
        "application/x-pkcs7-mime",
        None,
    ],
)
def test_section_1_media_types_of_enrolments(certificate, media):
    headers = (("content-TYPE", media),) if media else ()
    assert read_enrolment(response(200, one_line(certs_only(certificate)), *headers), NOW) == (certificate,)


@pytest.mark.parametrize("media", ["text/plain", "text/html; charset=utf-8", "application/json", "image/png"])
def test_est_166_another_type_with_200_is_no_success(certificate, media):
    """Even if the body would decode."""
    for read in (read_enrolment, read_cacerts, read_csrattrs):
        with pytest.raises(RemoteProtocolError, match=media.split(";")[0]):
            read(response(200, one_line(certs_only(certificate)), ("Content-Type", media)), NOW)


def test_created_counts_for_enrolments_only(certificate):
    answer = response(201, one_line(certs_only(certificate)), ("Content-Type", PKCS7))
    assert read_enrolment(answer, NOW) == (certificate,)
    with pytest.raises(HttpStatusError):
        read_cacerts(answer, NOW)


@pytest.mark.parametrize("status", [203, 204, 206, 301, 304, 400, 403, 404, 500])
def test_est_114_est_166_certificates_with_another_status_are_never_read(certificate, status):
    answer = response(status, one_line(certs_only(certificate)), ("Content-Type", PKCS7))
    for read in (read_enrolment, read_cacerts):
        with pytest.raises(HttpStatusError) as caught:
            read(answer, NOW)
        assert caught.value.status_code == status
        assert "CMC response" in caught.value.server_text


def test_est_160_cmc_without_a_type_is_named(certificate):
    with pytest.raises(HttpStatusError) as caught:
        read_enrolment(response(400, one_line(certs_only(certificate))), NOW)
    assert "CMC response" in caught.value.server_text


def test_est_120_empty_bag():
    with pytest.raises(RemoteProtocolError, match="no certificate"):
        read_cacerts(response(200, one_line(certs_only())), NOW)


@pytest.mark.parametrize("body", [b"", b"\n", b"!!!!", b"AAAA", b"MAA=", b"-----BEGIN PKCS7-----\nMAA=\n"])
def test_est_38_garbage_names_the_endpoint(body):
    with pytest.raises(RemoteProtocolError, match=r"https://est\.example/"):
        read_cacerts(response(200, body, ("Content-Type", PKCS7)), NOW)


@pytest.mark.parametrize("status", [204, 404])
def test_est_171_no_csr_attributes(status):
    assert read_csrattrs(response(status, b"<html>not found</html>", ("Content-Type", "text/html")), NOW).elements == ()


def test_est_171_empty_sequence():
    assert read_csrattrs(response(200, b"MAA=\n", ("Content-Type", "application/csrattrs")), NOW).elements == ()


def test_libest_csrattrs_with_a_trailing_nul():
    body = base64.b64encode(bytes.fromhex("300b06092a864886f70d010907")) + b"\n\0"
    assert read_csrattrs(response(200, body, ("Content-Type", "application/csrattrs")), NOW).wants_binding


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("Sun, 06 Nov 1994 08:50:07 GMT", 30.0),
        ("Sunday, 06-Nov-94 08:50:08 GMT", 31.0),
        ("Sun Nov  6 08:50:09 1994", 32.0),
        ("Sun, 06 Nov 1994 08:40:37 GMT", 0.0),
        (None, 60.0),
        ("", 60.0),
        ("soon", 60.0),
        ("-5", 60.0),
        ("1.5", 60.0),
        ("١٢", 60.0),
        ("Sun, 99 Nov 1994 08:50:37 GMT", 60.0),
        ("999999999999", 86400.0),
        ("9" * 400, 60.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86400.0),
    ],
)
def test_est_162_retry_after(value, seconds):
    """Seconds and the three forms of dates; whatever is none of these is a minute, and nothing is more than a day."""
    assert parse_retry_after(value, datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)) == seconds


def test_rfc_9110_two_digit_years_are_never_more_than_50_years_ahead():
    now = datetime(2026, 11, 6, 8, 0, 0, tzinfo=UTC)
    assert parse_retry_after("Friday, 06-Nov-26 08:01:00 GMT", now) == 60.0
    assert parse_retry_after("Sunday, 06-Nov-94 08:49:37 GMT", now) == 0.0


def test_est_161_pending_with_text():
    answer = response(202, b"the operator is asked", ("Retry-After", "30"), ("Content-Type", "text/plain"))
    assert read_enrolment(answer, NOW) == Pending(30.0, "the operator is asked")
    with pytest.raises(HttpStatusError):
        read_cacerts(answer, NOW)


def test_section_11_overload_says_how_long():
    for status in (429, 503):
        with pytest.raises(HttpStatusError) as caught:
            read_enrolment(response(status, b"", ("Retry-After", "17")), NOW)
        assert caught.value.retry_after_s == 17.0


def test_section_11_401_reports_the_schemes():
    answer = response(
        401, b"", ("WWW-Authenticate", 'Digest realm="a, Basic b", nonce="x"'), ("WWW-Authenticate", "Basic")
    )
    with pytest.raises(AuthenticationRequiredError) as caught:
        read_enrolment(answer, NOW)
    assert caught.value.schemes == ("Digest", "Basic")


# as long as the PKCS#8 of a P-256 key, between words
KEY_LINES = b"Here: \n" + b"QUJD" * 16 + b"\n" + b"+/9z" * 16 + b"\n" + b"abcd" * 13 + b"ab==\n. Good luck"
HTML = b"<!DOCTYPE html><html><head><title>Bad</title><style>p{}</style></head><body><p>No &amp; <b>never</b><script>x()</script>"


@pytest.mark.parametrize(
    ("media", "body", "text"),
    [
        ("text/plain; charset=utf-8", b"  bad\r\n\x1b[31mCSR\x00 \xe2\x80\xae!", "bad [31mCSR !"),
        ("text/plain; charset=ISO-8859-1", b"Ger\xe4t", "Gerät"),
        (None, b"plain words", "plain words"),
        ("text/html", HTML, "Bad No & never"),
        (None, HTML, "Bad No & never"),
        ("text/html", b"a&#" + b"9" * 5000 + b";b&#x" + b"f" * 5000 + b";&#65;&#x42;", "a b AB"),
        (
            "application/json",
            json.dumps({"error": "denied", "message": "no such device"}).encode(),
            "no such device: denied",
        ),
        (
            "application/problem+json",
            b'{"title":"Forbidden","detail":"serial 7 unknown"}',
            "serial 7 unknown: Forbidden",
        ),
        ("application/json", b'{"error":{"message":"inner"}}', "inner"),
        ("application/json", b"[" * 20000, "["),
        ("application/json", b"not json", "not json"),
        ("text/plain", b"", None),
        ("text/plain", b"\xff\xfe\x00", "\ufffd\ufffd"),
        ("text/plain", b"Ger\xe4te k\xf6nnen das heute leider nicht", "Ger\ufffdte k\ufffdnnen das heute leider nicht"),
        ("text/plain", KEY_LINES, "Here: (encoded) . Good luck"),
        ("text/plain", b"key " + KEY_LINES.replace(b"\n", b"") + b".", "key Here: (encoded) . Good luck."),
        ("application/json", json.dumps({"detail": KEY_LINES.decode()}).encode(), "Here: (encoded) . Good luck"),
        ("text/html", b"<p>" + KEY_LINES + b"</p>", "Here: (encoded) . Good luck"),
        (
            "text/plain",
            b"request " + b"0123456789abcdef" * 4 + b" denied",
            "request " + "0123456789abcdef" * 4 + " denied",
        ),
        ("text/plain", b"\x30\x81\x87\x02\x01" * 20, "(100 bytes that are no text)"),
        ("application/octet-stream", b"MIGHAgEA", "(8 bytes of application/octet-stream)"),
        ("multipart/mixed; boundary=b", b"--b\r\n\r\nMIGH\r\n--b--", "(18 bytes of multipart/mixed)"),
    ],
)
def test_est_160_server_text(media, body, text):
    """Words are shown, without what could do harm on a terminal, and without what could be a key (EST-202)."""
    with pytest.raises(HttpStatusError) as caught:
        read_enrolment(response(400, body, *((("Content-Type", media),) if media else ())), NOW)
    said = caught.value.server_text
    assert said == text or (text == "[" and said.startswith("[["))
    assert said is None or said.isprintable()


@pytest.mark.parametrize("said", ["too many wrong proofs of identity", "3 requests of yours wait for approval"])
def test_est_160_429_is_told_in_the_servers_words(said):
    """A server that counts wrong passwords, or requests that wait, is not overloaded."""
    with pytest.raises(HttpStatusError) as caught:
        read_enrolment(response(429, said.encode(), ("Content-Type", "text/plain"), ("Retry-After", "8")), NOW)
    assert caught.value.message.endswith(f"the server answered 429: {said}")
    assert caught.value.retry_after_s == 8
    assert "wrong passwords" in caught.value.hint
    assert "waiting requests" in caught.value.hint
    assert "overloaded" not in caught.value.hint


def test_est_160_words_are_bounded():
    """A long speech is cut off and says so; what is just short enough is whole."""
    for words, shown in (
        (b"no " * 4000, "no " * 132 + "n..."),
        (b"n" * 30 + b" o" * 186, "n" * 30 + " o" * 183 + "..."),
        (b"ab " * 133 + b"a", "ab " * 133 + "a"),
    ):
        with pytest.raises(HttpStatusError) as caught:
            read_enrolment(response(500, words, ("Content-Type", "text/plain")), NOW)
        assert caught.value.server_text == shown
        assert len(shown) <= 400


def test_est_160_noise_is_bounded():
    noise = bytes(range(256)) * 4096
    with pytest.raises(HttpStatusError) as caught:
        read_enrolment(response(500, noise), NOW)
    assert len(caught.value.server_text) <= 400
    assert len(str(caught.value)) < 600
