"""Serial numbers: DMI, device tree, machine id."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from device_sdk.errors import ConfigurationError
from device_sdk.identity import Roots, device_tree_serial, dmi_value, machine_id
from device_sdk.identity.serial import APPLICATION_ID

ID = "0123456789abcdef0f1e2d3c4b5a6978"


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return Roots(sys=tmp_path / "sys", proc=tmp_path / "proc", etc=tmp_path / "etc")


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_dmi(roots: Roots) -> None:
    write(roots.sys / "class/dmi/id/product_serial", b"  MX-2026 0042 \n")
    write(roots.sys / "class/dmi/id/board_serial", b"B7\n")
    assert dmi_value(roots=roots) == "MX-2026 0042"
    assert dmi_value("board_serial", roots=roots) == "B7"


@pytest.mark.parametrize(
    "text",
    ["To be filled by O.E.M.", "Default string", "None", "0", "00000000", "...", "0123456789", "Not Specified",
     "03000200-0400-0500-0006-000700080009", "FFFFFFFF"],
)  # fmt: skip
def test_dmi_placeholders_are_no_identity(roots: Roots, text: str) -> None:
    """Two devices would get the same name."""
    write(roots.sys / "class/dmi/id/product_serial", text.encode() + b"\n")
    with pytest.raises(ConfigurationError, match="which many machines share"):
        dmi_value(roots=roots)


@pytest.mark.parametrize("field", ["../../../etc/passwd", "sys_vendor", ""])
def test_other_dmi_fields_are_not_read(roots: Roots, field: str) -> None:
    with pytest.raises(ConfigurationError, match="no DMI field"):
        dmi_value(field, roots=roots)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "is empty"),
        (b" \n\0", "is empty"),
        (b"a\nb", "more than one line"),
        (b"a\x1b[31m", "more than one line"),
        (b"\xff\xfe", "does not hold text"),
        (b"A" * 5000, "longer than 4096"),
    ],
)
def test_files_that_hold_no_fact(roots: Roots, data: bytes, word: str) -> None:
    write(roots.sys / "class/dmi/id/product_serial", data)
    with pytest.raises(ConfigurationError, match=word):
        dmi_value(roots=roots)


def test_missing_and_unreadable_files_are_told_apart(roots: Roots) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*product_serial: No such file"):
        dmi_value(roots=roots)
    (roots.sys / "class/dmi/id/product_serial").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="Is a directory"):
        dmi_value(roots=roots)


def test_without_permission_the_hint_says_what_to_do(tmp_path: Path) -> None:
    """product_serial is readable by root only; tried as nobody, in a process of its own."""
    write(tmp_path / "class/dmi/id/product_serial", b"secret")
    (tmp_path / "class/dmi/id/product_serial").chmod(0)
    program = (
        "import os, sys; from pathlib import Path\n"
        "from device_sdk.identity.serial import dmi_value; from device_sdk.identity.roots import Roots\n"
        "directory = os.open(sys.argv[1], os.O_RDONLY); os.fchdir(directory)\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "dmi_value(roots=Roots(sys=Path('.')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "no permission to read" in done.stderr
    assert "run as root, or give the value itself" in done.stderr
    assert "secret" not in done.stderr


def test_device_tree(roots: Roots) -> None:
    """Properties end in a NUL byte."""
    write(roots.proc / "device-tree/serial-number", b"10000000abcdef01\0")
    assert device_tree_serial(roots=roots) == "10000000abcdef01"
    with pytest.raises(ConfigurationError, match="device-tree serial number: cannot read"):
        device_tree_serial(roots=Roots(proc=roots.proc / "none"))


@pytest.mark.parametrize("application", [APPLICATION_ID, uuid.UUID("3f9ccfa4-f1b3-4a7e-9c3b-8d6f0a1b2c3d")])
def test_hashed_machine_id_is_systemds(roots: Roots, application: uuid.UUID) -> None:
    """sd_id128_get_machine_app_specific(3): HMAC-SHA256 by openssl, first half, marked as a random UUID."""
    write(roots.etc / "machine-id", ID.encode() + b"\n")
    command = ["openssl", "dgst", "-sha256", "-binary", "-mac", "HMAC", "-macopt", f"hexkey:{ID}"]
    digest = subprocess.run(command, input=application.bytes, capture_output=True, check=True, timeout=60).stdout
    assert machine_id(application=application, roots=roots) == uuid.UUID(bytes=digest[:16], version=4).hex


def test_machine_id_is_raw_only_on_request(roots: Roots) -> None:
    write(roots.etc / "machine-id", ID.encode() + b"\n")
    assert machine_id(roots=roots) == machine_id(application=APPLICATION_ID, roots=roots) != ID
    assert machine_id(application=None, roots=roots) == ID


def test_the_application_id_never_changes(roots: Roots) -> None:
    """Another one would give every device another name."""
    write(roots.etc / "machine-id", ID.encode() + b"\n")
    assert str(APPLICATION_ID) == "0d6b0a43-5d0e-4c6f-9a0c-7c1f6a8e52b7"


@pytest.mark.parametrize("text", ["uninitialized", "0" * 32, "ab" * 15, "zz" * 16])
def test_machine_ids_that_are_none(roots: Roots, text: str) -> None:
    write(roots.etc / "machine-id", text.encode())
    with pytest.raises(ConfigurationError, match="32 hex digits"):
        machine_id(roots=roots)
