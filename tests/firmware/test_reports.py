"""Receipts and errors: pyasn1-alt-modules encodes them to the same bytes (FR-04)."""

from __future__ import annotations

import pytest
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc4108

from device_sdk.errors import ConfigurationError, FirmwareError, StateNotWritableError, WireError
from device_sdk.protocols.firmware import FirmwareRecord, HardwareModule, error_for, require_own
from device_sdk.wire.firmware import (
    LegacyName,
    LoadError,
    LoadErrorCode,
    LoadReceipt,
    PreferredName,
    read_error,
    read_receipt,
    refused,
)
from device_sdk.wire.hardware_module_name import hardware_module_name
from tests.est.pki import Ca, new_key
from tests.firmware.making import HARDWARE, PACKAGE

NAMES = [PreferredName(PACKAGE, 0), PreferredName(PACKAGE, 2**40), LegacyName(b"boot")]
RECEIPTS = [
    LoadReceipt(HARDWARE, b"\0\1", name, key, other) for name in NAMES for key in (None, b"k") for other in (None, b"d")
]
ERRORS = [
    LoadError(HARDWARE, b"\0\1", code, vendor, name, config)
    for code, vendor in ((LoadErrorCode.STALE_PACKAGE, None), (LoadErrorCode.OTHER_ERROR, -300))
    for name in (None, *NAMES)
    for config in ((), ((None, NAMES[2]), (7, NAMES[0])))
]  # fmt: skip


@pytest.mark.parametrize("receipt", RECEIPTS, ids=repr)
def test_fr_04_receipts(receipt: LoadReceipt) -> None:
    encoded = receipt.encode()
    found, rest = decode(encoded, asn1Spec=rfc4108.FirmwarePackageLoadReceipt())
    assert (encode(found), rest) == (encoded, b"")
    assert read_receipt(encoded) == receipt


@pytest.mark.parametrize("report", ERRORS, ids=repr)
def test_fr_04_errors(report: LoadError) -> None:
    encoded = report.encode()
    found, rest = decode(encoded, asn1Spec=rfc4108.FirmwarePackageLoadError())
    assert (encode(found), rest) == (encoded, b"")
    assert read_error(encoded) == report


def test_fr_04_what_is_none() -> None:
    for bad in (b"", b"\x30\x00", RECEIPTS[0].encode()[:-1], RECEIPTS[0].encode() + b"\0"):
        with pytest.raises(WireError):
            read_receipt(bad)
        with pytest.raises(WireError):
            read_error(bad)


def test_fr_04_a_vendors_code_comes_with_other_error_only() -> None:
    module = HardwareModule(HARDWARE, b"\1")
    told = [
        error_for(module, problem, None, FirmwareRecord())
        for problem in (refused(LoadErrorCode.STALE_PACKAGE, "x"), StateNotWritableError("x"), FirmwareError("x"), ConfigurationError("x"))
    ]  # fmt: skip
    assert [(one.code, one.vendor_code) for one in told] == [(28, None), (33, None), (99, 1), (99, 1)]


def test_fr_05_the_certificate_names_the_module() -> None:
    from cryptography import x509

    ca, key = Ca.root("x"), new_key()
    names = x509.SubjectAlternativeName([hardware_module_name(HARDWARE, b"\1")])
    own = ca.certify("device", key.public_key(), extensions=[(names, True)])
    require_own(HardwareModule(HARDWARE, b"\1"), own)
    require_own(HardwareModule(HARDWARE, b"\2"), ca.certify("device", key.public_key()))
    for other in (HardwareModule(HARDWARE, b"\2"), HardwareModule(PACKAGE, b"\1"), HardwareModule(HARDWARE)):
        with pytest.raises(ConfigurationError):
            require_own(other, own)
