"""`device-sdk-sim registration-authority`: the certificate of a station that enrols others."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from device_sdk_simulators.ca.tls import CMC_RA
from device_sdk_simulators.cli.main import main
from device_sdk_simulators.server import ReferenceServer


def test_a_key_is_made_and_certified_and_can_be_revoked(server: ReferenceServer, tmp_path: Path, capsys) -> None:
    key, out = tmp_path / "ra.key", tmp_path / "ra.pem"
    words = [
        "registration-authority",
        "--state",
        str(server.state),
        "--name",
        "station-1",
        "--key-out",
        str(key),
        "--out",
        str(out),
    ]
    assert main(words) == 0
    certificate = x509.load_pem_x509_certificate(out.read_bytes())
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert x509.ObjectIdentifier(CMC_RA) in usages
    assert x509.ExtendedKeyUsageOID.CLIENT_AUTH in usages
    assert certificate.issuer == server.hierarchy.issuing.certificate.subject
    assert key.stat().st_mode & 0o777 == 0o600
    assert load_pem_private_key(key.read_bytes(), None).public_key() == certificate.public_key()
    assert main(words) == 2, "a key is never written over"
    assert main(["revoke", "--state", str(server.state), f"{certificate.serial_number:x}"]) == 0
    capsys.readouterr()


def test_the_key_of_a_request_is_certified(server: ReferenceServer, tmp_path: Path, capsys) -> None:
    csr, key = tmp_path / "ra.csr", tmp_path / "ra.key"
    subprocess.run(
        ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-subj",
         "/CN=whatever", "-out", csr], check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    words = ["registration-authority", "--state", str(server.state), "--name", "station-2", "--csr", str(csr)]
    assert main(words) == 0
    certificate = x509.load_pem_x509_certificate(capsys.readouterr().out.encode())
    assert certificate.public_key() == x509.load_pem_x509_csr(csr.read_bytes()).public_key()
    assert certificate.subject.rfc4514_string() == "CN=station-2"
    csr.write_bytes(csr.read_bytes().replace(b"M", b"N", 9))
    assert main(words) == 2
    assert "--csr" in capsys.readouterr().err
