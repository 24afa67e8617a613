"""One message on its way through, and what every kind of message needs: who sent it, and that it is no copy."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509
from pyasn1_alt_modules import rfc6402

from device_sdk_simulators.cmc.answer import Answer
from device_sdk_simulators.cmc.authors import identify_certificate, identify_request_key, require_no_proofs
from device_sdk_simulators.cmc.message import Message
from device_sdk_simulators.cmc.pki_data import FullRequest
from device_sdk_simulators.cmc.refusal import BAD_MESSAGE_CHECK, BAD_REQUEST, CmcRefusedError
from device_sdk_simulators.cmc.secrets import SecretProofs
from device_sdk_simulators.cmc.store import CmcStore
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.est.route import Route
from device_sdk_simulators.est.site import Surroundings
from device_sdk_simulators.http.messages import Request


@dataclass
class Case:
    """One message.

    Attributes:
        request: how it came.
        route: where to.
        message: the SignedData; set when it was read.
        full: what is in it; likewise.
        answer: what is going to be said.
        facts: for the log.
    """

    request: Request
    route: Route
    message: Message = field(init=False)
    full: FullRequest = field(init=False)
    answer: Answer = field(default_factory=Answer)
    facts: dict[str, object] = field(default_factory=dict)


class Desk:
    """What handlers of messages have in common.

    Args:
        shared: memory, policy and clock.
        store: what CMC remembers.
    """

    def __init__(self, shared: Surroundings, store: CmcStore) -> None:
        self.shared = shared
        self.policy = shared.policy
        self.store = store
        self.proofs = SecretProofs(store, shared.guesses)

    def author(self, case: Case, csr: x509.CertificateSigningRequest | None = None) -> Client:
        """Who signed; the TLS connection and HTTP count only where the message proves nothing. CmcRefusedError."""
        message, gatekeeper = case.message, case.route.site.gatekeeper
        if message.signer is None:
            raise CmcRefusedError(BAD_MESSAGE_CHECK, "the message is not signed")
        if message.signer.issuer_and_serial is not None:
            require_no_proofs(case.full)
            client = identify_certificate(message, case.request, gatekeeper, self.policy, self.shared.clock())
            how = "certificate"
        elif csr is not None:
            client = identify_request_key(message, case.full, csr, case.request, gatekeeper, self.proofs)
            how = "shared secret" if client.identity.startswith("user:cmc:") else "user"
        else:
            raise CmcRefusedError(BAD_MESSAGE_CHECK, "the signer's key is not known here")
        case.facts |= {"authentication": f"cmc:{how}", "user": client.user, "identity": client.identity}
        case.facts["registration_authority"] = client.registration_authority or None
        return client

    def once(self, case: Case, *, repeatable: bool = False) -> None:
        """CmcRefusedError for a copy; from now on the message is known.

        Asked when everything that proves who sent it was checked, the signature or the shared secret: strangers neither
        use up others' nonces nor the disk. How long messages are known: see CmcStore.is_new.

        Args:
            case: the message.
            repeatable: answering it once more changes nothing: without a nonce, which is optional, a client that polls,
                or lost the answer, sends the same bytes again.
        """
        nonce = case.full.octets(rfc6402.id_cmc_senderNonce)
        signer = case.message.signer
        dated = signer is not None and signer.signing_time is not None
        known_by = case.message.digest if nonce is None else nonce
        new = self.store.is_new(known_by, self.shared.clock(), dated=dated)
        if not new and not (repeatable and nonce is None):
            part = case.full.body_part(rfc6402.id_cmc_senderNonce)
            raise CmcRefusedError(BAD_REQUEST, "this message was answered before", body_parts=(part,))
