"""outbox/ of a state directory: whole messages, in order, bounded; what is given up is told (section 13 of the profile)."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from device_sdk.errors import StateCorruptError, StateError, StateNotWritableError
from device_sdk.state import Outbox, StateDirectory, outbox

NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
BODY = b"\x30\x03\x02\x01\x07"


@pytest.fixture
def box(enrolled: StateDirectory) -> Outbox:
    return enrolled.outbox


def put(box: Outbox, about: str = "a receipt", **more: object) -> str:
    return box.put("firmware/return", "application/cms", BODY, about=about, made_at=NOW, **more)  # type: ignore[arg-type]


def test_nothing_before_the_first(box, enrolled):
    assert (box.pending(), box.held(), box.dropped(), box.damage()) == ((), (), (), ())
    box.delivered("00" * 16)
    box.failed("00" * 16)
    box.forget_dropped()
    assert not (enrolled.path / "outbox").exists()


def test_messages_come_back_as_they_were_put_and_in_order(box, enrolled):
    names = [put(box, f"number {n}") for n in range(12)]
    found = enrolled.outbox.pending()
    assert [one.id for one in found] == names
    first = found[0]
    assert (first.path, first.media_type, first.body, first.made_at) == (
        "firmware/return",
        "application/cms",
        BODY,
        NOW,
    )
    assert (first.about, first.tries, first.server, first.held) == ("number 0", 0, "https://est.example", False)
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (enrolled.path / "outbox").iterdir())
    box.failed(names[0])
    box.delivered(names[1])
    assert [(one.id, one.tries) for one in box.pending()] == [(names[0], 1)] + [(name, 0) for name in names[2:]]
    assert enrolled.check() == ()


def test_what_is_held_is_not_pending_before_it_is_released(box):
    other = put(box)
    held = put(box, held=True, event="ab" * 32)
    assert [one.id for one in box.pending()] == [other]
    assert [(one.id, one.event) for one in box.held("firmware/return")] == [(held, "ab" * 32)]
    assert box.held("tamp/return") == ()
    box.release(held)
    assert ([one.id for one in box.pending()], box.held()) == ([other, held], ())


def test_what_is_given_up_is_told_until_somebody_was(box):
    box.drop(put(box, "a receipt for 1.2.3"), "403: not yours")
    assert box.pending() == ()
    (note,) = box.dropped()
    assert (note.about, note.path, note.made_at, note.why) == (
        "a receipt for 1.2.3", "firmware/return", NOW, "403: not yours",
    )  # fmt: skip
    box.drop("00" * 16, "not there")
    assert len(box.dropped()) == 1
    box.forget_dropped()
    assert box.dropped() == ()


def test_it_is_bounded_in_number_and_size(box, monkeypatch):
    monkeypatch.setattr(outbox, "MAX_MESSAGES", 4)
    monkeypatch.setattr(outbox, "MAX_DROPPED", 2)
    names = [put(box, f"number {n}") for n in range(7)]
    assert [one.id for one in box.pending()] == names[3:]
    assert [one.about for one in box.dropped()] == ["number 1", "number 2"]
    assert "newer ones wait" in box.dropped()[0].why
    for path, body in (("firmware/return", bytes(outbox.MAX_BODY_BYTES + 1)), ("cacerts", b""), ("../return", b"")):
        with pytest.raises(StateError, match="cannot be kept"):
            box.put(path, "application/cms", body, about="x", made_at=NOW)
    assert len(box.pending()) == 4


@pytest.mark.parametrize("damage", [b"{", b'{"version": 1}', None])
def test_a_damaged_file_concerns_no_other_message(box, enrolled, damage):
    bad, good = put(box), put(box)
    (path,) = (enrolled.path / "outbox").glob(f"*{bad}.json")
    path.write_bytes(damage or path.read_bytes().replace(b"MAMC", b"!AMC"))
    assert [one.id for one in box.pending()] == [good]
    (error,) = box.damage()
    assert isinstance(error, StateCorruptError)
    assert str(error) in enrolled.check()
    box.drop(bad, "unreadable")
    assert box.damage() == ()


def test_what_others_may_write_is_not_sent(box, enrolled):
    put(box)
    (enrolled.path / "outbox").chmod(0o777)
    with pytest.raises(StateError, match="everybody may write"):
        box.pending()


DYING = """
import os, signal, sys
from tests.state.test_outbox import NOW, put
from device_sdk.state import StateDirectory
box, held, here = StateDirectory(sys.argv[1]).outbox, sys.argv[2], sys.modules[__name__]
for at in range(1, 16):
    if os.fork() == 0:
        calls = 0
        def counted(real):
            def call(*args, **kwargs):
                global calls
                calls += 1
                if calls == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **kwargs)
            return call
        for name in ("fsync", "write", "open"):
            setattr(os, name, counted(getattr(os, name)))
        put(box, f"new {at}")
        box.release(held)
        box.failed(held)
        os._exit(0)
    os.wait()
    print(*(one.body.hex() for one in (*box.pending(), *box.held())), len(box.damage()))
"""


@pytest.mark.slow
def test_a_power_cut_at_any_write_leaves_whole_messages(box, enrolled):
    """The process dies at each open, write and fsync of `put`, `release` and `failed`."""
    held = put(box, "held", held=True)
    command = [sys.executable, "-c", DYING, str(enrolled.path), held]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    seen = [line.split() for line in done.stdout.splitlines()]
    assert len(seen) == 15
    assert {word for words in seen for word in words[:-1]} == {BODY.hex()}
    assert {words[-1] for words in seen} == {"0"}, "half a message"
    assert 1 < len(seen[-1][:-1]) < 16, "some died before their message was kept, and some after"
    assert held in {one.id for one in box.pending()}, "the last ones came as far as that"
    with enrolled.exclusive():
        assert enrolled.check() == ()


def test_a_full_disk_changes_nothing(box):
    kept = put(box)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        for change in (lambda: put(box), lambda: box.failed(kept), lambda: box.drop(kept, "x")):
            with pytest.raises(StateNotWritableError):
                change()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [(one.id, one.tries) for one in box.pending()] == [(kept, 0)]
