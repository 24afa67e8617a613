"""Packages for a symmetric key in a token or TPM: the key never leaves it, whatever the package asks (K-08, K-10, F-09)."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from device_sdk_simulators.cale.shared_key import Kek
from device_sdk_simulators.packages import layers
from device_sdk_simulators.packages.firmware.layers import ContentKey
from device_sdk_simulators.packages.firmware.making import Encryption
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.errors import EnvelopeError, FirmwareError, MechanismUnsupportedError
from device_sdk.keystores.registry import create_key, open_secret
from device_sdk.keystores.secret_import import store_keys
from device_sdk.model.held_key import HeldKey
from device_sdk.model.secret import Secret
from device_sdk.model.symmetric_keys import KeyUsage, SymmetricKey
from device_sdk.wire.cms import open_envelope
from device_sdk.wire.firmware import LoadErrorCode
from tests.est.pki import Ca
from tests.firmware.making import IMAGE, Maker, unpacked
from tests.packages.sealing import VALUE, Sealer
from tests.packages.test_layers import opened, value_of

KEYS = {16: bytes(range(16)), 32: bytes(range(32))}
BOTH = frozenset({KeyUsage.UNWRAP, KeyUsage.DECRYPT})


@pytest.fixture(scope="module")
def sealer() -> Sealer:
    return Sealer()


@pytest.fixture(scope="module")
def maker() -> Maker:
    return Maker()


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swtpm]:
    with Swtpm(tmp_path_factory.mktemp("tpm")) as tpm:
        yield tpm


@pytest.fixture(params=["pkcs11", "tpm2", "tpm2, sealed"])
def held(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., HeldKey]:
    """Puts a key called "kek" into the hardware, and opens it there."""
    sealed = request.param == "tpm2, sealed"
    if request.param == "pkcs11":
        token: SoftHsm = request.getfixturevalue("softhsm_token")
        place = token.uri
    else:
        place = f"tpm2:dir={tmp_path}?tcti={request.getfixturevalue('tpm').tcti}"

    def put(size: int = 32, usages: frozenset[KeyUsage] = BOTH) -> HeldKey:
        # a TPM seals what is for more than it does itself
        more = usages | ({KeyUsage.WRAP} if sealed else set())
        key = SymmetricKey("kek", "urn:aes", is_aes=True, usages=more, value=Secret(KEYS[size]))
        found = open_secret(store_keys([key], place).places["kek"])
        request.addfinalizer(found.close)
        return found

    return put


@pytest.mark.parametrize(("size", "padded"), [(16, True), (32, True), (32, False)])
def test_k_08_key_wrap_by_the_hardware(held, sealer: Sealer, size: int, padded: bool) -> None:
    """A package of keys whose content key is wrapped with a key in the hardware."""
    kek = Kek(b"kek", KEYS[size], padded)
    message = layers.content_info(layers.enveloped(sealer.signed(sealer.content()), kek, "kwp"))
    key = held(size)
    assert value_of(opened(sealer, message, keys=key)) == VALUE
    for other in (Kek(b"kek", bytes(size), padded), Kek(b"other", KEYS[size], padded)):
        wrong = layers.content_info(layers.enveloped(sealer.signed(sealer.content()), other, "kwp"))
        with pytest.raises(EnvelopeError):
            opened(sealer, wrong, keys=key)


@pytest.mark.parametrize("cipher", ["kwp", "cbc"])
def test_k_10_encrypted_with_the_key_in_the_hardware(held, sealer: Sealer, cipher) -> None:
    content = layers.encrypted(sealer.content(), KEYS[32], cipher, b"kek")
    message = layers.content_info(layers.encrypted_key_package(content))
    assert value_of(opened(sealer, message, keys=held(), require_signature=False)) == VALUE


def test_f_09_firmware(held, maker: Maker) -> None:
    """decrypt-key-identifier names the key, which decrypts all of it; or its key is wrapped with the one in the hardware."""
    key = held()
    image = IMAGE[:50_001]
    direct = maker.make(image, encryption=Encryption(b"kek", ContentKey(KEYS[32])), compressed=True)
    assert unpacked(direct, maker, key)[0] == image
    for padded in (False, True):
        wrapped = Encryption(b"key-1", ContentKey(), shared=[Kek(b"kek", KEYS[32], padded)])
        assert unpacked(maker.make(image, encryption=wrapped), maker, key)[0] == image
    for wrong in (Encryption(b"kek", ContentKey(bytes(32))), Encryption(b"kek", ContentKey(KEYS[16]))):
        with pytest.raises(FirmwareError) as caught:
            unpacked(maker.make(image, encryption=wrong, compressed=True), maker, key)
        assert caught.value.load_error in (
            LoadErrorCode.DECRYPT_FAILURE, LoadErrorCode.DECOMPRESS_FAILURE, LoadErrorCode.NO_DECRYPT_KEY,
            LoadErrorCode.DECODE_FAILURE, LoadErrorCode.BAD_FIRMWARE,
        )  # fmt: skip


@pytest.mark.parametrize(("store", "kind"), [("pkcs11", "ec-p256"), ("tpm2", "rsa-2048")])
def test_f_09_key_pairs(store: str, kind: str, maker: Maker, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """ECDH and RSA-OAEP by the hardware; the other two combinations go over TLS in tests/cli/test_contract_firmware.py."""
    if store == "pkcs11":
        uri = request.getfixturevalue("softhsm_token").uri_of("key")
    else:
        uri = f"tpm2:file={tmp_path}/key.pem?tcti={request.getfixturevalue('tpm').tcti}"
    with create_key(uri, kind) as key:
        named = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        device = Ca.root("x").certify("device", key.public_key(), extensions=[(named, False)])
        package = maker.make(IMAGE, encryption=Encryption(b"key-1", ContentKey(), recipients=[device]))
        assert unpacked(package, maker, key)[0] == IMAGE


def test_k_11_what_the_key_is_not_for(held, maker: Maker) -> None:
    """A key for unwrapping decrypts no contents, even if the package says so."""
    key = held(usages=frozenset({KeyUsage.UNWRAP}))
    with pytest.raises(MechanismUnsupportedError, match="it is for: "):
        unpacked(maker.make(encryption=Encryption(b"kek", ContentKey(KEYS[32]))), maker, key)


def test_openssl_encrypts(held, tmp_path: Path) -> None:
    """What openssl cms made for a key both sides have, its KEKRecipientInfo and its CBC."""
    (tmp_path / "plain").write_bytes(IMAGE)
    words = ["openssl", "cms", "-encrypt", "-binary", "-outform", "DER", "-aes256", "-secretkey", KEYS[32].hex()]
    words += ["-secretkeyid", b"kek".hex(), "-in", str(tmp_path / "plain"), "-out", str(tmp_path / "message")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert open_envelope((tmp_path / "message").read_bytes(), held(), limit_bytes=1 << 20) == IMAGE
