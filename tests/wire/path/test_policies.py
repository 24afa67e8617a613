"""Certificate policies where NIST's suite does not look: trust anchors with limits, hostile mappings (RFC 5280, 5914, 9618)."""

from __future__ import annotations

import pytest
from cryptography import x509

from device_sdk.errors import VerificationError
from device_sdk.wire import der
from device_sdk.wire.path import find_path
from device_sdk.wire.path_inputs import ANY_POLICY, PathInputs
from device_sdk.wire.policies import MAX_POLICIES, policy_problem
from tests.est.pki import NOW, Ca, new_key

ARC = "1.3.6.1.4.1.32473.99"
GOLD, SILVER = f"{ARC}.1", f"{ARC}.2"
REQUIRED = x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None)
NO_MAPPING = x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=0)
NOTHING = "none of the certificate policies that are asked for"
NONE_HOLDS = "no certificate policy holds"


def policies(*wanted: str) -> tuple[x509.ExtensionType, bool]:
    found = [x509.PolicyInformation(x509.ObjectIdentifier(one), None) for one in wanted]
    return x509.CertificatePolicies(found), False


def mapped(*pairs: tuple[str, str]) -> tuple[x509.ExtensionType, bool]:
    value = der.sequence(*(der.sequence(der.oid(one), der.oid(other)) for one, other in pairs))
    return x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.33"), value), True


def chain(root: list, middle: list, leaf: list) -> tuple[x509.Certificate, ...]:
    """A path with these extensions: the leaf first."""
    top = Ca.root("Root", extensions=root)
    issuing = top.issue_ca("Issuing", extensions=middle)
    return issuing.certify("leaf", new_key().public_key(), extensions=leaf), issuing.certificate, top.certificate


@pytest.mark.parametrize(
    ("root", "middle", "leaf", "problem"),
    [
        ([(REQUIRED, True)], [policies(GOLD)], [policies(GOLD)], None),
        ([(REQUIRED, True)], [policies(GOLD)], [], NONE_HOLDS),
        ([(REQUIRED, True), policies(SILVER)], [policies(GOLD)], [policies(GOLD)], NOTHING),
        ([(REQUIRED, True), policies(GOLD)], [policies(ANY_POLICY)], [policies(GOLD)], None),
        ([(REQUIRED, True), (x509.InhibitAnyPolicy(0), True)], [policies(ANY_POLICY)], [policies(GOLD)], NONE_HOLDS),
        ([(REQUIRED, True)], [policies(GOLD), mapped((GOLD, SILVER))], [policies(SILVER)], None),
        ([(NO_MAPPING, True)], [policies(GOLD), mapped((GOLD, SILVER))], [policies(SILVER)], NONE_HOLDS),
    ],
)
def test_rfc_5914_section_2_5_the_anchors_own_limits(root, middle, leaf, problem):
    """What the anchor's certificate says, or the one that stands for a TrustAnchorInfo, holds from the beginning."""
    path = chain(root, middle, leaf)
    found = policy_problem(path, PathInputs())
    assert found is None if problem is None else problem in (found or "")


def test_an_anchor_that_is_asked_about_has_no_path():
    root = Ca.root("Root", extensions=[(REQUIRED, True)])
    assert find_path(root.certificate, intermediates=[], anchors=[root.certificate], now=NOW)


def test_what_was_asked_for_is_found_by_another_path():
    """A path without the policies that are asked for is passed over."""
    root, key = Ca.root("Root"), new_key()
    plain, good = (root.issue_ca("Issuing", key=key, extensions=one) for one in ([], [policies(GOLD)]))
    leaf = plain.certify("leaf", new_key().public_key(), extensions=[policies(GOLD)])
    bag = [plain.certificate, good.certificate]
    inputs = PathInputs(policies=frozenset({GOLD}), require_explicit_policy=True)
    path = find_path(leaf, intermediates=bag, anchors=[root.certificate], now=NOW, inputs=inputs)
    assert path[1] == good.certificate
    with pytest.raises(VerificationError, match="certificate polic"):
        find_path(leaf, intermediates=bag[:1], anchors=[root.certificate], now=NOW, inputs=inputs)


@pytest.mark.parametrize(("others", "found"), [(40, True), (60, False)])
def test_whole_paths_are_judged_some_times_only(others, found):
    """A hundred certificates of one CA, each with a path that policies forbid, cost no more than fifty."""
    root, key = Ca.root("Root"), new_key()
    twins = [root.issue_ca("Issuing", key=key, extensions=[(REQUIRED, True)]) for _ in range(others)]
    leaf = twins[0].certify("leaf", new_key().public_key())
    bag = [one.certificate for one in (*twins, root.issue_ca("Issuing", key=key))]
    if found:
        assert find_path(leaf, intermediates=bag, anchors=[root.certificate], now=NOW)[1] == bag[-1]
        return
    with pytest.raises(VerificationError, match="certificate polic"):
        find_path(leaf, intermediates=bag, anchors=[root.certificate], now=NOW)


def test_rfc_9618_mappings_that_double_at_each_step():
    """CVE-2023-0464: forty CAs with two policies, each mapped to both; as a tree that has 2**40 leaves."""
    both = [policies(GOLD, SILVER), mapped((GOLD, GOLD), (GOLD, SILVER), (SILVER, GOLD), (SILVER, SILVER))]
    leaf, doubling, root = chain([(REQUIRED, True)], both, [policies(GOLD)])
    path = (leaf, *[doubling] * 40, root)
    assert policy_problem(path, PathInputs(policies=frozenset({SILVER}))) is None
    assert NOTHING in (policy_problem(path, PathInputs(policies=frozenset({f"{ARC}.3"}))) or "")


def test_more_policies_and_mappings_than_anybody_has():
    many = [f"{ARC}.{number}" for number in range(MAX_POLICIES + 1)]
    assert policy_problem(chain([], [policies(*many[1:])], []), PathInputs()) is None
    assert "more than 128 certificate policies" in (
        policy_problem(chain([], [policies(*many)], []), PathInputs()) or ""
    )
    pairs = [(GOLD, one) for one in many]
    assert "more than 128 policy mappings" in (policy_problem(chain([], [mapped(*pairs)], []), PathInputs()) or "")


@pytest.mark.parametrize("value", [b"", b"\x30", b"\x30\x02\x05\x00", b"\x05\x00", b"\x30\x03\x30\x01\x00"])
def test_mappings_that_cannot_be_read(value):
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.33"), value), True
    assert "cannot be read" in (policy_problem(chain([], [extension], []), PathInputs()) or "")
