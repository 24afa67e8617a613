"""Ways in which the server can misbehave, switched on and off while it runs.

`server.faults.truncate = True` spoils every answer, `= 2` the next two, `server.faults.media_type = "text/html"` gives a
value, and `server.faults.set("status", "503", times=1, operation="simpleenroll")` says it all. The command line takes the
same as `--fault status=503*1@simpleenroll`.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass

FAULTS = {
    # instead of an answer
    "status": "this status with a sentence of text (default 503)",
    "unauthorized": "401, whatever the credentials",
    "retry_after": "202 with this Retry-After: seconds, 'date', 'rfc850' or 'asctime' (HTTP dates in 2 s), 'none', or any text (default 1)",
    "overload": "[STATUS ]RETRY-AFTER: too many requests, with a Retry-After as above (default '503 1')",
    "redirect": "[STATUS ]LOCATION: a redirect (default status 307)",
    "noise": "500 with this many bytes of text (default 10485760)",
    "html": "500 with a page of HTML",
    # certificates
    "other_key": "the issued certificate is for another key",
    "other_issuer": "the issued certificate comes from a CA nobody knows",
    "other_subject": "the issued certificate has another subject",
    "expired": "the issued certificate has expired",
    "future": "the issued certificate begins in a year",
    "with_chain": "the issued certificate comes with its chain",
    "no_certificate": "an empty bag",
    "extra_roots": "cacerts holds this many unrelated roots more (default 1)",
    "no_root": "cacerts lacks the root",
    "unordered": "certificates in the reverse of the order a DER SET OF has",
    # generated keys
    "clear_key": "serverkeygen gives the key in the clear, whatever was asked for",
    "other_private_key": "serverkeygen gives another key than the certificate's",
    "key_signer": "who signs the key: unknown, device, server (of another name), expired, nobody, or wrong (a signature over something else)",
    "key_package": "instead of the package: two (keys), none, or another content type",
    "multipart": "parts: lf, equals (as draft-ietf-pkix-est prints it), headless, pem, der, turned, one, three, twice, open, "
    "preamble, quoted, pkcs12, encrypted, pkcs1, empty, related",
    # encoding of a success
    "media_type": "this Content-Type (default text/html)",
    "no_media_type": "no Content-Type",
    "no_transfer_encoding": "no Content-Transfer-Encoding",
    "wrap": "base64 in lines of this many characters (default 64; '76crlf' for CRLF)",
    "no_newline": "base64 without a final newline",
    "pem": "PEM armour with this label (default PKCS7)",
    "der": "raw DER",
    "ber": "CMS with indefinite lengths",
    "empty_content": "an eContent that is an empty OCTET STRING",
    "trailing": "bytes after the DER",
    "not_base64": "characters outside the alphabet",
    "not_cms": "base64 of something that is not ASN.1",
    "empty_body": "200 and nothing",
    # HTTP and TLS
    "truncate": "half the body, then the connection breaks",
    "truncate_quietly": "half the body, then an orderly end of TLS",
    "reset": "the connection breaks instead of an answer",
    "hang_up": "the connection ends after the answer, without saying so",
    "close": "Connection: close",
    "chunked": "Transfer-Encoding: chunked",
    "no_length": "no Content-Length; the end of TLS ends the body",
    "no_length_no_notify": "no Content-Length, and no close_notify either",
    "length": "this Content-Length (default twice the truth)",
    "lower_case": "header names in lower case",
    "split": "header and body in separate writes",
    "drip": "the body byte by byte, this many seconds apart (default 0.05)",
    "drip_head": "the header byte by byte, this many seconds apart (default 0.05)",
    "delay": "this many seconds before the answer (default 1)",
    "http10": "an HTTP/1.0 status line",
    "big_header": "a header of this many bytes (default 100000)",
    "many_headers": "this many headers more (default 1000)",
    "interim": "100 Continue before the answer, unasked",
    "not_http": "bytes that are not HTTP",
}
WIRE_FAULTS = tuple(FAULTS)[list(FAULTS).index("truncate") :]
_SPELLING = re.compile(r"([a-z0-9_-]+)(?:=(.*?))?(?:\*(\d+))?(?:@([a-z/]+))?")
_SECONDS = r"\d{1,6}(\.\d{1,6})?"
_COUNT = r"\d{1,9}"
_VALUES = {
    "status": r"[1-5]\d\d",
    "redirect": r"(3\d\d )?\S+",
    "overload": r"(429 |503 )?\S.*",
    "noise": _COUNT,
    "key_signer": "unknown|device|server|expired|nobody|wrong",
    "key_package": "two|none|other",
    "multipart": "lf|equals|headless|pem|der|turned|one|three|twice|open|preamble|quoted|pkcs12|encrypted|pkcs1|empty|related",
    "extra_roots": r"\d{1,4}",
    "wrap": r"[1-9]\d{0,5}(crlf)?",
    "drip": _SECONDS,
    "drip_head": _SECONDS,
    "delay": _SECONDS,
    "big_header": _COUNT,
    "many_headers": r"\d{1,6}",
}
_OPERATIONS = (
    "cacerts",
    "csrattrs",
    "simpleenroll",
    "simplereenroll",
    "serverkeygen",
    "fullcmc",
    "pal",
    "eecerts",
    "crls",
    *(f"{name}{end}" for name in ("symmetrickeys", "firmware", "tamp") for end in ("", "/return")),
    "serverkeygen/return",
    "registration",
    "revocation",
    "whoami",
    "resource",
)


@dataclass
class _Fault:
    value: str
    times: int | None
    operation: str | None


class UnknownFaultError(ValueError):
    """No fault of that name, or not with that value or operation."""


class Faults:
    """The faults that are on; every name in FAULTS is an attribute that can be set."""

    def __init__(self) -> None:
        object.__setattr__(self, "_active", {})
        object.__setattr__(self, "_lock", threading.Lock())
        self._active: dict[str, _Fault]
        self._lock: threading.Lock

    def __setattr__(self, name: str, value: bool | int | str) -> None:
        if value is False or value == 0:
            self.clear(name)
        elif value is True:
            self.set(name)
        elif isinstance(value, int):
            self.set(name, times=value)
        else:
            self.set(name, value)

    def set(self, name: str, value: str = "", *, times: int | None = None, operation: str | None = None) -> None:
        """Switch a fault on.

        Args:
            name: one of FAULTS.
            value: what the fault's description says; empty for its default.
            times: number of answers to spoil; None for all.
            operation: spoil answers to this operation only ("cacerts", "simpleenroll", "tamp/return", "whoami", ...).
        """
        name = name.replace("-", "_")
        if name not in FAULTS:
            raise UnknownFaultError(f"no fault {name!r}; there are {', '.join(FAULTS)}")
        if value and name in _VALUES and not re.fullmatch(_VALUES[name], value):
            raise UnknownFaultError(f"{name} cannot be {value!r}: {FAULTS[name]}")
        if operation is not None and operation not in _OPERATIONS:
            raise UnknownFaultError(f"no operation {operation!r}; there are {', '.join(_OPERATIONS)}")
        with self._lock:
            self._active[name] = _Fault(value, times, operation)

    def parse(self, text: str) -> None:
        """Switch on what `NAME[=VALUE][*TIMES][@OPERATION]` says."""
        match = _SPELLING.fullmatch(text)
        if match is None:
            raise UnknownFaultError(f"{text!r} is not NAME[=VALUE][*TIMES][@OPERATION]")
        self.set(match[1], match[2] or "", times=int(match[3]) if match[3] else None, operation=match[4])

    def clear(self, name: str | None = None) -> None:
        """Switch one fault off, or all."""
        with self._lock:
            if name is None:
                self._active.clear()
            else:
                self._active.pop(name, None)

    @property
    def quiet(self) -> bool:
        """Whether no fault is on."""
        return not self._active

    def take(self, name: str, operation: str, default: str = "yes") -> str | None:
        """The fault's value if this answer is to be spoilt, else None; counts down."""
        with self._lock:
            fault = self._active.get(name)
            if fault is None or fault.operation not in (None, operation):
                return None
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    del self._active[name]
            return fault.value or default
