"""Multipart bodies of /serverkeygen (RFC 7030 section 4.4.2, RFC 2046 section 5.1): EST-194, EST-199, EST-201."""

from __future__ import annotations

import email.message
import random
from pathlib import Path

import pytest

from device_sdk.errors import WireError
from device_sdk.wire.certs_only import read_certs_only
from device_sdk.wire.multipart import MAX_PART_HEADER_LINES, MAX_PARTS, Part, boundary_of, read_multipart
from device_sdk.wire.private_key import read_private_key

VECTORS = Path(__file__).parents[1] / "vectors" / "est"
SAMPLE_TYPE = "multipart/mixed ; boundary=estServerExampleBoundary"
RFC = (VECTORS / "rfc7030/a4-serverkeygen-multipart.body.txt").read_bytes()
DRAFT = (VECTORS / "draft-04/a5-serverkeygen-multipart.body.txt").read_bytes()
DAMAGED = (VECTORS / "draft-04/a5-serverkeygen-multipart.body.no-blank-lines.txt").read_bytes()

PKCS8 = "application/pkcs8"
SAMPLES = {
    "rfc 7030 appendix A.4": (RFC, "application/pkcs7-mime; smime-type=certs-only", 0x16),
    "draft-04": (DRAFT, "application/pkcs7-mime", 5),
    "draft-04 without the empty lines": (DAMAGED, "application/pkcs7-mime", 5),
}


@pytest.mark.parametrize("crlf", [False, True])
@pytest.mark.parametrize(("body", "second_type", "serial"), SAMPLES.values(), ids=SAMPLES)
def test_est_199_the_printed_samples(body: bytes, second_type: str, serial: int, crlf: bool) -> None:
    """LF as in the traces and CRLF as in HTTP; `Content-Type=application/pkcs8` is what draft-04 prints."""
    if crlf:
        body = body.replace(b"\n", b"\r\n")
    key_part, certificate_part = read_multipart(body, SAMPLE_TYPE)
    assert key_part.header("Content-Type") == PKCS8
    assert (certificate_part.header("CONTENT-TYPE") or "").replace('"', "").startswith(second_type.partition(";")[0])
    (certificate,) = read_certs_only(certificate_part.body)
    assert certificate.serial_number == serial
    assert read_private_key(key_part.body).public_key() == certificate.public_key()


def test_est_201_a_content_length_that_cuts_the_epilogue() -> None:
    """RFC 7030 appendix A.4 prints 3219 for a body of 3245 bytes."""
    assert len(RFC) == 3245
    assert read_multipart(RFC[:3219], SAMPLE_TYPE) == read_multipart(RFC, SAMPLE_TYPE)


def test_a_body_cut_anywhere_before_its_last_delimiter_is_refused() -> None:
    end = RFC.index(b"--estServerExampleBoundary--")
    for cut in range(0, end + len(b"--estServerExampleBoundary-"), 11):
        with pytest.raises(WireError):
            read_multipart(RFC[:cut], SAMPLE_TYPE)


def parts(*contents: bytes, end: bytes = b"\r\n", boundary: bytes = b"b") -> bytes:
    delimited = b"".join(b"--" + boundary + end + content + end for content in contents)
    return delimited + b"--" + boundary + b"--" + end


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_est_199_headers_in_every_form(end: bytes) -> None:
    body = parts(
        b"CONTENT-TYPE : a/b;" + end + b"  x=y" + end + b"Content-Transfer-Encoding:base64" + end + end + b"one",
        end + b"two" + end,
        b"three, without any header",
        b"content-type = a/c" + end + end + b"four",
        end=end,
    )
    assert read_multipart(body, "multipart/mixed;boundary=b") == (
        Part((("content-type", "a/b; x=y"), ("content-transfer-encoding", "base64")), b"one"),
        Part((), b"two" + end),
        Part((), b"three, without any header"),
        Part((("content-type", "a/c"),), b"four"),
    )


def test_what_stands_around_the_parts_is_ignored() -> None:
    body = b"preamble: --b\r\n" + parts(b"\r\none") + b"--b\r\nContent-Type: a/b\r\n\r\nafter the end\r\n--b--\r\n"
    assert read_multipart(body, "multipart/mixed; boundary=b") == (Part((), b"one"),)
    assert read_multipart(b"--b \t\r\n\r\none\r\n--b--\t", "multipart/mixed; boundary=b") == (Part((), b"one"),)
    nested = parts(b"\r\n--bb\r\n --b\r\nx--b--")
    assert read_multipart(nested, "multipart/mixed; boundary=b") == (Part((), b"--bb\r\n --b\r\nx--b--"),)


