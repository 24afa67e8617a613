"""What a /serverkeygen request says of the key to encrypt to (RFC 7030 section 4.4.1, EST-192), judged by pyasn1."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc2986, rfc4055, rfc4108, rfc5280, rfc5751, rfc7030

from device_sdk.client.est import DecryptionKey, SharedKey
from device_sdk.client.est.server_key import throwaway_key
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import PrivateKey
from device_sdk.model.secret import Secret
from device_sdk.protocols.est.server_key_request import ProtectionKey, protection_attributes
from device_sdk.wire.csr import build_csr
from tests.est.pki import Ca, name

AES = "2.16.840.1.101.3.4.1."
AES_CBC = [AES + "42", AES + "2"]
OAEP, PKCS1, ECDH = "1.2.840.113549.1.1.7", "1.2.840.113549.1.1.1", "1.3.132.1.11.1"
RSA_KEY, EC_KEY = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())


def certified(key: PrivateKey) -> DecryptionKey:
    extensions = [(x509.SubjectKeyIdentifier(b"\x07" * 20), False)]
    return DecryptionKey(Ca.root("x").certify("x", key.public_key(), extensions=extensions), key)


@pytest.mark.parametrize(
    ("protection", "identifier", "algorithms"),
    [
        (SharedKey(b"bench", Secret(bytes(16))), b"bench", [AES + "5"]),
        (SharedKey(b"bench", Secret(bytes(24))), b"bench", [AES + "25"]),
        (SharedKey(b"bench", Secret(bytes(32))), b"bench", [AES + "45"]),
        (certified(RSA_KEY), b"\x07" * 20, [OAEP, PKCS1]),
        (certified(EC_KEY), b"\x07" * 20, [ECDH, ECDH, AES + "45", AES + "5"]),
    ],
    ids=["aes-128", "aes-192", "aes-256", "rsa", "ec"],
)
def test_est_192_the_attributes_name_the_key_and_what_it_can_open(
    protection: ProtectionKey, identifier: bytes, algorithms: list[str]
) -> None:
    """DecryptKeyIdentifier or AsymmetricDecryptKeyIdentifier, and SMIMECapabilities, each once with one value."""
    spec = CsrSpec(subject=name("x"), attributes=protection_attributes(protection))
    csr, rest = decode(build_csr(spec, throwaway_key(None, None)), asn1Spec=rfc2986.CertificationRequest())
    assert rest == b""
    found = {str(one["type"]): one["values"] for one in csr["certificationRequestInfo"]["attributes"]}
    shared = isinstance(protection, SharedKey)
    oid, kind = (
        (rfc4108.id_aa_decryptKeyID, rfc4108.DecryptKeyIdentifier())
        if shared
        else (rfc7030.id_aa_asymmDecryptKeyID, rfc7030.AsymmetricDecryptKeyIdentifier())
    )
    assert sorted(found) == sorted([str(oid), str(rfc5751.smimeCapabilities)])
    assert all(len(values) == 1 for values in found.values())
    value, rest = decode(bytes(found[str(oid)][0]), asn1Spec=kind)
    assert (bytes(value), rest) == (identifier, b"")
    listed, rest = decode(bytes(found[str(rfc5751.smimeCapabilities)][0]), asn1Spec=rfc5751.SMIMECapabilities())
    assert rest == b""
    assert [str(one["capabilityID"]) for one in listed] == algorithms + AES_CBC


def parameters(protection: ProtectionKey) -> list[tuple[str, bytes | None]]:
    _, (_, der) = protection_attributes(protection)
    listed = decode(der, asn1Spec=rfc5751.SMIMECapabilities())[0]
    return [
        (str(one["capabilityID"]), bytes(one["parameters"]) if one["parameters"].isValue else None) for one in listed
    ]


def test_rfc_8551_section_2_5_2_parameters() -> None:
    """OAEP says with which hash, key agreement with which key wrap."""
    found = dict(parameters(certified(RSA_KEY)))
    oaep, rest = decode(found[OAEP], asn1Spec=rfc4055.RSAES_OAEP_params())
    assert rest == b""
    assert oaep["hashFunc"]["algorithm"] == rfc4055.id_sha256
    assert oaep["maskGenFunc"]["algorithm"] == rfc4055.id_mgf1
    mask = decode(encode(oaep["maskGenFunc"]["parameters"]), asn1Spec=rfc5280.AlgorithmIdentifier())[0]
    assert mask["algorithm"] == rfc4055.id_sha256
    assert found[PKCS1] == b"\x05\x00"
    wraps = [value for oid, value in parameters(certified(EC_KEY)) if oid == ECDH]
    named = [str(decode(one, asn1Spec=rfc5280.AlgorithmIdentifier())[0]["algorithm"]) for one in wraps]
    assert named == [AES + "45", AES + "5"]
