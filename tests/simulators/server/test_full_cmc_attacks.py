"""/fullcmc over TLS against those who are not who they seem: other users, other CAs, strangers who fill the disk."""

from __future__ import annotations

import base64
import os
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk_simulators.ca.issue import CMC_RA, Wish, issue
from device_sdk_simulators.http.messages import Response

from device_sdk.client.est import Credentials, EstClient
from device_sdk.errors import CmcRefusedError
from device_sdk.model.csr import CsrSpec
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.wire import der
from device_sdk.wire.cmc import oids
from device_sdk.wire.cmc.pki_data import Control, octets, pki_data, request_sequence, revoke_request
from device_sdk.wire.cms.signing import sign_data
from tests.simulators.server.full_cmc_requests import SECRET, by, refused, said
from tests.simulators.server.support import EST, name

BAD_REQUEST, BAD_CERT_ID, BAD_IDENTITY = 2, 4, 7


@pytest.fixture
def cmc(server):
    server.policy.fullcmc = True
    server.policy.own_cas = {"lab"}
    server.est.full_cmc.store.add_secret("dev-1", SECRET.encode())
    for user in ("alice", "mallory"):
        server.users.add(user, f"{user}'s password")
    return server


@pytest.fixture
def client(cmc):
    opened = []

    def connect(user=None, *, label=None, identity=None) -> EstClient:
        roots = tuple(root.certificate for one in cmc.sites.hierarchies() for root in one.roots)
        known = Credentials(user, Secret(f"{user}'s password")) if user else None
        opened.append(
            EstClient(cmc.url, ServerTrust(explicit=roots), label=label, identity=identity, credentials=known)
        )
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


@pytest.fixture
def enrol(client):
    """A certificate by /simpleenroll with a password."""

    def run(user: str, *, label=None, subject="router") -> TlsIdentity:
        key = ec.generate_private_key(ec.SECP256R1())
        return TlsIdentity(client(user, label=label).enroll(key, CsrSpec(name(subject))).chain, key)

    return run


@pytest.fixture
def ra(cmc):
    """A registration authority of a CA."""

    def make(label: str) -> TlsIdentity:
        key, hierarchy, now = ec.generate_private_key(ec.SECP256R1()), cmc.sites.at(label).hierarchy, cmc.clock()
        usages = [x509.ExtendedKeyUsageOID.CLIENT_AUTH, x509.ObjectIdentifier(CMC_RA)]
        wanted = x509.Extension(x509.ExtendedKeyUsage.oid, False, x509.ExtendedKeyUsage(usages))
        day = timedelta(days=1)
        wish = Wish(name("RA"), key.public_key(), x509.Extensions([wanted]), now - day, now + day)
        return TlsIdentity((issue(hierarchy.issuing, wish), *hierarchy.chain), key)

    return make


@pytest.fixture
def post(connect):
    """A Full PKI Request as it is, over TLS."""

    def run(message: bytes, label="") -> Response:
        connection = connect()
        target = f"{EST}{label}{'/' if label else ''}fullcmc"
        connection.request("POST", target, base64.b64encode(message), {"Content-Type": "application/pkcs7-mime"})
        answer = connection.getresponse()
        response = Response(answer.status, answer.getheaders(), answer.read())
        connection.close()
        return response

    return run


def revocation(signer: TlsIdentity, issuer: x509.Name, serial: int) -> bytes:
    value = der.sequence(issuer.public_bytes(), der.integer(serial), der.tlv(0x0A, b"\x01"))
    draft = by(signer.chain[0], signer.key, more=(Control(oids.REVOKE_REQUEST, value),))
    empty = request_sequence(None)
    return draft.wrap(pki_data(draft.controls(empty), empty))


def revoked(server) -> list[str]:
    return [str(one["serial"]) for one in server.est.register.entries() if one["revoked_at"]]


@pytest.mark.slow
def test_rfc_5272_6_11_another_user_of_the_same_name_revokes_nothing(cmc, client, enrol):
    alices, mallorys = enrol("alice"), enrol("mallory")
    with pytest.raises(CmcRefusedError) as caught:
        client(identity=mallorys).fullcmc.revoke(alices.chain[0], "keyCompromise")
    assert (caught.value.status_code, caught.value.fail_info) == (403, "badRequest")
    assert revoked(cmc) == []
    assert client(identity=alices).reenroll(ec.generate_private_key(ec.SECP256R1()))


@pytest.mark.slow
def test_the_user_revokes_the_certificate_before_with_the_one_after_it(cmc, client, enrol):
    old, key = enrol("alice"), ec.generate_private_key(ec.SECP256R1())
    new = TlsIdentity(client(identity=old).reenroll(key).chain, key)
    assert client(identity=new).fullcmc.revoke(old.chain[0]).statuses[0].status_name == "success"
    assert revoked(cmc) == [f"{old.chain[0].serial_number:x}"]


@pytest.mark.slow
def test_where_no_user_is_known_renewals_decide(cmc, client, ra):
    """Certificates that an RA asked for have no user: another one of the same name is somebody else's."""

    def by_ra() -> TlsIdentity:
        key = ec.generate_private_key(ec.SECP256R1())
        return TlsIdentity(client(identity=ra("")).enroll(key, CsrSpec(name("router"))).chain, key)

    mine, other = by_ra(), by_ra()
    with pytest.raises(CmcRefusedError):
        client(identity=mine).fullcmc.revoke(other.chain[0])
    assert revoked(cmc) == []
    key = ec.generate_private_key(ec.SECP256R1())
    new = TlsIdentity(client(identity=mine).reenroll(key).chain, key)
    client(identity=new).fullcmc.revoke(mine.chain[0])
    client(identity=new).fullcmc.revoke(new.chain[0])
    assert len(revoked(cmc)) == 2


