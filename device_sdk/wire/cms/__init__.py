"""Opening CMS EnvelopedData and AuthEnvelopedData (RFC 5652, RFC 5083), and verifying SignedData.

`open_envelope` opens with a key that needs no certificate, `open_stream` does so in bounded memory; `signed_data` reads and
verifies. What the plaintext must look like is for the protocol above to check (CALE-09).

The names are imported on first use: who reads a list of certificates opens nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_sdk._lazy import on_first_use

if TYPE_CHECKING:
    from device_sdk.wire.cms.envelope import CANNOT_OPEN, MAX_ENVELOPE_BYTES, open_envelope
    from device_sdk.wire.cms.stream import open_stream

_HOMES = {
    "CANNOT_OPEN": "device_sdk.wire.cms.envelope",
    "MAX_ENVELOPE_BYTES": "device_sdk.wire.cms.envelope",
    "open_envelope": "device_sdk.wire.cms.envelope",
    "open_stream": "device_sdk.wire.cms.stream",
}

__all__ = ["CANNOT_OPEN", "MAX_ENVELOPE_BYTES", "open_envelope", "open_stream"]

__getattr__ = on_first_use(__name__, _HOMES)
