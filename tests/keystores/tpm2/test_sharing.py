"""Threads, processes, forks and crashes on a TPM with three slots."""

import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.errors import KeyStoreBusyError, KeyStoreError
from device_sdk.keystores import registry
from device_sdk.keystores.tpm2 import Tpm2KeyStore
from device_sdk.keystores.tpm2.lock import TpmLock
from device_sdk.wire.key_uri.tpm2 import Tpm2Uri
from tests.warm.running import Running


def sign(key) -> None:
    key.public_key().verify(key.sign(b"m", ec.ECDSA(hashes.SHA256())), b"m", ec.ECDSA(hashes.SHA256()))


@pytest.mark.slow
def test_32_threads_and_2000_operations(swtpm: Swtpm, tmp_path: Path, loaded) -> None:
    """32 threads on one TPM neither leak nor deadlock, with more keys open than the TPM has slots."""
    keys = [registry.create_key(f"tpm2:file={tmp_path}/{number}.pem", "ec-p256") for number in range(6)]
    keys += [registry.create_key(f"tpm2:handle=0x8100001{number}", "ec-p256") for number in range(2)]
    descriptors = len(list(Path("/proc/self/fd").iterdir()))

    def work(number: int) -> None:
        for turn in range(64):
            key = keys[(number + turn) % len(keys)]
            sign(key)
            if turn % 32 == 0:
                sign(registry.open_key(key.info.uri))

    with ThreadPoolExecutor(32) as pool:
        for done in [pool.submit(work, number) for number in range(32)]:
            done.result(timeout=100)
    assert loaded() == ""
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors + 1


@pytest.mark.slow
def test_2000_operations_do_not_grow(swtpm: Swtpm, tmp_path: Path) -> None:
    """Memory stays: opening, signing and closing leave nothing behind in the process either."""

    def resident_kib() -> int:
        text = Path("/proc/self/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0])

    uri = f"tpm2:file={tmp_path}/key.pem"
    with registry.create_key(uri, "ec-p256") as key:
        for _ in range(300):
            sign(key)
        before = resident_kib()
        for turn in range(2000):
            sign(key)
            if turn % 10 == 0:
                with registry.open_key(uri) as other:
                    sign(other)
        assert resident_kib() - before < 4096


def test_many_keys_are_open_at_once(swtpm: Swtpm, tmp_path: Path) -> None:
    keys = [registry.create_key(f"tpm2:file={tmp_path}/{number}.pem", "ec-p256") for number in range(10)]
    for key in keys + keys[::-1]:
        sign(key)


_SIGN_IN_A_LOOP = """
import sys
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk.keystores import registry
key = registry.open_key(sys.argv[1])
print("ready", flush=True)
for _ in range(int(sys.argv[2])):
    key.public_key().verify(key.sign(b"m", ec.ECDSA(hashes.SHA256())), b"m", ec.ECDSA(hashes.SHA256()))
"""


def start_signing(place: Path, uri: str, times: int) -> Running:
    (place / "sign.py").write_text(_SIGN_IN_A_LOOP)
    return Running([place / "sign.py", uri, times])


@pytest.mark.slow
def test_processes_take_turns(swtpm: Swtpm, tmp_path: Path) -> None:
    """Without a resource manager an flock around load..flush keeps processes out of each other's slots."""
    uris = [registry.create_key(f"tpm2:file={tmp_path}/{number}.pem", "ec-p256").info.uri for number in range(5)]
    with ExitStack() as stack:
        running = [stack.enter_context(start_signing(tmp_path, uri, 200)) for uri in uris]
        assert [process.wait(100) for process in running] == [0] * 5


@pytest.mark.slow
def test_waiting_for_another_process_ends(swtpm: Swtpm, tmp_path: Path) -> None:
    uri = Tpm2Uri(file=str(tmp_path / "key.pem"))
    key = Tpm2KeyStore(deadline_s=0.3).create(uri, registry.KeyType.EC_P256)
    holder = TpmLock(swtpm.tcti)
    holder.acquire(time.monotonic() + 5)
    with pytest.raises(KeyStoreBusyError, match="another process"):
        sign(key)
    holder.release()
    holder.forget()
    sign(key)


@pytest.mark.slow
def test_what_a_killed_process_left_is_cleaned_up(swtpm: Swtpm, tmp_path: Path, loaded) -> None:
    """kill -9 at any moment of a loop: the next one to use the TPM finds the notes and frees the slots."""
    uri = f"tpm2:file={tmp_path}/key.pem"
    key = registry.create_key(uri, "ec-p256")
    left = 0
    for turn in range(20):
        with start_signing(tmp_path, uri, 100000) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.005 + turn * 0.0013)
        time.sleep(0.05)  # swtpm finishes the command that was under way
        left += loaded() != ""
        sign(key)
        assert loaded() == ""
    assert left > 0, "no kill ever left an object behind: this test shows nothing"


