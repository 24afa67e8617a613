"""The operating system's anchors lead to a server once, and are left then: EST-58, EST-118, RFC 7030 section 4.1.3."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.http.messages import TlsFacts
from device_sdk_simulators.http.tls import ServerTls, TlsSettings, certificate_tls
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.device import RenewalPlan
from device_sdk.errors import EnrolmentPendingError, HttpStatusError, ServerNotTrustedError, TlsError
from device_sdk.state import Endpoint
from tests.est.pki import Ca, new_key

EXPLICIT_ONLY = RenewalPlan(implicit=False)


class Choice:
    """TLS with one of two certificates: the private CA's for clients that name it in the ClientHello, if that is known.

    Attributes:
        looks: whether the server heeds what clients name.
        named: for each connection, whether the CA was named.
    """

    def __init__(self, public: TlsSettings, private: TlsSettings, anchor_sha1: bytes) -> None:
        self.looks = True
        self.named: list[bool] = []
        self._accept = {False: certificate_tls(public), True: certificate_tls(private)}
        self._sha1 = anchor_sha1

    def __call__(self, sock: socket.socket) -> ServerTls:
        return _Chosen(self, sock)

    def choose(self, sock: socket.socket) -> ServerTls:
        named = self._sha1 in sock.recv(65536, socket.MSG_PEEK)
        self.named.append(named)
        return self._accept[named and self.looks](sock)


class _Chosen:
    def __init__(self, choice: Choice, sock: socket.socket) -> None:
        self._choose: Callable[[], ServerTls] = lambda: choice.choose(sock)

    def handshake(self) -> TlsFacts:
        self._tls = self._choose()
        return self._tls.handshake()

    def recv(self, size: int, /) -> bytes:
        return self._tls.recv(size)

    def sendall(self, data: bytes, /) -> object:
        return self._tls.sendall(data)

    def shutdown(self) -> object:
        # a client that trusts nobody is gone before there is anything to shut down
        with contextlib.suppress(AttributeError):
            self._tls.shutdown()
        return None


@pytest.fixture
def choice(est_server: ReferenceServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Choice:
    """The reference server with a certificate of a public CA beside its own; the former is in the system's store."""
    public = Ca.root("Public CA")
    key = new_key()
    names = [(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)]
    certificate = public.certify("EST server", key.public_key(), extensions=names)
    (tmp_path / "system.pem").write_bytes(public.certificate.public_bytes(Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))
    own = est_server._tls_settings()
    root = est_server.hierarchy.root.certificate.public_bytes(Encoding.DER)
    sha1 = hashlib.sha1(root).digest()  # noqa: S324  # RFC 6066 section 6
    choice = Choice(replace(own, chain=[certificate], key=key), own, sha1)
    est_server._listener._tls = choice
    return choice


def broken(sock: socket.socket) -> ServerTls:
    """A handshake that ends in its middle."""
    sock.recv(65536)  # unread bytes would make a reset of the end
    raise ConnectionResetError


def endpoint(bench) -> tuple[bool, bool]:
    found = bench.device.state.load().endpoint
    return found.implicit, found.announce


def enroll(bench) -> None:
    bench.device.enroll(bench.planned(url=bench.server.url, anchors=(), implicit=True))


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The system's store is emptied."""
    return lambda: monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")


def test_est_58_est_118_the_anchors_are_named_from_the_first_moment_on(bench, choice, gone) -> None:
    """One connection by the public certificate; everything after it by the CA's own, without the system's store."""
    enroll(bench)
    assert endpoint(bench) == (False, True)
    assert choice.named[0] is False
    assert all(choice.named[1:])
    gone()
    seen = len(choice.named)
    bench.device.renew()
    bench.device.refresh_anchors()
    assert len(choice.named) > seen
    assert all(choice.named[1:])
    assert endpoint(bench) == (False, True)
    bench.require_sound()


