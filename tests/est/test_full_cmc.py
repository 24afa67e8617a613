"""Full CMC against the reference server over TLS: every way to sign, both versions of TLS, waiting, revocation."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from device_sdk_simulators.ca.tls import TlsProfile
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.est import Credentials, EstClient
from device_sdk.client.est.full_cmc import PendingRequest, SharedSecret
from device_sdk.errors import (
    AuthenticationRequiredError,
    CmcIdentityError,
    CmcPendingError,
    CmcPopError,
    CmcRefusedError,
    ConfigurationError,
    HttpStatusError,
)
from device_sdk.model.compatibility import Compatibility
from device_sdk.model.csr import CsrSpec
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust, TlsIdentity
from tests.est.pki import name, new_key

SPEC = CsrSpec(subject=name("router-7"))
SHARED = SharedSecret(Secret("sixteen or more characters"), "router-7")


@pytest.fixture
def server(tmp_path: Path):
    with ReferenceServer(tmp_path / "server") as running:
        running.policy.fullcmc = True
        running.est.full_cmc.store.add_secret("router-7", SHARED.secret.reveal())
        yield running


@pytest.fixture
def client(server, clock):
    opened = []

    def connect(**options) -> EstClient:
        root = x509.load_pem_x509_certificate(server.ca_file.read_bytes())
        opened.append(EstClient(server.url, ServerTrust(explicit=(root,)), clock=clock, **options))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("kind", ["ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072"])
def test_est_205_every_key_enrols_and_renews_bound_to_its_connection(kind, version, server, client):
    server.policy.require_binding = True
    server.use_tls(TlsProfile(maximum=f"TLSv{version}"))
    bits = int(kind.split("-")[1].lstrip("p"))
    curves = {256: ec.SECP256R1(), 384: ec.SECP384R1(), 521: ec.SECP521R1()}
    key = rsa.generate_private_key(65537, bits) if kind.startswith("rsa") else ec.generate_private_key(curves[bits])
    enrolled = client().fullcmc.enroll(key, SPEC, shared_secret=SHARED).enrolled
    renewed = client(identity=TlsIdentity(enrolled.chain, key)).fullcmc.renew(new_key()).enrolled
    assert renewed.certificate.subject == enrolled.certificate.subject
    entries = [entry for entry in server.log() if entry["operation"] == "fullcmc"]
    assert [entry["authentication"] for entry in entries] == ["cmc:shared secret", "cmc:certificate"]
    assert {entry["binding"] for entry in entries} == {"tls-unique" if version == "1.2" else "tls-exporter"}


@pytest.mark.slow
def test_est_100_one_use_of_a_connection(server, client):
    one = client()
    one.fullcmc.enroll(new_key(), SPEC, shared_secret=SHARED)
    one.fullcmc.enroll(new_key(), SPEC, shared_secret=SHARED)
    connections = [entry["connection"] for entry in server.log() if entry["operation"] == "fullcmc"]
    assert len(set(connections)) == 2


def test_est_102_a_request_that_is_not_bound(server, client):
    server.policy.require_binding = True
    unbound = client(compatibility=Compatibility(binding="none"))
    with pytest.raises(CmcPopError) as caught:
        unbound.fullcmc.enroll(new_key(), SPEC, shared_secret=SHARED, wishes=None)
    assert caught.value.fail_info == "popFailed"
    assert "linking" in caught.value.server_text


def test_a_wrong_secret(client, server):
    with pytest.raises(CmcIdentityError) as caught:
        client().fullcmc.enroll(new_key(), SPEC, shared_secret=SharedSecret(Secret("wrong"), "router-7"))
    assert (caught.value.fail_info, caught.value.status_code) == ("badIdentity", 403)
    assert server.est.register.entries() == []


@pytest.mark.slow
def test_an_http_user_without_shared_secret(client, server):
    """Where the message proves nothing, the server asks for a password, as everywhere else; a new nonce goes with it."""
    user = Credentials(server.user, Secret(server.password))
    assert client(credentials=user).fullcmc.enroll(new_key(), SPEC).enrolled
    entries = [entry for entry in server.log() if entry["operation"] == "fullcmc"]
    assert [(entry["status"], entry["connection"]) for entry in entries] == [(401, 1), (200, 1)]
    with pytest.raises(AuthenticationRequiredError):
        client().fullcmc.enroll(new_key(), SPEC)


@pytest.mark.slow
def test_pending_over_a_restart_of_the_client(client, server):
    server.policy.require_approval = True
    key = new_key()
    with pytest.raises(CmcPendingError) as caught:
        client().fullcmc.enroll(key, SPEC, shared_secret=SHARED)
    pending = PendingRequest.from_json(caught.value.pending)
    with pytest.raises(CmcPendingError) as again:
        client().fullcmc.query(pending, key)
    pending = PendingRequest.from_json(again.value.pending)
    server.est.queue.decide(None, approve=True)
    result = client().fullcmc.query(pending, key)
    assert result.enrolled.certificate.public_key() == key.public_key()
    assert (
        client().fullcmc.query(PendingRequest(pending.token, pending.transaction_id, pending.csr), key).enrolled
        == result.enrolled
    )


def test_waiting_until_somebody_approves(client, server, clock):
    server.policy.require_approval = True
    told = []

    def approve(pending) -> None:
        told.append(pending)
        server.est.queue.decide(None, approve=True)

    assert client().fullcmc.enroll(new_key(), SPEC, shared_secret=SHARED, wait_s=60, progress=approve).enrolled
    assert len(told) == len(clock.slept) == 1


def test_confirmation_is_sent_and_answered(client, server):
    server.policy.fullcmc_confirm = True
    result = client().fullcmc.enroll(new_key(), SPEC, shared_secret=SHARED)
    assert [one.status_name for one in result.statuses] == ["confirmRequired", "success"]
    assert server.log()[-1]["confirmed_serial"] == f"{result.enrolled.certificate.serial_number:x}"


def test_revocation_and_what_follows(client, server):
    key = new_key()
    enrolled = client().fullcmc.enroll(key, SPEC, shared_secret=SHARED).enrolled
    identity = TlsIdentity(enrolled.chain, key)
    result = client().fullcmc.revoke(enrolled.certificate, "keyCompromise", signer=identity)
    assert result.enrolled is None
    assert [one.status_name for one in result.statuses] == ["success"]
    with pytest.raises(CmcRefusedError) as caught:
        client().fullcmc.renew(new_key(), current=identity)
    assert caught.value.fail_info == "badMessageCheck"


def test_est_204_a_server_without_it(client, server):
    server.policy.fullcmc = False
    with pytest.raises(HttpStatusError) as caught:
        client().fullcmc.enroll(new_key(), SPEC, shared_secret=SHARED)
    assert caught.value.status_code == 404


def test_contradictions_are_found_before_anything_is_sent(client, server):
    key = new_key()
    enrolled = client().fullcmc.enroll(key, SPEC, shared_secret=SHARED).enrolled
    identity, before = TlsIdentity(enrolled.chain, key), len(server.log())
    chosen = x509.Extension(x509.SubjectKeyIdentifier.oid, False, x509.SubjectKeyIdentifier(b"mine"))
    for mistake in (
        lambda cmc: cmc.enroll(new_key(), SPEC, shared_secret=SHARED, signer=identity),
        lambda cmc: cmc.renew(new_key()),
        lambda cmc: cmc.revoke(enrolled.certificate),
        lambda cmc: cmc.revoke(enrolled.certificate, "bored", signer=identity),
        lambda cmc: cmc.enroll(key, CsrSpec(name("x"), extensions=(chosen,)), shared_secret=SHARED, wishes=None),
    ):
        with pytest.raises(ConfigurationError):
            mistake(client().fullcmc)
    assert [e for e in server.log()[before:] if e["operation"] == "fullcmc"] == []


def test_no_secret_in_the_servers_log_or_an_error(client, server):
    with pytest.raises(CmcIdentityError) as caught:
        client().fullcmc.enroll(new_key(), SPEC, shared_secret=SharedSecret(Secret("guess-me"), "router-7"))
    assert "guess-me" not in str(caught.value) + repr(caught.value.facts()) + repr(server.log())
