"""Servers that are who they should be and talk broken HTTP, or ask for what they must not get."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable

from device_sdk.errors import (
    AuthenticationRequiredError,
    HttpStatusError,
    RedirectRefusedError,
    RemoteProtocolError,
    ResponseTooLargeError,
    TransportError,
    TransportTimeoutError,
    TruncatedResponseError,
)
from tests.est.answers import bag
from tests.est.scripted_server import Reply, Seen, http, pkcs7
from tests.hostile.case import Attack, Case, carry_out, table
from tests.hostile.conftest import PASSWORD, Lab
from tests.hostile.host import Host, Slow

PROTOCOL, TRUNCATED, TOO_LARGE = RemoteProtocolError, TruncatedResponseError, ResponseTooLargeError
MIB = b"x" * (1024 * 1024)


def say(data: bytes | Reply, then: str = "close") -> Attack:
    """These bytes in answer to /cacerts."""
    reply = data if isinstance(data, Reply) else Reply(data, then)

    def attack(host: Host) -> None:
        host.answer(cacerts=lambda _seen: reply)

    return attack


def head(*lines: str, body: bytes = b"", then: str = "close", status: str = "200 OK") -> Attack:
    kind = () if any(line.startswith("Content-Type") for line in lines) else ("Content-Type: application/pkcs7-mime",)
    text = "\r\n".join([f"HTTP/1.1 {status}", *kind, *lines]) + "\r\n\r\n"
    return say(text.encode("latin-1") + body, then)


def enrolling(reply: Callable[[Seen], Reply]) -> Attack:
    """Honest until /simplereenroll."""

    def attack(host: Host) -> None:
        host.answer(simplereenroll=reply)

    return attack


def honest_bag(host: Host) -> bytes:
    return bag(host.ca.certificate)(None).data.partition(b"\r\n\r\n")[2]  # type: ignore[arg-type]


def cut(share: float, then: str) -> Attack:
    """The honest answer, of which only a part comes."""

    def attack(host: Host) -> None:
        body = honest_bag(host)
        whole = pkcs7(body).data
        host.answer(cacerts=lambda _seen: Reply(whole[: len(whole) - int(len(body) * share)], then))

    return attack


def slowly(host: Host) -> None:
    body = honest_bag(host)
    host.answer(cacerts=lambda _seen: Slow(pkcs7(body).data, pause_s=0.1))


def late(_seen: Seen) -> Reply:
    time.sleep(1.2)
    return http(200)


def drowning(_seen: Seen) -> Reply:
    return Reply(b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000, "close")


def redirect(location: str, status: int = 302) -> Attack:
    def attack(host: Host) -> None:
        host.answer(cacerts=lambda _seen: http(status, b"", ("Location", location)))

    return attack


def loop(host: Host) -> None:
    host.answer(cacerts=lambda _seen: http(302, b"", ("Location", "/.well-known/est/cacerts")))


def six(host: Host) -> None:
    """Each to a place of its own."""
    host.answer(
        cacerts=lambda _seen: http(307, b"", ("Location", "/0")),
        **{str(number): (lambda _seen, at=number + 1: http(307, b"", ("Location", f"/{at}"))) for number in range(9)},
    )


def moved(status: int, location: str) -> Attack:
    """The renewal is to be sent somewhere else."""
    return enrolling(lambda _seen: http(status, b"", ("Location", location)))


def challenge(*values: str) -> Attack:
    fields = tuple(("WWW-Authenticate", value) for value in values)
    return enrolling(lambda _seen: http(401, b"", *fields))


CHUNKED = "Transfer-Encoding: chunked"
CASES = [
    Case("RFC 9112", "not HTTP", say(b"220 smtp.example ESMTP\r\n"), (PROTOCOL, TRUNCATED)),
    Case("RFC 9112", "a version of the past", say(b"HTTP/0.9 200 OK\r\n\r\nhello"), PROTOCOL),
    Case("RFC 9112", "status of letters", head(status="two hundred"), PROTOCOL),
    Case("RFC 9112", "status 99", head("Content-Length: 0", status="99 Low"), PROTOCOL),
    Case("RFC 9112", "status 999", head("Content-Length: 0", status="999 High"), (PROTOCOL, HttpStatusError)),
    Case("RFC 9112", "nothing at all", say(b""), TransportError),
    Case("RFC 9112", "half a status line", say(b"HTTP/1.1 2"), (TransportError, TRUNCATED, PROTOCOL)),
    Case("RFC 9112", "head without an end", say(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"), (TRUNCATED, PROTOCOL)),
    Case("RFC 9112", "a NUL in a header", head("X-A: a\0b", "Content-Length: 0"), PROTOCOL),
    Case("RFC 9112", "a folded header", head("X-A: a", " b", "Content-Length: 0"), PROTOCOL),
    Case("RFC 9112", "a header without a colon", head("Nonsense", "Content-Length: 0"), PROTOCOL),
    Case("RFC 9112", "a space before the colon", head("Content-Length : 5", body=b"hello"), PROTOCOL),
    Case("EST-16", "a header of a mebibyte", head("X-A: " + "x" * 1024 * 1024, "Content-Length: 0"), (PROTOCOL, TOO_LARGE)),
    Case("EST-16", "ten thousand headers", head(*["X-A: y"] * 10_000, "Content-Length: 0"), (PROTOCOL, TOO_LARGE)),
    Case("EST-16", "a hundred and one fields", head(*["X-A: y"] * 101, "Content-Length: 0"), PROTOCOL, "100"),
    Case("EST-16", "endless 100 Continue", lambda host: host.answer(cacerts=drowning), (PROTOCOL, TOO_LARGE)),
    Case("RFC 9112", "two lengths that differ", head("Content-Length: 5", "Content-Length: 6", body=b"hello!"), PROTOCOL),
    Case("RFC 9112", "length and chunks", head("Content-Length: 5", CHUNKED, body=b"0\r\n\r\n"), PROTOCOL),
    Case("RFC 9112", "negative length", head("Content-Length: -5"), PROTOCOL),
    Case("RFC 9112", "length in hex", head("Content-Length: 0x5", body=b"hello"), PROTOCOL),
    Case("RFC 9112", "length of a petabyte", head("Content-Length: 1125899906842624"), TOO_LARGE),
    Case("RFC 9112", "chunk size that is none", head(CHUNKED, body=b"zz\r\nhello\r\n0\r\n\r\n"), (PROTOCOL, TRUNCATED)),
    Case("RFC 9112", "chunk size with a sign", head(CHUNKED, body=b"-5\r\nhello\r\n0\r\n\r\n"), PROTOCOL),
    Case("RFC 9112", "chunk of sixteen exbibytes", head(CHUNKED, body=b"ffffffffffffffff\r\nhello"), (TOO_LARGE, PROTOCOL, TRUNCATED)),
    Case("RFC 9112", "chunks without an end", head(CHUNKED, body=b"5\r\nhello\r\n"), TRUNCATED),
    Case("RFC 9112", "an unknown transfer coding", head("Transfer-Encoding: gzip", body=b"hello"), PROTOCOL),
    Case("RFC 9112", "an encoding nobody asked for", head("Content-Encoding: gzip", "Content-Length: 5", body=b"hello"), PROTOCOL),
    Case("EST-16", "four mebibytes", head("Content-Length: 4194304", body=MIB * 4), TOO_LARGE),
    Case("EST-16", "chunks for ever", head(CHUNKED, body=(b"10000\r\n" + b"x" * 65536 + b"\r\n") * 40), TOO_LARGE),
    Case("EST-16", "a body until the end, too long", head(body=MIB * 3), TOO_LARGE),
    Case("EST-14", "half the body, then torn", cut(0.5, "tear"), TRUNCATED),
    Case("EST-14", "half the body, then an orderly end", cut(0.5, "close"), TRUNCATED),
    Case("EST-14", "no length, torn instead of ended", head(body=b"TUlJ", then="tear"), TRUNCATED),
    Case("EST-16", "a byte a moment", slowly, TransportTimeoutError),
    Case("EST-16", "an answer too late", lambda host: host.answer(cacerts=late), TransportTimeoutError),
    Case("EST-114", "201 for cacerts", head("Content-Length: 0", status="201 Created"), HttpStatusError),
    Case("EST-114", "204 for cacerts", say(b"HTTP/1.1 204 No Content\r\n\r\n"), HttpStatusError),
    Case("EST-114", "206 for cacerts", head("Content-Length: 5", body=b"hello", status="206 Partial Content"), HttpStatusError),
    Case("EST-114", "304 for cacerts", say(b"HTTP/1.1 304 Not Modified\r\n\r\n"), (HttpStatusError, RedirectRefusedError)),
    Case("EST-114", "202 for cacerts", head("Retry-After: 1", "Content-Length: 0", status="202 Accepted"), HttpStatusError),
    Case("EST-166", "404", head("Content-Length: 0", status="404 Not Found"), HttpStatusError, "404"),
    Case("EST-166", "500 with a mebibyte of HTML", head("Content-Type: text/html", "Content-Length: 1048576", body=MIB,
         status="500 Oh"), (HttpStatusError, TOO_LARGE)),
    Case("EST-11 EST-31", "redirect to plain HTTP", redirect("http://127.0.0.1/.well-known/est/cacerts"), RedirectRefusedError),
    Case("EST-31", "redirect to a file", redirect("file:///etc/passwd"), RedirectRefusedError),
    Case("EST-31", "redirect to nowhere", lambda host: host.answer(cacerts=lambda _s: http(302)), RedirectRefusedError),
    Case("EST-31", "redirect with a user name", redirect("https://canary:x@127.0.0.1/"), RedirectRefusedError),
    Case("EST-31", "redirect in a circle", loop, RedirectRefusedError),
    Case("EST-31", "redirect with a line break", redirect("/a%0d%0aX: y\x0b"), (RedirectRefusedError, PROTOCOL)),
    Case("EST-31", "six redirects", six, RedirectRefusedError, "more than 5"),
    Case("EST-31", "303 after a POST", moved(303, "/.well-known/est/simplereenroll/2"), RedirectRefusedError, "303"),
    Case("EST-31", "303 after a POST, to another server", moved(303, "https://localhost:1/x"), RedirectRefusedError, "303"),
    Case("EST-29", "an enrolment sent elsewhere", moved(307, "https://localhost:1/x"), RedirectRefusedError),
    Case("EST-29", "an enrolment sent to another port", moved(308, "https://127.0.0.1:1/x"), RedirectRefusedError),
    Case("EST-29", "an enrolment sent to another server, the scheme left out", moved(302, "//localhost:1/x"),
         RedirectRefusedError),
    Case("EST-11 EST-31", "an enrolment sent to plain HTTP", moved(307, "http://127.0.0.1/x"), RedirectRefusedError),
    Case("EST-84", "401 without a challenge", challenge(), AuthenticationRequiredError),
    Case("EST-84", "401 with schemes nobody knows", challenge("Negotiate", "NTLM TlRMTVNT"), AuthenticationRequiredError),
    Case("EST-84", "a challenge of nonsense", challenge('Digest realm="', "=,=,=", "\x7f"), AuthenticationRequiredError),
    Case("EST-86", "Digest with an unknown algorithm", challenge('Digest realm="r", nonce="n", qop="auth", algorithm=ROT13'),
         AuthenticationRequiredError),
    Case("EST-84", "a challenge of 60 KiB", challenge("Basic realm=" + '"' + "x" * 60_000 + '"'),
         (AuthenticationRequiredError, PROTOCOL, TOO_LARGE)),
]  # fmt: skip

_ANSWERED = {"a challenge of 60 KiB"}


@table(CASES)
def test_broken_http(lab: Lab, case: Case) -> None:
    carry_out(lab, case)
    if case.name not in _ANSWERED:
        lab.assert_no_credential_left()


def test_est_84_a_password_is_tried_once(lab: Lab) -> None:
    """A server that says 401 for ever gets the password of its own user once, and no second guess."""
    case = Case("EST-84", "401 for ever", challenge('Basic realm="r"'), AuthenticationRequiredError, "refused")
    carry_out(lab, case)
    basic = base64.b64encode(f"canary:{PASSWORD}".encode())
    assert bytes(lab.host.received).count(basic) == 1
    assert PASSWORD not in str(lab.host.failures)
