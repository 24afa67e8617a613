"""The image that all virtual devices share, read-only: built once for each wheel, kept under the hash of what it is made of."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from device_sdk_simulators.softhsm import SimulatorError
from device_sdk_simulators.virtual.debian import Archive
from device_sdk_simulators.virtual.initrd import write_initrd
from device_sdk_simulators.virtual.tree import PACKAGES, plant, unpack_kernel

PASSWORD = "virtual-device"  # noqa: S105  # of a device for tests
"""Of root, on every virtual device: it is for tests."""
_SALT = "virtual"
_FEATURES = "^has_journal,^metadata_csum"  # nobody writes to it


@dataclass(frozen=True)
class Image:
    """What a virtual device starts from.

    Attributes:
        kernel: the kernel's image.
        initrd: the first file system.
        root: ext4, read-only.
    """

    kernel: Path
    initrd: Path
    root: Path


def build(directory: Path, wheel: Path) -> Image:
    """Build the image, or take the one that was built of the same parts.

    Args:
        directory: kept between builds: package files, and one directory for each image.
        wheel: device-sdk.

    Raises:
        SimulatorError: a package cannot be had, or a tool is missing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    place = directory / _name(wheel)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            with tempfile.TemporaryDirectory(dir=directory, prefix="making-") as work:
                _make(Path(work), directory, wheel)
                (Path(work) / "image").rename(place)
    return Image(place / "vmlinuz", place / "initrd.img", place / "root.img")


def _name(wheel: Path) -> str:
    digest = hashlib.sha256(" ".join(PACKAGES).encode())
    here = Path(__file__).parent
    for file in sorted([*here.glob("*.py"), *(one for one in here.rglob("overlay/**/*") if one.is_file()), wheel]):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _make(work: Path, directory: Path, wheel: Path) -> None:
    root, image = work / "root", work / "image"
    root.mkdir()
    image.mkdir()
    archive = Archive(directory / "packages")
    plant(root, archive, wheel, _password_hash())
    shutil.copyfile(unpack_kernel(root, archive, work / "kernel"), image / "vmlinuz")
    write_initrd(root / "usr/bin/busybox", root / "lib/modules", image / "initrd.img")
    used = sum(file.lstat().st_blocks * 512 for file in root.rglob("*"))
    _run("mke2fs", "-q", "-t", "ext4", "-L", "root", "-O", _FEATURES, "-m", "0", "-d", str(root),
         "-E", "root_owner=0:0,lazy_itable_init=0,no_copy_xattrs", str(image / "root.img"),
         f"{used * 115 // 100 // 2**20 + 24}M")  # fmt: skip


def _password_hash() -> str:
    return _run("openssl", "passwd", "-6", "-salt", _SALT, "-stdin", words=PASSWORD).strip()


def _run(*command: str, words: str = "") -> str:
    try:
        done = subprocess.run(command, input=words, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise SimulatorError(f"{command[0]} not found: apt-get install e2fsprogs openssl") from error
    if done.returncode:
        raise SimulatorError(f"{command[0]} failed: {done.stderr.strip()[-1000:]}")
    return done.stdout
