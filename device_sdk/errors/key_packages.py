"""Packages of symmetric keys that are not taken, or only in part (RFC 8295 section 5)."""

from __future__ import annotations

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
