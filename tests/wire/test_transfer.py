"""The tolerant reader and the strict writer of EST bodies."""

from __future__ import annotations

import base64
import random
import textwrap

import pytest

from device_sdk.errors import WireError
from device_sdk.wire.transfer import LABELS_CERTS_ONLY, LABELS_CSR, decode_blocks, decode_body, encode_body
from tests.processor import require_at_most
from tests.wire.judges import VECTORS, damaged, only_wire_errors

DER = (VECTORS / "rfc7030" / "a2-csrattrs.der").read_bytes()
ENDS_IN_WHITE = bytes.fromhex("3006040400090a20")
INDEFINITE = bytes.fromhex("3080 0401 41 0000")
LINE = base64.b64encode(DER)


def wrapped(width: int, end: bytes) -> bytes:
    return b"".join(LINE[i : i + width] + end for i in range(0, len(LINE), width))


def armour(label: str, der: bytes = DER, end: str = "\n") -> bytes:
    lines = [
        f"-----BEGIN {label}-----",
        *textwrap.wrap(base64.b64encode(der).decode(), 64),
        f"-----END {label}-----",
        "",
    ]
    return end.join(lines).encode()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(LINE, id="one line"),
        pytest.param(LINE + b"\n", id="one line, LF"),
        pytest.param(wrapped(64, b"\n"), id="64 LF"),
        pytest.param(wrapped(76, b"\r\n"), id="76 CRLF"),
        pytest.param(wrapped(5, b" \t\n"), id="5 with spaces and tabs"),
        pytest.param(b"\r\n" + LINE, id="white space in front"),
        pytest.param(wrapped(64, b"\n") + b"\0", id="trailing NUL as libest's csrattrs"),
        pytest.param(wrapped(64, b"\n") + b"\0\0\r\n", id="trailing NULs and CRLF"),
        pytest.param(DER, id="raw DER"),
        pytest.param(DER + b"\r\n", id="raw DER and a line end"),
        pytest.param(armour("PKCS7"), id="PEM"),
        pytest.param(armour("CMS", end="\r\n"), id="PEM with CRLF"),
        pytest.param(b"subject=CN = x\n\n" + armour("CMS") + b"bye", id="PEM between words"),
    ],
)
def test_every_form_of_section_1_is_read(body: bytes) -> None:
    """EST-35, EST-37, EST-39 and the "we accept" column: all forms give the same bytes."""
    assert decode_body(body, labels=LABELS_CERTS_ONLY) == DER


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (DER[:-7], "the data ends 7 bytes too early"),
        (DER[:1] + b"\x84", "a length that is too long or cut off"),
        (DER + b"\1\2", "2 bytes come after it"),
        (DER[:-7] + b"\n", "the data ends 6 bytes too early"),
        (b"\x30\x80\xff", "inside a tag or a length"),
    ],
)
def test_half_of_a_message_is_not_called_bad_base64(body: bytes, said: str) -> None:
    """Whoever looks for a transfer that was cut short has to learn of it."""
    with pytest.raises(WireError, match=f"not one complete ASN.1 SEQUENCE: .*{said}"):
        decode_body(body)


@pytest.mark.parametrize("der", [ENDS_IN_WHITE, INDEFINITE, b"\x30\x00"])
@pytest.mark.parametrize("tail", [b"", b"\n", b"\0"])
def test_own_last_bytes_are_not_taken_for_padding(der: bytes, tail: bytes) -> None:
    """DER that ends in white space or NUL, and BER's end-of-contents, stay whole."""
    assert decode_body(der + tail) == der
    assert decode_body(base64.b64encode(der) + tail) == der


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b" \r\n\0", id="nothing but padding"),
        pytest.param(LINE[:-1], id="padding cut off"),
        pytest.param(LINE[:40] + b"\0" + LINE[40:], id="NUL inside"),
        pytest.param(LINE[:40] + b"-" + LINE[40:], id="base64url character"),
        pytest.param(b"\xef\xbb\xbf" + LINE, id="byte order mark"),
        pytest.param(base64.b64encode(DER + b"\0"), id="byte after the object"),
        pytest.param(base64.b64encode(DER[:-1]), id="object cut off"),
        pytest.param(base64.b64encode(b"\x02\x01\x00"), id="not a SEQUENCE"),
        pytest.param(b"MAB=", id="bits left over in the last character"),
        pytest.param(DER + b"x", id="byte after raw DER"),
        pytest.param(DER[:-1], id="raw DER cut off"),
        pytest.param(b"<html><body>504</body></html>", id="HTML"),
        pytest.param(armour("CERTIFICATE REQUEST"), id="label of another operation"),
        pytest.param(armour("PKCS7")[:-10], id="PEM without its end"),
        pytest.param(armour("PKCS7").replace(b"\n", b"\nProc-Type: 4,ENCRYPTED\n", 1), id="encrypted PEM"),
        pytest.param(armour("PKCS7") * 2, id="two objects"),
        pytest.param(b"x-----BEGIN PKCS7-----\n" + LINE, id="marker inside a line"),
        pytest.param(base64.b64encode(LINE), id="base64 twice"),
    ],
)
def test_everything_else_is_refused(body: bytes) -> None:
    """EST-38: other characters, wrong padding and trailing bytes."""
    with pytest.raises(WireError):
        decode_body(body, labels=LABELS_CERTS_ONLY)


