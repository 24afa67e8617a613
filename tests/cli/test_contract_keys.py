"""`device-sdk keys create|list|show|delete|probe URI`: the spellings that scripts rely on, on every kind of hardware."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.model.keys import KeyType
from tests.cli.conftest import Cli, openssl

pytestmark = pytest.mark.slow

TYPES = ["ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072", "rsa-4096"]
QUICK = ["ec-p256", "ec-p384", "ec-p521", "rsa-2048"]


def _round(cli: Cli, uri: str, kind: str, *, hardware: bool) -> None:
    """Create, list, show, use and delete one key."""
    created = cli.ok("keys", "create", uri, "--type", kind)
    assert created.err == ""
    named = created.out.strip()
    assert "\n" not in named
    shown = cli.ok("keys", "show", named, "--json").json
    assert (shown["uri"], shown["key_type"]) == (named, kind)
    assert (shown["hardware"], shown["extractable"]) == (hardware, not hardware)
    public = load_pem_public_key(shown["public_key"].encode())
    assert KeyType.of(public).value == kind  # type: ignore[arg-type]  # it is EC or RSA
    (listed,) = cli.ok("keys", "list", uri, "--json").json["keys"]
    assert listed["uri"] == named
    request = cli.ok("csr", "--key", named, "--subject", "CN=x").out
    assert "verify OK" in openssl("req", "-verify", "-noout", data=request.encode())
    assert cli.ok("keys", "delete", named).out == f"deleted {named}\n"
    assert "no key fits" in cli.ok("keys", "list", uri).err


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in TYPES]
)
def test_pkcs11_every_type(kind: str, cli: Cli, token: SoftHsm) -> None:
    _round(cli, token.uri_of("device-key"), kind, hardware=True)


@pytest.mark.parametrize("kind", TYPES[:-1])
def test_tpm2_every_type_it_can_make(kind: str, cli: Cli, swtpm: Swtpm, tmp_path: Path) -> None:
    _round(cli, f"tpm2:file={tmp_path}/key.pem", kind, hardware=True)


@pytest.mark.slow
def test_tpm2_type_it_cannot_make(cli: Cli, swtpm: Swtpm, tmp_path: Path) -> None:
    said = cli.fails(3, "keys", "create", f"tpm2:file={tmp_path}/key.pem", "--type", "rsa-4096")
    assert "cannot make rsa-4096" in said
    assert "rsa-2048" in said
    assert list(tmp_path.glob("*.pem")) == []


def test_tpm2_persistent_handle(cli: Cli, swtpm: Swtpm) -> None:
    _round(cli, "tpm2:handle=0x81000010", "ec-p256", hardware=True)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in TYPES]
)
def test_file_every_type(kind: str, cli: Cli, tmp_path: Path) -> None:
    _round(cli, f"file:{tmp_path}/key.pem", kind, hardware=False)


def test_file_is_pkcs8_of_mode_0600_for_openssl(cli: Cli, tmp_path: Path) -> None:
    cli.ok("keys", "create", f"file:{tmp_path}/key.pem", "--type", "ec-p256")
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    openssl("pkey", "-in", tmp_path / "key.pem", "-check", "-noout")


@pytest.mark.slow
def test_pkcs11_tool_sees_a_key_that_was_never_extractable(cli: Cli, token: SoftHsm) -> None:
    cli.ok("keys", "create", token.uri_of("device-key"), "--type", "ec-p256")
    done = subprocess.run(
        ["pkcs11-tool", "--module", token.module_path, "--login", "--pin", token.pin, "--list-objects", "--type", "privkey"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "never extractable" in done.stdout
    assert "device-key" in done.stdout


@pytest.mark.parametrize("store", ["pkcs11", "tpm2", "file"])
def test_create_refuses_a_name_that_is_taken_and_reuse_takes_it(
    store: str, cli: Cli, token: SoftHsm, swtpm: Swtpm, tmp_path: Path
) -> None:
    uri = {"pkcs11": token.uri_of("key"), "tpm2": "tpm2:handle=0x81000010", "file": f"file:{tmp_path}/key.pem"}[store]
    first = cli.ok("keys", "create", uri, "--type", "ec-p256", "--json").json
    assert "--reuse" in cli.fails(3, "keys", "create", uri, "--type", "ec-p256")
    again = cli.ok("keys", "create", uri, "--type", "ec-p256", "--reuse", "--json").json
    assert again["spki_sha256"] == first["spki_sha256"]
    other = cli.fails(3, "keys", "create", uri, "--type", "ec-p384", "--reuse")
    assert "ec-p256" in other
    assert cli.ok("keys", "show", uri, "--json").json["spki_sha256"] == first["spki_sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("store", ["pkcs11", "tpm2", "file"])
def test_list_without_a_fitting_key_prints_nothing(
    store: str, cli: Cli, token: SoftHsm, swtpm: Swtpm, tmp_path: Path
) -> None:
    uri = {"pkcs11": token.uri, "tpm2": "tpm2:", "file": f"file:{tmp_path}"}[store]
    assert cli.ok("keys", "list", uri).out == ""
    assert cli.ok("keys", "list", uri, "--json").json == {"keys": []}


def test_probe_tells_what_the_hardware_can_do(cli: Cli, token: SoftHsm, swtpm: Swtpm, tmp_path: Path) -> None:
    for uri, can in ((token.uri, TYPES), ("tpm2:", TYPES[:-1]), (f"file:{tmp_path}", TYPES)):
        probe = cli.ok("keys", "probe", uri, "--json").json
        assert probe["key_types"] == can
        assert probe["operations"]["sign-ecdsa-sha256"] is True
        said = cli.ok("keys", "probe", uri).out
        assert "key types: ec-p256" in said
        assert cli.ok("keys", "list", uri, "--json").json == {"keys": []}, "a probe leaves nothing behind"


def test_certificate_beside_the_key(cli: Cli, token: SoftHsm, tmp_path: Path) -> None:
    uri = token.uri_of("device-key")
    cli.ok("keys", "create", uri, "--type", "ec-p256")
    assert "no certificate is stored" in cli.fails(3, "keys", "certificate", uri)
    key = tmp_path / "ca.pem"
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
    request = tmp_path / "request.pem"
    cli.ok("csr", "--key", uri, "--subject", "CN=x", "--out", request)
    certificate = tmp_path / "certificate.pem"
    openssl("req", "-x509", "-new", "-key", key, "-subj", "/CN=ca", "-out", tmp_path / "root.pem")
    openssl("x509", "-req", "-in", request, "-CA", tmp_path / "root.pem", "-CAkey", key, "-out", certificate)
    stored = cli.ok("keys", "store-certificate", uri, certificate, "--json").json["stored"]
    assert stored["subject"] == "CN=x"
    assert cli.ok("keys", "certificate", uri).out == certificate.read_text()
    assert cli.ok("keys", "certificate", uri, "--json").json["pem"] == certificate.read_text()
    assert "another key" in cli.fails(3, "keys", "store-certificate", uri, tmp_path / "root.pem")
    assert cli.ok("keys", "certificate", uri).out == certificate.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "file:/tmp/x"), "--type"),
        (("create", "file:/tmp/x", "--type", "rsa-1024"), "rsa-2048"),
        (("create", "--type", "ec-p256"), "URI"),
        (("show", "ftp:x"), "pkcs11:, tpm2: or file:"),
        (("show", "pkcs11:tok=x"), "tok"),
        (("show", "tpm2:handle=zzz"), "not a number"),
        (("list", "tpm2:?tcti=cmd:reboot"), "TCTI"),
        (("frobnicate", "x"), "choose from"),
        (("create", "file:/tmp/x", "--typ", "ec-p256"), "--type"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(words: tuple[str, ...], said: str, cli: Cli) -> None:
    assert said in cli.fails(2, "keys", *words)
