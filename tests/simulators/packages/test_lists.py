"""The reference server's package lists, peers and revocation lists, asked for by curl and read by foreign tools."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7

from tests.simulators.packages.conftest import curl, publish, sim
from tests.simulators.server.support import basic

JSON = ("-H", "Accept: application/json")
NS = "{urn:ietf:params:xml:ns:pal}"


def types(body: bytes) -> list[str]:
    return [entry["type"] for entry in json.loads(body)]


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("application/json", "application/json"),
        ("application/xml", "application/xml"),
        ("*/*", "application/xml"),
        ("application/json;q=0.5, application/xml;q=0.9", "application/xml"),
        ("application/json, application/xml;q=0.9", "application/json"),
        ("text/html, application/json;q=0.1", "application/json"),
        # a byte that is a digit in Latin-1, and no number
        ("application/json;q=\udcb2", "application/xml"),
    ],
)
def test_p_01_p_02_the_client_chooses_the_form(enrol, accept, media):
    status, found, body = enrol().get("pal", "-H", f"Accept: {accept}")
    assert (status, found) == (200, media)
    assert body[:1] == (b"[" if media == "application/json" else b"<")


@pytest.mark.slow
def test_p_05_to_p_10_both_forms_say_the_same(enrol, peers, server):
    device = enrol()
    publish(server, "peers", peers, device.serial)
    device.get("crls")
    device.get("cacerts")
    entries = json.loads(device.get("pal", *JSON)[2])
    root = ET.fromstring(device.get("pal")[2])  # noqa: S314  # our own server
    assert root.tag == f"{NS}pal"
    assert [[child.tag.removeprefix(NS) for child in message] for message in root] == [list(entry) for entry in entries]
    assert [
        [message.findtext(f"{NS}type"), int(message.findtext(f"{NS}size")), message.findtext(f"{NS}info/{NS}uri")]
        for message in root
    ] == [[entry["type"], entry["size"], entry["info"]["uri"]] for entry in entries]
    assert [entry["type"] for entry in entries] == ["0002", "0005", "0003"]
    for entry in entries:
        assert re.fullmatch(
            r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", entry.get("date", "2026-01-01T00:00:00Z")
        )
    assert ["date" in entry for entry in entries] == [True, True, False], "P-08"


def test_p_04_nobody_gets_a_list(server, enrol):
    assert curl(server, "pal")[0] == 401
    assert curl(server, "eecerts")[0] == 401
    status, _, body = curl(server, "pal", *JSON, "-u", f"{server.user}:{server.password}")
    assert (status, types(body)) == (200, ["0002", "0005"])
    assert curl(server, "pal", "-X", "POST", "-d", "x", "-u", f"{server.user}:{server.password}")[0] == 405


def test_p_09_the_size_is_that_of_the_der(enrol, server):
    device = enrol()
    for entry in json.loads(device.get("pal", *JSON)[2]):
        assert entry["size"] == len(base64.b64decode(device.get(entry["info"]["uri"])[2]))


@pytest.mark.slow
def test_p_12_long_lists_go_on_elsewhere(enrol, peers, server):
    """Every part has an entry besides 0001, 0001 is the last, and all of them are there once."""
    device = enrol()
    items = [publish(server, "peers", peers, device.serial) for _ in range(5)]
    for limit in (2, 3, 4, 7, 8):
        server.policy.pal_limit = limit
        place, seen, parts = "pal", [], 0
        while place:
            status, _, body = device.get(place, *JSON)
            entries, place, parts = json.loads(body), "", parts + 1
            assert status == 200
            assert len(entries) <= limit
            assert "0001" not in [entry["type"] for entry in entries[:-1]]
            if entries[-1]["type"] == "0001":
                assert len(entries) == limit
                last = entries.pop()
                assert (last["size"], "date" in last) == (0, False)
                place = last["info"]["uri"]
            seen += [entry["info"]["uri"].rpartition("/")[2] for entry in entries]
        assert seen == ["cacerts", "crls", *items]
        assert parts == max(1, -(-(7 - 1) // (limit - 1)))
    assert device.get("pal/9")[0] == 404
    assert device.get("pal/0")[0] == 404
    assert device.get("pal/x")[0] == 404


@pytest.mark.slow
def test_p_16_what_is_new_comes_before_what_was_fetched(enrol, peers, server):
    device = enrol()
    first, second = (publish(server, "peers", peers, device.serial) for _ in range(2))
    device.get(f"eecerts/{first}")
    entries = json.loads(device.get("pal", *JSON)[2])
    assert [entry["info"]["uri"].rpartition("/")[2] for entry in entries[2:]] == [second, first]


def test_p_15_a_certificate_that_is_due_is_on_its_owners_list(enrol, server):
    device = enrol()
    issued = device.certificate
    assert types(device.get("pal", *JSON)[2]) == ["0002", "0005"]
    life = issued.not_valid_after_utc - issued.not_valid_before_utc
    now = issued.not_valid_before_utc + life * 0.7
    server.policy.reenroll_grace = timedelta(days=4000)
    server.clock = lambda: now
    (entry,) = [entry for entry in json.loads(device.get("pal", *JSON)[2]) if entry["type"] == "0010"]
    assert entry["info"] == {"iasn": {"issuer": issued.issuer.rfc4514_string(), "serial": issued.serial_number}}
    assert (entry["size"], "date" in entry) == (0, False)


def test_p_21_the_uris_are_those_the_client_used(enrol, server):
    """By another name, and with a label: it would refuse others."""
    server.policy.labels.add("lab")
    device = enrol()
    url = f"https://localhost:{server.port}/.well-known/est/lab/pal"
    uris = [entry["info"]["uri"] for entry in json.loads(device.get(url, *JSON)[2])]
    assert uris == [f"https://localhost:{server.port}/.well-known/est/lab/{name}" for name in ("cacerts", "crls")]


@pytest.mark.slow
def test_e_02_e_04_peers_are_for_those_they_were_published_to(enrol, peers, server):
    """A certs-only message; a device of the same name gets nothing."""
    device, other = enrol("router"), enrol("router")
    item = publish(server, "peers", peers, device.serial)
    status, media, body = device.get(f"eecerts/{item}")
    assert (status, media) == (200, "application/pkcs7-mime; smime-type=certs-only")
    found = pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))
    assert set(found) == set(x509.load_pem_x509_certificates(peers.read_bytes()))
    assert device.get("eecerts")[2] == body
    assert other.get("eecerts")[0] == 404
    assert other.get(f"eecerts/{item}")[0] == 404
    assert "0003" not in types(other.get("pal", *JSON)[2])
    sim("withdraw", item, "--state", server.state)
    assert device.get(f"eecerts/{item}")[0] == 404


@pytest.mark.slow
def test_packages_for_a_user_and_for_everybody(enrol, peers, server):
    """Devices that were enrolled with a user's password are that user's."""
    device = enrol()
    for to in (server.user, "*"):
        item = publish(server, "peers", peers, to)
        assert device.get(f"eecerts/{item}")[0] == 200
        assert curl(server, f"eecerts/{item}", "-H", ": ".join(basic(server)))[0] == 200
    assert sim("publish", "peers", peers, "--to", "nobody", "--state", server.state, check=False).returncode == 2
    rows = json.loads(sim("packages", "--state", server.state, "--json").stdout)
    assert [(row["published_to"], row["type"]) for row in rows if row["sent_to"]] == [
        (f"user:{server.user}", "0003"),
        (f"user:{server.user}", "0003"),
        ("*", "0003"),
        ("*", "0003"),
    ]
    assert "sent_at" in sim("packages", "--state", server.state).stdout


def test_c_02_revocation_lists_are_for_everybody(enrol, server):
    """SignedData with lists and nothing else, as openssl reads it; who was revoked is on one of them."""
    device = enrol()
    server.est.register.revoke(device.serial)
    status, media, body = curl(server, "crls")
    assert (status, media) == (200, "application/pkcs7-mime; smime-type=crls-only")
    assert device.get("crls")[0] == 200, "G-02: to who is revoked as well"
    command = ["openssl", "pkcs7", "-inform", "DER", "-print_certs", "-text"]
    printed = subprocess.run(command, input=base64.b64decode(body), capture_output=True, check=True).stdout.decode()
    assert printed.count("Certificate Revocation List (CRL)") == 2
    assert f"Serial Number: {device.serial.upper()}" in printed.replace(" 0", " ")
    assert "Certificate:" not in printed


def test_items_where_there_are_none(enrol, server):
    device = enrol()
    for path in ("crls/1", "cacerts/1", "simpleenroll/1", "eecerts/a/b", "pal/1/2", "lab/eecerts/1/2", "firmware"):
        assert device.get(path)[0] == 404, path


def test_packages_can_be_off(enrol, server):
    server.policy.packages = False
    device = enrol()
    assert [device.get(path)[0] for path in ("pal", "crls", "eecerts")] == [404] * 3
