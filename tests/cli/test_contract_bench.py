"""`device-sdk bench`: the operations of a device on a line, as a console driver calls them; here the line is curl's."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.client.bench.facts import PROOF_CONTEXT
from tests.cli.conftest import Lab, leaf
from tests.cli.terminal import Terminal

NONCE = bytes(range(32))


class Line:
    """A device that was configured over a line, and the server that the station asks for it."""

    def __init__(self, lab: Lab, key: str) -> None:
        self.lab, self.key = lab, key
        self.config = (
            f'state_dir = "{lab.state}"\n[key]\nuri = "{key}"\n[est]\nurl = "{lab.server.url}"\n'
            '[identity]\nsubject = "CN=router-7"\nserial = "value:4711"\n'
        )

    def configure(self) -> None:
        given = (
            base64.encodebytes(self.config.encode()) + b"\n" + base64.b64encode(self.lab.server.ca_file.read_bytes())
        )
        assert self.bench("configure", "--file", "-", "--trust", "-", input=given) == {"configured": True}

    def bench(self, *words: object, **options: object) -> dict[str, object]:
        """A verb, and its one line."""
        said = self.lab.cli.ok("bench", *words, "--json", **options).out
        assert said.count("\n") == 1
        answer: dict[str, object] = json.loads(said)
        return answer

    def asked(self, operation: str, body: bytes | None = None) -> bytes:
        """What the server answers, base64."""
        server = self.lab.server
        words = ["curl", "-sS", "--fail", "--cacert", str(server.ca_file), f"{server.url}/.well-known/est/{operation}"]
        if body is not None:
            words += [
                "-u",
                f"{server.user}:{server.password}",
                "-H",
                "Content-Type: application/pkcs10",
                "--data-binary",
                "@-",
            ]
        return subprocess.run(words, input=body, capture_output=True, check=True, timeout=60).stdout

    def enrolled(self, *create: object) -> str:
        """The steps from a key to a certificate; its SHA-256."""
        self.bench("create-key", *create)
        csr = str(self.bench("request")["csr"])
        answer, ca = self.asked("simpleenroll", csr.encode()), self.asked("cacerts")
        both = b"\n\n".join(base64.b64encode(base64.b64decode(one)) for one in (answer, ca))
        return str(self.bench("install", "--answer", "-", "--ca-certificates", "-", input=both)["certificate_sha256"])


@pytest.mark.slow
@pytest.mark.parametrize("store", ["pkcs11", "tpm2"])
def test_from_facts_to_a_proved_certificate(store: str, lab: Lab, token: SoftHsm, swtpm: Swtpm, tmp_path: Path) -> None:
    """Every verb once; afterwards the other commands see an ordinary enrolled device, which renews over its own network."""
    key = {"pkcs11": token.uri_of("device-key"), "tpm2": f"tpm2:file={tmp_path}/device-key.pem"}[store]
    line = Line(lab, key)
    line.configure()
    assert (tmp_path / "config.toml").stat().st_mode & 0o777 == 0o600
    facts = line.bench("facts")
    assert (facts["serial_number"], facts["enrolled"]) == ("4711", None)
    places = facts["keystores"]
    assert isinstance(places, list)
    assert [place.partition(":")[0] for place in places] == ["pkcs11", "tpm2", "file"][store == "tpm2" :]
    # a station knows of the key what the device says, and of no PIN
    made = line.bench("create-key", "--key", key.partition("&pin-source")[0])
    said = made["attestation"]
    assert isinstance(said, dict)
    assert (said["keystore"], said["extractable"], said["hardware"]) == (store, False, True)
    names = {"pkcs11": ("sensitive", "never_extractable", "local"), "tpm2": ("fixed_tpm", "sensitive_data_origin")}[
        store
    ]
    assert all(said[name] is True for name in names), said
    sha256 = line.enrolled("--key", key.partition("&pin-source")[0])
    assert lab.cli.ok("show", "--state", lab.state, "--json").json["key_uri"] == key
    assert line.bench("facts")["enrolled"] == sha256
    certificate = leaf(lab.state / "current.pem")
    public = certificate.public_key()
    assert public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == base64.b64decode(
        str(made["public_key"])
    )
    proof = line.bench("prove", "--nonce", NONCE.hex())
    assert base64.b64decode(str(proof["certificate"])) == certificate.public_bytes(Encoding.DER)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    message = PROOF_CONTEXT + NONCE + bytes.fromhex(sha256)
    public.verify(base64.b64decode(str(proof["signature"])), message, ec.ECDSA(hashes.SHA256()))
    assert lab.cli.ok("doctor", "--state", lab.state, "--json").json
    assert lab.cli.ok("renew", "--state", lab.state, "--json").json["changed"] is True
    assert line.bench("facts")["enrolled"] != sha256


@pytest.mark.slow
def test_a_configured_device_enrols_by_itself(lab: Lab) -> None:
    """`enrol` asks over the device's own network what the configuration names, and is `device-sdk enroll`."""
    line = Line(lab, f"file:{lab.keys}/device.pem")
    line.config = line.config.replace(
        "[identity]", f'user = "{lab.server.user}"\npassword_file = "{lab.server.password_file}"\n[identity]'
    )
    lab.server.password_file.chmod(0o600)
    line.configure()
    sha256 = line.bench("enrol")["certificate_sha256"]
    assert sha256 == leaf(lab.state / "current.pem").fingerprint(hashes.SHA256()).hex()
    assert line.bench("enrol")["certificate_sha256"] == sha256
    assert line.lab.cli.ok("enroll", "--json").json["changed"] is False


