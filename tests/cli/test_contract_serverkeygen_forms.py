"""`device-sdk est serverkeygen` with the answers of RFC 8295: packages, PKCS#12, receipts; over the network and by file."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from device_sdk_simulators.packages.sealed_returns import package_authority
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from tests.cli.carrying import carry, login
from tests.cli.conftest import Lab, leaf
from tests.cli.generated import IDENTIFIER, SECRET, require_pair, shared
from tests.cli.test_contract_serverkeygen import words
from tests.keystores.pkcs11.tools import pkcs11_tool
from tests.simulators.packages.conftest import publish, sim

pytestmark = pytest.mark.slow

PASSWORD = "pässword of a file"  # of this test only


@pytest.fixture
def forms(lab: Lab) -> Lab:
    """A server with every form; the files a device has of it."""
    lab.server.policy.serverkeygen = {"secret", "certificate", "pkcs12"}
    lab.server.est.server_keys.secrets.add(bytes.fromhex(IDENTIFIER), SECRET)
    lab.server.est.server_keys.pkcs12_passwords[""] = PASSWORD.encode()
    for name, content in (("secret", SECRET.hex()), ("password", PASSWORD), ("wrong", "another")):
        (lab.directory / name).write_text(content + "\n")
        (lab.directory / name).chmod(0o600)
    package_authority(lab.server.state, datetime.now(UTC))
    return lab


def signers(lab: Lab) -> tuple[object, ...]:
    return "--package-anchors", lab.server.state / "keys-ca" / "anchors.pem"


@pytest.mark.parametrize("store", ["pkcs11", "tpm2"])
def test_a_02_ar_01_into_hardware_by_a_key_in_hardware(
    store: str, forms: Lab, token: SoftHsm, swtpm: Swtpm, tmp_path: Path
) -> None:
    """The list offers it; the device's hardware key opens the envelope and signs the receipt; the key goes in, and not out."""
    place: Callable[[str], str] = (
        token.uri_of if store == "pkcs11" else lambda name: f"tpm2:file={tmp_path}/{name}.tss2"
    )
    own, new, out = place("own"), place("new"), tmp_path / "cert.pem"
    forms.cli.ok("keys", "create", own, "--type", "ec-p256")
    certificate = forms.certificate(tmp_path / "own.pem", own)
    forms.server.policy.serverkeygen_form, forms.server.policy.serverkeygen_receipts = "signed-ekp", True
    forms.server.policy.fullcmc = store == "tpm2"
    by = ("--by-cmc",) if store == "tpm2" else ()
    publish(forms.server, "generated-key", Path("cms"), f"{leaf(certificate).serial_number:x}", *by)
    pair = ("--cert", certificate, "--key", own)
    pal = ("est", "pal", *forms.trust, *pair, "--json")
    (offer,) = [one for one in forms.cli.ok(*pal).json["entries"] if one["type"] == "0021"]
    command = (
        "est",
        "serverkeygen",
        *forms.trust,
        *pair,
        *signers(forms),
        "--decrypt-key",
        own,
        "--decrypt-cert",
        certificate,
    )
    done = forms.cli.ok(*command, "--place", offer["where"], "--announce", "--key-out", new, "--out", out, "--json")
    assert forms.server.log()[-1]["returned"] == "receipt"
    serial = f"{leaf(out).serial_number:x}"
    (said,) = forms.server.est.server_keys.returns.overview()
    assert (said["item"], said["kind"], len(done.json["receipts"])) == (f"serverkeygen:{serial}", "receipt", 1)
    assert "0023" not in [one["type"] for one in forms.cli.ok(*pal).json["entries"]]
    (info,) = [one for one in forms.cli.ok("keys", "list", new, "--json").json["keys"] if "new" in one["uri"]]
    assert (info["extractable"], info["imported"], info["hardware"]) == (False, True, True)
    if store == "pkcs11":
        access = pkcs11_tool(token, "--list-objects", "--type", "privkey").partition("new\n")[2].partition("Access:")[2]
        assert access.split("\n")[0].strip() == "sensitive", "not extractable, and outside once: it says so"
    assert forms.cli.ok("est", "reenroll", "--same-key", *forms.trust, "--cert", out, "--key", new, "--allow-imported")


