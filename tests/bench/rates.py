"""Signatures and decryptions per second through the SDK, against the raw C limit of the same token and TPM."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm
from measure import rate

from device_sdk.keystores.registry import create_key

HERE = Path(__file__).parent
SECONDS = 2.0
DATA = b"x" * 32


def compile_probes(directory: Path) -> tuple[Path, Path]:
    """Build the two C loops; gives their paths."""
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "tss2-esys", "tss2-tctildr"], capture_output=True, text=True, check=True
    ).stdout.split()
    pkcs11, tpm = directory / "raw_pkcs11", directory / "raw_tpm"
    subprocess.run(["gcc", "-O2", "-w", "-o", pkcs11, HERE / "raw_pkcs11.c", "-ldl"], check=True)
    subprocess.run(["gcc", "-O2", "-o", tpm, HERE / "raw_tpm.c", *flags], check=True)
    return pkcs11, tpm


def _operations(ec_uri: str, rsa_uri: str) -> Iterator[tuple[str, Callable[[], object], bytes]]:
    with create_key(ec_uri, "ec-p256", reuse=True) as key:
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        yield "sign-ec", lambda: key.sign(DATA, ec.ECDSA(hashes.SHA256())), b""
    with create_key(rsa_uri, "rsa-2048", reuse=True) as key:
        secret = key.public_key().encrypt(DATA, padding.PKCS1v15())
        yield "sign-rsa", lambda: key.sign(DATA, padding.PKCS1v15(), hashes.SHA256()), b""
        yield "decrypt-rsa", lambda: key.decrypt(secret, padding.PKCS1v15()), secret


def _c_rate(words: list[str], environment: dict[str, str], stdin: bytes) -> float:
    done = subprocess.run(words, env=os.environ | environment, input=stdin, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{words[0]}: {done.stderr.decode()}")
    return float(done.stdout)


def token_rates(probe: Path) -> Iterator[tuple[str, float, float]]:
    """Operation, rate of the SDK, rate of the C loop, on one SoftHSM token."""
    with SoftHsm(label="bench") as token:
        os.environ.update(token.environment)
        labels = {"sign-ec": "ec", "sign-rsa": "rsa", "decrypt-rsa": "rsa"}
        for name, operation, stdin in _operations(token.uri_of("ec"), token.uri_of("rsa")):
            ours = rate(operation, SECONDS)
            words = [str(probe), token.module_path, "bench", labels[name], name, str(SECONDS)]
            yield name, ours, _c_rate(words, {"PIN": token.pin}, stdin)


def tpm_rates(probe: Path, directory: Path) -> Iterator[tuple[str, float, float]]:
    """Operation, rate of the SDK, rate of the C loop, on one swtpm."""
    with Swtpm() as tpm:
        uri = "tpm2:file={}?tcti={}"
        for name, operation, _ in _operations(
            uri.format(directory / "ec.pem", tpm.tcti), uri.format(directory / "rsa.pem", tpm.tcti)
        ):
            ours = rate(operation, SECONDS)
            yield name, ours, _c_rate([str(probe), tpm.tcti, name, str(SECONDS)], {}, b"")
