"""Messages made by `openssl cms` in every combination the reader knows, and refusals of those it does not."""

from __future__ import annotations

import itertools
import os

import pytest

from device_sdk.wire.cms import open_envelope
from tests.cms.messages import Recipient, encrypt, failure_of, run_openssl

PLAINTEXT = b'{"foo": "bar"}\n'
CIPHERS = [f"aes-{bits}-{mode}" for bits, mode in itertools.product((128, 192, 256), ("cbc", "gcm"))]
V15: tuple[str, ...] = ()
OAEP = ("rsa_padding_mode:oaep",)
OAEP_256 = (*OAEP, "rsa_oaep_md:sha256")
OAEP_512_MIXED = (*OAEP, "rsa_oaep_md:sha512", "rsa_mgf1_md:sha384")
OAEP_LABEL = (*OAEP, "rsa_oaep_md:sha256", "rsa_oaep_label:616263")
RSA_KEYOPTS = [V15, OAEP, OAEP_256, OAEP_512_MIXED, OAEP_LABEL]
KDF_HASHES = ["sha1", "sha224", "sha256", "sha384", "sha512"]

Recipients = dict[str, Recipient]


@pytest.mark.parametrize("keyopt", RSA_KEYOPTS, ids=["v1.5", "oaep", "oaep-sha256", "oaep-mixed", "oaep-label"])
@pytest.mark.parametrize("cipher", CIPHERS)
def test_cale_66_rsa(recipients: Recipients, cipher: str, keyopt: tuple[str, ...]) -> None:
    recipient = recipients["rsa-2048"]
    message = encrypt(PLAINTEXT, recipient.certificate, cipher=cipher, keyopt=keyopt)
    assert open_envelope(message, recipient.key) == PLAINTEXT


@pytest.mark.parametrize("curve", ["ec-p256", "ec-p384", "ec-p521"])
@pytest.mark.parametrize("cipher", CIPHERS)
def test_cale_66_ecdh(recipients: Recipients, cipher: str, curve: str) -> None:
    recipient = recipients[curve]
    message = encrypt(PLAINTEXT, recipient.certificate, cipher=cipher)
    assert open_envelope(message, recipient.key) == PLAINTEXT


@pytest.mark.parametrize("kdf_hash", KDF_HASHES)
@pytest.mark.parametrize("cofactor", ["0", "1"])
def test_rfc5753_kdf_hashes_and_cofactor_mode(recipients: Recipients, kdf_hash: str, cofactor: str) -> None:
    recipient = recipients["ec-p256"]
    keyopt = (f"ecdh_kdf_md:{kdf_hash}", f"ecdh_cofactor_mode:{cofactor}")
    message = encrypt(PLAINTEXT, recipient.certificate, keyopt=keyopt)
    assert open_envelope(message, recipient.key) == PLAINTEXT


@pytest.mark.parametrize("name", ["rsa-2048", "ec-p384"])
@pytest.mark.parametrize("form", ["PEM", "SMIME", "DER"])
@pytest.mark.parametrize("options", [(), ("-stream",), ("-keyid",), ("-stream", "-keyid")], ids="".join)
@pytest.mark.parametrize("cipher", ["aes-128-cbc", "aes-256-gcm"])
def test_forms_streams_and_recipient_identifiers(
    recipients: Recipients, name: str, form: str, options: tuple[str, ...], cipher: str
) -> None:
    recipient = recipients[name]
    message = encrypt(PLAINTEXT, recipient.certificate, cipher=cipher, form=form, options=options)
    if form == "DER" and "-stream" in options:
        assert message[1] == 0x80, "openssl did not stream: this would prove nothing about BER"
    assert open_envelope(message, recipient.key) == PLAINTEXT


@pytest.mark.parametrize("options", [(), ("-stream",)], ids=["definite", "stream"])
def test_large_content_in_many_pieces(recipients: Recipients, options: tuple[str, ...]) -> None:
    data = os.urandom(3_000_000)
    recipient = recipients["ec-p256"]
    message = encrypt(data, recipient.certificate, options=options)
    assert open_envelope(message, recipient.key, limit_bytes=4_000_000) == data
    assert failure_of(message, recipient.key, limit_bytes=2_999_999)


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 100])
def test_every_padding_length(recipients: Recipients, length: int) -> None:
    recipient = recipients["ec-p256"]
    assert open_envelope(encrypt(b"x" * length, recipient.certificate), recipient.key) == b"x" * length


