"""What the verdict on a firmware package depends on besides the package: while it is the same, so is the verdict."""

from __future__ import annotations

import hashlib
import json

from cryptography.hazmat.primitives import hashes

from device_sdk.client.device.context import Context
from device_sdk.client.device.key_establishment import opening_keys
from device_sdk.client.device.sync.deliveries import FirmwareDelivery
from device_sdk.errors import DeviceSdkError, FirmwareError
from device_sdk.state import files
from device_sdk.wire.firmware import LoadErrorCode

_MAX_RECORD_BYTES = 1024 * 1024
_PASSING = (int(LoadErrorCode.INSUFFICIENT_MEMORY), int(LoadErrorCode.OTHER_ERROR))


def circumstances_of(context: Context, wishes: FirmwareDelivery) -> str:
    """Who may sign, what fits, what is installed and what opens packages, as one SHA-256 in hex.

    Revocation lists are left out: they come anew every day, and make a good package bad, hardly ever a bad one good.

    Args:
        context: the device.
        wishes: what its owner wants of firmware.

    Raises:
        StateError: the record of installed firmware cannot be read.
    """
    rules = wishes.rules
    record = files.read(context.state.firmware_file, _MAX_RECORD_BYTES) or b""
    facts = (
        sorted(anchor.fingerprint(hashes.SHA256()).hex() for anchor in rules.anchors),
        repr(rules.policy),
        [rules.require_signed, rules.constraints, rules.limit_bytes, rules.image_limit_bytes],
        [*wishes.open_with, *opening_keys(context.state), context.state.load().base_key_uri, len(rules.keys)],
        hashlib.sha256(record).hexdigest(),
    )
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def is_unverified(error: DeviceSdkError, wishes: FirmwareDelivery) -> bool:
    """Whether the error is about what came, and says nothing of the package: no good signature was found over these octets.

    Damage on the way looks like that; what needs no signature has nothing that tells it from damage.
    """
    if not isinstance(error, FirmwareError) or error.load_error is None:
        return False
    last = LoadErrorCode.CONTENT_TYPE_MISMATCH if wishes.rules.require_signed else LoadErrorCode.DECOMPRESS_FAILURE
    return error.load_error <= last


def is_lasting(error: DeviceSdkError) -> bool:
    """Whether the same package would be refused again in the same circumstances; no room, or an installer's trouble, passes."""
    return isinstance(error, FirmwareError) and error.load_error is not None and error.load_error not in _PASSING
