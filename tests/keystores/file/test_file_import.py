"""A private key that was made elsewhere goes into a file of mode 0600, whole or not at all (EST-202); openssl judges."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.errors import KeyExistsError, KeyStoreError, PinRequiredError
from device_sdk.keystores.registry import import_key, list_keys, open_key
from tests.keystores.foreign_keys import openssl, pkcs8, public_pem, secret

TYPES = ["ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072", "rsa-4096"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPES)
def test_est_202_a_file_of_mode_0600_that_openssl_reads(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "key.pem"
    with import_key(f"file:{path}", secret(kind)) as key:
        public = key.public_key()  # type: ignore[attr-defined]  # every DeviceKey is one of cryptography's keys
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        assert (key.info.hardware, key.info.extractable, key.info.imported) == (False, True, False)
    assert pem == public_pem(pkcs8(kind)) == openssl("pkey", "-in", str(path), "-pubout").decode()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert [entry.name for entry in tmp_path.iterdir()] == ["key.pem"]
    open_key(f"file:{path}").close()


def test_est_202_a_passphrase_encrypts_it(tmp_path: Path) -> None:
    (tmp_path / "pass").write_text("open sesame")
    uri = f"file:{tmp_path}/key.pem?pin-source=file:{tmp_path}/pass"
    import_key(uri, secret("ec-p256")).close()
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in (tmp_path / "key.pem").read_bytes()
    with pytest.raises(PinRequiredError):
        open_key(f"file:{tmp_path}/key.pem")
    with open_key(uri) as key:
        assert key.info.attributes["encrypted"] is True


def test_est_202_a_taken_name(tmp_path: Path) -> None:
    """Only the very same key is taken with `reuse`; whatever is there stays as it is, a link that leads nowhere too."""
    uri, path = f"file:{tmp_path}/key.pem", tmp_path / "key.pem"
    import_key(uri, secret("ec-p256"))
    before = path.read_bytes()
    with pytest.raises(KeyExistsError):
        import_key(uri, secret("ec-p256"))
    for other in (secret("ec-p256", 1), secret("rsa-2048")):
        with pytest.raises(KeyExistsError):
            import_key(uri, other, reuse=True)
    import_key(uri, secret("ec-p256"), reuse=True)
    assert path.read_bytes() == before
    (tmp_path / "link.pem").symlink_to(tmp_path / "nothing")
    with pytest.raises(KeyExistsError):
        import_key(f"file:{tmp_path}/link.pem", secret("ec-p256"))
    assert not (tmp_path / "nothing").exists()


def test_est_202_a_place_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="make the directory first"):
        import_key(f"file:{tmp_path}/none/key.pem", secret("ec-p256"))
    assert list(tmp_path.iterdir()) == []
    assert list_keys(f"file:{tmp_path}") == ()
