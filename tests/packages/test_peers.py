"""Certificates of peers over TLS: which are believed (RFC 8295 section 3; E-01 to E-06)."""

from __future__ import annotations

import pytest
from cryptography import x509

from device_sdk.client.est import EstClient
from device_sdk.errors import ConfigurationError, HttpStatusError, RemoteProtocolError, VerificationError
from device_sdk.model.trust import TlsIdentity
from tests.est.answers import bag, trusting
from tests.est.pki import DAY, NOW, Ca, certs_only, make, name, new_key, one_line
from tests.est.scripted_server import http, pkcs7
from tests.packages.test_crls import crl


@pytest.fixture
def fetch(ca, serve, clock):
    def run(*certificates, body=None, status=200, below=(), lists=(), identity=None, target=None):
        answer = pkcs7(one_line(certs_only(*certificates)) if body is None else body, status=status)
        server = run.server = serve(
            cacerts=bag(ca.certificate, *(one.certificate for one in below)),
            eecerts=lambda _: answer,
            options={"client_ca": ca.certificate} if identity else None,
        )
        server.handlers["1234"] = server.handlers["eecerts"]
        with EstClient(server.url, trusting(ca), clock=clock, identity=identity) as client:
            return client.packages.peers(target, lists=lists)

    return run


def peer(ca: Ca, subject: str = "peer", **options) -> x509.Certificate:
    return ca.certify(subject, new_key().public_key(), **options)


def test_e_01_e_02_e_03_peers_of_the_root_and_of_a_ca_below(ca, fetch):
    issuing = ca.issue_ca("Issuing")
    one, other = peer(ca), peer(issuing)
    found = fetch(one, other, below=[issuing])
    assert set(found.accepted) == {one, other}
    assert not found.rejected
    assert fetch.server.seen[-1].line == "GET /.well-known/est/eecerts"


def test_amb_12_one_package_of_several(ca, fetch):
    assert fetch(peer(ca), target="/.well-known/est/eecerts/1234").accepted
    assert fetch.server.seen[-1].line == "GET /.well-known/est/eecerts/1234"
    with pytest.raises(ConfigurationError, match=r"are at /\.well-known/est/eecerts"):
        fetch(peer(ca), target="/.well-known/est/firmware/1")
    assert fetch.server.seen == [], "nothing was asked"


REFUSED = {
    "expired": (lambda ca: peer(ca, not_before=NOW - 9 * DAY, not_after=NOW - DAY), "expired on"),
    "not yet valid": (lambda ca: peer(ca, not_before=NOW + DAY), "not valid before"),
    "of a stranger": (lambda _: peer(Ca.root("Stranger")), "none of the certificates at hand issued it"),
    "in the name of the root": (lambda _: peer(Ca.root("EST root")), "no path to a trust anchor"),
    "a CA": (lambda ca: ca.issue_ca("Issuing").certificate, "a CA certificate"),
    "the root": (lambda ca: ca.certificate, "self-issued"),
    "self-signed": (lambda _: (key := new_key()) and make(name("x"), key.public_key(), name("x"), key), "self-issued"),
    "with an unknown critical extension": (
        lambda ca: peer(
            ca, extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)]
        ),
        "critical extension 1.2.3.4",
    ),
    "below a CA that comes with it": (lambda ca: peer(ca.issue_ca("Unpublished")), "none of the certificates"),
}


@pytest.mark.parametrize(("make_one", "says"), REFUSED.values(), ids=REFUSED)
def test_e_03_e_06_each_is_judged_alone(ca, fetch, make_one, says):
    good, bad = peer(ca), make_one(ca)
    found = fetch(good, bad)
    assert found.accepted == (good,)
    ((rejected, reason),) = found.rejected
    assert rejected == bad
    assert says in reason


def test_e_06_the_own_certificate_is_no_peers(ca, fetch):
    key = new_key()
    own, other = ca.certify("me", key.public_key()), peer(ca)
    found = fetch(own, other, identity=TlsIdentity((own,), key))
    assert (found.accepted, found.rejected[0][1]) == ((other,), "this is the client's own certificate")


def test_e_06_a_revoked_peer(ca, fetch):
    good, bad = peer(ca), peer(ca)
    found = fetch(good, bad, lists=[crl(ca, bad)])
    assert found.accepted == (good,)
    assert found.rejected[0][1].startswith("revoked on ")


def test_e_06_a_peer_below_a_revoked_ca(ca, fetch):
    issuing = ca.issue_ca("Issuing")
    found = fetch(peer(issuing), below=[issuing], lists=[crl(ca, issuing.certificate)])
    assert "its CA CN=Issuing was revoked on " in found.rejected[0][1]


def test_lists_that_must_not_be_used_are_said_before_anything_is_asked(ca, fetch):
    with pytest.raises(VerificationError, match="the revocation list of CN=EST root: the signature"):
        fetch(peer(ca), lists=[crl(ca, key=new_key())])
    assert [seen.line for seen in fetch.server.seen] == ["GET /.well-known/est/cacerts"]


@pytest.mark.parametrize("status", [404, 204])
def test_amb_22_no_peers(fetch, status):
    assert fetch(body=b"", status=status).accepted == ()


@pytest.mark.parametrize("status", [400, 403, 500])
def test_e_02_another_status_ends_it(fetch, status):
    with pytest.raises(HttpStatusError):
        fetch(body=b"", status=status)


def test_e_02_no_certs_only_message(ca, fetch, serve, clock):
    with pytest.raises(RemoteProtocolError, match="cannot be read"):
        fetch(body=b"bm8=")
    server = serve(cacerts=bag(ca.certificate), eecerts=lambda _: http(401, b""))
    with EstClient(server.url, trusting(ca), clock=clock) as client, pytest.raises(HttpStatusError):
        client.packages.peers()
