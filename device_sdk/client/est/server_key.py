"""Keys the server generates (RFC 7030 section 4.4). A device that can make its own keys needs none of this."""

from __future__ import annotations

from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from device_sdk.client.est.csr_body import CsrBody
from device_sdk.client.est.full_cmc_transaction import Service, Wishes
from device_sdk.client.est.patience import Patience
from device_sdk.client.est.refused import explained
from device_sdk.errors import ConfigurationError, CsrAttributesError
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import KeyType, PrivateKey
from device_sdk.protocols.est.server_key import (
    DecryptionKey,
    Judgement,
    ProtectionKey,
    ServerKey,
    SharedKey,
    check_server_key,
    serverkeygen_request,
)
from device_sdk.protocols.est.server_key_answer import read_server_key
from device_sdk.protocols.est.server_key_request import protection_attributes
from device_sdk.protocols.est.urls import Operation
from device_sdk.wire.csrattrs import CsrAttributes

__all__ = ["DecryptionKey", "ProtectionKey", "ServerKey", "ServerKeyGeneration", "SharedKey"]


class ServerKeyGeneration:
    """The /serverkeygen operation of one EST service; `EstClient.serverkeygen` uses it.

    Args:
        service: what it uses of the client.
        protection: the key the private key is encrypted to, inside of TLS; None to take it in the clear.
    """

    def __init__(self, service: Service, protection: ProtectionKey | None) -> None:
        self._service = service
        self._protection = protection

    def request(
        self, spec: CsrSpec, signer: PrivateKey | None, key_type: KeyType | None, wishes: Wishes, patience: Patience
    ) -> ServerKey:
        """Ask for a key and check what came; see EstClient.serverkeygen."""
        service = self._service
        asked = service.wishes(wishes, patience)
        url = service.endpoint.url(Operation.SERVERKEYGEN)
        key, spec, asked = keyless(spec, signer, key_type, asked, protection=self._protection, url=url)
        body = CsrBody(key, spec, asked, compatibility=service.compatibility, url=url)
        request = serverkeygen_request(service.endpoint, body)
        with service.exchanges.one_use(body), explained(body, _about(self._protection)):
            response = service.exchanges.send(request, patience, may_pend=True, accepted=body.accepted)
            answer = read_server_key(response, service.clock.now())
        ca = service.ca(patience)
        judgement = Judgement(ca.anchors, ca.intermediates, service.clock.now(), url, service.lists)
        return check_server_key(answer, body.csr, self._protection, judgement)


def keyless(
    spec: CsrSpec,
    signer: PrivateKey | None,
    key_type: KeyType | None,
    asked: CsrAttributes | None,
    *,
    protection: ProtectionKey | None,
    url: str,
) -> tuple[PrivateKey, CsrSpec, CsrAttributes | None]:
    """What a request for a key is made of: the key that signs it, what to ask for, and the wishes that count.

    Args:
        spec: what the caller asks for.
        signer: signs the request; None for a key made for that.
        key_type: hint at what the server should generate.
        asked: the server's wishes.
        protection: the key that the answer is to be encrypted to.
        url: the endpoint, for messages.

    Raises:
        CsrAttributesError: the wishes cannot be met.
    """
    if protection is not None:
        spec = replace(spec, attributes=(*spec.attributes, *protection_attributes(protection)))
    try:
        key = signer or throwaway_key(key_type, asked)
    except CsrAttributesError as error:
        raise error.at(url)  # noqa: B904  # the same error
    if asked is not None and (signer is not None or key_type is not None):
        asked = asked.without_key_wishes()  # the server ignores the request's key and signature (EST-191)
    return key, spec, asked


def require_protection(protection: ProtectionKey | None, *, allow_clear: bool) -> None:
    """Make sure that somebody decided how the key travels, before anything is asked for.

    Raises:
        ConfigurationError: neither a key to encrypt to nor permission to do without, or both.
    """
    if protection is None and not allow_clear:
        raise ConfigurationError(
            "nothing says how the server's private key is to be protected beyond TLS",
            hint="name a key to encrypt it to, or allow it to come in the clear",
        )
    if protection is not None and allow_clear:
        raise ConfigurationError(
            "an encrypted key and a clear one are asked for at once",
            hint="an encrypted key is never taken in the clear",
        )


def _about(protection: ProtectionKey | None) -> str:
    """What to look at where the server does not protect the key as it was asked to."""
    if isinstance(protection, SharedKey):
        return "check --decrypt-id and --decrypt-secret-file against what the server's operator gave"
    if protection is not None:
        return "the server has to know --decrypt-cert, which the key is to be encrypted to: give one that its CA issued to this device"
    return (
        "the server may want to encrypt the key: give --decrypt-key or --decrypt-secret-file instead of --allow-clear"
    )


def throwaway_key(key_type: KeyType | None, wishes: CsrAttributes | None) -> PrivateKey:
    """A software key that signs one request and is forgotten; its type is the only hint at what the server should make.

    Args:
        key_type: the type wished for; None for what the server asks for by /csrattrs, else EC P-256.
        wishes: the answer of /csrattrs, or None.

    Raises:
        CsrAttributesError: the server's wishes cannot be met.
    """
    required = wishes.required_key_types() if wishes is not None and key_type is None else None
    chosen = key_type or (required[0] if required else KeyType.EC_P256)
    if chosen.is_ec:
        return ec.generate_private_key(chosen.curve)
    return rsa.generate_private_key(65537, chosen.key_bits)
