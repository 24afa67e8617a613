"""Foreign programs that judge what the keystore does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from device_sdk_simulators.softhsm import SoftHsm


def pkcs11_tool(token: SoftHsm, *arguments: str) -> str:
    """OpenSC's pkcs11-tool, logged in; what it prints."""
    command = ["pkcs11-tool", "--module", token.module_path, "--token-label", token.label]
    command += ["--login", "--pin", token.pin, *arguments]
    done = subprocess.run(
        command, env=os.environ | token.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(token: SoftHsm) -> list[str]:
    """Every object on the token, a paragraph each."""
    paragraphs: list[str] = []
    for line in pkcs11_tool(token, "--list-objects").splitlines():
        if line.startswith(" ") and paragraphs:
            paragraphs[-1] += "\n" + line
        elif " Object" in line:
            paragraphs.append(line)
    return paragraphs


def openssl(*arguments: str, stdin: bytes = b"") -> bytes:
    """The openssl command; fails the test if it does."""
    done = subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def write_public(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, path: Path) -> Path:
    """The public key as PEM in a file, for openssl."""
    path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path
