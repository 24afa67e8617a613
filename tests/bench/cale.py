"""Encrypted messages opened per second, against the bare private-key operation and against `openssl cms`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import measure
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.keystores.registry import create_key
from device_sdk.wire.cms import open_envelope

BODY = os.urandom(1024)
ROUNDS, ROUND_S = 6, 0.5
RUNS = 20
MESSAGES = (("aes-256-cbc", ()), ("aes-256-gcm", ()))


@dataclass(frozen=True)
class Row:
    """Messages of one kind, opened with one key; per second.

    Attributes:
        key: where and what it is.
        message: what its content is encrypted with.
        opened: whole messages.
        bare: the key's operation through the SDK.
        raw: the same operation by a loop in C; None for keys in software.
    """

    key: str
    message: str
    opened: float
    bare: float
    raw: float | None


def rates(pkcs11: Path, tpm: Path, directory: Path) -> Iterator[Row]:
    """Rows for software, SoftHSM and swtpm."""
    for kind in ("rsa-2048", "ec-p256"):
        with create_key(f"file:{directory / f'cale-{kind}.pem'}", kind) as key:
            yield from _rows(f"file {kind}", key, directory, None)
    with SoftHsm(label="bench") as token:
        os.environ.update(token.environment)
        for kind in ("rsa-2048", "ec-p256"):
            with create_key(token.uri_of(f"cale-{kind}"), kind) as key:

                def token_probe(operation: str, stdin: bytes, kind: str = kind) -> float:
                    words = [str(pkcs11), token.module_path, "bench", f"cale-{kind}", operation, str(ROUND_S)]
                    return _by_c(words, stdin, PIN=token.pin)

                yield from _rows(f"SoftHSM {kind}", key, directory, token_probe)
    with Swtpm() as chip:
        for kind in ("rsa-2048", "ec-p256"):
            uri = f"tpm2:file={directory / f'cale-{kind}.tss'}?tcti={chip.tcti}"
            with create_key(uri, kind) as key:
                yield from _rows(
                    f"swtpm {kind}",
                    key,
                    directory,
                    lambda name, _: _by_c([str(tpm), chip.tcti, name, str(ROUND_S)], b""),
                )


def processes(directory: Path) -> Iterator[tuple[str, measure.Figure]]:
    """One message a process: openssl, and the command line."""
    with create_key(f"file:{directory / 'cale-process.pem'}", "rsa-2048") as key:
        certificate = _certificate(key, directory / "process-certificate.pem")
        path = directory / "message.der"
        path.write_bytes(_encrypt(certificate, "aes-256-cbc"))
        plain = directory / "plain-key.pem"
        plain.touch(0o600)
        plain.write_bytes(key._open().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    openssl = ["openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-in", str(path), "-inkey", str(plain)]
    yield "openssl cms -decrypt", measure.processes([[*openssl, "-out", str(directory / "out")]], RUNS)
    command = str(Path(sys.executable).parent / "device-sdk")
    own = [command, "cale", "decrypt", "--in", str(path), "--key", f"file:{plain}", "--out", str(directory / "out")]
    yield "device-sdk cale decrypt", measure.processes([own], RUNS)


def _rows(name: str, key: Any, directory: Path, probe: Callable[[str, bytes], float] | None) -> Iterator[Row]:
    certificate = _certificate(key, directory / "certificate.pem")
    for cipher, keyopt in MESSAGES:
        message = _encrypt(certificate, cipher, *keyopt)
        if open_envelope(message, key) != BODY:
            raise RuntimeError("not what was encrypted")
        bare, operation, stdin = _bare(key)
        opened_s, bare_s, raw = [], [], []
        # in turns, so that whatever else this machine does slows all of them down
        for _ in range(ROUNDS):
            opened_s.append(measure.rate(lambda message=message: open_envelope(message, key), ROUND_S))
            bare_s.append(measure.rate(bare, ROUND_S))
            if probe is not None:
                raw.append(probe(operation, stdin))
        yield Row(name, cipher, median(opened_s), median(bare_s), median(raw) if raw else None)


def _bare(key: Any) -> tuple[Callable[[], object], str, bytes]:
    """The operation, its name for the probes, and what they read from standard input."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        peer = ec.generate_private_key(key.curve).public_key()
        point = peer.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return lambda: key.exchange(ec.ECDH(), peer), "agree-ec", point
    block = key.public_key().encrypt(bytes(32), padding.PKCS1v15())
    return lambda: key.decrypt(block, padding.PKCS1v15()), "decrypt-rsa", block


def _by_c(words: list[str], stdin: bytes, **environment: str) -> float:
    done = subprocess.run(words, env=os.environ | environment, input=stdin, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{words[0]}: {done.stderr.decode()}")
    return float(done.stdout)


def _certificate(key: Any, path: Path) -> Path:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), int(time.time()), now, now + timedelta(days=1))
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    path.write_bytes(signed.public_bytes(Encoding.PEM))
    return path


def _encrypt(certificate: Path, cipher: str, *keyopt: str) -> bytes:
    words = ["openssl", "cms", "-encrypt", "-binary", f"-{cipher}", "-outform", "DER", "-recip", str(certificate)]
    for option in keyopt:
        words += ["-keyopt", option]
    return subprocess.run(words, input=BODY, capture_output=True, check=True).stdout
