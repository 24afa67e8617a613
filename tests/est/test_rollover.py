"""Rollover sets over TLS: in any order, in parts, and as an attacker would make them (EST-116 to EST-126)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from cryptography import x509

from device_sdk.client.est import EstClient
from device_sdk.errors import RemoteProtocolError, ResponseTooLargeError
from device_sdk.model.trust import ServerTrust
from device_sdk.protocols.est.ca_certificates import CaCertificates
from tests.est.pki import DAY, NOW, Ca, Rollover, certs_only_in_order, make, name, new_key, one_line
from tests.est.scripted_server import pkcs7
from tests.processor import require_at_most

Certificates = list[x509.Certificate]


@pytest.fixture
def rollover() -> Rollover:
    return Rollover()


@pytest.fixture
def fetch(serve) -> Callable[..., CaCertificates]:
    """GET /cacerts from a server of the old generation that gives these certificates, in this order."""

    def run(r: Rollover, certificates: Certificates, anchors: Certificates | None = None, shows: Ca | None = None):
        body = one_line(certs_only_in_order(*certificates))
        server = serve(signed_by=shows or r.old, cacerts=lambda _seen: pkcs7(body))
        explicit = tuple(anchors if anchors is not None else [r.old.certificate])
        with EstClient(server.url, ServerTrust(explicit)) as client:
            return client.cacerts()

    return run


def four(r: Rollover) -> Certificates:
    return [r.old.certificate, r.new.certificate, r.old_with_new, r.new_with_old]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_est_44_est_122_the_four_in_any_order(fetch, rollover, order) -> None:
    result = fetch(rollover, [four(rollover)[i] for i in order])
    assert result.anchors == (rollover.new.certificate, rollover.old.certificate)
    assert result.ignored == ()


PARTS = {
    "the old root alone": ([0], 1),
    "the new root alone": ([1], 1),
    "no NewWithOld": ([0, 1, 2], 1),
    "no new root": ([0, 2, 3], 1),
    "NewWithOld and the new root are enough": ([1, 3], 2),
    "the old root left out": ([1, 2, 3], 2),
    "each of them twice": ([0, 1, 2, 3, 3, 2, 1, 0], 2),
}


@pytest.mark.parametrize("kind", PARTS)
def test_est_122_partial_sets(fetch, rollover, kind) -> None:
    chosen, anchors = PARTS[kind]
    result = fetch(rollover, [four(rollover)[i] for i in chosen])
    assert rollover.old.certificate in result.anchors, "an anchor does not go for not being shown"
    assert (len(result.anchors), rollover.new.certificate in result.anchors) == (anchors, anchors == 2)


@dataclass(frozen=True)
class Attack:
    """What a set holds beside the old root, and the words with which its false root is ignored."""

    certificates: Callable[[Rollover], Certificates]
    words: str = "a root that no trusted anchor vouches for"


def self_issued(public, signer, **options) -> x509.Certificate:
    return make(name("EST CA"), public, name("EST CA"), signer, ca=options.pop("ca", True), **options)


def no_cert_sign() -> x509.KeyUsage:
    return x509.KeyUsage(True, False, False, False, False, False, False, False, False)


def with_fake(link: Callable[[Rollover, Ca], Certificates], root_name: str = "EST CA", **options):
    def certificates(r: Rollover) -> Certificates:
        fake = Ca.root(root_name, **options)
        return [fake.certificate, *link(r, fake)]

    return certificates


def ladder(r: Rollover, fake: Ca) -> Certificates:
    """A chain of links up to the fake root that begins with a key the anchor never signed."""
    keys = [new_key() for _ in range(20)]
    return [self_issued(new.public_key(), old) for old, new in itertools.pairwise([*keys, fake.key])]


def ring(r: Rollover, fake: Ca) -> Certificates:
    """Links that vouch for each other in a circle."""
    keys = [fake.key, *(new_key() for _ in range(8))]
    return [self_issued(one.public_key(), other) for one, other in itertools.permutations(keys, 2)]


def below_a_sub_ca(r: Rollover, fake: Ca) -> Certificates:
    """A CA below the anchor, of the anchor's name, signs the link."""
    sub = r.old.issue_ca("EST CA", path_length=0)
    return [sub.certificate, self_issued(fake.key.public_key(), sub.key)]