def test_est_118_a_broken_handshake_is_no_reason_to_keep_the_system_store(bench, choice, gone) -> None:
    """Anybody on the way can break one: the enrolment does not go on with less than the server can show."""
    whole = choice._accept[True]
    choice._accept[True] = broken
    with pytest.raises(TlsError, match="--anchors"):
        enroll(bench)
    assert choice.named == [False, True]
    assert bench.logged("simpleenroll") == []
    assert bench.device.state.load().endpoint is None
    assert list(bench.keys.iterdir()) == []
    choice._accept[True] = whole
    enroll(bench)
    assert endpoint(bench) == (False, True)
    gone()
    bench.device.renew()


@pytest.mark.slow
def test_est_58_the_owner_switches_the_system_store_off_later(bench, choice, gone) -> None:
    """The server learns to choose by ClientHello after the enrolment; until then nothing but the public certificate works."""
    choice.looks = False
    enroll(bench)
    bench.device.renew()
    assert endpoint(bench) == (True, False)
    before = bench.device.state.load()
    with pytest.raises(ServerNotTrustedError):
        bench.device.renew(EXPLICIT_ONLY)
    assert bench.device.state.load() == before
    bench.device.renew()
    assert endpoint(bench) == (True, False), "what failed was not remembered"
    choice.looks = True
    choice.named.clear()
    bench.device.renew(EXPLICIT_ONLY)
    assert endpoint(bench) == (False, True)
    gone()
    bench.device.renew()
    bench.device.refresh_anchors()
    assert all(choice.named)
    choice.looks = False
    with pytest.raises(ServerNotTrustedError):
        bench.device.renew()
    assert endpoint(bench) == (False, True)


def test_est_118_off_means_off(bench, choice) -> None:
    """The public certificate is not accepted any more, although its CA still is in the system's store."""
    enroll(bench)
    choice.looks = False
    with pytest.raises(ServerNotTrustedError):
        bench.device.renew()
    with pytest.raises(ServerNotTrustedError):
        bench.device.refresh_anchors()
    assert bench.logged("simplereenroll") == [], "it was not asked for anything"


def test_the_owner_may_go_back(bench, choice) -> None:
    """A server that loses its private certificate is reached by its public one, if somebody says so."""
    enroll(bench)
    choice.looks = False
    bench.device.renew(RenewalPlan(implicit=True))
    assert endpoint(bench) == (True, False)
    assert choice.named[-1] is False


def test_a_pending_renewal_remembers_what_was_switched(bench, choice, clock) -> None:
    """The journal has it, so that the run that finishes need not be told again."""
    choice.looks = False
    enroll(bench)
    choice.looks = True
    bench.server.policy.require_approval = True
    with pytest.raises(EnrolmentPendingError):
        bench.device.renew(EXPLICIT_ONLY)
    assert endpoint(bench) == (True, False), "not before it worked"
    bench.server.est.queue.decide(None, approve=True)
    clock.offset_s += 61
    bench.device.renew()
    assert endpoint(bench) == (False, True)


def test_nothing_is_named_where_the_system_store_was_never_asked(bench, choice) -> None:
    """Whoever listens on the line need not know which CA it is."""
    choice._accept[False] = choice._accept[True]
    bench.device.enroll(bench.plan)
    bench.device.renew()
    assert not any(choice.named)
    assert endpoint(bench) == (False, False)


def test_files_of_older_versions_name_nothing(bench) -> None:
    """state.json and journal.json from before there was such a field."""
    bench.server.policy.require_approval = False
    bench.device.enroll(bench.plan)
    path = bench.device.state.path / "state.json"
    content = json.loads(path.read_text())
    assert content["endpoint"].pop("announce") is False
    path.write_text(json.dumps(content))
    assert bench.device.state.load().endpoint == Endpoint(bench.server.url)
    bench.server.faults.parse("status=503@simplereenroll")
    with pytest.raises(HttpStatusError):
        bench.device.renew()
    journal = bench.device.state.path / "journal.json"
    content = json.loads(journal.read_text())
    del content["announce"], content["renewal_url"]
    journal.write_text(json.dumps(content))
    bench.server.faults.clear()
    bench.device.renew()
    bench.require_sound()
