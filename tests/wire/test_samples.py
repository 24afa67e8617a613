"""The samples of pyasn1-alt-modules' own tests that belong to RFC 8295 are read, or refused for what they are.

Nine more are in test_key_packages.py, tests/firmware and tests/tamp.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from asn1crypto import x509 as asn1

from device_sdk.errors import EnvelopeError, FirmwareError, Pkcs12PasswordError, WireError
from device_sdk.model.pkcs12 import Pkcs12Policy
from device_sdk.model.secret import Secret
from device_sdk.wire import der
from device_sdk.wire.cms import open_envelope
from device_sdk.wire.cms.ber_stream import Scope, Source
from device_sdk.wire.cms.reader import Reader
from device_sdk.wire.content_constraints import parse_content_constraints
from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.firmware.layers import inflated
from device_sdk.wire.key_packages.asymmetric import read_asymmetric_key_package
from device_sdk.wire.pkcs12 import read_pkcs12

SAMPLES = Path(__file__).parents[1] / "vectors" / "samples"
FIRMWARE, KEYS = "1.2.840.113549.1.9.16.1.16", "2.16.840.1.101.2.1.2.78.2"


def sample(stem: str) -> bytes:
    return (SAMPLES / f"{stem}.der").read_bytes()


def extension(stem: str) -> bytes:
    value: bytes = asn1.Extension.load(sample(stem))["extn_value"].contents
    return value


def test_rfc_6010_constraints() -> None:
    found = {one.content_type: one for one in parse_content_constraints(extension("constraints"))}
    assert found[FIRMWARE].attributes == {"1.2.840.113549.1.9.16.12.1": frozenset({b"\x0c\x12Vigil Security LLC"})}
    assert found[KEYS].can_source
    assert not found["1.2.840.113549.1.7.1"].can_source
    (anything,) = parse_content_constraints(extension("constraints-none"))
    assert anything.content_type == "1.2.840.113549.1.9.16.1.0"


@pytest.mark.parametrize(("stem", "skip"), [("private-key", 0), ("asymmetric-key-package", 17)])
def test_rfc_5958_a_key_of_another_kind_is_named_as_such(stem: str, skip: int) -> None:
    """Not as damage: the package was read to the key itself."""
    with pytest.raises(WireError, match="of a type or size that is not supported"):
        read_asymmetric_key_package(sample(stem)[skip:])
    with pytest.raises(WireError, match="not a package with exactly one private key"):
        read_asymmetric_key_package(sample(stem)[skip:-1])


def test_rfc_3274_compressed_content_is_found_and_is_no_firmware() -> None:
    content = Scope(Source(iter([sample("compressed-data")]))).enter(0x30)
    content.element()
    with pytest.raises(FirmwareError, match="no firmware"):
        list(inflated(content.enter(0xA0).enter(0x30), 10_000))


def test_rfc_7292_another_password_is_all_that_is_wrong() -> None:
    with pytest.raises(Pkcs12PasswordError):
        read_pkcs12(sample("pfx"), Pkcs12Policy(Secret("not this one"), allow_legacy=True))


def test_rfc_7906_a_set_of_attributes_is_one() -> None:
    """Twenty-two of them, each an identifier and its values."""
    members = Reader(sample("attribute-set")).enter(0x31)
    count = 0
    while members.next_tag is not None:
        one = members.enter()
        assert one.oid().count(".") >= 3
        count += 1
    assert count > 20


def test_rfc_8295_csrattrs_with_a_pkidata() -> None:
    """Appendix B: a template inside a PKIData; its subject is asked for."""
    wishes = CsrAttributes.from_bytes(der.sequence(sample("csrattrs")))
    assert {part.oid for part in wishes.subject} >= {"2.5.4.6", "2.5.4.10"}


@pytest.mark.parametrize("stem", ["auth-enveloped-1", "auth-enveloped-2"])
def test_rfc_5083_recipients_of_another_kind_open_nothing(stem: str) -> None:
    with pytest.raises(EnvelopeError, match="not an encrypted message for this key"):
        open_envelope(sample(stem), ())
