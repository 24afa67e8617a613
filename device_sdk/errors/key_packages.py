"""Packages of keys that are not taken, or only in part (RFC 8295 sections 5 and 8)."""

from __future__ import annotations

from device_sdk.errors.base import EnvelopeError
from device_sdk.errors.keystore import KeyStoreError
from device_sdk.errors.protocol import RemoteProtocolError
from device_sdk.errors.verification import VerificationError


class KeyPackageRefusedError(RemoteProtocolError):
    """A package of keys, or a key in it, that must not be used; `fault` is its code in RFC 7191 section 5.

    No key of the package was kept.
    """

    code = "key-package-refused"
    hint = "tell the server's operator; nothing of the package was stored"
    fault: int | None = None


class KeyPackageUntrustedError(VerificationError):
    """A package of keys that nobody signed who may; `fault` is its code in RFC 7191 section 5."""

    code = "key-package-untrusted"
    hint = "check which anchors vouch for those who sign packages of keys, or tell the server's operator"
    url: str | None = None
    fault: int | None = None


class KeysNotStoredError(KeyStoreError):
    """Keys of a package could not all be stored. `stored` are those that are, `missing` the others, by identifier."""

    code = "keys-not-stored"
    stored: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class Pkcs12PasswordError(EnvelopeError):
    """A PKCS#12 file that its MAC keeps shut: another password, or a file that was altered. It is not tried again."""

    code = "pkcs12-password"
    hint = "check the password against what the server's operator gave; the key made now is lost"
    url: str | None = None
