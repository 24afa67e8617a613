"""The CSR template of RFC 8295 appendix B, as pyasn1-alt-modules writes it (N-06)."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc2985, rfc5652, rfc6402

from device_sdk.errors import WireError
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import KeyType
from device_sdk.wire import der
from device_sdk.wire.csr import build_csr
from device_sdk.wire.csrattrs import CsrAttributes

PDU = str(rfc2985.pkcs_9_at_pkcs7PDU)
KEY = ec.generate_private_key(ec.SECP384R1())
SUBJECT = x509.Name(
    [x509.NameAttribute(NameOID.COMMON_NAME, "meter-17"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "X")]
)


def request(*, emptied: bool = True, subject: x509.Name = SUBJECT) -> rfc6402.CertificationRequest:
    """A PKCS#10 request; key and signature are strings of no length (RFC 9152)."""
    usage = x509.KeyUsage(True, *[False] * 8)
    csr = x509.CertificateSigningRequestBuilder(subject).add_extension(usage, critical=True).sign(KEY, hashes.SHA384())
    found, _ = decode(csr.public_bytes(Encoding.DER), asn1Spec=rfc6402.CertificationRequest())
    if emptied:
        found["certificationRequestInfo"]["subjectPublicKeyInfo"]["subjectPublicKey"] = univ.BitString("")
        found["signature"] = univ.BitString("")
    return found


def pki_data(*requests: rfc6402.CertificationRequest) -> bytes:
    data = rfc6402.PKIData()
    for name in ("controlSequence", "cmsSequence", "otherMsgSequence"):
        data[name].clear()
    for number, one in enumerate(requests):
        tagged = data["reqSequence"][number]["tcr"]
        tagged["bodyPartID"] = number + 1
        tagged["certificationRequest"] = one
    return bytes(encode(data))


def content_info(kind: object, content: bytes) -> bytes:
    info = rfc5652.ContentInfo()
    info["contentType"] = univ.ObjectIdentifier(str(kind))
    info["content"] = univ.Any(content)
    return bytes(encode(info))


def signed(content: bytes) -> bytes:
    data = rfc5652.SignedData()
    data["version"] = 3
    data["digestAlgorithms"].clear()
    data["encapContentInfo"]["eContentType"] = rfc6402.id_cct_PKIData
    data["encapContentInfo"]["eContent"] = content
    data["signerInfos"].clear()
    return content_info(rfc5652.id_signedData, bytes(encode(data)))


def csrattrs(*values: bytes, oid: str = PDU) -> bytes:
    attribute = rfc5652.Attribute()
    attribute["attrType"] = univ.ObjectIdentifier(oid)
    attribute["attrValues"].clear()
    for number, value in enumerate(values):
        attribute["attrValues"][number] = univ.Any(value)
    listed = univ.SequenceOf(componentType=rfc5652.Attribute())
    listed.append(attribute)
    return bytes(encode(listed))


def template(wrap=lambda data: content_info(rfc6402.id_cct_PKIData, data), **options: object) -> bytes:
    return csrattrs(wrap(pki_data(request(**options))))  # type: ignore[arg-type]


@pytest.mark.parametrize("emptied", [True, False])
@pytest.mark.parametrize(
    "wrap", [lambda data: content_info(rfc6402.id_cct_PKIData, data), signed], ids=["plain", "signed"]
)
def test_n_06_a_request_that_the_client_completes(wrap, emptied):
    """Subject, key and extensions are the template's; public key and signature are the client's."""
    wishes = CsrAttributes.from_bytes(template(wrap, emptied=emptied))
    assert wishes.required_key_types() == (KeyType.EC_P384,)
    made = x509.load_der_x509_csr(build_csr(CsrSpec(x509.Name([])), KEY, wishes=wishes))
    assert made.is_signature_valid
    assert made.subject == SUBJECT
    assert made.public_key() == KEY.public_key()
    extension = made.extensions.get_extension_for_class(x509.KeyUsage)
    assert (extension.critical, extension.value.digital_signature) == (True, True)


def test_n_06_the_requests_alone_as_the_appendix_prints_them():
    whole, _ = decode(pki_data(request()), asn1Spec=rfc6402.PKIData())
    data = der.sequence(bytes(encode(whole["reqSequence"])))
    wishes = CsrAttributes.from_bytes(csrattrs(content_info(rfc6402.id_cct_PKIData, data)))
    assert wishes.subject is not None


def test_n_06_without_a_name_it_is_the_devices_own():
    wishes = CsrAttributes.from_bytes(template(subject=x509.Name([])))
    made = x509.load_der_x509_csr(build_csr(CsrSpec(SUBJECT), KEY, wishes=wishes))
    assert made.subject == SUBJECT


def test_n_06_crmf_is_left_alone():
    """A request in CRMF is nothing this SDK makes: the list counts as if it were not there."""
    data = rfc6402.PKIData()
    for name in ("controlSequence", "cmsSequence", "otherMsgSequence"):
        data[name].clear()
    crm = data["reqSequence"][0]["crm"]
    crm["certReq"]["certReqId"] = 1
    crm["certReq"]["certTemplate"]["version"] = 2
    wishes = CsrAttributes.from_bytes(csrattrs(content_info(rfc6402.id_cct_PKIData, bytes(encode(data)))))
    assert wishes.subject is None
    assert [one.oid for one in wishes.unknown] == [PDU]


BROKEN = {
    "no value": csrattrs,
    "two values": lambda: csrattrs(*[content_info(rfc6402.id_cct_PKIData, pki_data(request()))] * 2),
    "two requests": lambda: csrattrs(content_info(rfc6402.id_cct_PKIData, pki_data(request(), request()))),
    "no request": lambda: csrattrs(content_info(rfc6402.id_cct_PKIData, pki_data())),
    "another content": lambda: csrattrs(content_info(rfc5652.id_data, pki_data(request()))),
    "no content info": lambda: csrattrs(b"\x04\x01\x00"),
    "nothing inside": lambda: csrattrs(content_info(rfc6402.id_cct_PKIData, b"\x30\x00")),
}


@pytest.mark.parametrize("make", BROKEN.values(), ids=BROKEN)
def test_n_06_what_is_no_template(make):
    with pytest.raises(WireError):
        CsrAttributes.from_bytes(make())
