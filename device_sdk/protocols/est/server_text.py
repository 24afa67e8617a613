"""What a server said about its refusal, made fit to be shown: short, printable, one line (EST-160)."""

from __future__ import annotations

import json
from html.parser import HTMLParser

from device_sdk.errors import WireError
from device_sdk.model.http import HttpResponse
from device_sdk.protocols.est.media import PKCS7, parse_media_type
from device_sdk.wire.transfer import LABELS_CMS, decode_body

MAX_TEXT_CHARS = 400
_MAX_READ_BYTES = 16 * 1024
# RFC 9457 first, then the names that other servers use.
_JSON_FIELDS = ("detail", "title", "error_description", "message", "error", "reason", "description")


def server_text(response: HttpResponse) -> str | None:
    """The human-readable part of an error answer, at most MAX_TEXT_CHARS characters; None if there is none.

    HTML is reduced to its text, JSON to its message, a CMC response is only named: it is never parsed as success.
    """
    media = parse_media_type(response.header("Content-Type"))
    if not response.body.strip():
        return None
    if media.name in PKCS7 or (media.name == "" and _is_cms(response.body)):
        return f"(a CMC response of {len(response.body)} bytes)"
    charset = "latin-1" if media.parameters.get("charset", "").lower() in ("iso-8859-1", "latin1") else "utf-8"
    text = response.body[:_MAX_READ_BYTES].decode(charset, errors="replace")
    return printable(_extract(media.name, text)) or None


def printable(text: str, limit: int = MAX_TEXT_CHARS) -> str:
    """One line without control, bidirectional and other invisible characters, at most `limit` characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= limit else line[: limit - 3].rstrip() + "..."


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


class _TextOnly(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("script", "style")
        self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style") and self._hidden > 0
        self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


def _from_html(text: str) -> str:
    reader = _TextOnly()
    reader.feed(text)
    reader.close()
    return "".join(reader.parts)
