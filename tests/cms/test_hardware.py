"""The same messages opened by keys that never left their token or TPM."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from device_sdk_simulators.softhsm import SoftHsm

from device_sdk.errors import DeviceSdkError, PinIncorrectError, TokenRemovedError
from device_sdk.keystores.keys import DeviceKey
from device_sdk.keystores.registry import create_key, open_key
from device_sdk.wire.cms import open_envelope
from tests.cms.handmade import enveloped, key_transport, pkcs1_block, rsa_block
from tests.cms.messages import encrypt, failure_of, write_certificate

PLAINTEXT = b'{"foo": "bar"}\n'
OAEP = ("rsa_padding_mode:oaep",)
KEYOPTS = {
    "rsa-2048": [(), OAEP, (*OAEP, "rsa_oaep_md:sha256"), (*OAEP, "rsa_oaep_md:sha256", "rsa_mgf1_md:sha1")],
    "ec-p256": [(), ("ecdh_kdf_md:sha256",), ("ecdh_kdf_md:sha512", "ecdh_cofactor_mode:1")],
    "ec-p384": [("ecdh_kdf_md:sha384",)],
}
HARDWARE = [(keystore, key_type) for keystore in ("pkcs11", "tpm2") for key_type in KEYOPTS]


@pytest.fixture
def make_key(request: pytest.FixtureRequest) -> Iterator[Callable[[str, str], Any]]:
    """make_key(keystore, key_type): a fresh key born in hardware."""
    opened: list[DeviceKey] = []

    def make(keystore: str, key_type: str) -> DeviceKey:
        if keystore == "pkcs11":
            uri = request.getfixturevalue("softhsm_token").uri_of("cms")
        else:
            request.getfixturevalue("swtpm")
            uri = "tpm2:handle=0x81000020"
        opened.append(create_key(uri, key_type))
        return opened[-1]

    yield make
    for key in opened:
        key.close()


@pytest.mark.slow
@pytest.mark.parametrize(("keystore", "key_type"), HARDWARE)
def test_cale_66_hardware_opens_what_openssl_made(
    make_key: Callable[[str, str], Any], tmp_path: Path, keystore: str, key_type: str
) -> None:
    key = make_key(keystore, key_type)
    certificate = write_certificate(tmp_path, key.public_key())
    for keyopt, cipher, options in itertools.product(
        KEYOPTS[key_type], ("aes-128-cbc", "aes-256-cbc", "aes-256-gcm"), ((), ("-stream",))
    ):
        message = encrypt(PLAINTEXT, certificate, cipher=cipher, keyopt=keyopt, options=options)
        assert open_envelope(message, key) == PLAINTEXT, (keyopt, cipher, options)
        assert failure_of(message[:-1], key)


@pytest.mark.slow
@pytest.mark.parametrize("keystore", ["pkcs11", "tpm2"])
def test_cale_70_bad_blocks_in_hardware(make_key: Callable[[str, str], Any], tmp_path: Path, keystore: str) -> None:
    """Tokens and TPMs tell bad padding apart (CKR_GENERAL_ERROR, TPM_RC_FAILURE); nobody above this layer may."""
    key = make_key(keystore, "rsa-2048")
    public, content_key = key.public_key(), bytes(range(32))
    blocks = [
        pkcs1_block(content_key, kind=1),
        pkcs1_block(content_key[:16]),
        pkcs1_block(content_key[::-1]),
        b"\x00\x02" + b"\x55" * 254,
        b"\x00" + b"\x77" * 255,
    ]
    for block in blocks:
        # a fixed vector: of random ones CBC takes one in 256 for well padded with the content key backwards
        message = enveloped(content_key, PLAINTEXT, key_transport(rsa_block(public, block)), iv=bytes(16))
        assert failure_of(message, key)
    # larger than the modulus: refused by the hardware before any padding is looked at
    assert failure_of(enveloped(content_key, PLAINTEXT, key_transport(b"\xff" * 256)), key)
    certificate = write_certificate(tmp_path, public)
    oaep = bytearray(encrypt(PLAINTEXT, certificate, keyopt=OAEP))
    oaep[oaep.index(b"\x04\x82\x01\x00") + 200] ^= 1
    assert failure_of(bytes(oaep), key)
    good = enveloped(content_key, PLAINTEXT, key_transport(rsa_block(public, pkcs1_block(content_key))))
    assert open_envelope(good, key) == PLAINTEXT, "the hardware is well after all of it"


@pytest.mark.slow
@pytest.mark.parametrize("keystore", ["pkcs11", "tpm2"])
def test_messages_for_somebody_else(
    make_key: Callable[[str, str], Any], recipients: dict[str, Any], keystore: str
) -> None:
    key = make_key(keystore, "ec-p256")
    for name, recipient in recipients.items():
        assert failure_of(encrypt(PLAINTEXT, recipient.certificate), key), name


@pytest.mark.slow
@pytest.mark.parametrize("keystore", ["pkcs11", "tpm2"])
def test_many_messages_from_many_threads(make_key: Callable[[str, str], Any], tmp_path: Path, keystore: str) -> None:
    key = make_key(keystore, "ec-p256")
    certificate = write_certificate(tmp_path, key.public_key())
    messages = [(encrypt(b"%d" % number, certificate), b"%d" % number) for number in range(8)] * 8
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda pair: open_envelope(pair[0], key) == pair[1], messages))


def test_a_wrong_pin_is_a_wrong_pin(softhsm_token: SoftHsm, tmp_path: Path) -> None:
    uri = softhsm_token.uri_of("cms")
    with create_key(uri, "ec-p256") as key:
        message = encrypt(PLAINTEXT, write_certificate(tmp_path, key.public_key()))  # type: ignore[attr-defined]
    wrong = tmp_path / "wrong-pin"
    wrong.write_text("00000000")
    with pytest.raises(PinIncorrectError), open_key(uri.replace(str(softhsm_token.pin_file), str(wrong))) as key:
        open_envelope(message, key)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_tpm_that_is_gone_says_so(make_key: Callable[[str, str], Any], request: Any, tmp_path: Path) -> None:
    """Killed before the decryption: an error of the keystore, and not one about the message."""
    key = make_key("tpm2", "ec-p256")
    message = encrypt(PLAINTEXT, write_certificate(tmp_path, key.public_key()))
    request.getfixturevalue("swtpm").kill()
    with pytest.raises(DeviceSdkError) as caught:
        open_envelope(message, key)
    assert isinstance(caught.value, TokenRemovedError)
