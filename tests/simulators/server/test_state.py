"""What is on disk: kept over restarts and kills, decided about from the command line."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from device_sdk_simulators.packages.firmware.authority import firmware_authority
from device_sdk_simulators.packages.sealed_returns import package_authority
from device_sdk_simulators.packages.tamp.authority import TampAuthority
from device_sdk_simulators.process import ServerProcess
from device_sdk_simulators.server import ReferenceServer, StateInUseError

from tests.simulators.command import sim
from tests.simulators.server.support import EST, basic, client_context, make_csr, name, post
from tests.simulators.server.test_http import read_all, status_of

pytestmark = pytest.mark.slow


def enrol(server, csr: bytes) -> bytes:
    import socket

    port = int(server.url.rsplit(":", 1)[1])
    raw = socket.create_connection(("127.0.0.1", port), timeout=20)
    with client_context(server).wrap_socket(raw, server_hostname="localhost") as sock:
        header, value = basic(server)
        body = base64.b64encode(csr)
        head = f"POST {EST}simpleenroll HTTP/1.1\r\n{header}: {value}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        sock.sendall(head.encode() + body)
        return read_all(sock)


def test_the_command_says_where_it_is_and_ends_with_0_on_sigterm(tmp_path):
    password = tmp_path / "password"
    password.write_text("pass word\n")
    words = ["server", "--state", tmp_path / "s", "--port", "0", "--user", "lab", "--password-file", password, "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "device_sdk_simulators.cli.main", *map(str, words)], stdout=subprocess.PIPE, text=True
    )
    facts = json.loads(process.stdout.readline())
    assert {"url", "cale_url", "ca_file", "issuer_file", "ca_sha256", "user", "log_file"} <= facts.keys()
    assert "pass word" not in json.dumps(facts)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert process.stdout.read() == ""
    process.stdout.close()


def test_every_path_it_says_is_absolute(tmp_path, monkeypatch):
    """Who reads the JSON line may work in another directory."""
    monkeypatch.chdir(tmp_path)
    with ServerProcess(Path("s")) as server:
        paths = {name: Path(value) for name, value in server.facts.items() if name.endswith("_file") or name == "state"}
        assert len(paths) == 5
        assert all(path.is_absolute() and path.is_relative_to(tmp_path) for path in paths.values()), paths
    with ReferenceServer(Path("s")) as server:
        assert server.ca_file.is_absolute()


def test_a_restart_keeps_ca_users_and_registrations(tmp_path):
    with ServerProcess(tmp_path / "s") as server:
        assert status_of(enrol(server, make_csr())) == 200
        facts, password, ca = server.facts, server.password, server.ca_file.read_bytes()
    with ServerProcess(tmp_path / "s") as server:
        assert (server.facts["ca_sha256"], server.password) == (facts["ca_sha256"], password)
        assert server.ca_file.read_bytes() == ca
        assert status_of(enrol(server, make_csr())) == 200
        assert len(server.log()) == 2
    listing = json.loads(sim("list", "--state", tmp_path / "s", "--json").stdout)
    assert len(listing["certificates"]) == 2


def test_two_servers_do_not_share_a_directory(tmp_path):
    with ReferenceServer(tmp_path / "s"):
        with pytest.raises(StateInUseError):
            ReferenceServer(tmp_path / "s")
        done = sim("server", "--state", tmp_path / "s")
        assert (done.returncode, "another server" in done.stderr) == (2, True)


# Python's ssl forgets to close a socket whose peer vanishes between accept and handshake
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_kill_9_under_load_loses_no_certificate_that_was_sent(tmp_path):
    sent = []

    def keep_enrolling(server) -> None:
        while True:
            try:
                answer = enrol(server, make_csr())
                if answer.startswith(b"HTTP/1.1 200"):
                    sent.append(answer.rsplit(b"\r\n", 1)[1])
            except OSError:
                return

    for _round in range(3):
        server = ServerProcess(tmp_path / "s").start()
        threads = [threading.Thread(target=keep_enrolling, args=(server,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        before, end = len(sent), time.monotonic() + 100
        while len(sent) < before + 5:
            assert time.monotonic() < end
            time.sleep(0.01)
        server.kill()
        for thread in threads:
            thread.join()
    assert len(sent) > 10
    from cryptography.hazmat.primitives.serialization import pkcs7

    serials = {f"{pkcs7.load_der_pkcs7_certificates(base64.b64decode(one))[0].serial_number:x}" for one in sent}
    with ServerProcess(tmp_path / "s") as server:
        assert status_of(enrol(server, make_csr())) == 200
        assert all(json.dumps(entry) for entry in server.log())
    listing = json.loads(sim("list", "--state", tmp_path / "s", "--json").stdout)
    assert serials <= {entry["serial"] for entry in listing["certificates"]}


def test_approve_deny_and_revoke_from_the_command_line(tmp_path):
    state = tmp_path / "s"
    good, bad = make_csr(), make_csr()
    with ServerProcess(state, "--require-approval", "--retry-after", "9") as server:
        answer = enrol(server, good)
        assert status_of(answer) == 202
        assert b"Retry-After: 9\r\n" in answer
        assert sim("approve", "--state", state).stdout == "1 approved\n"
        assert status_of(enrol(server, bad)) == 202
        assert sim("deny", "--state", state).stdout == "1 denied\n"
        assert status_of(enrol(server, good)) == 200
        assert status_of(enrol(server, bad)) == 403
        serial = str(server.log()[-2]["issued_serial"])
        assert sim("approve", "--state", state).returncode == 1, "denied stays denied unless it is named"
        assert status_of(enrol(server, bad)) == 403
        assert sim("approve", "--state", state, "2").stdout == "1 approved\n"
        assert status_of(enrol(server, bad)) == 200
        assert sim("revoke", "--state", state, serial).returncode == 0
        assert sim("revoke", "--state", state, serial).returncode == 1
    assert serial in sim("list", "--state", state).stdout
    assert sim("approve", "--state", state).returncode == 1
    for words, said in (((), "no request is waiting"), (("7",), "no request 7"), (("2",), "any more: it is issued")):
        done = sim("approve", "--state", state, *words)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert said in done.stderr
    assert sim("list", "--state", tmp_path / "none").returncode == 2


def test_lists_for_people_have_heads(tmp_path):
    """Columns stand below each other; what is missing is a dash, what nobody has is no column."""
    state = tmp_path / "s"
    with ServerProcess(state, "--require-approval") as server:
        for subject in (name("a"), name("a longer name")):
            assert status_of(enrol(server, make_csr(subject=subject))) == 202
    requests, head, first, second, certificates, *_ = sim("list", "--state", state).stdout.splitlines()
    assert (requests, certificates) == ("requests: 2", "certificates: 0")
    assert head.split() == ["id", "state", "operation", "identity", "subject", "created_at"]
    for column, value in (("id", "1"), ("state", "waiting"), ("subject", "CN=a "), ("created_at", "20")):
        assert first[head.index(column) :].startswith(value)
    assert second[head.index("subject") :].startswith("CN=a longer name")


def test_faults_and_policies_from_the_command_line(tmp_path):
    with ServerProcess(tmp_path / "s", "--fault", "status=503*1@simpleenroll", "--require-binding") as server:
        assert status_of(enrol(server, make_csr())) == 503
        assert status_of(enrol(server, make_csr())) == 400
    done = sim("server", "--state", tmp_path / "s", "--fault", "nonsense")
    assert (done.returncode, "no fault 'nonsense'" in done.stderr) == (2, True)


def test_a_clock_that_is_wrong(tmp_path):
    with ServerProcess(tmp_path / "s", "--clock-offset", "86400") as server:
        assert status_of(enrol(server, make_csr())) == 200
        assert str(server.log()[0]["time"]) > time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 80000))


def modes_below(directory) -> dict[str, int]:
    """Permissions of a directory and of everything in it, by path relative to it."""
    return {
        str(path.relative_to(directory)): path.stat().st_mode & 0o777 for path in (directory, *directory.rglob("*"))
    }


def test_secrets_on_disk_are_private(tmp_path):
    """Hashes of passwords and GUIDs are in the database, and in what SQLite writes beside it."""
    state = tmp_path / "deep" / "s"
    with ReferenceServer(state) as server:
        assert post(server, make_csr()).status == 200
        modes = modes_below(state)
        assert {
            "server.sqlite",
            "server.sqlite-wal",
            "server.sqlite-shm",
            "password",
            "log.jsonl",
            "lock",
        } <= modes.keys()
        for_others = {str(path.relative_to(state)): 0o644 for path in (server.ca_file, server.issuer_file)}
        directories = {".": 0o700, "ca": 0o700, "cale": 0o700}
        assert modes == dict.fromkeys(modes, 0o600) | directories | for_others


def test_a_directory_that_was_open_is_closed(tmp_path):
    state = tmp_path / "s"
    with ReferenceServer(state) as server:
        now = server.clock()
    # what commands make beside it
    TampAuthority(state, now).signer("management", by_path=True)
    for package_ca in (package_authority(state, now), firmware_authority(state, now)):
        assert package_ca.anchors.stat().st_mode & 0o777 == 0o644
    expected = modes_below(state)
    assert {name: mode for name, mode in expected.items() if name.endswith(".key") and mode != 0o600} == {}
    for path in (state, *state.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    with ReferenceServer(state):
        assert {name: mode for name, mode in modes_below(state).items() if name in expected} == expected


def test_a_directory_that_everybody_uses_keeps_its_permissions(tmp_path):
    """Somebody's `--state /tmp`, perhaps as root: the files are private, the directory stays everybody's."""
    tmp_path.chmod(0o1777)
    (tmp_path / "of another").write_text("x")
    (tmp_path / "of another").chmod(0o644)
    with ReferenceServer(tmp_path):
        modes = modes_below(tmp_path)
    assert (modes["."], modes["of another"], modes["server.sqlite"]) == (0o777, 0o644, 0o600)
