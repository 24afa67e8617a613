"""Symmetric keys in a TPM: they do not leave it, or are sealed; for what they are for and nothing else (K-11)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.keywrap import aes_key_wrap, aes_key_wrap_with_padding
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.errors import (
    KeyExistsError,
    KeyNotFoundError,
    KeysNotStoredError,
    KeyStoreError,
    MechanismUnsupportedError,
    PinIncorrectError,
    PinRequiredError,
    StoreCorruptError,
    TokenNotFoundError,
    UriError,
)
from device_sdk.keystores.registry import create_key, delete_key, holds_secret, list_keys, open_secret
from device_sdk.keystores.secret_import import open_place, store_keys
from device_sdk.keystores.tpm2.secret_keys import SealedKey, TpmCipherKey
from device_sdk.model.keys import KeyType
from device_sdk.model.secret import Secret
from device_sdk.model.symmetric_keys import KeyUsage, SymmetricKey
from tests.keystores.tpm2.conftest import Wire

VALUE = bytes(range(100, 132))
CONTENT = bytes(range(256)) * 9
VECTOR = bytes(range(16))


def key(
    key_id: str = "k1",
    value: bytes = VALUE,
    *usages: KeyUsage,
    is_aes: bool = True,
) -> SymmetricKey:
    return SymmetricKey(
        key_id, "urn:aes", is_aes, frozenset(usages or (KeyUsage.INTEGRITY,)), Secret(value), f"label of {key_id}"
    )


def stored(directory: Path, *keys: SymmetricKey, pin: str = "", **options: bool) -> list[str]:
    return list(store_keys(keys, f"tpm2:dir={directory}{pin}", **options).places.values())


def encrypted(value: bytes) -> bytes:
    cipher = Cipher(algorithms.AES(value), modes.CBC(VECTOR)).encryptor()
    return cipher.update(CONTENT) + cipher.finalize()


@pytest.mark.slow
@pytest.mark.parametrize("size", [16, 32])
def test_k_11_an_aes_key_that_stays_in_the_tpm(swtpm: Swtpm, tmp_path: Path, size: int) -> None:
    """It unwraps and decrypts in there; openssl's AES says what is right, and nothing gives the value out."""
    value = VALUE[:size]
    (uri,) = stored(tmp_path, key("k1", value, KeyUsage.UNWRAP, KeyUsage.DECRYPT))
    with open_secret(uri) as opened:
        assert isinstance(opened, TpmCipherKey)
        assert (opened.identifier, opened.key_bytes) == (b"k1", size)
        for length in (1, 8, 13, 24):
            secret = bytes(range(length))
            assert opened.unwrap(aes_key_wrap_with_padding(value, secret), padded=True) == secret
        wrapped = aes_key_wrap(value, CONTENT[:32])
        assert opened.unwrap(wrapped, padded=False) == CONTENT[:32]
        assert opened.unwrap(wrapped, padded=True) is None
        assert opened.unwrap(wrapped[:-1] + b"\0", padded=False) is None
        assert opened.unwrap(wrapped[:-1], padded=False) is None
        assert opened.decrypt_cbc(VECTOR, encrypted(value)) == CONTENT
    assert value not in Path(uri.partition("file=")[2]).read_bytes()
    (info,) = list_keys(uri)
    assert (info.extractable, info.attributes["kept"]) == (False, "in use by the TPM alone")


def test_k_11_other_keys_are_sealed(swtpm: Swtpm, tmp_path: Path) -> None:
    """The value passes through memory, and is zeros there afterwards."""
    uris = stored(
        tmp_path,
        key("mac", VALUE, KeyUsage.INTEGRITY, is_aes=False),
        key("short", b"x", KeyUsage.OTP, is_aes=False),
        key("aes-192", VALUE[:24], KeyUsage.UNWRAP, KeyUsage.DECRYPT),
    )
    with open_secret(uris[0]) as opened:
        assert isinstance(opened, SealedKey)
        with opened.value(KeyUsage.INTEGRITY) as value:
            assert value == VALUE
        assert value == bytes(len(VALUE))
    with open_secret(uris[2]) as opened:
        assert isinstance(opened, SealedKey), "swtpm has no AES-192"
        assert opened.unwrap(aes_key_wrap(VALUE[:24], CONTENT[:16]), padded=False) == CONTENT[:16]
        assert opened.unwrap(aes_key_wrap_with_padding(VALUE[:24], b"odd"), padded=True) == b"odd"
        assert opened.unwrap(bytes(24), padded=False) is None
        assert opened.decrypt_cbc(VECTOR, encrypted(VALUE[:24])) == CONTENT
    assert [(one.label, one.extractable) for one in list_keys(f"tpm2:dir={tmp_path}")] == [
        ("label of aes-192", True), ("label of mac", True), ("label of short", True)
    ]  # fmt: skip


