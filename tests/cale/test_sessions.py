"""CaleAuth in the life of a program: threads, processes, retries, cookies, adapters, a new registration, a revocation."""

from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from cryptography import x509
from device_sdk_simulators.server import ReferenceServer
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from urllib3.util import Retry

from device_sdk.client.cale import CaleAdapter, CaleApplication, CaleAuth, CaleClient, CalePlan, RevocationPolicy
from device_sdk.errors import ConfigurationError, LocalProtocolError, NotForUsError
from device_sdk.model.credentials import Credentials
from device_sdk.model.keys import KeyType, PrivateKey
from device_sdk.model.trust import ServerTrust
from tests.cale.parts import ANSWER, GUID, RESOURCE, SPEC, VECTORS
from tests.cale.reading import read_in_child
from tests.cale.scripted import ScriptedServer, answer, envelope_answer, redirect
from tests.cms.messages import encrypt, write_certificate

WHOAMI = (VECTORS / "enveloped-b3.3.der").read_bytes()
DECOY = answer((VECTORS / "decoy-b2.3c.b64").read_bytes())


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[ScriptedServer]:
    with ScriptedServer(
        tmp_path, {"/resource": envelope_answer(RESOURCE), "/whoami": envelope_answer(WHOAMI)}
    ) as server:
        yield server


@pytest.fixture
def auth(key: PrivateKey, edge: ScriptedServer) -> CaleAuth:
    return CaleAuth(key, GUID, origin=edge.url)


@pytest.fixture
def session(edge: ScriptedServer, auth: CaleAuth) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(edge.ca_file)
        session.auth = auth
        yield session


def test_threads_share_one_auth(
    session: requests.Session, edge: ScriptedServer, key: PrivateKey, tmp_path: Path
) -> None:
    """Different plaintexts at the same time, streamed and not: nobody gets another's."""
    certificate = write_certificate(tmp_path, key.public_key())
    plain = {f"/{number}": f"{number}\n".encode() * (1 + 20_000 * number) for number in range(8)}
    edge.answers.update({path: envelope_answer(encrypt(content, certificate)) for path, content in plain.items()})
    session.mount(edge.url, HTTPAdapter(pool_maxsize=8))

    def read(turn: int) -> bool:
        path = f"/{turn % 8}"
        return session.get(edge.url + path, stream=turn % 3 == 0).content == plain[path]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(64)))


@pytest.mark.slow
@pytest.mark.parametrize("store", ["file", "pkcs11", "tpm2"])
def test_processes_share_one_registration(
    request: pytest.FixtureRequest, cale_server: ReferenceServer, trust: ServerTrust, credentials: Credentials,
    tmp_path: Path, store: str,
) -> None:  # fmt: skip
    """One state directory, several processes at once, each with the key opened for itself."""
    uris = {
        "file": lambda: f"file:{tmp_path}/cale.pem",
        "pkcs11": lambda: request.getfixturevalue("softhsm_token").uri_of("cale"),
        "tpm2": lambda: f"tpm2:file={tmp_path}/cale.pem?tcti={request.getfixturevalue('swtpm').tcti}",
    }
    plan = CalePlan(
        cale_server.cale_url, trust, SPEC, key_uri=uris[store](), key_type=KeyType.EC_P256, credentials=credentials
    )
    CaleApplication(tmp_path / "state").register(plan)
    words = (str(tmp_path / "state"), str(cale_server.ca_file), cale_server.cale_url)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(3, mp_context=context) as pool:
        assert [job.result(60) for job in [pool.submit(read_in_child, *words) for _ in range(6)]] == [ANSWER] * 6


def test_a_forked_child_goes_on_with_the_parent_s_session(session: requests.Session, edge: ScriptedServer) -> None:
    """As a pre-forking web server does."""
    assert session.get(edge.url + "/resource").content == ANSWER
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            session.close()  # what was connected belongs to the parent
            os.write(writer, session.get(edge.url + "/resource").content)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        assert stream.read() == ANSWER
    os.waitpid(child, 0)
    assert session.get(edge.url + "/resource").content == ANSWER


def test_retries_of_the_session_repeat_what_failed_on_the_network_only(
    session: requests.Session, edge: ScriptedServer
) -> None:
    """CALE-10: a 503 is asked again by the program's own retries, with the GUID; a bad message never."""
    session.mount(edge.url, HTTPAdapter(max_retries=Retry(total=4, backoff_factor=0.01, status_forcelist=[503])))
    busy = iter([answer(b"busy", b"", b"503 Busy")] * 2)
    edge.answers["/busy"] = lambda _request: next(busy, envelope_answer(RESOURCE))
    assert session.get(edge.url + "/busy").content == ANSWER
    assert [request.headers["cale-guid"] for request in edge.received] == [GUID] * 3
    edge.answers["/bad"] = DECOY
    with pytest.raises(NotForUsError):
        session.get(edge.url + "/bad")
    assert [request.target for request in edge.received[3:]] == ["/bad"]


