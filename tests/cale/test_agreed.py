"""What a registration agreed on holds for all answers after it, over real TLS: AES-GCM once is AES-GCM always."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from device_sdk import agreed_policy, negotiating_spec
from device_sdk.client.cale import CaleAuth, CaleClient, CaleExchange
from device_sdk.errors import ConfigurationError, NotForUsError
from device_sdk.model.credentials import Credentials
from device_sdk.model.decryption import AUTHENTICATED, CBC_CONTENTS, EVERYTHING, DecryptionPolicy
from device_sdk.model.keys import PrivateKey
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust
from tests.cale.parts import GUID, SPEC
from tests.cale.scripted import ScriptedServer, envelope_answer
from tests.cms.messages import encrypt, write_certificate

CONTENT = b'{"balance": 1}'
LOGIN = Credentials("alice", Secret("secret"))


@pytest.fixture(scope="module")
def device_key() -> PrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def sealed(device_key: PrivateKey, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The GUID and a document in either form, for the key."""
    certificate = write_certificate(tmp_path_factory.mktemp("agreed"), device_key.public_key())
    return {
        f"{name} in {cipher}": encrypt(data, certificate, cipher=f"aes-256-{cipher}")
        for name, data in (("guid", GUID.encode()), ("document", CONTENT))
        for cipher in ("gcm", "cbc")
    }


@pytest.fixture
def edge(tmp_path: Path, sealed: dict[str, bytes]) -> Iterator[ScriptedServer]:
    with ScriptedServer(tmp_path) as server:
        server.answers["/gcm"] = envelope_answer(sealed["document in gcm"])
        server.answers["/cbc"] = envelope_answer(sealed["document in cbc"])
        yield server


def trust_of(edge: ScriptedServer) -> ServerTrust:
    return ServerTrust(tuple(x509.load_pem_x509_certificates(edge.ca_file.read_bytes())))


def test_who_wrote_gcm_at_registration_writes_no_cbc_later_cale_10(
    edge: ScriptedServer, device_key: PrivateKey, sealed: dict[str, bytes]
) -> None:
    """What has the answers in between can send one in AES-GCM again as one in AES-CBC, and guess at it."""
    edge.answers["/registration"] = envelope_answer(sealed["guid in gcm"])
    with CaleClient(edge.url, trust_of(edge), device_key, credentials=LOGIN) as client:
        found = client.register(SPEC)
        assert found.algorithms == AUTHENTICATED.algorithms
        assert client.get("/gcm").content == CONTENT
        with pytest.raises(NotForUsError, match="not for this key") as caught:
            client.get("/cbc", check=json.loads)
        assert caught.value.hint == "register again if this lasts"
    with CaleClient(edge.url, trust_of(edge), device_key, guid=GUID, told=found.algorithms) as client:
        with pytest.raises(NotForUsError):
            client.get("/cbc")
        assert client.get("/gcm").content == CONTENT


@pytest.mark.parametrize("tail", [bytes.fromhex("a2023005"), bytes.fromhex("a2803005"), b"\xa2\x00"])
def test_nothing_that_stands_around_it_takes_that_back(
    edge: ScriptedServer, device_key: PrivateKey, sealed: dict[str, bytes], tail: bytes
) -> None:
    """Attributes that nothing authenticates (RFC 5083 section 2.1) are anybody's; the message opens with them."""
    edge.answers["/registration"] = envelope_answer(with_tail(sealed["guid in gcm"], tail))
    with CaleClient(edge.url, trust_of(edge), device_key, credentials=LOGIN) as client:
        try:
            found = client.register(SPEC)
        except NotForUsError:
            return
        assert found.algorithms == AUTHENTICATED.algorithms


def test_a_request_that_says_by_itself_what_is_read(
    edge: ScriptedServer, device_key: PrivateKey, sealed: dict[str, bytes]
) -> None:
    spec = negotiating_spec(SPEC, device_key)
    for form, agreed in (("gcm", AUTHENTICATED.algorithms), ("cbc", None)):
        edge.answers["/registration"] = envelope_answer(sealed[f"guid in {form}"])
        with CaleClient(edge.url, trust_of(edge), device_key, credentials=LOGIN) as client:
            assert client.register(spec).algorithms == agreed


def with_tail(message: bytes, tail: bytes) -> bytes:
    """An AuthEnvelopedData with something behind its tag."""
    oid_end = 4 + 2 + message[5]
    content = message[oid_end + 8 :] + tail
    assert message[oid_end] == 0xA0
    assert message[1] == message[oid_end + 1] == message[oid_end + 5] == 0x82
    inner = b"\x30\x82" + len(content).to_bytes(2, "big") + content
    outer = message[4:oid_end] + b"\xa0\x82" + len(inner).to_bytes(2, "big") + inner
    return b"\x30\x82" + len(outer).to_bytes(2, "big") + outer


def test_where_nothing_was_agreed_either_opens(
    edge: ScriptedServer, device_key: PrivateKey, sealed: dict[str, bytes]
) -> None:
    for form, negotiate in (("cbc", True), ("gcm", False)):
        edge.answers["/registration"] = envelope_answer(sealed[f"guid in {form}"])
        with CaleClient(edge.url, trust_of(edge), device_key, credentials=LOGIN, negotiate=negotiate) as client:
            assert client.register(SPEC).algorithms == EVERYTHING.algorithms
            assert client.get("/cbc").content == client.get("/gcm").content == CONTENT


def test_programs_of_requests_and_others_hold_to_it(
    edge: ScriptedServer, device_key: PrivateKey, sealed: dict[str, bytes]
) -> None:
    edge.answers["/registration"] = envelope_answer(sealed["guid in gcm"])
    auth = CaleAuth.register(edge.url, trust_of(edge), device_key, SPEC, credentials=LOGIN)
    with requests.Session() as session:
        session.trust_env, session.verify, session.auth = False, str(edge.ca_file), auth
        assert session.get(edge.url + "/gcm").content == CONTENT
        for stream in (False, True):
            with pytest.raises(NotForUsError):
                session.get(edge.url + "/cbc", stream=stream)
    policy = agreed_policy(sealed["guid in gcm"])
    assert policy == AUTHENTICATED
    assert agreed_policy(sealed["guid in cbc"]) == EVERYTHING
    exchanges = (
        CaleExchange(device_key, GUID, edge.url, policy=policy),
        CaleExchange(device_key, GUID, edge.url, told=policy.algorithms),
    )
    for exchange in exchanges:
        assert exchange.open(200, (), sealed["document in gcm"]) == CONTENT
        with pytest.raises(NotForUsError):
            exchange.open(200, (), sealed["document in cbc"])


def test_a_policy_without_what_was_agreed_on_is_told_at_once(edge: ScriptedServer, device_key: PrivateKey) -> None:
    only_cbc = DecryptionPolicy((*CBC_CONTENTS, "ecdh-sha256", "aes-256-wrap"))
    with pytest.raises(ConfigurationError, match="without a cipher"):
        CaleClient(edge.url, trust_of(edge), device_key, guid=GUID, policy=only_cbc, told=AUTHENTICATED.algorithms)
