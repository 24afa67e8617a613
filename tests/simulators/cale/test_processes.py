"""The five roles as five processes: this one is the client. What can be read where."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from device_sdk_simulators.cale.headers import certificate_header
from device_sdk_simulators.cale.pki import KeyFiles, make_pki
from device_sdk_simulators.cale.processes import RoleProcess
from device_sdk_simulators.cale.remote import HopSettings, RemoteHop
from device_sdk_simulators.http.messages import Request

from tests.memory import in_memory
from tests.simulators.cale.support import KEYS, STRANGER, Relay, basic, opened
from tests.simulators.command import SIM, sim

pytestmark = pytest.mark.slow

PATIENT = ("--late", "wait")
"""On a busy machine an answer may take longer than a slot, and these tests want answers."""
SECRET = secrets.token_hex(24)
"""What only the owner may read; it is nowhere but in this process, in a file, and where the tests say."""


def forms(text: str) -> list[bytes]:
    """A text as it could lie about."""
    raw = text.encode()
    shifted = [base64.b64encode(b"x" * shift + raw)[4 * shift and 4 : -4] for shift in range(3)]
    return [raw, raw.hex().encode(), text.encode("utf-16-le"), *shifted]


@pytest.fixture(scope="module")
def wired(tmp_path_factory):
    """The four server processes with a recording relay on each connection between them."""
    state = tmp_path_factory.mktemp("wired")
    document = state / "document.json"
    document.write_text(json.dumps({"diagnosis": SECRET}) + "\n")
    make_pki(state, datetime.now(UTC))
    with ExitStack() as stack:
        processes: dict[str, RoleProcess] = {}
        relays: dict[str, Relay] = {}

        def begin(role: str, *words: str) -> None:
            process = RoleProcess(role, ["--state", str(state / role), *words]).start()
            stack.callback(process.stop)
            processes[role] = process
            relays[role] = stack.enter_context(Relay(int(process.url.rpartition(":")[2])))

        def at(role: str) -> str:
            return f"{role}=https://localhost:{relays[role].port}"

        begin("resource", "--peer", "origin", "--document", f"/record={document}")
        begin("authz", "--peer", "edge", "--certificate-lifetime", "3")
        begin("origin", "--peer", "edge", "--resource", at("resource"))
        begin("edge", "--authz", at("authz"), "--origin", at("origin"), "--user", "ann", *PATIENT)
        yield processes, relays


@pytest.fixture
def ann(wired, make_client):
    """Registers a key of ann's at the edge device of `wired`."""
    processes, _relays = wired
    edge = processes["edge"].facts

    def registered(**options):
        client = make_client(url=edge["url"], ca_file=edge["ca_file"], **options)
        assert client.register(basic("ann", password_of(processes))) == 200
        return client

    return registered


def password_of(processes: dict[str, RoleProcess]) -> str:
    return Path(processes["edge"].facts["password_file"]).read_text().strip()


def test_the_plaintext_is_in_no_process_but_origin_resource_and_client(wired, ann):
    """The purpose of the protocol: an insider at the edge or at the authorization server reads nothing."""
    processes, relays = wired
    client, password = ann(), password_of(processes)
    answers = [client.get("/record")[2] for _ in range(5)]
    assert len({os.getpid(), *(process.pid for process in processes.values())}) == 5, "five processes"

    assert_only_tls_between({role: relay for role, relay in relays.items() if role != "edge"}, client.guid)
    # an insider with a debugger
    assert in_memory(processes["resource"].pid, SECRET.encode()), "the search finds what is there"
    for role in ("edge", "authz"):
        assert not in_memory(processes[role].pid, *forms(SECRET), b"diagnosis"), role
    # and the GUID goes no further than to the authorization server (CALE-23)
    assert in_memory(processes["authz"].pid, client.guid.encode())
    for role in ("origin", "resource"):
        assert not in_memory(processes[role].pid, *forms(client.guid), password.encode()), role
    for process in processes.values():
        assert_nothing_on_disk(process, client.guid)

    # and the client reads it, every time from another message
    assert len(set(answers)) == 5
    (content,) = {opened(client.key, body, client.directory) for body in answers}
    assert json.loads(content or b"null") == {"diagnosis": SECRET}


def assert_only_tls_between(relays: dict[str, Relay], guid: str) -> None:
    """Every hop was used, by one connection and by that of a registration, and nothing on it can be read."""
    for role, relay in relays.items():
        assert relay.connections == (2 if role == "authz" else 1), role
        assert len(relay.seen) > 3000, role
        for word in (*forms(SECRET), *forms(guid), b"diagnosis", b"CALE-", b"HTTP/1.1"):
            assert word not in relay.seen, (role, word)


def assert_nothing_on_disk(process: RoleProcess, guid: str) -> None:
    """No file of a role has the plaintext, and only the authorization server's records the GUID."""
    for path in process.state.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not any(word in content for word in forms(SECRET)), path
        assert guid.encode() not in content or path.name.startswith("server.sqlite"), path
        assert guid.encode() not in content or process.role == "authz", path


def test_each_process_logs_its_part_under_one_correlation(wired, ann):
    processes, _relays = wired
    client = ann(key=KEYS["p256"])
    assert SECRET.encode() in client.read("/record")
    correlation = processes["edge"].log()[-1]["correlation"]
    found = {
        role: [entry["path"] for entry in process.log() if entry.get("correlation") == correlation]
        for role, process in processes.items()
    }
    assert found == {"edge": ["/record"], "authz": ["/validate"], "origin": ["/record"], "resource": ["/record"]}
    names = {process.log()[-1].get("peer") for process in processes.values()}
    assert names == {None, "edge", "origin"}


