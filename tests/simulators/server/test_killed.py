"""Killed at any moment, the server neither loses a certificate nor issues one twice, and its CA is of one piece.

Steps run in processes that die by SIGKILL at the N-th change of a file or statement of the database, for every N
(kill_launcher.py); afterwards a new server looks at what is there.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from device_sdk_simulators.ca.rollover import RolloverError
from device_sdk_simulators.ca.stages import Stage
from device_sdk_simulators.database import Database
from device_sdk_simulators.http.messages import Request
from device_sdk_simulators.policy import Policy
from device_sdk_simulators.process import ServerProcess
from device_sdk_simulators.server import ReferenceServer

from tests.simulators.cale.support import opened
from tests.simulators.server.support import EST, basic, certificates_in, client_context, make_csr, name, post

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
NEVER = 10**9
Run = Callable[..., dict]


@pytest.fixture
def run(tmp_path) -> Iterator[Run]:
    """`run(step, kill_at)`: one step of the server in tmp_path/s."""
    command = [sys.executable, "-m", "tests.simulators.server.kill_launcher"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT, env=environment, start_new_session=True
    ) as process:

        def runner(step: str, kill_at: int = NEVER, csr: bytes = b"", state: Path = tmp_path / "s") -> dict:
            line = {"step": step, "state": str(state), "kill_at": kill_at, "csr": csr.hex()}
            process.stdin.write(json.dumps(line) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            assert answer["killed"] or "status" in answer, answer
            return answer

        try:
            yield runner
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def serials(server) -> list[str]:
    return [str(entry["serial"]) for entry in server.est.register.entries()]


def require_one_piece(server) -> None:
    """/cacerts, the files for others and what is issued fit each other."""
    bag = certificates_in(server.handle(Request("GET", EST + "cacerts")))
    assert set(bag) == set(server.hierarchy.bag)
    roots = {root.certificate for root in server.hierarchy.roots}
    assert set(x509.load_pem_x509_certificates(server.ca_file.read_bytes())) == roots
    for certificate in bag:
        assert any(_issued(certificate, issuer) for issuer in bag)
    server.hierarchy.issuing.certificate.verify_directly_issued_by(server.hierarchy.root.certificate)
    (leaf,) = certificates_in(post(server, make_csr(subject=name("probe"))))
    leaf.verify_directly_issued_by(server.hierarchy.issuing.certificate)
    leftovers = [path for path in server.state.rglob(".*") if path.is_dir()]
    assert leftovers == [], "keys nobody uses"


def _issued(certificate, issuer) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001 - whatever it is, it is no
        return False
    return True


def test_killed_while_it_starts_for_the_first_time(run, tmp_path):
    total = run("start", state=tmp_path / "whole")["events"]
    assert total > 30
    for kill_at in range(1, total + 1):
        state = tmp_path / f"s{kill_at}"
        assert run("start", kill_at, state=state)["killed"]
        with ReferenceServer(state) as server:
            require_one_piece(server)


def test_killed_while_it_issues(run, tmp_path):
    """What was answered is in the book; what is in the book is one certificate for the request, not two."""
    run("start")
    total = run("issue", csr=make_csr(subject=name("whole")))["events"]
    assert total > 5
    for kill_at in range(1, total + 2):
        key = ec.generate_private_key(ec.SECP256R1())
        answer = run("issue", kill_at, csr=make_csr(key, name(f"dev-{kill_at}")))
        with ReferenceServer(tmp_path / "s") as server:
            mine = [one for one in server.est.register.entries() if one["subject"] == f"CN=dev-{kill_at}"]
            assert len(mine) <= 1
            assert answer["killed"] or len(mine) == 1, "answered and not written down"
            assert max(Counter(serials(server)).values()) == 1
    with ReferenceServer(tmp_path / "s") as server:
        require_one_piece(server)


@pytest.mark.parametrize("step", ["approve", "collect"])
def test_killed_around_an_approval(run, tmp_path, step):
    """One approval, one certificate: none is lost with the answer, and none is issued twice (EST-163)."""
    run("start")
    total = 0
    for kill_at in (NEVER, *range(1, 1000)):
        if total and kill_at > total:
            break
        key = ec.generate_private_key(ec.SECP256R1())
        csr, subject = make_csr(key, name(f"dev-{kill_at}")), f"CN=dev-{kill_at}"
        assert run("collect", csr=csr)["status"] == 202
        if step == "collect":
            assert run("approve")["status"] == 1
        answer = run(step, kill_at, csr=csr)
        total = total or answer["events"]
        if step == "approve":
            run("approve")
        with ReferenceServer(tmp_path / "s", policy=Policy(require_approval=True)) as server:
            first, second = (post(server, make_csr(key, name(f"dev-{kill_at}"))) for _ in range(2))
            assert (first.status, second.status) == (200, 200), f"an approval was lost at event {kill_at}"
            assert certificates_in(first) == certificates_in(second)
            mine = [one for one in server.est.register.entries() if one["subject"] == subject]
            assert [f"{certificates_in(first)[0].serial_number:x}"] == [one["serial"] for one in mine]
    assert total > 2


def test_two_at_once_collect_one_approval(tmp_path):
    with ReferenceServer(tmp_path / "s", policy=Policy(require_approval=True)) as server:
        for round_ in range(10):
            key, subject = ec.generate_private_key(ec.SECP256R1()), name(f"dev-{round_}")
            assert post(server, make_csr(key, subject)).status == 202
            server.est.queue.decide(None, approve=True)
            answers: list[int] = []
            barrier = threading.Barrier(4)

            def ask(key=key, subject=subject, barrier=barrier, answers=answers):
                barrier.wait()
                response = post(server, make_csr(key, subject))
                answers.append(certificates_in(response)[0].serial_number)

            threads = [threading.Thread(target=ask) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(answers) == 4
            assert len(set(answers)) == 1
        assert len(serials(server)) == 10


def test_a_renewal_under_approval_is_not_answered_with_the_certificate_it_renews(tmp_path):
    """Same key, same names, same place: only who shows the certificate has received it."""
    with ReferenceServer(tmp_path / "s", policy=Policy(require_approval=True)) as server:
        key = ec.generate_private_key(ec.SECP256R1())
        post(server, make_csr(key))
        server.est.queue.decide(None, approve=True)
        (certificate,) = certificates_in(post(server, make_csr(key)))
        for _ in range(2):
            again = post(server, make_csr(key), operation="simplereenroll", client=certificate)
            assert again.status == 202
            server.est.queue.decide(None, approve=True)
            (renewed,) = certificates_in(post(server, make_csr(key), operation="simplereenroll", client=certificate))
            assert renewed != certificate
            certificate = renewed


STEPS = ("publish", "switch", "retire")


@pytest.mark.parametrize("step", STEPS)
def test_killed_while_it_rolls_over(run, tmp_path, step):
    """EST-127: The CA is in the stage before or in the one after, whole; the same command finishes, or says that it is done."""
    run("start")
    for before in STEPS[: STEPS.index(step)]:
        run(before)
    stages = [{1: Stage.ISSUING}, {1: Stage.ISSUING, 2: Stage.PUBLISHED}, {1: Stage.REPLACED, 2: Stage.ISSUING}]
    expected = [*stages, {1: Stage.RETIRED, 2: Stage.ISSUING}][STEPS.index(step) :][:2]
    shutil.copytree(tmp_path / "s", tmp_path / "whole")
    total = run(step, state=tmp_path / "whole")["events"]
    assert total > 3
    seen = set()
    for kill_at in range(1, total + 1):
        state = tmp_path / f"s{kill_at}"
        shutil.copytree(tmp_path / "s", state)
        assert run(step, kill_at, state=state)["killed"]
        with ReferenceServer(state) as server:
            rollover = server.rollover()
            seen.add(expected.index(rollover.stages))
            again = getattr(rollover, step)
            arguments = ["ec-p256"] if step == "publish" else []
            if rollover.stages == expected[0]:
                again(*arguments)
            else:
                with pytest.raises(RolloverError):
                    again(*arguments)
            require_one_piece(server)
            for stage in STEPS[STEPS.index(step) + 1 :]:
                getattr(rollover, stage)()
            require_one_piece(server)
            assert rollover.stages == {1: Stage.RETIRED, 2: Stage.ISSUING}
            assert not list((state / "ca").glob("*.key")), "the keys of a retired generation are destroyed"
    assert seen == {0, 1}


def test_killed_at_random_under_load_with_a_rollover_going_on(tmp_path):
    """Whole processes, real connections: whatever a client received is in the book once, and under a CA that is known."""
    chance = random.Random(4)  # noqa: S311 - moments, not keys
    received: list[x509.Certificate] = []
    stages = iter(["publish", "switch", "retire"] * 3)
    for _ in range(6):
        with ServerProcess(tmp_path / "s") as server:
            stop = threading.Event()

            def load(server=server, stop=stop):
                while not stop.is_set():
                    with suppress(OSError, ValueError, IndexError, http.client.HTTPException):
                        received.extend(enrol(server))

            threads = [threading.Thread(target=load) for _ in range(3)]
            for thread in threads:
                thread.start()
            rolling = subprocess.Popen(
                [sys.executable, "-m", "device_sdk_simulators.cli.main", "rollover", "--state", str(tmp_path / "s"),
                 "--stage", next(stages)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            before, end = len(received), time.monotonic() + 30
            threading.Event().wait(0.3 + chance.random())
            while len(received) < before + 4 and time.monotonic() < end:
                time.sleep(0.01)
            if chance.random() < 0.5:
                rolling.kill()
            server.kill()
            stop.set()
            for thread in threads:
                thread.join(30)
            rolling.wait(30)
    assert len(received) > 20
    with ReferenceServer(tmp_path / "s") as server:
        book = serials(server)
        assert max(Counter(book).values()) == 1
        assert {f"{one.serial_number:x}" for one in received} <= set(book)
        require_one_piece(server)


def enrol(server: ServerProcess) -> list[x509.Certificate]:
    """The certificates of one answer over TLS; none if it is no success."""
    port = int(server.url.rpartition(":")[2])
    with closing(
        http.client.HTTPSConnection("localhost", port, context=client_context(server), timeout=10)
    ) as connection:
        header, value = basic(server)
        body = base64.b64encode(make_csr())
        connection.request("POST", EST + "simpleenroll", body, {header: value, "Content-Type": "application/pkcs10"})
        response = connection.getresponse()
        answer = response.read()
    return pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer)) if response.status == 200 else []


def known(state: Path) -> dict[str, bool]:
    """GUIDs of CALE, and whether they are revoked."""
    with closing(Database(state / "server.sqlite")) as database:
        rows = database.rows("SELECT guid, revoked_at FROM registrations")
    return {str(row["guid"]): row["revoked_at"] is not None for row in rows}


def test_killed_while_it_registers_for_cale(run, tmp_path):
    """A GUID that was answered is known afterwards; one that was not is nobody's, and hurts nobody (CALE-46)."""
    state, key = tmp_path / "s", ec.generate_private_key(ec.SECP256R1())
    run("start")
    total = run("cale-register", csr=make_csr(key))["events"]
    assert total > 3
    for kill_at in (*range(1, total + 1), NEVER):
        before = known(state)
        answer = run("cale-register", kill_at, csr=make_csr(key))
        new = set(known(state)) - set(before)
        assert len(new) <= 1
        if not answer["killed"]:
            assert {(opened(key, answer["body"].encode(), tmp_path) or b"").decode().strip()} == new
    assert all(run("cale-revoke", csr=guid.encode())["status"] == 204 for guid in known(state))


def test_killed_while_it_revokes_for_cale(run, tmp_path):
    """A revocation that was answered is in force (CALE-51); one that was not can be asked for again."""
    state = tmp_path / "s"
    run("start")
    run("cale-register", csr=make_csr())
    total = run("cale-revoke", csr=next(iter(known(state))).encode())["events"]
    assert total > 1
    for kill_at in (*range(1, total + 1), NEVER):
        run("cale-register", csr=make_csr())
        (guid,) = [one for one, revoked in known(state).items() if not revoked]
        answer = run("cale-revoke", kill_at, csr=guid.encode())
        in_force = known(state)[guid]
        assert in_force or answer["killed"], "answered and not in force"
        assert run("cale-revoke", csr=guid.encode())["status"] == (404 if in_force else 204)
        assert all(known(state).values())