def test_cookies_of_answers_and_of_redirects_are_kept(session: requests.Session, edge: ScriptedServer) -> None:
    edge.answers["/moved"] = redirect("/with-cookie").replace(
        b"Location", b"Set-Cookie: first=1; Secure\r\nLocation", 1
    )
    edge.answers["/with-cookie"] = envelope_answer(RESOURCE, b"Set-Cookie: second=2; Secure; HttpOnly\r\n")
    assert session.get(edge.url + "/moved").content == ANSWER
    assert session.cookies.get_dict() == {"first": "1", "second": "2"}
    session.get(edge.url + "/resource")
    assert edge.received[-1].headers["cookie"] == "first=1; second=2"


def test_an_adapter_leaves_session_auth_free(session: requests.Session, edge: ScriptedServer, auth: CaleAuth) -> None:
    """CALE-06: a second credential for the same origin, of any kind requests knows."""
    carrier = HTTPAdapter()
    session.mount(edge.url, CaleAdapter(auth, carrier))
    session.auth = HTTPBasicAuth("second", "factor")
    edge.answers["/moved"] = redirect("/resource")
    assert session.get(edge.url + "/moved").content == ANSWER
    assert session.get(edge.url + "/resource", stream=True).raw.read() == ANSWER
    assert [request.headers["cale-guid"] for request in edge.received] == [GUID] * 3
    assert all(request.headers["authorization"].startswith("Basic ") for request in edge.received)
    edge.answers["/bad"] = DECOY
    with pytest.raises(NotForUsError):
        session.get(edge.url + "/bad")


def test_an_adapter_and_two_origins(
    session: requests.Session, edge: ScriptedServer, auth: CaleAuth, tmp_path: Path
) -> None:
    session.auth = None
    session.mount(edge.url, CaleAdapter(auth, HTTPAdapter()))
    with ScriptedServer(tmp_path, {"/there": answer(b"clear", b"")}) as other:
        edge.answers["/away"] = redirect(other.url + "/there")
        other.answers["/back"] = redirect(edge.url + "/resource")
        assert session.get(edge.url + "/away").content == b"clear"
        assert session.get(other.url + "/back").content == ANSWER
        edge.answers["/round"] = redirect(other.url + "/back")
        assert session.get(edge.url + "/round").content == ANSWER, "decrypted once, whatever hooks requests copied"
        assert all("cale-guid" not in request.headers for request in other.received)


def test_cale_06_a_change_that_may_have_been_made(
    session: requests.Session, edge: ScriptedServer, key: PrivateKey
) -> None:
    """What does not open says nothing of what was done; it must not be worded as if nothing had been."""
    auth = CaleAuth(key, GUID, origin=edge.url, methods=("POST",), second=HTTPBasicAuth("user", "word"))
    edge.answers["/bad"] = DECOY
    with pytest.raises(NotForUsError, match="may have been made all the same"):
        session.post(edge.url + "/bad", auth=auth)
    with pytest.raises(NotForUsError) as caught:
        session.get(edge.url + "/bad", auth=auth)
    assert "may have been made" not in str(caught.value)


def test_cale_06_a_second_credential(session: requests.Session, edge: ScriptedServer, key: PrivateKey) -> None:
    """Told so, other methods go with a GUID and a second credential, never with a GUID alone."""
    only_told = CaleAuth(key, GUID, origin=edge.url, methods=("GET", "POST"))
    with pytest.raises(LocalProtocolError, match="CALE-06") as caught:
        session.post(edge.url + "/resource", auth=only_told)
    assert "second" in str(caught.value)
    assert edge.received == []
    both = CaleAuth(key, GUID, origin=edge.url, methods=("GET", "POST"), second=HTTPBasicAuth("user", "word"))
    assert session.post(edge.url + "/resource", data=b"x", auth=both).content == ANSWER
    assert edge.received[0].headers["authorization"].startswith("Basic ")
    with pytest.raises(LocalProtocolError):
        session.delete(edge.url + "/resource", auth=both)
    session.get(edge.url + "/resource", auth=both)
    assert "authorization" not in edge.received[-1].headers, "reading needs no second one"


def test_whoami_through_a_session(session: requests.Session, edge: ScriptedServer, auth: CaleAuth) -> None:
    """CALE-09, appendix B.3: the certificate is for our key, else the answer is not for us."""
    assert isinstance(auth.whoami(session), x509.Certificate)
    edge.answers["/whoami"] = envelope_answer(RESOURCE)
    with pytest.raises(NotForUsError) as caught:
        auth.whoami(session)
    assert caught.value.__context__ is None
    edge.answers["/whoami"] = answer(b"", b"", b"503 Busy")
    with pytest.raises(requests.HTTPError):
        auth.whoami(session)
    edge.answers["/whoami"] = redirect("/resource")
    asked = len(edge.received)
    with pytest.raises(NotForUsError):
        auth.whoami(session)
    assert len(edge.received) == asked + 1, "elsewhere nobody looks at the time that it takes"


