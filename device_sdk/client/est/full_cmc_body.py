"""The body of a Full PKI Request, made on the connection that carries it (EST-96, EST-205, EST-207)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.client.est.clock import Clock
from device_sdk.client.est.csr_body import CsrBody
from device_sdk.errors import LocalProtocolError
from device_sdk.model.http import ConnectionFacts
from device_sdk.model.keys import PrivateKey
from device_sdk.model.trust import TlsIdentity
from device_sdk.protocols.est.full_cmc import Sent
from device_sdk.wire.cmc import oids
from device_sdk.wire.cmc.pki_data import Control, identification, octets, pki_data, request_sequence, transaction_id
from device_sdk.wire.cmc.proofs import SharedSecret, identity_proof
from device_sdk.wire.cms.signing import Signer, sign_data
from device_sdk.wire.transfer import encode_body

_NONCE_BYTES = 16
_TRANSACTION_BITS = 127


def new_transaction() -> int:
    """A transaction identifier nobody can guess; positive and at most 16 octets."""
    return secrets.randbits(_TRANSACTION_BITS)


@dataclass(frozen=True)
class Author:
    """Who signs a request: an existing certificate, the key of the request itself, or nobody.

    Attributes:
        identity: certificate and key; the signer is named by issuer and serial number.
        key: the request's own key; the signer is named by its subject key identifier.
    """

    identity: TlsIdentity | None = None
    key: PrivateKey | None = None

    def signer(self) -> Signer | None:
        """How the signature is made; None for a message without one."""
        if self.identity is not None:
            return Signer(self.identity.key, certificate=self.identity.chain[0])
        if self.key is not None:
            return Signer(self.key, key_identifier=key_identifier(self.key).digest)
        return None

    @property
    def certificates(self) -> tuple[x509.Certificate, ...]:
        """What goes along, so that the server can verify the signature."""
        return self.identity.chain if self.identity is not None else ()


def key_identifier(key: PrivateKey) -> x509.SubjectKeyIdentifier:
    """SHA-1 of the public key's bits (RFC 5280 section 4.2.1.2, method 1), which names the key and secures nothing."""
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


class FullCmcBody:
    """A BodyBuilder. Every call makes a new message with a new nonce, around a PKCS#10 that is made anew only if it has to.

    Args:
        author: who signs.
        transaction: the transaction identifier.
        clock: for the signing time.
        csr: the PKCS#10 request inside, or None.
        controls: further controls.
        shared: proves who asks, by identification and identityProofV2.
        server_nonce: the server's senderNonce of the same transaction, to be given back.
    """

    def __init__(
        self,
        author: Author,
        transaction: int,
        clock: Clock,
        *,
        csr: CsrBody | None = None,
        controls: Sequence[Control] = (),
        shared: SharedSecret | None = None,
        server_nonce: bytes | None = None,
    ) -> None:
        self._author = author
        self._transaction = transaction
        self._clock = clock
        self._csr = csr
        self._controls = tuple(controls)
        self._shared = shared
        self._server_nonce = server_nonce
        self._sent: Sent | None = None

    @property
    def sent(self) -> Sent:
        """What the answer to the last message has to repeat."""
        if self._sent is None:
            raise LocalProtocolError("no CMC request was made yet")
        return self._sent

    def __call__(self, facts: ConnectionFacts) -> bytes:
        """The encoded Full PKI Request for a connection.

        Raises:
            LocalProtocolError: see CsrBody.
            KeyStoreError: a key could not sign.
        """
        requests = request_sequence(self._pkcs10(facts))
        sent = Sent(self._transaction, secrets.token_bytes(_NONCE_BYTES))
        message = sign_data(
            pki_data(self._all_controls(sent, requests), requests),
            oids.PKI_DATA,
            self._author.signer(),
            certificates=self._author.certificates,
            signing_time=self._clock.now(),
        )
        self._sent = sent
        return encode_body(message)

    def _pkcs10(self, facts: ConnectionFacts) -> bytes | None:
        if self._csr is None:
            return None
        self._csr(facts)
        return self._csr.csr.public_bytes(Encoding.DER)

    def _all_controls(self, sent: Sent, requests: bytes) -> list[Control]:
        controls = [transaction_id(sent.transaction_id), octets(oids.SENDER_NONCE, sent.sender_nonce)]
        if self._server_nonce is not None:
            controls.append(octets(oids.RECIPIENT_NONCE, self._server_nonce))
        if self._shared is not None:
            if self._shared.identification is not None:
                controls.append(identification(self._shared.identification))
            controls.append(Control(oids.IDENTITY_PROOF_V2, identity_proof(self._shared, requests)))
        return [*controls, *self._controls]
