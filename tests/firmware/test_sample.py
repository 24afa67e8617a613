"""The sample of RFC 4108's author is read as it was meant (AMB-13, AMB-16)."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from device_sdk.errors import FirmwareError
from device_sdk.wire.cms.signed_data import read_signed_data
from device_sdk.wire.firmware import FirmwarePackage, LoadErrorCode, unpack_package, verify_package
from device_sdk.wire.firmware.oids import FIRMWARE_PACKAGE, PACKAGE_DIGEST
from tests.firmware.making import NOW

SAMPLE = Path(__file__).parents[1] / "vectors" / "firmware" / "package.der"
SHA256 = "2.16.840.1.101.3.4.2.1"


def test_amb_13_amb_16_the_content_is_the_firmware() -> None:
    """Version 1 is read; the signature cannot be checked, as nobody has the certificate."""
    with pytest.raises(FirmwareError, match="the signer's certificate is not there") as caught:
        verify_package(io.BytesIO(SAMPLE.read_bytes()), anchors=[], now=NOW)
    assert caught.value.load_error == LoadErrorCode.NO_TRUST_ANCHOR
    (signer,) = read_signed_data(SAMPLE.read_bytes()).signers
    out = io.BytesIO()
    package = FirmwarePackage(FIRMWARE_PACKAGE, digest_oid=SHA256, digest=signer.message_digest)
    found = unpack_package(io.BytesIO(SAMPLE.read_bytes()), package, out.write)
    assert (found.size, found.sha256) == (512, hashlib.sha256(out.getvalue()).digest())
    assert signer.attributes[PACKAGE_DIGEST][0].endswith(found.sha256)
