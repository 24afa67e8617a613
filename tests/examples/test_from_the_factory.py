"""A device that is driven by its package list alone, from the factory to the field, with its keys in SoftHSM (RFC 8295)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.cli.main import main as sim
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.softhsm import SoftHsm

from device_sdk.cli.main import main as device_sdk
from device_sdk.client.device import Device
from tests.cli.test_contract_symmetric_keys import key_file
from tests.keystores.pkcs11.tools import pkcs11_tool
from tests.simulators.server.support import certificates_in, make_csr, name, post

EXAMPLE = Path(__file__).parents[2] / "examples" / "from_the_factory.py"
HARDWARE, PACKAGE = "1.3.6.1.4.1.32473.1", "1.3.6.1.4.1.32473.7"


class Field:
    """A device with a timer, and the operator of its server."""

    def __init__(self, server: ReferenceServer, token: SoftHsm, directory: Path, capsys) -> None:
        self.server, self.token, self.directory, self.capsys = server, token, directory, capsys
        self.state, self.factory, self.data = (directory / one for one in ("state", "factory", "data"))
        for made in (self.factory, self.data):
            made.mkdir()
        self.device = Device(self.state)

    def leave_the_factory(self) -> None:
        """Whom the device believes; and who may manage its trust anchors."""
        self.sim("tamp", "anchors", "--out", self.factory)
        (self.factory / "est.pem").write_bytes(self.server.ca_file.read_bytes())
        words = ("--role", "apex", "--hw-type", HARDWARE, "--hw-serial", "00a1", "--state", self.state)
        assert device_sdk(["anchors", "import", *map(str, (self.factory / "apex.der", *words))]) == 0

    def sim(self, *words: object) -> str:
        self.capsys.readouterr()
        assert sim([*map(str, words), "--state", str(self.server.state)]) == 0
        return str(self.capsys.readouterr().out)

    def publish(self, kind: str, what: object, *words: object) -> None:
        serial = f"{self.device.certificate.serial_number:x}"
        self.sim("publish", kind, what, "--to", serial, *words)

    def publish_firmware(self, version: int) -> bytes:
        image = b"\x7fELF" + bytes([version]) * 4000
        new = self.directory / f"image-{version}"
        new.write_bytes(image)
        self.publish(
            "firmware", new, "--package", PACKAGE, "--package-version", version, "--hw-type", HARDWARE, "--compress"
        )
        return image

    def run(self) -> list[str]:
        """The timer fires."""
        words = (self.state, self.token.uri, self.server.url, self.factory, self.data, self.server.user)
        command = [sys.executable, EXAMPLE, *map(str, words), self.server.password_file]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout.splitlines()


@pytest.fixture
def field(est_server: ReferenceServer, softhsm_token: SoftHsm, tmp_path: Path, capsys) -> Field:
    return Field(est_server, softhsm_token, tmp_path, capsys)


def done(lines: list[str]) -> list[str]:
    return [line[:4] for line in lines if line[4:10] == " done:"]


@pytest.mark.slow
def test_p_15_kr_06_fr_06_tr_05_from_the_factory_to_the_field(field: Field, tmp_path: Path) -> None:
    """First certificate; then peers, keys, firmware and messages; then another key of the CA, another apex, an update."""
    server, device = field.server, field.device
    field.leave_the_factory()
    assert done(field.run()) == ["0002", "0005"]
    peers = [certificates_in(post(server, make_csr(subject=name(f"peer-{number}"))))[0] for number in (1, 2)]
    pem = tmp_path / "peers.pem"
    pem.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in peers))
    field.publish("peers", pem)
    field.publish("keys", key_file(tmp_path), "--receipt")
    (field.factory / "keys.pem").write_bytes((server.state / "keys-ca" / "root.pem").read_bytes())
    first_image = field.publish_firmware(4)
    (field.factory / "firmware.pem").write_bytes((server.state / "firmware-ca" / "anchors.pem").read_bytes())
    field.publish("tamp", "query")
    field.publish("tamp", "update", "--add", "identity")
    lines = field.run()
    assert sorted(done(lines)) == ["0002", "0003", "0005", "0024", "0026", "0028", "0030"], lines
    assert len([line for line in lines if line.startswith("told the server: ")]) == 4
    assert set(device.peers) == set(peers)
    assert (field.data / "image").read_bytes() == first_image
    listed = pkcs11_tool(field.token, "--list-objects", "--type", "secrkey")
    assert listed.count("Secret Key Object") == 2
    assert lines[-1] == "trust anchors: CN=Reference Root CA, CN=Reference identity trust anchor"

    before = device.certificate
    server.est.register.revoke(f"{peers[0].serial_number:x}")
    server.policy.pal_renewal = 0.0
    server.rollover("").publish("ec-p256")
    second_image = field.publish_firmware(5)
    field.publish("tamp", "apex-update")
    old_apex = device.state.managed.load().apex
    lines = field.run()
    assert sorted(done(lines)) == ["0002", "0003", "0005", "0010", "0026", "0032"], lines
    assert "0002 done: the trust anchors changed" in lines
    assert device.peers == (peers[1],)
    assert (field.data / "image").read_bytes() == second_image
    assert device.certificate.serial_number != before.serial_number
    assert device.state.managed.load().apex != old_apex
    assert len(device.anchors) == 3, "both keys of the CA, and the anchor that a message brought"

    server.policy.pal_renewal = 1.0
    server.rollover("").switch()
    lines = field.run()
    assert done(lines) == ["0002", "0005", "0003"], "what may change is looked at, and nothing is done twice"
    assert not [line for line in lines if "told" in line]
    assert device.state.check() == ()
    assert device.state.outbox.pending() == ()
    key = device.key()
    assert key.info.extractable is False
    key.close()
