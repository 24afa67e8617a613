"""Give an ordinary `ssl.SSLContext` a certificate chain whose key is an object that can only sign."""

from __future__ import annotations

import ssl
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from device_sdk.errors import ConfigurationError, DeviceSdkError, TlsError, TlsKeyUnavailableError
from device_sdk.model.forks import ForkLock
from device_sdk.model.keys import PrivateKey
from device_sdk.transports.openssl_provider import failures, signed
from device_sdk.transports.openssl_provider.files import as_path
from device_sdk.transports.openssl_provider.keys import KEYS
from device_sdk.transports.openssl_provider.libcrypto import forget_errors, library


class _Installation:
    """Whether the provider is in libcrypto; tried once, the answer is kept."""

    def __init__(self) -> None:
        self._lock = ForkLock()
        self._done = False
        self._error: TlsKeyUnavailableError | None = None

    def ensure(self) -> None:
        with self._lock:
            if self._error is not None:
                raise TlsKeyUnavailableError(self._error.message, hint=self._error.hint) from self._error
            if self._done:
                return
            # Only a connection with a key of its own pays for loading the provider.
            from device_sdk.transports.openssl_provider import provider, self_test

            failures.take()
            try:
                provider.install(library())
                failures.raise_interrupt()
                self_test.run(_load)
                failures.raise_interrupt()
            except TlsKeyUnavailableError as exc:
                failures.raise_interrupt()  # which says nothing about the provider
                self._error = exc
                raise
            self._done = True


_installation = _Installation()


def ensure_available() -> None:
    """Install the provider and run its self-test, if that has not happened yet.

    Raises:
        TlsKeyUnavailableError: this Python's OpenSSL cannot be given hardware keys.
    """
    _installation.ensure()


@contextmanager
def raising_key_errors() -> Iterator[None]:
    """Around a TLS call: what the key raised comes out itself, instead of OpenSSL's word that something failed.

    An interrupt comes out even where OpenSSL got over it.

    Raises:
        DeviceSdkError: as raised by the key, its own cause kept.
        TlsError: the key raised something else; that is the cause.
    """
    failures.take()
    try:
        yield
    except ssl.SSLError:
        error = failures.take()
        if error is None:
            raise
        if isinstance(error, DeviceSdkError) or not isinstance(error, Exception):
            raise error  # noqa: B904  # `from` would replace the cause it came with
        raise TlsError(f"the client key did not sign: {type(error).__name__}: {error}") from error
    failures.raise_interrupt()


class KeySocket(ssl.SSLSocket):
    """A TLS socket whose handshake raises what the key raised.

    Attributes:
        certificate_used: the server asked for the client certificate in this handshake, and the key signed for it; never
            so in a resumed one.
    """

    certificate_used = False

    def do_handshake(self, block: bool = False) -> None:
        """Handshake as usual; on the key's own errors the socket is closed."""
        forget_errors()
        before = signed.so_far()
        try:
            with raising_key_errors():
                super().do_handshake(block)
        except OSError:  # ssl's own, "want read" among them
            raise
        except BaseException:  # which ssl would leave open
            self.close()
            raise
        finally:
            self.certificate_used |= signed.so_far() > before


class KeyObject(ssl.SSLObject):
    """The same for TLS without a socket (asyncio)."""

    def do_handshake(self) -> None:
        """Handshake as usual."""
        forget_errors()
        with raising_key_errors():
            super().do_handshake()


def use_private_key(context: ssl.SSLContext, chain_pem: bytes, key: PrivateKey) -> None:
    """What `SSLContext.load_cert_chain()` does, for a key that never leaves its keystore.

    The key is held until the context is gone. Plain contexts get socket classes that raise the key's own errors.

    Args:
        context: any context of the ssl module.
        chain_pem: certificates, the key's own first.
        key: an EC or RSA key; only `public_key()` and `sign()` are called, from the thread that does the handshake.

    Raises:
        TlsKeyUnavailableError: this Python's OpenSSL cannot be given such a key.
        ConfigurationError: the chain cannot be read, is not for this key, or is too weak for OpenSSL.
    """
    ensure_available()
    try:
        _load(context, chain_pem, key)
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            raise ConfigurationError(
                "the TLS client certificate is for another key", hint="give the matching pair"
            ) from exc
        raise ConfigurationError(
            f"the TLS client certificate cannot be used: {exc.reason or exc}",
            hint="OpenSSL wants PEM certificates, the key's own first, RSA of 2048 bits or more and no SHA-1",
        ) from exc
    if context.sslsocket_class is ssl.SSLSocket:
        context.sslsocket_class = KeySocket
    if context.sslobject_class is ssl.SSLObject:
        context.sslobject_class = KeyObject


def _load(context: ssl.SSLContext, chain_pem: bytes, key: PrivateKey) -> None:
    from device_sdk.transports.openssl_provider import decoder

    number = KEYS.add(key)
    try:
        with (
            KEYS.token(number) as token,
            as_path(chain_pem) as chain,
            as_path(decoder.handle(token)) as handle,
            raising_key_errors(),
        ):
            context.load_cert_chain(chain, handle)
    except BaseException:
        KEYS.remove(number)
        raise
    finally:
        library().clear_errors()  # what stays in the queue would surface in somebody's next read
    weakref.finalize(context, KEYS.remove, number).atexit = False