def test_b_02_b_05_pkcs12_into_a_file(forms: Lab, tmp_path: Path) -> None:
    """The password by file, descriptor or environment; a wrong one is exit 10, one request, and no file."""
    for number, source in enumerate((("--pkcs12-password-file", forms.directory / "password"), ())):
        key, out = tmp_path / f"key{number}.pem", tmp_path / f"cert{number}.pem"
        environment = {} if source else {"DEVICE_SDK_PKCS12_PASSWORD": PASSWORD}
        forms.cli.ok(*words(forms, "--pkcs12", *source, "--key-out", key, "--out", out), env=environment)
        require_pair(key, out, forms)
        assert forms.server.log()[-1]["private_key"] == "pkcs12"
    asked = len(forms.server.log())
    wrong = words(forms, "--pkcs12", "--pkcs12-password-file", forms.directory / "wrong", "--key-out", tmp_path / "k")
    assert "another password, or was altered" in forms.cli.fails(10, *wrong)
    assert [one["operation"] for one in forms.server.log()[asked:]].count("serverkeygen") <= 2, "the 401 and the answer"
    assert not (tmp_path / "k").exists()
    assert PASSWORD not in (forms.server.state / "log.jsonl").read_text()


def test_a_04_refusals_are_told(forms: Lab, tmp_path: Path) -> None:
    """Signed by somebody else: exit 6, no key, and an error to the server by who has a key to sign it."""
    key = forms.key("own")
    certificate = forms.certificate(tmp_path / "own.pem", key)
    forms.server.policy.serverkeygen_form = "signed"
    pair = ("--cert", certificate, "--key", key, "--decrypt-key", key, "--decrypt-cert", certificate)
    command = ("est", "serverkeygen", *forms.trust, *pair, "--package-anchors", forms.server.ca_file)
    said = forms.cli.fails(6, *command, "--key-out", tmp_path / "k")
    assert "not to be trusted" in said
    assert [(one["kind"], one["code"]) for one in forms.server.est.server_keys.returns.overview()] == [("error", 10)]
    forms.cli.fails(6, *command, "--key-out", tmp_path / "k", "--no-returns")
    assert len(forms.server.est.server_keys.returns.overview()) == 1
    assert not (tmp_path / "k").exists()


def test_by_file(forms: Lab, tmp_path: Path) -> None:
    """A package alone, without the answer's head, then PKCS#12, with it; carried by curl."""
    forms.server.policy.serverkeygen_form, forms.server.policy.serverkeygen_bare = "signed-ekp", True
    base = ("est", "serverkeygen", "--url", forms.server.url, "--subject", "CN=sensor-7")
    pkcs12 = ("--pkcs12", "--pkcs12-password-file", forms.directory / "password")
    for name, way in (("package", (*shared(forms), *signers(forms))), ("pkcs12", pkcs12)):
        request, answer = tmp_path / f"{name}.req", tmp_path / f"{name}.ans"
        forms.cli.ok(*base, *way, "--offline-out", request)
        carry(forms, request, answer, *(("-i",) if name == "pkcs12" else ()), *login(forms))
        key, out = tmp_path / f"{name}.key", tmp_path / f"{name}.pem"
        bundle = tmp_path / "anchors.pem"
        bundle.write_bytes(forms.server.ca_file.read_bytes() + forms.server.issuer_file.read_bytes())
        forms.cli.ok(*base, *way, "--anchors", bundle, "--offline-in", answer, "--key-out", key, "--out", out)
        require_pair(key, out, forms)
    assert json.loads((tmp_path / "pkcs12.req").read_text())["headers"]["Accept"] == "application/pkcs12"


WRONG = {
    ("--pkcs12", "--allow-clear"): "one way",
    ("--pkcs12", "--package-anchors", "x"): "does not go together with packages",
    ("--announce", "--pkcs12"): "--announce needs --package-anchors",
    ("--allow-clear", "--package-anchors", "x"): "which are encrypted",
    ("--allow-clear", "--pkcs12-legacy"): "needs --pkcs12",
    ("--pkcs12",): "needs the password",
    ("--allow-clear", "--place", "/x", "--offline-out", "r"): "--place is for the network",
}


def test_options_that_do_not_fit(forms: Lab) -> None:
    command = ("est", "serverkeygen", "--url", forms.server.url, "--anchors", forms.server.ca_file, "--subject", "CN=x")
    for options, said in WRONG.items():
        assert said in forms.cli.fails(2, *command, "--key-out", "k", *options)
    assert forms.server.log() == []


def test_the_servers_options(tmp_path: Path) -> None:
    """What is wrong with them, in one line."""
    done = sim("server", "--state", tmp_path / "s", "--serverkeygen", "pkcs12", check=False)
    assert (done.returncode, "go together" in done.stderr) == (2, True)
