"""certificates_dir: where the certificates of keys under TPM handles are, for every command, an agent's operations too."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.cli.certificates_dir import given_environment
from device_sdk.errors import KeyStoreError
from device_sdk.keystores import registry
from device_sdk.state.pem import fingerprint
from tests.cli.conftest import Lab, leaf
from tests.cli.test_contract_bench import Line
from tests.device.benched import Benched

pytestmark = pytest.mark.slow

VARIABLE = "DEVICE_SDK_CERTIFICATES"


@pytest.fixture
def key(swtpm: Swtpm) -> str:
    return f"tpm2:handle=0x81000010?tcti={swtpm.tcti}"


@pytest.fixture
def unset(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Nothing in the environment says where certificates are."""
    monkeypatch.delenv(VARIABLE)
    del lab.cli.environment[VARIABLE]
    return lab


def configure(lab: Lab, directory: Path, *more: str) -> None:
    (lab.directory / "config.toml").write_text("\n".join((f'certificates_dir = "{directory}"', *more)))


def names(directory: Path) -> list[str]:
    return sorted(one.name for one in directory.iterdir()) if directory.exists() else []


def test_every_command_finds_them_there(unset: Lab, key: str, tmp_path: Path) -> None:
    """From the enrolment to the key's end; the next command without the setting looks elsewhere."""
    lab, there = unset, tmp_path / "data/certificates"
    configure(lab, there)
    lab.cli.ok(*lab.enroll_words(key))
    (first,) = names(there)
    assert lab.cli.ok("keys", "certificate", key).out.encode() == (there / first).read_bytes()
    assert lab.cli.ok("keys", "show", key, "--json").json["certificate"] is True
    assert lab.cli.ok("doctor", "--state", lab.state, "--json").json
    renewed = lab.cli.ok("renew", "--state", lab.state, "--json").json
    (second,) = names(there)
    assert second != first
    new = renewed["key_uri"]
    assert lab.cli.ok("keys", "certificate", new).out.encode() == (there / second).read_bytes()
    (lab.directory / "config.toml").write_text("")
    elsewhere = {VARIABLE: str(tmp_path / "elsewhere")}
    assert lab.cli.ok("keys", "show", new, "--json", env=elsewhere).json["certificate"] is False
    configure(lab, there)
    lab.cli.ok("keys", "delete", new)
    assert names(there) == []


def test_a_flag_before_the_environment_before_the_configuration(unset: Lab, key: str, tmp_path: Path) -> None:
    lab, cli = unset, unset.cli
    cli.ok("keys", "create", key, "--type", "ec-p256", "--certificates-dir", tmp_path / "flag")
    certificate = lab.certificate(tmp_path / "certificate.pem", key)
    configure(lab, tmp_path / "file")
    environment = {VARIABLE: str(tmp_path / "environment")}
    store = ("keys", "store-certificate", key, certificate)
    cli.ok(*store)
    assert [len(names(tmp_path / one)) for one in ("file", "environment", "flag")] == [1, 0, 0]
    cli.ok(*store, env=environment)
    assert [len(names(tmp_path / one)) for one in ("file", "environment", "flag")] == [1, 1, 0]
    cli.ok(*store, "--certificates-dir", tmp_path / "flag", env=environment)
    assert [len(names(tmp_path / one)) for one in ("file", "environment", "flag")] == [1, 1, 1]
    shown = cli.ok("config", "--json", env=environment).json
    assert shown["certificates_dir"] == str(tmp_path / "environment")
    assert "--certificates-dir  DEVICE_SDK_CERTIFICATES" in cli.ok("config").out


@pytest.mark.parametrize("command", ["enroll", "est serverkeygen", "bench create-key"])
def test_no_place_is_told_before_anything_is_made(command: str, unset: Lab, key: str, tmp_path: Path) -> None:
    """What, where, and the setting that helps; exit code 3, and the server was asked for nothing."""
    lab = unset
    (tmp_path / "file").touch()
    signer = lab.key("signer")
    configure(lab, tmp_path / "file/certificates", f'state_dir = "{lab.state}"')
    if command.startswith("bench"):
        line = Line(lab, key)
        line.config = f'certificates_dir = "{tmp_path}/file/certificates"\n{line.config}'
        line.configure()
    words = {
        "enroll": lab.enroll_words(key),
        "est serverkeygen": (
            *("est", "serverkeygen", *lab.trust, *lab.login, "--key", signer, "--subject", "CN=router-7"),
            *("--key-out", key, "--out", tmp_path / "out.pem", "--allow-clear"),
        ),
        "bench create-key": ("bench", "create-key", "--key", key),
    }[command]
    asked = len(lab.server.log())
    said = lab.cli.fails(3, *words)
    assert f"{tmp_path}/file/certificates cannot be made: Not a directory" in said
    assert "the setting certificates_dir, or the variable DEVICE_SDK_CERTIFICATES" in said
    assert len(lab.server.log()) == asked
    assert registry.list_keys(key) == ()


