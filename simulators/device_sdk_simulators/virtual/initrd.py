"""The first file system the kernel sees: busybox, the drivers of the disk, and a script that goes on to the real one."""

from __future__ import annotations

import stat
from pathlib import Path

_INIT = b"""#!/bin/busybox sh
/bin/busybox mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1
for m in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk; do
  [ -f /m/$m.ko ] && /bin/busybox insmod /m/$m.ko
done
i=0
while [ ! -b /dev/vda ] && [ $i -lt 1000 ]; do /bin/busybox usleep 10000; i=$((i+1)); done
/bin/busybox mount -t ext4 -o ro /dev/vda /r || { echo "initrd: no root device"; exec /bin/busybox sh; }
/bin/busybox umount /dev
exec /bin/busybox switch_root /r /usr/sbin/init
"""
DRIVERS = ("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk")
"""Kernel modules in the order in which they are loaded; a newer virtio_ring comes before virtio."""


def write_initrd(busybox: Path, modules: Path, target: Path) -> None:
    """Write a newc archive (cpio); nothing in it needs root or device nodes, as the kernel's devtmpfs has them.

    Args:
        busybox: a static one.
        modules: directory with the drivers, NAME.ko.
        target: file to write.
    """
    members: list[tuple[str, bytes | None, int]] = [(name, None, 0o755) for name in ("bin", "dev", "m", "r")]
    members += [("init", _INIT, 0o755), ("bin/busybox", busybox.read_bytes(), 0o755)]
    members += [
        (f"m/{name}.ko", (modules / f"{name}.ko").read_bytes(), 0o644)
        for name in DRIVERS
        if (modules / f"{name}.ko").exists()
    ]
    parts = [_member(number, *member) for number, member in enumerate(members, 1)]
    target.write_bytes(b"".join([*parts, _member(0, "TRAILER!!!", b"", 0)]))


def _member(number: int, name: str, data: bytes | None, mode: int) -> bytes:
    content = data or b""
    kind = stat.S_IFDIR if data is None else stat.S_IFREG
    label = name.encode() + b"\0"
    fields = (number, kind | mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(label), 0)
    head = b"070701" + "".join(f"{value:08x}" for value in fields).encode() + label
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
