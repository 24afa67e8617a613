"""What passes through memory is gone when the keys are in their places, in a process that goes on (K-11)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.cale.shared_key import Kek
from device_sdk_simulators.packages import layers

from device_sdk.keystores.secret_import import store_keys
from device_sdk.model.secret import Secret
from device_sdk.model.symmetric_keys import KeyUsage, SymmetricKey
from device_sdk.model.wiping import overwrite, passing, sweeping
from tests.memory import memory_of
from tests.packages.keeping import Bench, bench, maker, sealer
from tests.packages.sealing import key_package, receipt_request, written

__all__ = ["bench", "maker", "sealer"]

TAKES = """
import json, sys
from pathlib import Path
from cryptography import x509
from device_sdk.cli.main import main
from device_sdk.client.device import Device
from device_sdk.client.device.sync import Deliveries, KeyDelivery
from device_sdk.client.est.symmetric_keys import KeyPackagePolicy

policy = KeyPackagePolicy(tuple(x509.load_pem_x509_certificates(Path(sys.argv[2]).read_bytes())), require_encryption=False)
device = Device(Path(sys.argv[1]))
for line in sys.stdin:
    place, words, keys = json.loads(line)
    if words:
        print("exit", main(words), flush=True)
        continue
    where = Path(place) if place.startswith("/") else place
    report = device.sync(deliveries=Deliveries(keys=lambda: KeyDelivery(policy, where, open_with=tuple(keys))))
    print(report.steps[0].state.value, report.steps[0].error or "", flush=True)
