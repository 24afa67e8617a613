"""What a /cacerts bag is trusted for: RFC 7030 section 4.1.3 and EST-45, EST-117 to EST-126."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from cryptography import x509

from device_sdk.errors import RemoteProtocolError, VerificationError
from device_sdk.protocols.est.ca_certificates import check_ca_certificates
from device_sdk.wire.path import find_path
from tests.est.pki import DAY, NOW, Ca, Rollover, make, name, new_key


def reasons(result) -> dict[x509.Certificate, str]:
    return {ignored.certificate: ignored.reason for ignored in result.ignored}


def test_est_44_order_means_nothing():
    root, stranger = Ca.root("Root"), Ca.root("Stranger")
    middle = root.issue_ca("Middle")
    low = middle.issue_ca("Low")
    for bag in itertools.permutations([root.certificate, middle.certificate, low.certificate, stranger.certificate]):
        result = check_ca_certificates(bag, [root.certificate], NOW)
        assert result.anchors == (root.certificate,)
        assert set(result.intermediates) == {middle.certificate, low.certificate}
        assert reasons(result) == {stranger.certificate: "a root that no trusted anchor vouches for"}


def test_est_45_a_root_of_the_same_name_is_not_trusted_for_being_there():
    root, fake = Ca.root("Root"), Ca.root("Root")
    below_fake = fake.issue_ca("Issuing")
    result = check_ca_certificates([fake.certificate, below_fake.certificate], [root.certificate], NOW)
    assert result.anchors == (root.certificate,)
    assert result.intermediates == ()
    assert set(reasons(result)) == {fake.certificate, below_fake.certificate}


def test_est_118_implicit_trust_takes_the_one_root():
    root = Ca.root("Root")
    middle = root.issue_ca("Middle")
    result = check_ca_certificates([middle.certificate, root.certificate], [], NOW)
    assert result.anchors == (root.certificate,)
    assert result.intermediates == (middle.certificate,)


def test_est_120_unrelated_roots_without_a_pin():
    with pytest.raises(RemoteProtocolError, match="unrelated roots"):
        check_ca_certificates([Ca.root("A").certificate, Ca.root("B").certificate], [], NOW)


def test_est_120_no_root_without_a_pin():
    root = Ca.root()
    with pytest.raises(RemoteProtocolError, match="no self-signed"):
        check_ca_certificates([root.issue_ca("Middle").certificate], [], NOW)


def test_est_120_an_intermediate_as_pinned_anchor():
    root = Ca.root()
    middle = root.issue_ca("Middle")
    result = check_ca_certificates([middle.certificate, root.certificate], [middle.certificate], NOW)
    assert result.anchors == (middle.certificate,)
    assert set(reasons(result)) == {root.certificate}


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_est_122_new_root_joins_by_new_with_old(order):
    r = Rollover()
    four = [r.old.certificate, r.new.certificate, r.old_with_new, r.new_with_old]
    result = check_ca_certificates([four[i] for i in order], [r.old.certificate], NOW)
    assert result.anchors == (r.new.certificate, r.old.certificate)
    assert result.newest == r.new.certificate
    assert set(result.intermediates) == {r.old_with_new, r.new_with_old}
    assert result.ignored == ()


def test_est_122_no_new_with_old_no_new_root():
    r = Rollover()
    result = check_ca_certificates([r.old.certificate, r.new.certificate, r.old_with_new], [r.old.certificate], NOW)
    assert result.anchors == (r.old.certificate,)
    assert r.new.certificate in reasons(result)


def test_est_122_new_with_old_for_another_key_vouches_for_nothing():
    r = Rollover()
    fake = Ca.root("EST CA")
    result = check_ca_certificates([fake.certificate, r.new_with_old], [r.old.certificate], NOW)
    assert fake.certificate not in result.anchors


def test_est_122_a_sub_ca_cannot_promote_a_root():
    """A path-limited CA below the anchor makes a look-alike NewWithOld; only the anchor itself may."""
    root = Ca.root("EST CA")
    sub = root.issue_ca("EST CA", path_length=0)
    evil = Ca.root("EST CA")
    link = make(name("EST CA"), evil.key.public_key(), name("EST CA"), sub.key, ca=True)
    result = check_ca_certificates([sub.certificate, evil.certificate, link], [root.certificate], NOW)
    assert result.anchors == (root.certificate,)


def test_est_122_an_expired_anchor_vouches_for_nothing():
    """Whoever found the key of a root that expired long ago could otherwise make a new root with it."""
    old = Ca.root("EST CA", not_before=NOW - 400 * DAY, not_after=NOW - DAY)
    new = Ca.root("EST CA")
    link = make(name("EST CA"), new.key.public_key(), name("EST CA"), old.key, ca=True)
    result = check_ca_certificates([new.certificate, link], [old.certificate], NOW)
    assert result.anchors == (old.certificate,)
    assert set(reasons(result)) == {new.certificate, link}
    while_valid = check_ca_certificates([new.certificate, link], [old.certificate], NOW - DAY)
    assert while_valid.newest == new.certificate


def test_est_122_two_rollovers_slept_through():
    first, second, third = (Ca.root("EST CA", not_after=NOW + i * DAY) for i in (10, 20, 30))
    links = [
        make(name("EST CA"), new.key.public_key(), name("EST CA"), old.key, ca=True)
        for old, new in ((second, third), (first, second))
    ]
    bag = [third.certificate, *links, second.certificate]
    result = check_ca_certificates(bag, [first.certificate], NOW)
    assert result.anchors == (third.certificate, second.certificate, first.certificate)


def test_est_122_old_anchor_goes_when_it_expires_but_never_the_last():
    r = Rollover()
    bag = [r.old.certificate, r.new.certificate, r.old_with_new, r.new_with_old]
    both = [r.old.certificate, r.new.certificate]
    later = NOW + 60 * DAY
    assert check_ca_certificates(bag, both, later).anchors == (r.new.certificate,)
    assert check_ca_certificates(both, both, later).anchors == (r.new.certificate,), "with nothing else to end it"
    assert check_ca_certificates(bag, [r.old.certificate], later).anchors == (r.old.certificate,)


def test_est_122_the_newest_of_two_that_end_together_is_the_one_that_began_later():
    early, late = (Ca.root("EST CA", not_before=NOW - days * DAY).certificate for days in (9, 2))
    for trusted in ([early, late], [late, early]):
        assert check_ca_certificates([], trusted, NOW).anchors == (late, early)


def old_until(r: Rollover, *ends) -> list[x509.Certificate]:
    """OldWithNew certificates that end when they are told to."""
    subject, key = r.old.certificate.subject, r.old.key.public_key()
    return [make(subject, key, subject, r.new.key, ca=True, not_after=end) for end in ends]


def test_est_122_the_old_anchor_goes_with_old_with_new():
    """The CA may end the time of its old key before the old root's notAfter; the last of several OldWithNew counts."""
    r = Rollover()
    both = [r.old.certificate, r.new.certificate]
    early, late = old_until(r, NOW + 5 * DAY, NOW + 10 * DAY)
    for days, left in ((4, 2), (6, 2), (11, 1)):
        result = check_ca_certificates([*both, early, late], both, NOW + days * DAY)
        assert len(result.anchors) == left, days
    assert len(check_ca_certificates([*both, early], both, NOW + 6 * DAY).anchors) == 1
    assert len(check_ca_certificates(both, both, NOW + 6 * DAY).anchors) == 2, "the old root's own end counts"


