"""Issued things are there whole, under names other software can rely on."""

from __future__ import annotations

import dataclasses
import stat
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from device_sdk.errors import ConfigurationError, StateCorruptError, StateError
from device_sdk.state import CaleRegistration, DeviceState, IdentityRecord, Journal, Operation, Phase, StateDirectory

MakeCertificate = Callable[[str], x509.Certificate]

NOW = datetime(2026, 11, 20, 21, 0, tzinfo=UTC)
REGISTRATION = CaleRegistration(
    "0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f", "file:/keys/device.pem", "https://cale.example", NOW
)


def journal(**changes: object) -> Journal:
    start = Journal(
        Operation.RENEW,
        Phase.REQUEST,
        "file:/keys/device-2.pem",
        "file:/keys/device.pem",
        True,
        "https://est.example",
        None,
        NOW,
    )
    return dataclasses.replace(start, **changes)  # type: ignore[arg-type]


def test_a_new_directory_is_empty_private_and_sound(directory: StateDirectory) -> None:
    assert directory.load() == DeviceState()
    assert directory.journal() is None
    assert not directory.path.exists(), "reading makes nothing"
    with directory.exclusive():
        assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
    assert directory.check() == ()


def test_state_comes_back_as_it_was_saved(enrolled: StateDirectory) -> None:
    state, chain, anchors = StateDirectory(enrolled.path).snapshot()
    assert state == enrolled.load()
    assert state.time_floor == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert [c.subject.rfc4514_string() for c in (*chain, *anchors)] == ["CN=device", "CN=root"]
    assert enrolled.check() == ()


def test_files_are_readable_by_openssl_under_stable_paths(enrolled: StateDirectory) -> None:
    for path, subject in ((enrolled.current_file, "CN = device"), (enrolled.anchors_file, "CN = root")):
        words = subprocess.run(
            ["openssl", "x509", "-in", path, "-noout", "-subject"], capture_output=True, check=False, text=True
        )
        assert words.stdout.strip() == f"subject={subject}"
        assert stat.S_IMODE(path.resolve().stat().st_mode) == 0o644
    assert stat.S_IMODE((enrolled.path / "state.json").stat().st_mode) == 0o600


def test_stable_path_moves_with_the_state_and_unnamed_files_go(
    enrolled: StateDirectory, certificate: MakeCertificate
) -> None:
    state, old, _ = enrolled.snapshot()
    assert state.current is not None
    with enrolled.exclusive():
        name = enrolled.add_certificate([certificate("renewed"), certificate("intermediate")])
        assert x509.load_pem_x509_certificates(enrolled.current_file.read_bytes()) == list(old)
        enrolled.save(dataclasses.replace(state, current=dataclasses.replace(state.current, certificate=name)))
        enrolled.drop_journal()
    names = [c.subject.rfc4514_string() for c in x509.load_pem_x509_certificates(enrolled.current_file.read_bytes())]
    assert names == ["CN=renewed", "CN=intermediate"]
    assert [path.stem for path in (enrolled.path / "certificates").iterdir()] == [name]


def test_kept_pairs_keep_their_certificates(enrolled: StateDirectory, certificate: MakeCertificate) -> None:
    state = enrolled.load()
    assert state.current is not None
    with enrolled.exclusive():
        name = enrolled.add_certificate([certificate("renewed")])
        new = dataclasses.replace(state.current, certificate=name)
        enrolled.save(dataclasses.replace(state, current=new, previous=(state.current,)))
        enrolled.drop_journal()
    assert enrolled.chain(state.current.certificate)
    assert enrolled.check() == ()


@pytest.mark.parametrize(
    "entry",
    [
        journal(),
        journal(phase=Phase.PENDING, retry_at=NOW, label="factory", operation=Operation.ENROLL, created_here=False),
        journal(phase=Phase.ISSUED, chain="PEM", anchors="a" * 64, implicit=True, keep_old=True),
        journal(replaces=IdentityRecord("file:/keys/device.pem", "b" * 64, False)),
    ],
)
def test_the_journal_comes_back_and_goes(directory: StateDirectory, entry: Journal) -> None:
    directory.write_journal(entry)
    assert StateDirectory(directory.path).journal() == entry
    directory.drop_journal()
    assert directory.journal() is None


def test_cale_registrations_live_beside_each_other(directory: StateDirectory) -> None:
    assert directory.cale_registration("default") is None
    assert directory.cale_registrations() == {}
    other = dataclasses.replace(REGISTRATION, guid="1e1e1e1e-1e1e-4e1e-8e1e-1e1e1e1e1e1e")
    directory.save_cale_registration("default", REGISTRATION)
    directory.save_cale_registration("factory-2", other)
    assert directory.cale_registrations() == {"default": REGISTRATION, "factory-2": other}
    directory.delete_cale_registration("factory-2")
    directory.delete_cale_registration("factory-2")
    assert directory.cale_registrations() == {"default": REGISTRATION}
    assert directory.check() == ()


