"""/serverkeygen answers that are refused, and who is told what (EST-194 to EST-203)."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.est import EstClient, SharedKey
from device_sdk.errors import (
    CertificateMismatchError,
    ClockError,
    DeviceSdkError,
    EnvelopeError,
    RemoteProtocolError,
    ServerKeyError,
    TransportError,
    VerificationError,
)
from device_sdk.model.secret import Secret
from tests.est.test_server_key import SHARED, SPEC, certified, client, connect, require_good, server

__all__ = ["client", "connect", "server"]


def refused(client: EstClient, expected: type[DeviceSdkError], said: str, **options) -> DeviceSdkError:
    """The request ends in this error, which says nothing of the key."""
    with pytest.raises(expected, match=said) as caught:
        client.serverkeygen(SPEC, **(options or {"decrypt": SHARED}))
    told = f"{caught.value} {caught.value!r} {caught.value.facts()}"
    assert "PRIVATE KEY" not in told
    assert "MIGHAgEAMBM" not in told, "that is how P-256 keys begin in PKCS#8"
    return caught.value


def test_est_197_a_clear_key_where_an_encrypted_one_was_asked_for(client: EstClient, server: ReferenceServer) -> None:
    server.faults.clear_key = True
    error = refused(client, ServerKeyError, "came in the clear")
    assert error.exit_code == 7
    decrypt = certified(client, ec.generate_private_key(ec.SECP256R1()))
    refused(client, ServerKeyError, "came in the clear", decrypt=decrypt)


@pytest.mark.parametrize("encrypted", [False, True])
def test_est_198_a_key_that_is_not_the_certificates(
    encrypted: bool, client: EstClient, server: ReferenceServer
) -> None:
    server.faults.other_private_key = True
    refused(client, ServerKeyError, "no certificate of the answer is for the private key", **_way(encrypted))


def _way(encrypted: bool) -> dict:
    return {"decrypt": SHARED} if encrypted else {"allow_clear": True}


@pytest.mark.parametrize(
    ("who", "expected", "said"),
    [
        ("unknown", VerificationError, "no path to a trust anchor"),
        ("device", VerificationError, "neither that of this server nor a CA's"),
        ("server", VerificationError, "neither that of this server nor a CA's"),
        ("expired", VerificationError, "expired"),
        ("wrong", VerificationError, "digest is not that"),
        ("nobody", ServerKeyError, "nobody signed"),
    ],
)
def test_est_198_who_signs_the_key(
    who: str, expected: type[DeviceSdkError], said: str, client: EstClient, server: ReferenceServer
) -> None:
    server.faults.set("key_signer", who)
    error = refused(client, expected, said)
    assert error.facts()["url"] == f"{server.url}/.well-known/est/serverkeygen"


@pytest.mark.parametrize("what", ["two", "none", "other"])
def test_est_196_what_is_signed_is_a_package_of_one_key(what: str, client: EstClient, server: ReferenceServer) -> None:
    server.faults.set("key_package", what)
    refused(client, ServerKeyError, "exactly one private key" if what != "other" else "signed content of type")


def test_est_139_est_198_the_certificate_is_checked_as_in_an_enrolment(
    client: EstClient, server: ReferenceServer
) -> None:
    """All but key and subject: path, validity; what differs is told."""
    server.faults.other_issuer = True
    refused(client, CertificateMismatchError, "no path")
    server.faults.clear()
    server.faults.expired = True
    refused(client, CertificateMismatchError, "expired")
    server.faults.clear()
    server.faults.other_subject = True
    got = client.serverkeygen(SPEC, decrypt=SHARED)
    assert got.differences == ("subject: asked for CN=sensor 7, got CN=somebody else",)


def test_est_139_est_202_a_key_whose_certificate_is_not_valid_yet_is_not_lost(
    client: EstClient, server: ReferenceServer
) -> None:
    """Nobody can ask for it again: the error has both; no text of it has the key."""
    server.faults.future = True
    error = refused(client, ClockError, "valid from")
    assert isinstance(error, ClockError)
    assert isinstance(error.private_key, Secret)
    der = error.private_key.reveal()
    key = load_der_private_key(der, None)
    certificate = x509.load_pem_x509_certificate(str(error.pem).encode())
    assert key.public_key() == certificate.public_key()
    assert "private_key" not in error.facts()
    body = base64.b64encode(der).decode()[40:80]
    assert body not in f"{error} {error!r} {error.facts()} {vars(error)}"


def test_an_envelope_that_does_not_open(client: EstClient, server: ReferenceServer) -> None:
    """One text for every reason, exit code 10; the server has another secret of that name."""
    wrong = SharedKey(SHARED.identifier, Secret(bytes(32)))
    error = refused(client, EnvelopeError, "cannot be opened", decrypt=wrong)
    assert error.exit_code == 10
    assert error.message.startswith(f"{server.url}/.well-known/est/serverkeygen: ")
    assert f"the shared secret {wrong.identifier.hex()}" in error.message
    assert "make sure that the server" in error.hint


@pytest.mark.parametrize(
    ("variant", "expected", "said"),
    [
        ("one", ServerKeyError, "1 parts"),
        ("three", ServerKeyError, "3 parts"),
        ("twice", ServerKeyError, "2 parts"),
        ("open", RemoteProtocolError, "before its last delimiter"),
        ("pkcs12", RemoteProtocolError, "unsupported response type 'application/pkcs12'"),
        ("related", RemoteProtocolError, "multipart/related"),
        ("encrypted", ServerKeyError, "encrypted with a password"),
        ("empty", RemoteProtocolError, "empty"),
    ],
)
def test_est_194_est_199_est_203_answers_that_are_refused(
    variant: str, expected: type[DeviceSdkError], said: str, client: EstClient, server: ReferenceServer
) -> None:
    server.faults.set("multipart", variant)
    refused(client, expected, said, allow_clear=True)


@pytest.mark.parametrize("media", ["application/cms", "application/pkcs12", "text/html", "application/pkcs7-mime"])
def test_est_203_other_answers_with_200(media: str, client: EstClient, server: ReferenceServer) -> None:
    server.faults.set("media_type", media, operation="serverkeygen")
    error = refused(client, RemoteProtocolError, "multipart/mixed", allow_clear=True)
    assert ("unsupported response type" in str(error)) == media.endswith(("/cms", "/pkcs12"))


@pytest.mark.parametrize("fault", ["truncate", "truncate_quietly", "reset"])
def test_an_answer_that_breaks_off(fault: str, client: EstClient, server: ReferenceServer) -> None:
    server.faults.set(fault, operation="serverkeygen")
    refused(client, TransportError, ".", allow_clear=True)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["chunked", "no_length", "drip"])
def test_est_201_http_framing_alone_counts(fault: str, client: EstClient, server: ReferenceServer) -> None:
    server.faults.set(fault, "0.0001" if fault == "drip" else "", operation="serverkeygen")
    require_good(client.serverkeygen(SPEC, allow_clear=True), server)
