"""A symmetric key that a TPM keeps, in a file: one line of JSON says what it is and what it is for, TSS2 PRIVATE KEY follows.

Tools that read TSS2 PRIVATE KEY files pass over text before it (RFC 7468 section 2), so that both halves are one file, and
are replaced together.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from device_sdk.errors import WireError
from device_sdk.model.symmetric_keys import KeyUsage, SymmetricKey
from device_sdk.wire.tss2_key import MAX_BYTES, Tss2Key

_MARK = b"device-sdk symmetric key: "
_WHAT = "file of a symmetric key in a TPM"
_MAX_KEY_BYTES = 128


@dataclass(frozen=True)
class TpmSecret:
    """What the file has.

    Attributes:
        key_id: identifier of the key.
        algorithm: as its package named it.
        is_aes: whether it is an AES key.
        bits: its length.
        usages: what it is for.
        label: what people call it.
        not_before: when its use may begin, as RFC 3339 has it, or None.
        not_after: when it ends.
        key: what the TPM loads: the sealed value, or an object that encrypts and decrypts.
    """

    key_id: str
    algorithm: str
    is_aes: bool
    bits: int
    usages: frozenset[KeyUsage]
    label: str
    not_before: str | None
    not_after: str | None
    key: Tss2Key

    def to_file(self) -> bytes:
        """The file."""
        text = json.dumps(self.facts() | {"is_aes": self.is_aes}, sort_keys=True)
        # no name of a key looks like the beginning of the PEM block that follows
        return _MARK + text.replace("-----", "\\u002d" * 5).encode() + b"\n" + self.key.to_pem()

    def facts(self) -> dict[str, Any]:
        """What may be shown; `kept` says whether the value comes out of the TPM when the key is used."""
        return {
            "key_id": self.key_id,
            "algorithm": self.algorithm,
            "bits": self.bits,
            "usages": sorted(one.value for one in self.usages),
            "label": self.label,
            "not_before": self.not_before,
            "not_after": self.not_after,
            "kept": "sealed" if self.key.sealed else "in use by the TPM alone",
        }


def tpm_secret(key: SymmetricKey, blob: Tss2Key) -> TpmSecret:
    """What a key's file will have."""
    said = key.to_json()
    return TpmSecret(
        key.key_id, key.algorithm, key.is_aes, 8 * len(key.value.reveal()), key.usages, key.label,
        _text_or_none(said["not_before"]), _text_or_none(said["not_after"]), blob,
    )  # fmt: skip


def is_tpm_secret(content: bytes) -> bool:
    """Whether a file is one of these."""
    return content.startswith(_MARK)


def read_tpm_secret(content: bytes) -> TpmSecret:
    """Read what `to_file` wrote.

    Raises:
        WireError: it is something else, or damaged.
    """
    if len(content) > MAX_BYTES or not is_tpm_secret(content):
        raise WireError(f"not a {_WHAT}", what=_WHAT)
    line, _, rest = content.partition(b"\n")
    key = Tss2Key.parse(rest, sealed=True)
    try:
        said = json.loads(line.removeprefix(_MARK))
        return TpmSecret(
            _text(said["key_id"]),
            _text(said["algorithm"]),
            _truth(said["is_aes"]),
            _bits(said["bits"]),
            frozenset(KeyUsage(one) for one in said["usages"]),
            _text(said["label"]),
            _text_or_none(said["not_before"]),
            _text_or_none(said["not_after"]),
            key,
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WireError(f"not a {_WHAT}", what=_WHAT) from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("neither true nor false")
    return value


def _bits(value: object) -> int:
    if not isinstance(value, int) or value % 8 or not 8 <= value <= 8 * _MAX_KEY_BYTES:
        raise ValueError("no length")
    return value
