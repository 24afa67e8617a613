"""Full PKI Requests for the reference server, made by the SDK's writer, right or wrong in one chosen way; no sockets."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from device_sdk_simulators.http.messages import Request, Response, TlsFacts
from device_sdk_simulators.server import ReferenceServer
from pyasn1.codec.der.decoder import decode
from pyasn1_alt_modules import rfc5652, rfc6402

from device_sdk.model.csr import CsrSpec
from device_sdk.model.secret import Secret
from device_sdk.wire import der
from device_sdk.wire.cmc import oids
from device_sdk.wire.cmc.pki_data import Control, identification, octets, pki_data, request_sequence, transaction_id
from device_sdk.wire.cmc.proofs import SharedSecret, identity_proof, pop_link_witness
from device_sdk.wire.cms.signing import Signer, sign_data
from device_sdk.wire.csr import build_csr
from tests.simulators.server.support import EST, name

MEDIA = ("Content-Type", "application/pkcs7-mime; smime-type=CMC-request")
TLS = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", tls_exporter=b"e" * 32)
BINDING = base64.b64encode(b"e" * 32).decode()
BAD_ALG, BAD_MESSAGE_CHECK, BAD_REQUEST, BAD_TIME, BAD_CERT_ID, BAD_IDENTITY = 0, 1, 2, 3, 4, 7
POP_REQUIRED, POP_FAILED, NO_KEY_REUSE = 8, 9, 10
SECRET = "sixteen or more characters"


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_identifier(key) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


@dataclass
class Draft:
    """A request by a client with a shared secret; change what should be wrong, then `send`."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    subject: x509.Name = field(default_factory=name)
    secret: str = SECRET
    identification: str | None = "dev-1"
    number: int = 4711
    nonce: bytes = field(default_factory=lambda: os.urandom(16))
    random: bytes = field(default_factory=lambda: os.urandom(64))
    binding: str | None = BINDING
    key_id: bytes | None = None
    signer: Signer | None = None
    certificates: tuple[x509.Certificate, ...] = ()
    link: bool = True
    proof: bool = True
    more: tuple[Control, ...] = ()
    signed_at: datetime | None = field(default_factory=lambda: datetime.now(UTC))

    @property
    def shared(self) -> SharedSecret:
        return SharedSecret(Secret(self.secret), self.identification)

    def csr(self) -> bytes:
        ski = key_identifier(self.key)
        link = ((oids.POP_LINK_WITNESS_V2, pop_link_witness(self.shared, self.random)),) if self.link else ()
        extensions = (x509.Extension(ski.oid, False, ski),)
        return build_csr(
            CsrSpec(self.subject, extensions=extensions, attributes=link), self.key, challenge_password=self.binding
        )

    def controls(self, requests: bytes) -> list[Control]:
        found = [transaction_id(self.number), octets(oids.SENDER_NONCE, self.nonce)]
        if self.proof:
            if self.identification is not None:
                found.append(identification(self.identification))
            found.append(Control(oids.IDENTITY_PROOF_V2, identity_proof(self.shared, requests)))
        if self.link:
            found.append(octets(oids.POP_LINK_RANDOM, self.random))
        return [*found, *self.more]

    def message(self, csr: bytes | None = None) -> bytes:
        requests = request_sequence(csr or self.csr())
        return self.wrap(pki_data(self.controls(requests), requests))

    def wrap(self, content: bytes) -> bytes:
        signer = self.signer or Signer(self.key, key_identifier=self.key_id or key_identifier(self.key).digest)
        return sign_data(content, oids.PKI_DATA, signer, certificates=self.certificates, signing_time=self.signed_at)


def by(certificate: x509.Certificate, signing_key, **changes) -> Draft:
    """A draft signed with an existing certificate; no shared secret."""
    draft = Draft(
        signer=Signer(signing_key, certificate=certificate), certificates=(certificate,), link=False, proof=False
    )
    for attribute, value in changes.items():
        setattr(draft, attribute, value)
    return draft


def send(server: ReferenceServer, message: bytes, *, headers=(MEDIA,), tls=TLS, label="") -> Response:
    target = f"{EST}{label}{'/' if label else ''}fullcmc"
    return server.handle(Request("POST", target, list(headers), base64.b64encode(message), tls))


@dataclass(frozen=True)
class Said:
    """What an answer says: the first status, the controls by OID, the certificates."""

    status: int
    fail_info: int | None
    text: str
    body_parts: tuple[int, ...]
    pend_token: bytes | None
    controls: dict[str, bytes]
    certificates: tuple[x509.Certificate, ...]


def said(response: Response) -> Said:
    info, rest = decode(base64.b64decode(response.body), asn1Spec=rfc5652.ContentInfo())
    assert not rest
    data, _ = decode(info["content"], asn1Spec=rfc5652.SignedData())
    assert data["encapContentInfo"]["eContentType"] == rfc6402.id_cct_PKIResponse
    content, rest = decode(bytes(data["encapContentInfo"]["eContent"]), asn1Spec=rfc6402.PKIResponse())
    assert not rest
    controls = {str(one["attrType"]): bytes(one["attrValues"][0]) for one in content["controlSequence"]}
    status, _ = decode(controls[str(rfc6402.id_cmc_statusInfoV2)], asn1Spec=rfc6402.CMCStatusInfoV2())
    other = status["otherInfo"] if status["otherInfo"].isValue else None
    kind = other.getName() if other is not None else ""
    from pyasn1.codec.der.encoder import encode

    return Said(
        int(status["cMCStatus"]),
        int(other["failInfo"]) if kind == "failInfo" else None,
        str(status["statusString"]) if status["statusString"].isValue else "",
        tuple(int(part["bodyPartID"]) for part in status["bodyList"]),
        bytes(other["pendInfo"]["pendToken"]) if kind == "pendInfo" else None,
        controls,
        tuple(x509.load_der_x509_certificate(encode(one["certificate"])) for one in data["certificates"]),
    )


def refused(response: Response) -> tuple[int, int | None]:
    """HTTP status and failInfo."""
    answer = said(response)
    assert answer.status in (2, 4), answer
    return response.status, answer.fail_info


def no_signature(csr: bytes) -> bytes:
    """The same PKCS#10 with id-alg-noSignature (RFC 5272 section C.1)."""
    request = x509.load_der_x509_csr(csr)
    import hashlib

    algorithm = der.sequence(der.oid(oids.NO_SIGNATURE), b"\x05\x00")
    info = request.tbs_certrequest_bytes
    return der.sequence(info, algorithm, der.tlv(0x03, b"\0" + hashlib.sha256(info).digest()))


def spki(holder) -> bytes:
    return holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
