"""Names are resolved within the time to connect, in a network of its own where the name server is silent or slow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from device_sdk.errors import TransportError
from device_sdk.transports.https.dial import resolve
from device_sdk.transports.https.timed import Deadline
from tests.transports.conftest import get

# root needs no user namespace, and some places (a chroot) allow none
UNSHARE = ["unshare", "--net", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
SETUP = 'ip link set lo up && mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'
PROLOGUE = """
import json, socket, struct, threading, time
name_server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
name_server.bind(("127.0.0.1", 53))
from device_sdk.errors import DeviceSdkError
from device_sdk.transports.base import Timeouts
from device_sdk.transports.https import ProvisionalTransport
from device_sdk.transports.https.dial import resolve
from device_sdk.transports.https.timed import Deadline
from device_sdk.model.http import HttpRequest
"""


def in_own_network(script, tmp_path):
    """What the script prints as JSON; its only name server is 127.0.0.1, where the script itself listens."""
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:1\n")
    command = [
        *UNSHARE,
        "sh",
        "-c",
        SETUP,
        "sh",
        str(tmp_path / "resolv.conf"),
        sys.executable,
        "-c",
        PROLOGUE + script,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_silent_name_server_costs_no_more_than_the_time_to_connect(tmp_path):
    """EST-16: several at once share one thread, and the process ends without waiting for it."""
    begin = time.monotonic()
    found = in_own_network(
        """
def ask():
    start = time.monotonic()
    try:
        with ProvisionalTransport("https://est.example", timeouts=Timeouts(0.5, 50, 50)) as transport:
            transport.send(HttpRequest("GET", "/.well-known/est/cacerts"))
    except DeviceSdkError as error:
        told.append((error.code, error.timeout_s, error.request_sent, error.url, time.monotonic() - start))
told = []
threads = [threading.Thread(target=ask) for _ in range(4)]
begin = time.monotonic()
for thread in threads: thread.start()
for thread in threads: thread.join()
ask()
print(json.dumps({"told": told, "threads": threading.active_count()}))
""",
        tmp_path,
    )
    assert len(found["told"]) == 5
    for code, timeout_s, sent, url, took in found["told"]:
        assert (code, timeout_s, sent) == ("timeout", 0.5, False)
        assert url == "https://est.example/.well-known/est/cacerts"
        assert 0.4 < took < 20
    assert found["threads"] == 2
    assert time.monotonic() - begin < 25  # the resolver itself gives up after 30 s


@pytest.mark.slow
def test_a_slow_name_server_is_waited_for(tmp_path):
    """Answers A with 127.0.0.9 after a while, and that there is no AAAA."""
    found = in_own_network(
        """
def answer():
    for _ in range(2):
        query, client = name_server.recvfrom(512)
        end = query.index(b"\\0", 12) + 5
        time.sleep(0.3)
        is_a = query[end - 4 : end - 2] == b"\\0\\1"
        record = b"\\xc0\\x0c\\0\\1\\0\\1" + struct.pack(">IH", 60, 4) + socket.inet_aton("127.0.0.9") if is_a else b""
        counts = struct.pack(">HHHH", 1, 1 if is_a else 0, 0, 0)
        name_server.sendto(query[:2] + b"\\x81\\x80" + counts + query[12:end] + record, client)
threading.Thread(target=answer, daemon=True).start()
print(json.dumps(resolve("est.example", 443, Deadline(10))))
""",
        tmp_path,
    )
    assert [address[4] for address in found] == [["127.0.0.9", 443]]


def test_a_name_that_cannot_be_one(connect):
    with pytest.raises(TransportError, match="cannot be resolved") as caught:
        connect("https://est.example", proxy=f"http://{'x' * 70}.example:3128").send(get())
    assert caught.value.request_sent is False


@pytest.mark.slow
def test_each_address_gets_its_share_of_the_time(tmp_path):
    """A name with two addresses, the first of which drops everything: the second is reached within the same time."""
    (tmp_path / "hosts").write_text("127.0.0.1 est.example\n127.0.0.2 est.example\n")
    found = in_own_network(
        f"""
import subprocess
from device_sdk.transports.https.dial import dial
subprocess.run(["mount", "--bind", {str(tmp_path / "hosts")!r}, "/etc/hosts"], check=True)
order = [address[4][0] for address in resolve("est.example", 5, Deadline(5))]
full = socket.create_server((order[0], 4430), backlog=0)
waiting = []
for _ in range(4):
    waiting.append(socket.socket())
    waiting[-1].setblocking(False)
    waiting[-1].connect_ex(full.getsockname())
good = socket.create_server((order[1], 4430))
start = time.monotonic()
peer = dial("est.example", 4430, Deadline(2)).getpeername()[0]
print(json.dumps([order, peer, time.monotonic() - start]))
""",
        tmp_path,
    )
    order, peer, took = found
    assert sorted(order) == ["127.0.0.1", "127.0.0.2"]
    assert peer == order[1]
    assert 0.8 < took < 2


def test_no_thread_for_an_address():
    before = set(threading.enumerate())
    assert resolve("::1", 443, Deadline(1))[0][4][0] == "::1"
    assert set(threading.enumerate()) <= before
