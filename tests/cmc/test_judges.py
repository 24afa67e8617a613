"""Our Full PKI Requests and the reference server's answers before foreign eyes: pyasn1-alt-modules, openssl, curl."""

from __future__ import annotations

import base64
import hashlib
import hmac
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.server import ReferenceServer
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc5652, rfc6402

from device_sdk.client.est.clock import Clock
from device_sdk.client.est.csr_body import CsrBody
from device_sdk.client.est.full_cmc_body import Author, FullCmcBody, key_identifier
from device_sdk.model.csr import CsrSpec
from device_sdk.model.http import ConnectionFacts
from device_sdk.model.secret import Secret
from device_sdk.model.trust import TlsIdentity
from device_sdk.wire.cmc import oids
from device_sdk.wire.cmc.pki_data import octets, revoke_request
from device_sdk.wire.cmc.proofs import SharedSecret, pop_link_witness

NAME = x509.Name.from_rfc4514_string("CN=dev-1")
SHARED = SharedSecret(Secret("sixteen or more characters"), "dév-1")
FACTS = ConnectionFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", tls_exporter=None)
KEYS = {
    "ec-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ec-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ec-p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
}


def openssl(*words: object, data: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *map(str, words)], input=data, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def self_signed(key) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(NAME).issuer_name(NAME).public_key(key.public_key())
    builder = builder.serial_number(2**150 + 1).not_valid_before(now).not_valid_after(now.replace(year=now.year + 1))
    return builder.add_extension(key_identifier(key), False).sign(key, hashes.SHA256())


def with_secret(key) -> bytes:
    """DER of an enrolment by shared secret, signed with the key of the request."""
    random = b"R" * 64
    spec = CsrSpec(
        NAME,
        extensions=(x509.Extension(x509.SubjectKeyIdentifier.oid, False, key_identifier(key)),),
        attributes=((oids.POP_LINK_WITNESS_V2, pop_link_witness(SHARED, random)),),
    )
    csr = CsrBody(key, spec, None)
    controls = (octets(oids.POP_LINK_RANDOM, random),)
    body = FullCmcBody(Author(key=key), 2**126 + 5, Clock(), csr=csr, controls=controls, shared=SHARED)
    return base64.b64decode(body(FACTS))


def with_certificate(key) -> bytes:
    """DER of a revocation, signed with an existing certificate."""
    certificate = self_signed(key)
    control = revoke_request(certificate, "superseded", comment="replaced by dév-2")
    author = Author(identity=TlsIdentity((certificate,), key))
    body = FullCmcBody(author, 0, Clock(), controls=(control,), server_nonce=b"theirs")
    return base64.b64decode(body(FACTS))


def taken_apart(message: bytes) -> tuple[rfc5652.SignedData, bytes, rfc6402.PKIData]:
    info, rest = decode(message, asn1Spec=rfc5652.ContentInfo())
    assert not rest
    data, rest = decode(info["content"], asn1Spec=rfc5652.SignedData())
    assert not rest
    content = bytes(data["encapContentInfo"]["eContent"])
    pki, rest = decode(content, asn1Spec=rfc6402.PKIData())
    assert not rest
    return data, content, pki


@pytest.mark.parametrize("kind", list(KEYS))
@pytest.mark.parametrize("make", [with_secret, with_certificate])
def test_est_205_pyasn1_alt_modules_writes_the_same_bytes(make, kind):
    """DER throughout: decoded by RFC 5652's and RFC 6402's modules and encoded again, every byte is the same."""
    message = make(KEYS[kind]())
    data, content, pki = taken_apart(message)
    assert encode(pki) == content
    info, _ = decode(message, asn1Spec=rfc5652.ContentInfo())
    info["content"] = encode(data)
    assert encode(info) == message
    assert data["encapContentInfo"]["eContentType"] == rfc6402.id_cct_PKIData
    assert int(data["version"]) == 3
    for control in pki["controlSequence"]:
        value = bytes(control["attrValues"][0])
        spec = {
            rfc6402.id_cmc_identityProofV2: rfc6402.IdentifyProofV2(),
            rfc6402.id_cmc_revokeRequest: rfc6402.RevokeRequest(),
        }.get(control["attrType"])
        if spec is not None:
            assert encode(decode(value, asn1Spec=spec)[0]) == value


def test_est_205_the_signer_is_the_request_named_by_its_subject_key_identifier():
    """RFC 5272 section 3.2 a to c."""
    data, _, pki = taken_apart(with_secret(KEYS["ec-p256"]()))
    assert len(data["signerInfos"]) == 1
    assert int(data["signerInfos"][0]["version"]) == 3
    csr = x509.load_der_x509_csr(encode(pki["reqSequence"][0]["tcr"]["certificationRequest"]))
    named = bytes(data["signerInfos"][0]["sid"]["subjectKeyIdentifier"])
    assert named == csr.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert not len(data["certificates"])