ATTACKS = {
    "an unrelated root": Attack(with_fake(lambda r, fake: [], "Unrelated")),
    "a root of the same name": Attack(with_fake(lambda r, fake: [])),
    "NewWithOld for another key": Attack(with_fake(lambda r, fake: [r.new_with_old])),
    "NewWithOld for another name": Attack(
        with_fake(
            lambda r, fake: [
                make(name("Evil"), fake.key.public_key(), name("EST CA"), r.old.key, ca=True, path_length=0)
            ]
        )
    ),
    "NewWithOld for a root of another name": Attack(
        with_fake(lambda r, fake: [self_issued(fake.key.public_key(), r.old.key)], "Evil")
    ),
    # below the anchor, as whatever it certified; a rollover is of one name only
    "a root of another name with a CA certificate": Attack(
        with_fake(
            lambda r, fake: [make(name("Evil"), fake.key.public_key(), name("EST CA"), r.old.key, ca=True)], "Evil"
        ),
        "",
    ),
    "a link the fake root made itself": Attack(
        with_fake(
            lambda r, fake: [
                self_issued(fake.key.public_key(), new_key()),
                self_issued(r.old.key.public_key(), fake.key),
            ]
        )
    ),
    "a cross certificate without BasicConstraints": Attack(
        with_fake(lambda r, fake: [self_issued(fake.key.public_key(), r.old.key, ca=False)])
    ),
    "a cross certificate without keyCertSign": Attack(
        with_fake(lambda r, fake: [self_issued(fake.key.public_key(), r.old.key, usage=no_cert_sign())])
    ),
    "a cross certificate without KeyUsage": Attack(
        with_fake(
            lambda r, fake: [
                self_issued(
                    fake.key.public_key(), r.old.key, ca=False, extensions=[(x509.BasicConstraints(True, None), True)]
                )
            ]
        )
    ),
    "an expired NewWithOld": Attack(
        with_fake(lambda r, fake: [self_issued(fake.key.public_key(), r.old.key, not_after=NOW - DAY / 2)])
    ),
    "a NewWithOld that begins tomorrow": Attack(
        with_fake(lambda r, fake: [self_issued(fake.key.public_key(), r.old.key, not_before=NOW + DAY)])
    ),
    "a NewWithOld with a critical extension nobody knows": Attack(
        with_fake(
            lambda r, fake: [
                self_issued(
                    fake.key.public_key(),
                    r.old.key,
                    extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("2.999.5"), b"\x05\x00"), True)],
                )
            ]
        )
    ),
    "an expired new root": Attack(
        with_fake(lambda r, fake: [self_issued(fake.key.public_key(), r.old.key)], not_after=NOW - DAY / 2), "expired"
    ),
    # the anchor made that CA, so what it certified is below the anchor; an anchor it is not
    "a link signed below the anchor": Attack(with_fake(below_a_sub_ca), ""),
    "a ladder without a first step": Attack(with_fake(ladder)),
    "a ring": Attack(with_fake(ring)),
}


@pytest.mark.parametrize("kind", ATTACKS)
def test_est_122_no_attack_makes_an_anchor(fetch, rollover, kind) -> None:
    """Ignored with the reason; what was trusted before is trusted still, and nothing else is."""
    attack = ATTACKS[kind]
    fake, *rest = attack.certificates(rollover)
    for certificates in ([rollover.old.certificate, fake, *rest], [*reversed(rest), fake]):
        result = require_at_most(1.5, lambda answer=certificates: fetch(rollover, answer))
        assert result.anchors == (rollover.old.certificate,)
        reasons = {ignored.certificate: ignored.reason for ignored in result.ignored}
        assert attack.words in reasons.get(fake, "")
        assert attack.words or fake in result.intermediates


def test_est_122_beside_an_attack_the_true_rollover_is_followed(fetch, rollover) -> None:
    noise = [one for attack in ATTACKS.values() for one in attack.certificates(rollover)][:90]
    for certificates in ([*noise, *four(rollover)], [*four(rollover), *noise]):
        result = fetch(rollover, certificates)
        assert rollover.new.certificate in result.anchors
        assert len(result.anchors) <= 2


@pytest.mark.parametrize("count", [101, 500])
def test_est_49_thousands_of_certificates_are_refused_at_once(fetch, rollover, count) -> None:
    key = new_key()
    some = [Ca.root(f"CA {number}", key=key).certificate for number in range(50)]
    many = (some * (count // len(some) + 1))[:count]

    def refuse() -> None:
        with pytest.raises(RemoteProtocolError, match="certificates"):
            fetch(rollover, many)

    require_at_most(2.5, refuse)


def test_est_49_more_than_a_response_may_hold(fetch, rollover) -> None:
    some = [
        Ca.root("CA", extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("2.999.1"), bytes(30_000)), False)])
    ]
    with pytest.raises(ResponseTooLargeError):
        fetch(rollover, [some[0].certificate] * 40)


def test_est_120_an_empty_set(fetch, rollover) -> None:
    with pytest.raises(RemoteProtocolError):
        fetch(rollover, [])


def test_est_126_the_set_of_rfc_7030_appendix_a1_is_no_rollover(fetch, rollover) -> None:
    """Four names, and cross certificates that are no CA certificates: nobody's key changes by them."""
    from pathlib import Path

    from device_sdk.wire.certs_only import read_certs_only

    file = Path(__file__).parents[1] / "vectors" / "est" / "rfc7030" / "a1-cacerts.p7.b64"
    printed = read_certs_only(file.read_bytes())
    result = fetch(rollover, [*printed, *four(rollover)])
    assert result.anchors == (rollover.new.certificate, rollover.old.certificate)
    assert {ignored.certificate for ignored in result.ignored} == set(printed)


def test_est_124_a_server_of_the_new_generation_without_new_with_old_in_its_chain(fetch, rollover) -> None:
    """The handshake cannot succeed: the device has to bootstrap (EST-125), and no byte of the request is sent."""
    from device_sdk.errors import ServerNotTrustedError

    with pytest.raises(ServerNotTrustedError):
        fetch(rollover, four(rollover), shows=rollover.new)
    result = fetch(rollover, four(rollover), anchors=[rollover.new.certificate], shows=rollover.new)
    assert result.anchors == (rollover.new.certificate,)
