"""Adding, removing and changing anchors, and no more than the manager may himself (RFC 5934 sections 4.3 and 7, RFC 6010 section 5; T-08, T-09)."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from device_sdk_simulators.packages.tamp.contingency import Contingency
from pyasn1.type import univ

from device_sdk.protocols.tamp import Role
from device_sdk.wire.tamp.anchors import AnchorFormat
from device_sdk.wire.tamp.certificates import as_certificate
from tests.tamp import making
from tests.tamp.conftest import Bench
from tests.tamp.making import (
    ANY,
    FIRMWARE,
    UPDATE,
    Authority,
    Manager,
    add,
    again,
    authority,
    bare,
    certificate,
    change,
    change_tbs,
    info,
    may_sign,
    remove,
)

DNS = x509.DNSName
POLICY, OTHER_POLICY = x509.ObjectIdentifier("1.3.6.1.4.1.32473.5"), x509.ObjectIdentifier("1.3.6.1.4.1.32473.6")


def names(*permitted: str, excluded: tuple[str, ...] = ()) -> x509.NameConstraints:
    return x509.NameConstraints([DNS(one) for one in permitted] or None, [DNS(one) for one in excluded] or None)


def policies(*oids: x509.ObjectIdentifier) -> x509.CertificatePolicies:
    return x509.CertificatePolicies([x509.PolicyInformation(one, None) for one in oids])


EXPLICIT = x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None)


def test_t_08_the_same_again_and_something_else(bench: Bench) -> None:
    """T-08: what is there already is added again, if it is the same in every respect."""
    new = authority("New")
    assert bench.statuses(bench.apex.update(add(certificate(new)))) == ["SUCCESS"]
    assert bench.statuses(bench.apex.update(add(certificate(new)))) == ["SUCCESS"]
    other = again(new)
    assert bench.statuses(bench.apex.update(add(certificate(other)), add(info(new)))) == ["IMPROPER_TA_ADDITION"] * 2
    assert bench.statuses(bench.apex.update(add(certificate(bench.people.apex)))) == ["IMPROPER_TA_ADDITION"]
    found = bench.find(new)
    assert found is not None
    assert (found.role, found.anchor.form) == (Role.IDENTITY, AnchorFormat.CERTIFICATE)


def test_t_08_no_apex_by_an_update(bench: Bench) -> None:
    locked = Contingency(authority("Contingency"), bytes(32)).extension()
    fake = authority("Fake apex", None, locked)
    assert bench.statuses(bench.apex.update(add(certificate(fake)), add(info(fake)))) == ["IMPROPER_TA_ADDITION"] * 2
    plain = authority("Plain")
    assert bench.statuses(bench.apex.update(add(info(plain)), change(again(plain, locked)))) == [
        "SUCCESS",
        "IMPROPER_TA_CHANGE",
    ]


def test_t_08_t_16_changes(bench: Bench) -> None:
    """T-08: only what came as TrustAnchorInfo can be changed so; all that is not said is gone; a failure keeps what was there."""
    plain = authority("Plain")
    bench.do(bench.apex.update(add(info(plain, "old"))))
    assert bench.statuses(
        bench.apex.update(
            change(bench.people.identity),
            change_tbs(plain),
            change_tbs(bench.people.identity),
            change(bench.people.apex),
            change_tbs(authority("Nobody")),
        )
    ) == [
        "IMPROPER_TA_CHANGE",
        "IMPROPER_TA_CHANGE",
        "IMPROPER_TA_CHANGE",
        "APEX_TAMP_ANCHOR",
        "TRUST_ANCHOR_NOT_FOUND",
    ]
    changed = again(plain, names("a.example"), name="Changed")
    assert bench.statuses(bench.apex.update(change(changed, "new"))) == ["SUCCESS"]
    found = bench.find(plain)
    assert found is not None
    assert found.anchor.title == "new"
    shown = as_certificate(found.anchor)
    assert shown is not None
    assert shown.subject == changed.certificate.subject
    assert bench.statuses(bench.apex.update(change(plain, controls=False))) == ["SUCCESS"]
    found = bench.find(plain)
    assert found is not None
    assert (found.anchor.title, found.anchor.controls, as_certificate(found.anchor)) == (None, None, None)


def test_t_08_content_constraints_make_a_manager_and_stay(bench: Bench) -> None:
    """T-14, RFC 6010 section 5: a change that does not mention them leaves them; one that does may make a manager."""
    plain = authority("Plain")
    bench.do(bench.apex.update(add(info(plain))))
    assert bench.refused(Manager(plain).query())[0] == "NOT_AUTHORIZED"
    assert bench.statuses(bench.apex.update(change(again(plain, may_sign(making.QUERY))))) == ["SUCCESS"]
    manager = Manager(plain)
    assert bench.statuses(manager.query()) == ["SUCCESS"]
    assert bench.statuses(bench.apex.update(change(plain, "without"))) == ["SUCCESS"]
    assert bench.statuses(manager.query()) == ["SUCCESS"]
    assert bench.refused(manager.update(remove(plain)))[0] == "NOT_AUTHORIZED"


def test_t_07_given_numbers_only_raise(bench: Bench) -> None:
    """T-07: for anchors that the message adds or changes, by key identifier; others are ignored."""
    one = authority("One", None, may_sign(making.ANY))
    key_id = making.key_identifier(one.certificate)
    limited = making.key_identifier(bench.people.limited.certificate)
    bench.do(bench.apex.update(add(info(one)), numbers=[(key_id, 20), (limited, 99)]))
    assert (bench.number(one), bench.number(bench.people.limited)) == (20, None)
    assert bench.refused(Manager(one).query(number=20))[0] == "SEQ_NUM_FAILURE"
    assert bench.statuses(Manager(one).query(number=25)) == ["SUCCESS"]
    bench.do(bench.apex.update(change(one), numbers=[(key_id, 24)]))
    assert bench.number(one) == 25
    bench.do(bench.apex.update(change(one), numbers=[(key_id, 30)]))
    assert bench.number(one) == 30


def adding(bench: Bench, manager: Manager, *choices: Any) -> list[str]:
    return bench.statuses(manager.update(*(add(one) for one in choices)))


def test_t_09_a_manager_gives_nobody_more_than_he_has(bench: Bench) -> None:
    """T-09: by content type, by where content may originate, by values of attributes; each update on its own."""
    yes, no = "SUCCESS", "NOT_AUTHORIZED"
    assert adding(
        bench,
        bench.limited,
        certificate(authority("Firmware", None, may_sign(FIRMWARE))),
        certificate(authority("Queries", None, may_sign(FIRMWARE, making.QUERY))),
        certificate(authority("Anything", None, may_sign(making.ANY))),
        certificate(authority("For servers")),
    ) == [yes, no, no, yes]
    assert bench.statuses(bench.limited.update(remove(bench.people.management))) == [no]
    assert bench.find(bench.people.management) is not None
    first, second = univ.Integer(1), univ.Integer(2)
    narrow = authority(
        "Narrow", None, may_sign(UPDATE, FIRMWARE, cannot_source=[FIRMWARE], attributes=[("1.2.3", [first])])
    )
    bench.do(bench.apex.update(add(certificate(narrow))))
    assert adding(
        bench,
        Manager(narrow),
        certificate(authority("Sources", None, may_sign(FIRMWARE, attributes=[("1.2.3", [first])]))),
        certificate(
            authority("Fits", None, may_sign(FIRMWARE, cannot_source=[FIRMWARE], attributes=[("1.2.3", [first])]))
        ),
        certificate(
            authority(
                "Other", None, may_sign(FIRMWARE, cannot_source=[FIRMWARE], attributes=[("1.2.3", [first, second])])
            )
        ),
        certificate(authority("Free", None, may_sign(FIRMWARE, cannot_source=[FIRMWARE]))),
    ) == [no, yes, no, no]


def test_t_09_any_content_type_is_no_way_around_a_specific_one(bench: Bench) -> None:
    """RFC 6010 sections 2 and 5: beside anyContentType the specific entry counts, so who has one gives nobody all."""
    two = [("1.2.3", [univ.Integer(1), univ.Integer(2)])]
    for limits, fitting in (
        (may_sign(ANY, FIRMWARE, cannot_source=[FIRMWARE]), may_sign(ANY, FIRMWARE, cannot_source=[FIRMWARE])),
        (may_sign(ANY, FIRMWARE, attributes=two), may_sign(FIRMWARE, ANY, attributes=[("1.2.3", [univ.Integer(2)])])),
    ):
        limited = authority("Any, but", None, limits)
        bench.do(bench.apex.update(add(certificate(limited))))
        assert adding(
            bench,
            Manager(limited),
            certificate(authority("All", None, may_sign(ANY))),
            certificate(authority("All of it", None, may_sign(ANY, FIRMWARE))),
            certificate(authority("As much", None, fitting)),
            certificate(authority("Another type", None, may_sign(making.QUERY))),
        ) == ["NOT_AUTHORIZED", "NOT_AUTHORIZED", "SUCCESS", "SUCCESS"]
    # a type that a certificate on the way left out is nobody's below it
    below = authority("Below", limited, may_sign(ANY))
    assert adding(
        bench,
        Manager(below, (below.certificate,)),
        certificate(authority("All", None, may_sign(ANY))),
        certificate(authority("Firmware", None, fitting)),
        certificate(authority("Another type", None, may_sign(making.QUERY))),
    ) == ["NOT_AUTHORIZED", "NOT_AUTHORIZED", "SUCCESS"]


def test_t_09_the_certificates_on_the_way_limit_too(bench: Bench) -> None:
    below = authority("Below", bench.people.management, may_sign(UPDATE, FIRMWARE))
    manager = Manager(below, (below.certificate,))
    assert adding(
        bench,
        manager,
        certificate(authority("Firmware", None, may_sign(FIRMWARE))),
        certificate(authority("Queries", None, may_sign(making.QUERY))),
    ) == ["SUCCESS", "NOT_AUTHORIZED"]
    assert bench.statuses(manager.update(remove(bench.people.management))) == ["NOT_AUTHORIZED"]


def test_t_09_what_nobody_limited_is_nobodys_but_the_unlimited(bench: Bench) -> None:
    """A manager that somebody imported without limits may be removed by another such one, or the apex; anyContentType limits, too."""
    from dataclasses import replace

    from tests.tamp.conftest import held

    free = authority("Free")
    bench.store = replace(bench.store, anchors=(*bench.store.anchors, held(certificate(free), Role.MANAGEMENT)))
    assert bench.statuses(bench.management.update(remove(free))) == ["NOT_AUTHORIZED"]
    assert bench.statuses(Manager(free).update(remove(bench.people.limited), remove(free))) == ["SUCCESS", "SUCCESS"]


def managing(bench: Bench, *extensions: x509.ExtensionType) -> tuple[Manager, Authority]:
    """A manager whose own controls are those."""
    found = authority("Limited by controls", None, may_sign(making.ANY), *extensions)
    bench.do(bench.apex.update(add(certificate(found))))
    return Manager(found), found


def kept(bench: Bench, one: Authority) -> x509.Certificate:
    found = bench.find(one)
    assert found is not None
    shown = as_certificate(found.anchor)
    assert shown is not None
    return shown


def test_t_09_names(bench: Bench) -> None:
    """RFC 5934 section 7: excluded names are united, permitted ones intersected; the anchor's own name has to be permitted."""
    manager, _ = managing(bench, names("example", "other.example", excluded=("bad.example",)))
    plain, narrow, wide = (
        authority("Plain"),
        authority("Narrow", None, names("a.example")),
        authority("Wide", None, names("com")),
    )
    assert adding(bench, manager, info(plain), info(narrow), info(wide)) == ["SUCCESS", "SUCCESS", "NOT_AUTHORIZED"]
    constraints = kept(bench, plain).extensions.get_extension_for_class(x509.NameConstraints).value
    assert constraints == names("example", "other.example", excluded=("bad.example",))
    constraints = kept(bench, narrow).extensions.get_extension_for_class(x509.NameConstraints).value
    assert constraints == names("a.example", excluded=("bad.example",))
    # the same again is calculated to the same, and no other anchor
    assert adding(bench, manager, info(narrow)) == ["SUCCESS"]


