"""Certificates beside their keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from device_sdk_simulators.softhsm import SoftHsm

from device_sdk.errors import KeyAmbiguousError, KeyNotFoundError, KeyStoreError, KeyStoreFailedError
from device_sdk.keystores.registry import (
    create_key,
    delete_key,
    list_keys,
    load_certificate,
    open_key,
    store_certificate,
)
from tests.keystores.pkcs11.faulty import FaultyModule
from tests.keystores.pkcs11.tools import objects, openssl, pkcs11_tool

CA = ec.generate_private_key(ec.SECP256R1())


def certificate_for(key: object, *, serial: int = 1, day: int = 1) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"device {serial}")])
    begins = datetime(2026, 1, day, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(serial)
    builder = builder.public_key(key.public_key())  # type: ignore[attr-defined]  # any key
    return builder.not_valid_before(begins).not_valid_after(begins + timedelta(days=365)).sign(CA, hashes.SHA256())


def certificates(token: SoftHsm) -> list[str]:
    return [item for item in objects(token) if item.startswith("Certificate")]


@pytest.mark.slow
@pytest.mark.parametrize("key_type", ["ec-p256", "rsa-2048"])
def test_stored_and_loaded(token: SoftHsm, tmp_path: Path, key_type: str) -> None:
    uri = token.uri_of("device")
    key = create_key(uri, key_type)
    assert load_certificate(uri) is None
    certificate = certificate_for(key, serial=2**159 - 1)
    store_certificate(uri, certificate)
    assert load_certificate(uri) == certificate
    assert load_certificate(key.info.uri) == certificate
    (listed,) = list_keys(token.uri)
    assert listed.certificate
    (shown,) = certificates(token)
    assert f"ID:         {key.info.key_id}" in shown
    assert "label:      device" in shown
    assert key.info.key_id is not None
    der = tmp_path / "certificate.der"
    pkcs11_tool(token, "--read-object", "--type", "cert", "--id", key.info.key_id, "-o", str(der))
    assert b"device" in openssl("x509", "-inform", "DER", "-in", str(der), "-noout", "-subject")
    assert der.read_bytes() == certificate.public_bytes(Encoding.DER)


def test_the_new_one_replaces_the_old_one(token: SoftHsm) -> None:
    uri = token.uri_of("device")
    key = create_key(uri, "ec-p256")
    for serial in (1, 2, 2, 3):
        store_certificate(uri, certificate_for(key, serial=serial))
        assert len(certificates(token)) == 1
    found = load_certificate(uri)
    assert found is not None
    assert found.serial_number == 3


@pytest.mark.slow
def test_the_new_one_is_there_before_the_old_one_goes(faulty: FaultyModule) -> None:
    """A failure on the way leaves the old one; a power cut between the two steps leaves both, and the later is taken."""
    uri = faulty.uri_of("device")
    key = create_key(uri, "ec-p256")
    old, new = certificate_for(key, serial=1, day=1), certificate_for(key, serial=2, day=2)
    store_certificate(uri, old)
    faulty.fail("C_CreateObject", 0x05)
    with pytest.raises(KeyStoreFailedError):
        store_certificate(uri, new)
    assert load_certificate(uri) == old
    faulty.fail("C_DestroyObject", 0x05)
    with pytest.raises(KeyStoreFailedError):
        store_certificate(uri, new)
    assert len(certificates(faulty.token)) == 2
    assert load_certificate(uri) == new
    store_certificate(uri, new)
    assert len(certificates(faulty.token)) == 1
    assert load_certificate(uri) == new


def test_a_certificate_for_another_key_is_refused(token: SoftHsm) -> None:
    create_key(token.uri_of("device"), "ec-p256")
    other = create_key(token.uri_of("other"), "ec-p256")
    with pytest.raises(KeyStoreError, match="another key"):
        store_certificate(token.uri_of("device"), certificate_for(other))
    assert certificates(token) == []


def test_no_key_no_certificate(token: SoftHsm) -> None:
    key = create_key(token.uri_of("device"), "ec-p256")
    with pytest.raises(KeyNotFoundError):
        store_certificate(token.uri_of("nothing"), certificate_for(key))
    with pytest.raises(KeyNotFoundError):
        load_certificate(token.uri_of("nothing"))


def test_a_foreign_certificate_of_the_same_id_is_not_ours(token: SoftHsm, tmp_path: Path) -> None:
    key = create_key(token.uri_of("device"), "ec-p256")
    other = ec.generate_private_key(ec.SECP256R1())
    der = tmp_path / "certificate.der"
    der.write_bytes(certificate_for(other).public_bytes(Encoding.DER))
    assert key.info.key_id is not None
    pkcs11_tool(token, "--write-object", str(der), "--type", "cert", "--id", key.info.key_id, "--label", "device")
    assert load_certificate(token.uri_of("device")) is None
    (listed,) = list_keys(token.uri)
    assert not listed.certificate
    delete_key(token.uri_of("device"))
    assert len(certificates(token)) == 1


def test_a_certificate_written_by_pkcs11_tool(token: SoftHsm, tmp_path: Path) -> None:
    key = create_key(token.uri_of("device"), "ec-p256")
    certificate = certificate_for(key)
    der = tmp_path / "certificate.der"
    der.write_bytes(certificate.public_bytes(Encoding.DER))
    assert key.info.key_id is not None
    pkcs11_tool(token, "--write-object", str(der), "--type", "cert", "--id", key.info.key_id)
    assert load_certificate(token.uri_of("device")) == certificate


def test_certificates_are_read_without_a_pin(token: SoftHsm) -> None:
    """They are public objects: nobody is asked for a PIN, and nothing is tried."""
    uri = token.uri_of("device")
    key = create_key(uri, "ec-p256")
    store_certificate(uri, certificate_for(key))
    key.close()
    without = uri.partition("&pin-source")[0]

    def provider(what: str) -> None:
        raise AssertionError("asked for a PIN")

    assert load_certificate(without, pin=provider) is not None
    assert load_certificate(without.replace("?", ";type=cert?")) is not None
    other = create_key(token.uri_of("other"), "ec-p256")
    store_certificate(token.uri_of("other"), certificate_for(other))
    with pytest.raises(KeyAmbiguousError):
        load_certificate(token.uri.partition("&pin-source")[0])


def test_deleting_a_key_takes_its_certificate(token: SoftHsm) -> None:
    uri = token.uri_of("device")
    key = create_key(uri, "ec-p256")
    store_certificate(uri, certificate_for(key))
    assert delete_key(uri).certificate
    assert objects(token) == []


def test_a_delete_that_was_cut_off_can_be_repeated(faulty: FaultyModule) -> None:
    """The private key goes last, so the name still finds what is left."""
    uri = faulty.uri_of("device")
    store_certificate(uri, certificate_for(create_key(uri, "ec-p256")))
    faulty.fail("C_DestroyObject", 0x05, after=2)
    with pytest.raises(KeyStoreFailedError):
        delete_key(uri)
    assert len(objects(faulty.token)) == 1
    delete_key(uri)
    assert objects(faulty.token) == []


def test_the_public_key_may_come_from_the_certificate(faulty: FaultyModule) -> None:
    """A token with only a private key and a certificate, as smart cards have it."""
    uri = faulty.uri_of("device")
    key = create_key(uri, "ec-p256")
    store_certificate(uri, certificate_for(key))
    assert key.info.key_id is not None
    pkcs11_tool(faulty.token, "--delete-object", "--type", "pubkey", "--id", key.info.key_id)
    faulty.fail("C_DeriveKey", 0x70, times=100)
    assert open_key(uri).public_key() == key.public_key()
