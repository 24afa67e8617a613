"""Whose serial numbers are listed: makers number their devices alike, and one must not vouch for those of another (EST-32)."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from device_sdk_simulators.ca.tls import TlsProfile

from tests.simulators.server.full_cmc_requests import TLS, by, refused, send
from tests.simulators.server.support import MADE_UP, PKCS10, make_csr, post, post_over_tls
from tests.simulators.server.test_client_paths import SERIAL, Holder, authority, certify


@dataclass
class Device:
    """A certificate of a maker, and what comes with it."""

    chain: list[x509.Certificate]
    key: ec.EllipticCurvePrivateKey


def device(maker: Holder, *between: Holder) -> Device:
    """Number SN-1, whoever made it."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = between[0] if between else maker
    return Device([certify(SERIAL, key, issuer), *(one.certificate for one in between)], key)


def fingerprint(holder: Holder) -> str:
    return "sha256:" + holder.certificate.fingerprint(hashes.SHA256()).hex()


@pytest.fixture
def makers() -> tuple[Holder, Holder]:
    return authority("Maker A"), authority("Maker B")


@pytest.fixture
def known(server, makers):
    """Both makers are known; every device of theirs is number SN-1."""
    server.policy.third_party_anchors = [one.certificate for one in makers]
    server.use_tls(TlsProfile())
    server.policy.fullcmc = True
    return server


def by_enrol(server, one: Device) -> int:
    shown = replace(MADE_UP, client_chain=tuple(one.chain))
    return post(server, make_csr(one.key), headers=[PKCS10], tls=shown).status


def by_full_cmc(server, one: Device) -> int:
    draft = by(one.chain[0], one.key, certificates=tuple(one.chain))
    response = send(server, draft.message(), tls=TLS)
    if response.status != 200:
        assert refused(response)[0] == 403
    return response.status


WAYS = pytest.mark.parametrize("ask", [by_enrol, by_full_cmc])


@WAYS
def test_est_32_a_serial_number_is_the_makers_who_is_named_with_it(ask, known, makers):
    a, b = makers
    for named in ("CN=Maker A", fingerprint(a), fingerprint(a).upper()):
        known.policy.third_party_serials = {(named, "SN-1")}
        assert [ask(known, device(one)) for one in (a, b)] == [200, 403], named
    assert len(known.est.register.entries()) == 3
    assert known.log()[-1]["reason"] == "this device's serial number is not on the list"


@WAYS
def test_est_32_a_list_that_names_no_maker_counts_where_there_is_one(ask, known, makers):
    a, b = makers
    known.policy.third_party_serials = {"SN-1", ("CN=Maker A", "SN-9")}
    assert [ask(known, device(one)) for one in makers] == [403, 403]
    assert 'write ("sha256:' in str(known.log()[-1]["reason"])
    assert ask(known, device(a)) == 403
    known.policy.third_party_serials |= {("CN=Maker A", "SN-1")}
    assert [ask(known, device(one)) for one in makers] == [200, 403], "what is said in full counts"
    known.policy.third_party_anchors = [b.certificate, b.certificate]
    known.policy.third_party_serials = {"SN-1"}
    assert [ask(known, device(one)) for one in (b, a)] == [200, 403]


@WAYS
def test_est_32_names_below_an_anchor_are_its_makers_choice(ask, known, makers):
    """A CA of maker B calls itself as maker A's, or as A's own CA: what counts is the anchor at the end of the way."""
    a, b = makers
    known.policy.third_party_serials = {("CN=Maker A", "SN-1"), ("CN=A's plant", "SN-1")}
    own = authority("A's plant", a)
    for impostor in (authority("A's plant", b), authority("Maker A", b)):
        # the true one comes along, too
        for others in ((), (own,), (a,)):
            assert ask(known, device(b, impostor, *others)) == 403
    assert ask(known, device(a, own)) == 200
    end = device(a)
    fake = Holder(end.chain[0], end.key)
    key = ec.generate_private_key(ec.SECP256R1())
    assert ask(known, Device([certify(SERIAL, key, fake), fake.certificate], key)) == 403, "a device is no CA"


def test_est_32_two_anchors_of_one_name_are_named_by_fingerprint(known, makers):
    a, other = makers[0], authority("Maker A")
    known.policy.third_party_anchors = [a.certificate, other.certificate]
    known.policy.third_party_serials = {("CN=Maker A", "SN-1")}
    assert [by_enrol(known, device(one)) for one in (a, other)] == [403, 403]
    assert 'write ("sha256:' in str(known.log()[-1]["reason"])
    known.policy.third_party_serials = {(fingerprint(other), "SN-1")}
    assert [by_enrol(known, device(one)) for one in (a, other)] == [403, 200]


def test_est_32_the_same_by_a_handshake(known, makers, tmp_path):
    """What the client showed to TLS is what is looked at, the CA between included."""
    a, b = makers
    known.policy.third_party_serials = {("CN=Maker A", "SN-1")}
    found = []
    for one in (device(a, authority("Plant", a)), device(b, authority("Plant", b))):
        pem = b"".join(each.public_bytes(Encoding.PEM) for each in one.chain)
        pem += one.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / "client.pem").write_bytes(pem)
        body = base64.b64encode(make_csr(one.key))
        shown = tmp_path / "client.pem"
        found.append(post_over_tls(known, body, "simpleenroll", [PKCS10], certificate=shown).status)
    assert found == [200, 403]
