"""The root file system of a virtual device, as a directory: packages unpacked, busybox in charge, Python on top."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from device_sdk_simulators.softhsm import SimulatorError
from device_sdk_simulators.virtual.debian import Archive
from device_sdk_simulators.virtual.python_packages import LIBRARIES, closure, compile_all, copy_packages, unpack_wheel

_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PACKAGES = (
    "busybox-static",
    "base-files",
    "python3-minimal",
    f"libpython{_PYTHON}-stdlib",
    "tpm2-tools",
    "libtss2-esys-3.0.2-0",
    "libtss2-tctildr0",
    "libtss2-tcti-device0",
    "openssl",
)
# what maintainer scripts would want, which do not run, and the other ways to a TPM
UNWANTED = (
    "adduser|debconf|passwd|dpkg|tar|udev|tpm-udev|perl-base|mawk|libsemanage.*|libsepol.*|libapt.*|gpgv|login.*|libpam.*"
    "|libaudit.*|libcap-ng.*|libdb5.*|libdebconf.*|libkmod2|libtss2-tcti-(mssim|swtpm|cmd|spi).*|media-types"
    "|readline-common|libsqlite3-0|libtirpc.*|libnsl2|ucf|sensible-utils|perl.*"
)
_DOCUMENTS = ("doc", "man", "locale", "bash-completion", "lintian")
_DRIVERS = (
    "virtio/virtio",
    "virtio/virtio_ring",
    "virtio/virtio_pci",
    "virtio/virtio_pci_legacy_dev",
    "virtio/virtio_pci_modern_dev",
    "net/net_failover",
    "block/virtio_blk",
    "net/virtio_net",
)
_OVERLAY = Path(__file__).parent / "overlay"
_FOLDERS = [
    "usr/bin",
    "usr/sbin",
    "usr/lib",
    "usr/lib64",
    "proc",
    "sys",
    "dev",
    "run",
    "tmp",
    "mnt",
    "data",
    "root",
    "etc/init.d",
    "var/log",
    "opt",
    "usr/libexec",
]


def plant(root: Path, archive: Archive, wheel: Path, password_hash: str) -> None:
    """Fill an empty directory.

    Args:
        root: the directory.
        archive: where packages come from.
        wheel: device-sdk, as its users get it.
        password_hash: of root, as /etc/shadow has it.

    Raises:
        SimulatorError: a package cannot be had or does not unpack.
    """
    for folder in _FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    for file in archive.fetch(list(PACKAGES), UNWANTED).values():
        _unpack(file, root, [f"./usr/share/{name}" for name in _DOCUMENTS])
    _busybox(root)
    shutil.copytree(_OVERLAY, root, dirs_exist_ok=True)
    for program in ("usr/sbin/init", "usr/bin/device-sdk", "etc/init.d/rcS"):
        (root / program).chmod(0o755)
    _accounts(root, password_hash)
    _python(root, wheel)


def unpack_kernel(root: Path, archive: Archive, work: Path) -> Path:
    """Unpack the kernel; its drivers go into the root, the path of its image is returned.

    Raises:
        SimulatorError: it cannot be had.
    """
    name = archive.dependency("linux-image-cloud-amd64", r"linux-image-[0-9][^\s]*")
    _unpack(archive.fetch([name], ".*")[name], work, [])
    (tree,) = (
        (work / "lib" / "modules").iterdir()
        if (work / "lib" / "modules").exists()
        else (work / "usr" / "lib" / "modules").iterdir()
    )
    target = root / "lib" / "modules"
    target.mkdir(parents=True, exist_ok=True)
    for driver in (*(f"drivers/{one}" for one in _DRIVERS), "net/core/failover"):
        found = tree / "kernel" / f"{driver}.ko"
        if found.exists():
            shutil.copyfile(found, target / found.name)
    return next((work / "boot").glob("vmlinuz-*"))


def _unpack(package: Path, target: Path, without: list[str]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as reading:
        command = ["tar", "-C", str(target), "--keep-directory-symlink", "--no-same-owner", "-xf", "-"]
        done = subprocess.run(
            [*command, *(f"--exclude={path}" for path in without)],
            stdin=reading.stdout,
            capture_output=True,
            check=False,
        )
    if done.returncode or reading.returncode:
        raise SimulatorError(f"{package.name} does not unpack: {done.stderr.decode(errors='replace')[-500:]}")


def _busybox(root: Path) -> None:
    program = root / "usr" / "bin" / "busybox"
    listed = subprocess.run([str(program), "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in listed:
        if not any(
            (root / place / name).exists() or (root / place / name).is_symlink() for place in ("usr/bin", "usr/sbin")
        ):
            (root / "usr" / "bin" / name).symlink_to("busybox")
    (root / "usr" / "sbin" / "init").unlink(missing_ok=True)
    (root / "usr" / "bin" / "init").unlink(missing_ok=True)
    (root / "usr" / "sbin" / "getty").symlink_to("../bin/busybox")
    (root / "usr" / "libexec" / "init").symlink_to("../bin/busybox")
    (root / "init").symlink_to("usr/sbin/init")
    # the root file system is read-only; the device's configuration is on the disk
    (root / "etc" / "device-sdk").symlink_to("/data/etc")


def _accounts(root: Path, password_hash: str) -> None:
    if not re.fullmatch(r"[$A-Za-z0-9./]+", password_hash):
        raise SimulatorError("not the hash of a password")
    etc = root / "etc"
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n")
    (etc / "group").write_text("root:x:0:\ntty:x:5:\nnogroup:x:65534:\n")
    (etc / "shadow").write_text(f"root:{password_hash}:19000:0:99999:7:::\nnobody:*:19000::::::\n")
    (etc / "shadow").chmod(0o600)


def _python(root: Path, wheel: Path) -> None:
    packages = root / "usr" / "lib" / "python3" / "dist-packages"
    packages.mkdir(parents=True, exist_ok=True)
    library = root / "usr" / "lib" / f"python{_PYTHON}"
    copy_packages(closure(LIBRARIES), packages)
    unpack_wheel(wheel, packages)
    for name in ("test", "idlelib", "lib2to3", "turtledemo", "ensurepip", "tkinter"):
        shutil.rmtree(library / name, ignore_errors=True)
    compile_all(root, library, packages)
