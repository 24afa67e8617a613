"""`device-sdk agent` as a process on a real terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.softhsm import SoftHsm

from device_sdk.cli.main import main
from device_sdk.client.bench import KeyWish
from device_sdk.client.bench.agent import AgentDevice
from device_sdk.client.bench.facts import PROOF_CONTEXT
from device_sdk.errors import DeviceSaysError, LineSilentError
from device_sdk.wire.agent.frames import Frame
from tests.agent.conftest import Device
from tests.agent.wires import Cable, Harm
from tests.simulators.serial.conftest import issue, issuer

__all__ = ["issue", "issuer"]

Station = Callable[..., AgentDevice]


def config(device: Device, words: str = "") -> bytes:
    return f'state_dir = "{device.home}/state"\n{words}\n[identity]\nserial = "SN-2"\n'.encode()


def test_a_conversation(device: Device, cable: Callable[..., Cable], station: Station) -> None:
    """Facts, a configuration, an error of the device with its own code, and goodbye, which ends an agent of a shell."""
    line = cable()
    agent = device.start(line)
    said = station(line)
    assert said.facts().serial_number == "SN-1"
    said.configure(config(device), b"")
    assert said.facts().serial_number == "SN-2"
    with pytest.raises(DeviceSaysError, match="the device refused create-key: ") as caught:
        said.create_key(KeyWish(f"file:{device.home}/key.pem", file_allowed=True))
    assert (caught.value.device_code, caught.value.device_exit) == ("configuration", 2)
    assert caught.value.line == line.station_path
    with pytest.raises(DeviceSaysError, match="does not allow that command") as caught:
        said.run(("true",), 5)
    assert caught.value.device_code == "command-not-allowed"
    said.close()
    assert agent.wait(60) == 0


@pytest.mark.slow
@pytest.mark.parametrize("content", [None, b"[identity]\nserial =\0"])
def test_the_configuration_that_is_named_may_be_yet_to_come_or_damaged(
    device: Device, cable: Callable[..., Cable], station: Station, content: bytes | None
) -> None:
    device.config.unlink()
    if content is not None:
        device.config.write_bytes(content)
    line = cable()
    device.start(line, "--stdio", "--idle", "100", "--state", str(device.home / "state"))
    said = station(line)
    said.configure(config(device), b"")
    assert said.facts().serial_number == "SN-2"
    said.close()


@pytest.mark.slow
def test_on_a_terminal_that_others_write_to(device: Device, cable: Callable[..., Cable], station: Station) -> None:
    """A login prompt before, kernel messages meanwhile, octets that flip; a serial line by name; it stays after goodbye."""
    line = cable(Harm(flipped=1e-3))
    line.type(b"\r\nWelcome ~ to router-7 ttyS0\r\n\r\nrouter-7 login: ")
    agent = device.start(line, "--line", line.device_path)
    for _ in range(2):
        said = station(line)
        assert said.facts().serial_number.startswith("SN-")
        line.type(b"[  812.220143] br-lan: port 2(eth1) entered blocking state }~\r\n")
        said.configure(config(device, "#" * 1500), b"")
        assert said.facts().serial_number == "SN-2"
        said.close()
        said._line.close()
    assert agent.poll() is None


@pytest.mark.slow
def test_the_terminal_is_left_as_it_was_found(device: Device, cable: Callable[..., Cable], station: Station) -> None:
    """After goodbye, and when it is told to end, though a command still runs."""
    line = cable()
    settings = termios.tcgetattr(line.device)
    settings[3] |= termios.ECHO | termios.ICANON | termios.ISIG
    termios.tcsetattr(line.device, termios.TCSANOW, settings)
    settings = termios.tcgetattr(line.device)
    for ended_by in (None, signal.SIGTERM):
        agent = device.start(line, "--stdio", "--idle", "100", "--allow-command", "sleep 300")
        said = station(line)
        said.facts()
        assert not termios.tcgetattr(line.device)[3] & termios.ECHO
        if ended_by is None:
            said.close()
        else:
            said._timeout_s = 3
            with pytest.raises(LineSilentError):
                said._ask("run", {"command": ["sleep", "300"], "timeout": 300})
            agent.send_signal(ended_by)
        assert agent.wait(60) == (0 if ended_by is None else 128 + ended_by)
        assert termios.tcgetattr(line.device) == settings
        said._line.close()


@pytest.mark.slow
def test_from_a_shell_and_back(device: Device, cable: Callable[..., Cable], station: Station) -> None:
    """Typed at a prompt, with echo and all; when the station has said goodbye the line is the shell's again."""
    line = cable()
    settings = termios.tcgetattr(line.device)
    settings[0] |= termios.ICRNL
    settings[1] |= termios.OPOST | termios.ONLCR
    settings[3] |= termios.ECHO | termios.ICANON | termios.ISIG
    termios.tcsetattr(line.device, termios.TCSANOW, settings)
    shell = subprocess.Popen(["sh"], stdin=line.device, stdout=line.device, stderr=line.device)
    try:
        said = station(line)
        typed = f"{sys.executable} -m device_sdk.cli.main --config {device.config} agent --stdio; echo back=$?\r"
        said._line.write(typed.encode(), time.monotonic() + 60)
        assert said.facts().serial_number == "SN-1"
        said.close()
        seen, deadline = b"", time.monotonic() + 60
        while b"back=0\r\n" not in seen:
            assert time.monotonic() < deadline
            seen += said._line.read(deadline)
    finally:
        shell.kill()
        shell.wait()


