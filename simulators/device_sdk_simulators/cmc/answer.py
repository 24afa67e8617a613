"""PKI Responses: what the CA says, signed by a key that may speak for it (RFC 5272 section 4, RFC 6402 section 2.10)."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from pyasn1.codec.der.encoder import encode
from pyasn1.type import base, univ, useful
from pyasn1_alt_modules import rfc5652, rfc6402

from device_sdk_simulators.ca.hierarchy import Authority, Hierarchy
from device_sdk_simulators.ca.issue import key_usage
from device_sdk_simulators.ca.keys import digest_for
from device_sdk_simulators.packages.signing import BY_ISSUER, attribute, signed_message

CMC_CA = x509.ObjectIdentifier(str(rfc6402.id_kp_cmcCA))
SUCCESS, PENDING, CONFIRM_REQUIRED = 0, 3, 5
_LIFETIME = timedelta(days=30)
_SHA256 = univ.ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_ECDSA_SHA256 = univ.ObjectIdentifier("1.2.840.10045.4.3.2")


@dataclass(frozen=True)
class Status:
    """One CMCStatusInfoV2.

    Attributes:
        status: CMCStatus.
        body_parts: what it is about.
        text: for people.
        fail_info: CMCFailInfo, or None.
        pend_token: what to ask with later, or None.
        pend_time: when to, or None.
    """

    status: int
    body_parts: Sequence[int] = (0,)
    text: str = ""
    fail_info: int | None = None
    pend_token: bytes | None = field(default=None, repr=False)
    pend_time: datetime | None = None

    def encoded(self) -> rfc6402.CMCStatusInfoV2:
        """As ASN.1."""
        info = rfc6402.CMCStatusInfoV2()
        info["cMCStatus"] = self.status
        for position, part in enumerate(self.body_parts):
            info["bodyList"][position]["bodyPartID"] = part
        if self.text:
            info["statusString"] = self.text
        if self.fail_info is not None:
            info["otherInfo"]["failInfo"] = self.fail_info
        elif self.pend_token is not None and self.pend_time is not None:
            info["otherInfo"]["pendInfo"]["pendToken"] = self.pend_token
            info["otherInfo"]["pendInfo"]["pendTime"] = useful.GeneralizedTime(f"{self.pend_time:%Y%m%d%H%M%SZ}")
        return info


@dataclass
class Answer:
    """A Full PKI Response that is being put together.

    Attributes:
        statuses: what became of the request.
        certificates: those that were issued.
        transaction_id: echoed.
        recipient_nonce: the client's senderNonce, echoed.
        anchors: roots that clients are asked to trust (section 6.15); they go along as certificates, too.
        anchors_number: rises with every publication.
        data_return: echoed (RFC 5272 section 6.4).
        nonce: this server's own, new for every answer.
    """

    statuses: list[Status] = field(default_factory=list)
    certificates: list[x509.Certificate] = field(default_factory=list)
    transaction_id: int | None = None
    recipient_nonce: bytes | None = None
    anchors: list[x509.Certificate] = field(default_factory=list)
    anchors_number: int = 0
    data_return: bytes | None = None
    nonce: bytes = field(default_factory=lambda: os.urandom(16))

    @property
    def is_simple(self) -> bool:
        """Nothing to say but "here are certificates": a Simple PKI Response does (section 3.2)."""
        said = (self.transaction_id, self.recipient_nonce, self.data_return, self.anchors or None)
        return said == (None, None, None, None) and all(one.status == SUCCESS for one in self.statuses)

    def content(self) -> bytes:
        """DER of the PKIResponse."""
        response = rfc6402.PKIResponse()
        for name in ("controlSequence", "cmsSequence", "otherMsgSequence"):
            response[name].clear()
        for position, (oid, value) in enumerate(self._controls()):
            tagged = response["controlSequence"][position]
            tagged["bodyPartID"] = position + 1
            tagged["attrType"] = oid
            tagged["attrValues"][0] = encode(value)
        return bytes(encode(response))

    def _controls(self) -> list[tuple[univ.ObjectIdentifier, base.Asn1Item]]:
        found = [(rfc6402.id_cmc_statusInfoV2, status.encoded()) for status in self.statuses]
        if self.transaction_id is not None:
            found.append((rfc6402.id_cmc_transactionId, univ.Integer(self.transaction_id)))
        if self.recipient_nonce is not None:
            found.append((rfc6402.id_cmc_recipientNonce, univ.OctetString(self.recipient_nonce)))
            found.append((rfc6402.id_cmc_senderNonce, univ.OctetString(self.nonce)))
        if self.data_return is not None:
            found.append((rfc6402.id_cmc_dataReturn, univ.OctetString(self.data_return)))
        if self.anchors:
            found.append((rfc6402.id_cmc_trustedAnchors, self._published()))
        return found

    def _published(self) -> rfc6402.PublishTrustAnchors:
        published = rfc6402.PublishTrustAnchors()
        published["seqNumber"] = self.anchors_number
        published["hashAlgorithm"]["algorithm"] = _SHA256
        for position, anchor in enumerate(self.anchors):
            published["anchorHashes"][position] = anchor.fingerprint(hashes.SHA256())
        return published


class Responder:
    """Signs answers with a key of its own, which each CA certifies for that (id-kp-cmcCA); a new key at each start."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._lock = threading.Lock()
        self._certificates: dict[bytes, x509.Certificate] = {}

    def sign(self, answer: Answer, hierarchy: Hierarchy, now: datetime) -> bytes:
        """DER of the SignedData around an answer, with the way from its signer to the root."""
        signer = self._certificate(hierarchy.issuing, now)
        content = answer.content()
        certificates = dict.fromkeys([*answer.certificates, *answer.anchors, signer, *hierarchy.chain])
        return signed_data(content, Authority(signer, self._key), list(certificates), now)

    def _certificate(self, issuing: Authority, now: datetime) -> x509.Certificate:
        fingerprint = issuing.certificate.fingerprint(hashes.SHA256())
        with self._lock:
            found = self._certificates.get(fingerprint)
            if found is None or found.not_valid_after_utc - now < timedelta(days=1) or found.not_valid_before_utc > now:
                found = self._certificates[fingerprint] = _certify(issuing, self._key.public_key(), now)
            return found


def _certify(issuing: Authority, public_key: ec.EllipticCurvePublicKey, now: datetime) -> x509.Certificate:
    name = x509.Name([*issuing.certificate.subject, x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "CMC")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuing.certificate.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(min(now + _LIFETIME, issuing.certificate.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(public_key), critical=True)
        .add_extension(x509.ExtendedKeyUsage([CMC_CA]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing.key.public_key()), critical=False)
        .sign(issuing.key, digest_for(issuing.key))
    )


def signed_data(
    content: bytes,
    signer: Authority,
    certificates: Sequence[x509.Certificate],
    now: datetime,
    *,
    content_type: univ.ObjectIdentifier = rfc6402.id_cct_PKIResponse,
) -> bytes:
    """DER of a ContentInfo with a SignedData; the signer is named by issuer and serial."""
    signing_time = attribute(rfc5652.id_signingTime, useful.UTCTime(f"{now:%y%m%d%H%M%SZ}"))
    return signed_message(content, str(content_type), signer, [signing_time], certificates=certificates, odd=BY_ISSUER)
