"""401 and redirects: RFC 7030 sections 3.2.1 and 3.2.3; EST-27 to EST-31, EST-72, EST-80 to EST-87."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from device_sdk.errors import AuthenticationRequiredError, ConfigurationError, RedirectRefusedError
from device_sdk.model.credentials import Credentials
from device_sdk.model.http import ConnectionFacts, HttpRequest, HttpResponse
from device_sdk.model.secret import Secret
from device_sdk.protocols.est.challenge import Challenge, parse_challenges
from device_sdk.protocols.est.conversation import Conversation

ORIGIN = "https://est.example:8443"
FACTS = ConnectionFacts("TLSv1.3", "TLS_AES_128_GCM_SHA256")
USER = Credentials("dev\u00e9", Secret("p\u00e4ss:word"))


def answer(status: int, *headers: tuple[str, str], at: str = "/.well-known/est/simpleenroll") -> HttpResponse:
    return HttpResponse(status, headers, b"", ORIGIN + at, FACTS)


def conversation(method: str = "POST", credentials: Credentials | None = None, **options) -> Conversation:
    return Conversation(HttpRequest(method, "/.well-known/est/simpleenroll", body=b"x"), ORIGIN, credentials, **options)


def test_est_72_the_first_request_has_no_credentials():
    assert not any(name == "Authorization" for name, _ in conversation(credentials=USER).request.headers)


def test_est_83_basic_is_utf_8_and_the_answer_to_a_challenge():
    talk = conversation(credentials=USER)
    again = talk.answer(answer(401, ("www-authenticate", 'basic realm="r"')))
    (value,) = (value for name, value in again.headers if name == "Authorization")
    assert base64.b64decode(value.removeprefix("Basic ")).decode() == "devé:päss:word"
    assert again.body == b"x"
    assert talk.answer(answer(200)) is None


def test_est_85_empty_user():
    talk = conversation(credentials=Credentials("", Secret("pass")))
    again = talk.answer(answer(401, ("WWW-Authenticate", "Basic")))
    assert ("Authorization", "Basic OnBhc3M=") in again.headers


def test_once_per_request():
    talk = conversation(credentials=USER)
    challenge = answer(401, ("WWW-Authenticate", 'Basic realm="r"'))
    talk.answer(challenge)
    with pytest.raises(AuthenticationRequiredError, match="refused the user name or password") as caught:
        talk.answer(challenge)
    assert caught.value.schemes == ("Basic",)
    assert "check the user name" in caught.value.hint


def test_a_certificate_was_shown_and_a_password_is_wanted_too():
    facts = replace(FACTS, client_authenticated=True)
    asked = replace(answer(401, ("WWW-Authenticate", "Basic")), connection=facts)
    with pytest.raises(AuthenticationRequiredError, match="wants a password as well as the certificate"):
        conversation().answer(asked)


def test_no_credentials():
    with pytest.raises(AuthenticationRequiredError, match="no credentials") as caught:
        conversation().answer(answer(401, ("WWW-Authenticate", 'Basic realm="r", Digest realm="d", nonce="n"')))
    assert caught.value.schemes == ("Basic", "Digest")


@pytest.mark.parametrize(
    ("headers", "schemes"),
    [
        ((("WWW-Authenticate", 'Digest realm="d", nonce="n", qop="auth", algorithm=SHA'),), ("Digest",)),
        ((("WWW-Authenticate", "Negotiate, Bearer"),), ("Negotiate", "Bearer")),
        ((), ()),
        ((("WWW-Authenticate", '="=,,"'),), ()),
    ],
)
def test_est_84_a_scheme_that_is_not_known(headers, schemes):
    with pytest.raises(AuthenticationRequiredError, match="supported is Basic") as caught:
        conversation(credentials=USER).answer(answer(401, *headers))
    assert caught.value.schemes == schemes


def test_the_secret_is_in_no_repr():
    talk = conversation(credentials=USER)
    again = talk.answer(answer(401, ("WWW-Authenticate", "Basic")))
    text = repr(USER) + repr(again)
    assert "p\u00e4ss" not in text
    assert base64.b64encode("devé:päss:word".encode()).decode() not in text


@pytest.mark.parametrize("user", ["a:b", "a\nb", "a\x7f"])
def test_rfc_7617_user_names_that_cannot_be_sent(user):
    with pytest.raises(ConfigurationError):
        Credentials(user, Secret("x"))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (('Basic realm="a, Digest b", charset="UTF-8"',), [("Basic", {"realm": "a, Digest b", "charset": "UTF-8"})]),
        (
            ('Basic realm="x\\"y", Digest realm=z,nonce="1"',),
            [("Basic", {"realm": 'x"y'}), ("Digest", {"realm": "z", "nonce": "1"})],
        ),
        (("Negotiate dG9rZW4=, Basic realm=x",), [("Negotiate", {}), ("Basic", {"realm": "x"})]),
        (("Basic", "Digest nonce=1"), [("Basic", {}), ("Digest", {"nonce": "1"})]),
        (("Newauth a=1 , b = 2,",), [("Newauth", {"a": "1", "b": "2"})]),
        (('Basic realm="unterminated',), [("Basic", {})]),
        (("",), []),
    ],
)
def test_rfc_9110_challenges(values, expected):
    assert parse_challenges(values) == tuple(Challenge(*pair) for pair in expected)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize(
    "location",
    [
        "/other/cacerts?x=1",
        f"{ORIGIN}/other/cacerts?x=1",
        "https://EST.example:8443/other/cacerts?x=1#frag",
        "../../other/cacerts?x=1",
    ],
)
def test_est_27_same_origin_is_followed_and_the_method_stays(status, location):
    again = conversation().answer(answer(status, ("Location", location)))
    assert (again.method, again.target, again.body) == ("POST", "/other/cacerts?x=1", b"x")


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/x",
        "https://est.example/x",
        "//evil.example:8443/x",
        "http://est.example:8443/x",
        "https://est.example:8443@evil.example/x",
        "https://user@est.example:8443/x",
        "javascript:alert(1)",
        "https://[::1/x",
        "/a b",
        "/a\r\nX: y",
        "/ü",
        "\\\\evil.example\\x",
        "/" + "x" * 3000,
        "",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_est_28_est_29_est_31_anything_else_is_refused(location, method):
    with pytest.raises(RedirectRefusedError) as caught:
        conversation(method, USER).answer(answer(302, ("Location", location)))
    assert len(str(caught.value)) < 600


def test_section_11_303_after_post():
    """EST-31."""
    with pytest.raises(RedirectRefusedError, match="303"):
        conversation().answer(answer(303, ("Location", "/x")))
    assert conversation("GET").answer(answer(303, ("Location", "/x"))).target == "/x"


def test_est_31_five_redirects():
    talk = conversation()
    for number in range(5):
        assert talk.answer(answer(302, ("Location", f"/{number}")))
    with pytest.raises(RedirectRefusedError, match="more than 5"):
        talk.answer(answer(302, ("Location", "/6")))


def test_est_73_an_unauthenticated_connection_follows_none():
    with pytest.raises(RedirectRefusedError):
        conversation("GET", follow=False).answer(answer(302, ("Location", "/x")))
