"""What a key raises in the middle of a handshake comes out as it is, not as OpenSSL's "EVP lib"."""

import asyncio
import ssl

import pytest

from device_sdk.errors import KeyStoreError, PinLockedError, TlsError, TokenRemovedError
from device_sdk.keystores.registry import create_key
from device_sdk.model.trust import TlsIdentity
from device_sdk.transports.https import client_ssl_context
from device_sdk.transports.openssl_provider import failures, raising_key_errors
from tests.transports.conftest import get
from tests.transports.pki import CLIENT
from tests.transports.soft_keys import PublicHalf

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS)
def test_sdk_error_of_the_key_is_raised_itself(version, ca, serve, connect, identity):
    cause = RuntimeError("CKR_DEVICE_REMOVED")
    error = TokenRemovedError("the token was pulled out", uri="pkcs11:token=x")
    error.__cause__ = cause
    identity.key.failure = error
    server = serve(version=version, client_ca=ca)
    with pytest.raises(TokenRemovedError) as caught:
        connect(server, identity=identity).send(get())
    assert caught.value is error
    assert caught.value.__cause__ is cause
    assert not server.received


def test_other_errors_of_the_key_are_chained(ca, serve, connect, identity):
    identity.key.failure = ZeroDivisionError("somewhere in a binding")
    server = serve(client_ca=ca)
    with pytest.raises(TlsError, match="did not sign: ZeroDivisionError") as caught:
        connect(server, identity=identity).send(get())
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_keyboard_interrupt_in_the_key(ca, serve, connect, identity):
    identity.key.failure = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        connect(serve(client_ca=ca), identity=identity).send(get())


def test_keyboard_interrupt_that_openssl_got_over():
    """A callback whose failure changes nothing for the handshake."""
    with pytest.raises(KeyboardInterrupt), raising_key_errors():
        failures.remember(KeyboardInterrupt())
    with raising_key_errors():
        pass


def test_transport_works_again_after_the_key_does(ca, serve, connect, identity):
    identity.key.failure = PinLockedError("locked")
    server = serve(client_ca=ca)
    transport = connect(server, identity=identity)
    with pytest.raises(PinLockedError):
        transport.send(get())
    identity.key.failure = None
    assert transport.send(get()).status_code == 200


@pytest.mark.slow
def test_tpm_that_is_gone(swtpm, tmp_path, ca, serve, connect):
    """swtpm killed after the key was opened: the keystore's own error, not one of TLS."""
    server = serve(client_ca=ca)
    with create_key(f"tpm2:file={tmp_path / 'key.pem'}", "ec-p256") as key:
        certificate = ca.issue(usages=CLIENT, key=PublicHalf(key)).certificate
        transport = connect(server, identity=TlsIdentity((certificate,), key))
        swtpm.kill()
        with pytest.raises(KeyStoreError):
            transport.send(get())
    assert not server.received


def test_asyncio_gets_the_same(ca, trust, serve, identity):
    """`client_ssl_context` is for any program; asyncio has no socket object of ours."""
    server = serve(client_ca=ca)

    async def talk():
        context = client_ssl_context(trust, identity)
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        except PinLockedError as error:
            await asyncio.sleep(0.1)  # asyncio closes its transport in the background
            return error
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await reader.readuntil(b"hello")
        writer.close()
        await writer.wait_closed()
        return answer

    assert asyncio.run(talk()).endswith(b"hello")
    identity.key.failure = PinLockedError("locked")
    assert asyncio.run(talk()) is identity.key.failure
