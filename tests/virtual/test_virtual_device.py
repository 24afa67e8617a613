"""From power-on to a certificate and its renewal on a machine with a kernel, a TPM driver and a console of its own."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from device_sdk_simulators.command_process import CommandProcess
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.virtual import VirtualDevice

from tests.virtual.console import Console

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ENROL = (
    "enroll --key tpm2:file=/data/device.tss2 --url https://server.bench:8443 --anchors /data/anchors.pem "
    "--user device --password-file /data/password --subject CN={name} --serial {name} --mac eth0 --json"
)
CUT_AT = Path(__file__).with_name("cut_at.py").read_bytes()


def switched_on(device: VirtualDevice) -> Console:
    console = Console(device.power_on())
    console.log_in()
    return console


def prepared(device: VirtualDevice, server: ReferenceServer) -> Console:
    """Switched on for the first time, with what enrolment needs on its disk."""
    console = switched_on(device)
    console.put(server.ca_file.read_bytes(), "/data/anchors.pem")
    console.put(server.password.encode(), "/data/password")
    console.ok("chmod 600 /data/password; sync")
    return console


def issued(server: ReferenceServer, name: str) -> list[dict[str, object]]:
    """What the server's register has for a subject, the oldest first."""
    return [one for one in server.est.register.entries() if f"CN={name}" in str(one["subject"])]


def shown(console: Console) -> dict[str, object]:
    said: dict[str, object] = json.loads(console.ok("device-sdk show --json"))
    return said


def test_from_power_on_to_a_certificate_and_its_renewal_after_a_power_cut(
    new_device: Callable[..., VirtualDevice], server: ReferenceServer
) -> None:
    """The second time from clean is test_provisioned.py."""
    name = "VD0001"
    with new_device(name) as device:
        console = prepared(device, server)
        assert "/dev/tpmrm0" in console.ok("ls /dev/tpmrm0")
        console.ok(f"device-sdk {ENROL.format(name=name)}")
        (first,) = issued(server, name)
        assert "TSS2 PRIVATE KEY" in console.ok("cat /data/device.tss2")
        device.power_cut()
        console.close()

        console = switched_on(device)
        assert str(first["serial"]) in json.dumps(shown(console))
        console.ok("device-sdk renew --json")
        _, second = issued(server, name)
        assert second["spki_sha256"] != first["spki_sha256"]
        # the certificate and the TPM, by tools that are not ours
        serial = console.ok("openssl x509 -noout -serial -in /data/device-sdk/current.pem && tpm2_getrandom --hex 8")
        assert int(serial.split()[0].removeprefix("serial="), 16) == int(str(second["serial"]), 16)
        console.send("poweroff\n")
        device.wait_off(120)


def test_power_cuts(new_device: Callable[..., VirtualDevice], server: ReferenceServer) -> None:
    """Whenever the power goes, the same command ends with a certificate for the one key that the device has.

    All cuts befall one device: what gets as far as the next moment has left the one before behind.
    """
    name = "VD-CUT"
    with new_device(name) as device:
        console = prepared(device, server)
        console.put(CUT_AT, "/data/cut_at.py")
        counts = []
        for moment in ("key-made", "csr-sent", "certificate-received", "state-written"):
            console.send(f"python3 /data/cut_at.py {moment} {ENROL.format(name=name)} < /dev/null\n")
            console.wait_for(b"CUT HERE")
            device.power_cut()
            console.close()
            counts.append(len(issued(server, name)))
            console = switched_on(device)
        made, sent, received, written = counts
        assert made == 0
        assert sent in {0, 1}, "the server may have read the request before the power went, or not"
        assert (received, written) == (sent + 1, sent + 2), "what is not in the state is asked for again"

        said = console.ok(f"device-sdk {ENROL.format(name=name)}")
        after = issued(server, name)
        assert str(after[-1]["serial"]) in said
        assert len(after) == written
        assert len({one["spki_sha256"] for one in after}) == 1, "one key, however often it was asked for"
        console.close()


@pytest.mark.usefixtures("image")
def test_a_clock_at_1970_and_no_tpm(images: Path, wheel: Path, server: ReferenceServer) -> None:
    """By the command: a board without a battery is told what is wrong with it, and the server nothing."""
    words = ["virtual", "--images", str(images), "--wheel", str(wheel), "--serial-number", "VD1970", "--epoch", "86400"]
    with tempfile.TemporaryDirectory(prefix="vd-", dir="/tmp") as place:
        words += ["--state", place, "--no-tpm", "--server-port", str(server.port)]
        with CommandProcess("the virtual device", words) as device:
            console = Console(str(device.facts["console"]))
            console.log_in()
            console.put(server.ca_file.read_bytes(), "/data/anchors.pem")
            console.put(server.password.encode(), "/data/password")
            console.ok("chmod 600 /data/password")
            enrol = f"device-sdk {ENROL.format(name='VD1970')}"
            status, said = console.run(enrol)
            assert (status, "1970-01-02" in said) == (11, True), said
            console.ok(f"date -s @{int(time.time())}")
            status, said = console.run(enrol)
            assert (status, "no TPM answers" in said) == (3, True), said
            assert issued(server, "VD1970") == []
            console.close()