def test_without_pyserial(device: Device) -> None:
    """A device needs nothing for the terminal it is started in; and nobody comes."""
    script = (
        "import sys; sys.modules['serial'] = None; from device_sdk.cli.main import main; "
        f"sys.exit(main(['--config', {str(device.config)!r}, 'agent', '--stdio', '--idle', '1']))"
    )
    read, write = os.pipe()
    with os.fdopen(read), os.fdopen(write):
        done = subprocess.run([sys.executable, "-c", script], stdin=read, capture_output=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == (Frame("r", "00000000").to_bytes(), b"")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--line", "/dev/does-not-exist"], 12, "cannot be opened"),
        (["--line", "nosuch://x"], 2, "nosuch"),
        (["--stdio", "--line", "/dev/ttyS9"], 2, "not allowed with"),
        ([], 2, "required"),
        (["--stdio", "--baud", "1"], 2, "--baud: 1 is not from 50"),
        (["--stdio", "--receive", "95"], 2, "--receive"),
        (["--stdio", "--idle", "0"], 2, "--idle"),
        (["--stdio", "--allow-command", "sh -c 'x"], 2, "agent.commands"),
    ],
)
def test_what_it_is_not_started_with(
    device: Device, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    try:
        assert main(["--config", str(device.config), "agent", *words]) == code
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGHUP), before, strict=True):
            signal.signal(number, handler)
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_nobody_comes(device: Device, cable: Callable[..., Cable]) -> None:
    """The shell comes back by itself."""
    line = cable()
    begun = time.monotonic()
    assert device.start(line, "--stdio", "--idle", "1").wait(60) == 0
    assert time.monotonic() - begun >= 1


@pytest.mark.slow
def test_the_device_loses_its_power(device: Device, cable: Callable[..., Cable], station: Station) -> None:
    """The station notices that the agent was started anew, and asks again what had no answer."""
    line = cable()
    sessions: list[str] = []
    device.start(line)
    said = station(line, on_event=sessions.append)
    said.facts()
    device.stop()
    device.start(line)
    assert said.facts().serial_number == "SN-1"
    assert sum(words.startswith("session ") for words in sessions) == 2
    assert len({words.split()[-1] for words in sessions if words.startswith("session ")}) == 2


