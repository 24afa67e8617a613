"""Power cuts on a bench: killed at any event of any step, the same steps come to the same key and certificate.

As in test_killed.py: the device's side runs in processes that die by SIGKILL at the N-th event (crash_launcher.py). Making keys
and finishing share their code with `enroll`, which is killed at every event there; here it is every second one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.est.relay import Relayed
from device_sdk.keystores import registry
from device_sdk.state import Phase, StateDirectory
from device_sdk.state.configured import ConfiguredAnchors
from tests.device.benched import Benched, station
from tests.device.test_killed import public_bytes, require_end, spki_at

pytestmark = pytest.mark.slow


class Bench:
    """A device whose steps are done by processes that may die.

    Args:
        benched: the device.
        runner: runs them.
        keys: URI of the place where its keys are.
    """

    def __init__(self, benched: Benched, runner: Any, keys: str) -> None:
        self.benched, self.runner, self.keys = benched, runner, keys
        self.state = StateDirectory(benched.directory / "state")
        there = benched.directory
        self.spec = {
            "config": f"{there}/config.toml", "state": str(self.state.path), "key_uri": benched.wish.uri,
            "new_config": f"{there}/new.toml", "anchors": str(benched.server.ca_file), "csr": f"{there}/csr",
            "answer": f"{there}/answer", "cacerts": f"{there}/cacerts",
        }  # fmt: skip
        (there / "new.toml").write_bytes(benched.config)

    def done(self, step: str) -> None:
        """Do a step to its end."""
        self.runner.finish("bench", self.spec | {"step": step})

    def counted(self, step: str) -> int:
        """The same, and how many events there were."""
        events: int = self.runner.counted("bench", self.spec | {"step": step})
        return events

    def killed(self, step: str, number: int) -> None:
        """Begin a step, and die."""
        self.runner.run("bench", self.spec | {"step": step}, number)

    @property
    def asked_for(self) -> bytes:
        """The key in the request."""
        return public_bytes(x509.load_der_x509_csr((self.benched.directory / "csr").read_bytes()))

    def relayed(self) -> Relayed:
        """What the station gets for the request; for the device to read."""
        key, bench = self.benched.bench.create_key(self.benched.wish), self.benched
        with station(bench.server) as client:
            relayed = client.relay.enroll((bench.directory / "csr").read_bytes(), bench.identity(key))
        (bench.directory / "answer").write_bytes(relayed.answer)
        (bench.directory / "cacerts").write_bytes(relayed.ca_certificates)
        return relayed

    def forget(self) -> None:
        """Back to a device that has its configuration and nothing else."""
        for info in registry.list_keys(self.keys):
            registry.delete_key(info.uri)
        shutil.rmtree(self.state.path)
        ConfiguredAnchors(self.state).save(x509.load_pem_x509_certificates(self.benched.anchors))


@pytest.fixture
def with_files(est_server: ReferenceServer, runner: Any, tmp_path: Path) -> Bench:
    (tmp_path / "keys").mkdir(mode=0o700)
    benched = Benched(est_server, tmp_path / "device", f"file:{tmp_path}/keys/device.pem")
    return Bench(benched, runner, f"file:{tmp_path}/keys")


def created_killed_at(bench: Bench, number: int) -> None:
    """Killed while the key was made: the next attempt has that key, if there was one, and its request is for it."""
    bench.killed("create-key", number)
    made = spki_at(bench.benched.wish.uri)
    if made is not None:
        assert bench.state.journal() is not None, "a key that nobody knows of"
    bench.done("create-key")
    bench.done("request")
    assert made in (None, bench.asked_for), "another key was made"
    assert len(registry.list_keys(bench.keys)) == 1
    bench.forget()


def test_killed_while_the_configuration_is_written(with_files: Bench) -> None:
    """Old or new, never half; and never the new one without its anchors."""
    bench, config = with_files, with_files.benched.directory / "config.toml"
    events = bench.counted("configure")
    assert events > 15
    for number in range(1, events + 1):
        config.write_bytes(b"# old\n")
        shutil.rmtree(bench.state.path)
        bench.killed("configure", number)
        assert config.read_bytes() in (b"# old\n", bench.benched.config)
        if config.read_bytes() == bench.benched.config:
            assert ConfiguredAnchors(bench.state).load()
        bench.done("configure")
        assert bench.state.check() == ()
        assert config.read_bytes() == bench.benched.config


def test_killed_while_the_key_is_made(with_files: Bench) -> None:
    bench = with_files
    bench.done("configure")
    events = bench.counted("create-key")
    assert events > 15
    bench.forget()
    for number in range(1, events + 1, 2):
        created_killed_at(bench, number)


def test_killed_while_the_certificate_is_installed(with_files: Bench) -> None:
    bench, directory = with_files, with_files.benched.directory
    for step in ("configure", "create-key", "request"):
        bench.done(step)
    certificate = bench.relayed().certificate
    shutil.copytree(bench.state.path, directory / "before")
    events = bench.counted("install")
    assert events > 40
    for number in range(2, events + 1, 2):
        with put_back(bench.state.path, directory / "before"):
            bench.killed("install", number)
            journal = bench.state.journal()
            issued = journal is not None and journal.phase is Phase.ISSUED
            assert issued or journal is None or journal.phase is Phase.REQUEST
            if (
                number % 8 == 0
            ):  # a station that knows of nothing begins anew: the same key, and its answer still counts
                bench.done("create-key")
                bench.done("request")
                assert bench.asked_for == public_bytes(certificate)
            bench.done("install")
            assert bench.benched.device.certificate == certificate
            if number % 8 == 0:
                bench.benched.device.abandon()
            require_end(bench.benched.device, bench.keys)


@contextmanager
def put_back(state: Path, before: Path) -> Iterator[None]:
    shutil.rmtree(state)
    shutil.copytree(before, state)
    (state.parent.parent / "keys/device.crt").unlink(missing_ok=True)
    yield


@pytest.mark.parametrize("store", ["pkcs11", "tpm2"])
def test_killed_with_a_token_and_a_tpm(
    store: str, est_server: ReferenceServer, runner: Any, softhsm_token: Any, swtpm: Any, objects: Callable[[], list[str]], tmp_path: Path,
) -> None:  # fmt: skip
    """Some events of each step, as the steps share their code with those of test_killed.py."""
    (tmp_path / "keys").mkdir(mode=0o700)
    places = {
        "pkcs11": (softhsm_token.uri_of("device"), softhsm_token.uri),
        "tpm2": (
            f"tpm2:file={tmp_path}/keys/device.pem?tcti={swtpm.tcti}",
            f"tpm2:dir={tmp_path}/keys?tcti={swtpm.tcti}",
        ),
    }
    uri, keys = places[store]
    bench = Bench(Benched(est_server, tmp_path / "device", uri), runner, keys)
    bench.done("configure")
    events = bench.counted("create-key")
    bench.forget()
    for number in range(2, events + 1, max(1, events // 6)):
        created_killed_at(bench, number)
    for step in ("create-key", "request"):
        bench.done(step)
    certificate = bench.relayed().certificate
    for number in (5, 30, 45, 60, 75):
        bench.killed("install", number)
    bench.done("install")
    assert bench.benched.device.certificate.public_bytes(Encoding.DER) == certificate.public_bytes(Encoding.DER)
    require_end(bench.benched.device, keys)
    if store == "pkcs11":
        assert objects() == [f"{kind} device" for kind in ("Certificate", "Private Key", "Public Key")]
