"""The TLS of certificate-less connections: what is offered, and what counts as success."""

from __future__ import annotations

import ssl
from typing import Any

from device_sdk.errors import ConfigurationError, DeviceSdkError, ServerNotAuthorizedError, SharedSecretError, TlsError
from device_sdk.model.credentials import Credentials
from device_sdk.transports.https.timed import TimedTlsSocket
from device_sdk.transports.https.tls import harden
from device_sdk.transports.openssl_provider import forget_errors
from device_sdk.transports.srp.openssl import MIN_GROUP_BITS, SUITES, use_srp
from device_sdk.transports.srp.saslprep import saslprep

_MAX_USER_BYTES = 255
_ALERT = ("SSLV3_ALERT_", "TLSV1_ALERT_", "SSL/TLS_ALERT_")
_NOT_THE_SAME_PASSWORD = {
    "BAD_RECORD_MAC",  # RFC 5054 section 2.6: what a server says
    "DECRYPT_ERROR",
    "UNKNOWN_PSK_IDENTITY",
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC",  # what this side finds when the server guesses
    "DIGEST_CHECK_FAILED",
}
_BAD_GROUP = {"INSUFFICIENT_SECURITY", "BAD_SRP_PARAMETERS", "BAD_DATA"}


class SrpContext(ssl.SSLContext):
    """A context whose only way to authenticate either side is the shared password.

    Sessions are not resumed: every connection proves the password anew, and so tls-unique needs no extended master
    secret (the attack of RFC 7627 is one on resumption).
    """

    user = ""
    callback: Any = None


class SrpSocket(TimedTlsSocket):
    """A TLS socket that is open only towards a server that knows the password."""

    def do_handshake(self, block: bool = False) -> None:
        """Handshake, then make sure that it was the one that was meant.

        Raises:
            SharedSecretError: one of the two sides does not know the password; the connection is closed.
            TlsError: the server has no suite or no group that is good enough, has a salt that OpenSSL computes wrongly,
                or does not let this user try now.
            ssl.SSLError: the handshake failed for another reason.
        """
        forget_errors()
        try:
            super().do_handshake(block)
            _require_srp(self)
        except ssl.SSLError as exc:
            error = _meaning(exc, getattr(self.context, "user", ""))
            if error is None:
                raise
            self.close()
            raise error from exc
        except DeviceSdkError:
            self.close()
            raise


def srp_context(credentials: Credentials) -> SrpContext:
    """A context for TLS 1.2 with SRP and nothing else.

    No trust anchor is loaded and certificates are still required where a suite has them, so a server that shows one
    would not be trusted either.

    Args:
        credentials: user name (1 to 255 bytes of UTF-8) and password (UTF-8); both are prepared with SASLprep.

    Raises:
        ConfigurationError: a user name or password that SRP cannot carry.
        SrpUnavailableError: this Python's OpenSSL has no SRP.
    """
    user, password = _user(credentials), _password(credentials)
    context = SrpContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    harden(context, "1.2")
    context.options |= ssl.OP_NO_TICKET
    context.sslsocket_class = SrpSocket
    context.user = credentials.user
    context.callback = use_srp(context, user, password)
    return context


def _user(credentials: Credentials) -> bytes:
    try:
        user = saslprep(credentials.user).encode()
    except ValueError as exc:
        raise ConfigurationError(f"the user name {credentials.user!r} cannot be used for SRP: {exc}") from exc
    if not 1 <= len(user) <= _MAX_USER_BYTES:
        raise ConfigurationError(f"a user name for SRP has 1 to {_MAX_USER_BYTES} bytes")
    return user


def _password(credentials: Credentials) -> bytes:
    try:
        password = saslprep(credentials.password.reveal().decode()).encode()
    except ValueError:
        # not `from`: what a codec says may hold a piece of the password
        raise ConfigurationError(
            f"the password of {credentials.user!r} cannot be used for SRP",
            hint="it must be UTF-8 without control characters (RFC 4013)",
        ) from None
    if not password:
        raise ConfigurationError(f"the password of {credentials.user!r} is empty")
    return password


def _require_srp(sock: ssl.SSLSocket) -> None:
    """Certificate-less success, and nothing that looks like it, authorizes the server (RFC 7030 section 3.6, EST-64)."""
    cipher = sock.cipher()
    name = cipher[0] if cipher else "none"
    if sock.version() != "TLSv1.2" or name not in SUITES or sock.session_reused or sock.getpeercert(binary_form=True):
        raise ServerNotAuthorizedError(f"the server did not prove that it knows the password (suite {name})")


def _meaning(exc: ssl.SSLError, user: str) -> DeviceSdkError | None:
    """The error for what OpenSSL says about a handshake with SRP; None where its own words do."""
    reason = exc.reason or ""
    for prefix in _ALERT:
        reason = reason.removeprefix(prefix)
    if reason in _NOT_THE_SAME_PASSWORD:
        return SharedSecretError(
            f"the password of user {user!r} is wrong, or the server is one that does not know it",
            hint="nothing else was sent, and the password is not tried again; servers lock users out who guess",
            user=user,
        )
    if reason == "CALLBACK_FAILED":
        return TlsError(
            f"the salt that the server has for user {user!r} begins with a zero octet, which OpenSSL leaves out: no "
            "password would be right",
            hint="have the password of this user set anew on the server, which makes another salt; none was tried",
        )
    if reason in _BAD_GROUP:
        return TlsError(
            "the server's SRP group is not one to be trusted with a password",
            hint=f"have its verifiers made with a group of RFC 5054 appendix A, {MIN_GROUP_BITS} bits or more",
        )
    if reason == "ACCESS_DENIED":
        return TlsError(
            f"the server lets user {user!r} not try a password now",
            hint="after wrong passwords servers pause or lock a user out: wait, then ask who runs the server",
        )
    if reason == "HANDSHAKE_FAILURE":
        return TlsError(
            "the server has no certificate-less TLS (SRP) on this port",
            hint="use the port that has it, or trust anchors and HTTP authentication instead",
        )
    return None
