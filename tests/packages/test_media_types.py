"""What application/cms says is around and inside (RFC 7193 section 2): names of its lists, and what is outermost indeed."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest
from cryptography import x509
from device_sdk_simulators.cli.publish_firmware import media_type_of
from device_sdk_simulators.packages.layers import CONTENT_CIPHERS, NESTINGS, ContentCipher, Nesting
from device_sdk_simulators.packages.publishing_keys import seal_keys
from pyasn1.codec.der.decoder import decode
from pyasn1_alt_modules import rfc3274, rfc4073, rfc5083, rfc5652, rfc6031, rfc6032

from device_sdk.keystores.registry import create_key
from device_sdk.model.keys import KeyType
from device_sdk.model.trust import TlsIdentity
from device_sdk.protocols.key_packages.returning import encrypted_return, return_media_type, signed_return
from device_sdk.wire.key_packages.receipts import KEY_PACKAGE_ERROR, KEY_PACKAGE_RECEIPT
from tests.est.pki import NOW, Ca, new_key

AES = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
AROUND = {
    "authData": rfc5652.id_ct_authData,
    "compressedData": rfc3274.id_ct_compressedData,
    "contentCollection": rfc4073.id_ct_contentCollection,
    "contentInfo": rfc5652.id_ct_contentInfo,
    "contentWithAttrs": rfc4073.id_ct_contentWithAttrs,
    "authEnvelopedData": rfc5083.id_ct_authEnvelopedData,
    "encryptedKeyPkg": rfc6032.id_ct_KP_encryptedKeyPkg,
    "digestData": rfc5652.id_digestedData,
    "encryptedData": rfc5652.id_encryptedData,
    "envelopedData": rfc5652.id_envelopedData,
    "signedData": rfc5652.id_signedData,
}
"""The names of RFC 7193 with the identifiers of the documents they come from, not of its table (AMB-17)."""
INSIDE = {
    *("firmwarePackage", "firmwareLoadReceipt", "firmwareLoadError", "aKeyPackage", "sKeyPackage", "trustAnchorList"),
    *("TAMP-statusQuery", "TAMP-statusResponse", "TAMP-update", "TAMP-updateConfirm", "TAMP-apexUpdate"),
    *("TAMP-apexUpdateConfirm", "TAMP-communityUpdate", "TAMP-communityUpdateConfirm", "TAMP-seqNumAdjust"),
    *("TAMP-seqNumAdjustConfirm", "TAMP-error", "keyPackageReceipt", "keyPackageError"),
}
FORM = re.compile(r'application/cms; (?:encapsulatingContent=(?:"(\w+(?:, \w+)+)"|(\w+)); )?innerContent=([\w-]+)')


def said(media_type: str) -> tuple[list[str], str]:
    """Layers, outermost first, and the content; all of them names of the lists."""
    match = FORM.fullmatch(media_type)
    assert match, media_type
    layers = (match[1] or match[2] or "").split(", ") if match[1] or match[2] else []
    assert set(layers) <= set(AROUND), media_type
    assert match[3] in INSIDE
    return layers, match[3]


def outermost(message: bytes) -> str:
    info, rest = decode(message, asn1Spec=rfc5652.ContentInfo())
    assert not rest
    return str(info["contentType"])


@pytest.fixture(scope="module")
def ca() -> Ca:
    return Ca.root("Devices")


@pytest.fixture(scope="module")
def device(ca: Ca) -> x509.Certificate:
    return ca.certify("device", new_key().public_key())


@pytest.mark.parametrize("nesting", NESTINGS)
@pytest.mark.parametrize("cipher", CONTENT_CIPHERS)
def test_g_09_g_10_g_11_amb_17_keys(
    nesting: Nesting, cipher: ContentCipher, device: x509.Certificate, tmp_path: Path
) -> None:
    file = tmp_path / "keys.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps([{"id": "k1", "algorithm": AES, "value": "5a" * 16}]))
    sealed = seal_keys(file, device, tmp_path, NOW, nesting=nesting, cipher=cipher, receipt=False)
    layers, inner = said(sealed.media_type)
    assert inner == "sKeyPackage"
    assert outermost(sealed.message) == str(AROUND[layers[0]] if layers else rfc6031.id_ct_KP_sKeyPackage)


@pytest.mark.parametrize(("signed", "encrypted", "compressed"), [*itertools.product([True, False], repeat=3)])
def test_g_09_g_10_g_11_firmware(signed: bool, encrypted: bool, compressed: bool) -> None:
    layers, inner = said(media_type_of(signed=signed, encrypted=encrypted, compressed=compressed))
    assert (len(layers), inner) == (signed + encrypted + compressed, "firmwarePackage")


@pytest.mark.parametrize(("kind", "inner"), [
    (KEY_PACKAGE_RECEIPT, "keyPackageReceipt"), (KEY_PACKAGE_ERROR, "keyPackageError"),
])  # fmt: skip
def test_g_06_g_10_g_11_amb_17_returns(kind: str, inner: str, ca: Ca, tmp_path: Path) -> None:
    with create_key(f"file:{tmp_path}/device.pem", KeyType.EC_P256) as key:
        identity = TlsIdentity((ca.certify("device", key.public_key()),), key)
        message = signed_return(b"\x30\x00", kind, identity, NOW)
    desk = ca.certify("desk", new_key().public_key(), usage=x509.KeyUsage(*(number == 4 for number in range(9))))
    assert said(return_media_type(kind)) == (["signedData"], inner)
    assert outermost(message) == str(AROUND["signedData"])
    assert said(return_media_type(kind, encrypted=True)) == (["envelopedData", "signedData"], inner)
    assert outermost(encrypted_return(message, desk)) == str(AROUND["envelopedData"])
