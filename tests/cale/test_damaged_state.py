"""A damaged file of one application stops that application, names itself, and leaves all others alone (CALE-13)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.cale import CaleApplication
from device_sdk.client.doctor import Doctor
from device_sdk.errors import StateCorruptError, StateError
from device_sdk.model.credentials import Credentials
from device_sdk.model.trust import ServerTrust
from tests.cale.parts import ANSWER, GUID
from tests.cale.test_application import Bench


@pytest.fixture
def bench(cale_server: ReferenceServer, trust: ServerTrust, credentials: Credentials, tmp_path: Path) -> Bench:
    """The application "default" registered; the file of "b" is damaged."""
    bench = Bench(cale_server, trust, credentials, tmp_path)
    bench.application.register(bench.plan)
    damage(bench, "b.json")
    return bench


def damage(bench: Bench, name: str, content: str = '{"version": 1, "guid": "x') -> Path:
    file = bench.state.path / "cale" / name
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.write_text(content)
    return file


def test_others_go_on(bench: Bench) -> None:
    """Register again switches, cleans up, and keeps the old key: the damaged file may name it."""
    outcome = bench.application.register(bench.again)
    assert bench.key_files() == ["cale-2.pem", "cale.pem"]
    assert len(outcome.notes) == 1
    assert "damaged registration may name it" in outcome.notes[0]
    assert bench.state.cale_journals() == {}
    assert list(bench.state.cale_registrations()) == ["default"]
    assert bench.read() == ANSWER
    gone = bench.application.forget()
    assert gone.destroyed == ()
    assert "damaged registration may name it" in gone.notes[0]
    assert bench.key_files() == ["cale-2.pem", "cale.pem"]
    assert bench.state.cale_registrations() == {}


def test_the_damaged_one_is_named_with_what_helps(bench: Bench) -> None:
    broken = CaleApplication(bench.state, "b")
    for act in (lambda: broken.registration, lambda: broken.register(bench.plan)):
        with pytest.raises(StateCorruptError, match=r"cale/b\.json: cannot be understood") as caught:
            act()
        assert "cale register --again --application b" in str(caught.value.hint)
        assert "enrol" not in str(caught.value.hint)
    assert [str(error.path) for errors in bench.state.cale_damage().values() for error in errors] == [
        str(bench.state.path / "cale" / "b.json")
    ]


def test_registered_anew(bench: Bench) -> None:
    plan = replace(bench.plan, key_uri=f"file:{bench.keys}/b.pem", again=True)
    outcome = CaleApplication(bench.state, "b").register(plan)
    assert "b.json: cannot be understood" in outcome.notes[0]
    assert bench.read("b") == bench.read() == ANSWER
    bench.require_sound()


@pytest.mark.parametrize("file", ["b.json", "under-way/b.json"])
def test_it_can_be_forgotten(bench: Bench, file: str) -> None:
    (bench.state.path / "cale" / "b.json").unlink()
    damage(bench, file)
    gone = CaleApplication(bench.state, "b").forget()
    assert gone.destroyed == ()
    assert f"{file}: cannot be understood" in gone.notes[0]
    bench.require_sound()
    assert bench.application.forget().destroyed == (bench.plan.key_uri,)


def test_what_was_under_way_and_cannot_be_read(bench: Bench) -> None:
    """It is said, and replaced if that is asked for; the registration in use works all the time."""
    (bench.state.path / "cale" / "b.json").unlink()
    damage(bench, "under-way/default.json")
    assert bench.read() == ANSWER
    with pytest.raises(StateCorruptError, match=r"under-way/default\.json") as caught:
        bench.application.register(bench.plan)
    assert "register --again --application default" in str(caught.value.hint)
    outcome = bench.application.register(bench.again)
    assert "under-way/default.json: cannot be understood" in outcome.notes[0]
    assert bench.key_files() == ["cale-2.pem"]
    bench.require_sound()


def test_what_was_under_way_for_a_damaged_registration(bench: Bench) -> None:
    """The journal's key may be the registered one, so it stays."""
    bench.application.register(bench.again)
    journal = bench.state.path / "cale" / "under-way" / "default.json"
    (bench.state.path / "cale" / "b.json").unlink()
    registered = bench.application.registration
    journal.parent.mkdir(exist_ok=True)
    journal.write_text(
        json.dumps(
            {
                "version": 1,
                "application": "default",
                "phase": "issued",
                "key_uri": registered.key_uri,
                "base_key_uri": bench.plan.key_uri,
                "created_here": True,
                "origin": registered.origin,
                "since": "2026-11-20T21:00:00Z",
                "guid": registered.guid,
                "key_sha256": registered.key_sha256,
            }
        )
    )
    damage(bench, "default.json")
    gone = bench.application.forget()
    assert gone.destroyed == ()
    assert any(registered.key_uri in note for note in gone.notes)
    assert registered.key_uri.rpartition("/")[2] in bench.key_files()
    assert bench.state.check() == ()


