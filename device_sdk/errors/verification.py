"""Checked and found bad."""

from __future__ import annotations

from device_sdk.errors.base import DeviceSdkError


class VerificationError(DeviceSdkError):
    """Checked and found bad; `url` is the endpoint where there is one."""

    code = "verification"
    exit_code = 6
    url: str | None = None


class ServerNotTrustedError(VerificationError):
    """The server's certificate has no valid path to a trust anchor; `reason` is the TLS library's word for it."""

    code = "server-not-trusted"
    reason: str | None = None


class ServerNotAuthorizedError(VerificationError):
    """A trusted certificate, but neither the name fits the URL nor may id-kp-cmcRA stand in for it."""

    code = "server-not-authorized"
    names: tuple[str, ...] | None = None


class FingerprintMismatchError(VerificationError):
    """No CA certificate the server showed has a pinned fingerprint; `seen` are the SHA-256 values it showed."""

    code = "fingerprint-mismatch"
    seen: tuple[str, ...] | None = None


class SharedSecretError(VerificationError):
    """Certificate-less TLS failed: this side or the server does not know `user`'s password; which one cannot be told."""

    code = "shared-secret"
    user: str | None = None


class FirmwareError(VerificationError):
    """A firmware package that is not loaded; `load_error` is the number RFC 4108 section 4.1.3 has for the reason.

    `vendor_error` is what an installer said with number 99; `reported` whether the server was told.
    """

    code = "firmware"
    load_error: int | None = None
    vendor_error: int | None = None
    reported: bool | None = None
