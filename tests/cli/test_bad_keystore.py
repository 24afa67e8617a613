"""Tokens, TPMs and key files in trouble, as the person on the bench sees it: exit code, one line, nothing lost."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from tests.cli.conftest import Cli, Done, Lab

pytestmark = pytest.mark.slow

FAULTY = Path(__file__).parents[1] / "keystores" / "pkcs11" / "faulty_module.c"
CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED = 0x20000, 0x40000


def _tools(*words: object, cwd: Path) -> None:
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (words, done.stderr)


@pytest.mark.slow
def test_wrong_pin(cli: Cli, token: SoftHsm, tmp_path: Path) -> None:
    uri = token.uri_of("key")
    cli.ok("keys", "create", uri, "--type", "ec-p256")
    (tmp_path / "wrong").write_text("000000")
    wrong = uri.replace(f"file:{token.pin_file}", f"file:{tmp_path}/wrong")
    for words in (("keys", "show", wrong), ("csr", "--key", wrong, "--subject", "CN=x", "--out", tmp_path / "x")):
        said = cli(*words).err
        assert "refused" in said
        assert "000000" not in said.replace(str(tmp_path), "").replace(token.serial, "")
    failed = cli("keys", "show", wrong, "--json")
    assert (failed.code, failed.error["code"]) == (4, "pin-refused")
    assert "was not tried again" in failed.err
    assert not (tmp_path / "x").exists()
    cli.ok("keys", "show", uri)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "said"),
    [(CKF_USER_PIN_LOCKED, "the PIN is locked (the"),
     (CKF_USER_PIN_FINAL_TRY, "one more wrong PIN locks the token, so none was tried")],
)  # fmt: skip
def test_locked_token(flags: int, said: str, cli: Cli, token: SoftHsm, tmp_path: Path) -> None:
    """SoftHSM never locks; a module in front of it says that the token has."""
    module = tmp_path / "module.so"
    _tools("cc", "-shared", "-fPIC", "-o", module, FAULTY, "-ldl", cwd=tmp_path)
    (tmp_path / "sitecustomize.py").write_text(f"import ctypes\nctypes.CDLL({str(module)!r}).faulty_lie(0, {flags})\n")
    environment = {"PYTHONPATH": str(tmp_path), "FAULTY_TARGET": token.module_path}
    uri = token.uri_of("key").replace(token.module_path, str(module))
    assert said in cli.fails(4, "keys", "list", uri, env=environment)


@pytest.mark.slow
def test_token_absent_and_two_of_one_name(cli: Cli, token: SoftHsm) -> None:
    said = cli.fails(3, "keys", "list", token.uri_of("key", token="other"))
    assert "no token fits; initialised tokens in" in said
    assert f"serial={token.serial}" in said
    second = token.add_token("device")
    said = cli.fails(3, "keys", "create", token.uri_of("key"), "--type", "ec-p256")
    assert "2 tokens fit" in said
    assert token.serial in said
    assert second in said
    assert "add serial= to the URI" in said
    cli.ok("keys", "create", token.uri_of("key").replace("pkcs11:", f"pkcs11:serial={second};"), "--type", "ec-p256")


@pytest.mark.slow
def test_two_keys_of_one_name(cli: Cli, token: SoftHsm) -> None:
    for number in ("01", "02"):
        _tools("pkcs11-tool", "--module", token.module_path, "--login", "--pin", token.pin, "--keypairgen", "--key-type",
               "EC:prime256v1", "--label", "key", "--id", number, cwd=token.directory)  # fmt: skip
    said = cli.fails(3, "csr", "--key", token.uri_of("key"), "--subject", "CN=x")
    assert "id=%01" in said
    assert "id=%02" in said
    assert len(cli.ok("keys", "list", token.uri_of("key"), "--json").json["keys"]) == 2
    assert "id=%01" in cli.fails(3, "keys", "delete", token.uri_of("key"))
    assert len(cli.ok("keys", "list", token.uri, "--json").json["keys"]) == 2


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("pkcs11:token=x?module-path=/nonexistent.so", "module-path names no file: tried /nonexistent.so"),
        ("pkcs11:token=x?module-path=/etc/hostname", "not a PKCS#11 module"),
        ("pkcs11:token=x?module-name=nonexistent", "no module named nonexistent"),
        ("tpm2:?tcti=swtpm:path=/nonexistent", "is swtpm running"),
        ("tpm2:?tcti=device:/dev/tpmrm77", "ls -l /dev/tpm*"),
    ],
)
def test_hardware_that_is_not_there(uri: str, said: str, cli: Cli) -> None:
    assert said in cli.fails(3, "keys", "list", uri)


@pytest.mark.slow
def test_tpm_whose_owner_gave_nothing(cli: Cli, swtpm: Swtpm, tmp_path: Path) -> None:
    """No SRK and an owner authorisation: the message has the commands that help, and they do."""
    _tools("tpm2_changeauth", "-c", "owner", "ownerpin", cwd=tmp_path)
    uri = f"tpm2:file={tmp_path}/key.pem"
    said = cli.fails(3, "keys", "create", uri, "--type", "ec-p256")
    assert "0x81000001" in said
    assert not (tmp_path / "key.pem").exists()
    for command in said.rpartition(": ")[2].rstrip(")").split(", then "):
        _tools("bash", "-c", command.replace("OWNERAUTH", "ownerpin"), cwd=tmp_path)
    _tools("tpm2_flushcontext", "-t", cwd=tmp_path)
    cli.ok("keys", "create", uri, "--type", "ec-p256")


def test_tpm_in_lockout(cli: Cli, swtpm: Swtpm, tmp_path: Path) -> None:
    """A key that tpm2-tools made, under dictionary-attack protection."""
    for command in ("tpm2_createprimary -Q -C o -c p.ctx", "tpm2_create -Q -C p.ctx -G ecc -p right -u k.pub -r k.priv",
                    "tpm2_flushcontext -t", "tpm2_load -Q -C p.ctx -u k.pub -r k.priv -c k.ctx", "tpm2_flushcontext -t",
                    "tpm2_evictcontrol -Q -C o -c k.ctx 0x81000040", "tpm2_flushcontext -t"):  # fmt: skip
        _tools(*command.split(), cwd=tmp_path)
    uri = "tpm2:handle=0x81000040"
    cli.ok("keys", "show", uri, env={"DEVICE_SDK_KEY_PIN": "right"})
    for left in (2, 1, 0):
        failed = cli("keys", "show", uri, "--json", env={"DEVICE_SDK_KEY_PIN": f"wrong {left}"})
        assert (failed.code, failed.error["attempts_remaining"]) == (4, left)
    locked = cli("keys", "show", uri, "--json", env={"DEVICE_SDK_KEY_PIN": "right"})
    assert (locked.code, locked.error["code"], locked.error["recover_after_s"]) == (4, "pin-locked", 1000)
    assert "tpm2_dictionarylockout" in locked.err


def _in_background(lab: Lab, *words: object) -> tuple[threading.Thread, list[Done]]:
    done: list[Done] = []
    thread = threading.Thread(target=lambda: done.append(lab.cli(*words)))
    thread.start()
    return thread, done


def test_tpm_that_dies_in_the_middle_of_an_enrolment(lab: Lab, swtpm: Swtpm, tmp_path: Path) -> None:
    """swtpm is killed while the request is undecided; after it is back, the same command ends with the same key."""
    # each try has a connection of its own, and needs a signature that is bound to it
    lab.server.faults.set("retry_after", "1", operation="simpleenroll")
    lab.server.faults.set("close", operation="simpleenroll")
    uri = f"tpm2:file={tmp_path}/key.pem"
    words = lab.enroll_words(uri, "--wait", "100")
    thread, done = _in_background(lab, *words)
    while ("simpleenroll", 202) not in lab.operations():
        assert thread.is_alive(), done
        time.sleep(0.01)
    key = (tmp_path / "key.pem").read_bytes()
    swtpm.kill()
    thread.join()
    assert done[0].code == 3, done
    said = [line for line in done[0].err.splitlines() if not line.startswith("waiting: ")]
    assert len(said) == 1
    assert "TPM" in said[0]
    swtpm.start()
    lab.server.faults.clear()
    lab.cli.ok(*words)
    assert (tmp_path / "key.pem").read_bytes() == key
    assert lab.cli.ok("doctor", "--state", lab.state, "--online").out.count("FAIL") == 0


@pytest.mark.slow
def test_key_files(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "open.pem").write_bytes(b"")
    (tmp_path / "open.pem").chmod(0o644)
    assert f"chmod 600 {tmp_path}/open.pem" in cli.fails(3, "keys", "show", f"file:{tmp_path}/open.pem")
    (tmp_path / "open.pem").chmod(0o600)
    assert f"{tmp_path}/open.pem" in cli.fails(3, "keys", "show", f"file:{tmp_path}/open.pem")
    assert f"{tmp_path}/none.pem" in cli.fails(3, "keys", "show", f"file:{tmp_path}/none.pem")
    assert "mkdir -m 700" in cli.fails(3, "keys", "create", f"file:{tmp_path}/none/k.pem", "--type", "ec-p256")
    uri = f"file:{tmp_path}/secret.pem"
    cli.ok("keys", "create", uri, "--type", "ec-p256", env={"DEVICE_SDK_KEY_PIN": "passphrase"})
    assert cli("keys", "show", uri).code == 4
    assert cli("keys", "show", uri, env={"DEVICE_SDK_KEY_PIN": "wrong"}).code == 4
    cli.ok("keys", "show", uri, env={"DEVICE_SDK_KEY_PIN": "passphrase"})


@pytest.mark.slow
def test_missing_extra(cli: Cli, tmp_path: Path) -> None:
    """A device without python-pkcs11 or tpm2-pytss is told what to install."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['pkcs11'] = sys.modules['tpm2_pytss'] = None\n")
    environment = {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}".rstrip(":")}
    assert "pip install 'device-sdk[pkcs11]'" in cli.fails(2, "keys", "list", "pkcs11:token=x", env=environment)
    assert "pip install 'device-sdk[tpm]'" in cli.fails(2, "keys", "list", "tpm2:", env=environment)
    cli.ok("keys", "list", f"file:{tmp_path}", env=environment)
