"""A real device-sdk with a real token, asked over a console by a station that is killed between any two steps."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.softhsm import SoftHsm

from device_sdk.client.bench import BenchDevice, KeyWish
from device_sdk.client.bench.agent import AgentDevice
from device_sdk.client.bench.console import ConsoleDevice, ConsoleSettings
from device_sdk.client.bench.console.plain_facts import parse_plain_facts
from device_sdk.client.bench.facts import PROOF_CONTEXT
from device_sdk.errors import ConfigurationError, DeviceSaysError, LineError
from device_sdk.model.secret import Secret
from device_sdk.transports.serial import open_line
from tests.console.conftest import PASSWORD, USER, Console
from tests.simulators.serial.conftest import issue, issuer

__all__ = ["issue", "issuer"]

NONCE = bytes(range(32))
VERBS = (sys.executable, "-m", "device_sdk.cli.main", "bench")
SETTINGS = ConsoleSettings(
    user=USER, password=lambda: Secret(PASSWORD), verbs=VERBS, silence_s=60, answer_s=60, login_s=60, verb_s=120
)
MakeConsole = Callable[..., Console]


def at(
    console: Console, do: Callable[[BenchDevice], object], settings: ConsoleSettings = SETTINGS, *, killed: bool = False
) -> object:
    """What a station gets that opens the line for this alone, and closes it, or is killed."""
    with open_line(console.path) as line:
        device = ConsoleDevice(line, replace(settings, temporary=str(console.password_file.parent)))
        try:
            return do(device)
        finally:
            if not killed:
                device.close()
                assert line.excerpt().endswith("login: ")


@pytest.mark.slow
def test_from_facts_to_a_proved_certificate(
    make_console: MakeConsole,
    softhsm_token: SoftHsm,
    issuer: ReferenceServer,
    issue: Callable[[bytes], tuple[bytes, bytes]],
    tmp_path: Path,
) -> None:
    config = (
        f'state_dir = "{tmp_path}/state"\n[key]\nuri = "{softhsm_token.uri_of("device-key")}"\n'
        f'[est]\nurl = "{issuer.url}"\n[identity]\nsubject = "CN=router-7"\nserial = "value:4711"\n'
    )
    (tmp_path / "config.toml").touch(0o600)
    env = softhsm_token.environment | {
        name: os.environ[name]
        for name in ("DEVICE_SDK_RUNTIME_DIR", "DEVICE_SDK_REFUSED_PINS", "DEVICE_SDK_CERTIFICATES")
    }
    console = make_console("dash", env=env | {"DEVICE_SDK_CONFIG": str(tmp_path / "config.toml")})

    at(console, lambda it: it.configure(config.encode(), Path(issuer.ca_file).read_bytes()), killed=True)
    facts = at(console, lambda it: it.facts())
    assert (facts.serial_number, facts.enrolled) == ("4711", None)
    wish = KeyWish(softhsm_token.uri_of("device-key"))
    key = at(console, lambda it: it.create_key(wish), killed=True)
    assert at(console, lambda it: it.create_key(wish), killed=True) == key, "the key that was made before"
    assert key.attestation["never_extractable"] is True
    csr = x509.load_der_x509_csr(at(console, lambda it: it.request()))
    assert csr.is_signature_valid
    answer, chain = issue(csr.public_bytes(Encoding.DER))

    def rest(device: BenchDevice) -> None:
        digest = device.install(answer, chain)
        assert device.install(answer, chain) == digest
        proof = device.prove(NONCE)
        certificate = x509.load_der_x509_certificate(proof.certificate)
        assert certificate.fingerprint(hashes.SHA256()) == digest
        public = certificate.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        public.verify(proof.signature, PROOF_CONTEXT + NONCE + digest, ec.ECDSA(hashes.SHA256()))
        assert device.facts().enrolled == digest.hex()
        with pytest.raises(DeviceSaysError, match="the device says: ") as error:
            device.install(answer[:-1], chain)
        assert error.value.device_exit
        assert error.value.device_code
        assert error.value.line == console.path

    at(console, rest)
    assert not list(console.password_file.parent.glob("device-sdk-bench.*")), "what killed stations left is gone, too"


@pytest.mark.slow
def test_commands_of_the_profile(make_console: MakeConsole) -> None:
    console = make_console("dash")

    def tried(device: BenchDevice) -> None:
        assert device.run(("sh", "-c", "echo it works; echo 'and says it' >&2; exit 3"), 60) == (
            3,
            "it works\nand says it\n",
        )
        assert device.run(("printf", "%s", "$HOME `id` 'x' \"y\" \\ \x1b[2J"), 60) == (
            0,
            "$HOME `id` 'x' \"y\" \\ \x1b[2J",
        )
        status, output = device.run(("head", "-c", "66000", "/dev/zero"), 60)
        assert (status, len(output)) == (0, 65536)
        with pytest.raises(LineError, match="did not end within 1 s"):
            device.run(("sleep", "1000"), 1)
        assert device.run(("true",), 60) == (0, "")
        with pytest.raises(LineError, match="more than 2000"):
            device.run(("x" * 2001,), 60)

    at(console, tried)


@pytest.mark.slow
def test_a_device_without_device_sdk(make_console: MakeConsole) -> None:
    """Its kernel is asked; what it needs device-sdk for is refused with the shell's words."""
    console = make_console("dash")
    settings = ConsoleSettings(
        user=USER, password=SETTINGS.password, verbs=("no-such-command",), silence_s=60, answer_s=60
    )

    def tried(device: BenchDevice) -> None:
        with pytest.raises(DeviceSaysError, match="not found") as error:
            device.prove(NONCE)
        assert error.value.device_exit == 127
        try:
            assert device.facts().sdk_version == ""
        except DeviceSaysError as refused:
            assert "no serial number" in str(refused)  # noqa: PT017 - that is up to this machine's kernel
        with pytest.raises(ConfigurationError, match="65536 are the most"):
            device.configure(b"x" * 65537, b"")

    at(console, tried, settings)


@pytest.mark.slow
def test_the_line_is_handed_to_an_agent(make_console: MakeConsole, tmp_path: Path) -> None:
    """A console starts `device-sdk agent --stdio`; the agent's driver has the line, and after it the next person a login prompt."""
    (tmp_path / "config.toml").write_text(f'state_dir = "{tmp_path}/state"\n[identity]\nserial = "value:4711"\n')
    (tmp_path / "config.toml").chmod(0o600)
    console = make_console("dash", env={"DEVICE_SDK_CONFIG": str(tmp_path / "config.toml")})
    with open_line(console.path) as line:
        device = ConsoleDevice(line, SETTINGS)
        device.hand_over(shlex.join([*VERBS[:-1], "agent", "--stdio"]))
        with AgentDevice(line, baud=115200, run="handed-over", timeout_s=100, silence_s=60) as agent:
            assert agent.facts().serial_number == "4711"
        device.close()
        assert line.excerpt().endswith("login: ")


def test_what_a_kernel_says() -> None:
    text = "serial_number=To be filled by O.E.M.\nserial_number=10000000abcdef\x1b[2J\nmodel=Raspberry Pi 4\nmac=DC:A6:32:00:00:01\nmac=../x\nclock=17\n"
    facts = parse_plain_facts(text)
    assert (facts.serial_number, facts.model, facts.clock) == ("10000000abcdef[2J", "Raspberry Pi 4", 17)
    assert facts.macs == ("dc:a6:32:00:00:01",)
    for none in ("", "serial_number=\n", f"serial_number={'x' * 65}\n"):
        with pytest.raises(DeviceSaysError, match="no serial number"):
            parse_plain_facts(none)
