"""Every combination of algorithms, both directions: openssl and the reference server write, keys in every place open;
openssl opens what the server writes; pyasn1-alt-modules writes every message again, octet by octet (CALE-66, CALE-82)."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from device_sdk_simulators.cale.capabilities import EcMethod, Method, RsaMethod
from device_sdk_simulators.cale.ciphers import ContentCipher
from device_sdk_simulators.cale.envelope import seal, seal_for
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc5083, rfc5652

from device_sdk.keystores.keys import DeviceKey
from device_sdk.keystores.registry import create_key
from device_sdk.wire.cms import open_envelope, open_stream
from tests.cms.messages import Recipient, encrypt, failure_of, run_openssl, write_certificate

M, C = TypeVar("M"), TypeVar("C")

PLAINTEXT = b'{"foo": "bar"}\n'
HASHES = ("sha1", "sha256", "sha384", "sha512")
CIPHERS = [ContentCipher(size, aead) for size, aead in itertools.product((16, 32), (False, True))]
RSA_METHODS = [RsaMethod(), *(RsaMethod(one, two) for one, two in itertools.product(HASHES, HASHES))]
EC_METHODS = [
    *(EcMethod(kdf, wrap) for kdf, wrap in itertools.product((*HASHES, "sha224"), (16, 24, 32))),
    *(EcMethod(kdf, 32, cofactor=True) for kdf in HASHES),
    *(EcMethod("sha256", 16, user_keying_material=material) for material in (b"", b"once", bytes(64))),
]
METHODS: dict[str, list[Any]] = {"rsa": RSA_METHODS, "ec": EC_METHODS}
KEY_TYPES = ["rsa-2048", "rsa-3072", "ec-p256", "ec-p384", "ec-p521"]
OPENSSL_OAEP = ("rsa_padding_mode:oaep",)
OPENSSL_METHODS: dict[str, list[tuple[str, ...]]] = {
    "rsa": [
        (),
        OPENSSL_OAEP,
        *(
            (*OPENSSL_OAEP, f"rsa_oaep_md:{one}", f"rsa_mgf1_md:{two}")
            for one, two in itertools.product(HASHES, HASHES)
        ),
    ],
    "ec": [(f"ecdh_kdf_md:{kdf}", f"ecdh_cofactor_mode:{mode}") for kdf, mode in itertools.product(HASHES, "01")],
}
OPENSSL_CIPHERS = ("aes-128-cbc", "aes-256-cbc", "aes-128-gcm", "aes-256-gcm")


def named(value: object) -> str:
    """A short name for a combination."""
    match value:
        case RsaMethod(None, _):
            return "pkcs1"
        case RsaMethod(one, two):
            return f"oaep-{one}-{two}"
        case EcMethod(kdf, wrap, cofactor, material):
            end = "" if material is None else f"-ukm{len(material)}"
            return f"{'cofactor' if cofactor else 'ecdh'}-{kdf}-wrap{wrap}{end}"
        case ContentCipher(size, aead):
            return f"aes-{8 * size}-{'gcm' if aead else 'cbc'}"
    return str(value)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """place(keystore, key_type): a fresh key there."""
    opened: list[DeviceKey] = []

    def make(keystore: str, key_type: str) -> DeviceKey:
        if keystore == "pkcs11":
            uri = request.getfixturevalue("softhsm_token").uri_of("judged")
        elif keystore == "tpm2":
            request.getfixturevalue("swtpm")
            uri = f"tpm2:file={tmp_path / 'key.tss'}"
        else:
            uri = f"file:{tmp_path / 'key.pem'}"
        opened.append(create_key(uri, key_type))
        return opened[-1]

    yield make
    for key in opened:
        key.close()


@pytest.mark.slow
@pytest.mark.parametrize("key_type", KEY_TYPES)
@pytest.mark.parametrize("keystore", ["file", "pkcs11", "tpm2"])
def test_cale_66_every_combination_opens_wherever_the_key_is(
    place: Any, tmp_path: Path, keystore: str, key_type: str
) -> None:
    """All pairs of method and cipher with a key in a file. Hardware knows the method and how long the content key is, which
    the SDK then uses as any other: it gets every method with either length, one with CBC and one with GCM in turn."""
    key = place(keystore, key_type)
    file = write_certificate(tmp_path, key.public_key())
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    kind = key_type[: key_type.index("-")]
    everything = keystore == "file"
    for method, cipher in pairs(METHODS[kind], CIPHERS, everything=everything):
        message = seal(PLAINTEXT, certificate, cipher, method=method, hardened=cipher.aead)
        assert open_envelope(message, key) == PLAINTEXT, named(method)
        if everything or cipher.aead:
            pieces = open_stream([message], key, io.BytesIO(), limit_bytes=1 << 16)
            assert b"".join(pieces) == PLAINTEXT, named(method)
    for keyopt, cipher_name in pairs(OPENSSL_METHODS[kind], OPENSSL_CIPHERS, everything=everything):
        message = encrypt(PLAINTEXT, file, cipher=cipher_name, keyopt=keyopt)
        assert open_envelope(message, key) == PLAINTEXT, (keyopt, cipher_name)


def pairs(methods: Sequence[M], ciphers: Sequence[C], *, everything: bool) -> Iterator[tuple[M, C]]:
    """Every method with every cipher, or with two that have neither length nor mode in common."""
    for number, method in enumerate(methods):
        chosen = ciphers if everything else [one for one in ciphers if (is_long(one) ^ is_gcm(one)) == number % 2]
        yield from ((method, cipher) for cipher in chosen)


def is_long(cipher: object) -> bool:
    return "256" in named(cipher)


def is_gcm(cipher: object) -> bool:
    return "gcm" in named(cipher)


@pytest.mark.slow
@pytest.mark.parametrize("keystore", ["file", "pkcs11", "tpm2"])
@pytest.mark.parametrize("key_type", ["rsa-2048", "ec-p256"])
@pytest.mark.parametrize("hardened", [False, True], ids=["by issuer", "by key"])
def test_several_recipients_ours_in_any_place(
    recipients: dict[str, Recipient], place: Any, tmp_path: Path, keystore: str, key_type: str, hardened: bool
) -> None:
    """Beside others of both kinds, all with the same size of key, one of them naming a certificate nobody has."""
    key = place(keystore, key_type)
    ours = x509.load_pem_x509_certificate(write_certificate(tmp_path, key.public_key()).read_bytes())
    strangers = [
        x509.load_pem_x509_certificate(recipients[name].certificate.read_bytes())
        for name in ("other-rsa-2048", "other-ec-p256", "rsa-3072", "ec-p384")
    ]
    for cipher, at in itertools.product(CIPHERS, range(5)):
        everybody = [*strangers[:at], ours, *strangers[at:]]
        message = seal_for([(one, None) for one in everybody], PLAINTEXT, cipher, hardened=hardened)
        assert open_envelope(message, key) == PLAINTEXT
        assert failure_of(seal_for([(one, None) for one in strangers], PLAINTEXT, cipher, hardened=hardened), key)


BOTH_WAYS = [
    (key_type, method, cipher)
    for key_type in ("rsa-2048", "ec-p256", "ec-p384", "ec-p521")
    for method, cipher in itertools.product(METHODS[key_type[: key_type.index("-")]], CIPHERS)
    # every method with every curve would say nothing new
    if key_type in ("rsa-2048", "ec-p256") or method in (EC_METHODS[3], EC_METHODS[-2])
]


@pytest.mark.slow
@pytest.mark.parametrize(("key_type", "method", "cipher"), BOTH_WAYS, ids=named)
def test_openssl_opens_what_the_server_writes(
    recipients: dict[str, Recipient], tmp_path: Path, key_type: str, method: Method, cipher: ContentCipher
) -> None:
    """And so do we, and pyasn1-alt-modules encodes it to the same octets."""
    recipient = recipients[key_type]
    certificate = x509.load_pem_x509_certificate(recipient.certificate.read_bytes())
    message = seal(PLAINTEXT, certificate, cipher, method=method)
    assert opened_by_openssl("cms", message, recipient, tmp_path) == PLAINTEXT
    assert open_envelope(message, recipient.key) == PLAINTEXT
    assert written_again(message) == message


@pytest.mark.parametrize("cipher", [cipher for cipher in CIPHERS if not cipher.aead], ids=named)
def test_openssl_smime_opens_what_it_can(
    recipients: dict[str, Recipient], tmp_path: Path, cipher: ContentCipher
) -> None:
    """`openssl smime` knows PKCS#7: RSA with PKCS#1 v1.5 and AES-CBC, both ways."""
    recipient = recipients["rsa-2048"]
    certificate = x509.load_pem_x509_certificate(recipient.certificate.read_bytes())
    message = seal(PLAINTEXT, certificate, cipher, method=RsaMethod())
    assert opened_by_openssl("smime", message, recipient, tmp_path) == PLAINTEXT
    for form in ("DER", "PEM", "SMIME"):
        words = ("smime", "-encrypt", "-binary", f"-{named(cipher)}", "-outform", form, recipient.certificate)
        assert open_envelope(run_openssl(*words, data=PLAINTEXT), recipient.key) == PLAINTEXT