def test_t_09_nobody_throws_his_limits_off(bench: Bench) -> None:
    """RFC 5934 section 7: an anchor without certPath has no controls, so a manager with some makes none that signs messages."""
    limited = authority("N", None, may_sign(UPDATE), names("a.example"))
    plain, helper, key_only = authority("Plain"), authority("M2", None, may_sign(UPDATE)), authority("Key only")
    bench.do(bench.apex.update(add(info(limited))))
    manager = Manager(limited)
    assert bench.statuses(
        manager.update(
            change(limited, controls=False), add(bare(helper)), add(info(plain)), change(plain, controls=False)
        )
    ) == ["NOT_AUTHORIZED", "NOT_AUTHORIZED", "SUCCESS", "NOT_AUTHORIZED"]
    for one in (limited, plain):
        constraints = kept(bench, one).extensions.get_extension_for_class(x509.NameConstraints).value
        assert constraints == names("a.example")
    assert bench.find(helper) is None
    # what signs no messages and leads no paths harms nobody; and who is not limited may do it
    assert adding(bench, manager, bare(key_only)) == ["SUCCESS"]
    assert bench.statuses(bench.apex.update(add(bare(helper)), change(plain, controls=False))) == ["SUCCESS"] * 2


def test_t_09_who_is_limited_takes_nothing_away_from_others(bench: Bench) -> None:
    """RFC 5934 section 7: for removals and changes, too, the manager's limits are those of the anchor, or wider."""
    limited = authority("N", None, may_sign(UPDATE), names("a.example", "b.example"))
    free, plain = authority("Free"), authority("Plain")
    other_order = authority("Other order", None, names("b.example", "a.example"))
    key_only = authority("Key only", None, may_sign(UPDATE))
    bench.do(bench.apex.update(add(info(limited)), add(info(free)), add(info(other_order)), add(bare(key_only))))
    manager = Manager(limited)
    assert (
        bench.statuses(
            manager.update(
                remove(bench.people.identity), remove(key_only), change(free), add(info(plain)), remove(plain)
            )
        )
        == ["NOT_AUTHORIZED"] * 3 + ["SUCCESS"] * 2
    )
    assert bench.find(bench.people.identity) is not None
    # his own kind, however it is written, himself included
    assert bench.statuses(manager.update(remove(other_order), remove(limited))) == ["SUCCESS"] * 2
    assert bench.statuses(bench.management.update(remove(bench.people.identity))) == ["SUCCESS"]