def test_k_11_what_a_key_is_not_for(swtpm: Swtpm, tmp_path: Path) -> None:
    uris = stored(tmp_path, key("unwraps", VALUE, KeyUsage.UNWRAP), key("mac", VALUE, KeyUsage.INTEGRITY, is_aes=False))
    with open_secret(uris[0]) as opened, pytest.raises(MechanismUnsupportedError, match="it is for: Unwrap"):
        opened.decrypt_cbc(VECTOR, bytes(16))
    with open_secret(uris[1]) as opened:
        assert isinstance(opened, SealedKey)
        with pytest.raises(MechanismUnsupportedError, match="it is for: Integrity"), opened.value(KeyUsage.VERIFY):
            pass
        with pytest.raises(MechanismUnsupportedError):
            opened.unwrap(bytes(24), padded=False)


def test_tpm2_tools_say_what_it_is(swtpm: Swtpm, tmp_path: Path, tools: Callable[..., str]) -> None:
    """Another program loads the file's halves, unseals the very value, and finds that it cannot be moved."""
    from device_sdk.wire.tpm_secret import read_tpm_secret

    stored(tmp_path, key("mac", VALUE, KeyUsage.INTEGRITY, is_aes=False), pin=f"?pin-source={pin(tmp_path)}")
    path = tmp_path / "mac.key.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    found = read_tpm_secret(path.read_bytes()).key
    (tmp_path / "public").write_bytes(found.public)
    (tmp_path / "private").write_bytes(found.private)
    tools(
        "tpm2_createprimary", "-C", "o", "-G", "ecc", "-g", "sha256", "-c", "srk.ctx",
        "-a", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt",
    )  # fmt: skip
    tools("tpm2_flushcontext", "-t")
    tools("tpm2_load", "-C", "srk.ctx", "-u", "public", "-r", "private", "-c", "key.ctx")
    tools("tpm2_flushcontext", "-t")
    said = tools("tpm2_readpublic", "-c", "key.ctx")
    assert "value: fixedtpm|fixedparent|userwithauth|noda\n" in said
    tools("tpm2_flushcontext", "-t")
    tools("tpm2_unseal", "-c", "key.ctx", "-o", "value", fails=True)
    tools("tpm2_flushcontext", "-t")
    tools("tpm2_unseal", "-c", "key.ctx", "-p", "1234", "-o", "value")
    tools("tpm2_flushcontext", "-t")
    assert (tmp_path / "value").read_bytes() == VALUE
    text = tools("openssl", "asn1parse", "-in", str(path))
    assert "2.23.133.10.1.5" in text, "other programs see past the line before the PEM"


def pin(directory: Path, value: str = "1234") -> str:
    path = directory / f"pin-{value}"
    path.write_text(value)
    path.chmod(0o600)
    return f"file:{path}"


@pytest.mark.slow
def test_a_pin(swtpm: Swtpm, tmp_path: Path) -> None:
    """Wanted if one was named, tried once, and not in what is sent to the TPM."""
    for usage, is_aes in ((KeyUsage.UNWRAP, True), (KeyUsage.INTEGRITY, False)):
        directory = tmp_path / usage.value
        directory.mkdir()
        (uri,) = stored(directory, key("k1", VALUE, usage, is_aes=is_aes), pin=f"?pin-source={pin(tmp_path)}")
        open_secret(uri).close()
        bare = uri.partition("?")[0]
        open_secret(bare, pin=lambda _: Secret("1234")).close()
        with pytest.raises(PinRequiredError):
            open_secret(bare)
        with pytest.raises(PinIncorrectError):
            open_secret(f"{bare}?pin-source={pin(tmp_path, 'wrong')}")


