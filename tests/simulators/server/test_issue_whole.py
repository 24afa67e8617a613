"""What belongs to a certificate is written down with it or not at all: a crash at any moment loses nothing (over TLS)."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from device_sdk.client.est import Credentials, EstClient
from device_sdk.errors import CmcPendingError, DeviceSdkError, EnrolmentPendingError, HttpStatusError
from device_sdk.model.csr import CsrSpec
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust, TlsIdentity
from tests.simulators.server.support import name

CHALLENGE = "revoke-me"


@pytest.fixture
def client(server):
    opened = []
    server.policy.fullcmc = True
    server.policy.serverkeygen = {"clear"}

    def connect(**options) -> EstClient:
        root = x509.load_pem_x509_certificate(server.ca_file.read_bytes())
        options.setdefault("credentials", Credentials(server.user, Secret(server.password)))
        opened.append(EstClient(server.url, ServerTrust(explicit=(root,)), **options))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


@contextmanager
def broken(server, table: str):
    """The database fails at the first row for a table: what a crash at that place leaves is what was committed before."""
    server._database.execute(f"CREATE TRIGGER crash BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'crash'); END")
    try:
        yield
    finally:
        server._database.execute("DROP TRIGGER crash")


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def spec() -> CsrSpec:
    return CsrSpec(name(), revocation_challenge=Secret(CHALLENGE))


OPERATIONS = {
    "simpleenroll": lambda client, key: client.enroll(key, spec()).certificate,
    "fullcmc": lambda client, key: client.fullcmc.enroll(key, spec()).enrolled.certificate,
    "serverkeygen": lambda client, key: client.serverkeygen(spec(), key, allow_clear=True).certificate,
}


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_rfc_7894_a_crash_loses_no_revocation_password(operation, server, client):
    """An approved request that is answered by 500 is still approved, and its certificate comes with the password."""
    server.policy.require_approval = server.policy.require_revocation_challenge = True
    key, ask = new_key(), OPERATIONS[operation]
    with pytest.raises((EnrolmentPendingError, CmcPendingError)):
        ask(client(), key)
    server.est.queue.decide(None, approve=True)
    with broken(server, "revocation_challenges"), pytest.raises(HttpStatusError) as caught:
        ask(client(), key)
    assert caught.value.status_code == 500
    assert server.est.register.entries() == []
    serial = f"{ask(client(), key).serial_number:x}"
    assert server.est.requirements.challenges.may_revoke(serial, CHALLENGE)
    assert [one["serial"] for one in server.est.register.entries()] == [serial]


@pytest.mark.slow
def test_rfc_5272_6_11_a_crash_loses_no_reason_of_a_revocation(server, client):
    key = new_key()
    identity = TlsIdentity(client().enroll(key, CsrSpec(name())).chain, key)
    with broken(server, "cmc_revocations"), pytest.raises(DeviceSdkError):
        client(identity=identity).fullcmc.revoke(identity.chain[0], "keyCompromise")
    assert [one["revoked_at"] for one in server.est.register.entries()] == [None]
    client(identity=identity).fullcmc.revoke(identity.chain[0], "keyCompromise")
    assert server.est.full_cmc.store.revocation_reason(f"{identity.chain[0].serial_number:x}") == 1


@pytest.mark.slow
def test_a_block_in_a_transaction_is_undone_with_it(server):
    database = server._database

    def change() -> None:
        with database.transaction():
            database.execute("INSERT INTO one_time_passwords (digest) VALUES ('a')")
            with database.transaction() as connection:
                connection.execute("INSERT INTO one_time_passwords (digest) VALUES ('b')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change()
    assert database.rows("SELECT * FROM one_time_passwords") == []