def test_t_09_a_certificate_cannot_be_narrowed(bench: Bench) -> None:
    manager, _ = managing(bench, names("example"))
    plain, same = authority("Plain"), authority("Same", None, names("example"))
    assert adding(bench, manager, certificate(plain), certificate(same)) == ["NOT_AUTHORIZED", "SUCCESS"]


def test_t_09_the_name_of_the_anchor(bench: Bench) -> None:
    def directory(text: str) -> x509.DirectoryName:
        return x509.DirectoryName(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]))

    for constraints, statuses in (
        (x509.NameConstraints([directory("Inside")], None), ["SUCCESS", "NOT_AUTHORIZED"]),
        (x509.NameConstraints(None, [directory("Inside")]), ["NOT_AUTHORIZED", "SUCCESS"]),
    ):
        manager, _ = managing(bench, constraints)
        assert adding(bench, manager, info(authority("Inside")), info(authority("Outside"))) == statuses


def test_t_09_policies_and_flags(bench: Bench) -> None:
    """RFC 5934 section 7: policies are intersected, flags only ever set; an empty set is never kept."""
    manager, _ = managing(bench, policies(POLICY), EXPLICIT)
    plain, both = authority("Plain"), authority("Both", None, policies(POLICY, OTHER_POLICY))
    other = authority("Other", None, policies(OTHER_POLICY))
    assert adding(bench, manager, info(plain), info(both), info(other)) == ["SUCCESS", "SUCCESS", "NOT_AUTHORIZED"]
    for one in (plain, both):
        extensions = kept(bench, one).extensions
        assert extensions.get_extension_for_class(x509.CertificatePolicies).value == policies(POLICY)
        assert extensions.get_extension_for_class(x509.PolicyConstraints).value == EXPLICIT
    demanding = authority("Demanding", None, EXPLICIT)
    assert adding(bench, bench.apex, info(demanding)) == ["MISSING_POLICY_SET"]