def test_nothing_secret_on_the_wire(wire: Wire, tmp_path: Path) -> None:
    """Neither the values nor the PIN are in clear in what goes to the TPM; what comes back is encrypted likewise."""
    sent: list[bytes] = []
    wire.script = sent.append
    place = f"?tcti={wire.tcti}&pin-source={pin(tmp_path, 'a-long-pin')}"
    uris = stored(
        tmp_path, key("mac", VALUE, KeyUsage.INTEGRITY, is_aes=False), key("aes", VALUE, KeyUsage.UNWRAP), pin=place
    )
    with open_secret(uris[0]) as opened:
        assert isinstance(opened, SealedKey)
        with opened.value(KeyUsage.INTEGRITY) as value:
            assert value == VALUE
    with open_secret(uris[1]) as opened:
        assert opened.unwrap(aes_key_wrap(VALUE, CONTENT[:16]), padded=False) == CONTENT[:16]
    commands = b"".join(sent)
    assert len(commands) > 1000
    assert VALUE not in commands
    assert b"a-long-pin" not in commands
    unseals = [one for one in sent if one[6:10] == b"\0\0\1\x5e"]
    assert unseals
    assert all(one[18:19] == b"\x02" for one in unseals), "authorised by an HMAC session, not by the password"


def test_what_is_in_the_way(swtpm: Swtpm, tmp_path: Path) -> None:
    stored(tmp_path, key("k1"))
    before = (tmp_path / "k1.key.pem").read_bytes()
    with pytest.raises(KeyExistsError, match=r"k1\.key\.pem exists already"):
        stored(tmp_path, key("k2"), key("k1"))
    assert not (tmp_path / "k2.key.pem").exists(), "looked at before anything is stored"
    stored(tmp_path, key("k1", VALUE[:16]), replace=True)
    assert (tmp_path / "k1.key.pem").read_bytes() != before
    create_key(f"tpm2:file={tmp_path}/device.key.pem", KeyType.EC_P256).close()
    device = (tmp_path / "device.key.pem").read_bytes()
    with pytest.raises(KeyStoreError, match="no key of the identifier 'device'"):
        stored(tmp_path, key("k3"), key("device"), replace=True)
    with open_place(f"tpm2:dir={tmp_path}") as place, pytest.raises(KeyStoreError, match="identifier 'device'"):
        place.store([key("device")], replace=True)
    assert (tmp_path / "device.key.pem").read_bytes() == device, "the device's own key is not theirs"
    assert not (tmp_path / "k3.key.pem").exists()
    with pytest.raises(KeyNotFoundError, match="is no directory"):
        stored(tmp_path / "none", key())
    with pytest.raises(UriError, match="names no directory"):
        store_keys([key()], f"tpm2:file={tmp_path}/x")
    with pytest.raises(MechanismUnsupportedError, match="seals up to 128 bytes"):
        stored(tmp_path, key("long", bytes(129), is_aes=False))
    with pytest.raises(KeysNotStoredError, match="stored: k5; not stored: long"):
        stored(tmp_path, key("k5"), key("long", bytes(129), is_aes=False))
    with pytest.raises(TokenNotFoundError):
        store_keys([key("k9")], f"tpm2:dir={tmp_path}?tcti=swtpm:path={tmp_path}/nowhere")
    assert not (tmp_path / "k9.key.pem").exists()


def test_another_tpm_and_damage(swtpm: Swtpm, tmp_path: Path, new_tpm: Path) -> None:
    (uri,) = stored(tmp_path, key("k1"))
    path = tmp_path / "k1.key.pem"
    whole = path.read_bytes()
    for damaged in (
        whole[:-60],
        whole.replace(b'"bits": 256', b'"bits": 128'),
        whole.replace(b'"usages": ["', b'"usages": ["x'),
        b"x" + whole,
    ):
        path.write_bytes(damaged)
        with pytest.raises(StoreCorruptError):
            open_secret(uri)
    path.write_bytes(whole)
    with Swtpm(tmp_path / "other") as other, pytest.raises(StoreCorruptError, match="another TPM made it"):
        open_secret(f"{uri}?tcti={other.tcti}")
    with pytest.raises(KeyNotFoundError):
        open_secret(f"tpm2:file={tmp_path}/none")