@pytest.mark.parametrize("key_type", ["rsa-2048", "ec-p256"])
@pytest.mark.parametrize("cipher", OPENSSL_CIPHERS)
def test_pyasn1_writes_what_openssl_wrote(recipients: dict[str, Recipient], cipher: str, key_type: str) -> None:
    message = encrypt(PLAINTEXT, recipients[key_type].certificate, cipher=cipher)
    assert written_again(message) == message


def opened_by_openssl(command: str, message: bytes, recipient: Recipient, directory: Path) -> bytes:
    """The plaintext by `openssl cms` or `openssl smime`, with the recipient's certificate and key."""
    key = directory / "key.pem"
    key.write_bytes(recipient.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    words = (command, "-decrypt", "-binary", "-inform", "DER", "-inkey", key, "-recip", recipient.certificate)
    return run_openssl(*words, data=message)


def written_again(message: bytes) -> bytes:
    """Decoded into ASN.1 structures by their specification, and encoded from them."""
    info, rest = decode(message, asn1Spec=rfc5652.ContentInfo())
    assert rest == b""
    authenticated = info["contentType"] == rfc5083.id_ct_authEnvelopedData
    spec = rfc5083.AuthEnvelopedData() if authenticated else rfc5652.EnvelopedData()
    content, rest = decode(info["content"], asn1Spec=spec)
    assert rest == b""
    info["content"] = encode(content)
    return bytes(encode(info))
