"""What the server answers, over TLS, to requests it does not fulfil: RFC 7030 section 4.2.3, RFC 8951 section 5.1."""

from __future__ import annotations

import base64
import http.client
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from device_sdk_simulators.server import ReferenceServer

from tests.simulators.server.support import EST, PKCS10, basic, make_csr, name


@dataclass(frozen=True)
class Bad:
    """A request, and the status it is answered with."""

    status: int
    method: str = "POST"
    path: str = "simpleenroll"
    body: Callable[[], bytes] = lambda: base64.b64encode(make_csr())
    headers: dict[str, str] = field(default_factory=lambda: dict([PKCS10]))
    login: bool = True


def forged() -> bytes:
    csr = make_csr()
    return base64.b64encode(csr[:-1] + bytes([csr[-1] ^ 1]))


BAD = {
    "not base64": Bad(400, body=lambda: b"*" * 40),
    "not DER": Bad(400, body=lambda: base64.b64encode(b"no request")),
    "nothing": Bad(400, body=bytes),
    "a signature that is none": Bad(400, body=forged),
    "a text": Bad(415, headers={"Content-Type": "text/plain"}),
    "a renewal by password": Bad(403, path="simplereenroll"),
    "the wrong method": Bad(405, path="cacerts"),
    "no such operation": Bad(404, path="simplerenroll"),
    "no such label": Bad(404, path="nowhere/simpleenroll"),
    "a body that would be too large": Bad(
        413, body=lambda: b"A", headers=dict([PKCS10]) | {"Content-Length": "2000000"}
    ),
}


def send(
    connection: http.client.HTTPSConnection, server: ReferenceServer, bad: Bad
) -> tuple[http.client.HTTPResponse, bytes]:
    login = dict([basic(server)]) if bad.login else {}
    connection.request(bad.method, EST + bad.path, bad.body(), bad.headers | login)
    response = connection.getresponse()
    return response, response.read()


@pytest.mark.parametrize("what", list(BAD))
def test_est_160_a_fitting_status_and_words_for_people(what, server, connect):
    """Nothing is issued, nothing waits, and the next good request is served."""
    bad = BAD[what]
    response, text = send(connect(), server, bad)
    assert response.status == bad.status
    assert response.getheader("Content-Type") == "text/plain; charset=utf-8"
    assert len(text.decode().split()) > 1
    assert server.est.register.entries() == []
    assert server.est.queue.entries() == []
    good, _ = send(connect(), server, Bad(200, body=lambda: base64.b64encode(make_csr(subject=name("dev-2")))))
    assert good.status == 200


def test_est_160_who_says_nothing_of_himself_is_asked(server, connect):
    """401 has a challenge and no words: Bouncy Castle cannot bear a body there."""
    response, text = send(connect(), server, Bad(401, login=False))
    assert (response.status, text) == (401, b"")
    assert response.getheader("WWW-Authenticate")
    assert server.est.register.entries() == []


THEFTS = {
    "another user": {"user": "other"},
    "another label": {"path": "lab/simpleenroll"},
    "another operation": {"path": "simplereenroll"},
    "another key": {"key": ec.generate_private_key(ec.SECP256R1())},
    "another name": {"subject": name("dev-2")},
    "another extension": {"extensions": [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)]},
}


@pytest.mark.parametrize("what", list(THEFTS))
def test_est_163_an_approval_is_for_one_request_of_one_client(what, server, connect):
    """The approved request itself, sent by somebody else or elsewhere, and another one by the same client, wait like new."""
    theft = THEFTS[what]
    key = ec.generate_private_key(ec.SECP256R1())
    server.users.add("other", server.password)
    server.policy.labels = {"lab"}
    server.policy.reenroll_with_password = True

    def ask(user: str = server.user, path: str = "simpleenroll", key=key, **request) -> int:
        login = "Basic " + base64.b64encode(f"{user}:{server.password}".encode()).decode()
        bad = Bad(0, path=path, body=lambda: base64.b64encode(make_csr(key, **request)))
        bad.headers["Authorization"] = login
        return send(connect(), server, replace(bad, login=False))[0].status

    assert ask() == 200
    server.policy.require_approval = True
    assert ask() == 202
    assert server.est.queue.decide(None, approve=True) == 1
    assert ask(**theft) == 202
    assert len(server.est.register.entries()) == 1
    assert ask() == 200
