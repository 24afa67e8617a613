"""TPM device files: /dev/tpm0 is shared by taking turns, /dev/tpmrm0 by its resource manager."""

import os
import socket
import tempfile
import threading
import tty
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.errors import TokenNotFoundError
from device_sdk.keystores import registry
from device_sdk.keystores.tpm2.tcti import has_resource_manager, is_exclusive, unreachable
from tests.descriptors import readable


def sign(key) -> None:
    key.public_key().verify(key.sign(b"m", ec.ECDSA(hashes.SHA256())), b"m", ec.ECDSA(hashes.SHA256()))


@pytest.fixture
def terminal(swtpm: Swtpm) -> Iterator[str]:
    """A character device that is this TPM: a raw pseudo-terminal, relayed."""
    master, slave = os.openpty()
    tty.setraw(slave)
    stop = threading.Event()

    def relay() -> None:
        while not stop.is_set():
            if not readable(master, 0.05):
                continue
            command = os.read(master, 4096)
            while len(command) < 10 or len(command) < int.from_bytes(command[2:6], "big"):
                command += os.read(master, 4096)
            with socket.socket(socket.AF_UNIX) as tpm:
                tpm.connect(str(swtpm.socket))
                tpm.sendall(command)
                os.write(master, tpm.recv(4096))

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    yield os.ttyname(slave)
    stop.set()
    thread.join(60)
    os.close(master)
    os.close(slave)


def descriptors(path: Path) -> int:
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            count += os.path.realpath(entry) == os.path.realpath(path)
    return count


@pytest.mark.parametrize(("name", "kept_open"), [("tpm0", 0), ("tpmrm0", 1)])
def test_device_files(terminal: str, tmp_path: Path, name: str, kept_open: int) -> None:
    """Without a resource manager the device is given back after every use: its driver admits one process at a time."""
    device = tmp_path / name
    device.symlink_to(terminal)
    before = descriptors(device)
    uri = f"tpm2:file={tmp_path}/key.pem?tcti=device:{device}"
    key = registry.create_key(uri, "ec-p256")
    assert descriptors(device) == before + kept_open
    sign(key)
    sign(registry.open_key(uri))
    assert descriptors(device) == before + kept_open
    assert len(list((tmp_path / "run").glob("*.lock"))) == (0 if kept_open else 1)


@pytest.mark.parametrize(
    ("tcti", "managed", "exclusive"),
    [
        ("device:/dev/tpmrm0", True, False),
        ("device:/dev/tpm0", False, True),
        ("tabrmd:bus_type=session", True, False),
        ("swtpm:path=/run/tpmrm0", False, False),
        ("mssim:host=localhost", False, True),
    ],
)
def test_who_manages_slots(tcti: str, managed: bool, exclusive: bool) -> None:
    assert has_resource_manager(tcti) is managed
    assert is_exclusive(tcti) is exclusive


def test_no_permission() -> None:
    """The hint names the group that has it."""
    with tempfile.NamedTemporaryFile(dir="/tmp") as device:
        Path(device.name).chmod(0)
        as_root = os.geteuid() == 0
        if as_root:
            os.seteuid(65534)
        try:
            error = unreachable(f"device:{device.name}", "tpm2:", 0xA000A, answered_before=False)
        finally:
            if as_root:
                os.seteuid(0)
    assert isinstance(error, TokenNotFoundError)
    assert "group tss" in str(error)
