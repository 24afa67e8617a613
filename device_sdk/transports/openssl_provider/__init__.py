"""Keys that do not leave their token or TPM, for Python's own ssl module (OpenSSL 3 and later).

An OpenSSL provider in Python: key management, signatures and a decoder, built into the very libcrypto that `_ssl` is
linked to. The key enters an ordinary `ssl.SSLContext` through `load_cert_chain()` as a PEM handle, a random token that
means something only inside this process and only while it is being loaded.
"""

from device_sdk.transports.openssl_provider.announce import announce_anchors
from device_sdk.transports.openssl_provider.context import ensure_available, raising_key_errors, use_private_key
from device_sdk.transports.openssl_provider.libcrypto import forget_errors
from device_sdk.transports.openssl_provider.ssl_pointer import (
    accept_any_purpose,
    context_pointer,
    export_keying_material,
    has_extended_master_secret,
)

__all__ = [
    "accept_any_purpose",
    "announce_anchors",
    "context_pointer",
    "ensure_available",
    "export_keying_material",
    "forget_errors",
    "has_extended_master_secret",
    "raising_key_errors",
    "use_private_key",
]
