"""A new apex, by either of its keys; communities (RFC 5934 sections 4.5 and 4.7; T-10, T-11, AMB-18)."""

from __future__ import annotations

import dataclasses

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from device_sdk_simulators.ca.hierarchy import make_authority
from device_sdk_simulators.ca.keys import new_key
from device_sdk_simulators.packages.tamp.contingency import Contingency
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc5934

from device_sdk.protocols.tamp import Role
from device_sdk.protocols.tamp.store import MAX_SPENT
from tests.tamp import making
from tests.tamp.conftest import Bench
from tests.tamp.making import COMMUNITY, Authority, Manager, again, authority, certificate, info

KEY, WRONG = bytes(range(32)), bytes(32)


def locked(key: Authority) -> tuple[Contingency, Manager]:
    """A contingency key, and who signs with it."""
    found = Contingency(key, KEY)
    return found, Manager(key, unsigned=[found.disclosed()])


def test_t_10_by_the_operational_key(bench: Bench) -> None:
    new = authority("New apex")
    answer = bench.answer(bench.apex.apex(certificate(new), first=50))["apexConfirm"]["verboseApexConfirm"]
    assert (int(answer["status"]), answer["taInfo"][0].getName(), len(answer["taInfo"])) == (0, "certificate", 4)
    assert [str(one) for one in answer["communities"]] == [COMMUNITY]
    assert (bench.find(bench.people.apex), bench.number(new)) == (None, 50)
    assert bench.refused(bench.apex.query())[0] == "NO_TRUST_ANCHOR"
    assert bench.refused(Manager(new).query(number=50))[0] == "SEQ_NUM_FAILURE"
    assert bench.statuses(Manager(new).query(number=51)) == ["SUCCESS"]


def test_t_10_alone_and_without_communities(bench: Bench) -> None:
    """clearTrustAnchors and clearCommunities; anchors for servers that were removed do not come back by /cacerts."""
    new = authority("New apex")
    answer = bench.answer(bench.apex.apex(info(new), anchors=True, communities=True, terse=True))
    assert int(answer["apexConfirm"]["terseApexConfirm"]) == 0
    (left,) = bench.store.anchors
    assert (left.role, left.number, bench.store.communities) == (Role.APEX, None, ())
    assert bench.store.explicit([bench.people.identity.certificate]) == ()
    stranger = bench.people.stranger.certificate
    assert bench.store.explicit([stranger]) == (stranger,)


def test_t_10_who_may_not(bench: Bench) -> None:
    new = authority("New apex")
    below = authority("Below", bench.people.apex, making.may_sign(making.APEX))
    for manager in (bench.management, Manager(below, (below.certificate,))):
        assert bench.refused(manager.apex(certificate(new)))[0] == "NOT_AUTHORIZED"
    for number in (7, 6):
        bench.do(bench.apex.query(number=number)) if number == 7 else None
    assert bench.refused(bench.apex.apex(certificate(new), number=6))[0] == "SEQ_NUM_FAILURE"


def test_t_10_what_cannot_be_an_apex(bench: Bench) -> None:
    """Said in a confirm; the old one stays."""
    people = bench.people
    assert bench.statuses(bench.apex.apex(making.tbs(authority("TBS")))) == ["UNSUPPORTED_TRUST_ANCHOR_FORMAT"]
    assert bench.statuses(bench.apex.apex(certificate(people.identity))) == ["IMPROPER_TA_ADDITION"]
    assert bench.find(people.apex) is not None
    assert bench.statuses(bench.apex.apex(certificate(people.identity), anchors=True)) == ["SUCCESS"]


def test_t_10_the_same_key_does_not_forget_its_number(bench: Bench) -> None:
    message = bench.apex.apex(info(again(bench.people.apex)), number=30)
    assert bench.statuses(message) == ["SUCCESS"]
    assert bench.refused(message)[0] == "SEQ_NUM_FAILURE"
    assert bench.number(bench.people.apex) == 30