def test_cale_14_a_revocation_is_noticed(session: requests.Session, edge: ScriptedServer, auth: CaleAuth) -> None:
    """So many in a row; one good answer, and it begins anew. Nobody is asked, the requests are the same."""
    edge.answers["/gone"] = DECOY
    for expected in (False, False, True, True):
        with pytest.raises(NotForUsError):
            session.get(edge.url + "/gone")
        assert auth.suspects_revocation is expected
    assert auth.is_revoked(session)
    assert len(edge.received) == 4
    session.get(edge.url + "/resource")
    assert not auth.suspects_revocation


def test_whoami_tells_a_revocation_from_a_path_without_answer(
    session: requests.Session, edge: ScriptedServer, key: PrivateKey
) -> None:
    """Only if the policy says so: who sees it asked learns that the answers before did not open."""
    session.auth = auth = CaleAuth(key, GUID, origin=edge.url, revocation=RevocationPolicy(2, whoami=True))
    edge.answers["/gone"] = DECOY
    assert not auth.is_revoked(session)
    for _ in range(2):
        with pytest.raises(NotForUsError):
            session.get(edge.url + "/gone")
    assert auth.suspects_revocation
    assert not auth.is_revoked(session), "/whoami knows us"
    assert not auth.suspects_revocation
    edge.answers["/whoami"] = DECOY
    for _ in range(2):
        with pytest.raises(NotForUsError):
            session.get(edge.url + "/gone")
    assert auth.is_revoked(session)
    assert [request.target for request in edge.received].count("/whoami") == 2
    with pytest.raises(ConfigurationError):
        RevocationPolicy(0)


@pytest.mark.parametrize("whoami", [False, True])
def test_the_client_notices_a_revocation(
    cale_server: ReferenceServer,
    trust: ServerTrust,
    credentials: Credentials,
    keys: dict[str, PrivateKey],
    whoami: bool,
) -> None:
    policy = RevocationPolicy(2, whoami=whoami)
    key, url = keys["ec-p256"], cale_server.cale_url
    with CaleClient(url, trust, key, credentials=credentials, revocation=policy) as client:
        guid = client.register(SPEC).guid
        assert not client.is_revoked()
        assert cale_server.cale.authorization.revoke(guid)
        for _ in range(2):
            assert not client.is_revoked()
            with pytest.raises(NotForUsError):
                client.get("/resource")
        asked = len(cale_server.log())
        assert client.suspects_revocation
        assert client.is_revoked()
        assert len(cale_server.log()) == asked + whoami
        client.register(SPEC)
        assert not client.is_revoked()
        assert client.get("/resource").content == ANSWER


@pytest.mark.slow
def test_a_new_registration_is_followed(
    cale_server: ReferenceServer, trust: ServerTrust, credentials: Credentials, tmp_path: Path
) -> None:
    """CALE-14: another process registers again with a new key; the program goes on, the old key is gone."""
    application = CaleApplication(tmp_path / "state")
    plan = CalePlan(cale_server.cale_url, trust, SPEC, key_uri=f"file:{tmp_path}/cale.pem", key_type=KeyType.EC_P256,
                    credentials=credentials)  # fmt: skip
    application.register(plan)
    url = f"{cale_server.cale_url}/resource"
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(cale_server.ca_file)
        session.auth = auth = CaleAuth.from_state(tmp_path / "state", check=json.loads)
        for _ in range(4):
            assert session.get(url).content == ANSWER
            cale_server.cale.authorization.revoke(application.registration.guid)
            with pytest.raises(NotForUsError):
                session.get(url)
            application.register(replace(plan, key_uri=None, again=True))
            assert session.get(url).content == ANSWER
        application.forget()
        with pytest.raises(ConfigurationError, match="no CALE registration"):
            session.get(url)
        auth.close()


def test_a_registration_that_moved_is_not_followed(
    cale_server: ReferenceServer, trust: ServerTrust, credentials: Credentials, tmp_path: Path
) -> None:
    """CALE-13: the new GUID belongs to another origin than the one this session talks to."""
    application = CaleApplication(tmp_path / "state")
    plan = CalePlan(cale_server.cale_url, trust, SPEC, key_uri=f"file:{tmp_path}/cale.pem", key_type=KeyType.EC_P256,
                    credentials=credentials)  # fmt: skip
    registration = application.register(plan).registration
    from device_sdk.state import StateDirectory

    with requests.Session() as session:
        session.trust_env, session.verify = False, str(cale_server.ca_file)
        session.auth = auth = CaleAuth.from_state(tmp_path / "state")
        moved = replace(registration, origin="https://other.example")
        StateDirectory(tmp_path / "state").save_cale_registration("default", moved)
        with pytest.raises(ConfigurationError, match=r"other\.example"):
            session.get(f"{cale_server.cale_url}/resource")
        auth.close()
    assert [entry["path"] for entry in cale_server.log()] == ["/registration", "/whoami"]