def test_a_hostile_name(swtpm: Swtpm, tmp_path: Path) -> None:
    """The identifier comes from outside: it is no path, and no beginning of a PEM block."""
    name = "../-----BEGIN TSS2 PRIVATE KEY-----\nAAAA\n-----END TSS2 PRIVATE KEY-----"
    (uri,) = stored(tmp_path, key(name))
    (path,) = tmp_path.glob("*.key.pem")
    assert path.read_bytes().count(b"-----BEGIN") == 1
    assert holds_secret(uri)
    with open_secret(uri) as opened:
        assert opened.identifier == name.encode()


def test_deleted(swtpm: Swtpm, tmp_path: Path) -> None:
    (uri,) = stored(tmp_path, key("k1"))
    assert delete_key(uri).label == "label of k1"
    assert list_keys(f"tpm2:dir={tmp_path}") == ()
    with pytest.raises(KeyNotFoundError):
        open_secret(uri)


FULL = """
import resource, signal, sys
from device_sdk.errors import KeyStoreError
from device_sdk.keystores.secret_import import open_place, store_keys
from device_sdk.model.keys import KeyType
from device_sdk.model.secret import Secret
from device_sdk.model.symmetric_keys import KeyUsage, SymmetricKey
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
key = SymmetricKey("k1", "a", True, frozenset({KeyUsage.UNWRAP}), Secret(bytes(16)), "new")
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    store_keys([key], sys.argv[1], replace=True)
except KeyStoreError as error:
    print(error.message)
"""


@pytest.mark.slow
def test_a_full_disk(swtpm: Swtpm, tmp_path: Path) -> None:
    """A typed error, and the key that was there is there."""
    (tmp_path / "keys").mkdir()
    stored(tmp_path / "keys", key("k1"))
    before = (tmp_path / "keys/k1.key.pem").read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", FULL, f"tpm2:dir={tmp_path}/keys"], capture_output=True, text=True, check=False
    )
    assert "k1.key.pem" in done.stdout, done.stderr
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["k1.key.pem"]
    assert (tmp_path / "keys/k1.key.pem").read_bytes() == before


@pytest.mark.parametrize("step", ["cut", "cut after"])
def test_the_line_breaks_while_a_session_is_open(wire: Wire, tmp_path: Path, step: str) -> None:
    """It is tried again once; no session and no object is left in the TPM (the fixture looks)."""
    creates = 0

    def script(command: bytes) -> object:
        nonlocal creates
        creates += command[6:10] == b"\0\0\1\x53"  # TPM2_Create
        return step if command[6:10] == b"\0\0\1\x53" and creates == 1 else None

    wire.script = script
    (uri,) = stored(tmp_path, key("k1"), pin=f"?tcti={wire.tcti}")
    assert creates == 2
    open_secret(uri).close()


KILLED = """
import os, signal, sys
from device_sdk.keystores.registry import open_secret
from device_sdk.keystores.tpm2 import secret_keys

key = open_secret(sys.argv[1])
secret_keys.decrypted = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
key.decrypt_cbc(bytes(16), bytes(16))
"""


@pytest.mark.slow
def test_killed_with_a_session_open(swtpm: Swtpm, tmp_path: Path, loaded: Callable[[], str]) -> None:
    """The next one who uses the TPM flushes the dead one's session, not only its key."""
    (uri,) = stored(tmp_path, key("k1", VALUE, KeyUsage.DECRYPT))
    done = subprocess.run([sys.executable, "-c", KILLED, uri], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    assert "0x2000000" in loaded().lower()
    open_secret(uri).close()
    assert loaded() == ""


def test_json_says_it(swtpm: Swtpm, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`keys list` and `keys delete` of such a key, and no value anywhere."""
    from device_sdk.cli.main import main

    (uri,) = stored(tmp_path, key("k1", VALUE, KeyUsage.UNWRAP))
    assert main(["keys", "list", f"tpm2:dir={tmp_path}", "--json"]) == 0
    said = capsys.readouterr().out
    (one,) = json.loads(said)["keys"]
    assert (one["uri"], one["key_id"], one["attributes"]["usages"]) == (uri, b"k1".hex(), "Unwrap")
    assert VALUE.hex() not in said
    assert main(["keys", "list", uri]) == 0
    assert "urn:aes, 256 bits, for Unwrap, non-extractable, hardware" in capsys.readouterr().out
    assert main(["keys", "show", uri]) == 0
    assert "kept: in use by the TPM alone" in capsys.readouterr().out
    assert main(["keys", "delete", uri]) == 0
    assert not list(tmp_path.glob("*.key.pem"))