def test_est_122_old_with_new_makes_no_anchor_of_the_old_root():
    """The holder of the new root follows OldWithNew as an intermediate; trusting the old root itself would last longer."""
    old, new = Ca.root("EST CA", not_before=NOW - 2 * DAY), Ca.root("EST CA")
    subject = old.certificate.subject
    old_with_new = make(subject, old.key.public_key(), subject, new.key, ca=True)
    new_with_old = make(subject, new.key.public_key(), subject, old.key, ca=True)
    bag = [old.certificate, new.certificate, old_with_new, new_with_old]
    result = check_ca_certificates(bag, [new.certificate], NOW)
    assert result.anchors == (new.certificate,)
    leaf = old.certify("device", new_key().public_key())
    assert find_path(leaf, intermediates=result.intermediates, anchors=result.anchors, now=NOW)


def test_est_122_an_anchor_learnt_in_this_answer_can_end_the_old_one():
    r = Rollover()
    (ended,) = old_until(r, NOW - DAY / 2)
    bag = [r.old.certificate, r.new.certificate, r.new_with_old, ended]
    assert check_ca_certificates(bag, [r.old.certificate], NOW).anchors == (r.new.certificate,)


def test_est_122_nobody_else_ends_an_anchor():
    """An expired look-alike of OldWithNew, signed by a stranger or by the old key itself, means nothing."""
    r, stranger = Rollover(), Ca.root("EST CA")
    subject, ended = r.old.certificate.subject, {"ca": True, "not_after": NOW - DAY / 2}
    fakes = [make(subject, r.old.key.public_key(), subject, key, **ended) for key in (stranger.key, r.old.key)]
    both = [r.old.certificate, r.new.certificate]
    result = check_ca_certificates([*both, stranger.certificate, *fakes], both, NOW)
    assert result.anchors == (r.new.certificate, r.old.certificate)


def test_est_122_two_anchors_that_end_each_other_leave_one():
    r = Rollover()
    (old_ended,) = old_until(r, NOW - DAY / 2)
    subject = r.new.certificate.subject
    new_ended = make(subject, r.new.key.public_key(), subject, r.old.key, ca=True, not_after=NOW - DAY / 2)
    both = [r.old.certificate, r.new.certificate]
    assert check_ca_certificates([*both, old_ended, new_ended], both, NOW).anchors == (r.new.certificate,)


