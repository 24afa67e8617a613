"""Keys in PKCS#8 files: private, whole, judged by openssl; every way a file can be wrong."""

import os
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from device_sdk.errors import (
    KeyExistsError,
    KeyNotFoundError,
    KeyStoreError,
    MechanismUnsupportedError,
    NotExtractableError,
    PinIncorrectError,
    PinRequiredError,
    StoreCorruptError,
)
from device_sdk.keystores import registry
from device_sdk.keystores.keys import EcDeviceKey, RsaDeviceKey
from device_sdk.model.keys import KeyType
from device_sdk.model.secret import Secret

EC = ec.ECDSA(hashes.SHA256())


def openssl(*command: str, directory: Path) -> str:
    done = subprocess.run(["openssl", *command], cwd=directory, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def certificate(key) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "device")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256())


@pytest.mark.parametrize(
    "key_type", [pytest.param(t, marks=pytest.mark.slow if t is KeyType.RSA_4096 else ()) for t in KeyType]
)
def test_a_key_is_created_opened_listed_and_deleted(tmp_path: Path, key_type: KeyType) -> None:
    """PKCS#8, mode 0600, read by openssl; the key says that it is not in hardware."""
    uri = f"file:{tmp_path}/key.pem"
    key = registry.create_key(uri, key_type)
    path = tmp_path / "key.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["key.pem"]
    assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    public = openssl("pkey", "-in", "key.pem", "-pubout", directory=tmp_path)
    assert serialization.load_pem_public_key(public.encode()) == key.public_key()
    assert (key.info.uri, key.info.keystore, key.info.key_type) == (uri, "file", key_type)
    assert (key.info.hardware, key.info.extractable) == (False, True)
    assert registry.open_key(uri).info == key.info
    assert registry.list_keys(uri) == (key.info,)
    assert registry.list_keys(f"file:{tmp_path}") == (key.info,)
    assert registry.delete_key(uri) == key.info
    assert list(tmp_path.iterdir()) == []
    assert registry.list_keys(uri) == ()
    for act in (registry.open_key, registry.delete_key, registry.load_certificate):
        with pytest.raises(KeyNotFoundError):
            act(uri)


def test_operations(tmp_path: Path) -> None:
    """The key classes behave as hardware keys do; cryptography's own keys are the judge."""
    key = registry.create_key(f"file:{tmp_path}/ec.pem", "ec-p384")
    assert isinstance(key, EcDeviceKey)
    key.public_key().verify(key.sign(b"m", EC), b"m", EC)
    peer = ec.generate_private_key(ec.SECP384R1())
    assert key.exchange(ec.ECDH(), peer.public_key()) == peer.exchange(ec.ECDH(), key.public_key())
    rsa_key = registry.create_key(f"file:{tmp_path}/rsa.pem", "rsa-2048")
    assert isinstance(rsa_key, RsaDeviceKey)
    public = rsa_key.public_key()
    for algorithm in (hashes.SHA256(), hashes.SHA512()):
        for scheme in (padding.PKCS1v15(), padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.MAX_LENGTH)):
            public.verify(rsa_key.sign(b"m", scheme, algorithm), b"m", scheme, algorithm)
        for scheme in (padding.PKCS1v15(), padding.OAEP(padding.MGF1(hashes.SHA256()), algorithm, None)):
            assert rsa_key.decrypt(public.encrypt(b"m", scheme), scheme) == b"m"
    for one in (key, rsa_key):
        with pytest.raises(NotExtractableError):
            one.private_numbers()
        one.close()
        one.close()
    with pytest.raises(KeyStoreError, match="closed"):
        key.sign(b"m", EC)
    with pytest.raises(KeyStoreError, match="closed"):
        rsa_key.decrypt(bytes(256), padding.PKCS1v15())


