"""`est csrattrs`: what the server wants, with the values it fixes, for people and as data (EST-176, EST-182)."""

from __future__ import annotations

import pytest
from cryptography import x509
from device_sdk_simulators.csr_demand import Demand, DemandedExtension

from tests.cli.conftest import Lab

pytestmark = pytest.mark.slow

ORGANIZATION, CN, USAGES, SAN, OWN = "2.5.4.10", "2.5.4.3", "2.5.29.37", "2.5.29.17", "1.3.6.1.4.1.99999.7"


def test_est_182_fixed_values_are_shown(lab: Lab) -> None:
    usages = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH]).public_bytes()
    names = x509.SubjectAlternativeName([x509.DNSName("gate.example")]).public_bytes()
    extensions = (
        DemandedExtension(USAGES, value=usages),
        DemandedExtension(SAN, value=names),
        DemandedExtension(OWN, value=b"\x04\x02\x0a\x0b"),
        DemandedExtension("2.5.29.15"),
    )
    lab.server.policy.demands = [
        Demand(form="rfc9908", subject=((ORGANIZATION, "Gates & Söhne"), (CN, None)), extensions=extensions)
    ]
    shown = lab.cli.ok("est", "csrattrs", *lab.trust)
    assert [line for line in shown.out.splitlines() if line.startswith("fixed")] == [
        f"fixed: subject {ORGANIZATION} = Gates & Söhne",
        f"fixed: extension {USAGES} = client auth",
        f"fixed: extension {SAN} = gate.example",
        f"fixed: extension {OWN} = der:04020a0b",
    ]
    data = lab.cli.ok("est", "csrattrs", *lab.trust, "--json").json
    assert data["subject_attributes"] == [ORGANIZATION, CN]
    assert data["fixed"][1] == {"place": "extension", "oid": USAGES, "text": "client auth", "der": usages.hex()}
    assert len(data["fixed"]) == 4


def test_nothing_fixed(lab: Lab) -> None:
    assert lab.cli.ok("est", "csrattrs", *lab.trust).out == "mac address: asked for\n"
    assert lab.cli.ok("est", "csrattrs", *lab.trust, "--json").json["fixed"] == []
