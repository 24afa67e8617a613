"""What servers read in different ways is refused by the edge device, to everybody alike and before anybody is looked up."""

from __future__ import annotations

import pytest
from device_sdk_simulators.cale.roles import EdgeSettings, RolePlace, edge_role
from device_sdk_simulators.cale.rules import CaleRules
from device_sdk_simulators.policy import Policy

from tests.simulators.cale.support import STRANGER

ODD = [
    "/private;x=1",
    "/private%3Bx",
    "/x/..;/private",
    "/..;/etc",
    "/%2e%2e/etc",
    "/.%2e/etc",
    "/a/../private",
    "//private",
    "/a%2fprivate",
    "/a%5c..%5cprivate",
    "/a\\..\\private",
    "/a%252f..%252fprivate",
    "/private%00",
    "/whoami;x",
    "/registration;x",
    "/./registration",
]
"""Tomcat, Jetty and others take parameters off before they look for dots, or decode twice."""


@pytest.mark.slow
@pytest.mark.parametrize("target", ODD)
def test_odd_targets_are_400_for_everybody_before_any_lookup_cale_56(site, registered, target):
    """A scope or a base path cannot be walked around, and the refusal says nothing about a GUID (CALE-24)."""
    asked = {role: len(site.roles[role].log()) for role in ("authz", "origin", "resource")}
    answers = [registered.get(target, guid=guid) for guid in (registered.guid, STRANGER, "nonsense")]
    answers.append(registered.send("POST", target, [*site.authorization.items()], b"x"))
    assert {status for status, _fields, _body in answers} == {400}
    assert len({(str([field for field in fields if field[0] != "date"]), body) for _, fields, body in answers}) == 1
    assert {role: len(site.roles[role].log()) for role in asked} == asked, "nobody inside was asked"


def test_nothing_odd_reaches_an_upstream_below_a_base_path(tmp_path, make_client, recorded):
    """The upstream's rules are its own: here it would go by whatever it is given."""
    settings = EdgeSettings(upstream=recorded.url + "/base", tokens={"t": "bob"})
    with edge_role(
        RolePlace(tmp_path / "edge"), Policy(cale=CaleRules(scopes={"/private": "admin"})), settings
    ) as edge:
        client = make_client(url=edge.url, ca_file=edge.facts["ca_file"])
        assert client.register({"Authorization": "Bearer t"}) == 200
        for target in ODD:
            assert client.get(target)[0] == 400
        assert client.read("/private") == client.read("/PRIVATE/x") == b'{"error": 403}\n'
        assert recorded.targets == []
        assert client.read("/public?q=/..;/") is not None
    assert recorded.targets == ["/base/public?q=/..;/"]