def test_a_passphrase(tmp_path: Path) -> None:
    """Encrypted PKCS#8 that openssl opens with the same passphrase; a wrong one is its own error."""
    (tmp_path / "pass").write_text("sesame\n")
    uri = f"file:{tmp_path}/key.pem"
    key = registry.create_key(f"{uri}?pin-source=file:{tmp_path}/pass", "ec-p256")
    assert (tmp_path / "key.pem").read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    openssl("pkey", "-in", "key.pem", "-passin", "file:pass", "-noout", directory=tmp_path)
    assert registry.open_key(uri, pin=lambda _: Secret("sesame")).public_key() == key.public_key()
    with pytest.raises(PinIncorrectError) as caught:
        registry.open_key(uri, pin=lambda _: Secret("Sesam"))
    assert "Sesam" not in str(caught.value)
    for provider in (None, lambda _: None):
        with pytest.raises(PinRequiredError):
            registry.open_key(uri, pin=provider)
    (info,) = registry.list_keys(uri)
    assert (info.key_type, info.attributes["encrypted"]) == (None, True)
    (info,) = registry.list_keys(f"{uri}?pin-source={tmp_path}/pass")
    assert info.key_type is KeyType.EC_P256
    registry.store_certificate(uri, certificate(key), pin=lambda _: Secret("sesame"))
    assert registry.load_certificate(uri) == certificate_of(tmp_path)
    assert registry.delete_key(uri).attributes["encrypted"] is True


def certificate_of(directory: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((directory / "key.crt").read_bytes())


def test_names_that_are_taken(tmp_path: Path) -> None:
    uri = f"file:{tmp_path}/key.pem"
    first = registry.create_key(uri, "ec-p256")
    with pytest.raises(KeyExistsError):
        registry.create_key(uri, "ec-p256")
    assert registry.create_key(uri, "ec-p256", reuse=True).public_key() == first.public_key()
    with pytest.raises(KeyExistsError, match="ec-p256"):
        registry.create_key(uri, "rsa-2048", reuse=True)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o601])
def test_files_others_may_read_or_change_are_refused(tmp_path: Path, mode: int) -> None:
    uri = f"file:{tmp_path}/key.pem"
    registry.create_key(uri, "ec-p256")
    (tmp_path / "key.pem").chmod(mode)
    for act in (registry.open_key, registry.load_certificate):
        with pytest.raises(KeyStoreError, match="chmod 600"):
            act(uri)
    (info,) = registry.list_keys(uri)
    assert info.attributes["mode"] == f"{mode:04o}"


def test_symbolic_links_and_other_things_are_not_written_through(tmp_path: Path) -> None:
    """A link planted under the key's or certificate's name leads nowhere."""
    target = tmp_path / "target"
    (tmp_path / "key.pem").symlink_to(target)
    uri = f"file:{tmp_path}/key.pem"
    with pytest.raises(KeyExistsError):
        registry.create_key(uri, "ec-p256")
    assert not target.exists()
    (tmp_path / "key.pem").unlink()
    key = registry.create_key(uri, "ec-p256")
    target.write_text("precious")
    (tmp_path / "key.crt").symlink_to(target)
    with pytest.raises(KeyStoreError, match="not a regular file"):
        registry.store_certificate(uri, certificate(key))
    assert target.read_text() == "precious"


def test_the_certificate_beside_the_key(tmp_path: Path) -> None:
    """Stored as PEM, mode 0644; replaced whole; refused for another key; passed over if its key is gone."""
    uri = f"file:{tmp_path}/key.pem"
    key = registry.create_key(uri, "ec-p256")
    assert registry.load_certificate(uri) is None
    for _ in range(2):
        current = certificate(key)
        registry.store_certificate(uri, current)
        assert registry.load_certificate(uri) == current
    assert stat.S_IMODE((tmp_path / "key.crt").stat().st_mode) == 0o644
    assert registry.open_key(uri).info.certificate is True
    other = registry.create_key(f"file:{tmp_path}/other.pem", "ec-p256")
    with pytest.raises(KeyStoreError, match="another key"):
        registry.store_certificate(uri, certificate(other))
    assert registry.load_certificate(uri) == current
    (tmp_path / "key.pem").unlink()
    registry.create_key(uri, "ec-p256")
    assert registry.load_certificate(uri) is None
    (tmp_path / "key.crt").write_bytes(b"rubbish")
    with pytest.raises(StoreCorruptError):
        registry.load_certificate(uri)
    registry.delete_key(uri)
    assert not (tmp_path / "key.crt").exists()


