"""The audit log is bounded: in every line by whatever is asked, and altogether."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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


FULL = """
import resource, sys
from pathlib import Path
from device_sdk_simulators.audit import AuditLog
log = AuditLog(Path(sys.argv[1]), int(sys.argv[2]))
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
log.write(number=0)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
for number in range(1, 100):
    log.write(number=number, text="x" * 40)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
log.write(number=100)
*kept, last = log.entries()
assert 50 < last["lost_before"] < 99, last
assert [entry["number"] for entry in kept] == list(range(100 - last["lost_before"])), kept
assert all("lost_before" not in entry for entry in kept)
log.write(number=101)
assert log.entries()[-1] == {"number": 101}
"""


def test_what_does_not_fit_on_the_disk_leaves_no_torn_line(tmp_path):
    """Where there is room for a part of a line, as at the end of a full disk."""
    subprocess.run([sys.executable, "-c", FULL, str(tmp_path / "log.jsonl"), "1000000"], check=True, timeout=60)


def test_what_a_power_cut_left_of_a_line_goes(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"number": 1}\n{"numb')
    log = AuditLog(path)
    log.write(number=2)
    assert [entry["number"] for entry in log.entries()] == [1, 2]
    log.close()
    path.write_text('{"numb')
    AuditLog(path).close()
    assert path.read_text() == ""


def test_a_new_log_that_could_not_be_begun_is_begun_later(tmp_path):
    log = AuditLog(tmp_path / "log.jsonl", most_bytes=100)
    log.write(number=1, text="x" * 60)
    # as it is left when the old file was renamed and there was no room for a new one
    log.path.replace(log.earlier)
    log.write(number=2, text="x" * 60)
    assert [entry["number"] for entry in log.entries()] == [1, 2]
    log.close()


def test_what_cannot_be_logged_is_answered_as_ever_cale_24(site, registered):
    """Where the disk has room for the shorter line of a client only, its answer would otherwise tell it from a stranger's."""
    audit = site.edge._audit
    good, audit._file = audit._file, os.open(audit.path, os.O_RDONLY)
    try:
        assert [registered.get("/resource", guid=guid)[0] for guid in (registered.guid, str(uuid.uuid4()), "")] == [
            200
        ] * 3
        assert registered.register(site.authorization) == 200
    finally:
        os.close(audit._file)
        audit._file = good
    assert registered.read("/resource") is not None
    assert [entry.get("lost_before") for entry in site.edge.log()] == [None, 4]
