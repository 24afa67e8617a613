"""Walking package lists and making a plan of them, without a network (RFC 8295 section 2; P-06, P-12 to P-22)."""

from __future__ import annotations

import re

import pytest

from device_sdk.errors import RemoteProtocolError
from device_sdk.protocols.est.urls import Operation, parse_est_url
from device_sdk.protocols.pal import PACKAGE_TYPES, Action, PalWalk, plan_of
from device_sdk.protocols.pal.places import target_of
from device_sdk.wire.pal import IssuerSerial, PalEntry

ENDPOINT = parse_est_url("https://est.example")
LABELLED = parse_est_url("https://est.example:8443/.well-known/est/lab%20a")
BASE = "https://est.example/.well-known/est"


def entry(kind: str, place: str | None = None, size: int = 1) -> PalEntry:
    operation = PACKAGE_TYPES[kind].operations[0].value if kind in PACKAGE_TYPES else "cacerts"
    wanted = kind in PACKAGE_TYPES and PACKAGE_TYPES[kind].action is Action.RETURN
    place = place if place is not None else operation + ("/return" if wanted else "")
    return PalEntry(kind, size, uri=f"{BASE}/{place}")


def test_p_06_all_types_of_table_1():
    assert sorted(PACKAGE_TYPES) == [f"{number:04}" for number in range(1, 38)]
    plan = plan_of([entry(kind) for kind in PACKAGE_TYPES if kind != "0001"], ENDPOINT)
    assert not plan.skipped
    assert len(plan.steps) == 36


def test_p_14_p_16_tiers_and_the_servers_order_within_them():
    """CA certificates and CRLs, attributes, enrolments, the rest; what is wanted back comes after what is delivered."""
    given = ["0027", "0026", "0003", "0021", "0010", "0006", "0023", "0005", "0030", "0002", "0004", "0024", "0025"]
    plan = plan_of([entry(kind) for kind in given], ENDPOINT)
    assert [step.kind.number for step in plan.steps] == [
        *("0005", "0002", "0004"),
        "0006",
        *("0021", "0010", "0023"),
        *("0026", "0003", "0030", "0024", "0027", "0025"),
    ]


def test_p_20_what_is_unknown_is_skipped_and_stops_nothing():
    plan = plan_of([entry("0038"), entry("0000"), entry("0002")], ENDPOINT)
    assert [step.kind.number for step in plan.steps] == ["0002"]
    assert [(one.type, why) for one, why in plan.skipped] == [
        ("0038", "package type 0038 is not known to this version"),
        ("0000", "package type 0000 is reserved"),
    ]


@pytest.mark.parametrize("name", ["CN=a", b"\x01\x02", IssuerSerial("CN=ca", 5)])
def test_amb_11_an_entry_that_names_a_certificate_has_the_usual_place(name):
    plan = plan_of([PalEntry("0010", 0, certificate=name), PalEntry("0006", 0, certificate=name)], ENDPOINT)
    assert [step.target for step in plan.steps] == [
        "/.well-known/est/csrattrs",
        "/.well-known/est/simplereenroll",
    ]
    plan = plan_of([PalEntry("0026", 0, certificate=name)], ENDPOINT)
    assert plan.skipped[0][1] == "an entry of type 0026 (firmware) without a URI"


@pytest.mark.parametrize(
    ("kind", "uri", "target"),
    [
        ("0002", f"{BASE}/cacerts", "/.well-known/est/cacerts"),
        ("0002", "https://EST.example:443/.well-known/est/cacerts", "/.well-known/est/cacerts"),
        ("0003", f"{BASE}/eecerts/1234", "/.well-known/est/eecerts/1234"),
        ("0026", f"{BASE}/firmware/fw-7?part=2", "/.well-known/est/firmware/fw-7?part=2"),
        ("0027", f"{BASE}/firmware/return", "/.well-known/est/firmware/return"),
        ("0010", f"{BASE}/fullcmc", "/.well-known/est/fullcmc"),
    ],
)
def test_p_21_places_of_the_own_server(kind, uri, target):
    assert target_of(uri, PACKAGE_TYPES[kind], ENDPOINT) == target


def test_p_21_with_a_label():
    base = "https://est.example:8443/.well-known/est/lab%20a"
    assert target_of(f"{base}/crls", PACKAGE_TYPES["0005"], LABELLED) == "/.well-known/est/lab%20a/crls"
    with pytest.raises(RemoteProtocolError, match=re.escape("is at /.well-known/est/lab%20a/crls")):
        target_of("https://est.example:8443/.well-known/est/crls", PACKAGE_TYPES["0005"], LABELLED)


