"""Who a message is for, and what a key of ours makes of it.

What a key is asked to do is settled by the message and the public key alone: each recipient that may be ours costs one
operation of the key, whichever of them is ours and whatever comes out (CALE-70).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from device_sdk.model.decryption import DecryptionPolicy
from device_sdk.model.held_key import HeldKey
from device_sdk.model.keys import PrivateKey
from device_sdk.model.shared_key import SharedKey
from device_sdk.wire.cms.kek import SharedKeyWrap, read_shared_key_wrap
from device_sdk.wire.cms.key_agreement import KeyAgreement, read_key_agreement
from device_sdk.wire.cms.key_transport import KeyTransport, read_key_transport
from device_sdk.wire.cms.reader import SEQUENCE, Reader

MAX_RECIPIENTS = 64
MAX_CANDIDATES = 16

_KEY_AGREE, _SHARED_KEY = 0xA1, 0xA2  # RecipientInfo is a CHOICE; a SEQUENCE without tag is key transport

OpeningKey: TypeAlias = PrivateKey | SharedKey | HeldKey
"""What may open a message; a HeldKey is a symmetric one in a token or TPM."""


@dataclass(frozen=True)
class ContentKey:
    """A key to try the content with; `real` is false for a stand-in, which never yields a plaintext."""

    value: bytes
    real: bool


@dataclass(frozen=True)
class Recipients:
    """The recipients of a kind that a key of the SDK may open, and whose algorithms the policy accepts."""

    transports: tuple[KeyTransport, ...] = ()
    agreements: tuple[KeyAgreement, ...] = ()
    wraps: tuple[SharedKeyWrap, ...] = ()

    def too_many_for(self, key: OpeningKey) -> bool:
        """Whether more than MAX_CANDIDATES would each cost an operation of this key."""
        if len(self.transports) <= MAX_CANDIDATES and len(self.agreements) <= MAX_CANDIDATES:
            return False
        if isinstance(key, SharedKey | HeldKey):
            return False
        found = self._transports_for(key) if isinstance(key, rsa.RSAPrivateKey) else self.agreements
        return len(found) > MAX_CANDIDATES

    def content_keys(self, key: OpeningKey, key_bytes: int) -> Iterator[ContentKey]:
        """One content key for each recipient that may be ours, a random one standing in where there is none.

        Each is made when it is asked for; ask for all of them.

        Args:
            key: ours.
            key_bytes: what the cipher of the content needs.

        Raises:
            KeyStoreError: the token or TPM could not be used (PIN, removed, busy).
        """
        if isinstance(key, SharedKey | HeldKey):
            found: Iterator[bytes | None] = (wrap.unwrap(key) for wrap in self.wraps)
        elif isinstance(key, rsa.RSAPrivateKey):
            found = self._with_rsa(key)
        else:
            found = self._with_ec(key, key_bytes)
        for value in found:
            stand_in = secrets.token_bytes(key_bytes)
            usable = value is not None and len(value) == key_bytes
            yield ContentKey(value if usable and value is not None else stand_in, usable)

    def _with_rsa(self, key: rsa.RSAPrivateKey) -> Iterator[bytes | None]:
        for transport in self._transports_for(key):
            yield transport.unwrap(key)

    def _with_ec(self, key: ec.EllipticCurvePrivateKey, key_bytes: int) -> Iterator[bytes | None]:
        for agreement in self.agreements:
            peer = agreement.peer(key.curve)
            if peer is not None:
                yield agreement.unwrap(key, peer, key_bytes)

    def _transports_for(self, key: rsa.RSAPrivateKey) -> list[KeyTransport]:
        """Those named by this key's identifier; if there are none, all that have the size of its modulus (CALE-68)."""
        size = (key.key_size + 7) // 8
        fitting = [transport for transport in self.transports if len(transport.encrypted_key) == size]
        if len(fitting) < 2:
            return fitting
        return [transport for transport in fitting if transport.names(key)] or fitting


def read_recipients(members: Reader, policy: DecryptionPolicy) -> Recipients:
    """Read RecipientInfos; those of other kinds and algorithms are no reason to refuse the message.

    Args:
        members: inside the SET.
        policy: what is accepted.

    Raises:
        ValueError: it cannot be read, or more than MAX_RECIPIENTS.
    """
    transports: list[KeyTransport] = []
    agreements: list[KeyAgreement] = []
    wraps: list[SharedKeyWrap] = []
    count = 0
    while members.next_tag is not None:
        count += 1
        if members.next_tag == SEQUENCE:
            transport = read_key_transport(members.enter())
            transports.extend((transport,) if transport and policy.allows(*transport.algorithms) else ())
        elif members.next_tag == _KEY_AGREE:
            agreement = read_key_agreement(members.enter(_KEY_AGREE))
            agreements.extend((agreement,) if agreement and policy.allows(*agreement.algorithms) else ())
            count += len(agreement.encrypted_keys) if agreement else 0
        elif members.next_tag == _SHARED_KEY:
            wrap = read_shared_key_wrap(members.enter(_SHARED_KEY))
            wraps.extend((wrap,) if wrap and policy.allows(wrap.wrap.name) else ())
        else:
            members.element()
        if count > MAX_RECIPIENTS:
            raise ValueError("too many recipients")
    return Recipients(tuple(transports), tuple(agreements), tuple(wraps))
