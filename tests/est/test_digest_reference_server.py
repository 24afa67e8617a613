"""HTTP Digest between this client and the reference server, over TLS (RFC 7616; EST-72, EST-80 to EST-88)."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from device_sdk_simulators.ca.tls import TlsProfile
from device_sdk_simulators.policy import Policy
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.est import Credentials, EstClient
from device_sdk.errors import (
    AuthenticationRequiredError,
    DeviceSdkError,
    EnrolmentPendingError,
    HttpStatusError,
    ServerNotAuthorizedError,
    ServerNotTrustedError,
)
from device_sdk.model.csr import CsrSpec
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust, TlsIdentity
from tests.est.pki import Ca, name, new_key

SPEC = CsrSpec(subject=name("device 1"))


@pytest.fixture
def server(tmp_path):
    with ReferenceServer(tmp_path / "server", policy=Policy(http_auth=("digest",))) as running:
        yield running


@pytest.fixture
def connect(server):
    def open_client(user: str | None = "device", password: str | None = None, **options) -> EstClient:
        credentials = Credentials(user, Secret(password or server.password)) if user is not None else None
        trust = options.pop("trust", None) or anchors_of(server)
        return EstClient(server.url, trust, credentials=credentials, **options)

    return open_client


def anchors_of(server) -> ServerTrust:
    return ServerTrust(explicit=tuple(x509.load_pem_x509_certificates(server.ca_file.read_bytes())))


def posts(server) -> list[tuple[int, str]]:
    return [(entry["status"], entry["authentication"]) for entry in server.log() if entry["method"] == "POST"]


@pytest.mark.parametrize("algorithms", [("SHA-256",), ("MD5",), ("MD5", "SHA-256")])
@pytest.mark.parametrize("userhash", [False, True])
@pytest.mark.parametrize("version", ["1.2", None])
def test_est_86_enrolment(server, connect, algorithms, userhash, version):
    server.policy.digest_algorithms, server.policy.digest_userhash = algorithms, userhash
    server.policy.require_binding = True
    with connect(max_tls_version=version) as client:
        client.enroll(new_key(), SPEC)
    assert posts(server) == [(401, "none"), (200, "digest")]
    assert server.connections == 1
    assert server.log()[-1]["user"] == "device"


@pytest.mark.parametrize(
    ("user", "password"), [("", "pass"), ("J\u00e4s\u00f8n Doe", "Secret, or n\u00f6t?"), ('q"\\u', 'p"\\w')]
)
@pytest.mark.parametrize("userhash", [False, True])
def test_est_85_users_of_every_kind(server, connect, user, password, userhash):
    server.policy.digest_userhash = userhash
    server.users.add(user, password)
    with connect(user, password) as client:
        client.enroll(new_key(), SPEC)
    assert server.log()[-1]["user"] == user


@pytest.mark.parametrize(
    ("user", "password"), [("", "pass"), ("J\u00e4s\u00f8n Doe", "Secret, or n\u00f6t?"), ('q"\\u', 'p:"\\w')]
)
def test_est_83_est_85_basic_with_users_of_every_kind(server, connect, user, password):
    """RFC 7617: UTF-8; the first colon ends the name."""
    server.policy.http_auth = ("basic",)
    server.users.add(user, password)
    with connect(user, password) as client:
        client.enroll(new_key(), SPEC)
    assert posts(server) == [(401, "none"), (200, "basic")]
    assert server.log()[-1]["user"] == user


def test_rfc_7616_section_5_6_digest_is_preferred_to_basic(server, connect):
    server.policy.http_auth = ("basic", "digest")
    with connect() as client:
        client.enroll(new_key(), SPEC)
    assert posts(server)[-1] == (200, "digest")


def test_est_88_each_enrolment_has_a_nonce_of_its_own_and_401_comes_once(server, connect):
    """The next nonce comes with the answer, so that only the first request is asked for a password."""
    with connect() as client:
        for _ in range(3):
            client.enroll(new_key(), SPEC)
    assert posts(server) == [(401, "none"), (200, "digest"), (200, "digest"), (200, "digest")]


def test_est_86_a_nonce_that_grew_old_is_replaced_once(server, connect):
    with connect() as client:
        client.enroll(new_key(), SPEC)
        server.clock = lambda: datetime.now(UTC) + timedelta(minutes=6)
        client.enroll(new_key(), SPEC)
    assert [status for status, _ in posts(server)] == [401, 200, 401, 200]


def test_est_86_a_server_that_restarted(tmp_path):
    """It knows none of the old nonces, and says so."""
    policy = Policy(http_auth=("digest",))
    with ReferenceServer(tmp_path / "s", policy=policy) as server:
        port, credentials = server.port, Credentials("device", Secret(server.password))
        client = EstClient(server.url, anchors_of(server), credentials=credentials)
        client.enroll(new_key(), SPEC)
    with client, ReferenceServer(tmp_path / "s", policy=policy, port=port) as server:
        client.enroll(new_key(), SPEC)
        assert [status for status, _ in posts(server)] == [401, 200, 401, 200]


@pytest.mark.slow
def test_est_163_waiting_asks_for_the_password_once(server, connect, clock):
    server.policy.require_approval = True
    server.policy.retry_after_s = 0
    with connect(clock=clock) as client, pytest.raises(EnrolmentPendingError):
        client.enroll(new_key(), SPEC, wait_s=30)
    statuses = [status for status, _ in posts(server)]
    assert statuses[:3] == [401, 202, 202]
    assert statuses.count(401) == 1


def test_a_wrong_password_is_tried_once(server, connect):
    with connect(password="guess") as client, pytest.raises(AuthenticationRequiredError, match="refused") as caught:
        client.enroll(new_key(), SPEC)
    assert [status for status, _ in posts(server)] == [401, 401]
    assert caught.value.schemes == ("Digest",)
    assert "guess" not in str(caught.value) + repr(caught.value.facts())


def test_est_80_password_on_top_of_the_certificate(server, connect):
    server.policy.require_password = True
    key = new_key()
    with connect() as client:
        enrolled = client.enroll(key, SPEC)
    identity = TlsIdentity(enrolled.chain, key)
    with connect(identity=identity) as client:
        client.reenroll(new_key())
    assert posts(server)[-1] == (200, "digest+tls")
    with connect(None, identity=identity) as client, pytest.raises(AuthenticationRequiredError, match="as well as"):
        client.reenroll(new_key())
    server.users.add("other", "pw")
    with connect("other", "pw", identity=identity) as client, pytest.raises(HttpStatusError, match="another user"):
        client.reenroll(new_key())


@pytest.mark.parametrize("reason", ["name", "anchor"])
def test_est_72_est_84_nothing_goes_to_a_server_that_is_not_authorized(server, connect, reason):
    """Neither the name of the user nor a hash with the password in it."""
    if reason == "name":
        server.use_tls(TlsProfile(local_names=False))
    trust = ServerTrust(explicit=(Ca.root("other").certificate,)) if reason == "anchor" else None
    expected = ServerNotAuthorizedError if reason == "name" else ServerNotTrustedError
    with connect(trust=trust) as client, pytest.raises(expected):
        client.enroll(new_key(), SPEC)
    assert server.log() == []


def test_the_password_is_in_no_log_line(server, connect, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("device_sdk"), "propagate", True)  # a command in this process ends that
    caplog.set_level("DEBUG")
    caplog.set_level("DEBUG", "device_sdk")
    with connect() as client:
        client.enroll(new_key(), SPEC)
    assert caplog.records
    assert server.password not in caplog.text
    assert "response=" not in caplog.text


@pytest.mark.slow
def test_threads_that_share_a_client_do_not_mix_up_their_nonces(server, connect):
    """Challenge, answer, proof and next nonce are one conversation each (RFC 7616 section 3.5)."""
    server.policy.require_binding = True
    together, errors = threading.Barrier(4), []

    def enrol(client: EstClient) -> None:
        try:
            for _ in range(4):
                together.wait(60)
                key = new_key()
                assert client.enroll(key, SPEC).certificate.public_key() == key.public_key()
        except (DeviceSdkError, AssertionError, threading.BrokenBarrierError) as error:
            together.abort()
            errors.append(error)

    with connect() as client:
        threads = [threading.Thread(target=enrol, args=(client,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
    assert [status for status, _ in posts(server)].count(200) == 16
