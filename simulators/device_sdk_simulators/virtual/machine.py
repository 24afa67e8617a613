"""One virtual device: its TPM, its disk and its power switch. The console is a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from device_sdk_simulators.softhsm import SimulatorError
from device_sdk_simulators.virtual import qmp
from device_sdk_simulators.virtual.image import Image

SERVER_ADDRESS = "10.0.2.100"
SERVER_NAME = "server.bench"
"""Where the device finds the one server it can reach, port 8443; its /etc/hosts has the name."""
_DISK_MEBIBYTES = 32
_START_S = 30
_ENDING_S = 1.0
# what nobody here uses: without hardware help each device that is looked for, and each self-test, is felt
_MACHINE = "q35,hpet=off,sata=off,smbus=off,usb=off,vmport=off"
_KERNEL = (
    "console=ttyS0,115200 ro quiet panic=5 norandmaps mitigations=off cryptomgr.notests no_timer_check "
    "initcall_blacklist=init_kprobe_trace,load_system_certificate_list 8250.nr_uarts=1 audit=0 apparmor=0 nowatchdog"
)


@dataclass
class VirtualDevice:
    """Kept in a directory: `tpm/` is the TPM's permanent state, `data.img` the disk under /data.

    Args:
        directory: made if it is not there; its path is short enough for Unix sockets, or a SimulatorError says so.
        image: what it starts from.
        serial_number: its host name, and what its DMI says; letters, digits and hyphens.
        mac: of its network card; it has one only if there is a server.
        server_port: port of the loopback address here that the device reaches as SERVER_NAME; nothing else is reachable.
        settings: further words for the device's start, as vd.NAME=VALUE (epoch: POSIX seconds of its clock).
        tpm: whether there is a TPM.
        memory_mebibytes: its RAM.
    """

    directory: Path
    image: Image
    serial_number: str = "VD0001"
    mac: str = "52:54:00:12:34:56"
    server_port: int | None = None
    settings: Mapping[str, str] | None = None
    tpm: bool = True
    memory_mebibytes: int = 256

    def __post_init__(self) -> None:
        self.directory = self.directory.absolute()
        if not re.fullmatch(r"[A-Za-z0-9-]{1,63}", self.serial_number):
            raise SimulatorError("a serial number here is of letters, digits and hyphens")
        if len(str(self.directory / "tpm.sock")) > 100:
            raise SimulatorError(f"{self.directory}: too long a path for the sockets in it")
        self._processes: list[subprocess.Popen[bytes]] = []
        self._lock: BinaryIO | None = None
        self.console = ""

    def power_on(self) -> str:
        """Switch on; the path of the console, another one each time.

        Switched on in a main thread, it ends with this process, however that ends; in another one, as that thread may end
        before, only if this process has the time to see to it.

        Raises:
            SimulatorError: swtpm or QEMU did not start; another process has the directory.
        """
        if self._processes:
            raise SimulatorError("this device is switched on already")
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take()
        try:
            return self._switched_on()
        except BaseException:
            self.power_cut()
            raise

    def _switched_on(self) -> str:
        if self.tpm:
            self._start_tpm()
        output = self.directory / "qemu.out"
        with output.open("wb") as file:
            self._processes.insert(0, self._start(self._command(), file))
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._processes[0].poll() is None:
            # said by QEMU even if it ends right after: it lives when it answers
            if found := re.search(rb"char device redirected to (/dev/pts/\d+)", output.read_bytes()):
                self.console = found[1].decode()
                if self._answers():
                    return self.console
            time.sleep(0.01)
        raise SimulatorError(f"QEMU did not start: {output.read_text(errors='replace')[-1000:]}")

    def power_cut(self) -> None:
        """Pull the plug: nothing that the device has not synced is on its disk, and the TPM is told nothing."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
        self._processes = []
        self._leave()

    def reset(self) -> None:
        """Press the reset button."""
        qmp.execute(self.directory / "qmp.sock", "system_reset")

    def wait_off(self, timeout_s: float) -> None:
        """Wait until the device has switched itself off.

        Raises:
            SimulatorError: it did not.
        """
        try:
            for process in self._processes:
                process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise SimulatorError(f"the device is still on after {timeout_s:g} s") from None
        self._processes = []
        self._leave()

    @property
    def running(self) -> bool:
        """Whether it is switched on and QEMU lives."""
        return bool(self._processes) and self._processes[0].poll() is None

    def log(self) -> str:
        """Everything the console ever showed."""
        log = self.directory / "console.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def _take(self) -> None:
        """Lock the directory. What is started has the lock, too: a device that outlived its process is not started twice."""
        # never truncated before it is ours: it says whose it is
        lock = os.fdopen(os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")
        deadline = time.monotonic() + _ENDING_S
        while not _locked(lock):
            # a machine that was killed has threads that end later
            if time.monotonic() > deadline:
                owner = lock.read(20).decode("ascii", "replace").strip()
                lock.close()
                raise SimulatorError(
                    f"{self.directory}: process {owner}, or what it left running, has this device switched on"
                )
            time.sleep(0.01)
        lock.truncate()
        lock.write(b"%d\n" % os.getpid())
        lock.flush()
        self._lock = lock

    def _leave(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _answers(self) -> bool:
        try:
            qmp.execute(self.directory / "qmp.sock", "query-status")
        except SimulatorError:
            return False
        return True

    def _start_tpm(self) -> None:
        state, socket = self.directory / "tpm", self.directory / "tpm.sock"
        state.mkdir(mode=0o700, exist_ok=True)
        socket.unlink(missing_ok=True)  # a killed swtpm leaves it behind
        command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state},mode=0600",
                   "--ctrl", f"type=unixio,path={socket},mode=0600", "--terminate",
                   "--log", f"file={self.directory / 'swtpm.log'},level=1"]  # fmt: skip
        self._processes.append(self._start(command, None))
        deadline = time.monotonic() + _START_S
        while not socket.exists():
            if time.monotonic() > deadline or self._processes[0].poll() is not None:
                raise SimulatorError(f"swtpm did not start: see {self.directory / 'swtpm.log'}")
            time.sleep(0.01)

    def _start(self, command: list[str], output: BinaryIO | None) -> subprocess.Popen[bytes]:
        if shutil.which(command[0]) is None:
            raise SimulatorError(f"{command[0]} not found: apt-get install qemu-system-x86 swtpm")
        target = subprocess.DEVNULL if output is None else output
        if threading.current_thread() is threading.main_thread():
            # the kernel means the thread that starts it
            command = ["setpriv", "--pdeathsig", "KILL", *command]
        # its own session: a Ctrl-C at the terminal is not for the device
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=target,
            stderr=target,
            start_new_session=True,
            pass_fds=() if self._lock is None else (self._lock.fileno(),),
        )

    def _command(self) -> list[str]:
        here = self.directory
        words = {"serial": self.serial_number, **(self.settings or {})}
        words.setdefault("epoch", str(int(time.time())))
        if self.server_port is not None:
            words["ip"] = "10.0.2.15/24"
        told = " ".join(f"vd.{name}={value}" for name, value in words.items())
        # never the machine's own acceleration: one that hangs is worse than none
        command = ["qemu-system-x86_64", "-M", _MACHINE, "-accel", "tcg,tb-size=256", "-m", str(self.memory_mebibytes),
                   "-nodefaults", "-no-user-config", "-display", "none",
                   "-smbios", f"type=1,manufacturer=Example,product=Virtual device,serial={self.serial_number}",
                   "-chardev", f"pty,id=console,logfile={here}/console.log,logappend=on", "-serial", "chardev:console",
                   "-qmp", f"unix:{here}/qmp.sock,server=on,wait=off",
                   *self._drive("root", self.image.root, 10, "readonly=on,file.locking=off"),
                   *self._drive("data", self._disk(), 11, "cache=writeback"),
                   "-kernel", str(self.image.kernel), "-initrd", str(self.image.initrd),
                   "-append", f"{_KERNEL} {told}"]  # fmt: skip
        if self.tpm:
            command += ["-chardev", f"socket,id=tpmc,path={here}/tpm.sock", "-tpmdev", "emulator,id=tpm0,chardev=tpmc",
                        "-device", "tpm-crb,tpmdev=tpm0"]  # fmt: skip
        if self.server_port is not None:
            forward = f"{sys.executable} -m device_sdk_simulators.virtual.forward {self.server_port}"
            command += ["-netdev", f"user,id=n0,restrict=on,ipv6=off,guestfwd=tcp:{SERVER_ADDRESS}:8443-cmd:{forward}",
                        "-device", f"virtio-net-pci,netdev=n0,mac={self.mac},romfile="]  # fmt: skip
        return command

    def _drive(self, name: str, file: Path, slot: int, options: str) -> list[str]:
        return ["-drive", f"if=none,id={name},file={file},format=raw,{options}",
                "-device", f"virtio-blk-pci,drive={name},romfile=,addr={slot}"]  # fmt: skip

    def _disk(self) -> Path:
        disk = self.directory / "data.img"
        if not disk.exists():
            fresh = self.directory / "data.new"
            with fresh.open("wb") as file:
                file.truncate(_DISK_MEBIBYTES << 20)
            subprocess.run(["mke2fs", "-q", "-t", "ext4", "-L", "data", "-E", "lazy_itable_init=0,lazy_journal_init=0",
                            str(fresh)], check=True, stdin=subprocess.DEVNULL)  # fmt: skip
            fresh.rename(disk)
        return disk

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.power_cut()


def _locked(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
