"""CMS content constraints of those who sign packages of keys (RFC 6010; K-12, S-02, AMB-19)."""

from __future__ import annotations

import pytest
from cryptography import x509
from device_sdk_simulators.packages import layers

from device_sdk.errors import KeyPackageUntrustedError
from device_sdk.wire.key_packages.receipts import RECEIPT_REQUEST
from tests.est.pki import Ca, new_key
from tests.packages.sealing import VALUE, Sealer, constraints, receipt_request
from tests.packages.test_layers import opened, sealer, value_of

__all__ = ["sealer"]


def signer_with(ca: Ca, sealer: Sealer, extension: x509.ExtensionType | None, *, critical: bool = True):
    extensions = [(extension, critical)] if extension is not None else []
    return ca.certify("signer", sealer.signer_key.public_key(), extensions=extensions)


@pytest.mark.parametrize("critical", [False, True])
@pytest.mark.parametrize("mode", ["required", "if-present"])
def test_k_12_constraints_that_allow_it(sealer, mode, critical):
    certificate = signer_with(sealer.ca, sealer, constraints(), critical=critical)
    assert value_of(opened(sealer, sealer.seal(signer=certificate), constraints=mode)) == VALUE
    certificate = signer_with(sealer.ca, sealer, constraints("1.2.840.113549.1.9.16.1.0"))
    assert value_of(opened(sealer, sealer.seal(signer=certificate), constraints=mode)) == VALUE


FORBIDDEN = {
    "another content type": (constraints("1.2.840.113549.1.9.16.1.16"), "if-present", "do not allow content of type"),
    "may not be the source": (constraints(can_source=False), "if-present", "originate"),
    "none where they are demanded": (None, "required", "which are demanded"),
    "unreadable": (
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.18"), b"\x05\x00"),
        "if-present",
        "cannot be read",
    ),
}


@pytest.mark.parametrize(("extension", "mode", "says"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_k_12_s_02_constraints_that_forbid_it(sealer, extension, mode, says):
    certificate = signer_with(sealer.ca, sealer, extension)
    with pytest.raises(KeyPackageUntrustedError, match=says) as caught:
        opened(sealer, sealer.seal(signer=certificate), constraints=mode)
    assert caught.value.fault == 11


def test_s_02_who_is_not_the_source_may_sign_around_it(sealer):
    outer = signer_with(sealer.ca, sealer, constraints(can_source=False))
    message = layers.content_info(sealer.signed(sealer.enveloped(sealer.signed(sealer.content())), signer=outer))
    assert value_of(opened(sealer, message)) == VALUE


def test_s_02_every_signer_has_to_be_allowed_the_attributes_of_all(sealer):
    """RFC 6010 section 1.2, the third model: what one signature says counts against the signers of all others."""
    allowed, other = receipt_request(b"allowed", wanted=False), receipt_request(b"other", wanted=False)
    limited = signer_with(sealer.ca, sealer, constraints(attributes={RECEIPT_REQUEST: [allowed]}))

    def nested(inside: bytes, around: bytes | None = None, *, inner=None, outer=None) -> bytes:
        content = sealer.signed(sealer.content(), request=inside, signer=inner)
        return layers.content_info(sealer.signed(sealer.enveloped(content), request=around, signer=outer))

    assert value_of(opened(sealer, nested(allowed, outer=limited))) == VALUE
    for wrong in (nested(other, allowed, outer=limited), nested(other, outer=limited)):
        with pytest.raises(KeyPackageUntrustedError, match="value of the signed attribute") as caught:
            opened(sealer, wrong)
        assert caught.value.fault == 11
    with pytest.raises(KeyPackageUntrustedError, match="value of the signed attribute"):
        opened(sealer, nested(allowed, other, inner=limited))


def test_s_02_an_attribute_that_is_limited_has_to_be_there(sealer):
    """RFC 6010 section 1.2: in one of the signatures; a receipt request that nobody made is not made up."""
    allowed = receipt_request(b"allowed", wanted=False)
    limited = signer_with(sealer.ca, sealer, constraints(attributes={RECEIPT_REQUEST: [allowed]}))
    assert value_of(opened(sealer, sealer.seal("b", signer=limited, request=allowed))) == VALUE
    with pytest.raises(KeyPackageUntrustedError, match="which is not there"):
        opened(sealer, sealer.seal("b", signer=limited))


def test_s_02_every_certificate_of_the_path_has_to_allow_it(sealer):
    key = new_key()
    ca = Ca(
        key,
        sealer.ca.certify(
            "limited",
            key.public_key(),
            ca=True,
            extensions=[(constraints("1.2.840.113549.1.9.16.1.16"), True)],
        ),
    )
    certificate = signer_with(ca, sealer, constraints())
    with pytest.raises(KeyPackageUntrustedError, match="do not allow content"):
        opened(sealer, sealer.seal(signer=certificate), intermediates=[ca.certificate])


def test_amb_19_constraints_off_leave_critical_ones_unprocessed(sealer):
    certificate = signer_with(sealer.ca, sealer, constraints())
    with pytest.raises(KeyPackageUntrustedError, match="critical extension"):
        opened(sealer, sealer.seal(signer=certificate), constraints="off")
