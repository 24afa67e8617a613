"""In what a generated key travels beyond RFC 7030: the nestings of RFC 8295 section 8.1 (A-02), and what chooses one."""

from __future__ import annotations

from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5652, rfc5958, rfc6032

from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.est.attributes import Attributes
from device_sdk_simulators.est.server_key_package import enveloped_to
from device_sdk_simulators.est.server_key_wish import Recipient
from device_sdk_simulators.http.messages import Request
from device_sdk_simulators.packages.layers import content_info, encrypted_key_package, signed
from device_sdk_simulators.packages.media_types import application_cms
from device_sdk_simulators.policy import Policy

RFC_7030, PKCS12 = "rfc7030", "pkcs12"
PKCS12_TYPE = "application/pkcs12"
_CONTENT_TYPE = str(rfc5652.id_contentType)
_ANNOUNCED = bytes(encode(univ.ObjectIdentifier(rfc6032.id_ct_KP_encryptedKeyPkg)))[2:]
_LAYERS = {
    "signed": ("signedData", "envelopedData", "signedData"),
    "ekp": ("encryptedKeyPkg", "signedData"),
    "signed-ekp": ("signedData", "encryptedKeyPkg", "signedData"),
}


def form_for(policy: Policy, label: str, attributes: Attributes) -> str:
    """What to pack an encrypted key into."""
    if label in policy.serverkeygen_label_forms:
        return policy.serverkeygen_label_forms[label]
    announced = attributes.get(_CONTENT_TYPE, (0, b""))[1] == _ANNOUNCED
    return policy.serverkeygen_announced_form if announced else policy.serverkeygen_form


def asks_for_pkcs12(request: Request) -> bool:
    """Whether Accept has PKCS#12 in it (AMB-03)."""
    listed = (one.split(";") for value in request.header_values("Accept") for one in value.split(","))
    names = [name.strip().lower() for name, *rest in listed if "q=0" not in (part.strip() for part in rest)]
    return PKCS12_TYPE in names


def packed(
    content: bytes, form: str, recipient: Recipient, signer: Authority, receipt: bytes | None
) -> tuple[str, bytes]:
    """Media type and ContentInfo.

    Args:
        content: DER of an AsymmetricKeyPackage.
        form: one of _LAYERS.
        recipient: whom the request names.
        signer: of all signatures.
        receipt: DER of a KeyPkgIdentifierAndReceiptReq, for the inner signature; None for none.
    """
    certificates = [signer.certificate]
    inner = signed((rfc5958.id_ct_KP_aKeyPackage, content), signer, certificates, request=receipt)
    outer = enveloped_to(inner, recipient)
    if form.endswith("ekp"):
        outer = encrypted_key_package(outer)
    if form.startswith("signed"):
        outer = signed(outer, signer, certificates)
    return application_cms(_LAYERS[form], "aKeyPackage"), content_info(outer)
