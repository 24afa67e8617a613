"""What the EST server refuses, asked over TLS: paths, labels, methods and sizes (EST-01, EST-06, EST-07, EST-10, EST-16, EST-17)."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from device_sdk_simulators.policy import Policy
from device_sdk_simulators.server import ReferenceServer

from tests.simulators.server.support import EST, basic, make_csr
from tests.simulators.server.test_http import read_all, status_of, tls_socket

POSTS = ("simpleenroll", "simplereenroll", "serverkeygen", "fullcmc")
RFC_8295 = ("pal", "eecerts", "crls", "symmetrickeys", "firmware", "tamp")


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReferenceServer]:
    """A server with every operation of RFC 7030, those of RFC 8295 switched off, and a label."""
    policy = Policy(labels={"known"}, own_cas={"own"}, serverkeygen={"clear"}, fullcmc=True, packages=False)
    with ReferenceServer(tmp_path_factory.mktemp("refusals") / "server", policy=policy) as running:
        # sets can be changed behind the policy's back: a label that is no label
        running.policy.labels.update(("cacerts", "SimpleEnroll", "tamp", ".."))
        yield running


def ask(server: ReferenceServer, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    """A good request with the right password: status, header fields and body."""
    name, value = basic(server)
    body = base64.b64encode(make_csr()) if method in ("POST", "PUT", "PATCH") else b""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{name}: {value}\r\nContent-Type: application/pkcs10\r\n"
    head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    with tls_socket(server) as sock:
        sock.sendall(head.encode() + body)
        answer = read_all(sock)
    top, _, content = answer.partition(b"\r\n\r\n")
    fields = (line.partition(": ") for line in top.decode("latin-1").split("\r\n")[1:])
    return status_of(answer), {key: text for key, _, text in fields}, content


def refused(server: ReferenceServer, method: str, path: str) -> tuple[int, dict[str, str]]:
    """The answer to what must not do anything."""
    before = server.est.register.entries()
    status, fields, body = ask(server, method, path)
    assert status >= 400
    assert "pkcs7" not in fields.get("Content-Type", "")
    assert b"MII" not in body
    assert server.est.register.entries() == before
    assert server.log()[-1]["status"] == status
    return status, fields


NOT_THERE = [
    ("EST-01", ".well-known/cacerts"),
    ("EST-01", ".well-known/est"),
    ("EST-01", ".well-known/est/"),
    ("EST-01", ".well-known/other/cacerts"),
    ("EST-01", ".well-known/estate/cacerts"),
    ("EST-06", EST[1:] + "unknown/cacerts"),
    ("EST-06", EST[1:] + "known/deeper/cacerts"),
    ("EST-06", EST[1:] + "known/known/cacerts"),
    ("EST-06", EST[1:] + "/cacerts"),
    ("EST-06", EST[1:] + "known%2Fcacerts"),
    ("EST-06", EST[1:] + "KNOWN/cacerts"),
    ("EST-07", EST[1:] + "cacerts/cacerts"),
    ("EST-07", EST[1:] + "SimpleEnroll/cacerts"),
    ("EST-07", EST[1:] + "tamp/cacerts"),
    ("EST-07", EST[1:] + "%2e%2e/cacerts"),
    ("EST-17", EST[1:] + "enroll"),
    ("EST-17", EST[1:] + "cacerts2"),
    ("EST-17", EST[1:] + "cacerts/"),
    ("EST-17", EST[1:] + "known"),
    *(("EST-17", EST[1:] + name) for name in RFC_8295),
]


@pytest.mark.parametrize(("requirement", "path"), NOT_THERE, ids=[f"{one}: {path}" for one, path in NOT_THERE])
def test_what_is_not_there_is_404(everything: ReferenceServer, requirement: str, path: str) -> None:
    for method in ("GET", "POST"):
        assert refused(everything, method, "/" + path)[0] == 404


@pytest.mark.parametrize("path", ["/cacerts", "/est/cacerts", "/known/cacerts", "/simpleenroll"])
def test_est_01_nothing_of_est_is_elsewhere(everything: ReferenceServer, path: str) -> None:
    for method in ("GET", "POST"):
        refused(everything, method, path)


@pytest.mark.parametrize("operation", ["serverkeygen", "fullcmc", "known/serverkeygen", "own/fullcmc"])
def test_est_17_what_is_off_is_404(everything: ReferenceServer, operation: str) -> None:
    """As a name that nobody knows (RFC 7030 sections 4.3 and 4.4: optional)."""
    everything.policy.serverkeygen, everything.policy.fullcmc = set(), False
    try:
        assert refused(everything, "POST", EST + operation)[0] == 404
    finally:
        everything.policy.serverkeygen, everything.policy.fullcmc = {"clear"}, True


WRONG = [(method, name, "GET") for name in ("cacerts", "csrattrs") for method in ("POST", "PUT", "DELETE", "HEAD")]
WRONG += [(method, name, "POST") for name in POSTS for method in ("GET", "PUT", "PATCH", "HEAD")]


@pytest.mark.parametrize("label", ["", "known/", "own/"])
@pytest.mark.parametrize(("method", "operation", "right"), WRONG)
def test_est_10_the_wrong_method_is_405_and_the_right_one_is_named(
    everything: ReferenceServer, label: str, method: str, operation: str, right: str
) -> None:
    status, fields = refused(everything, method, EST + label + operation)
    assert (status, fields["Allow"]) == (405, right)


@pytest.mark.parametrize("label", ["", "known/", "own/"])
def test_est_02_est_06_the_right_method_is_answered(everything: ReferenceServer, label: str) -> None:
    """What makes the refusals above worth something: the same request in the right place; EST-18."""
    everything.policy.reenroll_with_password = True
    for method, operation in (
        ("GET", "cacerts"),
        ("GET", "csrattrs"),
        ("POST", "simpleenroll"),
        ("POST", "simplereenroll"),
        ("POST", "serverkeygen"),
    ):
        status, fields, _ = ask(everything, method, EST + label + operation)
        assert status == 200, operation
        assert fields["Cache-Control"] == "no-store"


def request_head(server: ReferenceServer, length: int, *more: str) -> bytes:
    lines = [f"POST {EST}simpleenroll HTTP/1.1", ": ".join(basic(server)), f"Content-Length: {length}", *more]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


def test_est_15_the_body_is_asked_for_and_then_read(everything: ReferenceServer) -> None:
    """RFC 9110 section 10.1.1; a client may wait for it as long as it likes."""
    body = base64.b64encode(make_csr())
    with tls_socket(everything) as sock:
        sock.sendall(request_head(everything, len(body), "Expect: 100-continue"))
        interim = b""
        while not interim.endswith(b"\r\n\r\n"):
            interim += sock.recv(1) or pytest.fail("the connection ended")
        assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert status_of(read_all(sock)) == 200


def test_est_15_est_16_a_body_nobody_wants_is_not_asked_for(everything: ReferenceServer) -> None:
    with tls_socket(everything) as sock:
        sock.sendall(request_head(everything, 70_000, "Expect: 100-continue"))
        assert status_of(read_all(sock)) == 413
