"""Killed anywhere, the same command finishes the job: same key, no orphan, no lost certificate.

Enrolments and renewals run in processes that die by SIGKILL at the N-th event (crash_launcher.py): every change of a file,
every exchange with the server, every step inside the keystore.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.client.device import Device
from device_sdk.errors import KeyNotFoundError
from device_sdk.keystores import registry
from device_sdk.state import Phase, StateDirectory

pytestmark = pytest.mark.slow

# What hardware adds to the events of a file key are a few in a row of many that are the same.
HARDWARE = int(os.environ.get("TEST_EVENT_STEP", "3"))


def spki_at(uri: str) -> bytes | None:
    """The public key at a URI; None if there is no key."""
    try:
        with registry.open_key(uri) as key:
            return public_bytes(key)
    except KeyNotFoundError:
        return None


def public_bytes(holder: Any) -> bytes:
    data: bytes = holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return data


def issued_before(state: StateDirectory) -> x509.Certificate | None:
    """The certificate a killed run had received and written down, if it came that far."""
    journal = state.journal()
    if journal is None or journal.phase is not Phase.ISSUED or journal.chain is None:
        return None
    return x509.load_pem_x509_certificate(journal.chain.encode())


def require_pair(device: Device) -> None:
    """The certificate in use is for the key in use, and the key works."""
    with device.key() as key:
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        certificate = device.certificate
        assert public_bytes(key) == public_bytes(certificate)
        public = certificate.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        public.verify(key.sign(b"still here", ec.ECDSA(hashes.SHA256())), b"still here", ec.ECDSA(hashes.SHA256()))


def require_end(device: Device, keys: str) -> None:
    """All is well: one key, one certificate, nothing under way."""
    assert device.state.journal() is None
    assert device.state.check() == ()
    require_pair(device)
    found = registry.list_keys(keys)
    assert len(found) == 1, [info.uri for info in found]
    assert len(list((device.state.path / "certificates").iterdir())) == 1


def enrolment_killed_at(runner, spec: dict[str, str], keys: str, number: int) -> None:
    device = Device(spec["state"])
    runner.run("enroll", spec, number)
    made = spki_at(spec["key_uri"])
    if made is not None:
        journal, state = device.state.journal(), device.state.load()
        assert journal is not None or state.current is not None, "a key that nobody knows of"
    certificate = issued_before(device.state) or (device.certificate if device.state.load().current else None)
    runner.finish("enroll", spec)
    require_end(device, keys)
    assert made in (None, spki_at(spec["key_uri"])), "another key was made"
    assert certificate in (None, device.certificate), "the certificate was lost"


def renewal_killed_at(runner, spec: dict[str, str], keys: str, number: int) -> None:
    device = Device(spec["state"])
    before = device.certificate
    runner.run("renew", spec, number)
    require_pair(device)
    journal, current = device.state.journal(), device.certificate
    made = spki_at(journal.key_uri) if journal else None
    certificate = issued_before(device.state)
    if current == before or journal is not None:
        runner.finish("renew", spec)
        assert device.certificate != before
        assert made in (None, public_bytes(device.certificate)), "another key was made"
    assert certificate in (None, device.certificate), "the certificate was lost"
    require_end(device, keys)


def forget(spec: dict[str, str]) -> None:
    """Back to a device that was never enrolled."""
    device = Device(spec["state"])
    registry.delete_key(device.state.load().current.key_uri)  # type: ignore[union-attr]
    shutil.rmtree(device.state.path)


def enrolments(runner, spec: dict[str, str], keys: str, *, step: int = 1) -> int:
    events = runner.counted("enroll", spec)
    forget(spec)
    for number in range(1, events + 1, step):
        enrolment_killed_at(runner, spec, keys, number)
        forget(spec)
    return events


def renewals(runner, spec: dict[str, str], keys: str, *, step: int = 1) -> int:
    runner.finish("enroll", spec)
    events = runner.counted("renew", spec)
    for number in range(1, events + 1, step):
        renewal_killed_at(runner, spec, keys, number)
    return events


def test_enrolment_killed_at_every_event(runner, spec: dict[str, str], file_keys: str) -> None:
    assert enrolments(runner, spec, file_keys) > 40


def test_renewal_killed_at_every_event(runner, spec: dict[str, str], file_keys: str) -> None:
    assert renewals(runner, spec, file_keys) > 60


@contextmanager
def pkcs11_keys(spec: dict[str, str], token: Any) -> Iterator[str]:
    spec["key_uri"] = token.uri_of("device")
    yield token.uri


def test_enrolment_killed_at_every_third_event_with_a_token(
    softhsm_token: Any, objects, spec: dict[str, str], runner
) -> None:
    with pkcs11_keys(spec, softhsm_token) as keys:
        enrolments(runner, spec, keys, step=HARDWARE)
    assert objects() == []


def test_renewal_killed_at_every_third_event_with_a_token(
    softhsm_token: Any, objects, spec: dict[str, str], runner
) -> None:
    with pkcs11_keys(spec, softhsm_token) as keys:
        renewals(runner, spec, keys, step=HARDWARE)
    label = Device(spec["state"]).state.load().current.key_uri.partition("object=")[2].partition("?")[0]  # type: ignore[union-attr]
    assert objects() == [f"{kind} {label}" for kind in ("Certificate", "Private Key", "Public Key")], (
        "no halves of keys"
    )


@pytest.fixture
def tpm_keys(spec: dict[str, str], swtpm: Any, tmp_path: Path) -> str:
    (tmp_path / "keys").mkdir(mode=0o700)
    spec["key_uri"] = f"tpm2:file={tmp_path}/keys/device.pem?tcti={swtpm.tcti}"
    return f"tpm2:dir={tmp_path}/keys?tcti={swtpm.tcti}"


def test_enrolment_killed_at_every_third_event_with_a_tpm(tpm_keys: str, spec: dict[str, str], runner) -> None:
    enrolments(runner, spec, tpm_keys, step=HARDWARE)


def test_renewal_killed_at_every_third_event_with_a_tpm(tpm_keys: str, spec: dict[str, str], runner) -> None:
    renewals(runner, spec, tpm_keys, step=HARDWARE)
