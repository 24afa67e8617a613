"""What requests are bound to, over real connections to the reference server: EST-90 to EST-102."""

from __future__ import annotations

import base64
import dataclasses
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from device_sdk.client.est import Clock, Compatibility, Credentials, EstClient
from device_sdk.errors import ConfigurationError, EnrolmentPendingError, HttpStatusError, LocalProtocolError
from device_sdk.model.http import ConnectionFacts
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust
from device_sdk.protocols.est.binding import channel_binding
from tests.est.answers import SPEC
from tests.est.pki import new_key

OLD = ConnectionFacts("TLSv1.2", "x", tls_unique=b"u" * 12, tls_exporter=b"e" * 32)
NEW = ConnectionFacts("TLSv1.3", "x", tls_exporter=b"e" * 32, tls_finished=b"f" * 48)


@pytest.fixture
def connect(est_server) -> Callable[..., EstClient]:
    anchors = tuple(x509.load_pem_x509_certificates(est_server.ca_file.read_bytes()))

    def open_client(**options: Any) -> EstClient:
        options = {"credentials": Credentials(est_server.user, Secret(est_server.password))} | options
        return EstClient(est_server.url, ServerTrust(explicit=anchors), **options)

    return open_client


@pytest.mark.parametrize(
    ("mode", "old", "new"),
    [
        ("auto", b"u" * 12, b"e" * 32),
        ("exporter", b"e" * 32, b"e" * 32),
        ("finished", b"u" * 12, b"f" * 48),
        ("tls-unique", b"u" * 12, None),
    ],
)
def test_est_93_est_98_the_value_of_each_mode(mode: Any, old: bytes, new: bytes | None) -> None:
    assert base64.b64decode(channel_binding(OLD, mode) or "") == old
    if new is None:
        with pytest.raises(LocalProtocolError, match="bound by tls-unique"):
            channel_binding(NEW, mode)
    else:
        assert base64.b64decode(channel_binding(NEW, mode) or "") == new


def test_est_94_none_binds_to_nothing_and_auto_without_a_value_as_well() -> None:
    assert channel_binding(NEW, "none") is None
    assert channel_binding(ConnectionFacts("TLSv1.2", "x")) is None
    with pytest.raises(LocalProtocolError, match="exporter"):
        channel_binding(ConnectionFacts("TLSv1.2", "x"), "exporter")


@pytest.mark.parametrize(
    "options", [{"binding": "x"}, {"after_202": "x"}, {"binding": "tls-unique", "max_tls_version": "1.3"}]
)
def test_unknown_words_and_contradictions_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Compatibility(**options)


@pytest.mark.parametrize(
    ("mode", "version", "seen"),
    [
        ("auto", None, "tls-exporter"),
        ("auto", "1.2", "tls-unique"),
        ("exporter", "1.2", "tls-exporter"),
        ("exporter", None, "tls-exporter"),
        ("finished", None, "finished"),
        ("finished", "1.2", "tls-unique"),
        ("tls-unique", None, "tls-unique"),
    ],
)
def test_est_98_the_server_sees_what_was_chosen(est_server, connect, mode, version, seen) -> None:
    """`tls-unique` brings the connection down to TLS 1.2 by itself."""
    est_server.policy.require_binding = est_server.policy.accept_finished = True
    with connect(compatibility=Compatibility(binding=mode, max_tls_version=version)) as client:
        client.enroll(new_key(), SPEC)
    assert est_server.log()[-1]["binding"] == seen
    assert est_server.log()[-1]["tls_version"] == (
        "TLSv1.2" if "1.2" in (version,) or mode == "tls-unique" else "TLSv1.3"
    )


def test_est_98_finished_is_refused_by_a_server_that_follows_the_rfc(est_server, connect) -> None:
    with (
        connect(compatibility=Compatibility(binding="finished")) as client,
        pytest.raises(HttpStatusError, match="linking failed"),
    ):
        client.enroll(new_key(), SPEC)


def test_est_92_bound_to_nothing_by_choice_and_the_server_insists(est_server, connect) -> None:
    """Refused before anything is sent; the error says that it was our choice."""
    est_server.policy.require_binding = True
    with (
        connect(compatibility=Compatibility(binding="none")) as client,
        pytest.raises(LocalProtocolError, match="told to bind to nothing"),
    ):
        client.enroll(new_key(), SPEC)
    assert est_server.log()[-1]["operation"] == "csrattrs"
    est_server.policy.require_binding = False
    with connect(compatibility=Compatibility(binding="none")) as client:
        client.enroll(new_key(), SPEC)
    assert est_server.log()[-1].get("binding") is None


