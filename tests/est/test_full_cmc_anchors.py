"""Publish Trust Anchors (RFC 5272 section 6.15): nothing is trusted by itself (EST-75)."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from device_sdk_simulators.cmc.answer import signed_data
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.est import EstClient
from device_sdk.client.est.full_cmc import SharedSecret
from device_sdk.errors import CmcUntrustedError, ConfigurationError, ServerNotTrustedError, WireError
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust
from device_sdk.protocols.est.full_cmc_anchors import accept_published
from device_sdk.wire import der
from device_sdk.wire.cmc.trust_anchors import PublishedAnchors, read_published_anchors
from tests.est.answers import SPEC, bag, trusting
from tests.est.full_cmc_answers import CmcServer, cmc
from tests.est.pki import NOW, Ca, new_key

ROOT = Ca.root("New root").certificate
SHA1, SHA256 = "1.3.14.3.2.26", "2.16.840.1.101.3.4.2.1"


def control(number: int, *digests: bytes, algorithm: str = SHA256) -> bytes:
    listed = der.sequence(*(der.tlv(0x04, digest) for digest in digests))
    return der.sequence(der.integer(number), der.sequence(der.oid(algorithm)), listed)


def sha256(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives import hashes

    return certificate.fingerprint(hashes.SHA256())


def test_est_75_reference_server_publishes_and_nothing_happens_by_itself(tmp_path: Path):
    with ReferenceServer(tmp_path / "server") as server:
        server.policy.fullcmc = server.policy.fullcmc_publish_anchors = True
        server.est.full_cmc.store.add_secret("", b"sixteen or more characters")
        root = x509.load_pem_x509_certificate(server.ca_file.read_bytes())
        with EstClient(server.url, ServerTrust(explicit=(root,))) as client:
            shared = SharedSecret(Secret("sixteen or more characters"))
            result = client.fullcmc.enroll(new_key(), SPEC, shared_secret=shared)
            assert client.cacerts().anchors == (root,)
    assert result.published.certificates == (root,)
    asked = []
    accepted = accept_published(
        result.published,
        result.signed_at,
        last_sequence=-1,
        confirm=lambda one: asked.append(one) or True,
        now=datetime.now(UTC),
    )
    assert accepted == (root,) == tuple(asked)


@pytest.mark.parametrize(
    ("published", "signed_at", "last"),
    [
        (PublishedAnchors(5, (ROOT,)), NOW, 5),
        (PublishedAnchors(4, (ROOT,)), NOW, 5),
        (PublishedAnchors(6, (ROOT,)), None, 5),
        (PublishedAnchors(6, (ROOT,)), NOW - timedelta(hours=1), 5),
        (PublishedAnchors(6, (ROOT,)), NOW + timedelta(hours=1), 5),
        (PublishedAnchors(6, (ROOT,), ("00",)), NOW, 5),
        (PublishedAnchors(6, ()), NOW, 5),
    ],
    ids=["same number", "lower number", "no time", "old", "of the future", "one is missing", "none"],
)
def test_est_208_what_is_not_accepted(published, signed_at, last):
    """Before anybody is asked."""
    with pytest.raises(CmcUntrustedError) as caught:
        accept_published(published, signed_at, last_sequence=last, confirm=lambda one: pytest.fail("asked"), now=NOW)
    assert caught.value.reason == "anchors"


@pytest.mark.parametrize(
    ("changes", "age", "last"),
    [
        ({}, timedelta(0), 6),
        ({"anchors_number": 4}, timedelta(0), 5),
        ({}, timedelta(hours=1), 5),
        ({"certificates": "alone"}, timedelta(0), 5),
    ],
    ids=["the same again", "an older number", "signed an hour ago", "without the certificates"],
)
def test_est_208_what_a_server_publishes_and_nobody_accepts(changes, age, last, ca, serve):
    """Over TLS, signed by the CA itself: the certificate is good, the publication is not, and nothing is trusted by it."""
    other_side, alone = CmcServer(ca), bool(changes.get("certificates"))

    def answer(seen):
        said = other_side.answer(seen, anchors=[ROOT], anchors_number=changes.get("anchors_number", 6))
        certificates = [*said.certificates, *([] if alone else [ROOT]), other_side.signer.certificate]
        return cmc(signed_data(said.content(), other_side.signer, certificates, datetime.now(UTC) - age))

    server = serve(cacerts=bag(ca.certificate), fullcmc=answer)
    shared = SharedSecret(Secret("sixteen or more characters"))
    with EstClient(server.url, trusting(ca)) as client:
        result = client.fullcmc.enroll(new_key(), SPEC, shared_secret=shared)
        assert client.cacerts().anchors == (ca.certificate,)
    with pytest.raises(CmcUntrustedError) as caught:
        accept_published(
            result.published,
            result.signed_at,
            last_sequence=last,
            confirm=lambda one: pytest.fail("asked"),
            now=datetime.now(UTC),
        )
    assert caught.value.reason == "anchors"


def test_est_75_what_a_server_publishes_is_not_trusted_by_itself(ca, serve):
    """Over TLS: a publication that is right in every way moves nothing, and neither does a person's no."""
    other_side, new = CmcServer(ca), Ca.root("New root")

    def answer(seen):
        said = other_side.answer(seen, anchors=[new.certificate], anchors_number=6)
        certificates = [*said.certificates, new.certificate, other_side.signer.certificate]
        return cmc(signed_data(said.content(), other_side.signer, certificates, datetime.now(UTC)))

    server = serve(cacerts=bag(ca.certificate, new.certificate), fullcmc=answer)
    theirs = serve(signed_by=new, cacerts=bag(new.certificate))
    shared = SharedSecret(Secret("sixteen or more characters"))
    with EstClient(server.url, trusting(ca)) as client:
        result = client.fullcmc.enroll(new_key(), SPEC, shared_secret=shared)
        assert result.published.certificates == (new.certificate,)
        anchors = client.cacerts().anchors
    assert anchors == (ca.certificate,)
    asked = []
    with pytest.raises(ConfigurationError, match="nothing changed"):
        accept_published(
            result.published, result.signed_at, last_sequence=5, confirm=asked.append, now=datetime.now(UTC)
        )
    assert asked == [new.certificate]
    with EstClient(theirs.url, ServerTrust(explicit=anchors)) as there, pytest.raises(ServerNotTrustedError):
        there.cacerts()
    assert theirs.seen == []


def test_est_75_a_person_says_no():
    with pytest.raises(ConfigurationError, match="nothing changed"):
        accept_published(PublishedAnchors(6, (ROOT,)), NOW, last_sequence=5, confirm=lambda one: False, now=NOW)


def test_only_named_certificates_count():
    other = Ca.root("Other").certificate
    found = read_published_anchors(control(3, sha256(ROOT), b"x" * 32), [other, ROOT])
    assert (found.sequence, found.certificates, found.missing) == (3, (ROOT,), ((b"x" * 32).hex(),))


@pytest.mark.parametrize(
    "value",
    [
        control(3, sha256(ROOT), algorithm=SHA1),
        control(3, *(os.urandom(32) for _ in range(101))),
        control(3, sha256(ROOT))[:-1],
        control(3, sha256(ROOT)) + b"\0",
        b"\x30\x00",
        b"",
    ],
    ids=["sha-1", "101", "cut", "trailing", "empty", "nothing"],
)
def test_what_cannot_be_read(value):
    with pytest.raises(WireError):
        read_published_anchors(value, [ROOT])