@pytest.mark.parametrize("name", ["", "..", "../state", ".hidden", "a/b", "a\0b", "x" * 65, "-rf", "a\n"])
def test_cale_names_cannot_leave_their_folder(directory: StateDirectory, name: str) -> None:
    with pytest.raises(ConfigurationError):
        directory.save_cale_registration(name, REGISTRATION)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("state.json", b""),
        ("state.json", b"{"),
        ("state.json", b"\xff\xfe"),
        ("state.json", b"[]"),
        ("state.json", b"[" * 100_000),
        ("state.json", b"{}"),
        ("state.json", b'{"version": true}'),
        ("state.json", b'{"version": 1, "current": 7}'),
        ("state.json", b'{"version": 1, "current": {"key_uri": "file:/k"}}'),
        ("state.json", b'{"version": 1, "anchors": "../../etc/passwd"}'),
        ("state.json", b'{"version": 1, "time_floor": "yesterday"}'),
        ("state.json", b'{"version": 1, "time_floor": "2026-01-01T00:00:00"}'),
        ("state.json", b'{"version": 1, "previous": {}}'),
        ("state.json", b" " * (1024 * 1024 + 1)),
        ("journal.json", b'{"version": 1, "operation": "dance", "phase": "request"}'),
        ("journal.json", b'{"version": 1, "operation": "enroll", "phase": "issued"}'),
    ],
)
def test_a_corrupt_file_is_named_with_advice_and_left_alone(
    enrolled: StateDirectory, file: str, content: bytes
) -> None:
    path = enrolled.path / file
    path.write_bytes(content)
    with pytest.raises(StateCorruptError) as caught, enrolled.exclusive():
        pass
    assert str(path) in str(caught.value)
    assert "enrol again" in str(caught.value) or "larger than" in str(caught.value)
    assert path.read_bytes() == content
    assert any(str(path) in finding for finding in enrolled.check())


def test_a_newer_format_is_refused_and_left_alone(enrolled: StateDirectory) -> None:
    path = enrolled.path / "state.json"
    path.write_bytes(path.read_bytes().replace(b'"version": 1', b'"version": 2'))
    before = path.read_bytes()
    with pytest.raises(StateError, match="newer device-sdk") as caught:
        enrolled.load()
    assert not isinstance(caught.value, StateCorruptError)
    with pytest.raises(StateError, match="newer device-sdk"):
        enrolled.save(DeviceState())
    assert path.read_bytes() == before


@pytest.mark.parametrize("folder", ["certificates", "trust"])
def test_missing_exchanged_and_broken_certificates_are_found(
    enrolled: StateDirectory, certificate: MakeCertificate, folder: str, tmp_path: Path
) -> None:
    (path,) = (enrolled.path / folder).iterdir()
    other = StateDirectory(tmp_path / "other")
    with other.exclusive():
        stranger = other.path / "certificates" / f"{other.add_certificate([certificate('other')])}.pem"
        exchanged = stranger.read_bytes()
    for content in (exchanged, b"no certificate\n", b""):
        path.write_bytes(content)
        with pytest.raises(StateCorruptError, match=path.name):
            enrolled.snapshot()
        assert any(path.name in finding for finding in enrolled.check())
    path.unlink()
    with pytest.raises(StateCorruptError, match="is missing"):
        enrolled.snapshot()


def test_leftovers_are_reported_by_check_and_swept_by_the_next_writer(
    enrolled: StateDirectory, certificate: MakeCertificate
) -> None:
    orphan = enrolled.path / "certificates" / f"{'c' * 64}.pem"
    orphan.write_bytes(b"x")
    temporary = enrolled.path / ".state.json.0123.tmp"
    temporary.write_bytes(b"{")
    enrolled.current_file.unlink()
    words = "\n".join(enrolled.check())
    assert all(str(path) in words for path in (orphan, temporary, enrolled.current_file))
    with enrolled.exclusive():
        pass
    assert enrolled.check() == ()
    assert not orphan.exists()
    assert not temporary.exists()
    assert enrolled.current_file.exists()


def test_a_directory_everybody_may_write_to_is_refused(enrolled: StateDirectory) -> None:
    enrolled.path.chmod(0o777)
    with pytest.raises(StateError, match="everybody may write"), enrolled.exclusive():
        pass
    assert any("others may write" in finding for finding in enrolled.check())