@pytest.mark.slow
def test_a_long_operation_shows_that_it_lives(device: Device, cable: Callable[..., Cable], station: Station) -> None:
    """And a station that was cut off meanwhile gets the answer of the one run there was."""
    line = cable()
    count = device.home / "count"
    command = ("sh", "-c", f"echo x >> {count}; sleep 7; cat {count}")
    device.config.write_text(f'[agent]\ncommands = ["sh -c \'{command[2]}\'"]\n[identity]\nserial = "SN-1"\n')
    device.start(line)
    progress: list[tuple[str, int]] = []
    said = station(line, on_progress=lambda name, seconds: progress.append((name, seconds)))
    assert said.run(command, 60) == (0, "x\n")
    assert progress
    assert progress[0][0] == "run"
    assert progress[0][1] >= 5


@pytest.mark.slow
def test_a_flood_of_rubbish(device: Device, cable: Callable[..., Cable], station: Station) -> None:
    """16 MiB without a frame in it: the agent's memory stays, and it answers afterwards."""
    line = cable()
    agent = device.start(line)
    said = station(line)
    said.facts()
    before = resident(agent.pid)
    piece = b"A" * 65536
    for _ in range(256):
        said._line.write(piece, time.monotonic() + 60)
    said.facts()
    assert resident(agent.pid) - before < 8 * 1024 * 1024


@pytest.mark.slow
def test_another_station_while_something_runs(device: Device, cable: Callable[..., Cable], station: Station) -> None:
    """One gives up; the next one waits until the device has time for it, and is not answered with what the first one asked."""
    line = cable()
    device.config.write_text('[agent]\ncommands = ["sleep 3"]\n[identity]\nserial = "SN-1"\n')
    device.start(line)
    first = station(line)
    first.facts()
    first._timeout_s = -29
    with pytest.raises(LineSilentError, match="run was not done in"):
        first.run(("sleep", "3"), 30)
    first._timeout_s = 60
    assert first.facts().serial_number == "SN-1"
    first._line.close()
    assert station(line).facts().serial_number == "SN-1"


@pytest.mark.slow
def test_what_was_given_up_is_not_sent_first(device: Device, cable: Callable[..., Cable], station: Station) -> None:
    """The cable is out while a configuration is sent; what is asked when it is back does not wait for that."""
    line = cable()
    device.start(line)
    said = station(line, silence_s=60)
    said.facts()
    said._timeout_s = 2
    line.harm.cut = True
    with pytest.raises(LineSilentError, match="configure was not done"):
        said.configure(config(device, "#" * 2000), b"")
    line.harm.cut = False
    said._timeout_s = 60
    assert said.facts().serial_number == "SN-1"


@pytest.mark.slow
def test_a_device_with_a_token(
    device: Device,
    cable: Callable[..., Cable],
    station: Station,
    softhsm_token: SoftHsm,
    issuer: ReferenceServer,
    issue: Callable[[bytes], tuple[bytes, bytes]],
) -> None:
    """All of it: the key in a token, its PIN in a file of the device, the certificate from a server that only the station reaches."""
    line = cable(Harm(flipped=3e-4))
    key = f"{softhsm_token.uri_of('device')}"
    device.start(line)
    with station(line, run="batch-7") as said:
        said.configure(
            f'state_dir = "{device.home}/state"\n[est]\nurl = "{issuer.url}"\n[identity]\nsubject = "CN=SN-1"\n'
            f'serial = "SN-1"\n'.encode(),
            Path(issuer.ca_file).read_bytes(),
        )
        made = said.create_key(KeyWish(key))
        assert made.attestation["keystore"] == "pkcs11"
        assert said.create_key(KeyWish(key)) == made
        answer, chain = issue(said.request())
        digest = said.install(answer, chain)
        assert said.facts().enrolled == digest.hex()
        proof = said.prove(b"n" * 32)
        assert said.install(answer, chain) == digest
    public = x509.load_der_x509_certificate(proof.certificate).public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(proof.signature, PROOF_CONTEXT + b"n" * 32 + digest, ec.ECDSA(hashes.SHA256()))
    assert device.agent is not None
    assert device.agent.wait(60) == 0


def resident(pid: int) -> int:
    """Octets of memory that are in use."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
