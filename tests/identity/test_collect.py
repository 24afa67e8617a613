"""Collecting attributes: exactly what was asked for, and nothing else of the machine is looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from device_sdk.errors import ConfigurationError
from device_sdk.identity import IdentitySources, Roots, collect
from device_sdk.model.csr import CsrSpec, DeviceAttributes
from device_sdk.wire.csr import build_csr
from device_sdk.wire.names import parse_dn

MAC = "00:00:92:90:ee:e2"
ID = "0123456789abcdef0f1e2d3c4b5a6978"


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """A machine with everything."""
    files = {
        "sys/class/net/eth0/address": MAC,
        "sys/class/net/eth0/addr_assign_type": "0",
        "sys/class/net/eth0/type": "1",
        "sys/class/net/eth0/device/vendor": "x",
        "sys/class/dmi/id/product_serial": "DMI-1",
        "sys/class/dmi/id/board_serial": "DMI-2",
        "proc/device-tree/serial-number": "DT-1\0",
        "etc/machine-id": ID,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Roots(sys=tmp_path / "sys", proc=tmp_path / "proc", etc=tmp_path / "etc")


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (IdentitySources(), DeviceAttributes()),
        (IdentitySources(mac="auto"), DeviceAttributes(mac_address=MAC)),
        (IdentitySources(mac="eth0"), DeviceAttributes(mac_address=MAC)),
        (IdentitySources(mac="000092.90eee3".replace(".", "")), DeviceAttributes(mac_address="00:00:92:90:ee:e3")),
        (IdentitySources(serial="dmi"), DeviceAttributes(serial_number="DMI-1")),
        (IdentitySources(serial="dmi:board_serial"), DeviceAttributes(serial_number="DMI-2")),
        (IdentitySources(serial="device-tree"), DeviceAttributes(serial_number="DT-1")),
        (IdentitySources(serial="machine-id:raw"), DeviceAttributes(serial_number=ID)),
        (IdentitySources(serial="PID:Widget SN:6"), DeviceAttributes(serial_number="PID:Widget SN:6")),
        (IdentitySources(serial="value:dmi"), DeviceAttributes(serial_number="dmi")),
        (IdentitySources(serial_command=("echo", "C-1")), DeviceAttributes(serial_number="C-1")),
        (
            IdentitySources(serial="dmi", hardware_type="1.3.6.1.4.1.32473.1"),
            DeviceAttributes(serial_number="DMI-1", hardware_type="1.3.6.1.4.1.32473.1", hardware_serial=b"DMI-1"),
        ),
        (
            IdentitySources(hardware_type="1.3.6.1.4.1.32473.1", hardware_serial=b"\x00\x01"),
            DeviceAttributes(hardware_type="1.3.6.1.4.1.32473.1", hardware_serial=b"\x00\x01"),
        ),
        (
            IdentitySources(dns_names=("a.example",), uris=("urn:x:1",)),
            DeviceAttributes(dns_names=("a.example",), uris=("urn:x:1",)),
        ),
    ],
)
def test_every_source(roots: Roots, sources: IdentitySources, expected: DeviceAttributes) -> None:
    assert collect(sources, roots=roots) == expected


def test_machine_id_is_hashed_by_default(roots: Roots) -> None:
    serial = collect(IdentitySources(serial="machine-id"), roots=roots).serial_number
    assert serial is not None
    assert len(serial) == 32
    assert serial != ID


@pytest.mark.parametrize(
    "sources",
    [
        IdentitySources(serial="x", serial_command=("echo", "y")),
        IdentitySources(hardware_type="1.2.3"),
        IdentitySources(hardware_serial=b"x"),
        IdentitySources(hardware_type="gateway", serial="x"),
        IdentitySources(mac="eth9"),
        IdentitySources(serial="dmi:sys_vendor"),
        IdentitySources(serial_command=("false",)),
    ],
)
def test_what_cannot_work(roots: Roots, sources: IdentitySources) -> None:
    with pytest.raises(ConfigurationError):
        collect(sources, roots=roots)


def test_all_the_way_into_a_request(roots: Roots) -> None:
    """Sources, attributes, CSR: openssl shows the MAC address and the serial number of the made-up machine."""
    device = collect(IdentitySources(mac="auto", serial="device-tree", hardware_type="1.2.3"), roots=roots)
    request = build_csr(CsrSpec(parse_dn("CN=x"), device=device), ec.generate_private_key(ec.SECP256R1()))
    command = ["openssl", "req", "-inform", "DER", "-verify", "-text", "-noout"]
    text = subprocess.run(command, input=request, capture_output=True, check=True, timeout=60).stdout.decode()
    assert MAC in text
    assert "serialNumber = DT-1" in text
    assert "1.3.6.1.5.5.7.8.4" in text


# Runs collect() and, for good measure, build_csr() under an audit hook, and reports every file, directory and program
# that was touched after the imports were done.
_WATCHED = """
import json, sys
from pathlib import Path
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk.identity import IdentitySources, Roots, collect
from device_sdk.model.csr import CsrSpec
from device_sdk.wire.csr import build_csr
import asn1crypto.cms
from device_sdk.errors import ConfigurationError
key = ec.generate_private_key(ec.SECP256R1())
build_csr(CsrSpec(x509.Name([])), key)
sources = json.loads(sys.argv[1])
seen, watching = [], True
def hook(event, arguments):
    if watching and event in ("open", "os.listdir", "os.scandir", "subprocess.Popen", "socket.connect",
                              "os.system", "os.exec", "os.posix_spawn", "ctypes.dlopen", "socket.gethostname"):
        started = event == "subprocess.Popen"  # of the keeper, with the command behind its own arguments
        seen.append([event, " ".join(arguments[1][6:]) if started else str(arguments[0])])
sys.addaudithook(hook)
try:
    device = collect(IdentitySources(**sources))
    build_csr(CsrSpec(x509.Name([]), device=device), key)
except ConfigurationError:  # a machine without that fact
    pass
watching = False
print(json.dumps(seen))
"""


def touched(**sources: object) -> list[list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED, json.dumps(sources)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    events: list[list[str]] = json.loads(done.stdout)
    return [event for event in events if not event[1].endswith((".py", ".pyc", "__pycache__"))]


@pytest.mark.slow
def test_nothing_is_read_from_the_machine_unless_asked_for() -> None:
    """No file, directory, program or socket for an identity that is configured, or for none at all."""
    assert touched() == []
    assert touched(mac=MAC, serial="42", hardware_type="1.2.3", dns_names=["a.example"], uris=["urn:x:1"]) == []


def test_only_the_named_file_is_read() -> None:
    """The machine id alone; this also shows that the hook works."""
    assert touched(serial="machine-id") == [["open", "/etc/machine-id"]]


def test_only_the_named_interface_is_read() -> None:
    assert touched(mac="lo") == [["open", "/sys/class/net/lo/address"]]


def test_only_the_named_command_is_run() -> None:
    events = touched(serial_command=["echo", "42"])
    assert [name.split() for event, name in events if event == "subprocess.Popen"] == [["echo", "42"]]
    assert {name for event, name in events if event != "subprocess.Popen"} <= {"/dev/null"} | set(map(str, range(100)))
