from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from device_sdk.state import DeviceState, Endpoint, IdentityRecord, StateDirectory

MakeCertificate = Callable[[str], x509.Certificate]


def self_signed(name: str) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    return builder.not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())


@pytest.fixture
def certificate() -> MakeCertificate:
    return self_signed


@pytest.fixture
def directory(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


@pytest.fixture
def enrolled(directory: StateDirectory) -> StateDirectory:
    with directory.exclusive():
        name = directory.add_certificate([self_signed("device")])
        anchors = directory.add_anchors([self_signed("root")])
        directory.save(
            DeviceState(
                base_key_uri="file:/keys/device.pem",
                current=IdentityRecord("file:/keys/device.pem", name),
                anchors=anchors,
                endpoint=Endpoint("https://est.example"),
                time_floor=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            )
        )
    return directory