"""


class Taker:
    """A process that takes packages one after another, and is looked into after each."""

    def __init__(self, bench: Bench, directory: Path) -> None:
        self.bench, self.anchors, self.count = bench, directory / "anchors.pem", 0
        self.anchors.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in bench.sealer.anchors))
        command = [sys.executable, "-c", TAKES, str(bench.synced.device.state.path), str(self.anchors)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def take(self, package: bytes, place: str, *words: str, keys: tuple[str, ...] = ()) -> str:
        """By `sync`, with keys that open it, or by these words of the command line; says what came of it."""
        self.count += 1
        name = f"k-{self.count}"
        self.bench.give("symmetrickeys" if words else name, package)
        self.bench.synced.entries = [("0024", f"symmetrickeys/{name}", 900)]
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([place, words, keys]) + "\n")
        self.process.stdin.flush()
        lines = iter(self.process.stdout.readline, "")
        return next(line.strip() for line in lines if line.startswith(("exit", "done", "failed")))

    def holds(self, *secrets: bytes) -> list[bytes]:
        """Those of which any half is anywhere, as octets or hex."""
        halves = {half: one for one in secrets for half in (one[: len(one) // 2], one[len(one) // 2 :])}
        forms = {form: one for half, one in halves.items() for form in (half, half.hex().encode())}
        return [one for part in memory_of(self.process.pid) for form, one in forms.items() if form in part]


@pytest.fixture
def taker(bench, softhsm_token, swtpm, tmp_path) -> Iterator[Taker]:
    taker = Taker(bench, tmp_path)
    with taker.process:
        yield taker
        taker.process.stdin.close()


@pytest.fixture
def content_keys(monkeypatch) -> list[bytes]:
    """Those that the sender made."""
    made, urandom = [], os.urandom

    def noted(size: int) -> bytes:
        made.append(urandom(size))
        return made[-1]

    monkeypatch.setattr(os, "urandom", noted)
    return made


@pytest.mark.slow
def test_k_11_nothing_of_a_key_stays_in_memory(bench, taker, content_keys, softhsm_token, tmp_path):
    """Neither in what Python and the libraries use, nor in what they gave back; the key that opened the content neither."""
    (tmp_path / "tpm").mkdir()
    certificate = tmp_path / "device.crt"
    certificate.write_bytes(bench.synced.certificate.public_bytes(Encoding.PEM))
    root = tmp_path / "root.pem"
    root.write_bytes(bench.synced.ca.certificate.public_bytes(Encoding.PEM))
    words = (
        *("est", "symmetrickeys", "--url", bench.synced.server.url, "--anchors", str(root), "--cert", str(certificate)),
        *("--key", bench.synced.device.state.load().current.key_uri, "--package-anchors", str(taker.anchors)),
    )
    files, token, tpm = str(bench.keys), softhsm_token.uri, f"tpm2:dir={tmp_path}/tpm"
    ways = [
        ("c", "cbc", files, (), {}, "done"),
        ("e", "gcm", token, (), {}, "done"),
        ("e-bare", "kwp", tpm, (), {}, "done"),
        ("e", "cbc", files, (), {"not_after": "20200101000000Z"}, "it expired on"),
        ("c", "cbc", "", (*words, "--to", token), {}, "exit 0"),
        ("c", "kwp", "", (*words, "--out-dir", files), {}, "exit 0"),
    ]
    for number, (nesting, cipher, place, command, attributes, outcome) in enumerate(ways):
        value = bytes(os.urandom(32))
        content_keys.clear()
        package = key_package(written(f"k{number}", value, algorithm="urn:aes-256", usages=["Decrypt"], **attributes))
        request = receipt_request(str(number).encode())
        sealed = bench.sealer.seal(nesting, package=package, cipher=cipher, request=request)
        keys = [one for one in content_keys if len(one) == 32]
        assert keys
        assert outcome in taker.take(sealed, place, *command)
        assert taker.holds(value, *keys) == [], (nesting, cipher, place)
    assert bench.stored()["k0"], "it was there"


@pytest.mark.slow
def test_k_08_nothing_of_what_hardware_opens_stays_in_memory(bench, taker, content_keys, softhsm_token, tmp_path):
    """The key that unwraps, or decrypts, is in a token or TPM, where a TPM has the SDK use it itself."""
    (tmp_path / "tpm").mkdir()
    kek = bytes(os.urandom(32))
    for number, (place, usage, cipher) in enumerate(
        [
            (softhsm_token.uri, KeyUsage.UNWRAP, "cbc"),
            (f"tpm2:dir={tmp_path}/tpm", KeyUsage.UNWRAP, "gcm"),
            (f"tpm2:dir={tmp_path}/tpm", KeyUsage.WRAP, "kwp"),
        ]
    ):
        held = SymmetricKey(
            "kek", "urn:aes", is_aes=True, usages=frozenset({KeyUsage.UNWRAP, usage}), value=Secret(kek)
        )
        uri = store_keys([held], place, replace=True).places["kek"]
        value = bytes(os.urandom(32))
        content_keys.clear()
        package = key_package(written(f"h{number}", value, algorithm="urn:aes-256", usages=["Decrypt"]))
        inner = bench.sealer.signed(bench.sealer.content(package), request=receipt_request(str(number).encode()))
        message = layers.content_info(bench.sealer.signed(layers.enveloped(inner, Kek(b"kek", kek), cipher)))
        keys = [one for one in content_keys if len(one) == 32]
        assert keys
        assert taker.take(message, str(bench.keys), keys=(uri,)).startswith("done")
        assert taker.holds(value, kek, *keys) == [], (place, usage, cipher)


def test_what_a_section_overwrites():
    mine, kept, outside = (bytes(os.urandom(20)) for _ in range(3))
    copies = [bytes(memoryview(one)) for one in (mine, kept, outside)]
    passing(outside)

    def read() -> None:
        with sweeping() as section:
            assert passing(mine) is mine
            assert passing(None) is None
            section.keep(passing(kept))
            passing(b"x")
            assert mine == copies[0]
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        read()
    assert (mine, kept, outside) == (bytes(20), *copies[1:])
    overwrite(b"")
    overwrite(b"y")
    assert (b"x"[0], b"y"[0]) == (0x78, 0x79), "those of one octet are everybody's"