@pytest.mark.slow
def test_nobody_is_asked_for_a_pin(lab: Lab, token: SoftHsm, terminal: Callable[..., Terminal]) -> None:
    """The terminal is the station's line: a question there would be waited for until the station gives up."""
    line = Line(lab, token.uri_of("device-key").partition("&pin-source")[0])
    line.configure()
    asked = terminal("bench", "create-key", "--json")
    asked.until('"pin-required"')
    assert asked.process.wait(60) == 4
    assert "PIN for" not in asked.seen


def test_a_broken_configuration_is_mended_over_the_line(lab: Lab) -> None:
    line = Line(lab, f"file:{lab.keys}/device.pem")
    (lab.directory / "config.toml").write_text("[est")
    facts = line.bench("facts")
    assert "cannot read configuration" in str(facts["extra"])
    assert lab.cli("show").code == 2
    line.configure()
    assert line.bench("facts")["serial_number"] == "4711"


def test_a_configuration_that_never_came_replaces_none(lab: Lab) -> None:
    """The pipe's other end was killed."""
    Line(lab, f"file:{lab.keys}/device.pem").configure()
    before = (lab.directory / "config.toml").read_bytes()
    assert lab.cli("bench", "configure", "--file", "-", "--json", input=b"").code == 2
    assert (lab.directory / "config.toml").read_bytes() == before
    assert lab.cli("bench", "configure", "--file", "-", "--json", input=b"\n").code == 0


@pytest.mark.slow
def test_bad_input_is_one_line_of_json(lab: Lab) -> None:
    Line(lab, f"file:{lab.keys}/device.pem").configure()
    for words, given, code in (
        (("configure", "--file", "-"), b"%%%\n", 2),
        (("configure", "--file", "-"), base64.b64encode(b"[est]\nurll = 1"), 2),
        (("request", "--csrattrs", "-"), b"\n", 9),
        (("request", "--csrattrs", "-"), b"", 2),
        (("install", "--answer", "/nonexistent", "--ca-certificates", "-"), b"", 2),
        (("prove", "--nonce", "xyz"), b"", 2),
        (("prove", "--nonce", "00"), b"", 2),
        (("create-key", "--key", "file:/x/y"), b"", 2),
        (("enrol",), b"", 7),
    ):
        done = lab.cli("bench", *words, "--json", input=given)
        assert (done.code, done.out.count("\n")) == (code, 1), done
        assert done.error["message"]
    assert lab.cli("bench", "configure", "--file", "-", "--json", input=b"A" * 3_000_000).code == 2


def test_a_device_loads_nothing_of_the_station() -> None:
    """Libraries of the station are not there on a device."""
    program = """
import sys
from device_sdk.cli.main import main
assert main(["bench", "facts", "--json"]) in (0, 2)
loaded = {name for name in sys.modules if name.startswith(("device_sdk.station", "sqlalchemy", "serial", "rich", "flask"))}
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=60)


def test_the_configuration_may_be_yet_to_come(lab: Lab, tmp_path: Path) -> None:
    """The file that a factory image names is written by the station; other commands want it to be there."""
    named = {"DEVICE_SDK_CONFIG": str(tmp_path / "to-come.toml")}
    state = ("--state", tmp_path / "state")
    assert json.loads(lab.cli.ok("bench", "facts", "--json", *state, env=named).out)["serial_number"]
    config = tmp_path / "given.toml"
    config.write_text(f'state_dir = "{tmp_path}/state"\n[identity]\nserial = "value:4712"\n')
    lab.cli.ok("bench", "configure", "--file", config, *state, env=named)
    assert json.loads(lab.cli.ok("bench", "facts", "--json", env=named).out)["serial_number"] == "4712"
    assert "cannot read configuration" in lab.cli.fails(2, "show", env={"DEVICE_SDK_CONFIG": str(tmp_path / "no.toml")})
