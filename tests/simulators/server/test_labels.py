"""Labels with CAs of their own (EST-06): kept apart in keys, rights, books and directories."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk_simulators.http.messages import Request
from device_sdk_simulators.policy import LabelError, Policy
from device_sdk_simulators.process import ServerProcess
from device_sdk_simulators.server import ReferenceServer

from tests.simulators.command import sim
from tests.simulators.server.support import EST, certificates_in, client_context, make_csr, post


@pytest.fixture
def labelled(tmp_path):
    with ReferenceServer(tmp_path / "server", policy=Policy(labels={"shared"}, own_cas={"red", "blue"})) as running:
        yield running


def get(server, path):
    return server.handle(Request("GET", EST + path))


def issued(server, label="", key=None, **options):
    operation = f"{label}/simpleenroll" if label else "simpleenroll"
    response = post(server, make_csr(key), operation=operation, **options)
    assert response.status == 200, response.body
    return certificates_in(response)[0]


def test_est_06_each_label_has_the_ca_certificates_it_says(labelled):
    bags = {label: set(certificates_in(get(labelled, f"{label}/cacerts"))) for label in ("shared", "red", "blue")}
    main = set(certificates_in(get(labelled, "cacerts")))
    assert bags["shared"] == main
    assert not main & bags["red"]
    assert not main & bags["blue"]
    assert not bags["red"] & bags["blue"]
    assert get(labelled, "green/cacerts").status == 404


@pytest.mark.slow
def test_certificates_come_from_the_ca_of_the_label(labelled):
    for label in ("", "shared", "red", "blue"):
        site = labelled.sites.at(label)
        issued(labelled, label).verify_directly_issued_by(site.hierarchy.issuing.certificate)


@pytest.mark.parametrize("operation", ["simpleenroll", "simplereenroll"])
@pytest.mark.parametrize(("home", "abroad"), [("red", "blue"), ("red", ""), ("", "red"), ("red", "shared")])
def test_a_certificate_of_one_label_gives_no_rights_at_another(labelled, home, abroad, operation):
    """EST-06: not even where devices of any maker may enrol."""
    labelled.policy.third_party_serials = None
    labelled.policy.enroll_with_certificate = "any"
    certificate = issued(labelled, home)
    at = f"{home}/{operation}" if home else operation
    assert post(labelled, make_csr(subject=certificate.subject), operation=at, client=certificate).status == 200
    at = f"{abroad}/{operation}" if abroad else operation
    refused = post(labelled, make_csr(subject=certificate.subject), operation=at, client=certificate)
    assert (refused.status, b"another label" in refused.body) == (403, True)


def test_a_password_does_not_renew_what_another_label_issued(labelled):
    labelled.policy.reenroll_with_password = True
    issued(labelled, "red")
    assert post(labelled, make_csr(), operation="blue/simplereenroll").status == 403
    assert post(labelled, make_csr(), operation="red/simplereenroll").status == 200


@pytest.mark.slow
def test_tls_lets_in_clients_of_every_label(labelled, tmp_path):
    """The anchors for clients are the union; what a certificate is good for is decided per label."""
    import http.client

    key = ec.generate_private_key(ec.SECP256R1())
    certificate = issued(labelled, "red", key)
    file = tmp_path / "client.pem"
    encoding = serialization.Encoding.PEM
    file.write_bytes(
        certificate.public_bytes(encoding)
        + key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    statuses = {}
    for path in ("red/simplereenroll", "simplereenroll", "blue/simplereenroll"):
        connection = http.client.HTTPSConnection(
            "localhost", labelled.port, context=client_context(labelled, certificate=file, key=file), timeout=20
        )
        import base64

        connection.request("POST", EST + path, base64.b64encode(make_csr(key)), {"Content-Type": "application/pkcs10"})
        statuses[path] = connection.getresponse().status
        connection.close()
    assert statuses == {"red/simplereenroll": 200, "simplereenroll": 403, "blue/simplereenroll": 403}


@pytest.mark.slow
def test_a_label_rolls_over_alone(labelled):
    others = {label: labelled.sites.at(label).hierarchy for label in ("", "blue")}
    labelled.rollover("red").publish("ec-p256")
    labelled.rollover("red").switch()
    assert len(certificates_in(get(labelled, "red/cacerts"))) == 6
    assert {label: labelled.sites.at(label).hierarchy for label in others} == others
    issued(labelled, "red").verify_directly_issued_by(labelled.sites.at("red").hierarchy.issuing.certificate)


def test_the_cas_are_in_directories_of_their_own_and_survive_a_restart(tmp_path):
    labels = {"red", "über", ".hidden", "a b"}
    with ReferenceServer(tmp_path / "s", policy=Policy(own_cas=set(labels))) as server:
        roots = {label: server.sites.at(label).hierarchy.root.certificate for label in labels}
        assert len(set(roots.values())) == len(labels)
    directories = list((tmp_path / "s" / "labels").iterdir())
    assert len(directories) == len(labels)
    assert not any(path.name.startswith(".") for path in directories)
    for path in (tmp_path / "s" / "labels").rglob("*.key"):
        assert path.stat().st_mode & 0o777 == 0o600
    with ReferenceServer(tmp_path / "s", policy=Policy(own_cas=set(labels))) as server:
        assert {label: server.sites.at(label).hierarchy.root.certificate for label in labels} == roots


@pytest.mark.parametrize("label", ["cacerts", "SimpleEnroll", "", "..", "a/b"])
def test_est_07_a_ca_of_its_own_has_no_name_of_an_operation(label):
    with pytest.raises(LabelError):
        Policy(own_cas={label})


@pytest.mark.slow
def test_the_commands_know_labels(tmp_path):
    """`list` and `revoke` say it, `rollover` and `crl` take it; a running server serves what it was told to."""

    state = tmp_path / "s"
    with ServerProcess(state, "--own-ca", "red", "--label", "shared"):
        pass
    with ReferenceServer(state, policy=Policy(labels={"shared"}, own_cas={"red"})) as server:
        certificates = {label: issued(server, label) for label in ("red", "shared", "")}
    listed = {
        one["serial"]: one["label"]
        for one in json.loads(sim("list", "--state", state, "--json").stdout)["certificates"]
    }
    serials = {label: f"{one.serial_number:x}" for label, one in certificates.items()}
    assert listed == {serial: label for label, serial in serials.items()}
    assert "label red" in sim("revoke", "--state", state, serials["red"]).stdout
    revoked = {}
    for label in ("red", ""):
        text = sim("crl", "--state", state, *(["--label", label] if label else [])).stdout
        first = x509.load_pem_x509_crl(text.encode())
        revoked[label] = [f"{one.serial_number:x}" for one in first]
    assert revoked == {"red": [serials["red"]], "": []}
    assert sim("rollover", "--state", state, "--label", "red").returncode == 0
    done = sim("rollover", "--state", state, "--label", "shared")
    assert (done.returncode, "no CA of its own" in done.stderr) == (2, True)


def test_where_the_anchors_of_a_label_are_is_said(tmp_path):
    with ReferenceServer(tmp_path / "state", policy=Policy(own_cas={"plant"})) as server:
        (file,) = server.describe()["label_ca_files"].values()
        (anchor,) = x509.load_pem_x509_certificates(Path(file).read_bytes())
        assert anchor.subject.rfc4514_string() == "CN=Reference Root CA plant"
        assert Path(file) != server.ca_file
