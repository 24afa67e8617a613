"""Servers that are who they should be and go after the password: EST-81, EST-83, EST-84, EST-86; each attack over TLS."""

from __future__ import annotations

import re
import socket
from itertools import count

import pytest

from device_sdk.errors import AuthenticationRequiredError, RedirectRefusedError, TlsError, VerificationError
from tests.est.answers import issue
from tests.est.scripted_server import Handler, Reply, Seen, http
from tests.hostile.case import Attack, Case, carry_out, table
from tests.hostile.conftest import Lab
from tests.hostile.host import Host

REFUSED, NO_HTTPS = AuthenticationRequiredError, "not an https URL"
DIGEST = 'Digest realm="r", nonce="n1", qop="auth", algorithm=SHA-256'
STALE = 'Digest realm="r", nonce="n{}", qop="auth", algorithm=SHA-256, stale=true'


def asking(*challenges: str) -> Handler:
    fields = tuple(("WWW-Authenticate", one) for one in challenges)
    return lambda _seen: http(401, b"", *fields)


def enrolling(*handlers: Handler) -> Attack:
    """Honest until /simplereenroll; then these answers, the last of them for ever."""

    def attack(host: Host) -> None:
        left = list(handlers)

        def answer(seen: Seen) -> Reply:
            handler = left.pop(0) if len(left) > 1 else left[0]
            return handler(seen)

        host.answer(simplereenroll=answer)

    return attack


def proving(info: str) -> Attack:
    """The certificate, with a proof that the server knows the password."""

    def attack(host: Host) -> None:
        certify = issue(host.ca)

        def answer(seen: Seen) -> Reply:
            reply = certify(seen)
            head, _, body = reply.data.partition(b"\r\n\r\n")
            return Reply(head + f"\r\nAuthentication-Info: {info}".encode() + b"\r\n\r\n" + body)

        enrolling(asking(DIGEST), answer)(host)

    return attack


def plain_http(host: Host) -> None:
    """No TLS at all, and a question for the password."""

    def raw(sock: socket.socket) -> None:
        sock.settimeout(5)
        host.received.extend(sock.recv(65536))
        sock.sendall(b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="r"\r\nContent-Length: 0\r\n\r\n')

    host.raw = raw


def to_plain_http(*before: Handler) -> Attack:
    """The request is sent on to the same server, without TLS."""

    def attack(host: Host) -> None:
        location = host.url.replace("https:", "http:") + "/.well-known/est/simplereenroll"
        enrolling(*before, lambda _seen: http(307, b"", ("Location", location)))(host)

    return attack


SILENT = [
    Case("EST-81", "the question comes without TLS", plain_http, TlsError),
    Case("EST-81", "the request is sent on to plain HTTP", to_plain_http(), RedirectRefusedError, NO_HTTPS),
    Case("EST-84", "a scheme for other networks", enrolling(asking('Bearer realm="r"')), REFUSED, "Bearer"),
    Case("EST-84", "no challenge", enrolling(asking()), REFUSED, "no scheme"),
    Case("EST-86", "Digest of RFC 2069, without qop", enrolling(asking('Digest realm="r", nonce="n"')), REFUSED, "Digest"),
    Case("EST-86", "auth-int alone", enrolling(asking('Digest realm="r", nonce="n", qop="auth-int"')), REFUSED, "Digest"),
    Case("EST-86", "SHA-1", enrolling(asking('Digest realm="r", nonce="n", qop="auth", algorithm=SHA')), REFUSED, "Digest"),
    Case("EST-86", "two nonces", enrolling(asking('Digest realm="r", nonce="n", nonce="m", qop="auth"')), REFUSED, "Digest"),
    Case("EST-86", "no nonce", enrolling(asking('Digest realm="r", nonce="", qop="auth"')), REFUSED, "Digest"),
    Case("EST-86", "a nonce of two kilobytes", enrolling(asking(f'Digest realm="r", qop="auth", nonce="{"n" * 2000}"')), REFUSED),
]  # fmt: skip
ONCE = [
    Case("EST-81", "the answered request is sent on to plain HTTP", to_plain_http(asking(DIGEST)), RedirectRefusedError, NO_HTTPS),
    Case("EST-83", "Basic after a right answer to Digest", enrolling(asking(DIGEST), asking('Basic realm="r"')), REFUSED, "refused"),
    Case("EST-86", "another nonce that is not stale", enrolling(asking(DIGEST), asking(DIGEST.replace("n1", "n2"))), REFUSED, "refused"),
    Case("EST-86", "a stale nonce that is not another", enrolling(asking(DIGEST), asking(STALE.format(1))), REFUSED, "refused"),
    Case("EST-86", "a false proof", proving('rspauth="' + "0" * 64 + '"'), VerificationError, "prove"),
    Case("EST-86", "two proofs", proving('rspauth="0", rspauth="1"'), VerificationError, "prove"),
]  # fmt: skip


def answers(lab: Lab) -> list[bytes]:
    return re.findall(rb"\r\nauthorization: (\w+)", bytes(lab.host.received).lower())


@table(SILENT)
def test_not_answered(lab: Lab, case: Case) -> None:
    carry_out(lab, case)
    lab.assert_no_credential_left()
    assert answers(lab) == []


@table(ONCE)
def test_answered_by_digest_once(lab: Lab, case: Case) -> None:
    """Better schemes keep the password from who asks for it; there is no second guess, and no certificate."""
    carry_out(lab, case)
    assert answers(lab) == [b"digest"]


def test_est_86_stale_for_ever(lab: Lab) -> None:
    """One more answer for a nonce that grew old, and then no more."""
    nonces = count(2)

    def stale(_seen: Seen) -> Reply:
        return http(401, b"", ("WWW-Authenticate", STALE.format(next(nonces))))

    attack = enrolling(asking(DIGEST), stale)
    carry_out(lab, Case("EST-86", "stale for ever", attack, REFUSED, "refused"))
    assert answers(lab) == [b"digest"] * 2


@pytest.mark.parametrize("offers", [["Basic realm=r", DIGEST], [DIGEST.replace("SHA-256", "MD5") + ", Basic realm=r"]])
def test_est_83_the_strongest_scheme_wins(lab: Lab, offers: list[str]) -> None:
    """RFC 7616 section 5.6: who offers both does not see the password."""
    carry_out(lab, Case("EST-83", "both", enrolling(asking(*offers)), REFUSED, "refused"))
    assert answers(lab) == [b"digest"]