def test_a_file_of_a_newer_version_is_never_replaced(bench: Bench) -> None:
    file = damage(bench, "b.json", '{"version": 2}')
    plan = replace(bench.plan, key_uri=f"file:{bench.keys}/b.pem", again=True)
    for act in (lambda a: a.register(plan), lambda a: a.forget()):
        with pytest.raises(StateError, match="newer device-sdk"):
            act(CaleApplication(bench.state, "b"))
    assert file.read_text() == '{"version": 2}'
    assert bench.application.forget().destroyed == (), "and nobody knows what it names"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"guid": GUID[:-1]}, "guid is not a GUID"),
        ({"guid": ""}, "guid is not a GUID"),
        ({"guid": GUID + "\n"}, "guid is not a GUID"),
        ({"key_uri": "nonsense"}, "key_uri is not a key URI"),
        ({"key_uri": "pkcs11:token=%zz"}, "key_uri is not a key URI"),
        ({"base_key_uri": "x:y"}, "base_key_uri is not a key URI"),
        ({"origin": "http://localhost"}, "origin is not an https origin"),
        ({"origin": "https://localhost/path"}, "origin is not an https origin"),
        ({"origin": "https://user:secret@localhost"}, "origin is not an https origin"),
        ({"key_sha256": "00"}, "key_sha256 is not a SHA-256"),
    ],
)
def test_damage_that_is_still_json(bench: Bench, change: dict[str, str], said: str) -> None:
    file = bench.state.path / "cale" / "default.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(StateCorruptError) as caught:
        bench.read()
    assert said in caught.value.message
    assert (caught.value.path, caught.value.exit_code) == (str(file), 9)
    assert "secret" not in str(caught.value)


def test_the_doctor_blames_one_file_and_looks_at_the_rest(bench: Bench) -> None:
    found = {finding.check: finding for finding in Doctor(str(bench.state.path)).run()}
    assert found["state-content"].status == "ok"
    assert found["cale"].status == "failed"
    assert "b.json" in found["cale"].detail
    assert "register --again --application b" in str(found["cale"].hint)
    (bench.state.path / "cale" / "b.json").unlink()
    found = {finding.check: finding for finding in Doctor(str(bench.state.path)).run()}
    assert (found["cale"].status, found["cale"].detail) == ("ok", "registered: default")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("state.json", {"version": 1, "base_key_uri": "nonsense"}),
        (
            "state.json",
            {"version": 1, "current": {"key_uri": "nonsense", "certificate": "0" * 64, "created_here": True}},
        ),
    ],
)
def test_names_of_the_device_s_keys(bench: Bench, file: str, content: dict[str, object]) -> None:
    (bench.state.path / file).write_text(json.dumps(content))
    with pytest.raises(StateCorruptError, match=r"state\.json: .*key_uri is not a key URI"):
        bench.state.load()
