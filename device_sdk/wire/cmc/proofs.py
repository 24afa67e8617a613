"""What a shared secret proves: who asks, and that the same one holds the key (RFC 5272 sections 6.2 and 6.3)."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from device_sdk.model.secret import Secret
from device_sdk.wire import der
from device_sdk.wire.cmc import oids

POP_LINK_RANDOM_BYTES = 64
"""512 bits, which section 6.3.1.1 asks for."""

_SHA256 = der.sequence(der.oid(oids.SHA256))
_HMAC_SHA256 = der.sequence(der.oid(oids.HMAC_SHA256), b"\x05\x00")


@dataclass(frozen=True)
class SharedSecret:
    """What the CA's operator gave out of band.

    Attributes:
        secret: the token itself; text is used as UTF-8.
        identification: its name, sent in the clear so that the server finds the secret; None if the server does not
            use names.
    """

    secret: Secret
    identification: str | None = field(default=None)


def identity_proof(shared: SharedSecret, requests: bytes) -> bytes:
    """IdentityProofV2 with SHA-256 and HMAC-SHA256 (section 6.2.1, EST-207).

    Args:
        shared: the key is the hash of the secret, followed by the identification if there is one (section 6.2.3).
        requests: the reqSequence exactly as it is sent, tag and length included.

    Returns:
        DER of the control's value.
    """
    named = shared.secret.reveal() + (shared.identification or "").encode()
    return _witness(named, requests)


def pop_link_witness(shared: SharedSecret, random: bytes) -> bytes:
    """PopLinkWitnessV2 with SHA-256 and HMAC-SHA256 (section 6.3.1.1): goes into the PKCS#10 as an attribute.

    Args:
        shared: the key is the hash of the secret alone; only the identity proof takes in the identification.
        random: the value of the popLinkRandom control.

    Returns:
        DER of the attribute's value.
    """
    return _witness(shared.secret.reveal(), random)


def _witness(secret: bytes, message: bytes) -> bytes:
    mac = hmac.digest(hashlib.sha256(secret).digest(), message, "sha256")
    return der.sequence(_SHA256, _HMAC_SHA256, der.tlv(0x04, mac))
