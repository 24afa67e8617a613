"""A scripted CMC server: answers put together with the simulators' ASN.1, right or wrong in one chosen way."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.cmc.answer import CMC_CA, Answer, Status, signed_data
from device_sdk_simulators.cmc.message import read_message
from device_sdk_simulators.cmc.pki_data import FullRequest, read_pki_data
from pyasn1_alt_modules import rfc6402

from device_sdk.client.est.full_cmc import SharedSecret
from device_sdk.model.secret import Secret
from tests.est.pki import NOW, Ca, new_key, one_line
from tests.est.scripted_server import Reply, Seen, http

SHARED = SharedSecret(Secret("sixteen or more characters"), "device 1")

RESPONSE = "application/pkcs7-mime; smime-type=CMC-response"


def request_of(seen: Seen) -> FullRequest:
    return read_pki_data(read_message(base64.b64decode(seen.body)).content)


@dataclass
class CmcServer:
    """The other side of one CA: `signer` speaks for it."""

    ca: Ca
    signer: Authority = field(init=False)

    def __post_init__(self) -> None:
        self.signer = self.speaker(self.ca)

    @staticmethod
    def speaker(ca: Ca, usage: x509.ObjectIdentifier = CMC_CA, **options) -> Authority:
        key = new_key()
        extensions = [(x509.ExtendedKeyUsage([usage]), False)]
        return Authority(ca.certify("CMC", key.public_key(), extensions=extensions, **options), key)

    @classmethod
    def device(cls, ca: Ca) -> Authority:
        """Any device of the CA: it has a certificate, and no business here."""
        return cls.speaker(ca, ExtendedKeyUsageOID.CLIENT_AUTH)

    def answer(self, seen: Seen, *statuses: Status, **changes: object) -> Answer:
        """What a right answer says, but for `changes`."""
        full = request_of(seen)
        answer = Answer(
            statuses=list(statuses or [Status(0, (1,))]),
            transaction_id=full.transaction_id,
            recipient_nonce=full.octets(rfc6402.id_cmc_senderNonce),
        )
        if full.request is not None:
            answer.certificates = [self.ca.certify_csr(full.request.der)]
        for name, value in changes.items():
            setattr(answer, name, value)
        return answer

    def message(
        self, answer: Answer, *, signer: Authority | None = None, content: bytes | None = None, **options
    ) -> bytes:
        signer = signer or self.signer
        certificates = [*answer.certificates, signer.certificate]
        return signed_data(content or answer.content(), signer, certificates, NOW, **options)

    def says(self, *statuses: Status, status: int = 200, signer: Authority | None = None, **changes: object):
        """A handler that answers so."""

        def handler(seen: Seen) -> Reply:
            return cmc(self.message(self.answer(seen, *statuses, **changes), signer=signer), status)

        return handler

    def twisted(self, twist: Callable[[bytes], bytes], status: int = 200):
        """A handler whose right answer is changed on its way."""

        def handler(seen: Seen) -> Reply:
            return cmc(twist(self.message(self.answer(seen))), status)

        return handler


def cmc(message: bytes, status: int = 200) -> Reply:
    return http(status, one_line(message), ("Content-Type", RESPONSE))
