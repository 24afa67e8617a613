"""An edge device by one command, with authorization and origination inside: whose scopes are whose, and by which domain."""

from __future__ import annotations

import pytest
from cryptography import x509
from device_sdk_simulators.cale.certificates import Owner, owner_of
from device_sdk_simulators.cale.processes import RoleProcess

pytestmark = pytest.mark.slow


def test_grants_and_domain_of_a_standalone_edge_device_cale_56(tmp_path, make_client, recorded):
    tokens = tmp_path / "tokens"
    tokens.write_text("ann sesame\nbob other\n")
    words = [
        "--state",
        str(tmp_path / "edge"),
        "--upstream",
        recorded.url,
        "--token-file",
        str(tokens),
        "--late",
        "wait",
    ]
    words += [
        "--grant",
        "ann=admin",
        "--grant",
        "ann=read",
        "--organization",
        "shop.example",
        "--scope",
        "/private=admin",
    ]
    edge = RoleProcess("edge", words).start()
    try:
        for token, name, scopes in (("sesame", "ann", ("admin", "read")), ("other", "bob", ("read",))):
            client = make_client(url=edge.url, ca_file=edge.facts["ca_file"])
            assert client.register({"Authorization": f"Bearer {token}"}) == 200
            shown = x509.load_pem_x509_certificate(client.read("/whoami"))
            assert owner_of(shown) == Owner(name, "shop.example", scopes)
            found = b'{"error": 403}\n' if name == "bob" else b"{}"
            assert client.read("/private").rstrip() == found.rstrip()
            client.close()
    finally:
        assert edge.stop() == 0
    assert recorded.targets == ["/private"]