def test_keys_of_cale_need_no_such_place(unset: Lab, key: str, tmp_path: Path) -> None:
    """They have no certificate: registered, replaced, and used on a device that could keep none."""
    lab = unset
    (tmp_path / "file").touch()
    configure(lab, tmp_path / "file/certificates")
    trust = ("--state", lab.state, "--anchors", lab.server.ca_file)
    register = (
        "cale",
        "register",
        *trust,
        "--url",
        lab.server.cale_url,
        "--subject",
        "CN=router-7",
        *lab.login,
        "--json",
    )
    first = lab.cli.ok(*register, "--key", key, "--type", "ec-p256").json
    second = lab.cli.ok(*register, "--again").json
    assert second["key_uri"] != first["key_uri"]
    assert lab.cli.ok("cale", "get", "/resource", *trust).json == {"foo": "bar"}


@pytest.mark.parametrize("switched", [False, True])
@pytest.mark.parametrize("way", ["install", "enroll", "create-key and install"])
def test_a_device_that_is_stuck_comes_out_of_it(way: str, switched: bool, unset: Lab, key: str, tmp_path: Path) -> None:
    """Its certificate was issued and there was no place for it; once the setting is there, it is the one that is kept."""
    lab, line = unset, Line(unset, key)
    line.configure()
    line.bench("create-key", "--key", key, "--certificates-dir", tmp_path / "gone")
    csr = str(line.bench("request", "--certificates-dir", tmp_path / "gone")["csr"])
    answer, ca = line.asked("simpleenroll", csr.encode()), line.asked("cacerts")
    both = b"\n\n".join(base64.b64encode(base64.b64decode(one)) for one in (answer, ca))
    (tmp_path / "file").touch()
    install = ("bench", "install", "--answer", "-", "--ca-certificates", "-")
    for _ in range(2):
        said = lab.cli.fails(3, *install, "--certificates-dir", tmp_path / "file/certificates", input=both)
        assert "certificates_dir" in said
    if switched:  # as older versions left it: the certificate is in use, and has no place beside its key
        journal = (lab.state / "journal.json").read_bytes()
        line.bench(*install[1:], "--certificates-dir", tmp_path / "gone", input=both)
        (lab.state / "journal.json").write_bytes(journal)
    there = tmp_path / "data/certificates"
    line.config = f'certificates_dir = "{there}"\n{line.config}'
    line.configure()
    asked = len(lab.server.log())
    if way == "install":
        line.bench(*install[1:], input=both)
    elif way == "enroll":
        lab.cli.ok(*lab.enroll_words(key))
    else:
        line.bench("create-key", "--key", key)
        line.bench(*install[1:], input=both)
    # to enrol proves the new pair to the server, where there is one to replace; nothing is asked for again
    assert [one for one in lab.server.log()[asked:] if one["operation"] != "cacerts"] == []
    (name,) = names(there)
    certificate = leaf(lab.state / "current.pem")
    assert leaf(there / name) == certificate
    facts = line.bench("facts")
    assert facts["enrolled"] == fingerprint(certificate)
    assert "under_way" not in dict(facts["extra"])  # type: ignore[call-overload]


def test_a_new_configuration_counts_for_the_next_operation(
    est_server: ReferenceServer, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one process, as an agent is one: the setting comes, changes, goes, and the environment has it as before."""
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "file").touch()
    benched = Benched(est_server, tmp_path / "device", key)
    bench, config = benched.configured(), benched.config

    def use(directory: Path) -> None:
        bench.configure(f'certificates_dir = "{directory}"\n'.encode() + config, benched.anchors)

    use(tmp_path / "file/first")
    with pytest.raises(KeyStoreError, match="file/first cannot be made"):
        bench.create_key(benched.wish)
    use(tmp_path / "file/second")
    with pytest.raises(KeyStoreError, match="file/second cannot be made"):
        bench.create_key(benched.wish)
    use(tmp_path / "third")
    bench.create_key(benched.wish)
    assert os.environ[VARIABLE] == str(tmp_path / "third")
    assert VARIABLE not in given_environment()
    use(tmp_path / "fourth")
    assert os.environ[VARIABLE] == str(tmp_path / "fourth"), "programs that are started next find it there"
    bench.configure(config, benched.anchors)
    assert VARIABLE not in os.environ, "an empty word would count more than the configuration of such a program"
    bench.facts()
    assert VARIABLE not in os.environ
    monkeypatch.setenv(VARIABLE, str(tmp_path / "environment"))
    use(tmp_path / "third")
    bench.facts()
    assert os.environ[VARIABLE] == given_environment()[VARIABLE] == str(tmp_path / "environment")