def test_a_captured_certificate_expires_and_is_used_up(wired, ann):
    """Whoever takes over an edge device's connection cannot repeat what went over it, nor keep it for later."""
    processes, _relays = wired
    state = processes["edge"].state
    files = KeyFiles.below(state / "hop")
    hops = {
        role: RemoteHop(HopSettings(processes[role].url, role, files.certificate, files.key, files.anchors))
        for role in ("authz", "origin")
    }
    client = ann()

    def captured() -> Request:
        answer = hops["authz"](Request("GET", "/validate", [("CALE-GUID", client.guid)]))
        shown = certificate_header(x509.load_pem_x509_certificate(answer.body))
        return Request("GET", "/record", [shown, ("Cipher", "TLS_AES_128_GCM_SHA256")])

    request = captured()
    assert hops["origin"](request).status == 200
    assert hops["origin"](request).status == 403
    late = captured()
    time.sleep(4.5)
    assert hops["origin"](late).status == 403
    reasons = [entry["reason"] for entry in processes["origin"].log()[-2:]]
    assert reasons == ["this certificate was used already", "expired, or not valid yet"]
    for hop in hops.values():
        hop.close()


def said(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = sim(*words)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


@pytest.fixture
def whole(tmp_path):
    """`device-sdk-sim cale all` as somebody starts it."""
    running = []

    def start(*words: str):
        command = [*SIM, "cale", "all", "--state", str(tmp_path / "all"), "--json", *PATIENT, *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(process)
        line = process.stdout.readline()
        assert line, process.stderr.read()
        return process, json.loads(line)

    yield start
    for process in running:
        process.terminate()
        process.wait(60)
        process.stdout.close()
        process.stderr.close()


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        # a child of somebody else that nobody waited for yet
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_for(condition) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("that did not happen in a minute")


def test_all_by_command_line_and_what_an_operator_does(whole, make_client, tmp_path):
    """One JSON line, four processes; list and revoke work beside them; the state is kept; one role may come and go."""
    password = tmp_path / "password"
    password.write_text("lab\n")
    words = (
        "--user",
        "ann",
        "--password-file",
        str(password),
        "--grant",
        "read",
        "--grant",
        "ann=admin",
        "--scope",
        "/aggregate=other",
    )
    process, facts = whole(*words)
    pids = {role: one["pid"] for role, one in facts["roles"].items()}
    assert len(set(pids.values())) == 4
    client = make_client(url=facts["cale_url"], ca_file=facts["ca_file"])
    assert client.register(basic("ann", "lab")) == 200
    assert json.loads(client.read("/identity"))["scopes"] == ["admin"]
    assert json.loads(client.read("/aggregate")) == {"error": 403}
    authz = Path(facts["roles"]["authz"]["state"])
    listed = json.loads(said("list", "--state", authz, "--json").stdout)
    assert [(row["identity"], row["guid"]) for row in listed["registrations"]] == [("ann", client.guid)]
    said("revoke", "--state", authz, client.guid)
    assert b"scopes" not in (client.read("/identity") or b"")
    assert client.register(basic("ann", "lab")) == 200

    # one role that ends takes nobody with it; clients get decoys, and standard error a line
    os.kill(pids["origin"], signal.SIGKILL)
    assert process.stderr.readline() == "device-sdk-sim: the origin role ended with code -9\n"
    assert b"scopes" not in (client.read("/identity") or b"")
    assert client.read("/whoami") is not None
    client.close()
    process.terminate()
    assert process.wait(60) == 0
    assert all(gone(pid) for pid in pids.values())

    _process, again = whole(*words)
    later = make_client(url=again["cale_url"], ca_file=again["ca_file"])
    later.guid = client.guid
    assert json.loads(later.read("/identity"))["owner"] == "ann"


def test_roles_end_with_who_started_them(whole):
    """However `all` ends, no role is left behind."""
    process, facts = whole()
    pids = [one["pid"] for one in facts["roles"].values()]
    process.kill()
    process.wait()
    wait_for(lambda: all(gone(pid) for pid in pids))


def test_draft_exact_by_command_line(whole, make_client):
    _process, facts = whole("--user", "ann", "--draft-exact")
    client = make_client(url=facts["cale_url"], ca_file=facts["ca_file"])
    assert client.register(basic("ann", Path(facts["password_file"]).read_text().strip())) == 200
    assert client.read("/resource") == b'{"foo": "bar"}\n', "no filling"
    _status, fields, body = client.get("/resource", guid=STRANGER)
    assert base64.b64decode(body).startswith(b"At vero eos")
    types = [value for name, value in fields if name == "content-type"]
    assert types[0] == "text/plain;charset=UTF-8"
    assert types[1].startswith("application/x-pkcs7-mime;\r\n")


def test_an_edge_in_front_of_anything_by_one_command(tmp_path, make_client):
    """`cale edge --upstream`: authorization and origination are inside."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "hello.json").write_text('{"hello": "world"}')
    web = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(tmp_path / "www")],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        port = re.search(r"port (\d+)", web.stdout.readline())[1]
        tokens = tmp_path / "tokens"
        tokens.write_text("ann sesame\n\nbob other\n")
        words = [
            "--state",
            str(tmp_path / "edge"),
            "--upstream",
            f"http://127.0.0.1:{port}",
            "--token-file",
            str(tokens),
            *PATIENT,
        ]
        edge = RoleProcess("edge", words).start()
        try:
            client = make_client(url=edge.url, ca_file=edge.facts["ca_file"])
            assert client.register({"Authorization": "Bearer sesame"}) == 200
            content = client.read("/hello.json")
            assert json.loads(content) == {"hello": "world"}
            assert len(content) == 256
            assert json.loads(client.read("/nothing")) == {"error": 404}
            client.close()
        finally:
            assert edge.stop() == 0
    finally:
        web.terminate()
        web.wait()
        web.stdout.close()