def test_a_wrong_label_names_both_sides() -> None:
    with pytest.raises(WireError, match="PRIVATE KEY, expected CERTIFICATE REQUEST or NEW CERTIFICATE REQUEST"):
        decode_body(armour("PRIVATE KEY"), labels=LABELS_CSR)


def test_armour_is_refused_where_no_label_fits() -> None:
    with pytest.raises(WireError, match="no PEM armour"):
        decode_body(armour("CSRATTRS"))


def test_a_bundle_keeps_its_order_and_labels() -> None:
    blocks = decode_blocks(
        armour("CERTIFICATE", ENDS_IN_WHITE) + b"words\n" + armour("PKCS7"), labels=LABELS_CERTS_ONLY
    )
    assert [(block.label, block.der) for block in blocks] == [("CERTIFICATE", ENDS_IN_WHITE), ("PKCS7", DER)]


def test_a_bundle_is_bounded() -> None:
    with pytest.raises(WireError, match="more than 100"):
        decode_blocks(armour("CERTIFICATE", b"\x30\x00") * 101, labels=LABELS_CERTS_ONLY)


def test_the_limit_is_checked_before_anything_else() -> None:
    with pytest.raises(WireError, match="limit is 10"):
        decode_body(LINE, limit=10)


def test_der_with_a_pem_marker_inside_is_still_der() -> None:
    """EST-39: what fills the body as one object is that object."""
    text = b"\n-----BEGIN PKCS7-----\n"
    der = bytes([0x30, len(text) + 2, 0x0C, len(text)]) + text
    assert decode_body(der) == der


@pytest.mark.parametrize("size", [0, 1, 45, 46, 47, 48, 49, 1000])
def test_writer_uses_64_columns_and_a_final_lf(size: int) -> None:
    """EST-41, judged by the base64 of the printed examples and by our own reader."""
    der = bytes([0x30, 0x82, *size.to_bytes(2, "big")]) + bytes(size)
    body = encode_body(der)
    assert body == "".join(f"{line}\n" for line in textwrap.wrap(base64.b64encode(der).decode(), 64)).encode()
    assert decode_body(body) == der


@pytest.mark.parametrize(
    "name", ["a1-cacerts.p7", "a3-simpleenroll.csr", "a4-serverkeygen.csr", "a3-simpleenroll-response.p7"]
)
def test_writer_writes_the_bodies_of_rfc_7030_byte_for_byte(name: str) -> None:
    """EST-35: RFC 7030 appendix A prints each body with its Content-Length."""
    body = (VECTORS / "rfc7030" / f"{name}.b64").read_bytes()
    lengths = {
        "a1-cacerts.p7": 4246,
        "a3-simpleenroll.csr": 882,
        "a4-serverkeygen.csr": 963,
        "a3-simpleenroll-response.p7": 1122,
    }
    assert len(body) == lengths[name]
    assert encode_body(decode_body(body)) == body
    pem = (VECTORS / "rfc7030" / f"{name}.pem").read_bytes()
    assert decode_body(pem, labels=(*LABELS_CERTS_ONLY, *LABELS_CSR)) == decode_body(body)


def test_damage_gives_wire_errors_only() -> None:
    for good in (LINE, DER, armour("PKCS7")):
        for data in damaged(good):
            only_wire_errors(lambda body: decode_body(body, labels=LABELS_CERTS_ONLY), data)


def test_a_megabyte_of_noise_is_refused_quickly() -> None:
    noise = random.Random(7).randbytes(768 * 1024)  # noqa: S311  # a fixed seed is the point
    bodies = [base64.b64encode(noise), noise, b"\x30\x80" * 500_000, b"-----BEGIN PKCS7-----\n" * 40_000, b"A" * 2**20]
    bodies.append(b"\x30\x84\xff\xff\xff\xff" + noise)
    bodies.append(b"\x1f" + b"\xff" * 2**19)

    def read() -> None:
        for body in bodies:
            with pytest.raises(WireError):
                decode_body(body, labels=LABELS_CERTS_ONLY)

    require_at_most(2, read)
