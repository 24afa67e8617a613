"""What a station writes to a device: checked, whole or not at all, and for nobody else to read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.cli.settings import BY_NAME
from device_sdk.client.device.bench import DeviceBench
from device_sdk.errors import BenchError, ConfigurationError, StateError, StateNotWritableError
from device_sdk.state import StateDirectory
from device_sdk.state.configured import ConfiguredAnchors
from tests.device.benched import Benched
from tests.est.pki import Ca, der

ANCHORS = Ca.root("EST root").certificate


class Server:
    """As much of one as a configuration needs."""

    url = "https://est.example"

    def __init__(self, directory: Path) -> None:
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(ANCHORS.public_bytes(Encoding.PEM))


@pytest.fixture
def benched(tmp_path: Path) -> Benched:
    return Benched(Server(tmp_path), tmp_path / "device")  # type: ignore[arg-type]


def test_both_are_durable_and_private(benched: Benched) -> None:
    bench = benched.configured()
    file = benched.directory / "config.toml"
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (benched.config, 0o600)
    state = StateDirectory(benched.directory / "state")
    assert ConfiguredAnchors(state).load() == (ANCHORS,)
    assert state.check() == ()
    assert not benched.device.status().enrolled
    file.chmod(0o644)
    (benched.directory / ".config.toml.0123456789abcdef.tmp").write_bytes(b"of a process that was killed")
    bench.configure(benched.config, b"")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ConfiguredAnchors(state).load() == (ANCHORS,), "b'' leaves what is there"
    assert sorted(path.name for path in benched.directory.iterdir()) == ["config.toml", "state"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (b"\xff", "cannot read configuration"),
        (b"[est", "cannot read configuration"),
        (b"[" * 30000, "cannot read configuration"),
        (b'[est]\nurll = "https://x"', "unknown setting 'est.urll'"),
        (b"[est]\nurl = 1", "must be a text"),
        (b'[est]\ndialect = "x"', "must be one of"),
        (b'[est]\nurl = "a\\u0000b"', "NUL"),
        (b"#" * 65537, "larger than 65536 bytes"),
    ],
)
def test_what_is_no_configuration_changes_nothing(benched: Benched, config: bytes, words: str) -> None:
    bench = benched.configured()
    with pytest.raises(ConfigurationError, match=words):
        bench.configure(config, benched.anchors)
    assert (benched.directory / "config.toml").read_bytes() == benched.config


def test_what_are_no_anchors_changes_nothing(benched: Benched) -> None:
    bench = benched.configured()
    for anchors in (
        b"x",
        der(ANCHORS),
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"x" * 262145,
    ):
        with pytest.raises(ConfigurationError, match="anchors"):
            bench.configure(b"", anchors)
    with pytest.raises(ConfigurationError, match="more than 200"):
        bench.configure(b"", benched.anchors * 201)
    for trust in ('anchors = "/etc/ca.pem"', f'pins = ["sha256:{"0" * 64}"]', "implicit = true"):
        with pytest.raises(ConfigurationError, match="says whom to trust"):
            bench.configure(f"[est]\n{trust}\n".encode(), benched.anchors)
    assert (benched.directory / "config.toml").read_bytes() == benched.config
    assert ConfiguredAnchors(StateDirectory(benched.directory / "state")).load() == (ANCHORS,)


@pytest.mark.parametrize(
    "setting",
    [
        '[identity]\nserial_command = ["id"]',
        '[firmware]\ninstaller = "/bin/sh"',
        '[agent]\ncommands = ["id"]',
        '[firmware]\nout = "/etc/cron.d/x"',
        '[keys]\nto = "/etc/cron.d"',
        "[key]\npin_fd = 0",
        *(f'[{name.replace(".", "]" + chr(10), 1)} = "/x"' for name in BY_NAME if name.endswith("_file")),
    ],
)
def test_programs_secrets_and_places_are_named_by_whoever_owns_the_device(benched: Benched, setting: str) -> None:
    """On the line of an agent; a station with a shell could have them anyway."""
    with pytest.raises(ConfigurationError, match=r"names a .*, and this device takes none from a station"):
        benched.bench.configure(setting.encode(), b"")
    assert not (benched.directory / "config.toml").exists()
    DeviceBench(benched.configuration, programs=True).configure(setting.encode(), b"")


@pytest.mark.parametrize("setting", ['[est]\nanchors = "{}"', '[key]\nuri = "file:{}"', '[est]\nanchors = "/dev/null"'])
def test_what_would_be_read_for_ever_is_refused(benched: Benched, setting: str) -> None:
    pipe = benched.directory / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ConfigurationError, match="neither a file nor a directory"):
        benched.bench.configure(setting.format(pipe).encode(), b"")


def test_secrets_that_others_can_read_are_refused(benched: Benched) -> None:
    secret = benched.directory / "password"
    secret.write_text("geheim")
    secret.chmod(0o640)
    config = f'[est]\nuser = "lab"\npassword_file = "{secret}"\n'.encode()
    with pytest.raises(ConfigurationError, match="others than its owner can read it") as caught:
        DeviceBench(benched.configuration, programs=True).configure(config, b"")
    assert "geheim" not in str(caught.value)
    secret.chmod(0o600)
    DeviceBench(benched.configuration, programs=True).configure(config, b"")


def test_places_that_others_may_write_to_are_refused(benched: Benched) -> None:
    benched.directory.chmod(0o777)
    with pytest.raises(StateError, match="everybody may write"):
        benched.configured()
    assert not (benched.directory / "config.toml").exists()
    benched.directory.chmod(0o700)
    (benched.directory / "config.toml").mkdir()
    with pytest.raises(StateNotWritableError):
        benched.bench.configure(b"", b"")


def test_the_state_directory_is_the_new_configurations(benched: Benched, tmp_path: Path) -> None:
    """Flags and the environment count more, and this device has none of them."""
    del benched.configuration.options.state_dir
    elsewhere = tmp_path / "elsewhere"
    benched.bench.configure(f'state_dir = "{elsewhere}"\n'.encode(), benched.anchors)
    assert ConfiguredAnchors(StateDirectory(elsewhere)).load() == (ANCHORS,)


def test_a_command_of_the_station(benched: Benched) -> None:
    bench = DeviceBench(benched.configuration, programs=True)
    with pytest.raises(ConfigurationError, match="runs no programs"):
        benched.bench.run(("true",), 5)
    status, said = bench.run(("sh", "-c", "echo out; echo err >&2; exit 3"), 60)
    assert (status, said) == (3, "out\nerr\n")
    assert bench.run(("sh", "-c", "kill -9 $$"), 60) == (137, "")
    status, said = bench.run(("sh", "-c", "head -c 200000 /dev/zero | tr '\\0' x; echo end"), 60)
    assert (status, len(said), said[-5:]) == (0, 65536, "xend\n")
    with pytest.raises(BenchError, match="took longer than"):
        bench.run(("sh", "-c", "sleep 300 & sleep 300"), 0.2)
    for command, timeout_s in ((), 5), (("no-such-program",), 5), (("a\0b",), 5), (("true",), 0), (("x",) * 65, 5):
        with pytest.raises(ConfigurationError):
            bench.run(command, timeout_s)


def test_a_broken_configuration_is_written_anew(benched: Benched) -> None:
    """By a person, or a disk: the station still learns who this is, and why, and can put it right."""
    bench = benched.configured()
    assert bench.facts().serial_number == benched.serial
    (benched.directory / "config.toml").write_text('[est]\nurl = "a\x07')
    facts = bench.facts()
    assert facts.serial_number != benched.serial
    assert "cannot read configuration" in facts.extra["configuration"]
    assert all(value.isprintable() and len(value) <= 256 for value in facts.extra.values())
    bench.configure(benched.config, b"")
    assert bench.facts().serial_number == benched.serial
    assert "configuration" not in bench.facts().extra


def test_what_else_configures_the_device_counts_for_the_place_of_the_anchors(benched: Benched, tmp_path: Path) -> None:
    del benched.configuration.options.state_dir
    (benched.directory / "config.d").mkdir()
    (benched.directory / "config.d/10-state.toml").write_text(f'state_dir = "{tmp_path}/by-drop-in"\n')
    benched.bench.configure(f'state_dir = "{tmp_path}/by-station"\n'.encode(), benched.anchors)
    assert ConfiguredAnchors(StateDirectory(tmp_path / "by-drop-in")).load() == (ANCHORS,)