@pytest.mark.parametrize("form", [certificate, info])
def test_t_10_by_the_contingency_key(bench: Bench, form) -> None:
    """T-10: opened by the key that comes with the message; its number is 0, and there is no second time."""
    contingency, manager = locked(authority("Contingency"))
    with_key = authority("Apex with contingency", None, contingency.extension())
    assert bench.statuses(bench.apex.apex(form(with_key))) == ["SUCCESS"]
    query = bench.answer(Manager(with_key).query())["response"]["verboseResponse"]
    assert str(query["continPubKeyDecryptAlg"]["algorithm"]) == "2.16.840.1.101.3.4.1.48"
    new = authority("New apex")
    assert bench.refused(manager.apex(form(new), number=1))[0] == "SEQ_NUM_FAILURE"
    broken = making.Oddities(broken=True)
    assert bench.refused(manager.apex(form(new), number=0, odd=broken))[0] == "SIGNATURE_FAILURE"
    wrong = Manager(contingency.authority, unsigned=[Contingency(contingency.authority, WRONG).disclosed()])
    assert bench.refused(wrong.apex(form(new), number=0))[0] == "CONTINGENCY_PUBLIC_KEY_DECRYPT"
    short = Manager(contingency.authority, unsigned=[Contingency(contingency.authority, WRONG[:16]).disclosed()])
    assert bench.refused(short.apex(form(new), number=0))[0] == "CONTINGENCY_PUBLIC_KEY_DECRYPT"
    other = Manager(bench.people.stranger, unsigned=[contingency.disclosed()])
    assert bench.refused(other.apex(form(new), number=0))[0] == "SIGNATURE_FAILURE"
    message = manager.apex(form(new), number=0)
    assert bench.statuses(message) == ["SUCCESS"]
    assert bench.refused(message)[0] == "NO_TRUST_ANCHOR"
    assert bench.statuses(Manager(new).query()) == ["SUCCESS"]


def test_t_10_the_same_operational_key_by_the_contingency_key(bench: Bench) -> None:
    """What was done once with the key that stays is not done again."""
    contingency, manager = locked(authority("Contingency"))
    with_key = authority("Apex with contingency", None, contingency.extension())
    bench.do(bench.apex.apex(certificate(with_key)))
    assert bench.statuses(Manager(with_key).query(number=40)) == ["SUCCESS"]
    assert bench.statuses(manager.apex(info(again(with_key)), number=0, first=7)) == ["SUCCESS"]
    assert bench.number(with_key) == 40


def test_t_10_a_contingency_key_signs_once(bench: Bench) -> None:
    """Its messages have no numbers: an apex with the same key would let everybody send the message again and again."""
    contingency, manager = locked(authority("Contingency"))
    with_key = authority("Apex with contingency", None, contingency.extension())
    bench.do(bench.apex.apex(certificate(with_key)))
    other = authority("Other apex", None, contingency.extension())
    for new in (with_key, other):
        message = manager.apex(certificate(new), number=0, anchors=True)
        assert bench.statuses(message) == ["SEQ_NUM_FAILURE"]
    assert bench.find(bench.people.management) is not None
    fresh = Contingency(authority("Another contingency"), bytes(range(1, 33)))
    message = manager.apex(certificate(authority("Third apex", None, fresh.extension())), number=0)
    assert bench.statuses(message) == ["SUCCESS"]
    assert bench.refused(message)[0] == "CONTINGENCY_PUBLIC_KEY_DECRYPT"


def test_t_10_a_contingency_key_that_is_brought_back_signs_nothing(bench: Bench) -> None:
    """Locked as before or with another key: the old message would be good once more, as its number says nothing (section 6)."""
    contingency, manager = locked(authority("Contingency"))
    with_key = authority("Apex with contingency", None, contingency.extension())
    bench.do(bench.apex.apex(certificate(with_key)))
    second = authority("Second apex")
    message = manager.apex(certificate(second), number=0, anchors=True)
    assert bench.statuses(message) == ["SUCCESS"]
    back = authority("Third apex", None, contingency.extension())
    assert bench.statuses(Manager(second).apex(certificate(back))) == ["SUCCESS"]
    assert bench.refused(message)[0] == "SEQ_NUM_FAILURE"
    otherwise = Contingency(contingency.authority, bytes(range(1, 33)))
    again_back = authority("Fourth apex", None, otherwise.extension())
    assert bench.statuses(Manager(back).apex(certificate(again_back))) == ["SUCCESS"]
    new = Manager(contingency.authority, unsigned=[otherwise.disclosed()])
    assert bench.refused(new.apex(certificate(authority("Fifth apex")), number=0))[0] == "SEQ_NUM_FAILURE"
    assert len(bench.store.spent) == 1


def test_t_10_a_contingency_message_that_was_not_done_spends_nothing(bench: Bench) -> None:
    contingency, manager = locked(authority("Contingency"))
    bench.do(bench.apex.apex(certificate(authority("Apex with contingency", None, contingency.extension()))))
    assert bench.statuses(manager.apex(certificate(bench.people.identity), number=0)) == ["IMPROPER_TA_ADDITION"]
    assert bench.store.spent == ()
    full = dataclasses.replace(bench.store, spent=("00" * 32,) * MAX_SPENT)
    before, bench.store = bench.store, full
    message = manager.apex(certificate(authority("New apex")), number=0)
    assert bench.refused(message)[0] == "INSUFFICIENT_MEMORY"
    bench.store = before
    assert bench.statuses(message) == ["SUCCESS"]


