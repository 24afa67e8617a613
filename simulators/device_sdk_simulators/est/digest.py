"""HTTP Digest as the server sees it: what the client answers, and the nonces it answers to (RFC 7616; EST-86..88)."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import unquote_to_bytes

from device_sdk_simulators.http.messages import HttpError
from device_sdk_simulators.passwords import digest

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's grammar
_PARAMETER = re.compile(rf'[ \t,]*({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))[ \t]*(?=,|$)')
_NEEDED = ("realm", "nonce", "uri", "response", "cnonce", "nc", "qop", "opaque")
_MOST_USED = 4096


@dataclass(frozen=True)
class DigestAnswer:
    """The parameters of an Authorization header, as far as they are proper.

    Attributes:
        name: the user's name, or its hash.
        hashed: it is the hash.
        algorithm: as sent; "MD5" if absent (RFC 7616 section 3.3).
        count: nc as a number.
        values: realm, nonce, uri, response, cnonce, nc, qop, opaque; without quotes.
    """

    name: str
    hashed: bool
    algorithm: str
    count: int
    values: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> DigestAnswer:
        """What comes after the word Digest, with and without quotes (EST-87); HttpError 400 if it is not proper."""
        given: dict[str, str] = {}
        position = 0
        while match := _PARAMETER.match(text, position):
            name = match[1].lower()
            if name in given:
                raise HttpError(400, f"Digest: {name} is there twice")
            given[name] = re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]
            position = match.end()
        if text[position:].strip(" \t,"):
            raise HttpError(400, "Digest: the parameters cannot be read")
        missing = [name for name in _NEEDED if name not in given]
        if missing:
            raise HttpError(400, f"Digest: {', '.join(missing)} missing")
        if given["qop"].lower() != "auth":
            raise HttpError(400, "Digest: qop must be auth")
        if not re.fullmatch(r"[0-9A-Fa-f]{8}", given["nc"]):
            raise HttpError(400, "Digest: nc is not eight hexadecimal digits")
        hashed = given.get("userhash", "").lower() == "true"
        values = {name: given[name] for name in _NEEDED}
        return cls(_name(given), hashed, given.get("algorithm", "MD5"), int(given["nc"], 16), values)

    def response(self, ha1: str, a2: str) -> str:
        """KD of RFC 7616 section 3.4.1 over these nonces; A2 decides whose proof it is."""
        one = self.values
        counted = ":".join((ha1, one["nonce"], one["nc"], one["cnonce"], one["qop"], self._hash(a2)))
        return self._hash(counted)

    def _hash(self, text: str) -> str:
        return digest(self.algorithm.upper(), text.encode("latin-1"))


def _name(given: dict[str, str]) -> str:
    """The name from username or username* (RFC 7616 section 3.4), which are not to come together."""
    if ("username" in given) == ("username*" in given):
        raise HttpError(400, "Digest: one of username and username* is needed")
    if "username" in given:
        raw = given["username"].encode("latin-1")
    else:
        charset, _language, encoded = ([*given["username*"].split("'", 2), "", ""])[:3]
        if charset.lower() != "utf-8":
            raise HttpError(400, "Digest: username* is not UTF-8 in the notation of RFC 8187")
        raw = unquote_to_bytes(encoded)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise HttpError(400, "Digest: the user name is not UTF-8") from error


class Nonces:
    """Makes nonces and knows which may still be used (EST-88).

    A nonce is the time, random bytes and a MAC over both with a key of this process, so none has to be remembered
    before somebody who knows a password has used it. One that carried a POST is used up; for other methods the count
    has to rise. What is too old or was forgotten is stale: the client repeats its request with a new one.

    Args:
        clock: the time.
        lifetime: how long a nonce may be used.
    """

    def __init__(self, clock: Callable[[], datetime], lifetime: Callable[[], timedelta]) -> None:
        self._clock = clock
        self._lifetime = lifetime
        self._key = os.urandom(32)
        self._used: dict[str, float] = {}
        self._forgotten_until = 0.0
        self._lock = threading.Lock()

    def new(self) -> str:
        """A nonce that was never given out before."""
        head = struct.pack(">d", self._clock().timestamp()) + os.urandom(16)
        return base64.b64encode(head + self._mac(head)).decode("ascii")

    def use(self, nonce: str, count: int, *, once: bool) -> bool:
        """Take a nonce for one request; False if it is stale.

        Args:
            nonce: as the client sent it, together with a right response.
            count: nc.
            once: the request changes something: the nonce serves nothing before or after it.
        """
        made = self._time_of(nonce)
        now = self._clock().timestamp()
        with self._lock:
            young = (
                made is not None and max(now - self._lifetime().total_seconds(), self._forgotten_until) < made <= now
            )
            if not young or count <= self._used.get(nonce, 0) or (once and nonce in self._used):
                return False
            self._used[nonce] = float("inf") if once else count
            if len(self._used) > _MOST_USED:
                self._forget(now)
        return True

    def _forget(self, now: float) -> None:
        oldest = now - self._lifetime().total_seconds()
        self._used = {nonce: count for nonce, count in self._used.items() if (self._time_of(nonce) or 0) > oldest}
        if len(self._used) > _MOST_USED // 2:
            self._used, self._forgotten_until = {}, now

    def _time_of(self, nonce: str) -> float | None:
        """When we made it; None if we did not."""
        try:
            raw = base64.b64decode(nonce, validate=True)
        except (binascii.Error, ValueError):
            return None
        if len(raw) != 40 or not hmac.compare_digest(raw[24:], self._mac(raw[:24])):
            return None
        return float(struct.unpack(">d", raw[:8])[0])

    def _mac(self, head: bytes) -> bytes:
        return hmac.digest(self._key, head, "sha256")[:16]