def test_files_that_are_no_keys(tmp_path: Path) -> None:
    uri = f"file:{tmp_path}/key.pem"
    path = tmp_path / "key.pem"
    encoded = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for data in (b"", b"rubbish", b"\x00" * 1000, b"x" * 100_000, encoded[:100], encoded.replace(b"MI", b"!!")):
        path.write_bytes(data)
        path.chmod(0o600)
        for act in (registry.open_key, registry.delete_key):
            with pytest.raises(StoreCorruptError):
                act(uri)
        assert registry.list_keys(uri) == ()
        assert path.exists()
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreCorruptError):
        registry.open_key(uri)
    path.rmdir()
    os.mkfifo(path, 0o600)
    with pytest.raises(StoreCorruptError):
        registry.open_key(uri)


def test_keys_of_other_types(tmp_path: Path) -> None:
    """Ed25519 and odd sizes are named as what they are: not supported."""
    uri, path = f"file:{tmp_path}/key.pem", tmp_path / "key.pem"
    for key in (
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(public_exponent=65537, key_size=2056),
    ):
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        path.chmod(0o600)
        with pytest.raises(MechanismUnsupportedError):
            registry.open_key(uri)


def test_older_pem_forms_of_openssl_are_read(tmp_path: Path) -> None:
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-out", "key.pem", directory=tmp_path)
    (tmp_path / "key.pem").chmod(0o600)
    key = registry.open_key(f"file:{tmp_path}/key.pem")
    key.public_key().verify(key.sign(b"m", EC), b"m", EC)


def test_a_directory_that_is_missing_or_full(tmp_path: Path) -> None:
    """Disk full and read-only places: an error, and what was there before is unchanged."""
    with pytest.raises(KeyStoreError, match="mkdir"):
        registry.create_key(f"file:{tmp_path}/none/key.pem", "ec-p256")
    with pytest.raises(KeyStoreError):
        registry.create_key("file:/proc/key.pem", "ec-p256")


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert registry.create_key("file:key.pem", "ec-p256").info.uri == "file:key.pem"
    assert registry.list_keys("file:.")[0].key_type is KeyType.EC_P256


def test_probe(tmp_path: Path) -> None:
    """Everything works, and the warning says what a file cannot do."""
    probe = registry.probe(f"file:{tmp_path}")
    assert probe.keystore == "file"
    assert probe.key_types == tuple(KeyType)
    assert all(probe.operations.values())
    assert "prefer a token or TPM" in probe.warnings[0]
    assert len(probe.warnings) == 1
    assert list(tmp_path.iterdir()) == []
    assert len(registry.probe(f"file:{tmp_path}/none/key.pem").warnings) == 2


NOBODY = 65534


@pytest.mark.parametrize("whose", ["file", "link"])
def test_a_key_of_somebody_else_is_not_used_by_root_either(whose: str, tmp_path: Path) -> None:
    """Its owner decides which key it is; the mode says nothing about that."""
    registry.create_key(f"file:{tmp_path}/key.pem", KeyType.EC_P256).close()
    (tmp_path / "link.pem").symlink_to(tmp_path / "key.pem")
    uri = f"file:{tmp_path}/link.pem"
    registry.open_key(uri).close()
    os.chown(tmp_path / ("key.pem" if whose == "file" else "link.pem"), NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(KeyStoreError, match=f"another user .uid {NOBODY}."):
        registry.open_key(uri)
    if whose == "link":
        registry.open_key(f"file:{tmp_path}/key.pem").close()