@pytest.mark.parametrize("mode", ["auto", "finished"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_est_93_est_96_a_resumed_connection_has_a_binding_of_its_own(est_server, connect, mode, version) -> None:
    """RFC 5929 section 3.1: in a resumed handshake the first Finished is the server's."""
    est_server.policy.require_binding = est_server.policy.accept_finished = True
    compatibility = Compatibility(binding=mode, max_tls_version=version)
    with connect(compatibility=compatibility) as client:
        for _ in range(2):
            client.enroll(new_key(), SPEC)
    posts = [one for one in est_server.log() if one["operation"] == "simpleenroll" and one["status"] == 200]
    assert [one["resumed"] for one in posts] == [False, True]
    expected = {"1.2": "tls-unique", "1.3": "tls-exporter" if mode == "auto" else "finished"}[version]
    assert [one["binding"] for one in posts] == [expected] * 2


def test_est_30_est_96_rebuilt_on_a_new_connection_and_not_after_401(est_server, connect) -> None:
    """A 401 comes over the connection that is used again; after a break the request is bound to the next one."""
    est_server.policy.require_binding = True
    with connect() as client:
        client.cacerts()
        wishes = client.csrattrs()
        est_server.drop_connections()
        client.enroll(new_key(), SPEC, wishes=wishes)
    posts = [one for one in est_server.log() if one["operation"] == "simpleenroll"]
    assert [(one["status"], one["connection"]) for one in posts] == [(401, 2), (200, 2)]
    assert posts[-1]["binding"] == "tls-exporter"


class Approver:
    """Lets requests through when they have been asked for often enough; optionally breaks every connection before."""

    def __init__(self, server: Any, after: int = 1, *, drop: bool = False) -> None:
        self.server, self.after, self.drop = server, after, drop
        self.seen = 0

    def __call__(self, pending: object) -> None:
        self.seen += 1
        if self.seen >= self.after:
            self.server.est.queue.decide(None, approve=True)
        if self.drop:
            self.server.drop_connections()


def waiting_requests(server: Any) -> list[dict[str, object]]:
    return server.est.queue.entries()


def test_est_163_est_164_a_server_that_knows_keys_gets_a_rebuilt_request(est_server, connect, clock) -> None:
    est_server.policy.require_approval = est_server.policy.require_binding = True
    with connect(clock=clock) as client:
        client.enroll(new_key(), SPEC, wait_s=60, progress=Approver(est_server, drop=True))
    posts = [one for one in est_server.log() if one["operation"] == "simpleenroll" and one["status"] in (200, 202)]
    assert [one["status"] for one in posts] == [202, 200]
    assert posts[0]["connection"] != posts[1]["connection"]
    assert [one["binding"] for one in posts] == ["tls-exporter"] * 2


@pytest.mark.slow
def test_est_163_a_server_that_knows_bytes_needs_the_same_csr(est_server, connect, clock) -> None:
    """`rebuild` puts another request into its queue for each connection; `same-csr` is recognised, and not checked again."""
    policy = est_server.policy
    policy.require_approval = policy.require_binding = policy.pending_by_bytes = True
    with connect(clock=clock) as client, pytest.raises(EnrolmentPendingError):
        client.enroll(new_key(), SPEC, wait_s=8, progress=Approver(est_server, drop=True))
    assert len(waiting_requests(est_server)) > 1
    with connect(clock=clock, compatibility=Compatibility(after_202="same-csr")) as client:
        client.enroll(new_key(), SPEC, wait_s=60, progress=Approver(est_server, drop=True))
    assert est_server.log()[-1]["binding"] == "earlier"


def test_same_csr_costs_the_link_to_the_connection(est_server, connect, clock) -> None:
    """EST-90: a server that checks each request refuses the binding of the connection before."""
    est_server.policy.require_approval = True
    client = connect(clock=clock, compatibility=Compatibility(after_202="same-csr"))
    with client, pytest.raises(HttpStatusError, match="linking failed"):
        client.enroll(new_key(), SPEC, wait_s=60, progress=Approver(est_server, drop=True))


def test_keep_connection_sends_the_same_request_after_a_long_wait(est_server, connect, clock) -> None:
    """Otherwise a connection is given up before it idles longer than servers bear."""
    policy = est_server.policy
    policy.require_approval = policy.pending_by_bytes = policy.require_binding = True
    policy.retry_after_s = 120
    for mode, expected in (("keep-connection", 1), ("rebuild", 2)):
        before = est_server.connections
        with connect(clock=clock, compatibility=Compatibility(after_202=mode)) as client:
            try:
                client.enroll(new_key(), SPEC, wait_s=300, progress=Approver(est_server))
            except EnrolmentPendingError:
                assert mode == "rebuild"
        assert (est_server.connections - before > 1) is (expected > 1)


def test_est_95_the_server_refuses_renegotiation(est_server) -> None:
    """`openssl s_client` asks for it with R; it gets no second handshake."""
    command = [
        "openssl",
        "s_client",
        "-connect",
        f"127.0.0.1:{est_server.port}",
        "-tls1_2",
        "-CAfile",
        str(est_server.ca_file),
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as asked:
        assert asked.stdin is not None
        asked.stdin.write("R\n")
        asked.stdin.flush()
        try:
            out, _ = asked.communicate(timeout=100)
        except subprocess.TimeoutExpired:
            asked.kill()
            raise
    assert "RENEGOTIATING" in out
    assert "no renegotiation" in out
    assert asked.returncode != 0


def test_est_101_est_102_what_a_refusal_says(est_server, connect) -> None:
    """The text says that linking is required, or failed; an RA's foreign binding is in the log for the CA behind."""
    est_server.policy.require_binding = True
    est_server.policy.csrattrs_der = bytes.fromhex("3000")
    with (
        connect(compatibility=Compatibility(binding="none")) as client,
        pytest.raises(HttpStatusError, match="proof of possession is required"),
    ):
        client.enroll(new_key(), SPEC)


def test_a_plan_carries_the_choice_to_every_connection(est_server, tmp_path) -> None:
    """Enrolment, renewal, and the connection that proves the new pair."""
    from device_sdk.client.device import Device, EnrolmentPlan, RenewalPlan

    est_server.policy.require_binding = True
    choice = Compatibility(binding="tls-unique")
    (tmp_path / "keys").mkdir(mode=0o700)
    device = Device(tmp_path / "state")
    anchors = tuple(x509.load_pem_x509_certificates(est_server.ca_file.read_bytes()))
    plan = EnrolmentPlan(
        url=est_server.url, key_uri=f"file:{tmp_path}/keys/device.pem", spec=dataclasses.replace(SPEC), anchors=anchors,
        credentials=Credentials(est_server.user, Secret(est_server.password)), compatibility=choice,
    )  # fmt: skip
    device.enroll(plan)
    device.renew(RenewalPlan(compatibility=choice))
    assert {one["tls_version"] for one in est_server.log()} == {"TLSv1.2"}
    assert [
        one["binding"] for one in est_server.log() if one["status"] == 200 and "enroll" in str(one["operation"])
    ] == ["tls-unique"] * 2


@pytest.mark.slow
def test_est_163_the_same_request_in_the_next_run(est_server, tmp_path) -> None:
    """A device that is told to come back later is run again, by a timer for instance: the journal has the request."""
    from device_sdk.client.device import Device, EnrolmentPlan, RenewalPlan

    policy = est_server.policy
    policy.require_approval = policy.require_binding = policy.pending_by_bytes = True
    policy.retry_after_s = 0
    choice = Compatibility(after_202="same-csr")
    (tmp_path / "keys").mkdir(mode=0o700)
    anchors = tuple(x509.load_pem_x509_certificates(est_server.ca_file.read_bytes()))
    plan = EnrolmentPlan(
        url=est_server.url, key_uri=f"file:{tmp_path}/keys/device.pem", spec=SPEC, anchors=anchors,
        credentials=Credentials(est_server.user, Secret(est_server.password)), compatibility=choice,
    )  # fmt: skip
    device = Device(tmp_path / "state", clock=Later())
    for work in (lambda: device.enroll(plan), lambda: device.renew(RenewalPlan(compatibility=choice))):
        for _ in range(2):
            with pytest.raises(EnrolmentPendingError):
                work()
        assert len(waiting_requests(est_server)) == 1
        est_server.est.queue.decide(None, approve=True)
        work()
        assert [one["binding"] for one in est_server.log() if one.get("issued_serial")][-1] == "earlier"
        assert device.state.journal() is None


@pytest.mark.slow
def test_a_refused_request_is_not_repeated_for_ever(est_server, tmp_path) -> None:
    """A server that checks bindings refuses it on the next connection; the run after that makes another one."""
    from device_sdk.client.device import Device, EnrolmentPlan

    est_server.policy.require_approval, est_server.policy.retry_after_s = True, 0
    (tmp_path / "keys").mkdir(mode=0o700)
    anchors = tuple(x509.load_pem_x509_certificates(est_server.ca_file.read_bytes()))
    plan = EnrolmentPlan(
        url=est_server.url, key_uri=f"file:{tmp_path}/keys/device.pem", spec=SPEC, anchors=anchors,
        credentials=Credentials(est_server.user, Secret(est_server.password)),
        compatibility=Compatibility(after_202="same-csr"),
    )  # fmt: skip
    device = Device(tmp_path / "state", clock=Later())
    with pytest.raises(EnrolmentPendingError):
        device.enroll(plan)
    est_server.est.queue.decide(None, approve=True)
    with pytest.raises(HttpStatusError, match="linking failed"):
        device.enroll(plan)
    assert device.enroll(plan).changed


class Later(Clock):
    """Every look at the clock is two seconds after the one before: no run comes too early."""

    def __init__(self) -> None:
        self.looks = 0

    def now(self) -> datetime:
        self.looks += 1
        return super().now() + timedelta(seconds=2 * self.looks)