def test_est_116_implicit_trust_with_the_four_rollover_certificates():
    r = Rollover()
    bag = [r.old.certificate, r.old_with_new, r.new_with_old, r.new.certificate]
    result = check_ca_certificates(bag, [], NOW)
    assert result.newest == r.new.certificate
    assert r.old_with_new in result.intermediates


def test_est_124_certificates_of_both_generations_verify_with_either_anchor():
    """EST-121."""
    r = Rollover()
    links = [r.old_with_new, r.new_with_old]
    for issuer, anchor in ((r.old, r.new), (r.new, r.old)):
        leaf = issuer.certify("device", new_key().public_key())
        path = find_path(leaf, intermediates=links, anchors=[anchor.certificate], now=NOW)
        assert path[-1] == anchor.certificate
        assert len(path) == 3


def test_est_123_self_issued_certificates_do_not_count_against_path_length():
    root = Ca.root("Root", path_length=1)
    old = root.issue_ca("Sub", path_length=0)
    new_key_pair = new_key()
    new_with_old = make(name("Sub"), new_key_pair.public_key(), name("Sub"), old.key, ca=True, path_length=0)
    leaf = Ca(new_key_pair, new_with_old).certify("device", new_key().public_key())
    bag = [new_with_old, old.certificate]
    assert len(find_path(leaf, intermediates=bag, anchors=[root.certificate], now=NOW)) == 4


def test_est_117_path_length_is_kept():
    """EST-123."""
    root = Ca.root()
    limited = root.issue_ca("Limited", path_length=0)
    below = limited.issue_ca("Below")
    leaf = below.certify("device", new_key().public_key())
    bag = [limited.certificate, below.certificate]
    with pytest.raises(VerificationError, match="Limited: allows 0 CAs below it"):
        find_path(leaf, intermediates=bag, anchors=[root.certificate], now=NOW)


def no_cert_sign() -> x509.KeyUsage:
    return x509.KeyUsage(True, False, False, False, False, False, False, False, False)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"usage": no_cert_sign()}, "keyCertSign"),
        ({"not_after": NOW - timedelta(hours=1)}, "expired"),
        ({"not_before": NOW + timedelta(hours=1)}, "not valid before"),
        (
            {"extensions": [(x509.UnrecognizedExtension(x509.ObjectIdentifier("2.999.5"), b"\x05\x00"), True)]},
            "critical extension 2.999.5",
        ),
        ({"extensions": [(x509.PolicyConstraints(0, None), True)]}, "certificate polic"),
    ],
)
def test_est_117_an_intermediate_that_cannot_be_used(options, reason):
    root = Ca.root()
    middle = root.issue_ca("Middle", **options)
    leaf = middle.certify("device", new_key().public_key())
    result = check_ca_certificates([middle.certificate], [root.certificate], NOW)
    assert reason in reasons(result)[middle.certificate]
    with pytest.raises(VerificationError, match=reason):
        find_path(leaf, intermediates=[middle.certificate], anchors=[root.certificate], now=NOW)


def test_est_117_a_device_certificate_is_no_ca():
    root = Ca.root()
    key = new_key()
    device = root.certify("device", key.public_key())
    result = check_ca_certificates([device], [root.certificate], NOW)
    assert "BasicConstraints" in reasons(result)[device]
    leaf = Ca(key, device).certify("other", new_key().public_key())
    with pytest.raises(VerificationError):
        find_path(leaf, intermediates=[device], anchors=[root.certificate], now=NOW)


def test_a_few_minutes_of_skew_are_allowed():
    root = Ca.root(not_before=NOW + timedelta(minutes=4))
    leaf = root.certify("device", new_key().public_key(), not_before=NOW + timedelta(minutes=4))
    assert find_path(leaf, intermediates=[], anchors=[root.certificate], now=NOW)
    with pytest.raises(VerificationError, match="not valid before"):
        find_path(leaf, intermediates=[], anchors=[root.certificate], now=NOW - timedelta(minutes=4))


def test_est_32_the_end_of_time_does_not_overflow():
    root = Ca.root(not_after=NOW.replace(year=9999, month=12, day=31, hour=23, minute=59, second=59))
    assert find_path(root.certificate, intermediates=[], anchors=[root.certificate], now=NOW) == (root.certificate,)


def test_a_hostile_bag_of_one_name_costs_little():
    """A dozen CAs that all cross-certify each other have more paths than atoms in the universe."""
    keys = [new_key() for _ in range(12)]
    bag = [make(name("Mesh"), a.public_key(), name("Mesh"), b, ca=True) for a in keys for b in keys if a is not b][:99]
    leaf = make(name("device"), new_key().public_key(), name("Mesh"), keys[0])
    with pytest.raises(VerificationError):
        find_path(leaf, intermediates=bag, anchors=[Ca.root("Root").certificate], now=NOW)
