"""Sessions that many threads and processes share, and what a fork leaves of them."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading

import pytest
from device_sdk_simulators.softhsm import SoftHsm

from device_sdk.errors import (
    KeyStoreBusyError,
    KeyStoreError,
    KeyStoreFailedError,
)
from device_sdk.keystores.keys import EcDeviceKey
from device_sdk.keystores.registry import list_keys, open_key
from tests.keystores.pkcs11.faulty import FaultyModule
from tests.keystores.pkcs11.test_sessions import LOST, ec_key, in_threads, sign


@pytest.mark.slow
def test_thirty_two_threads_neither_deadlock_nor_leak(faulty: FaultyModule) -> None:
    """32 threads on one token, a hundred operations each, and keys opened and closed meanwhile."""
    key = ec_key(faulty.uri_of("device"))

    def work() -> None:
        for index in range(100):
            sign(key)
            if index % 25 == 0:
                with open_key(faulty.uri_of("device")) as mine:
                    assert isinstance(mine, EcDeviceKey)
                    sign(mine)

    in_threads(32, work)
    assert faulty.calls("C_Login") == 1
    assert faulty.most_inside > 1, "the threads took turns; nothing was proved"
    key.close()
    gc.collect()
    list_keys(faulty.uri)
    assert faulty.calls("C_OpenSession") == faulty.calls("C_CloseSession")


@pytest.mark.slow
def test_threads_survive_sessions_and_tokens_that_come_and_go(faulty: FaultyModule) -> None:
    """32 threads sign while sessions are lost and the module is restarted under them."""
    key = ec_key(faulty.uri_of("device"))
    done = threading.Event()
    lost = [0]

    def disturb() -> None:
        while not done.wait(0.02):
            code = (0xB3, 0x101, 0x32, 0x82)[lost[0] % 4]
            faulty.fail("C_Sign", code)
            lost[0] += 1

    def work() -> None:
        for _ in range(60):
            try:
                sign(key)
            except KeyStoreError as error:
                assert error.return_code in LOST.values()  # noqa: PT017  # lost twice in one operation

    troublemaker = threading.Thread(target=disturb, daemon=True)
    troublemaker.start()
    try:
        in_threads(32, work)
    finally:
        done.set()
        troublemaker.join(60)
    assert lost[0] > 5
    faulty.fail("C_Sign", 0, times=0)
    sign(key)


def test_a_token_with_few_sessions_is_shared(faulty: FaultyModule) -> None:
    """CKR_SESSION_COUNT: wait for one of ours instead of failing."""
    key = ec_key(faulty.uri_of("device"))
    sign(key)
    faulty.fail("C_OpenSession", 0xB1, times=10**6)
    in_threads(8, lambda: [sign(key) for _ in range(20)] and None)  # type: ignore[func-returns-value]  # a loop


def test_a_token_without_a_session_free(faulty: FaultyModule) -> None:
    key = ec_key(faulty.uri_of("device"))
    faulty.fail("C_Sign", 0x06)
    with pytest.raises(KeyStoreFailedError):
        sign(key)
    faulty.fail("C_OpenSession", 0xB1, times=10**6)
    with pytest.raises(KeyStoreBusyError, match="session"):
        sign(key)


@pytest.mark.slow
def test_a_forked_child_works_and_so_does_its_parent(faulty: FaultyModule) -> None:
    """A process that forks works: the child initialises the module and logs in for itself."""
    key = ec_key(faulty.uri_of("device"))
    for _ in range(3):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                logins, ends = faulty.calls("C_Login"), faulty.calls("C_Finalize")
                in_threads(8, lambda: sign(key))
                status = 0 if faulty.calls("C_Login") == logins + 1 else 2
                status = status or (0 if faulty.calls("C_Finalize") == ends + 1 else 3)
            finally:
                os._exit(status)
        sign(key)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    sign(key)


@pytest.mark.slow
def test_a_fork_in_the_middle_of_work(token: SoftHsm) -> None:
    """Other threads are inside the module when the process forks; the child does not inherit their locks."""
    key = ec_key(token.uri_of("device"))
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            sign(key)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                try:
                    sign(key)
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        done.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


@pytest.mark.slow
def test_processes_share_one_token(token: SoftHsm) -> None:
    """Six processes open and use one token at once; none sees a transient failure, none is told its PIN is wrong."""
    ec_key(token.uri_of("device")).close()
    code = """
import sys
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk.keystores.registry import open_key
for _ in range(25):
    with open_key(sys.argv[1]) as key:
        key.sign(b"x", ec.ECDSA(hashes.SHA256()))
"""
    command = [sys.executable, "-c", code, token.uri_of("device")]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 6, "\n".join(errors)


@pytest.mark.slow
def test_a_process_that_closes_nothing_ends_quietly(token: SoftHsm) -> None:
    """Open keys at exit: no crash in the module, no words on stderr."""
    code = (
        "import sys; from device_sdk.keystores.registry import *; key = create_key(sys.argv[1], 'ec-p256'); key.x = key"
    )
    command = [sys.executable, "-X", "dev", "-W", "ignore", "-c", code, token.uri_of("device")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
