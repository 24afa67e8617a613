"""Power cuts while a key of the server is stored: killed at every moment, the same command ends with a pair (EST-202)."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from device_sdk_simulators.softhsm import SoftHsm

from device_sdk.errors import KeyNotFoundError
from device_sdk.keystores import registry
from tests.cli.carrying import anchors, carry, login
from tests.cli.conftest import Done, Lab, leaf

# Once the answer is read: the interpreter's profiling hook counts what changes files and the token, and kills.
HOOK = """
import os, signal, sys
CHANGES = {"replace", "rename", "link", "unlink", "remove", "ftruncate"}
STORED = {"import_key", "create_object", "store_certificate"}
state = {"on": False, "left": int(os.environ.get("KILL_AT", "0"))}

def hook(frame, event, arg):
    if not state["on"]:
        state["on"] = event == "return" and frame.f_code.co_name == "_generated"
        return
    counts = event == "return" and frame.f_code.co_name in STORED
    if event == "c_call":
        counts = getattr(arg, "__module__", None) == "posix" and arg.__name__ in CHANGES
    if counts:
        state["left"] -= 1
        if state["left"] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

if state["left"]:
    sys.setprofile(hook)
"""


# Somebody else is quicker by one system call: the file appears when ours is written and not yet named.
RIVAL = """
import os, os.path, sys
path = os.environ.get("RIVAL")

def hook(frame, event, arg):
    if event == "c_call" and arg is os.fsync and not os.path.lexists(path):
        written = f"/proc/self/fd/{frame.f_locals['descriptor']}"
        if os.path.isfile(written) and b"PRIVATE KEY" in open(written, "rb").read():
            with open(path, "x") as file:
                file.write("somebody else's")

if path:
    sys.setprofile(hook)
