"""What was removed stays away, and what the EST service says counts, whatever limited managers do (RFC 5934 section 7; T-09)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509

from device_sdk.errors import VerificationError
from device_sdk.protocols.tamp import Role
from device_sdk.protocols.tamp.store import MAX_REMOVED, digest, identity_of_certificate
from device_sdk.state import StateDirectory
from device_sdk.wire.path import find_path
from tests.tamp.conftest import Bench, held
from tests.tamp.making import (
    NOW,
    UPDATE,
    Authority,
    Manager,
    add,
    again,
    authority,
    bare,
    change,
    info,
    may_sign,
    remove,
)
from tests.tamp.test_updates import names

ROOT = authority("EST root")
CERTIFICATE = ROOT.certificate


@pytest.fixture
def limited(bench: Bench) -> Manager:
    """A manager of names below a.example, beside an EST service with one root."""
    manager = authority("N", None, may_sign(UPDATE), names("a.example"))
    bench.store = bench.store.with_anchor(held(info(manager), Role.MANAGEMENT)).with_explicit([CERTIFICATE])
    return Manager(manager)


def counts(bench: Bench, certificate: x509.Certificate = CERTIFICATE) -> bool:
    return certificate in bench.store.explicit([certificate])


@pytest.mark.parametrize("role", ["management", "identity", "identity, then management"])
def test_what_the_apex_removed_is_not_brought_back_by_adding_and_removing_its_key(
    bench: Bench, limited: Manager, role: str
) -> None:
    assert bench.statuses(bench.apex.update(remove(ROOT))) == ["SUCCESS"]
    signs, within = may_sign(UPDATE), names("a.example")
    twin = again(ROOT, *([signs] if role == "management" else []), within)
    updates = [add(info(twin)), *([change(again(ROOT, signs, within))] if "then" in role else []), remove(twin)]
    assert bench.statuses(limited.update(*updates)) == ["SUCCESS"] * len(updates)
    assert not counts(bench)
    # nor by the apex, if it adds the key and removes it: only what it added counted
    assert bench.statuses(bench.apex.update(add(info(ROOT)))) == ["SUCCESS"]
    assert not counts(bench)
    assert "CN=EST root" in [one.subject.rfc4514_string() for one in bench.store.explicit([CERTIFICATE])]
    bench.do(bench.apex.update(remove(ROOT)))
    assert bench.store.explicit([CERTIFICATE]) == bench.store.certificates(Role.IDENTITY)


def test_what_was_removed_is_not_pushed_out_of_memory(bench: Bench, limited: Manager) -> None:
    """What limited managers add and take back needs none; others have half of it, and nothing is forgotten."""
    bench.do(bench.apex.update(remove(ROOT)))
    others = [authority(f"Number {number}") for number in range(5)]
    updates = [one for other in others for one in (add(bare(other)), remove(other))]
    before = bench.store.removed
    assert set(bench.statuses(limited.update(*updates))) == {"SUCCESS"}
    assert bench.store.removed == before == (digest(identity_of_certificate(CERTIFICATE)),)

    many = tuple(digest(bytes([number // 256, number % 256])) for number in range(MAX_REMOVED // 2 - 1))
    bench.store = replace(bench.store, removed=(*before, *many))
    one = others[0]
    both = [add(info(one)), remove(one)]
    assert bench.statuses(bench.management.update(*both)) == ["SUCCESS", "INSUFFICIENT_MEMORY"]
    assert bench.statuses(limited.update(add(bare(others[1])), remove(others[1]))) == ["SUCCESS"] * 2
    assert bench.statuses(bench.apex.update(remove(one))) == ["SUCCESS"]
    full = (*bench.store.removed, *(digest(bytes([1, *one.encode()])) for one in many))[:MAX_REMOVED]
    bench.store = replace(bench.store, removed=full)
    assert bench.statuses(bench.apex.update(*both)) == ["SUCCESS", "SUCCESS"], "it was remembered already"
    assert bench.statuses(bench.apex.update(add(info(others[2])), remove(others[2])))[1] == "INSUFFICIENT_MEMORY"
    new = bench.apex.apex(info(authority("New apex")), anchors=True)
    assert bench.statuses(new) == ["INSUFFICIENT_MEMORY"]
    assert not counts(bench)


@pytest.mark.parametrize("signs", [False, True])
def test_nobody_who_is_limited_takes_the_place_of_a_root_of_the_est_service(
    bench: Bench, limited: Manager, signs: bool, tmp_path
) -> None:
    """He knows the key of the next root before the device does; the CA's own certificate counts beside what he makes of it."""
    following = authority("EST root, next key")
    squat = again(following, *([may_sign(UPDATE)] if signs else []), names("a.example"), name="EST root, next key")
    assert bench.statuses(limited.update(add(info(squat)))) == ["SUCCESS"]
    state = StateDirectory(tmp_path / "state")
    with state.exclusive():
        state.managed.save(bench.store)
    assert state.managed.unmanaged([following.certificate]) == (following.certificate,)
    bench.store = replace(state.managed.load()).with_explicit([CERTIFICATE, following.certificate])
    assert counts(bench, following.certificate)
    server = authority("Server", following, x509.SubjectAlternativeName([x509.DNSName("est.b.example")])).certificate
    trusted = bench.store.explicit([CERTIFICATE, following.certificate])
    find_path(server, intermediates=[], anchors=trusted, now=NOW)
    # he takes back what is his, and who is not limited removes all of it
    bench.do(limited.update(remove(squat)))
    assert counts(bench, following.certificate)
    bench.do(limited.update(add(info(squat))))
    assert bench.statuses(bench.apex.update(remove(following))) == ["SUCCESS"]
    assert not counts(bench, following.certificate)
    with pytest.raises(VerificationError):
        find_path(server, intermediates=[], anchors=bench.store.explicit([following.certificate]), now=NOW)


def test_who_is_not_limited_says_what_a_root_of_the_est_service_is_good_for(bench: Bench, limited: Manager) -> None:
    following = authority("EST root, next key")
    narrow: Authority = again(following, names("a.example"))
    assert bench.statuses(bench.management.update(add(info(narrow)))) == ["SUCCESS"]
    assert not counts(bench, following.certificate)
    # another one changes nothing of that, although it is within his limits, and a change by the other makes it so
    assert bench.statuses(limited.update(change(narrow, "mine"))) == ["SUCCESS"]
    assert not counts(bench, following.certificate)
    bench.do(limited.update(remove(narrow)))
    assert not counts(bench, following.certificate), "it came in place of the CA's, and goes with it"
    other = authority("EST root, third key")
    narrow = again(other, names("a.example"))
    bench.do(limited.update(add(info(narrow))))
    assert counts(bench, other.certificate)
    bench.do(bench.management.update(change(narrow, "ours")))
    assert not counts(bench, other.certificate)
