"""Key URIs: `pkcs11:` (RFC 7512), `tpm2:` and `file:`."""

from __future__ import annotations

from device_sdk.errors import UriError
from device_sdk.model.key_uri import KeyUri


def parse_key_uri(text: str) -> KeyUri:
    """Read a key URI of any scheme; a plain absolute or relative path is not one.

    Raises:
        UriError: unknown scheme, or the scheme's grammar is not followed; the message holds no secret.
    """
    scheme = text.partition(":")[0].lower()
    if scheme == "pkcs11":
        from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri

        return Pkcs11Uri.parse(text)
    if scheme == "tpm2":
        from device_sdk.wire.key_uri.tpm2 import Tpm2Uri

        return Tpm2Uri.parse(text)
    if scheme == "file":
        from device_sdk.wire.key_uri.file import FileUri

        return FileUri.parse(text)
    raise UriError("a key URI starts with pkcs11:, tpm2: or file:", hint="see docs/keystores.md for examples")
