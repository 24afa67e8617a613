"""`device-sdk csr --key URI --subject DN [--san TYPE:VALUE] [--mac auto|INTERFACE|VALUE] --out FILE`."""

from __future__ import annotations

from pathlib import Path

import pytest
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from tests.cli.conftest import Cli, openssl

pytestmark = pytest.mark.slow


@pytest.fixture
def key(cli: Cli, tmp_path: Path) -> str:
    uri = f"file:{tmp_path}/key.pem"
    cli.ok("keys", "create", uri, "--type", "ec-p256")
    return uri


def _text(path: Path) -> str:
    assert "verify OK" in openssl("req", "-verify", "-noout", "-in", path)
    return openssl("req", "-in", path, "-noout", "-text")


@pytest.mark.parametrize("kind", ["ec-p256", "ec-p384", "rsa-2048"])
@pytest.mark.parametrize("store", ["pkcs11", "tpm2"])
def test_signed_in_hardware(store: str, kind: str, cli: Cli, token: SoftHsm, swtpm: Swtpm, tmp_path: Path) -> None:
    uri = {"pkcs11": token.uri_of("key"), "tpm2": f"tpm2:file={tmp_path}/key.pem"}[store]
    cli.ok("keys", "create", uri, "--type", kind)
    done = cli.ok("csr", "--key", uri, "--subject", "CN=router-7,O=Example", "--out", tmp_path / "r.csr")
    assert (done.out, done.err) == ("", "")
    assert "Subject: O = Example, CN = router-7" in _text(tmp_path / "r.csr")


def test_names_of_every_kind(cli: Cli, key: str, tmp_path: Path) -> None:
    sans = ["DNS:router-7.example", "IP:192.0.2.7", "IP:2001:db8::7", "URI:urn:dev:ops:7", "email:a@b.example",
            "HWMODULE:1.3.6.1.4.1.32473.1:0a0b0c", "dirName:CN=x,O=y"]  # fmt: skip
    words = [word for san in sans for word in ("--san", san)]
    cli.ok(
        "csr",
        "--key",
        key,
        "--subject",
        "CN=router-7,serialNumber=42,O=Bäcker & Söhne",
        *words,
        "--out",
        tmp_path / "r.csr",
    )
    text = _text(tmp_path / "r.csr")
    for piece in ("DNS:router-7.example", "IP Address:192.0.2.7", "2001:DB8:0:0:0:0:0:7", "URI:urn:dev:ops:7",
                  "email:a@b.example", "1.3.6.1.5.5.7.8.4", "DirName:", "serialNumber = 42"):  # fmt: skip
        assert piece in text


@pytest.mark.slow
def test_mac_by_value_interface_and_auto(cli: Cli, key: str, tmp_path: Path) -> None:
    interfaces = {path.name: (path / "address").read_text().strip() for path in Path("/sys/class/net").iterdir()}
    name = next(name for name, address in interfaces.items() if address not in ("00:00:00:00:00:00", ""))
    for asked, expected in (("00-00-5E-00-53-07", {"00:00:5e:00:53:07"}), (name, {interfaces[name]}),
                            ("auto", set(interfaces.values()))):  # fmt: skip
        cli.ok("csr", "--key", key, "--subject", "CN=x", "--mac", asked, "--out", tmp_path / "r.csr")
        text = _text(tmp_path / "r.csr")
        assert "X509v3 Subject Directory Attributes" in text
        assert any(mac in text for mac in expected)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing to name the device by"),
        (("--mac", "00:00:5e:00:53:07"), "nothing to name the device by"),
        (("--subject", "router-7"), "not a distinguished name"),
        (("--subject", "CN=x", "--san", "DNS"), "DNS:NAME"),
        (("--subject", "CN=x", "--san", "IP:300.0.0.1"), "not an IP address"),
        (("--subject", "CN=x", "--mac", "no-such-interface"), "there are"),
        (("--subject", "CN=x", "--mac", "lo"), "names no device"),
        (("--subject", "CN=x", "--hardware-type", "1.2.3"), "serial"),
        (("--subject", "CN=x", "--der"), "--out"),
    ],
)
def test_mistakes(words: tuple[str, ...], said: str, cli: Cli, key: str) -> None:
    assert said in cli.fails(2, "csr", "--key", key, *words)


@pytest.mark.slow
def test_without_out_it_goes_to_stdout_and_json_says_more(cli: Cli, key: str, tmp_path: Path) -> None:
    pem = cli.ok("csr", "--key", key, "--subject", "CN=x").out
    assert pem.startswith("-----BEGIN CERTIFICATE REQUEST-----")
    data = cli.ok("csr", "--key", key, "--subject", "CN=x", "--out", tmp_path / "r.csr", "--json").json
    assert data["subject"] == "CN=x"
    assert data["key_uri"] == key
    assert data["pem"] == (tmp_path / "r.csr").read_text()


def test_der(cli: Cli, key: str, tmp_path: Path) -> None:
    cli.ok("csr", "--key", key, "--subject", "CN=x", "--der", "--out", tmp_path / "r.der")
    openssl("req", "-inform", "DER", "-in", tmp_path / "r.der", "-verify", "-noout")


def test_no_state_directory_is_needed_or_made(cli: Cli, key: str, tmp_path: Path) -> None:
    cli.ok("csr", "--key", key, "--subject", "CN=x", env={"DEVICE_SDK_STATE_DIR": "/nonexistent/state"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.toml", "key.pem"]
