"""The tolerant reader and the strict writer of EST bodies: base64, PEM or DER in, base64 in 64 columns out."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

from device_sdk.errors import WireError
from device_sdk.model.http import MAX_RESPONSE_BYTES
from device_sdk.wire.ber import element_end, is_one_sequence

MAX_BLOCKS = 100
LABELS_CERTS_ONLY = ("PKCS7", "CMS", "CERTIFICATE")
LABELS_CSR = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
LABELS_CMS = ("CMS", "PKCS7")

_COLUMNS = 64
_WHITE = b" \t\r\n"
_SEQUENCE = b"0"
_ASCII = frozenset(range(128))
_BEGIN = re.compile(rb"^[ \t]*-----BEGIN ([A-Z0-9 #]{1,64})-----[ \t]*\r?$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One object out of a body.

    Attributes:
        der: the object, DER or BER; always one SEQUENCE with nothing behind it.
        label: label of the PEM armour it was in, or None.
    """

    der: bytes = field(repr=False)
    label: str | None = None


def decode_body(body: bytes, *, labels: tuple[str, ...] = (), limit: int = MAX_RESPONSE_BYTES) -> bytes:
    """The one DER or BER object of a body (spec section 1, EST-35..40; RFC 8951 section 3).

    Accepts base64 in lines of any length or in one, with LF, CRLF, spaces and trailing NUL bytes; PEM armour with one
    of `labels`; raw DER. Content-Transfer-Encoding is not looked at (EST-36).

    Args:
        body: the content as received.
        labels: PEM labels that fit the operation; none means that armour is refused.
        limit: largest acceptable body in bytes.

    Raises:
        WireError: anything else: other characters, wrong padding, trailing bytes, another label, several objects.
    """
    blocks = decode_blocks(body, labels=labels, limit=limit)
    if len(blocks) != 1:
        raise WireError(f"the body holds {len(blocks)} PEM blocks where one is expected", what="body")
    return blocks[0].der


def decode_blocks(body: bytes, *, labels: tuple[str, ...] = (), limit: int = MAX_RESPONSE_BYTES) -> tuple[Block, ...]:
    """Like decode_body, for bodies that may be a bundle of several PEM blocks; at least one, at most MAX_BLOCKS."""
    if len(body) > limit:
        raise WireError(f"the body is {len(body)} bytes, the limit is {limit}", what="body")
    # An object that fills the body exactly is that object, even where its text holds a PEM marker.
    if is_one_sequence(body, padding=_WHITE + b"\0"):
        return (Block(_trim(body)),)
    if b"-----BEGIN " in body:
        return _pem_blocks(body, labels)
    text = body.rstrip(_WHITE + b"\0")
    if not text.strip(_WHITE):
        raise WireError("the body is empty", what="body")
    if body[:1] == _SEQUENCE and not _ASCII.issuperset(body):
        raise WireError(f"the body is not one complete ASN.1 SEQUENCE: {_what_is_wrong(body)}", what="DER")
    return (Block(_from_base64(text, "the body")),)


def encode_body(der: bytes) -> bytes:
    """Base64 in lines of 64 characters, each ended by LF, the last one too (EST-41, EST-42)."""
    text = base64.b64encode(der)
    return b"".join(text[i : i + _COLUMNS] + b"\n" for i in range(0, len(text), _COLUMNS))


def _what_is_wrong(body: bytes) -> str:
    """With what begins as a SEQUENCE and is none alone, as after half a transfer."""
    try:
        end = element_end(body)
    except WireError as error:
        return error.message
    return f"{len(body) - end} bytes come after it"


def _trim(body: bytes) -> bytes:
    """The SEQUENCE without the white space and NUL bytes after it; its own last bytes may look the same."""
    return body[: element_end(body)]


def _pem_blocks(body: bytes, labels: tuple[str, ...]) -> tuple[Block, ...]:
    """Every armoured object; text before, between and after the blocks is ignored (RFC 7468 section 2)."""
    blocks: list[Block] = []
    position = 0
    while begin := _BEGIN.search(body, position):
        label = begin[1].decode("ascii")
        if label not in labels:
            expected = " or ".join(labels) or "no PEM armour"
            hint = (
                None
                if labels
                else "ask the server's operator for base64 without BEGIN and END lines (RFC 8951 section 3)"
            )
            raise WireError(f"a PEM block is labelled {label}, expected {expected}", what="PEM", hint=hint)
        end_mark = b"-----END " + begin[1] + b"-----"
        end = body.find(end_mark, begin.end())
        if end < 0:
            raise WireError(f"the PEM block {label} has no end line", what="PEM")
        if len(blocks) == MAX_BLOCKS:
            raise WireError(f"more than {MAX_BLOCKS} PEM blocks", what="PEM")
        blocks.append(Block(_from_base64(body[begin.end() : end], f"the PEM block {label}"), label))
        position = end + len(end_mark)
    if not blocks:
        raise WireError("a PEM marker that does not start a line", what="PEM")
    return tuple(blocks)


def _from_base64(text: bytes, what: str) -> bytes:
    """Strict base64 but for white space; the result is one SEQUENCE (EST-37, EST-38)."""
    packed = text.translate(None, _WHITE)
    try:
        der = binascii.a2b_base64(packed, strict_mode=True)
    except binascii.Error as error:
        raise WireError(f"{what} is not base64: {error}", what="base64") from error
    if base64.b64encode(der) != packed:
        raise WireError(f"{what} is base64 with wrong padding", what="base64")
    if not is_one_sequence(der):
        raise WireError(f"{what} is base64 of something else than one complete ASN.1 SEQUENCE", what="DER")
    return der
