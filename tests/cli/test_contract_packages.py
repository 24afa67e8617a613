"""`device-sdk est pal|crls|eecerts` against the reference server (RFC 8295 sections 2 to 4)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from tests.cli.conftest import Lab, leaf, openssl
from tests.simulators.packages.conftest import publish

pytestmark = pytest.mark.slow


def entries(lab: Lab, *words: object) -> list[dict[str, object]]:
    found: list[dict[str, object]] = lab.cli.ok("est", "pal", *lab.trust, *words, "--json").json["entries"]
    return found


@pytest.mark.parametrize("store", ["file", "pkcs11", "tpm2"])
def test_pal_and_peers_with_the_key_in_every_keystore(
    store: str, lab: Lab, token: SoftHsm, swtpm: Swtpm, tmp_path: Path
) -> None:
    """P-04, P-08, E-02: the list is for who shows its certificate; what was fetched has a date, and the peers verify."""
    uris = {"pkcs11": token.uri_of("key"), "tpm2": f"tpm2:file={tmp_path}/key.pem", "file": f"file:{lab.keys}/k.pem"}
    key = uris[store]
    lab.cli.ok("keys", "create", key, "--type", "ec-p256")
    own, peer = lab.certificate(tmp_path / "own.pem", key), lab.certificate(tmp_path / "peer.pem", lab.key("peer"))
    pair = ("--cert", own, "--key", key)
    publish(lab.server, "peers", peer, f"{leaf(own).serial_number:x}")
    first = entries(lab, *pair)
    assert [(entry["type"], entry["action"], entry["date"]) for entry in first] == [
        ("0002", "fetch", None),
        ("0005", "fetch", None),
        ("0003", "fetch", None),
    ]
    lab.cli.ok("est", "crls", *lab.trust, *pair, "--out", tmp_path / "crls.pem")
    place = first[2]["where"]
    words = ("est", "eecerts", *lab.trust, *pair, "--place", place, "--crls", tmp_path / "crls.pem")
    lab.cli.ok(*words, "--out", tmp_path / "peers.pem")
    assert leaf(tmp_path / "peers.pem") == leaf(peer)
    checked = openssl(
        "verify", "-crl_check", "-CRLfile", tmp_path / "crls.pem", "-CAfile", lab.server.ca_file,
        "-untrusted", lab.server.issuer_file, tmp_path / "peers.pem",
    )  # fmt: skip
    assert "OK" in checked
    assert all(entry["date"] for entry in entries(lab, *pair))
    lab.server.est.register.revoke(f"{leaf(peer).serial_number:x}")
    lab.cli.ok("est", "crls", *lab.trust, "--out", tmp_path / "crls.pem")
    said = lab.cli.fails(6, *words)
    assert re.search(rf"{lab.server.url}: no certificate of a peer of the answer can be used: revoked on", said)


def test_the_list_for_people(lab: Lab, tmp_path: Path) -> None:
    out = lab.cli.ok("est", "pal", *lab.trust, *lab.login).out.splitlines()
    assert out[0].startswith("0002  fetch  CA certificates  ")
    assert out[1].endswith(" bytes  /.well-known/est/crls")
    assert "asks for authentication" in lab.cli.fails(7, "est", "pal", *lab.trust)
    lab.server.policy.packages = False
    assert lab.cli.ok("est", "pal", *lab.trust, *lab.login).out == "nothing is there for this client\n"
    said = lab.cli.ok("est", "crls", *lab.trust, "--out", tmp_path / "none.pem").err
    assert said == "note: the server has no revocation lists\n"


def test_a_certificate_that_is_due(lab: Lab, tmp_path: Path) -> None:
    """P-10, P-15: the entry names the certificate, and the place is the usual one (AMB-11)."""
    key = lab.key()
    own = lab.certificate(tmp_path / "own.pem", key)
    lab.server.policy.pal_renewal = 0.0
    (entry,) = [one for one in entries(lab, "--cert", own, "--key", key) if one["type"] == "0010"]
    assert entry["certificate"] == {"issuer": "CN=Reference Issuing CA", "serial": f"{leaf(own).serial_number:x}"}
    assert (entry["action"], entry["where"]) == ("re-enrol", "/.well-known/est/simplereenroll")


def test_crls_are_read_by_openssl(lab: Lab, tmp_path: Path) -> None:
    certificate = lab.certificate(tmp_path / "own.pem", lab.key())
    lab.server.est.register.revoke(f"{leaf(certificate).serial_number:x}")
    lab.cli.ok("est", "crls", *lab.trust, "--out", tmp_path / "crls.pem")
    end = "-----END X509 CRL-----\n"
    (tmp_path / "issuing.pem").write_text((tmp_path / "crls.pem").read_text().split(end)[1] + end)
    said = openssl("crl", "-in", tmp_path / "issuing.pem", "-noout", "-text", "-CAfile", lab.server.issuer_file)
    assert "verify OK" in said
    assert f"{leaf(certificate).serial_number:X}" in said
    data = lab.cli.ok("est", "crls", *lab.trust, "--json").json
    assert [(one["issuer"], one["stale"], one["entries"]) for one in data["lists"]] == [
        ("CN=Reference Root CA", False, 0),
        ("CN=Reference Issuing CA", False, 1),
    ]


def test_lists_of_a_file_that_is_none(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("hello")
    said = lab.cli.fails(2, "est", "eecerts", *lab.trust, *lab.login, "--crls", tmp_path / "bad.pem")
    assert f"{tmp_path}/bad.pem: " in said
    assert "give revocation lists" in said
    said = lab.cli.fails(2, "est", "eecerts", *lab.trust, *lab.login, "--place", "/.well-known/est/cacerts")
    assert "certificates of peers are at /.well-known/est/eecerts" in said
