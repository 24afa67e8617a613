"""What several tests of CALE share."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from device_sdk.model.csr import CsrSpec

SPEC = CsrSpec(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device-1")]))
ANSWER = b'{"foo": "bar"}\n'

VECTORS = Path(__file__).parents[1] / "vectors" / "cale"
"""The draft's own messages."""
GUID = "bec6dc7e-6562-4b1c-b308-6c352e6f8404"
RESOURCE = (VECTORS / "enveloped-b2.7.der").read_bytes()
"""Appendix B.2.7: ANSWER for the key of appendix B.1."""