ELSEWHERE = {
    "http": ("0026", "http://est.example/.well-known/est/firmware", "no https"),
    "another scheme": ("0026", "file:///etc/passwd", "no https"),
    "relative": ("0026", "/.well-known/est/firmware", "no https"),
    "no scheme": ("0026", "//est.example/.well-known/est/firmware", "no https"),
    "another host": ("0026", "https://evil.example/.well-known/est/firmware", "not at https://est.example"),
    "another port": ("0026", "https://est.example:444/.well-known/est/firmware", "not at"),
    "a user": ("0026", "https://est.example@evil.example/.well-known/est/firmware", "host, path"),
    "a backslash": ("0026", "https://evil.example\\@est.example/.well-known/est/firmware", "host, path"),
    "a fragment": ("0026", f"{BASE}/firmware#x", "host, path"),
    "another base": ("0026", "https://est.example/firmware", "is at /.well-known/est/firmware"),
    "another operation": ("0026", f"{BASE}/cacerts", "is at"),
    "a longer name": ("0026", f"{BASE}/firmwares", "is at"),
    "dots": ("0026", f"{BASE}/firmware/..", "is at"),
    "dots in hiding": ("0026", f"{BASE}/firmware/%2e%2e", "is at"),
    "a slash in hiding": ("0026", f"{BASE}/firmware/..%2fsimpleenroll", "is at"),
    "two segments": ("0026", f"{BASE}/firmware/a/b", "is at"),
    "no segment": ("0026", f"{BASE}/firmware/", "is at"),
    "a control character": ("0026", f"{BASE}/firmware/%0d%0aX", "is at"),
    "the way back for a package": ("0026", f"{BASE}/firmware/return", "is at"),
    "a package for the way back": ("0027", f"{BASE}/firmware/fw-7", "is at"),
    "the way back of another": ("0027", f"{BASE}/tamp/return", "is at"),
}


@pytest.mark.parametrize(("kind", "uri", "says"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_p_21_elsewhere(kind, uri, says):
    with pytest.raises(RemoteProtocolError, match=says):
        target_of(uri, PACKAGE_TYPES[kind], ENDPOINT)
    plan = plan_of([PalEntry(kind, 1, uri=uri), entry("0002")], ENDPOINT)
    assert len(plan.steps) == len(plan.skipped) == 1


@pytest.mark.parametrize("host", ["est:none", "est:99999", "[::1", "", "a b", "est\u00df"])
def test_p_21_an_entry_that_names_no_host_stops_no_other(host):
    """A package list is nobody's configuration: the rest of it is done."""
    good = PalEntry("0002", 1, uri=f"{ENDPOINT.origin}/.well-known/est/cacerts")
    plan = plan_of([PalEntry("0005", 1, uri=f"https://{host}/.well-known/est/crls"), good], ENDPOINT)
    assert ([one.entry for one in plan.steps], len(plan.skipped)) == ([good], 1)


def test_p_21_no_secret_of_a_uri_is_shown():
    with pytest.raises(RemoteProtocolError) as caught:
        target_of("https://u:hunter2@est.example/x?token=hunter3", PACKAGE_TYPES["0026"], ENDPOINT)
    assert "hunter" not in str(caught.value) + repr(vars(caught.value))


def test_p_13_one_list_after_the_other():
    walk = PalWalk(ENDPOINT)
    assert walk.target == ENDPOINT.target(Operation.PAL)
    walk.feed((entry("0002"), entry("0001", "pal/2"), entry("0026")))
    assert walk.target == "/.well-known/est/pal/2"
    walk.feed((entry("0005"),))
    assert walk.target is None
    assert [one.type for one in walk.entries] == ["0002", "0005"]


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ((entry("0001", "pal/2"),), "nothing in it but"),
        ((entry("0002"), PalEntry("0001", 0, certificate="CN=a")), "does not say where"),
        ((entry("0002"), entry("0001", "pal")), "in a circle"),
        ((entry("0002"), entry("0001", "firmware/2")), "is at /.well-known/est/pal"),
        ((entry("0002"), PalEntry("0001", 0, uri="https://evil.example/.well-known/est/pal/2")), "not at"),
    ],
)
def test_p_12_p_22_lists_that_lead_nowhere(found, says):
    with pytest.raises(RemoteProtocolError, match=says):
        PalWalk(ENDPOINT).feed(found)


def test_p_22_at_most_16_lists_and_1024_entries():
    walk = PalWalk(ENDPOINT)
    for number in range(15):
        walk.feed((entry("0002"), entry("0001", f"pal/{number}")))
    with pytest.raises(RemoteProtocolError, match="more than 16 package lists"):
        walk.feed((entry("0002"), entry("0001", "pal/again")))
    walk = PalWalk(ENDPOINT)
    walk.feed((*[entry("0002")] * 600, entry("0001", "pal/1")))
    with pytest.raises(RemoteProtocolError, match="more than 1024 entries"):
        walk.feed((entry("0002"),) * 600)
