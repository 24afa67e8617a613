"""A GUID never leaves its origin, whatever a redirect looks like (CALE-13); judged by a second TLS server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from device_sdk.client.cale import CaleAuth, CaleClient
from device_sdk.errors import ConfigurationError, LocalProtocolError, NotForUsError, RedirectRefusedError
from device_sdk.model.trust import ServerTrust
from tests.cale.parts import ANSWER, GUID, RESOURCE, VECTORS
from tests.cale.scripted import ScriptedServer, answer, envelope_answer, redirect
from tests.transports.bad_urls import BAD_URLS, whole_text


@pytest.fixture
def home(tmp_path: Path) -> Iterator[ScriptedServer]:
    with ScriptedServer(tmp_path, {"/resource": envelope_answer(RESOURCE)}) as server:
        yield server


@pytest.fixture
def evil(home: ScriptedServer, tmp_path: Path) -> Iterator[ScriptedServer]:
    with ScriptedServer(tmp_path, {"/steal": answer(b"thanks", b"Content-Type: text/plain\r\n")}) as server:
        yield server


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    key = load_pem_private_key((VECTORS / "privkey.enc.pem").read_bytes(), b"password")
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


@pytest.fixture
def session(home: ScriptedServer, key: rsa.RSAPrivateKey) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(home.ca_file)
        session.auth = CaleAuth(key, GUID, origin=home.url)
        yield session


def stolen(evil: ScriptedServer) -> list[str]:
    return [request.target for request in evil.received if "cale-guid" in request.headers]


AMBIGUOUS = {
    "three slashes": "///localhost:{evil}/steal",
    "four slashes": "////localhost:{evil}/steal",
    "five slashes": "/////localhost:{evil}/steal",
    "scheme and four slashes": "https:////localhost:{evil}/steal",
    "scheme and three slashes": "https:///localhost:{evil}/steal",
    "scheme and one slash": "https:/localhost:{evil}/steal",
    "scheme alone": "https:localhost:{evil}/steal",
    "backslashes": "\\\\localhost:{evil}\\steal",
    "slash and backslash": "/\\localhost:{evil}/steal",
    "slashes and backslash": "//localhost:{home}\\@localhost:{evil}/steal",
    "scheme and backslashes": "https:\\\\localhost:{evil}/steal",
    "tab between slashes": "/\t/localhost:{evil}/steal",
    "tabs everywhere": "ht\ttps:\t//\tlocalhost:{evil}/steal",
    "tab before four slashes": "/\t///localhost:{evil}/steal",
    "vertical tab": "\v//localhost:{evil}/steal",
    "space within": "// localhost:{evil}/steal",
    "no-break space": "\u00a0//localhost:{evil}/steal",
    "full-width slash": "https://localhost:{home}\uff0flocalhost:{evil}/steal",
    "full-width at sign": "https://localhost:{home}\uff20localhost:{evil}/steal",
    "userinfo of home": "https://localhost:{home}@localhost:{evil}/steal",
    "userinfo at home": "https://user:password@localhost:{home}/resource",
    "userinfo without scheme": "//localhost:{home}@localhost:{evil}/steal",
    "two ports": "https://localhost:{home}:{evil}/steal",
    "http": "http://localhost:{evil}/steal",
    "ftp": "ftp://localhost:{evil}/steal",
    "too long": "/resource?" + "x" * 3000,
}


@pytest.mark.parametrize("location", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_cale_13_what_can_be_read_in_two_ways_is_refused(
    session: requests.Session, home: ScriptedServer, evil: ScriptedServer, location: str
) -> None:
    home.answers["/moved"] = redirect(location.format(home=home.port, evil=evil.port))
    with pytest.raises(RedirectRefusedError) as caught:
        session.get(home.url + "/moved")
    assert "password" not in str(caught.value.facts())
    assert evil.received == []
    assert len(home.received) == 1


ELSEWHERE = {
    "no scheme": "//localhost:{evil}/steal",
    "mixed case": "hTTpS://LocalHost:{evil}/steal",
    "fragment of home": "https://localhost:{evil}/steal#@localhost:{home}/",
    "address": "https://127.0.0.1:{home}/steal",
}


@pytest.mark.parametrize("location", ELSEWHERE.values(), ids=ELSEWHERE)
@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"303 See Other", b"307 Temporary", b"308 Permanent"])
def test_cale_13_another_origin_gets_no_guid(
    session: requests.Session, home: ScriptedServer, evil: ScriptedServer, location: str, status: bytes
) -> None:
    home.answers["/moved"] = redirect(location.format(home=home.port, evil=evil.port), status)
    if "127.0.0.1" in location:
        with pytest.raises(requests.exceptions.SSLError):  # the certificate is for localhost
            session.get(home.url + "/moved")
        assert len(home.received) == 1
        return
    assert session.get(home.url + "/moved").content == b"thanks"
    assert stolen(evil) == []


AT_HOME = {
    "dots before slashes": "/..//localhost:{evil}/steal",
    "slashes in the path": "https://localhost:{home}//localhost:{evil}/steal",
    "at sign in the path": "/@localhost:{evil}/steal",
    "query": "?//localhost:{evil}/steal",
    "percent-encoded": "/%2F%2Flocalhost:{evil}/steal",
    "colon": "./localhost:{evil}/steal",
    "carriage return ends the header": "/\r/localhost:{evil}/steal",
    "not ASCII": "/\u00fcber/localhost:{evil}",
    "mixed case": "HTTPS://LOCALHOST:{home}/localhost:{evil}",
}


@pytest.mark.parametrize("location", AT_HOME.values(), ids=AT_HOME)
def test_cale_13_paths_that_look_like_hosts_stay_at_home(
    session: requests.Session, home: ScriptedServer, evil: ScriptedServer, location: str
) -> None:
    home.answers["/moved"] = redirect(location.format(home=home.port, evil=evil.port))
    response = session.get(home.url + "/moved")
    assert response.status_code == 404
    assert response.url.startswith(home.url + "/")
    assert len(home.received) == 2
    assert home.received[1].headers["cale-guid"] == GUID
    assert evil.received == []


@pytest.mark.parametrize("locations", [("/resource", "https://localhost:{evil}/steal"), ("/resource", "/resource")])
def test_cale_13_several_locations_are_refused(
    session: requests.Session, home: ScriptedServer, evil: ScriptedServer, locations: tuple[str, str]
) -> None:
    lines = "".join(f"Location: {location.format(evil=evil.port)}\r\n" for location in locations)
    home.answers["/moved"] = answer(b"", lines.encode(), b"302 Found")
    with pytest.raises(RedirectRefusedError, match="several Locations"):
        session.get(home.url + "/moved")
    assert evil.received == []


def test_a_location_that_is_not_utf_8(session: requests.Session, home: ScriptedServer) -> None:
    home.answers["/moved"] = answer(b"", b"Location: /\xff\xfe\r\n", b"302 Found")
    with pytest.raises(RedirectRefusedError, match="not a URI"):
        session.get(home.url + "/moved")


def test_a_redirect_without_a_location_is_an_answer(session: requests.Session, home: ScriptedServer) -> None:
    """requests follows none such; so it is encrypted, or not for us."""
    home.answers["/empty"] = redirect("")
    with pytest.raises(NotForUsError):
        session.get(home.url + "/empty")
    home.answers["/empty"] = envelope_answer(RESOURCE, b"Location:\r\n", b"302 Found")
    assert session.get(home.url + "/empty").content == ANSWER


def test_the_session_s_adapter_for_the_origin_is_kept(session: requests.Session, home: ScriptedServer) -> None:
    """A device's anchors are mounted on the origin; what is redirected at home must not fall back to the system's."""
    session.verify = True
    adapter = requests.adapters.HTTPAdapter()
    send = adapter.send
    adapter.send = lambda request, **options: send(request, **options | {"verify": str(home.ca_file)})  # type: ignore[method-assign]
    session.mount(home.url, adapter)
    home.answers["/moved"] = redirect(f"//LOCALHOST:{home.port}/resource")
    assert session.get(home.url + "/moved").content == ANSWER


def test_manual_redirects(session: requests.Session, home: ScriptedServer, evil: ScriptedServer) -> None:
    """allow_redirects=False and Response.next: the prepared request follows the same rules."""
    home.answers["/away"] = redirect(f"https://localhost:{evil.port}/steal")
    home.answers["/moved"] = redirect("/resource")
    away = session.get(home.url + "/away", allow_redirects=False)
    assert away.next is not None
    assert session.send(away.next).content == b"thanks"
    assert stolen(evil) == []
    moved = session.get(home.url + "/moved", allow_redirects=False)
    assert moved.next is not None
    assert session.send(moved.next).content == ANSWER


def test_other_hooks_see_every_answer(session: requests.Session, home: ScriptedServer, evil: ScriptedServer) -> None:
    home.answers["/away"] = redirect(f"https://localhost:{evil.port}/steal")
    seen: list[int] = []
    session.get(home.url + "/away", hooks={"response": lambda response, **_: seen.append(response.status_code)})
    assert seen == [302, 200]


def test_a_password_in_the_url_is_not_repeated(session: requests.Session, home: ScriptedServer) -> None:
    home.answers["/moved"] = redirect("/resource")
    home.answers["/resource"] = answer(b"", b"")
    with pytest.raises(NotForUsError) as caught:
        session.get(home.url.replace("localhost", "lab:SECRETPW@localhost") + "/moved")
    assert "SECRETPW" not in str(caught.value) + repr(caught.value.facts())


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_password_in_a_malformed_origin_is_not_repeated(session: requests.Session, url: str) -> None:
    key = session.auth._source.current().key  # type: ignore[union-attr]
    for make in (lambda: CaleAuth(key, GUID, origin=url), lambda: CaleClient(url, ServerTrust(implicit=True), key)):
        with pytest.raises(ConfigurationError) as caught:
            make()
        assert "SECRETPW" not in whole_text(caught.value)
    with pytest.raises((LocalProtocolError, requests.RequestException)) as refused:
        session.get("http://lab:SECRETPW@localhost:1/")
    assert "SECRETPW" not in str(refused.value)
