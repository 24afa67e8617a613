"""Guessing at the reference server's SRP users, really carried out (RFC 7030 section 6, RFC 5054 section 3.3; EST-68)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from device_sdk_simulators.backoff import BackOff, Guard, network_of
from device_sdk_simulators.database import Database
from device_sdk_simulators.process import ServerProcess
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.srp.service import SrpSettings

from device_sdk.errors import SharedSecretError, TlsError
from device_sdk.model.credentials import Credentials
from device_sdk.model.http import HttpRequest
from device_sdk.model.secret import Secret
from device_sdk.transports.srp import SrpTransport
from tests.simulators.server.support import EST
from tests.simulators.server.test_srp import PASSWORD, USER, first_answer

ACCESS_DENIED = 49
IMPATIENT = BackOff(user_tries=3, address_tries=1000, first_s=4, longest_s=60, lock_after=9)
ONE_ADDRESS = BackOff(user_tries=3, address_tries=8, first_s=4, longest_s=60, lock_after=9)


class Clock:
    """The server's time, which goes on only when told to."""

    def __init__(self) -> None:
        self.now = datetime(2027, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(tmp_path, clock):
    """Start the server, in the same directory each time."""

    def starter(back_off: BackOff = IMPATIENT) -> ReferenceServer:
        server = ReferenceServer(tmp_path / "server", srp=SrpSettings(user=USER, password=PASSWORD, back_off=back_off))
        server.clock = clock
        return server

    return starter


def guess(server: ReferenceServer, word: str = "wrong", user: str = USER) -> str:
    """One try: "in", "wrong" or "refused"."""
    with SrpTransport(server.srp_url, Credentials(user, Secret(word))) as transport:
        try:
            return "in" if transport.send(HttpRequest("GET", EST + "cacerts")).status_code == 200 else "?"
        except SharedSecretError:
            return "wrong"
        except TlsError as error:
            return "refused" if "not try a password now" in error.message else str(error)


def test_a_dictionary_attack(start, clock):
    """EST-68: pauses that double: a list with the right word in it does not get there, and neither does the word itself."""
    words = ["123456", "secret", "qwerty", "letmein", PASSWORD, "admin"]
    with start() as server:
        assert [guess(server, word) for word in words] == ["wrong", "wrong", "wrong", "refused", "refused", "refused"]
        for pause in (4, 8, 16, 32, 60):
            clock.sleep(pause - 1)
            assert guess(server, PASSWORD) == "refused"
            clock.sleep(1)
            assert guess(server) == "wrong"
        assert server.srp.guard.failures()[f"user:{USER}"] == 8


def test_a_refused_try_costs_nothing_more(start, clock):
    """Who comes too early is not made to wait longer for it."""
    with start() as server:
        assert {guess(server) for _ in range(3)} == {"wrong"}
        assert {guess(server) for _ in range(10)} == {"refused"}
        clock.sleep(4)
        assert guess(server, PASSWORD) == "in"
        assert server.srp.guard.failures() == {"address:127.0.0.1": 3}


@pytest.mark.slow
def test_a_user_is_locked_in_the_end_and_unlocked_by_a_person(start, clock):
    """EST-68: the lock-out: no waiting helps, and a success of somebody else neither."""
    with start() as server:
        server.srp.users.add("another", "another password")
        for _ in range(9):
            assert guess(server) == "wrong"
            clock.sleep(60)
        clock.sleep(10 * 86400)
        assert guess(server, PASSWORD) == "refused"
        assert guess(server, "another password", "another") == "in"
        assert guess(server, PASSWORD) == "refused"
        assert server.srp.guard.unlock(USER)
        assert guess(server, PASSWORD) == "in"
        assert not server.srp.guard.unlock(USER)


def test_right_passwords_start_anew(start, clock):
    """Failures in a row are counted, not failures."""
    with start() as server:
        for _ in range(6):
            assert [guess(server), guess(server), guess(server, PASSWORD)] == ["wrong", "wrong", "in"]
        assert server.srp.guard.failures() == {"address:127.0.0.1": 12}


def test_names_that_do_not_exist_are_paused_and_locked_like_those_that_do(start, clock):
    """Nobody learns from a pause whether there is such a user (RFC 5054 section 2.5.1.3)."""
    found = {}
    for user in (USER, "nobody"):
        with start() as server:
            found[user] = []
            for pause in (0, 0, 0, 0, 4, 8, 16, 60, 60, 60, 60, 60):
                clock.sleep(pause)
                found[user].append(guess(server, user=user))
    assert found[USER] == found["nobody"]
    assert found[USER].count("wrong") == 9
    assert found[USER][-1] == "refused"


@pytest.mark.slow
def test_one_address_that_tries_many_names(start, clock):
    """EST-68, RFC 5054 section 3.3: limiting the rate from an address, too; whoever shares it has to wait as well."""
    with start(ONE_ADDRESS) as server:
        assert [guess(server, user=f"user-{number}") for number in range(9)] == ["wrong"] * 8 + ["refused"]
        assert guess(server, PASSWORD) == "refused"
        clock.sleep(4)
        assert guess(server, PASSWORD) == "in"


def test_failures_outlive_a_restart(start):
    """They are in the database before the answer is sent."""
    with start() as server:
        assert {guess(server) for _ in range(3)} == {"wrong"}
    with start() as server:
        assert guess(server, PASSWORD) == "refused"


def test_many_handshakes_at_once_are_no_more_tries(start):
    """EST-68: a try counts from the moment its salt was sent, not when the guess turns out to be wrong."""
    with start() as server:
        begun = [first_answer(server.srp.port, USER) for _ in range(6)]
        try:
            assert [answer if isinstance(answer, int) else "salt" for _, answer in begun] == ["salt"] * 3 + [
                ACCESS_DENIED
            ] * 3
        finally:
            for sock, _ in begun:
                sock.close()


def test_a_clock_that_is_set_back(start, clock):
    """A minute does not become a year."""
    with start() as server:
        assert {guess(server) for _ in range(3)} == {"wrong"}
        clock.sleep(-365 * 86400)
        assert guess(server, PASSWORD) == "in"


def test_failures_are_forgotten_in_time(start, clock):
    with start() as server:
        assert {guess(server) for _ in range(3)} == {"wrong"}
        clock.sleep(86401)
        assert [guess(server) for _ in range(4)] == ["wrong", "wrong", "wrong", "refused"]


@pytest.mark.slow
def test_est_16_what_is_counted_is_bounded(tmp_path, clock):
    """Of more than there is room for the oldest goes first, but for locks and pauses; no lookup reads the whole table."""
    database = Database(tmp_path / "server.sqlite")
    guard = Guard(database, clock, replace(IMPATIENT, max_rows=300))
    for _ in range(9):
        assert guard.begin("locked", "192.0.2.7")
        clock.sleep(60)
    for _ in range(3):
        assert guard.begin("paused", "192.0.2.8")
    for number in range(900):
        assert guard.begin(f"n{number}", f"127.0.{number // 90}.1")
        clock.sleep(0.001)
    assert database.row("SELECT count(*) AS n FROM srp_failures")["n"] <= 300 + 2 * 256
    assert not guard.begin("locked", "192.0.2.7")
    assert not guard.begin("paused", "192.0.2.8")
    database.close()


@pytest.mark.parametrize(
    ("failures", "pause"), [(0, 0), (4, 0), (5, 1), (6, 2), (10, 32), (16, 2048), (17, 3600), (10**6, 3600)]
)
def test_the_usual_pauses(failures, pause):
    """Exponential, and bounded."""
    assert BackOff().pause_s(failures, BackOff().user_tries) == pause


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_what_counts_as_one_address(address, network):
    """Whoever has an IPv6 network has 2^64 addresses."""
    assert network_of(address) == network


@pytest.mark.slow
def test_ending_the_process_in_the_middle_of_a_try_gives_no_tries_back(tmp_path):
    """kill -9 between the salt and the guess: the try is on disk already."""
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    words = ("--srp", "--srp-user", USER, "--srp-password-file", str(password))
    outcomes = []
    for _ in range(7):
        process = ServerProcess(tmp_path / "server", *words).start()
        try:
            outcomes.append(_begin_only(str(process.facts["srp_url"])))
        finally:
            process.kill()
    # five tries, then a pause of one second, which a restart outlasts or not
    assert outcomes[:5] == ["salt"] * 5
    with ReferenceServer(tmp_path / "server", srp=SrpSettings(user=USER, password=PASSWORD)) as server:
        assert server.srp.guard.failures()[f"user:{USER}"] >= 5


def _begin_only(url: str) -> str:
    sock, answer = first_answer(int(url.rpartition(":")[2]), USER)
    sock.close()
    return "salt" if isinstance(answer, list) else str(answer)
