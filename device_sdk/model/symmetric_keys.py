"""Symmetric keys that a server gives, and what they may be used for."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, unique

from device_sdk.model.secret import Secret


@unique
class KeyUsage(Enum):
    """What a key may be used for; the values are those of RFC 6031 section 3.3.4 that can be enforced."""

    OTP = "OTP"
    CHALLENGE_RESPONSE = "CR"
    ENCRYPT = "Encrypt"
    DECRYPT = "Decrypt"
    INTEGRITY = "Integrity"
    VERIFY = "Verify"
    WRAP = "KeyWrap"
    UNWRAP = "Unwrap"
    DERIVE = "Derive"


@dataclass(frozen=True)
class SymmetricKey:
    """A key that may be stored and used.

    Attributes:
        key_id: its identifier, the same in every package that has it.
        algorithm: as the package names it.
        is_aes: whether the value is an AES key.
        usages: the only things it may be used for.
        value: the key itself.
        label: what people call it.
        not_before: when its use may begin; None if the package does not say.
        not_after: when it ends.
    """

    key_id: str
    algorithm: str
    is_aes: bool
    usages: frozenset[KeyUsage]
    value: Secret = field(repr=False)
    label: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None

    def to_json(self) -> dict[str, object]:
        """What may be shown of it: not its value."""
        return {
            "key_id": self.key_id,
            "algorithm": self.algorithm,
            "bits": 8 * len(self.value.reveal()),
            "usages": sorted(one.value for one in self.usages),
            "label": self.label,
            "not_before": shown_time(self.not_before),
            "not_after": shown_time(self.not_after),
        }


def shown_time(moment: datetime | None) -> str | None:
    """A time as RFC 3339 has it; None stays None."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else None
