"""What a server said about its refusal, made fit to be shown: short, printable, one line (EST-160)."""

from __future__ import annotations

import html
import json
import re

from device_sdk.errors import WireError
from device_sdk.model.http import HttpResponse
from device_sdk.protocols.est.media import PKCS7, parse_media_type
from device_sdk.wire.transfer import LABELS_CMS, decode_body

MAX_TEXT_CHARS = 400
_MAX_READ_BYTES = 16 * 1024
# RFC 9457 first, then the names that other servers use.
_JSON_FIELDS = ("detail", "title", "error_description", "message", "error", "reason", "description")
_TEXT_TYPES = ("", "application/json", "application/xml")
# A private key in an answer that went wrong (EST-202): base64 in lines, or any of more than 64 characters. The look behind
# keeps the time linear.
_ENCODED = re.compile(
    r"(?<![\w+/])(?:(?:[A-Za-z0-9+/]{24,}={0,2}\s+)+[A-Za-z0-9+/]{24,}(?:\s+[A-Za-z0-9+/]+)?|[A-Za-z0-9+/]{65,})={0,2}"
)
_SHORT_CHARS = 32
# Each of them runs to the end of the text where its end is missing, which keeps the time linear.
_NO_WORDS = (
    re.compile(r"<(script|style)\b.*?(?:</\1[^>]*>|\Z)", re.IGNORECASE | re.DOTALL),
    re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL),
    re.compile(r"<(?=[A-Za-z/!?])[^>]*(?:>|\Z)"),
    # Python turns no more than 4300 digits into a number; the last code point, 1114111, has seven.
    re.compile(r"&#(?:[0-9]{8,}|[xX][0-9A-Fa-f]{8,});?"),
)


def server_text(response: HttpResponse) -> str | None:
    """The human-readable part of an error answer, at most MAX_TEXT_CHARS characters; None if there is none.

    HTML is reduced to its text, JSON to its message, a CMC response is only named: it is never parsed as success. What is
    no text is named as well, and what is encoded left out: a /serverkeygen answer may hold a private key.
    """
    media = parse_media_type(response.header("Content-Type"))
    if not response.body.strip():
        return None
    if media.name in PKCS7 or (media.name == "" and _is_cms(response.body)):
        return f"(a CMC response of {len(response.body)} bytes)"
    if not _is_text(media.name):
        return f"({len(response.body)} bytes of {printable(media.name, 100)})"
    charset = "latin-1" if media.parameters.get("charset", "").lower() in ("iso-8859-1", "latin1") else "utf-8"
    text = response.body[:_MAX_READ_BYTES].decode(charset, errors="replace")
    if _is_noise(text):
        return f"({len(response.body)} bytes that are no text)"
    return printable(_ENCODED.sub(" (encoded) ", _extract(media.name, text))) or None


def printable(text: str, limit: int = MAX_TEXT_CHARS) -> str:
    """One line without control, bidirectional and other invisible characters, at most `limit` characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= limit else line[: limit - 3].rstrip() + "..."


def _is_text(media: str) -> bool:
    return media in _TEXT_TYPES or media.startswith("text/") or media.endswith(("+json", "+xml"))


def _is_noise(text: str) -> bool:
    """Whether a tenth of it cannot be shown; a few characters may be a wrong charset."""
    unshown = sum(char == "\ufffd" or not (char.isprintable() or char.isspace()) for char in text)
    return len(text) > _SHORT_CHARS and unshown * 10 > len(text)


def _extract(media: str, text: str) -> str:
    start = text.lstrip().lower()
    if media.endswith(("/json", "+json")) or (media == "" and start.startswith("{")):
        return _from_json(text)
    if "html" in media or start.startswith(("<!doctype", "<html")):
        return _from_html(text)
    return text


def _is_cms(body: bytes) -> bool:
    try:
        decode_body(body, labels=LABELS_CMS)
    except WireError:
        return False
    return True


def _from_json(text: str) -> str:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(data, dict):
        if isinstance(data.get("error"), dict):
            data = data["error"]
        said = [value for name in _JSON_FIELDS if isinstance(value := data.get(name), str) and value]
        if said:
            return ": ".join(dict.fromkeys(said[:2]))
    return text


def _from_html(text: str) -> str:
    """The words of a page. Not an HTML parser: the standard library's raises on some input and is slow on other."""
    for pattern in _NO_WORDS:
        text = pattern.sub(" ", text)
    return html.unescape(text)
