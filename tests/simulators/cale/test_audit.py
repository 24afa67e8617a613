"""The audit log is bounded: in every line by whatever is asked, and altogether."""

from __future__ import annotations

import json
import threading
import uuid
from pathlib import Path

from device_sdk_simulators.audit import LONGEST, MOST_ITEMS, AuditLog


def test_a_field_is_as_long_as_it_is_useful(tmp_path):
    log = AuditLog(tmp_path / "log.jsonl")
    texts = {"ascii": "x" * 16_000, "latin": "é" * 16_000, "far": "\U0001f600" * 16_000, "control": "\x00" * 16_000}
    log.write(
        fine="y" * (LONGEST - 2), **texts, items=[texts["far"]] * 1000, nested={"a": texts, texts["far"]: 1}, n=None
    )
    (entry,) = log.entries()
    assert entry["fine"] == "y" * (LONGEST - 2)
    for name, text in texts.items():
        start, _, rest = str(entry[name]).rpartition("... ")
        assert text.startswith(start)
        assert start
        assert rest == "(16000 characters)"
        assert len(json.dumps(entry[name])) < LONGEST + 40
    assert len(entry["items"]) == MOST_ITEMS
    assert "n" not in entry
    log.close()


def test_one_request_makes_no_more_of_the_log_than_of_the_wire(site, registered):
    """A path of 15,900 octets that JSON writes six characters each for."""
    for path in ("/" + "%e9" * 5000, "/" + "é" * 2000, "/" + "x" * 15_000):
        before = {role: (one.state / "log.jsonl").stat().st_size for role, one in site.roles.items()}
        target = path.encode().decode("latin-1")
        registered.connection.putrequest("GET", "/", skip_accept_encoding=True)
        registered.connection._buffer[0] = f"GET {target} HTTP/1.1".encode("latin-1")
        registered.connection.putheader("CALE-GUID", str(uuid.uuid4()))
        registered.connection.endheaders()
        registered.connection.getresponse().read()
        grown = {role: (one.state / "log.jsonl").stat().st_size - before[role] for role, one in site.roles.items()}
        assert grown["edge"] > 0
        assert max(grown.values()) < 3000


def test_two_files_of_bounded_size_are_kept(tmp_path):
    """What is full takes the place of what was full before it."""
    log = AuditLog(tmp_path / "log.jsonl", most_bytes=1000)
    for number in range(500):
        log.write(number=number, text="z" * 40)
    kept = log.entries()
    assert [entry["number"] for entry in kept] == list(range(500 - len(kept), 500)), "the last ones, in order"
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {"log.jsonl", "log.jsonl.1"}
    assert all(0 < size <= 1000 for size in sizes.values())
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    log.close()
    # a log that another limit has left counts as full
    smaller = AuditLog(tmp_path / "log.jsonl", most_bytes=100)
    smaller.write(number=500)
    assert [entry["number"] for entry in smaller.entries()][-1] == 500
    assert (tmp_path / "log.jsonl").stat().st_size <= 100
    smaller.close()


def test_a_line_longer_than_a_file_is_kept_alone(tmp_path):
    log = AuditLog(tmp_path / "log.jsonl", most_bytes=10)
    for number in range(3):
        log.write(number=number, text="long enough")
    assert [entry["number"] for entry in log.entries()] == [1, 2]
    log.close()


def test_many_threads_lose_no_line_when_files_change(tmp_path: Path):
    log = AuditLog(tmp_path / "log.jsonl", most_bytes=20_000)

    def write(who: int) -> None:
        for number in range(100):
            log.write(who=who, number=number)

    threads = [threading.Thread(target=write, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {(entry["who"], entry["number"]) for entry in log.entries()}
    assert found == {(who, number) for who in range(8) for number in range(100)}
    log.close()