def test_est_205_an_existing_certificate_is_named_by_issuer_and_serial_number():
    key = KEYS["ec-p256"]()
    data, _, _ = taken_apart(with_certificate(key))
    assert int(data["signerInfos"][0]["version"]) == 1
    assert int(data["signerInfos"][0]["sid"]["issuerAndSerialNumber"]["serialNumber"]) == 2**150 + 1
    assert len(data["certificates"]) == 1


def test_est_207_identity_proof_by_hand():
    """RFC 5272 sections 6.2.1 and 6.2.3, computed here from the decoded message and hashlib alone."""
    _, _, pki = taken_apart(with_secret(KEYS["ec-p256"]()))
    proof = next(c for c in pki["controlSequence"] if c["attrType"] == rfc6402.id_cmc_identityProofV2)
    value, _ = decode(bytes(proof["attrValues"][0]), asn1Spec=rfc6402.IdentifyProofV2())
    key = hashlib.sha256("sixteen or more charactersdév-1".encode()).digest()
    assert bytes(value["witness"]) == hmac.new(key, encode(pki["reqSequence"]), hashlib.sha256).digest()
    assert str(value["proofAlgID"]["algorithm"]) == "2.16.840.1.101.3.4.2.1"
    assert str(value["macAlgId"]["algorithm"]) == "1.2.840.113549.2.9"


def test_est_207_pop_link_by_hand():
    """Section 6.3.1.1: the key is the hash of the secret, without the identification."""
    _, _, pki = taken_apart(with_secret(KEYS["ec-p256"]()))
    attributes = pki["reqSequence"][0]["tcr"]["certificationRequest"]["certificationRequestInfo"]["attributes"]
    link = next(a for a in attributes if a["attrType"] == rfc6402.id_cmc_popLinkWitnessV2)
    value, _ = decode(bytes(link["attrValues"][0]), asn1Spec=rfc6402.PopLinkWitnessV2())
    key = hashlib.sha256(b"sixteen or more characters").digest()
    assert bytes(value["witness"]) == hmac.new(key, b"R" * 64, hashlib.sha256).digest()


@pytest.mark.parametrize("kind", list(KEYS))
@pytest.mark.parametrize("make", [with_secret, with_certificate])
def test_openssl_verifies_our_requests(make, kind, tmp_path: Path):
    key = KEYS[kind]()
    message = make(key)
    (tmp_path / "cert.pem").write_bytes(self_signed(key).public_bytes(Encoding.PEM))
    words = ("cms", "-verify", "-binary", "-inform", "DER", "-noverify", "-certfile", tmp_path / "cert.pem")
    content = openssl(*words, "-out", "/dev/stdout", data=message)
    assert content == taken_apart(message)[1]
    assert b"error" not in openssl("asn1parse", "-inform", "DER", data=message).lower()
    shown = openssl("cms", "-cmsout", "-print", "-inform", "DER", data=message)
    assert b"1.3.6.1.5.5.7.12.2" in shown or b"id-cct-PKIData" in shown


@pytest.fixture
def server(tmp_path: Path):
    with ReferenceServer(tmp_path / "server") as running:
        running.policy.fullcmc = True
        running.est.full_cmc.store.add_secret("dév-1", SHARED.secret.reveal())
        yield running


def curl(server: ReferenceServer, message: bytes, tmp_path: Path) -> tuple[int, str, bytes]:
    """POST a message; status, Content-Type and the decoded body."""
    (tmp_path / "body").write_bytes(base64.encodebytes(message))
    done = subprocess.run(
        [
            "curl", "--silent", "--show-error", "--max-time", "20", "--cacert", str(server.ca_file),
            "--header", "Content-Type: application/pkcs7-mime; smime-type=CMC-request",
            "--data-binary", f"@{tmp_path / 'body'}", "--output", str(tmp_path / "answer"),
            "--write-out", "%{http_code} %{content_type}",
            f"{server.url.replace('127.0.0.1', 'localhost')}/.well-known/est/fullcmc",
        ],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    status, _, media = done.stdout.partition(" ")
    return int(status), media, base64.b64decode((tmp_path / "answer").read_bytes())


@pytest.mark.parametrize("kind", list(KEYS))
def test_curl_carries_and_openssl_verifies_the_answer(kind, server, tmp_path: Path):
    """EST-206: a good one with the certificate, and a refusal (a replay), both signed below the CA's root."""
    message = with_secret(KEYS[kind]())
    for expected in (200, 400):
        status, media, answer = curl(server, message, tmp_path)
        assert (status, media) == (expected, "application/pkcs7-mime; smime-type=CMC-response")
        words = ("cms", "-verify", "-binary", "-inform", "DER", "-purpose", "any", "-CAfile", server.ca_file)
        content = openssl(*words, "-out", "/dev/stdout", data=answer)
        response, rest = decode(content, asn1Spec=rfc6402.PKIResponse())
        assert not rest
        assert encode(response) == content
        status_info = next(c for c in response["controlSequence"] if c["attrType"] == rfc6402.id_cmc_statusInfoV2)
        info, _ = decode(bytes(status_info["attrValues"][0]), asn1Spec=rfc6402.CMCStatusInfoV2())
        assert int(info["cMCStatus"]) == (0 if expected == 200 else 2)