def test_t_09_the_apex_is_free(bench: Bench) -> None:
    """RFC 5934 section 7: what the apex itself signs is kept as it is."""
    for one in (authority("A", None, names("a.example")), authority("B", None, policies(OTHER_POLICY))):
        assert adding(bench, bench.apex, certificate(one)) == ["SUCCESS"]


def test_t_09_a_delegate_of_the_apex_is_limited_by_his_certificate(bench: Bench) -> None:
    below = authority("Below the apex", bench.people.apex, may_sign(UPDATE), names("example"))
    manager = Manager(below, (below.certificate,))
    plain = authority("Plain")
    assert adding(bench, manager, info(plain), certificate(authority("Whole"))) == ["SUCCESS", "NOT_AUTHORIZED"]
    constraints = kept(bench, plain).extensions.get_extension_for_class(x509.NameConstraints).value
    assert constraints == names("example")
    mapping = authority("Maps", bench.people.apex, may_sign(UPDATE), EXPLICIT, policies(POLICY))
    assert adding(bench, Manager(mapping, (mapping.certificate,)), info(plain)) == ["NOT_AUTHORIZED"]


def test_a_store_that_is_full(bench: Bench) -> None:
    from device_sdk.protocols.tamp.store import MAX_HELD

    new = authority("New")
    others = [authority(f"Number {number}") for number in range(MAX_HELD - len(bench.store.anchors))]
    bench.do(bench.apex.update(*(add(certificate(one)) for one in others), terse=True))
    assert adding(bench, bench.apex, info(new)) == ["INSUFFICIENT_MEMORY"]
    assert bench.statuses(bench.apex.update(remove(bench.people.limited), add(info(new)))) == ["SUCCESS", "SUCCESS"]


