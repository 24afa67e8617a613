"""Private keys as the command line reads them, to put them into a keystore."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from device_sdk.cli.secrets import passphrase
from device_sdk.errors import ConfigurationError, PinIncorrectError, PinRequiredError
from device_sdk.model.secret import Secret

if TYPE_CHECKING:
    from device_sdk.cli.settings import Settings

_PEM = re.compile(rb"-----BEGIN ((?:ENCRYPTED )?PRIVATE KEY)-----([A-Za-z0-9+/=\s]*)-----END \1-----")
_HINT = "PKCS#8 is expected, in PEM or DER: openssl pkcs8 -topk8 makes it"


def pkcs8_from(content: bytes, source: str, settings: Settings) -> Secret:
    """The one private key of a file, as DER PrivateKeyInfo.

    Args:
        content: PEM or DER, encrypted (RFC 5958 section 3) or not.
        source: the file, for messages.
        settings: say where the passphrase is.

    Raises:
        ConfigurationError: no such structure, or several.
        PinRequiredError, PinIncorrectError: the passphrase is missing or wrong.
    """
    der, encrypted = _armoured(content, source) if b"-----BEGIN" in content else (content, _is_encrypted(content))
    if not der.startswith(b"\x30"):
        raise ConfigurationError(f"{source} holds no private key", hint=_HINT)
    return _decrypted(der, source, settings) if encrypted else Secret(der)


def _armoured(content: bytes, source: str) -> tuple[bytes, bool]:
    found = _PEM.findall(content)
    if len(found) != 1 or content.count(b"PRIVATE KEY-----") != 2:
        many = "several private keys" if content.count(b"PRIVATE KEY-----") > 2 else "no private key in PKCS#8 PEM"
        raise ConfigurationError(f"{source} holds {many}", hint=_HINT)
    label, text = found[0]
    try:
        return base64.b64decode(b"".join(text.split()), validate=True), label.startswith(b"ENCRYPTED")
    except binascii.Error:
        raise ConfigurationError(f"{source}: the base64 text is damaged") from None


def _is_encrypted(der: bytes) -> bool:
    """EncryptedPrivateKeyInfo begins with a SEQUENCE, PrivateKeyInfo with an INTEGER."""
    header = 2 if len(der) > 1 and der[1] < 0x80 else 2 + (der[1] & 0x7F) if len(der) > 1 else 0
    return der[header : header + 1] == b"\x30"


def _decrypted(der: bytes, source: str, settings: Settings) -> Secret:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_der_private_key,
    )

    secret = passphrase(settings, source)
    if not secret:
        hint = "give --passphrase-file or --passphrase-fd, set DEVICE_SDK_IMPORT_PASSPHRASE, or run at a terminal"
        raise PinRequiredError(f"{source} is encrypted", hint=hint)
    try:
        key = load_der_private_key(der, secret.reveal())
    except UnsupportedAlgorithm as error:
        raise ConfigurationError(f"{source} is encrypted in a way that is not supported") from error
    except (ValueError, TypeError) as error:
        # OpenSSL cannot tell a wrong passphrase from a damaged file: the padding is wrong either way
        raise PinIncorrectError(f"{source}: the passphrase is wrong, or the file is damaged") from error
    return Secret(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
