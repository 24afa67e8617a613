"""Who proves a Full PKI Request: an existing certificate, a shared secret, or the request's own key."""

from __future__ import annotations

import secrets
from dataclasses import replace

from cryptography import x509

from device_sdk.client.est.full_cmc_body import Author, key_identifier
from device_sdk.errors import ConfigurationError, EnrolmentPendingError, RemoteProtocolError
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import PrivateKey
from device_sdk.model.secret import Secret
from device_sdk.model.trust import TlsIdentity
from device_sdk.protocols.est.full_cmc import FullCmcAnswer
from device_sdk.wire.cmc import oids
from device_sdk.wire.cmc.pki_data import Control, octets
from device_sdk.wire.cmc.proofs import POP_LINK_RANDOM_BYTES, SharedSecret, pop_link_witness
from device_sdk.wire.cmc.status import CmcStatus


def require_one_proof(shared_secret: SharedSecret | None, signer: TlsIdentity | None) -> None:
    """RFC 5272 section 3.2: the proofs by secret are absent when an existing certificate signs.

    Raises:
        ConfigurationError: both are there.
    """
    if shared_secret is not None and signer is not None:
        raise ConfigurationError("a request is proved by a shared secret or by an existing certificate, not by both")


def proved(
    key: PrivateKey, spec: CsrSpec, identity: TlsIdentity | None, shared_secret: SharedSecret | None
) -> tuple[Author, CsrSpec, tuple[Control, ...]]:
    """Who signs an enrolment, what the request is made of, and the controls that go along.

    Args:
        key: the key to certify.
        spec: what to ask for.
        identity: the certificate that signs; None for the request's own key.
        shared_secret: links the request to the proof of identity (section 6.3).

    Raises:
        ConfigurationError: the request names another key than the one that signs.
    """
    controls: tuple[Control, ...] = ()
    if shared_secret is not None:
        random = secrets.token_bytes(POP_LINK_RANDOM_BYTES)
        link = (oids.POP_LINK_WITNESS_V2, pop_link_witness(shared_secret, random))
        spec = replace(spec, attributes=(*spec.attributes, link))
        controls = (octets(oids.POP_LINK_RANDOM, random),)
    if identity is not None:
        return Author(identity=identity), spec, controls
    return Author(key=key), _with_key_identifier(spec, key), controls


def revoking(identity: TlsIdentity | None, shared_secret: Secret | None) -> Author:
    """Who signs a revocation; nobody, if a shared secret proves it.

    Raises:
        ConfigurationError: neither.
    """
    if identity is None and shared_secret is None:
        raise ConfigurationError("a revocation is signed by a certificate, or proved by a shared secret")
    return Author(identity=None if shared_secret is not None else identity)


def require_revoked(answer: FullCmcAnswer, url: str) -> None:
    """An answer that is not a refusal need not say yes.

    Raises:
        RemoteProtocolError: it says nothing about the revocation.
        EnrolmentPendingError: a person at the CA decides.
    """
    if answer.signed is None:
        raise RemoteProtocolError(f"{url}: the answer says nothing about the revocation", url=url)
    if answer.with_status(CmcStatus.PENDING, CmcStatus.PARTIAL) is not None:
        raise EnrolmentPendingError(
            f"{url}: the CA has not decided about the revocation yet",
            hint="until it has, the certificate is not revoked; ask the CA's operator",
            url=url,
        )


def _with_key_identifier(spec: CsrSpec, key: PrivateKey) -> CsrSpec:
    """Section 3.2: a request whose own key signs the message names that key (EST-205)."""
    value = key_identifier(key)
    if any(extension.oid == value.oid for extension in spec.extensions):
        raise ConfigurationError(
            "the request's own key signs the message: its subjectKeyIdentifier is not to be chosen"
        )
    return replace(spec, extensions=(*spec.extensions, x509.Extension(value.oid, False, value)))
