"""Opening CMS EnvelopedData and AuthEnvelopedData (RFC 5652, RFC 5083), and verifying SignedData.

`open_envelope` opens with a key that needs no certificate, `open_stream` does so in bounded memory; `signed_data` reads and
verifies. What the plaintext must look like is for the protocol above to check (CALE-09).
"""

from device_sdk.wire.cms.envelope import CANNOT_OPEN, MAX_ENVELOPE_BYTES, open_envelope
from device_sdk.wire.cms.stream import open_stream

__all__ = ["CANNOT_OPEN", "MAX_ENVELOPE_BYTES", "open_envelope", "open_stream"]
