"""Many large answers at one time take a bounded memory; who finds none waits, clients and strangers alike (CALE-24)."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from device_sdk_simulators.cale.exchanges import ending
from device_sdk_simulators.cale.hops import HopProtocolError, HopTimeoutError
from device_sdk_simulators.cale.role_server import RoleServer
from device_sdk_simulators.cale.roles import EdgeSettings, RolePlace, edge_role
from device_sdk_simulators.cale.room import SMALL, Room, take
from device_sdk_simulators.cale.rules import CaleRules
from device_sdk_simulators.cale.upstream import Upstream
from device_sdk_simulators.http.messages import Request, Response, TlsFacts
from device_sdk_simulators.policy import Policy

from tests.simulators.cale.support import STRANGER, Client, basic, web_server

MIB = 1024 * 1024
SIZE = 2 * MIB
SUITE = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384")
FOREVER = float("inf")


def hold(room: Room, size: int, copies: int = 1) -> tuple[threading.Event, threading.Thread]:
    """Work in another thread that has taken so much until the event is set."""
    taken, done = threading.Event(), threading.Event()

    def work() -> None:
        with room.work():
            take(size, copies, FOREVER)
            taken.set()
            done.wait(30)

    thread = threading.Thread(target=work)
    thread.start()
    assert taken.wait(30)
    return done, thread


def test_who_finds_no_room_waits_for_it() -> None:
    room = Room(lambda: 10 * MIB)
    done, thread = hold(room, 2 * MIB, copies=4)
    with room.work():
        with pytest.raises(TimeoutError):
            take(MIB, 4, time.monotonic() + 0.02)
        assert room.used == 8 * MIB
        threading.Timer(0.02, done.set).start()
        take(MIB, 4, FOREVER)
        thread.join()
        assert room.used == 4 * MIB
        # what belongs to the same work does not wait for itself
        take(9 * MIB, 1, FOREVER)
        with room.work():
            take(MIB, 1, FOREVER)
        assert room.used == 14 * MIB
    assert room.used == 0


def test_what_is_small_waits_for_nothing_and_what_is_too_large_goes_alone() -> None:
    room = Room(lambda: MIB)
    done, thread = hold(room, 100 * MIB)
    with room.work():
        take(SMALL, 5, 0.0)
    with room.kept(SMALL):
        assert room.used == 100 * MIB
    done.set()
    thread.join()
    take(100 * MIB, 5, 0.0)
    with room.kept(3 * MIB):
        assert room.used == 3 * MIB
    assert room.used == 0


class Large(BaseHTTPRequestHandler):
    """A service with one large document; by its path chunked, longer than was said, or slow to begin."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        chunked = self.path == "/chunked"
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(SIZE))))
        self.end_headers()
        for _ in range(SIZE // SMALL):
            self.wfile.write(b"%x\r\n" % SMALL + bytes(SMALL) + b"\r\n" if chunked else bytes(SMALL))
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with web_server(Large, quiet=True) as url:
        yield url


@pytest.mark.parametrize("path", ["/known", "/chunked"])
def test_an_upstream_is_read_when_there_is_room_for_all_of_it(service: str, path: str) -> None:
    room, upstream = Room(lambda: 11 * MIB), Upstream(service, body_bytes=SIZE)
    with room.work():
        assert len(upstream(Request("GET", path)).body) == SIZE
        assert room.used == 5 * SIZE
    done, thread = hold(room, 2 * MIB)
    try:
        with room.work(), ending(time.monotonic() + 0.2), pytest.raises(HopTimeoutError):
            upstream(Request("GET", path))
    finally:
        done.set()
        thread.join()
    with room.work(), pytest.raises(HopProtocolError):
        Upstream(service, body_bytes=SIZE - 1)(Request("GET", path))
    assert room.used == 0


@pytest.fixture
def edge(service: str, tmp_path: Path) -> Iterator[RoleServer]:
    policy = Policy(cale=CaleRules(memory=12 * MIB))
    running = edge_role(
        RolePlace(tmp_path / "edge"), policy, EdgeSettings(user="device", upstream=service, body_bytes=SIZE)
    ).start()
    yield running
    running.stop()


@pytest.mark.slow
def test_many_large_answers_and_decoys_share_a_memory_cale_24(
    edge: RoleServer, make_client: Callable[..., Client]
) -> None:
    """Room for one at a time: twelve of them, which would take 110 MiB, take little more than one and what was made."""
    client = make_client(url=edge.url, ca_file=edge.facts["ca_file"])
    assert client.register(basic("device", Path(str(edge.facts["password_file"])).read_text().strip())) == 200
    assert edge._listener is not None
    handle = edge._listener._handler

    def ask(guid: str) -> tuple[int, int]:
        answer: Response = handle(Request("GET", "/known", [("CALE-GUID", guid)], tls=SUITE))
        return answer.status, len(answer.body)

    first = ask(client.guid)
    tracemalloc.start()
    try:
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(ask, [client.guid, STRANGER] * 6))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert {status for status, _ in answers} == {200}
    assert {length for _, length in answers} == {first[1]}
    assert peak < 16 * MIB
