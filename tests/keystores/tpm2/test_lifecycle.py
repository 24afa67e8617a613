"""Create, open, list, delete; certificates; names that are taken."""

import hashlib
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.errors import (
    ExtractableKeyError,
    KeyExistsError,
    KeyNotFoundError,
    KeyStoreError,
    MechanismUnsupportedError,
    NotExtractableError,
    StoreCorruptError,
    TokenNotFoundError,
    UriError,
)
from device_sdk.keystores import registry
from device_sdk.keystores.keys import DeviceKey
from device_sdk.model.keys import KeyType

PROOF = {"fixedTPM": True, "fixedParent": True, "sensitiveDataOrigin": True, "noDA": True, "restricted": False}


def place(kind: str, tmp_path: Path) -> str:
    return "tpm2:handle=0x81000010" if kind == "handle" else f"tpm2:file={tmp_path}/key.pem"


def certificate(key: DeviceKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "device")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256())


def signs(key: DeviceKey) -> bool:
    signature = key.sign(b"message", ec.ECDSA(hashes.SHA256()))
    key.public_key().verify(signature, b"message", ec.ECDSA(hashes.SHA256()))
    return True


@pytest.mark.usefixtures("swtpm")
@pytest.mark.parametrize("kind", ["file", "handle"])
def test_a_key_is_created_opened_listed_and_deleted(kind: str, tmp_path: Path) -> None:
    """Generated with non-extractable attributes, and read back to prove it (fixedTPM, fixedParent, sensitiveDataOrigin)."""
    uri = place(kind, tmp_path)
    key = registry.create_key(uri, "ec-p256")
    info = key.info
    assert (info.uri, info.keystore, info.key_type) == (uri, "tpm2", KeyType.EC_P256)
    assert info.hardware is True
    assert info.extractable is False
    assert info.attributes.items() >= PROOF.items()
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert info.spki_sha256 == hashlib.sha256(spki).hexdigest()

    again = registry.open_key(info.uri)
    assert again.public_key() == key.public_key()
    assert signs(again)
    assert [found.uri for found in registry.list_keys(uri)] == [uri]
    assert registry.delete_key(uri).spki_sha256 == info.spki_sha256
    assert registry.list_keys(uri) == ()
    with pytest.raises(KeyNotFoundError):
        registry.open_key(uri)
    with pytest.raises(KeyNotFoundError):
        registry.delete_key(uri)


