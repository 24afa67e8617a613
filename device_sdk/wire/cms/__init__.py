"""Opening CMS EnvelopedData and AuthEnvelopedData (RFC 5652, RFC 5083) with a key that has no certificate.

`open_envelope` is the only entrance. What the plaintext must look like is for the protocol above to check (CALE-09).
"""

from device_sdk.wire.cms.envelope import MAX_ENVELOPE_BYTES, open_envelope

__all__ = ["MAX_ENVELOPE_BYTES", "open_envelope"]