@pytest.mark.parametrize("form", [certificate, info])
def test_t_16_the_two_forms_that_are_kept(bench: Bench, form: Any) -> None:
    new = authority("New", None, may_sign(making.ANY), names("a.example"))
    assert adding(bench, bench.apex, form(new)) == ["SUCCESS"]
    assert bench.statuses(Manager(new).query()) == ["SUCCESS"]
    below = authority("Below", new, may_sign(making.ANY))
    assert bench.statuses(Manager(below, (below.certificate,)).query()) == ["SUCCESS"]


def with_certificate(one: Authority, inner: Authority) -> Any:
    """A TrustAnchorInfo with the certificate of an anchor in it."""
    found = info(one)
    whole = certificate(inner)["certificate"]
    for name in whole:
        found["taInfo"]["certPath"]["certificate"][name] = whole[name]
    return found


def test_t_16_a_certificate_within_a_trust_anchor_info(bench: Bench) -> None:
    """RFC 5914 section 2.5: what the certificate limits holds where the anchor says nothing; it has to be the anchor's."""
    plain = authority("Plain")
    limited = again(plain, may_sign(making.QUERY), names("a.example"), policies(POLICY), name="Plain")
    assert adding(bench, bench.apex, with_certificate(plain, limited)) == ["SUCCESS"]
    found = bench.find(plain)
    assert found is not None
    assert found.role is Role.MANAGEMENT
    shown = kept(bench, plain)
    assert shown.extensions.get_extension_for_class(x509.NameConstraints).value == names("a.example")
    assert shown.extensions.get_extension_for_class(x509.CertificatePolicies).value == policies(POLICY)
    assert bench.statuses(Manager(plain).query()) == ["SUCCESS"]
    assert bench.refused(Manager(plain).update(remove(plain)))[0] == "NOT_AUTHORIZED"
    narrower = again(plain, names("b.example"), name="Plain")
    bench.do(bench.apex.update(remove(plain), add(with_certificate(narrower, limited))))
    assert kept(bench, plain).extensions.get_extension_for_class(x509.NameConstraints).value == names("b.example")


def test_t_16_the_certificate_of_another_anchor(bench: Bench) -> None:
    plain = authority("Plain")
    for other in (authority("Plain"), again(plain, name="Another name")):
        assert bench.refused(bench.apex.update(add(with_certificate(plain, other))))[0] == "DECODE_FAILURE"
