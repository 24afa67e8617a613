"""The validation of paths against NIST's test suite (RFC 5280 sections 6.1 and 6.3)."""

from __future__ import annotations

from functools import cache

import pytest

from device_sdk.errors import VerificationError
from device_sdk.protocols.crls import check_crls
from device_sdk.wire.path import find_path
from device_sdk.wire.path_inputs import ANY_POLICY, PathInputs
from tests.wire.path import pkits

NOT_DONE = {
    "DSA keys": ("4.1.4", "4.1.5"),
    "several lists, each for some reasons": ("4.14.18", "4.14.19"),
    "lists of another issuer than the certificate's": (
        *("4.14.22", "4.14.24", "4.14.25", "4.14.28", "4.14.29", "4.14.30", "4.14.33"),
    ),
    "delta lists": ("4.15.2", "4.15.5", "4.15.7", "4.15.8"),
}
REFUSED = {number for numbers in NOT_DONE.values() for number in numbers}


@cache
def held():
    anchor = pkits.certificates()[pkits.ANCHOR]
    found = check_crls(pkits.lists(), anchors=[anchor], intermediates=pkits.authorities(), now=pkits.NOW)
    return tuple(one.crl for one in found.accepted)


def problem(case):
    """Why the SDK refuses; None if it does not."""
    inputs = PathInputs(
        policies=frozenset(case.policies or {ANY_POLICY}),
        require_explicit_policy="explicit" in case.flags,
        inhibit_policy_mapping="no-mapping" in case.flags,
        inhibit_any_policy="no-any" in case.flags,
        lists=held(),
        lists_required=True,
    )
    anchor = pkits.certificates()[pkits.ANCHOR]
    target = pkits.certificates()[case.target]
    try:
        find_path(target, intermediates=pkits.authorities(), anchors=[anchor], now=pkits.NOW, inputs=inputs)
    except VerificationError as error:
        return error.message
    return None


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # a negative one, in two of the tests
@pytest.mark.parametrize("case", pkits.cases(), ids=lambda case: case.number)
def test_rfc_5280_section_6_pkits(case):
    """What is not done is refused: nothing is taken that is not valid."""
    if case.target in pkits.UNREADABLE:
        assert case.number in REFUSED
        return
    found = problem(case)
    if not case.valid:
        assert found is not None
    elif case.number in REFUSED:
        assert found is not None, f"{case.number} is done now: take it off the list"
    else:
        assert found is None


def test_the_suite_is_complete():
    numbers = [tuple(int(part) for part in case.number.split(".")) for case in pkits.cases()]
    last = {section: max(test for _, found, test, *_ in numbers if found == section) for section in range(1, 17)}
    assert list(last.values()) == [6, 8, 11, 21, 8, 17, 5, 20, 8, 14, 11, 10, 38, 35, 10, 2]
    assert len(numbers) == len(set(numbers)) == 249
