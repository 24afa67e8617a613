"""Keys that are not the device's own are neither taken nor destroyed, whatever a journal or a name says."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.client.device import Device
from device_sdk.errors import HttpStatusError, KeyExistsError, TransportError
from device_sdk.keystores import registry
from device_sdk.model.keys import KeyType
from device_sdk.state import Phase

pytestmark = pytest.mark.slow

AWAY = "https://127.0.0.1:9"


def foreign_key(token: Any, *, kind: str = "rsa:2048", label: str = "device") -> None:
    """Somebody makes a key under our name, with another tool."""
    command = [
        "pkcs11-tool",
        "--module",
        token.module_path,
        "--token-label",
        token.label,
        "--login",
        "--pin",
        "env:PIN",
    ]
    subprocess.run(
        [*command, "--keypairgen", "--key-type", kind, "--label", label, "--id", "42"],
        capture_output=True, check=True, env=os.environ | {"PIN": token.pin}, timeout=120,
    )  # fmt: skip


def fingerprints(uri: str) -> list[str | None]:
    return sorted(str(info.spki_sha256) for info in registry.list_keys(uri))


def interrupted_before_the_key(bench, key_uri: str) -> None:
    with pytest.raises(TransportError):
        bench.device.enroll(bench.planned(url=AWAY, key_uri=key_uri))
    assert bench.device.state.journal().key_sha256 is None


def interrupted_after_the_key(bench, device: Device, key_uri: str) -> str:
    bench.server.faults.parse("status=503@simpleenroll")
    with pytest.raises(HttpStatusError):
        device.enroll(bench.planned(key_uri=key_uri))
    bench.server.faults.clear()
    journal = device.state.journal()
    assert journal.phase is Phase.REQUEST
    assert fingerprints(key_uri) == [journal.key_sha256]
    return str(journal.key_sha256)


@pytest.mark.parametrize("kind", ["rsa:2048", "EC:prime256v1"])
def test_a_foreign_key_in_a_token_outlives_a_journal_that_made_none(softhsm_token: Any, bench, kind: str) -> None:
    uri = softhsm_token.uri_of("device")
    interrupted_before_the_key(bench, uri)
    foreign_key(softhsm_token, kind=kind)
    before = fingerprints(softhsm_token.uri)
    for again in (bench.planned(key_uri=uri, url=AWAY), bench.planned(key_uri=uri)):
        with pytest.raises(KeyExistsError, match=r"--reuse"):
            bench.device.enroll(again)
    bench.device.abandon()
    assert fingerprints(softhsm_token.uri) == before


def test_a_foreign_file_outlives_enrolment_under_another_name(bench) -> None:
    interrupted_before_the_key(bench, bench.key_uri)
    registry.create_key(bench.key_uri, KeyType.EC_P256).close()
    before = (bench.keys / "device.pem").read_bytes()
    bench.device.enroll(bench.planned(key_uri=f"file:{bench.keys}/other.pem"))
    assert (bench.keys / "device.pem").read_bytes() == before
    bench.require_sound()


def test_a_foreign_key_may_be_used_where_its_owner_says_so_and_is_never_destroyed(bench) -> None:
    interrupted_before_the_key(bench, bench.key_uri)
    registry.create_key(bench.key_uri, KeyType.EC_P256).close()
    before = (bench.keys / "device.pem").read_bytes()
    bench.device.enroll(bench.planned(reuse_key=True))
    bench.device.renew()
    assert (bench.keys / "device.pem").read_bytes() == before
    assert bench.key_files() == ["device-2.pem", "device.pem"]


@pytest.mark.parametrize("came_to_a_key", [False, True])
def test_two_devices_with_one_key_name_do_not_take_each_others_keys(bench, tmp_path: Path, came_to_a_key: bool) -> None:
    other = Device(tmp_path / "other", clock=bench.clock)
    if came_to_a_key:
        interrupted_after_the_key(bench, bench.device, bench.key_uri)
        registry.delete_key(bench.key_uri)
    else:
        interrupted_before_the_key(bench, bench.key_uri)
    other.enroll(bench.plan)
    before = (bench.keys / "device.pem").read_bytes()
    with pytest.raises(KeyExistsError):
        bench.device.enroll(bench.plan)
    assert bench.device.abandon()
    assert (bench.keys / "device.pem").read_bytes() == before
    assert other.key().info.key_type is KeyType.EC_P256


@pytest.mark.parametrize("finish", ["abandon", "another name", "again"])
@pytest.mark.parametrize("kind", [KeyType.EC_P256, KeyType.RSA_2048])
def test_a_key_put_in_the_place_of_ours_is_not_ours(bench, finish: str, kind: KeyType) -> None:
    interrupted_after_the_key(bench, bench.device, bench.key_uri)
    registry.delete_key(bench.key_uri)
    registry.create_key(bench.key_uri, kind).close()
    before = (bench.keys / "device.pem").read_bytes()
    if finish == "abandon":
        bench.device.abandon()
    elif finish == "again":
        with pytest.raises(KeyExistsError):
            bench.device.enroll(bench.plan)
    else:
        bench.device.enroll(bench.planned(key_uri=f"file:{bench.keys}/other.pem"))
    assert (bench.keys / "device.pem").read_bytes() == before


def test_renewal_destroys_the_key_of_the_old_certificate_and_no_other(bench) -> None:
    bench.device.enroll(bench.plan)
    kept = bench.keys / "kept"
    real_switch = bench.device.state.save

    def save(state: Any) -> None:
        """Between the switch and the cleaning somebody puts another key under the old name."""
        real_switch(state)
        shutil.move(bench.keys / "device.pem", kept)
        registry.create_key(bench.key_uri, KeyType.EC_P256).close()

    bench.device.state.save = save
    outcome = bench.device.renew()
    assert bench.key_files() == ["device-2.pem", "device.pem"]
    assert any("left there" in note for note in outcome.notes)


def test_enrolling_again_does_not_certify_a_key_put_in_the_place_of_ours(bench) -> None:
    bench.device.enroll(bench.plan)
    registry.delete_key(bench.key_uri)
    registry.create_key(bench.key_uri, KeyType.EC_P256).close()
    with pytest.raises(KeyExistsError):
        bench.device.enroll(bench.planned(again=True))


def test_a_renewal_whose_name_was_taken_meanwhile_takes_the_next(bench) -> None:
    bench.device.enroll(bench.plan)
    bench.server.faults.parse("status=503@cacerts")
    with pytest.raises(HttpStatusError):
        bench.device.renew()
    bench.server.faults.clear()
    assert bench.device.state.journal().key_uri.endswith("device-2.pem")
    registry.create_key(f"file:{bench.keys}/device-2.pem", KeyType.EC_P256).close()
    before = (bench.keys / "device-2.pem").read_bytes()
    assert bench.device.renew().key_uri.endswith("device-3.pem")
    assert (bench.keys / "device-2.pem").read_bytes() == before
    assert bench.key_files() == ["device-2.pem", "device-3.pem"]


def as_if_killed_while_creating(bench, key_uri: str, *, with_id: bool) -> None:
    """The journal of a run that died between the announcement of its key and the record that it is there."""
    state = bench.device.state
    journal = state.journal()
    key_id = "ab" * 16 if with_id else None
    state.write_journal(replace(journal, phase=Phase.CREATING, key_sha256=None, key_id=key_id))


def test_killed_while_creating_a_key_in_a_token_only_the_announced_identifier_is_ours(
    softhsm_token: Any, bench, objects: Callable[[], list[str]]
) -> None:
    uri = softhsm_token.uri_of("device")
    interrupted_before_the_key(bench, uri)
    as_if_killed_while_creating(bench, uri, with_id=True)
    foreign_key(softhsm_token, kind="EC:prime256v1")
    before = fingerprints(softhsm_token.uri)
    with pytest.raises(KeyExistsError):
        bench.device.enroll(bench.planned(key_uri=uri))
    assert fingerprints(softhsm_token.uri) == before
    as_if_killed_while_creating(bench, uri, with_id=True)
    bench.device.abandon()
    assert fingerprints(softhsm_token.uri) == before
    registry.delete_key(uri)
    interrupted_before_the_key(bench, uri)
    as_if_killed_while_creating(bench, uri, with_id=True)
    own = uri.replace("object=device", "id=" + "%ab" * 16 + ";object=device")
    registry.create_key(own, KeyType.EC_P256).close()
    made = fingerprints(uri)
    bench.device.enroll(bench.planned(key_uri=uri))
    assert fingerprints(uri) == made
    assert objects() == ["Certificate device", "Private Key device", "Public Key device"]


def test_killed_while_creating_a_file_a_key_of_another_type_or_in_use_is_not_ours(bench, tmp_path: Path) -> None:
    interrupted_before_the_key(bench, bench.key_uri)
    as_if_killed_while_creating(bench, bench.key_uri, with_id=False)
    registry.create_key(bench.key_uri, KeyType.RSA_2048).close()
    before = (bench.keys / "device.pem").read_bytes()
    with pytest.raises(KeyExistsError):
        bench.device.enroll(bench.plan)
    assert (bench.keys / "device.pem").read_bytes() == before
    registry.delete_key(bench.key_uri)
    Device(tmp_path / "other", clock=bench.clock).enroll(bench.plan)
    before = (bench.keys / "device.pem").read_bytes()
    with pytest.raises(KeyExistsError):
        bench.device.enroll(bench.plan)
    assert bench.device.abandon()
    assert (bench.keys / "device.pem").read_bytes() == before


@pytest.mark.parametrize("store", ["file", "tpm2"])
def test_a_key_that_somebody_made_between_the_announcement_and_ours_is_not_ours(
    bench, store: str, tmp_path: Path, swtpm: Swtpm
) -> None:
    """The same type, the same name, and no certificate: only what was written down before the key had its name tells."""
    uri = f"{store}:{bench.keys}/device.pem" if store == "file" else f"tpm2:file={bench.keys}/device.pem"
    interrupted_before_the_key(bench, uri)
    as_if_killed_while_creating(bench, uri, with_id=False)
    registry.create_key(uri, KeyType.EC_P256).close()
    before = (bench.keys / "device.pem").read_bytes()
    with pytest.raises(KeyExistsError):
        bench.device.enroll(bench.planned(key_uri=uri))
    bench.device.abandon()
    assert (bench.keys / "device.pem").read_bytes() == before
    assert swtpm.pid


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("store", ["file", "tpm2"])
def test_killed_between_the_public_key_in_the_journal_and_the_keys_name(
    bench, monkeypatch: pytest.MonkeyPatch, swtpm: Swtpm, store: str, named: bool
) -> None:
    """Killed before it had its name: another is made. Killed after it: that one is gone on with."""
    uri = f"{store}:{bench.keys}/device.pem" if store == "file" else f"tpm2:file={bench.keys}/device.pem"
    module = "device_sdk.keystores.file" if store == "file" else "device_sdk.keystores.tpm2.store"
    real = import_module(module).create_file

    def killed(*arguments: Any) -> None:
        if named:
            real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"{module}.create_file", killed)
        with pytest.raises(KeyboardInterrupt):
            bench.device.enroll(bench.planned(key_uri=uri))
    journal = bench.device.state.journal()
    assert (journal.phase, journal.key_sha256 is None) == (Phase.CREATING, False)
    made = (bench.keys / "device.pem").read_bytes() if named else None
    bench.device.enroll(bench.planned(key_uri=uri))
    assert made in (None, (bench.keys / "device.pem").read_bytes())
    assert swtpm.pid


def test_a_creation_that_failed_claims_nothing(bench) -> None:
    """The directory of keys is not there: no key was made, and what comes later is not ours."""
    uri = f"file:{bench.keys}/deeper/device.pem"
    (bench.keys / "deeper").write_text("in the way")
    with pytest.raises(Exception, match="deeper"):
        bench.device.enroll(bench.planned(key_uri=uri))
    assert bench.device.state.journal().phase is Phase.REQUEST
    (bench.keys / "deeper").unlink()
    (bench.keys / "deeper").mkdir(mode=0o700)
    registry.create_key(uri, KeyType.EC_P256).close()
    before = fingerprints(uri)
    with pytest.raises(KeyExistsError):
        bench.device.enroll(bench.planned(key_uri=uri))
    bench.device.abandon()
    assert fingerprints(uri) == before


def test_two_keys_of_one_name_in_a_token_only_ours_goes(softhsm_token: Any, bench) -> None:
    uri = softhsm_token.uri_of("device")
    ours = interrupted_after_the_key(bench, bench.device, uri)
    foreign_key(softhsm_token)
    assert len(fingerprints(uri)) == 2
    bench.device.abandon()
    (left,) = fingerprints(uri)
    assert left != ours


def test_persistent_handle_taken_by_another_key(swtpm: Any, bench) -> None:
    uri = f"tpm2:handle=0x81000010?tcti={swtpm.tcti}"
    interrupted_before_the_key(bench, uri)
    registry.create_key(uri, KeyType.EC_P256).close()
    before = fingerprints(uri)
    with pytest.raises(KeyExistsError):
        bench.device.enroll(bench.planned(key_uri=uri))
    bench.device.abandon()
    assert fingerprints(uri) == before