@pytest.mark.usefixtures("swtpm")
def test_the_private_key_is_not_given_out(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import NoEncryption, PrivateFormat

    key = registry.create_key(place("file", tmp_path), "ec-p256")
    with pytest.raises(NotExtractableError):
        key.private_numbers()
    with pytest.raises(NotExtractableError):
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.usefixtures("swtpm")
@pytest.mark.parametrize("kind", ["file", "handle"])
def test_a_name_that_is_taken(kind: str, tmp_path: Path) -> None:
    """Create is idempotent with reuse, refuses otherwise, and refuses a key of another type in any case."""
    uri = place(kind, tmp_path)
    first = registry.create_key(uri, "ec-p256")
    with pytest.raises(KeyExistsError):
        registry.create_key(uri, "ec-p256")
    assert registry.create_key(uri, "ec-p256", reuse=True).public_key() == first.public_key()
    with pytest.raises(KeyExistsError, match="of type ec-p256"):
        registry.create_key(uri, "ec-p384", reuse=True)
    assert signs(first)


def test_persistent_keys_are_seen_by_tpm2_tools(swtpm: Swtpm, tools: Callable[..., str]) -> None:
    """The handle is where it was asked for, and the TPM's other persistent objects are left alone."""
    before = tools("tpm2_getcap", "handles-persistent")
    registry.create_key("tpm2:handle=0x81000010", "ec-p256")
    assert "0x81000010" in tools("tpm2_getcap", "handles-persistent")
    assert "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|" in tools("tpm2_readpublic", "-c", "0x81000010")
    swtpm.restart()
    assert signs(registry.open_key("tpm2:handle=0x81000010"))
    registry.delete_key("tpm2:handle=0x81000010")
    assert tools("tpm2_getcap", "handles-persistent") == before


@pytest.mark.usefixtures("swtpm")
def test_key_files_are_private_whole_and_alone(tmp_path: Path) -> None:
    """Mode 0600, nothing left beside it."""
    directory = tmp_path / "keys"
    directory.mkdir()
    registry.create_key(f"tpm2:file={directory}/key.pem", "ec-p256")
    assert stat.S_IMODE((directory / "key.pem").stat().st_mode) == 0o600
    assert [path.name for path in directory.iterdir()] == ["key.pem"]


@pytest.mark.usefixtures("swtpm")
def test_a_missing_directory_and_a_symbolic_link(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="mkdir"):
        registry.create_key(f"tpm2:file={tmp_path}/none/key.pem", "ec-p256")
    (tmp_path / "link.pem").symlink_to(tmp_path / "elsewhere.pem")
    with pytest.raises(KeyExistsError):
        registry.create_key(f"tpm2:file={tmp_path}/link.pem", "ec-p256")
    assert not (tmp_path / "elsewhere.pem").exists()


@pytest.mark.usefixtures("swtpm")
@pytest.mark.parametrize("kind", ["file", "handle"])
def test_the_certificate_beside_the_key(kind: str, tmp_path: Path) -> None:
    """Stored, fetched, replaced, refused for another key, gone with its key."""
    uri = place(kind, tmp_path)
    key = registry.create_key(uri, "ec-p256")
    assert registry.load_certificate(uri) is None
    first, second = certificate(key), certificate(key)
    for one in (first, second):
        registry.store_certificate(uri, one)
        assert registry.load_certificate(uri) == one
    assert registry.open_key(uri).info.certificate is True
    other = registry.create_key(f"tpm2:file={tmp_path}/other.pem", "ec-p256")
    with pytest.raises(KeyStoreError, match="another key"):
        registry.store_certificate(uri, certificate(other))
    assert registry.load_certificate(uri) == second
    registry.delete_key(uri)
    assert list(tmp_path.rglob("*.crt")) == []


@pytest.mark.usefixtures("swtpm")
def test_a_certificate_of_an_earlier_key_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    old = registry.create_key(f"tpm2:file={tmp_path}/key.pem", "ec-p256")
    registry.store_certificate(old.info.uri, certificate(old))
    (tmp_path / "key.pem").unlink()
    registry.create_key(f"tpm2:file={tmp_path}/key.pem", "ec-p256")
    assert registry.load_certificate(f"tpm2:file={tmp_path}/key.pem") is None


@pytest.mark.slow
@pytest.mark.usefixtures("swtpm")
def test_lists(tmp_path: Path) -> None:
    """All persistent device keys (not the storage keys), and all key files of a directory (not other files)."""
    assert registry.list_keys("tpm2:") == ()
    registry.create_key("tpm2:handle=0x81000010", "ec-p256")
    registry.create_key("tpm2:handle=0x81000020", "rsa-2048")
    found = {info.uri: info.key_type for info in registry.list_keys("tpm2:")}
    assert found == {"tpm2:handle=0x81000010": KeyType.EC_P256, "tpm2:handle=0x81000020": KeyType.RSA_2048}
    registry.create_key(f"tpm2:file={tmp_path}/a%20b.pem", "ec-p384")
    (tmp_path / "notes.txt").write_text("no key")
    (info,) = registry.list_keys(f"tpm2:dir={tmp_path}")
    assert info.uri == f"tpm2:file={tmp_path}/a%20b.pem"
    assert info.attributes["loadable"] is True
    assert registry.open_key(info.uri).public_key().key_size == 384


@pytest.mark.usefixtures("swtpm")
def test_nothing_under_the_handle_lists_what_there_is() -> None:
    registry.create_key("tpm2:handle=0x81000010", "ec-p256")
    with pytest.raises(KeyNotFoundError) as caught:
        registry.open_key("tpm2:handle=0x81000011")
    assert "tpm2:handle=0x81000010" in (caught.value.candidates or ())


@pytest.mark.usefixtures("swtpm")
@pytest.mark.parametrize("uri", ["tpm2:", "tpm2:dir=/tmp"])
def test_a_whole_tpm_is_not_a_key(uri: str) -> None:
    """As in every keystore, where one key is needed a URI that names none is a bad URI."""
    create = partial(registry.create_key, key_type="ec-p256")
    for act in (create, registry.open_key, registry.delete_key, registry.load_certificate):
        with pytest.raises(UriError, match="no single key"):
            act(uri)


@pytest.mark.usefixtures("swtpm")
def test_handles_outside_the_owners_range() -> None:
    with pytest.raises(KeyStoreError, match="owner's handles"):
        registry.create_key("tpm2:handle=0x81800000", "ec-p256")


@pytest.mark.usefixtures("swtpm")
def test_storage_keys_and_imported_keys_are_not_device_keys(tools: Callable[..., str], tmp_path: Path) -> None:
    """A key that could have copies elsewhere is refused at open, and left alone: somebody put it there."""
    with pytest.raises(MechanismUnsupportedError, match="storage or attestation"):
        registry.open_key("tpm2:handle=0x81010001")
    tools("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "soft.pem")
    tools("tpm2_createprimary", "-Q", "-C", "o", "-c", "p.ctx")
    tools("tpm2_import", "-Q", "-C", "p.ctx", "-G", "ecc", "-i", "soft.pem", "-u", "i.pub", "-r", "i.priv")
    tools("tpm2_flushcontext", "-t")
    tools("tpm2_load", "-Q", "-C", "p.ctx", "-u", "i.pub", "-r", "i.priv", "-c", "i.ctx")
    tools("tpm2_flushcontext", "-t")
    tools("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "i.ctx", "0x81000030")
    tools("tpm2_flushcontext", "-t")
    with pytest.raises(ExtractableKeyError) as caught:
        registry.open_key("tpm2:handle=0x81000030")
    assert set(caught.value.attributes or ()) == {"fixedTPM", "fixedParent", "sensitiveDataOrigin"}
    with pytest.raises(ExtractableKeyError):
        registry.create_key("tpm2:handle=0x81000030", "ec-p256", reuse=True)
    (info,) = registry.list_keys("tpm2:handle=0x81000030")
    assert info.extractable is True


def test_a_tpm_that_makes_an_extractable_key(wire, tmp_path: Path) -> None:
    """A key that fails the check is destroyed and the call errors (the command is changed on its way to the TPM)."""

    def clear(command: bytes) -> object:
        if int.from_bytes(command[6:10], "big") != 0x153:  # TPM2_Create
            return None
        return command.replace(bytes.fromhex("00060472"), bytes.fromhex("00060460"))

    wire.script = clear
    for uri in (f"tpm2:file={tmp_path}/key.pem?tcti={wire.tcti}", f"tpm2:handle=0x81000010?tcti={wire.tcti}"):
        with pytest.raises(ExtractableKeyError) as caught:
            registry.create_key(uri, "ec-p256")
        assert caught.value.attributes == ("fixedTPM", "fixedParent")
        assert registry.list_keys(uri) == ()
    assert not (tmp_path / "key.pem").exists()


@pytest.mark.usefixtures("swtpm")
def test_files_that_are_no_keys(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(b"rubbish")
    for act in (registry.open_key, registry.delete_key, registry.list_keys):
        with pytest.raises(StoreCorruptError):
            act(f"tpm2:file={path}")
    assert path.exists()
    with pytest.raises(StoreCorruptError):
        registry.create_key(f"tpm2:file={path}", "ec-p256", reuse=True)
    assert path.read_bytes() == b"rubbish"


@pytest.mark.slow
def test_a_key_of_another_tpm(swtpm: Swtpm, tmp_path: Path) -> None:
    """The TPM refuses it; the message says why that can be."""
    uri = f"tpm2:file={tmp_path}/key.pem"
    registry.create_key(uri, "ec-p256")
    with Swtpm() as other:
        with pytest.raises(StoreCorruptError, match="another TPM"):
            registry.open_key(f"{uri}?tcti={other.tcti}")
        (info,) = registry.list_keys(f"tpm2:dir={tmp_path}?tcti={other.tcti}")
        assert info.attributes["loadable"] is False
        assert registry.delete_key(f"{uri}?tcti={other.tcti}").uri.startswith(uri)


def test_no_tpm_there(tmp_path: Path) -> None:
    for tcti in (f"swtpm:path={tmp_path}/none.sock", f"device:{tmp_path}/none", "tabrmd:bus_type=session"):
        with pytest.raises(TokenNotFoundError) as caught:
            registry.list_keys(f"tpm2:?tcti={tcti}")
        assert caught.value.hint


def test_which_tpm(swtpm: Swtpm, monkeypatch: pytest.MonkeyPatch) -> None:
    """TCTI by query, else DEVICE_SDK_TCTI, TPM2TOOLS_TCTI, TPM2OPENSSL_TCTI."""
    monkeypatch.delenv("TPM2TOOLS_TCTI")
    monkeypatch.setenv("TPM2OPENSSL_TCTI", swtpm.tcti)
    assert registry.list_keys("tpm2:") == ()
    monkeypatch.setenv("TPM2TOOLS_TCTI", "swtpm:path=/nowhere")
    with pytest.raises(TokenNotFoundError):
        registry.list_keys("tpm2:")
    assert registry.list_keys(f"tpm2:?tcti={swtpm.tcti}") == ()
    monkeypatch.setenv("DEVICE_SDK_TCTI", swtpm.tcti)
    assert registry.list_keys("tpm2:") == ()
    monkeypatch.setenv("DEVICE_SDK_TCTI", "cmd:sh")
    with pytest.raises(KeyStoreError, match="DEVICE_SDK_TCTI"):
        registry.list_keys("tpm2:")