@pytest.mark.parametrize("issuer", ["of the label", "of the certificate"])
def test_est_06_a_label_revokes_nothing_of_another_ca(issuer, cmc, enrol, ra, post):
    """Whatever issuer the request names: selected is by the CA that was asked, compared is the certificate's own issuer."""
    alices, mallorys = enrol("alice"), enrol("mallory", label="lab")
    named = (mallorys if issuer == "of the label" else alices).chain[0].issuer
    for signer in (mallorys, ra("lab")):
        message = revocation(signer, named, alices.chain[0].serial_number)
        assert refused(post(message, "lab")) == (400, BAD_CERT_ID)
    assert revoked(cmc) == []
    own = revocation(ra("lab"), mallorys.chain[0].issuer, mallorys.chain[0].serial_number)
    assert said(post(own, "lab")).status == 0


def test_the_issuer_that_a_request_names_is_that_of_the_certificate(cmc, enrol, post):
    alices = enrol("alice")
    message = revocation(alices, cmc.hierarchy.root.certificate.subject, alices.chain[0].serial_number)
    foreign = revocation(alices, name("somebody"), alices.chain[0].serial_number)
    assert (refused(post(message)), refused(post(foreign))) == ((400, BAD_CERT_ID),) * 2


def test_a_confirmation_of_another_user_counts_for_nothing(cmc, enrol, post):
    """RFC 5272 section 6.14."""
    alices, mallorys = enrol("alice"), enrol("mallory")
    about = alices.chain[0]
    value = der.sequence(about.issuer.public_bytes(), der.integer(about.serial_number))
    empty = request_sequence(None)

    def confirmation(signer: TlsIdentity) -> bytes:
        draft = by(signer.chain[0], signer.key, more=(Control(oids.CONFIRM_CERT_ACCEPTANCE, value),))
        return draft.wrap(pki_data(draft.controls(empty), empty))

    assert refused(post(confirmation(mallorys))) == (400, BAD_CERT_ID)
    assert said(post(confirmation(alices))).status == 0


def kept(server) -> list[bytes]:
    return [bytes(row["nonce"]) for row in server._database.rows("SELECT nonce FROM cmc_messages ORDER BY rowid")]


def test_rfc_5272_6_6_messages_of_strangers_are_not_remembered(cmc, enrol, post):
    """A revocation without signature and with a wrong secret: nobody has to be anybody to send it."""
    about = enrol("alice").chain[0]
    wrong = revoke_request(about, "unspecified", shared_secret=Secret("wrong"))
    for nonce in (os.urandom(16), os.urandom(64)):
        content = pki_data([octets(oids.SENDER_NONCE, nonce), wrong], request_sequence(None))
        assert refused(post(sign_data(content, oids.PKI_DATA, None))) == (403, BAD_IDENTITY)
    assert kept(cmc) == []


@pytest.mark.parametrize("control", [oids.SENDER_NONCE, oids.RECIPIENT_NONCE, oids.TRANSACTION_ID])
def test_what_is_kept_is_bounded(control, cmc, enrol, post):
    alices = enrol("alice")
    serial, issuer = alices.chain[0].serial_number, alices.chain[0].issuer
    value = der.sequence(issuer.public_bytes(), der.integer(serial), der.tlv(0x0A, b"\x01"))

    def message(size: int) -> bytes:
        text = b"\x7f" * size
        draft = by(alices.chain[0], alices.key, more=(Control(oids.REVOKE_REQUEST, value),))
        empty = request_sequence(None)
        controls = [one for one in draft.controls(empty) if one.oid != control]
        controls.append(Control(control, der.tlv(0x02 if control == oids.TRANSACTION_ID else 0x04, text)))
        return draft.wrap(pki_data(controls, empty))

    assert refused(post(message(65))) == (400, BAD_REQUEST)
    assert (kept(cmc), revoked(cmc)) == ([], [])
    assert said(post(message(64))).status == 0


def test_messages_are_forgotten_by_age_and_number(cmc, client, enrol):
    store, clock, mine = cmc.est.full_cmc.store, cmc.clock, enrol("alice")
    store.max_messages = 3
    for _ in range(5):
        client(identity=mine).fullcmc.renew(ec.generate_private_key(ec.SECP256R1()))
    latest = kept(cmc)
    assert len(latest) == 3
    client(identity=mine).fullcmc.renew(ec.generate_private_key(ec.SECP256R1()))
    assert kept(cmc)[:2] == latest[1:]
    assert not store.is_new(latest[1], clock())
    assert store.is_new(latest[1], clock() + store.remember + timedelta(minutes=1))
    assert kept(cmc) == latest[1:2]


@pytest.mark.parametrize("reason", [b"\x07", b"\x0b", b"\x7f" * 16])
def test_a_reason_that_is_none(reason, cmc, enrol, post):
    """RFC 5280 section 5.3.1 has no 7, and nothing above 10."""
    alices = enrol("alice")
    serial, issuer = alices.chain[0].serial_number, alices.chain[0].issuer
    value = der.sequence(issuer.public_bytes(), der.integer(serial), der.tlv(0x0A, reason))
    draft = by(alices.chain[0], alices.key, more=(Control(oids.REVOKE_REQUEST, value),))
    empty = request_sequence(None)
    assert refused(post(draft.wrap(pki_data(draft.controls(empty), empty)))) == (400, BAD_REQUEST)
    assert revoked(cmc) == []