"""


@pytest.fixture
def skg(lab: Lab) -> Lab:
    lab.server.policy.serverkeygen = {"clear"}
    return lab


def _run(lab: Lab, words: tuple[object, ...], kill_at: int) -> Done:
    return lab.cli(*words, before=HOOK, env={"KILL_AT": str(kill_at)})


def _words(lab: Lab, key: object, *more: object) -> tuple[object, ...]:
    return (
        "est", "serverkeygen", *lab.trust, *lab.login, "--subject", "CN=sensor-7", "--allow-clear", "--key-out", key, *more
    )  # fmt: skip


def _keys_made(lab: Lab) -> int:
    return lab.operations().count(("serverkeygen", 200))


def _public_key(place: str) -> object:
    """Of the key that was stored there; None if none was."""
    if not place.startswith(("file:", "pkcs11:")):
        path = Path(place)
        return load_pem_private_key(path.read_bytes(), None).public_key() if path.exists() else None
    try:
        with registry.open_key(place, allow_imported=True) as key:
            return key.public_key()
    except KeyNotFoundError:
        return None


@pytest.mark.slow
@pytest.mark.parametrize("store", ["a file", "file", "pkcs11"])
def test_est_202_killed_at_every_moment(store: str, skg: Lab, token: SoftHsm, tmp_path: Path) -> None:
    """What was stored is finished, not asked for again; nothing else is left behind."""
    killed = 0
    for moment in range(1, 1000):
        directory = tmp_path / f"run-{moment}"
        directory.mkdir(mode=0o700)
        out, key = directory / "cert.pem", str(directory / "key.pem")
        place = {"a file": key, "file": f"file:{key}", "pkcs11": token.uri_of(f"key{moment}")}[store]
        words = _words(skg, place, "--rescue", directory / "rescue.pem", "--out", out)
        if store == "a file":
            words = _words(skg, place, "--out", out)
        made = _keys_made(skg)
        done = _run(skg, words, moment)
        stored, delivered = _public_key(place), out.exists() and not (directory / "cert.pem.unfinished").exists()
        if done.code == -signal.SIGKILL and not delivered:
            hidden = [file for file in directory.glob(".*") if b"PRIVATE KEY" in file.read_bytes()]
            assert hidden == [], "a private key that nobody knows of"
            skg.cli.ok(*words)
            killed += 1
            assert _keys_made(skg) == made + (1 if stored else 2), moment
            assert stored in (None, _public_key(place))
        assert leaf(out).public_key() == _public_key(place), moment
        assert {file.name for file in directory.iterdir()} <= {"cert.pem", "key.pem"}, moment
        if done.code == 0:
            break
    assert killed > 2
    assert moment > killed


@pytest.mark.slow
def test_est_202_killed_at_every_moment_with_an_answer_from_a_file(skg: Lab, token: SoftHsm, tmp_path: Path) -> None:
    """The key that is stored is finished as over the network; one that is not is read from the answer again."""
    asked = ("est", "serverkeygen", "--url", skg.server.url, "--subject", "CN=sensor-7", "--allow-clear")
    skg.cli.ok(*asked, "--offline-out", tmp_path / "request")
    carry(skg, tmp_path / "request", tmp_path / "answer", *login(skg))
    trust, killed = ("--anchors", anchors(skg)), 0
    for moment in range(1, 1000):
        directory = tmp_path / f"run-{moment}"
        directory.mkdir(mode=0o700)
        out, place = directory / "cert.pem", token.uri_of(f"key{moment}")
        more = ("--key-out", place, "--rescue", directory / "rescue.pem", "--out", out)
        words = (*asked, *trust, "--offline-in", tmp_path / "answer", *more)
        done = _run(skg, words, moment)
        if done.code == -signal.SIGKILL and (not out.exists() or (directory / "cert.pem.unfinished").exists()):
            skg.cli.ok(*words)
            killed += 1
        assert leaf(out).public_key() == _public_key(place), moment
        assert {file.name for file in directory.iterdir()} == {"cert.pem"}, moment
        if done.code == 0:
            break
    assert killed > 2
    assert _keys_made(skg) == 1


@pytest.mark.slow
def test_est_202_finished_on_standard_output(skg: Lab, token: SoftHsm, tmp_path: Path) -> None:
    """Without --out the certificates wait beside the rescue file; another command leaves them alone."""
    words = _words(skg, token.uri_of("key"))
    unfinished = tmp_path / "device-sdk-rescued-key.pem.unfinished"
    for moment in range(1, 100):
        _run(skg, words, moment)
        if _public_key(token.uri_of("key")) is not None:
            break
    assert "not of this command" in skg.cli.fails(2, *_words(skg, token.uri_of("other")))
    made = _keys_made(skg)
    done = skg.cli.ok(*words, "--json")
    assert _keys_made(skg) == made
    assert "earlier run" in done.err
    assert done.json["key_uri"].startswith("pkcs11:")
    (tmp_path / "cert.pem").write_text(done.json["pem"])
    assert leaf(tmp_path / "cert.pem").public_key() == _public_key(token.uri_of("key"))
    assert not unfinished.exists()


@pytest.mark.slow
def test_est_202_finished_before_its_time(skg: Lab, tmp_path: Path) -> None:
    """A certificate that is not valid yet stays one, whoever delivers it."""
    skg.server.faults.parse("future@serverkeygen")
    key, out = tmp_path / "key.pem", tmp_path / "cert.pem"
    for moment in range(1, 100):
        _run(skg, _words(skg, key, "--out", out), moment)
        if key.exists():
            break
    assert not out.exists()
    made = _keys_made(skg)
    said = skg.cli.fails(11, *_words(skg, key, "--out", out))
    assert f"the private key is in {key}, the certificate is in {out}" in said
    assert _keys_made(skg) == made
    assert leaf(out).public_key() == _public_key(str(key))


@pytest.mark.slow
def test_est_202_a_name_taken_at_the_last_moment_costs_neither_key(skg: Lab, tmp_path: Path) -> None:
    """Two commands with one --key-out: a private key replaces nothing, and ours is not lost."""
    key = tmp_path / "key.pem"
    done = skg.cli(*_words(skg, key, "--out", tmp_path / "cert.pem"), before=RIVAL, env={"RIVAL": str(key)})
    assert done.code == 2, done.err
    assert key.read_text() == "somebody else's"
    (rescued,) = tmp_path.glob("key.pem.????????")
    assert str(rescued) in done.err
    assert rescued.stat().st_mode & 0o777 == 0o600
    assert load_pem_private_key(rescued.read_bytes(), None)