def test_t_10_a_contingency_key_signs_nothing_else(bench: Bench) -> None:
    contingency, manager = locked(authority("Contingency"))
    with_key = authority("Apex with contingency", None, contingency.extension())
    bench.do(bench.apex.apex(certificate(with_key)))
    assert bench.refused(manager.query(number=0))[0] == "BAD_UNSIGNED_ATTRS"
    assert bench.refused(Manager(contingency.authority).apex(certificate(with_key), number=0))[0] == "NO_TRUST_ANCHOR"
    twice = Manager(contingency.authority, unsigned=[contingency.disclosed()] * 2)
    assert bench.refused(twice.apex(certificate(with_key), number=0))[0] == "MALFORMED"


def test_t_10_amb_18_other_locks(bench: Bench) -> None:
    """Key wrap without padding, for a key it fits; one that is not known here; and an extension that is empty."""
    key = make_authority("P-384", new_key("ec-p384"), making.NOW)
    for algorithm, status in (("2.16.840.1.101.3.4.1.45", None), ("1.2.3", "UNSUPPORTED_CONTIN_PUB_KEY_DECRYPT_ALG")):
        value = rfc5934.ApexContingencyKey()
        value["wrapAlgorithm"]["algorithm"] = algorithm
        value["wrappedContinPubKey"] = aes_key_wrap(KEY, making.anchors.public_key(key.certificate))
        before = bench.store
        apex = authority("Apex", None, extension(encode(value)))
        assert bench.statuses(bench.apex.apex(certificate(apex))) == ["SUCCESS"]
        manager = Manager(key, unsigned=[Contingency(key, KEY).disclosed()])
        message = manager.apex(certificate(authority("New")), number=0)
        assert (bench.statuses(message) == ["SUCCESS"]) if status is None else bench.refused(message)[0] == status
        bench.store = before
    apex = authority("Apex", None, extension(b"0\0"))
    assert bench.statuses(bench.apex.apex(certificate(apex))) == ["SUCCESS"]
    assert bench.refused(manager.apex(certificate(authority("New")), number=0))[0] == "NO_TRUST_ANCHOR"
    half = authority("Half", None, extension(bytes.fromhex("30060604" + "55040303")))
    assert bench.statuses(Manager(apex).apex(certificate(half))) == ["UNSUPPORTED_TRUST_ANCHOR_FORMAT"]


def extension(value: bytes) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(str(rfc5934.id_pe_wrappedApexContinKey)), value)


def test_t_11_communities(bench: Bench) -> None:
    """T-11: what is left goes first; nothing to do is a success; removing an empty list leaves all."""
    verbose = bench.answer(bench.management.communities(new=["1.2.3", "1.2.4"], gone=["1.2.9", "1.2.3"]))
    found = verbose["commConfirm"]["verboseCommConfirm"]
    assert (int(found["status"]), [str(one) for one in found["communities"]]) == (0, [COMMUNITY, "1.2.3", "1.2.4"])
    terse = bench.answer(bench.management.communities(new=["1.2.3"], terse=True))
    assert int(terse["commConfirm"]["terseCommConfirm"]) == 0
    assert bench.statuses(bench.management.communities(gone=[], new=["1.2.5"])) == ["SUCCESS"]
    assert bench.store.communities == ("1.2.5",)
    assert bench.statuses(bench.management.communities(gone=[])) == ["SUCCESS"]
    assert bench.store.communities == ()
    for empty in ({}, {"new": []}):
        assert bench.refused(bench.management.communities(**empty))[0] == "DECODE_FAILURE"


def test_t_11_all_or_nothing(bench: Bench) -> None:
    from dataclasses import replace

    from device_sdk.protocols.tamp.store import MAX_COMMUNITIES

    before = tuple(f"1.2.3.{number}" for number in range(MAX_COMMUNITIES))
    bench.store = replace(bench.store, communities=before)
    assert bench.statuses(bench.management.communities(gone=["1.2.3.0"], new=["1.3.1", "1.3.2"])) == [
        "COMMUNITY_UPDATE_FAILED"
    ]
    assert (bench.store.communities, bench.number(bench.people.management)) == (before, 1)
