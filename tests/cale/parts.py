"""What several tests of CALE share."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID

from device_sdk.model.csr import CsrSpec

SPEC = CsrSpec(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device-1")]))
ANSWER = b'{"foo": "bar"}\n'