@pytest.mark.parametrize("cipher", ["aes-256-cbc", "aes-256-gcm"])
def test_cale_08_every_recipient_is_tried(recipients: Recipients, cipher: str) -> None:
    names = ["other-rsa-2048", "rsa-3072", "ec-p384", "other-ec-p256", "rsa-2048", "ec-p256"]
    message = encrypt(PLAINTEXT, *(recipients[name].certificate for name in names), cipher=cipher)
    for name in names:
        assert open_envelope(message, recipients[name].key) == PLAINTEXT
    assert failure_of(message, recipients["ec-p521"].key)


def test_several_keys_are_tried(recipients: Recipients) -> None:
    # with CBC one wrong RSA key in 60,000 would open it, to something else
    message = encrypt(PLAINTEXT, recipients["rsa-2048"].certificate, cipher="aes-256-gcm")
    keys = [recipients[name].key for name in ("ec-p256", "other-rsa-2048", "rsa-3072", "rsa-2048")]
    assert open_envelope(message, keys) == PLAINTEXT
    assert failure_of(message, *keys[:3])
    assert failure_of(message)


def test_recipients_of_other_kinds_are_passed_over(recipients: Recipients) -> None:
    """A KEK and a password recipient beside ours (RFC 5652 sections 6.2.3 and 6.2.4)."""
    recipient = recipients["rsa-2048"]
    options = ("-secretkey", "00" * 16, "-secretkeyid", "01", "-pwri_password", "public")
    message = encrypt(PLAINTEXT, recipient.certificate, options=options)
    assert open_envelope(message, recipient.key) == PLAINTEXT
    assert failure_of(encrypt(PLAINTEXT, options=options), recipient.key)


@pytest.mark.parametrize("cipher", ["des-ede3-cbc", "camellia-256-cbc"])
def test_other_ciphers_are_refused(recipients: Recipients, cipher: str) -> None:
    recipient = recipients["rsa-2048"]
    message = encrypt(PLAINTEXT, recipient.certificate, cipher=cipher)
    assert failure_of(message, recipient.key)


def test_three_des_key_wrap_is_refused(recipients: Recipients) -> None:
    recipient = recipients["ec-p256"]
    message = encrypt(PLAINTEXT, recipient.certificate, options=("-des3-wrap",))
    assert failure_of(message, recipient.key)


@pytest.mark.parametrize("arguments", [("-data_create",), ("-digest_create",)], ids="".join)
def test_other_content_types_are_refused(recipients: Recipients, arguments: tuple[str, ...]) -> None:
    message = run_openssl("cms", *arguments, "-binary", "-outform", "DER", data=PLAINTEXT)
    assert failure_of(message, recipients["rsa-2048"].key)


def test_encrypted_data_is_refused(recipients: Recipients) -> None:
    options = ("-EncryptedData_encrypt", "-secretkey", "00" * 32, "-aes-256-cbc", "-binary", "-outform", "DER")
    assert failure_of(run_openssl("cms", *options, data=PLAINTEXT), recipients["rsa-2048"].key)


def test_nested_envelope_gives_the_inner_message_and_no_more(recipients: Recipients) -> None:
    """Opening is done once: what is inside is data, even when it is a message for the same key."""
    recipient = recipients["ec-p256"]
    inner = encrypt(PLAINTEXT, recipient.certificate)
    assert open_envelope(encrypt(inner, recipient.certificate), recipient.key) == inner


@pytest.mark.parametrize("name", ["rsa-2048", "ec-p256"])
def test_nested_content_type_is_refused(recipients: Recipients, name: str) -> None:
    """Encrypted content that says it is an EnvelopedData and not data."""
    recipient = recipients[name]
    inner = encrypt(PLAINTEXT, recipient.certificate)
    data, enveloped = bytes.fromhex("06092a864886f70d010701"), bytes.fromhex("06092a864886f70d010703")
    message = encrypt(inner, recipient.certificate)
    assert message.count(data) == 1
    assert failure_of(message.replace(data, enveloped), recipient.key)