def test_binary_parts_stay_as_they_are() -> None:
    der = b"\x30\x82\x01\x00" + bytes(range(256))
    assert [part.body for part in read_multipart(parts(b"\r\n" + der, der), "m/m; boundary=b")] == [der, der]


@pytest.mark.parametrize(
    ("value", "boundary"),
    [
        ("multipart/mixed; boundary=simple", "simple"),
        ('multipart/mixed; boundary="quoted: and = more"', "quoted: and = more"),
        ("multipart/mixed ; boundary=spaced ", "spaced"),
        ("Multipart/Mixed;BOUNDARY=Case", "Case"),
        ('multipart/mixed; type="a;boundary=no"; boundary = yes; charset=utf-8', "yes"),
        ('multipart/mixed; boundary="a\\b"', "ab"),
        ("multipart/mixed; boundary=" + 70 * "x", 70 * "x"),
    ],
)
def test_est_199_the_boundary_quoted_or_not(value: str, boundary: str) -> None:
    assert boundary_of(value) == boundary


@pytest.mark.parametrize(
    "value",
    [
        "multipart/mixed",
        "multipart/mixed; boundary",
        "multipart/mixed; boundary=",
        'multipart/mixed; boundary=""',
        'multipart/mixed; boundary="ends with space "',
        "multipart/mixed; boundary=" + 71 * "x",
        "multipart/mixed; boundary=a\x00b",
        "multipart/mixed; boundary=ä",
        'multipart/mixed; type="boundary=x"',
        "boundary=x",
        "",
    ],
)
def test_boundaries_that_cannot_be(value: str) -> None:
    with pytest.raises(WireError, match="boundary"):
        read_multipart(parts(b"\r\none"), value)


def test_bounds() -> None:
    full = [b"\r\nx"] * MAX_PARTS
    assert len(read_multipart(parts(*full), "m/m; boundary=b")) == MAX_PARTS
    with pytest.raises(WireError, match="more than"):
        read_multipart(parts(*full, b"\r\nx"), "m/m; boundary=b")
    with pytest.raises(WireError, match="limit"):
        read_multipart(parts(b"\r\none"), "m/m; boundary=b", limit_bytes=10)
    for header in (
        b"a: b\r\n" * (MAX_PART_HEADER_LINES + 1),
        b"a: " + 2000 * b"b" + b"\r\n",
        b"a: b\r\n" + b" c\r\n" * 40,
    ):
        with pytest.raises(WireError, match="too long"):
            read_multipart(parts(header + b"\r\none"), "m/m; boundary=b")


@pytest.mark.parametrize("body", [b"", b"--b--", b"text", b"--b", b"--c\r\n\r\nx\r\n--c--", b"x--b\r\n\r\nx\r\n--b--"])
def test_bodies_without_parts(body: bytes) -> None:
    with pytest.raises(WireError):
        read_multipart(body, "m/m; boundary=b")


@pytest.mark.slow
def test_noise_ends_in_one_kind_of_error() -> None:
    """Nothing but WireError comes out of bytes changed at random, and it comes out quickly."""
    rng = random.Random(7030)  # noqa: S311  # the same noise at every run
    for _ in range(250):
        body = bytearray(rng.choice((RFC, DRAFT, DAMAGED)))
        for _ in range(rng.randrange(1, 6)):
            place = rng.randrange(len(body))
            body[place : place + rng.randrange(3)] = rng.choice((b"", b"\n", b"\r", b"\x00", b"--", b"\xff:", b"=\n\n"))
        try:
            for part in read_multipart(bytes(body), SAMPLE_TYPE):
                read_private_key(part.body)
        except WireError:
            continue


def test_python_reads_the_same_where_it_can() -> None:
    """The standard library's parser as judge, on the sample that is right."""
    message = email.message_from_bytes(b"Content-Type: " + SAMPLE_TYPE.encode() + b"\r\n\r\n" + RFC)
    judged = [part.get_payload().encode() for part in message.get_payload()]
    assert all(isinstance(part, email.message.Message) for part in message.get_payload())
    assert [part.body for part in read_multipart(RFC, SAMPLE_TYPE)] == judged
