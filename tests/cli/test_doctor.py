"""`device-sdk doctor`: each check, each way it can fail, and what it tells to do."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from device_sdk_simulators.ca.tls import TlsProfile
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.client.doctor import Doctor
from device_sdk.state import StateDirectory
from tests.cli.conftest import NO_OVERRIDE, Cli, Lab, on_tmpfs

pytestmark = pytest.mark.slow

CHECKS = ["tls-provider", "state-directory", "state-content", "cale", "clock", "certificate", "trust-anchors", "revocation", "outbox",
          "hardware", "key", "key-establishment", "server", "tls-client"]  # fmt: skip


def _checks(cli: Cli, *words: object, code: int = 0, **options: Any) -> dict[str, dict[str, str]]:
    done = cli("doctor", *words, "--json", **options)
    assert done.code == code, done
    assert done.err == "" or done.err.startswith("device-sdk: warning"), done.err
    found = {check["check"]: check for check in done.json["checks"]}
    assert list(found) == CHECKS
    assert all(check["status"] in ("ok", "warning", "failed", "skipped") for check in found.values())
    assert all(check["hint"] for check in found.values() if check["status"] == "failed")
    return found


@pytest.mark.parametrize("store", ["pkcs11", "tpm2"])
def test_healthy_device(store: str, lab: Lab, token: SoftHsm, swtpm: Swtpm, tmp_path: Path) -> None:
    key = {"pkcs11": token.uri_of("key"), "tpm2": f"tpm2:file={tmp_path}/key.pem"}[store]
    lab.cli.ok(*lab.enroll_words(key))
    found = _checks(lab.cli, "--state", lab.state, "--online", "--warnings-as-errors")
    assert {check["status"] for check in found.values()} == {"ok"}
    assert found["tls-client"]["detail"] == f"{lab.server.url} takes this device's certificate and key for TLS"
    assert lab.server.log()[-1]["client_subject"] == "CN=router-7"


@pytest.mark.slow
def test_before_enrolment(lab: Lab) -> None:
    words = ("--state", lab.state, "--key", lab.key(), "--url", lab.server.url)
    found = _checks(lab.cli, *words)
    assert {name for name, check in found.items() if check["status"] == "warning"} == {
        "state-directory",
        "certificate",
        "key",
    }
    assert found["server"]["hint"] == "device-sdk doctor --online"
    assert _checks(lab.cli, *words, "--warnings-as-errors", code=1)
    assert "nothing is trusted" in _checks(lab.cli, *words, "--online")["server"]["detail"]
    assert "pinned fingerprint" in _checks(lab.cli, *words, "--online", "--pin", lab.pin)["server"]["detail"]
    assert "is trusted" in _checks(lab.cli, *words, "--online", "--anchors", lab.server.ca_file)["server"]["detail"]
    assert not lab.state.exists(), "looking changes nothing"


def test_text_and_stream(lab: Lab) -> None:
    words = ("doctor", "--state", lab.state, "--key", lab.key())
    said = lab.cli.ok(*words).out
    assert "WARN  certificate     not enrolled yet\n                      -> device-sdk enroll\n" in said
    lines = [json.loads(line) for line in lab.cli.ok(*words, "--json", "--stream").out.splitlines()]
    assert [line["check"] for line in lines] == CHECKS


@pytest.mark.parametrize("problem", ["a file", "no permission", "read-only", "full"])
def test_state_directory(problem: str, lab: Lab, tmp_path: Path) -> None:
    state, prefix = tmp_path / "place" / "state", NO_OVERRIDE
    state.mkdir(parents=True)
    if problem == "a file":
        state.rmdir()
        state.touch()
    elif problem == "no permission":
        state.chmod(0o500)
    else:
        setup = {"read-only": 'mount -t tmpfs none "$mount"; mkdir "$mount/state"; mount -o remount,ro "$mount"',
                 "full": 'mount -t tmpfs -o size=64k none "$mount"; mkdir "$mount/state"'}[problem]  # fmt: skip
        prefix = on_tmpfs(setup, state.parent)
    found = _checks(lab.cli, "--state", state, code=1, prefix=prefix)["state-directory"]
    expected = {"a file": "is not a directory", "no permission": "is not writable", "read-only": "is not writable",
                "full": "bytes are free"}  # fmt: skip
    assert (found["status"], expected[problem] in found["detail"]) == ("failed", True)


def test_state_that_cannot_be_read(lab: Lab) -> None:
    key = lab.enrolled()
    (lab.state / "state.json").write_text("{")
    found = _checks(lab.cli, "--state", lab.state, "--key", key, code=1)
    assert "state.json" in found["state-content"]["detail"]
    assert [name for name, check in found.items() if check["status"] == "failed"] == ["state-content"]
    assert found["certificate"]["detail"] == "the state directory cannot be read"
    assert found["key"]["status"] == "warning", "the configured key is looked at all the same"


@pytest.mark.slow
def test_leftovers_and_things_under_way(lab: Lab) -> None:
    lab.enrolled()
    lab.server.policy.require_approval = True
    lab.cli.fails(8, "renew", "--state", lab.state)
    found = _checks(lab.cli, "--state", lab.state)["state-content"]
    assert found["status"] == "warning"
    assert "device-sdk renew finishes it" in found["hint"]
    (lab.state / "current.pem").unlink()
    assert "current.pem" in _checks(lab.cli, "--state", lab.state, code=1)["state-content"]["detail"]


def _floor(state: Path, text: str) -> None:
    data = json.loads((state / "state.json").read_text())
    (state / "state.json").write_text(json.dumps(data | {"time_floor": text}))


def test_clock(lab: Lab) -> None:
    lab.enrolled()
    _floor(lab.state, "2099-01-01T00:00:00Z")
    found = _checks(lab.cli, "--state", lab.state, code=1)
    assert "2099-01-01T00:00:00Z has certainly passed" in found["clock"]["detail"]
    assert found["certificate"]["status"] == "skipped"


def test_the_years_to_come(lab: Lab) -> None:
    """The certificate's end, the anchors' end and a clock before everything, by another clock."""
    lab.enrolled()
    anchors = StateDirectory(lab.state).snapshot()[2]
    end = max(anchor.not_valid_after_utc for anchor in anchors)

    def at(moment: datetime) -> dict[str, tuple[str, str]]:
        doctor = Doctor(str(lab.state), now=lambda: moment)
        return {finding.check: (finding.status, finding.detail + str(finding.hint)) for finding in doctor.run()}

    now = datetime.now(UTC)
    assert at(now)["certificate"][0] == "ok"
    due = at(now + timedelta(days=80))["certificate"]
    assert (due[0], "device-sdk renew" in due[1]) == ("warning", True)
    expired = at(now + timedelta(days=100))["certificate"]
    assert (expired[0], "--again" in expired[1]) == ("failed", True)
    assert at(end - timedelta(days=10))["trust-anchors"][0] == "warning"
    assert at(end + timedelta(days=10))["trust-anchors"][0] == "failed"
    assert at(datetime(1970, 1, 2, tzinfo=UTC))["clock"][0] == "failed"


@pytest.mark.parametrize(
    ("uri", "status", "detail"),
    [
        ("pkcs11:token=x?module-path=/nonexistent.so", "failed", "/nonexistent.so does not exist"),
        ("pkcs11:token=x?module-path={tmp}/locked", "failed", "cannot be read"),
        ("pkcs11:token=x?module-path={tmp}/open&pin-source=file:{tmp}/none", "failed", "No such file"),
        ("pkcs11:token=x?module-path={tmp}/open&pin-source=file:{tmp}/locked", "failed", "cannot be read"),
        ("pkcs11:token=x?module-path={tmp}/open&pin-source={tmp}/open", "warning", "everybody can reach the PIN"),
        ("tpm2:handle=0x81000010?tcti=device:/dev/tpmrm77", "failed", "/dev/tpmrm77 does not exist"),
        ("tpm2:handle=0x81000010?tcti=device:{tmp}/locked", "failed", "cannot be opened by this user"),
        ("tpm2:handle=0x81000010?tcti=device:{tmp}/open", "warning", "one program at a time"),
        ("tpm2:handle=0x81000010?tcti=swtpm:path=/x", "ok", "TPM by swtpm:path=/x"),
        ("file:{tmp}/none/key.pem", "failed", "does not exist"),
        ("pkcs11:nonsense=x", "failed", "nonsense"),
    ],
)
def test_hardware(uri: str, status: str, detail: str, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "open").touch(0o644)
    (tmp_path / "locked").touch(0o000)
    words = ("--state", tmp_path / "state", "--key", uri.format(tmp=tmp_path))
    found = _checks(cli, *words, code=1, prefix=NO_OVERRIDE)
    assert (found["hardware"]["status"], detail in found["hardware"]["detail"]) == (status, True), found["hardware"]
    assert found["key"]["status"] == ("skipped" if status == "failed" else "failed")


def _key(cli: Cli, uri: str, code: int = 1, **options: Any) -> tuple[str, str]:
    found = _checks(cli, "--state", cli.directory / "no-state", "--key", uri, code=code, **options)["key"]
    return found["status"], found["detail"]


@pytest.mark.slow
def test_key_in_a_token(cli: Cli, token: SoftHsm) -> None:
    uri = token.uri_of("key")
    status, detail = _key(cli, uri)
    assert (status, "no private key fits" in detail) == ("failed", True)
    cli.ok("keys", "create", uri, "--type", "ec-p256")
    status, detail = _key(cli, uri, code=0)
    assert (status, detail.startswith("in hardware, not extractable: pkcs11:")) == ("ok", True)
    bare = uri.partition("&pin-source")[0]
    assert "wants a PIN" in _key(cli, bare)[1]
    assert "refused the PIN" in _key(cli, bare, env={"DEVICE_SDK_KEY_PIN": "wrong"})[1]
    assert "no token fits" in _key(cli, uri.replace("token=device", "token=other"))[1]


def test_key_that_can_leave(cli: Cli, token: SoftHsm, tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "RSA", "-out", tmp_path / "k.pem"], check=True, capture_output=True
    )
    subprocess.run(
        ["pkcs11-tool", "--module", token.module_path, "--login", "--pin", token.pin, "--write-object", tmp_path / "k.pem",
         "--type", "privkey", "--id", "01", "--label", "imported", "--extractable", "--usage-sign"],
        check=True, capture_output=True,
    )  # fmt: skip
    status, detail = _key(cli, token.uri_of("imported"))
    assert (status, "CKA_EXTRACTABLE" in detail) == ("failed", True)


@pytest.mark.slow
def test_tpm_that_is_gone(cli: Cli, swtpm: Swtpm, tmp_path: Path) -> None:
    uri = f"tpm2:file={tmp_path}/key.pem"
    cli.ok("keys", "create", uri, "--type", "ec-p256")
    assert _key(cli, uri, code=0)[0] == "ok"
    swtpm.kill()
    status, detail = _key(cli, uri)
    assert (status, "no TPM answers" in detail) == ("failed", True)


def test_key_of_somebody_else(lab: Lab) -> None:
    lab.enrolled()
    (lab.keys / "device.pem").unlink()
    lab.key("device")
    found = _checks(lab.cli, "--state", lab.state, "--online", code=1)
    assert "is not the key of the certificate" in found["key"]["detail"]
    assert found["tls-client"]["detail"] == "the key is not in order"


@pytest.mark.slow
def test_server_that_is_away_or_another(lab: Lab) -> None:
    lab.enrolled()
    words = ("--state", lab.state, "--online")
    lab.server.use_tls(TlsProfile(unknown_ca=True))
    assert "not trusted" in _checks(lab.cli, *words, code=1)["server"]["detail"]
    lab.server.use_tls(TlsProfile())
    lab.server.faults.set("status", "503")
    assert "503" in _checks(lab.cli, *words, code=1)["server"]["detail"]
    lab.server.faults.clear()
    StateDirectory(lab.state).save(
        replace(state := StateDirectory(lab.state).load(), endpoint=replace(state.endpoint, url="https://localhost:1"))  # type: ignore[type-var]
    )
    found = _checks(lab.cli, *words, code=1)
    assert "localhost:1" in found["server"]["detail"]
    assert found["tls-client"]["detail"] == "the server is not in order"
    nowhere = ("--state", lab.directory / "none", "--online", "--url", lab.server.url, "--pin", "sha256:" + "0" * 64)
    assert "pinned fingerprint" in _checks(lab.cli, *nowhere, code=1)["server"]["detail"]


@pytest.mark.slow
def test_certificate_the_server_does_not_take(lab: Lab, tmp_path: Path) -> None:
    lab.enrolled()
    with ReferenceServer(tmp_path / "other") as other:
        state = StateDirectory(lab.state)
        with state.exclusive():
            name = state.add_anchors(x509.load_pem_x509_certificates(other.ca_file.read_bytes()))
            loaded = state.load()
            state.save(replace(loaded, anchors=name, endpoint=replace(loaded.endpoint, url=other.url)))  # type: ignore[type-var]
        found = _checks(lab.cli, "--state", lab.state, "--online", code=1)
    assert found["server"]["status"] == "ok"
    assert found["tls-client"]["status"] == "failed"


def test_tls_library_that_cannot_be_given_a_key(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "openssl.cnf").write_text(
        "openssl_conf = main\n[main]\nalg_section = algorithms\n[algorithms]\ndefault_properties = provider=default\n"
    )
    found = _checks(cli, "--state", tmp_path / "none", code=1, env={"OPENSSL_CONF": str(tmp_path / "openssl.cnf")})
    assert found["tls-provider"]["status"] == "failed"


def test_an_enrolment_that_has_no_key_yet(lab: Lab) -> None:
    lab.server.faults.parse("status=500@cacerts")
    key = f"file:{lab.keys}/device.pem"
    lab.cli.fails(7, *lab.enroll_words(key))
    found = _checks(lab.cli, "--state", lab.state)
    assert found["state-content"]["status"] == "warning"
    assert (found["key"]["status"], found["key"]["detail"]) == ("skipped", f"it is not made yet: {key}")