@pytest.mark.slow
def test_notes_name_exactly_what_is_stale(swtpm: Swtpm, tmp_path: Path, tools, loaded) -> None:
    """Only the dead process's object is flushed, not another program's."""
    key = registry.create_key(f"tpm2:file={tmp_path}/key.pem", "ec-p256")
    for name in ("ours.ctx", "theirs.ctx"):
        tools("tpm2_createprimary", "-Q", "-C", "o", "-c", name)
    assert loaded().split() == ["-", "0x80000000", "-", "0x80000001"]
    dead = TpmLock(swtpm.tcti)
    dead.acquire(time.monotonic() + 5)
    dead.note([0x80000000])
    dead.forget()
    sign(key)
    assert loaded().split() == ["-", "0x80000001"]
    tools("tpm2_flushcontext", "-t")


def in_child(work) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001  # a child must end here
            import traceback

            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_process_that_forks_works(swtpm: Swtpm, tmp_path: Path) -> None:
    """Parent and child go on with the same key objects, at the same time."""
    keys = [registry.create_key(uri, "ec-p256") for uri in (f"tpm2:file={tmp_path}/key.pem", "tpm2:handle=0x81000010")]
    for key in keys:
        sign(key)

    def work() -> None:
        for key in keys * 20:
            sign(key)
        sign(registry.open_key(keys[0].info.uri))

    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work) for _ in range(3)]
    for child in children:
        child.start()
    work()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    for key in keys:
        sign(key)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forks_while_other_threads_sign(swtpm: Swtpm, tmp_path: Path) -> None:
    """A fork waits until no command is under way, so that no child holds half a conversation or a lock for ever."""
    key = registry.create_key(f"tpm2:file={tmp_path}/key.pem", "ec-p256")
    stop = threading.Event()
    failures: list[BaseException] = []

    def busy() -> None:
        while not stop.is_set():
            try:
                sign(key)
            except BaseException as error:  # noqa: BLE001  # shown by the test
                failures.append(error)
                return

    threads = [threading.Thread(target=busy) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        assert [in_child(lambda: sign(key)) for _ in range(20)] == [0] * 20
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert failures == []


@pytest.mark.slow
@pytest.mark.parametrize("place", ["file={}/key.pem", "handle=0x81000010"])
def test_power_cuts_around_create(swtpm: Swtpm, tmp_path: Path, tools, loaded, place: str) -> None:
    """Killing the process and the TPM at any moment of a creation: the same command then finishes the job, and there is
    one key of that name, no orphan in the TPM, nothing beside the file, and no failure counted (noDA).
    """
    directory = tmp_path / "keys"
    directory.mkdir()
    uri = f"tpm2:{place.format(directory)}"
    persistent = tools("tpm2_getcap", "handles-persistent").split()
    create = (
        "import sys\nfrom device_sdk.keystores import registry\nprint('ready', flush=True)\n"
        "registry.open_store(sys.argv[1])\nfor _ in range(1000):\n"
        "    registry.create_key(sys.argv[1], 'ec-p256', reuse=True)\n    registry.delete_key(sys.argv[1])\n"
    )
    program = tmp_path / "create.py"
    program.write_text(create)
    for turn in range(24):
        with Running([program, uri]) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.15 + turn * 0.0037)
            assert process.poll() is None, process.stderr.read()
            if turn % 2:
                swtpm.kill()
        if turn % 2:
            swtpm.start()
        else:
            time.sleep(0.05)
        sign(registry.create_key(uri, "ec-p256", reuse=True))
        assert loaded() == ""
        registry.delete_key(uri)
        assert tools("tpm2_getcap", "handles-persistent").split() == persistent
        assert [path.name for path in directory.iterdir()] == []
    assert "TPM2_PT_LOCKOUT_COUNTER: 0x0" in tools("tpm2_getcap", "properties-variable")


def test_lock_files_are_in_a_private_directory(swtpm: Swtpm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "open"
    directory.mkdir()
    directory.chmod(0o777)
    monkeypatch.setenv("DEVICE_SDK_RUNTIME_DIR", str(directory))
    with pytest.raises(KeyStoreError, match="private directory"):
        registry.list_keys("tpm2:")
    directory.chmod(0o700)
    assert registry.list_keys("tpm2:") == ()
