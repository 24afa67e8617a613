"""What `doctor` finds out about keys and the certificates that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_sdk.errors import KeyNotFoundError
from device_sdk.model.secret import SecretProvider
from device_sdk.wire.names import shown_name

if TYPE_CHECKING:
    from cryptography import x509

    from device_sdk.client.doctor_hardware import Verdict


def check_key(
    uri: str, chain: Sequence[x509.Certificate], *, pin: SecretProvider | None, allow_imported: bool, anew: str
) -> Verdict:
    """Whether a key can be opened, is that of the certificate, and can leave its hardware.

    Args:
        uri: of the key.
        chain: leaf first; empty if there is no certificate yet.
        pin: gives its PIN.
        allow_imported: take a key that was put into its hardware from outside, with a warning.
        anew: the command that gets another certificate.

    Raises:
        KeyStoreError: it cannot be opened.
    """
    from device_sdk.keystores.registry import open_key

    with open_key(uri, pin=pin, allow_imported=allow_imported) as key:
        info = key.info
        if chain and _spki(key) != _spki(chain[0]):
            return "failed", f"{info.uri} is not the key of the certificate", anew
    if not info.hardware:
        words = f"a file, and whoever reads it is this device: {info.uri}"
        return "warning", words, "use a token or TPM where there is one"
    if info.extractable:
        return "failed", f"{info.uri} can leave its hardware", "make a new one: device-sdk keys create"
    if info.imported:
        words = f"in hardware, not extractable, but made outside of it: {info.uri}"
        return "warning", words, "whoever made it may have kept it; device-sdk keys create makes one in hardware"
    return "ok", f"in hardware, not extractable: {info.uri}", None


def check_second(path: Path, now: datetime, *, pin: SecretProvider | None, allow_imported: bool) -> Verdict:
    """The certificate for key establishment and its key: whether packages that are encrypted to it can be opened.

    Args:
        path: the state directory.
        now: the present.
        pin: as for `check_key`.
        allow_imported: likewise.

    Raises:
        StateError: it cannot be read.
        KeyStoreError: the key cannot be opened.
    """
    from device_sdk.client.device import Device
    from device_sdk.state import StateDirectory

    second = StateDirectory(path).key_establishment if path.is_dir() else None
    state, chain, _ = second.snapshot() if second is not None and second.path.exists() else (None, (), ())
    if state is None or state.current is None or not chain:
        return "ok", "there is no such certificate", None
    uri = state.current.key_uri
    anew = "device-sdk renew --use key-establishment"
    try:
        verdict = check_key(uri, chain, pin=pin, allow_imported=allow_imported, anew=anew)
    except KeyNotFoundError as error:
        error.hint = f"packages that are encrypted to it are lost; {anew} makes another one"
        raise
    if verdict[0] == "failed":
        return verdict
    decision = Device(path).needs_renewal(now=now, key_establishment=True)
    if chain[0].not_valid_after_utc < now:
        return "failed", decision.reason, anew
    if decision.needed:
        return "warning", decision.reason, f"device-sdk sync, or {anew}"
    return verdict[0], f"{shown_name(chain[0].subject)}: {decision.reason}; {verdict[1]}", verdict[2]


def _spki(holder: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public: bytes = holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public
