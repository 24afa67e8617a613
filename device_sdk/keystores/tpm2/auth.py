"""Authorisation values: what a TPM takes as one."""

from __future__ import annotations

from device_sdk.errors import KeyStoreError
from device_sdk.keystores.pin_source import resolve_pin
from device_sdk.model.secret import NewKey, Secret, SecretProvider
from device_sdk.wire.key_uri.tpm2 import Tpm2Uri

MAX_AUTH_BYTES = 32
"""A TPM bounds an authorisation value by the digest size of the key's name algorithm (TPM 2.0 part 1, 19.6.4.3)."""


def auth_for(uri: Tpm2Uri, provider: SecretProvider | None, *, making: bool = False) -> Secret | None:
    """The authorisation value for a key, from its pin-source or the provider; None for an empty one.

    Args:
        uri: the key.
        provider: asked where the URI names no PIN.
        making: the key is being made now.

    Raises:
        PinRequiredError: the pin-source cannot be read.
        KeyStoreError: longer than a TPM can hold, or with a zero byte at the end, which a TPM drops: other tools would
            not arrive at the same value.
    """
    what = f"TPM key {uri}"
    value = resolve_pin(uri, provider, NewKey(what) if making else what)
    if value is None or not value:
        return None
    if len(value.reveal()) > MAX_AUTH_BYTES:
        raise KeyStoreError(
            f"{uri}: the authorisation value of a TPM key is at most {MAX_AUTH_BYTES} bytes long", uri=str(uri)
        )
    if value.reveal().endswith(b"\0"):
        raise KeyStoreError(f"{uri}: the authorisation value of a TPM key must not end in a zero byte", uri=str(uri))
    return value
