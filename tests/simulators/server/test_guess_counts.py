"""What is counted of guesses fades, keeps no honest device out, and is bounded (RFC 7030 section 6, EST-16)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
from device_sdk_simulators.cli.main import main
from device_sdk_simulators.database import Database
from device_sdk_simulators.guess_memory import GuessMemory, Patience
from device_sdk_simulators.guessing import PATIENCE, Guesses
from device_sdk_simulators.http.messages import HttpError

from tests.simulators.server.test_guessing import Hand

HERE, ELSEWHERE = "203.0.113.9", "192.0.2.7"
PAUSE = 429


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "server.sqlite")
    yield database
    database.close()


@pytest.fixture
def guesses(database, clock) -> Guesses:
    return Guesses(database, clock)


def shows(guesses: Guesses, name: str, word: str, source: str = HERE, **how: bool) -> int:
    """200, 401 or 429; "right" is right."""
    try:
        return 200 if guesses.judge(name, source, lambda: word == "right" or None, proof=word.encode(), **how) else 401
    except HttpError as error:
        return error.status


def crowd(guesses: Guesses, size: int = PATIENCE.address_tries) -> None:
    """Typos of so many names: with the last of the default the address has a pause."""
    assert {shows(guesses, f"typo-{number}", "x") for number in range(size)} == {401}


def count(guesses: Guesses, name: str | None = None) -> int:
    found = [one.failures for one in guesses.memory.counts() if one.name == name]
    return found[0] if found else 0


def test_failures_fade_one_a_minute(guesses, clock):
    """Typos of a lab do not add up over days, right passwords between them or not."""
    crowd(guesses, 96)
    assert count(guesses) == 96
    for _ in range(200):
        assert shows(guesses, "lab", "right") == 200
    assert count(guesses) == 96, "whoever has one password may not go on guessing others for it"
    clock.wait(600)
    assert count(guesses) == 86
    for number in range(300):
        assert shows(guesses, f"late-{number}", "x") == 401
        clock.wait(60)
    assert count(guesses) <= 86


@pytest.mark.slow
@pytest.mark.parametrize("name", ["one", None])
def test_a_guesser_has_one_try_a_minute_in_the_end(guesses, clock, name):
    """Twenty at once (a hundred for many names), a few with pauses that double, then one a minute: about 1450 a day."""
    judged, begun = 0, clock.now
    while (clock.now - begun).total_seconds() < 4 * 3600:
        claimed = name or f"n{judged}"
        clock.wait(guesses.memory.left_s(HERE, claimed))
        judged += shows(guesses, claimed, f"guess {judged}") == 401
    free = PATIENCE.user_tries if name else PATIENCE.address_tries
    assert free + 240 <= judged <= free + 240 + 8


@pytest.mark.slow
def test_pauses_end_soon_after_the_guesses_end(guesses, clock):
    """They do not go on for as long as there was guessing."""
    crowd(guesses)
    for number in range(100):
        clock.wait(60)
        shows(guesses, f"more-{number}", "x")
    clock.wait(10 * 60)
    assert [shows(guesses, "typo", "x"), shows(guesses, "new", "right")] == [401, 200]


def test_a_device_that_repeats_a_stale_password_is_no_guesser(guesses, clock):
    """It keeps nobody out who shares the address, nor the name."""
    for _ in range(300):
        assert shows(guesses, "old", "stale") == 401
        clock.wait(0.1)
    assert (count(guesses), count(guesses, "old")) == (1, 1)
    assert shows(guesses, "honest", "right") == 200
    assert shows(guesses, "old", "right") == 200
    assert shows(guesses, "old", "stale") == 401
    assert count(guesses) == 2


def test_the_proof_itself_is_not_kept(guesses, database):
    """Four bytes of a keyed hash tell it from the next one."""
    shows(guesses, "old", "stale password")
    row = database.row("SELECT * FROM guesses WHERE whole = 0")
    assert len(row["proof"]) == 4
    assert b"stale password" not in database.path.read_bytes()


@pytest.mark.slow
def test_pauses_of_an_address_are_not_for_who_proved_a_name_there(guesses, clock):
    """But for all others, and for all names it guesses at; elsewhere and a day later the name is like others."""
    assert shows(guesses, "lab", "right") == 200
    crowd(guesses)
    assert shows(guesses, "lab", "right") == 200
    assert shows(guesses, "other", "right") == PAUSE
    assert shows(guesses, "nobody", "x") == PAUSE
    for number in range(PATIENCE.user_tries):
        assert shows(guesses, "lab", f"guess {number}") == 401
    assert shows(guesses, "lab", "right") == PAUSE, "its own pauses hold"
    clock.wait(2 * 86400)
    crowd(guesses)
    assert shows(guesses, "lab", "right") == PAUSE


def test_one_known_password_buys_no_guesses_at_others(guesses):
    """Logins between the guesses change nothing for the others."""
    judged = 0
    for number in range(300):
        assert shows(guesses, "known", "right") == 200
        judged += shows(guesses, f"victim-{number % 50}", f"guess {number}") == 401
    assert judged == PATIENCE.address_tries


def test_one_known_token_buys_no_guesses_at_others(guesses):
    """All tokens go by one name, so that a right one opens nothing for the others (CALE-02)."""
    judged = 0
    for number in range(300):
        shows(guesses, "bearer:", "right", personal=False)
        judged += shows(guesses, "bearer:", f"guess {number}", personal=False) == 401
    assert judged == PATIENCE.address_tries


@pytest.mark.slow
def test_est_16_what_is_counted_is_bounded(database, clock):
    """Of more than there is room for, what is harmless first goes first; pauses stay, and so do long counts."""
    guesses = Guesses(database, clock, Patience(max_rows=300))
    for number in range(PATIENCE.user_tries):
        shows(guesses, "victim", f"guess {number}", ELSEWHERE)
    assert shows(guesses, "victim", "right", ELSEWHERE) == PAUSE
    for number in range(900):
        shows(guesses, f"n{number}", "x", f"127.0.{number // 90}.1")
        clock.wait(0.0001)
    assert database.row("SELECT count(*) AS n FROM guesses")["n"] <= 300 + 2 * 256
    assert shows(guesses, "victim", "right", ELSEWHERE) == PAUSE
    for number in range(900):
        shows(guesses, "roaming", "right", f"2001:db8:0:{number:x}::1")
    assert database.row("SELECT count(*) AS n FROM proven")["n"] <= 300 + 2 * 256


def test_est_16_old_counts_go(database, clock, guesses):
    crowd(guesses, 90)
    clock.wait(3 * 86400)
    again = Guesses(database, clock)
    shows(again, "one", "x")
    # old ones went with the first that was written, but for the two that it was about
    assert database.row("SELECT count(*) AS n FROM guesses")["n"] == 2


def test_est_16_no_statement_reads_the_whole_table(database, guesses, monkeypatch):
    """A guess takes as long with a million rows as with one: SQLite says how it would do it."""
    seen: list[str] = []
    database._connection.set_trace_callback(seen.append)
    for number in range(3):
        shows(guesses, "lab", "right")
        shows(guesses, "lab", f"x{number}")
    database._connection.set_trace_callback(None)
    looked = [text for text in seen if text.startswith(("SELECT", "DELETE", "UPDATE")) and "count(*)" not in text]
    plans = {row["detail"] for text in looked for row in database.rows(f"EXPLAIN QUERY PLAN {text}")}
    assert plans
    assert not [detail for detail in plans if detail.startswith("SCAN") and "INDEX" not in detail]


def test_a_clock_that_is_set_back(guesses, clock):
    """A minute does not become a year."""
    crowd(guesses)
    clock.wait(-365 * 86400)
    assert shows(guesses, "lab", "right") == 200


def sim(capsys, *words: str, code: int = 0) -> str:
    assert main(list(words)) == code
    out, err = capsys.readouterr()
    return err if code else out


@pytest.fixture
def commands(tmp_path, capsys) -> Callable[..., str]:
    return lambda *words, code=0: sim(capsys, "guesses", *words, "--state", str(tmp_path), code=code)


def test_a_person_sees_and_forgets_them(guesses, commands):
    """An address, a name, or all; also while the server runs."""
    crowd(guesses)
    for number in range(PATIENCE.user_tries):
        shows(guesses, "lab", f"x{number}", ELSEWHERE)
    shows(guesses, "v6", "x", "2001:db8::7")
    listed = json.loads(commands("list", "--json"))["guesses"]
    assert {"address": ELSEWHERE, "name": "lab", "failures": 20, "paused_s": 1} in listed
    assert [one["failures"] for one in listed if one["address"] == HERE and one["name"] is None] == [100]
    assert f"{ELSEWHERE}" in commands("list")
    assert shows(guesses, "lab", "right", ELSEWHERE) == shows(guesses, "other", "right") == PAUSE
    assert commands("forget", "lab") == "1 forgotten\n"
    assert shows(guesses, "lab", "right", ELSEWHERE) == 200
    assert commands("forget", HERE) == "101 forgotten\n"
    assert shows(guesses, "other", "right") == 200
    assert commands("forget", "2001:db8::/64") == "2 forgotten\n"
    assert "nothing is counted for lab" in commands("forget", "lab", code=2)
    assert commands("forget") == "1 forgotten\n"
    assert commands("list") == "guesses: 0\n"


@pytest.mark.slow
def test_stale_passwords_through_the_server(server):
    """The whole way, by Basic: what repeats itself is never paused, what guesses is."""
    from tests.simulators.server.test_guessing import basic

    assert {basic(server, "stale", who="old").status for _ in range(60)} == {401}
    assert [basic(server, f"guess {number}", who="old").status for number in range(21)] == [401] * 19 + [PAUSE] * 2
    counted = GuessMemory(server._database, server.clock, PATIENCE).counts()
    assert [one.failures for one in counted] == [20, 20]
    assert base64.b64encode(b"stale") not in server._database.path.read_bytes()
