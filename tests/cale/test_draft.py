"""CaleClient against the answers printed in appendix B, byte by byte, and against answers nobody should send."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from device_sdk.client.cale import CaleAuth, CaleClient
from device_sdk.errors import HttpStatusError, NotForUsError, RedirectRefusedError, TransportError
from device_sdk.model.credentials import Credentials
from device_sdk.model.decryption import AUTHENTICATED, EVERYTHING
from device_sdk.model.keys import PrivateKey
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust
from tests.cale.parts import ANSWER, GUID, SPEC, VECTORS
from tests.cale.scripted import DRAFT_HEADERS, PLAIN_HEADERS, ScriptedServer, answer, envelope_answer, redirect
from tests.cms.messages import encrypt, write_certificate

WHOAMI_HEADERS = DRAFT_HEADERS.partition(b"\r\n")[2]


def printed(name: str, headers: bytes = DRAFT_HEADERS) -> bytes:
    return answer((VECTORS / name).read_bytes(), headers)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    key = load_pem_private_key((VECTORS / "privkey.enc.pem").read_bytes(), b"password")
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[ScriptedServer]:
    answers = {
        "/registration": printed("enveloped-b1.3.b64"),
        "/resource": printed("enveloped-b2.7.b64"),
        "/decoy": printed("decoy-b2.3c.b64"),
        "/whoami": printed("enveloped-b3.3.b64", WHOAMI_HEADERS),
    }
    with ScriptedServer(tmp_path, dict(answers)) as server:
        yield server


@pytest.fixture
def client(edge: ScriptedServer, key: PrivateKey) -> Iterator[CaleClient]:
    trust = ServerTrust((x509.load_pem_x509_certificate(edge.ca_file.read_bytes()),))
    with CaleClient(edge.url, trust, key, credentials=Credentials("user", Secret("secret"))) as client:
        yield client


def test_appendix_b_from_registration_to_whoami(client: CaleClient, edge: ScriptedServer) -> None:
    registration = client.register(SPEC)
    assert (registration.guid, client.guid) == (GUID, GUID)
    assert client.get("/resource").content == ANSWER
    assert client.whoami().serial_number == 34377
    first, second, third = edge.received
    assert (first.method, first.target, first.headers["content-type"]) == (
        "POST",
        "/registration",
        "application/pkcs10",
    )
    assert first.headers["authorization"] == "Basic " + base64.b64encode(b"user:secret").decode()
    assert x509.load_pem_x509_csr(first.body).is_signature_valid
    assert (second.method, second.target, second.headers["cale-guid"]) == ("GET", "/resource", GUID)
    assert (third.method, third.target, third.headers["cale-guid"]) == ("GET", "/whoami", GUID)
    assert "authorization" not in second.headers | third.headers


def test_a_bearer_token_proves_identity(edge: ScriptedServer, key: PrivateKey) -> None:
    trust = ServerTrust((x509.load_pem_x509_certificate(edge.ca_file.read_bytes()),))
    with CaleClient(edge.url, trust, key, bearer=Secret("abc.DEF-123_~+/==\n")) as client:
        client.register(SPEC)
    assert edge.received[0].headers["authorization"] == "Bearer abc.DEF-123_~+/=="


def test_b_2_3c_the_printed_decoy(client: CaleClient) -> None:
    client.register(SPEC)
    with pytest.raises(NotForUsError):
        client.get("/decoy")
    assert client.get("/resource").content == ANSWER


def test_cale_09_whoami_with_a_certificate_for_another_key(
    client: CaleClient, edge: ScriptedServer, key: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    client.register(SPEC)
    ours = write_certificate(tmp_path, key.public_key(), "ours")
    others = write_certificate(tmp_path, rsa.generate_private_key(65537, 2048).public_key(), "others")
    for certificate, good in ((ours, True), (others, False)):
        edge.answers["/whoami"] = envelope_answer(encrypt(certificate.read_bytes(), ours), PLAIN_HEADERS)
        if good:
            assert client.whoami().public_key() == key.public_key()
        else:
            with pytest.raises(NotForUsError):
                client.whoami()


@pytest.mark.parametrize(
    "plaintext",
    [b"", b"\n", b"no guid", GUID.encode() + b"\n\n", GUID[:-1].encode(), b"\xff" * 36, f"{{{GUID}}}".encode()],
)
def test_cale_03_a_registration_answer_without_a_guid(
    client: CaleClient, edge: ScriptedServer, key: rsa.RSAPrivateKey, tmp_path: Path, plaintext: bytes
) -> None:
    certificate = write_certificate(tmp_path, key.public_key())
    edge.answers["/registration"] = envelope_answer(encrypt(plaintext, certificate))
    with pytest.raises(NotForUsError):
        client.register(SPEC)
    assert client.guid is None


def test_cale_66_what_the_policy_does_not_accept_is_not_for_us(edge: ScriptedServer, key: rsa.RSAPrivateKey) -> None:
    """Appendix B is all AES-CBC: with a policy of authenticated ciphers no answer of it opens, asked in any way."""
    trust = ServerTrust((x509.load_pem_x509_certificate(edge.ca_file.read_bytes()),))
    with CaleClient(edge.url, trust, key, policy=AUTHENTICATED) as client:
        with pytest.raises(NotForUsError):
            client.register(SPEC)
        assert client.guid is None
    with CaleClient(edge.url, trust, key, guid=GUID, policy=AUTHENTICATED) as client:
        for read in (lambda: client.get("/resource"), client.whoami):
            with pytest.raises(NotForUsError):
                read()
    auth = CaleAuth(key, GUID, origin=edge.url, policy=AUTHENTICATED)
    with requests.Session() as session:
        session.trust_env, session.verify, session.auth = False, str(edge.ca_file), auth
        for ask in (
            lambda: session.get(edge.url + "/resource"),
            lambda: session.get(edge.url + "/resource", stream=True).content,
            lambda: auth.whoami(session),
        ):
            with pytest.raises(NotForUsError):
                ask()
    with CaleClient(edge.url, trust, key, guid=GUID, policy=EVERYTHING) as client:
        assert client.get("/resource").content == ANSWER, "nothing else was wrong"
        assert client.whoami().serial_number == 34377


@pytest.mark.parametrize("line_end", ["", "\n", "\r\n"])
def test_cale_03_one_line_end(
    client: CaleClient, edge: ScriptedServer, key: rsa.RSAPrivateKey, tmp_path: Path, line_end: str
) -> None:
    certificate = write_certificate(tmp_path, key.public_key())
    edge.answers["/registration"] = envelope_answer(encrypt((GUID.upper() + line_end).encode(), certificate))
    assert client.register(SPEC).guid == GUID.upper()


def test_redirects_are_refused(client: CaleClient, edge: ScriptedServer) -> None:
    client.register(SPEC)
    for target in ("/resource", "https://elsewhere.example/resource"):
        edge.answers["/moved"] = redirect(target)
        with pytest.raises(RedirectRefusedError) as caught:
            client.get("/moved")
        assert caught.value.location == target
    edge.answers["/registration"] = redirect("https://elsewhere.example/registration", b"307 Temporary Redirect")
    with pytest.raises(RedirectRefusedError):
        client.register(SPEC)


def test_refusals_are_shown(client: CaleClient, edge: ScriptedServer) -> None:
    client.register(SPEC)
    edge.answers["/broken"] = answer(
        b"<h1>Out of\x1b[31m order</h1>", b"Content-Type: text/html\r\n", b"502 Bad Gateway"
    )
    with pytest.raises(HttpStatusError) as caught:
        client.get("/broken")
    assert caught.value.status_code == 502
    assert "Out of" in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_truncated_answer_is_the_transport_s_trouble(client: CaleClient, edge: ScriptedServer) -> None:
    client.register(SPEC)
    whole = answer((VECTORS / "enveloped-b2.7.b64").read_bytes(), b"Connection: close\r\n")
    edge.answers["/cut"] = whole[:-100]
    with pytest.raises(TransportError):
        client.get("/cut")
    assert client.get("/resource").content == ANSWER
