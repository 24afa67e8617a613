"""Keys from the server, encrypted to a secret that both know, and what openssl says of a pair (EST-190 to EST-202)."""

from __future__ import annotations

import stat
from pathlib import Path

from tests.cli.conftest import Lab, leaf, openssl

SECRET = bytes(range(32))
IDENTIFIER = "62656e63682d37"


def shared(lab: Lab) -> tuple[str, ...]:
    """How a device names the secret."""
    return "--decrypt-secret-file", str(lab.directory / "secret"), "--decrypt-id", IDENTIFIER


def require_pair(key: Path, certificate: Path, lab: Lab) -> None:
    """The key file is nobody else's and fits the certificate, which leads to the server's root; openssl is the judge."""
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert openssl("pkey", "-in", key, "-pubout") == openssl("x509", "-in", certificate, "-noout", "-pubkey")
    assert "OK" in openssl("verify", "-CAfile", lab.server.ca_file, "-untrusted", certificate, certificate)
    assert leaf(certificate).subject.rfc4514_string() == "CN=sensor-7"
