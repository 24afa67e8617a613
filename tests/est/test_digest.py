"""HTTP Digest, the client's calculations and choices: RFC 7616; EST-83, EST-85 to EST-87."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes

from device_sdk.errors import AuthenticationRequiredError, VerificationError
from device_sdk.model.credentials import Credentials
from device_sdk.model.http import ConnectionFacts, HttpRequest, HttpResponse
from device_sdk.model.secret import Secret
from device_sdk.protocols.est.challenge import parse_challenges
from device_sdk.protocols.est.conversation import Conversation
from device_sdk.protocols.est.digest import DigestChallenge, DigestSession
from device_sdk.protocols.est.login import Login

ORIGIN = "https://est.example"
TARGET = "/.well-known/est/simpleenroll"
FACTS = ConnectionFacts("TLSv1.3", "TLS_AES_128_GCM_SHA256")
USER = Credentials("dev", Secret("secret"))
MUFASA = Credentials("Mufasa", Secret("Circle of Life"))
JASON = Credentials("J\u00e4s\u00f8n Doe", Secret("Secret, or not?"))
NONCE_391 = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
CNONCE_391 = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
CHALLENGE_392 = (
    'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
    'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", '
    'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8'
)
VECTORS = json.loads((Path(__file__).parents[1] / "vectors/est/digest-auth.json").read_text())["vectors"]


def read(text: str) -> DigestChallenge | None:
    (challenge,) = parse_challenges([text])
    return DigestChallenge.read(challenge)


def fields(header: str) -> dict[str, str]:
    """What the header says, quotes kept."""
    assert header.startswith("Digest ")
    return dict(re.findall(r'([a-z*]+)=("(?:[^"\\]|\\.)*"|[^,]+)', header))


def answer(status: int, *headers: tuple[str, str], at: str = TARGET) -> HttpResponse:
    return HttpResponse(status, headers, b"", ORIGIN + at, FACTS)


def challenge(text: str = 'realm="r", nonce="n1", qop="auth", algorithm=SHA-256', status: int = 401) -> HttpResponse:
    return answer(status, ("WWW-Authenticate", f"Digest {text}"))


def conversation(login: Login | Credentials = USER, method: str = "POST", target: str = TARGET) -> Conversation:
    return Conversation(HttpRequest(method, target, body=b"x"), ORIGIN, login)


def sent(request: HttpRequest) -> str:
    (value,) = (value for name, value in request.headers if name == "Authorization")
    return value


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_rfc_7616_section_3_9_1(algorithm, response):
    opaque = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
    parsed = read(
        f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
        f'nonce="{NONCE_391}", opaque="{opaque}"'
    )
    assert fields(DigestSession(parsed, CNONCE_391).authorization(MUFASA, "GET", "/dir/index.html")) == {
        "username": '"Mufasa"',
        "realm": '"http-auth@example.org"',
        "uri": '"/dir/index.html"',
        "algorithm": algorithm,
        "nonce": f'"{NONCE_391}"',
        "nc": "00000001",
        "cnonce": f'"{CNONCE_391}"',
        "qop": "auth",
        "response": f'"{response}"',
        "opaque": f'"{opaque}"',
    }


def sha512_256(text: str) -> str:
    digest = hashes.Hash(hashes.SHA512_256())
    digest.update(text.encode())
    return digest.finalize().hex()


def test_rfc_7616_section_3_9_2_user_name_hashed():
    """The RFC's own values are SHA-512 cut to 256 bits (a known mistake in it); ours are those of FIPS 180-4's SHA-512/256."""
    header = fields(DigestSession(read(CHALLENGE_392 + ", userhash=true")).authorization(JASON, "GET", "/doe.json"))
    name = "J\u00e4s\u00f8n Doe:api@example.org"
    assert hashlib.sha512(name.encode()).hexdigest()[:64].startswith("488869477bf257147b804c45308cd62a")
    assert header["username"] == f'"{sha512_256(name)}"'
    assert header["userhash"] == "true"
    assert "username*" not in header


def test_rfc_7616_section_3_9_2_user_name_in_clear():
    cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v"
    header = fields(DigestSession(read(CHALLENGE_392), cnonce).authorization(JASON, "GET", "/doe.json"))
    assert header["username*"] == "UTF-8''J%C3%A4s%C3%B8n%20Doe"
    assert not {"username", "userhash"} & header.keys()
    ha1 = sha512_256("J\u00e4s\u00f8n Doe:api@example.org:Secret, or not?")
    counted = f"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK:00000001:{cnonce}:auth"
    assert header["response"] == f'"{sha512_256(f"{ha1}:{counted}:" + sha512_256("GET:/doe.json"))}"'


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["source"][:8] + vector["uri"][-14:])
def test_est_86_samples_of_the_est_documents(vector):
    """draft-04's and RFC 7030 A.3's: no algorithm (MD5), a time as nonce, and the quoted qop that RFC 7616 forbids."""
    parsed = read(f'Digest qop="auth", realm="{vector["realm"]}", nonce="{vector["nonce"]}"')
    credentials = Credentials(vector["username"], Secret(vector["password"]))
    header = fields(DigestSession(parsed, vector["cnonce"]).authorization(credentials, vector["method"], vector["uri"]))
    expected = vector["response"] if vector["verifies"] else vector["correct_response_for_printed_uri"]
    assert header["response"] == f'"{expected}"'
    assert "algorithm" not in header
    assert header["qop"] == "auth"


def test_rfc_7616_section_3_4_2_session_variants():
    """A1 of "-sess" keeps the nonces of the first request, whatever nextnonce says later."""
    session = DigestSession(read('Digest realm="r", nonce="n1", qop="auth", algorithm=SHA-256-sess'), "c")
    ha1 = sha256(sha256("dev:r:secret") + ":n1:c")
    first = fields(session.authorization(USER, "POST", "/x"))
    assert first["response"] == '"' + sha256(f"{ha1}:n1:00000001:c:auth:" + sha256("POST:/x")) + '"'
    assert first["algorithm"] == "SHA-256-sess"
    session.confirm(USER, "/x", 'nextnonce="n2"')
    second = fields(session.authorization(USER, "POST", "/x"))
    assert second["response"] == '"' + sha256(f"{ha1}:n2:00000001:c:auth:" + sha256("POST:/x")) + '"'


def test_rfc_7616_section_3_4_quotes():
    """Which parameters are quoted is not ours to choose; quotes inside are escaped and hashed without the escape."""
    session = DigestSession(read(r'Digest realm="a\"b\\c", nonce=n, qop=auth, opaque=""'), "c")
    header = session.authorization(Credentials('q"u', Secret("p")), "GET", '/a?b="c"')
    md5 = lambda text: hashlib.md5(text.encode()).hexdigest()  # noqa: E731, S324  # what the server asks for
    assert r'username="q\"u", realm="a\"b\\c", nonce="n", uri="/a?b=\"c\"", ' in header
    assert header.endswith(', opaque="", cnonce="c", nc=00000001, qop=auth')
    assert (
        md5(
            f"{md5(chr(113) + chr(34) + 'u:a' + chr(34) + 'b' + chr(92) + 'c:p')}:n:00000001:c:auth:"
            + md5('GET:/a?b="c"')
        )
        in header
    )


def test_rfc_7616_section_4_utf_8():
    """A realm goes back as it came, byte for byte; name and password are UTF-8 also where no charset is named."""
    realm = "g\u00e9n\u00e9ral".encode().decode("latin-1")
    session = DigestSession(read(f'Digest realm="{realm}", nonce=n, qop=auth, algorithm=SHA-256'), "c")
    header = session.authorization(JASON, "GET", "/")
    assert f'realm="{realm}"' in header
    ha1 = sha256("J\u00e4s\u00f8n Doe:g\u00e9n\u00e9ral:Secret, or not?")
    assert sha256(f"{ha1}:n:00000001:c:auth:" + sha256("GET:/")) in header


def test_est_85_empty_user():
    header = fields(DigestSession(read("Digest realm=r, nonce=n, qop=auth")).authorization(
        Credentials("", Secret("pass")), "GET", "/"))  # fmt: skip
    assert header["username"] == '""'


@pytest.mark.parametrize(
    "text",
    [
        "Digest qop=auth, realm=r, nonce=n",
        'digest QOP="AUTH", REALM="r", NONCE="n", algorithm="MD5"',
        'Digest qop="auth-int,auth", realm=r, nonce=n, algorithm=md5',
        'Digest qop=" auth , token", realm=r, nonce=n, stale=TRUE, domain="https://evil.example/"',
    ],
)
def test_est_87_quoted_and_unquoted_parameters(text):
    assert read(text).nonce == "n"


@pytest.mark.parametrize(
    "text",
    [
        "Basic realm=r",
        'Digest realm="r", nonce="n"',
        'Digest realm="r", nonce="n", qop="auth-int"',
        'Digest realm="r", nonce="n", qop="authentic"',
        'Digest realm="r", qop="auth"',
        'Digest nonce="n", qop="auth"',
        'Digest realm="r", nonce="", qop="auth"',
        'Digest realm="r", nonce="n", qop="auth", algorithm=SHA',
        'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-1-sess',
        'Digest realm="r", nonce="n", qop="auth", nonce="m"',
        'Digest realm="r", realm="r", nonce="n", qop="auth"',
        'Digest realm="r", nonce="n\x01", qop="auth"',
        'Digest realm="r\\\r\nX: y", nonce="n", qop="auth"',
        'Digest realm="r", nonce="n", qop="auth", opaque="\x7f"',
        'Digest realm="r", nonce="\u0100", qop="auth"',
        'Digest realm="r", qop="auth", nonce="' + "n" * 1025 + '"',
        'Digest realm="r", qop="auth", nonce="n", opaque="' + "n" * 1025 + '"',
    ],
)
def test_est_86_challenges_that_are_not_answered(text):
    assert read(text) is None
    with pytest.raises(AuthenticationRequiredError):
        conversation().answer(answer(401, ("WWW-Authenticate", text.replace("Basic", "Bearer"))))


def test_a_huge_challenge_is_not_read_in_part():
    assert parse_challenges(['Digest realm="r", qop="auth", nonce=' + "n" * 5000]) == ()


def test_many_challenges_are_bounded():
    assert len(parse_challenges(["Basic, " * 500])) <= 16
    assert len(parse_challenges(["Basic"] * 500)) == 16


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (("Basic realm=b", "Digest {} algorithm=MD5", "Digest {} algorithm=SHA-256"), "SHA-256"),
        (("Digest {} algorithm=SHA-256", "Digest {} algorithm=SHA-512-256", "Basic"), "SHA-512-256"),
        (("Basic realm=b, Digest {} algorithm=MD5",), "MD5"),
        (("Digest {} algorithm=SHA-256-sess", "Digest {} algorithm=SHA-256"), "SHA-256-sess"),
        (("Digest {} algorithm=SHA", "Basic realm=b", "Bearer"), None),
        (('Digest realm=r, nonce=n, algorithm=SHA-256, Basic realm="b"',), None),
    ],
)
def test_rfc_7616_section_5_6_the_strongest_scheme_wins(offered, chosen):
    headers = [("WWW-Authenticate", text.format("realm=r, nonce=n, qop=auth,")) for text in offered]
    header = sent(conversation().answer(answer(401, *headers)))
    if chosen is None:
        assert header.startswith("Basic ")
    else:
        assert fields(header)["algorithm"] == chosen


def test_est_86_uri_is_the_target_byte_for_byte():
    talk = conversation(target="/.well-known/est/lab%201/simpleenroll?x=%C3%A9")
    assert fields(sent(talk.answer(challenge())))["uri"] == '"/.well-known/est/lab%201/simpleenroll?x=%C3%A9"'


def test_est_86_stale_is_retried_once_with_the_new_nonce():
    talk = conversation()
    assert fields(sent(talk.answer(challenge())))["nonce"] == '"n1"'
    again = fields(sent(talk.answer(challenge("realm=r, nonce=n2, qop=auth, stale=TRUE"))))
    assert (again["nonce"], again["nc"]) == ('"n2"', "00000001")
    with pytest.raises(AuthenticationRequiredError, match="refused"):
        talk.answer(challenge("realm=r, nonce=n3, qop=auth, stale=true"))


@pytest.mark.parametrize(
    "text", ["realm=r, nonce=n2, qop=auth, stale=false", "realm=r, nonce=n1, qop=auth, stale=true"]
)
def test_a_new_nonce_that_is_not_stale_or_a_stale_one_that_is_not_new_is_a_refusal(text):
    talk = conversation()
    talk.answer(challenge())
    with pytest.raises(AuthenticationRequiredError, match="refused the user name or password"):
        talk.answer(challenge(text))


def test_stale_does_not_lead_to_basic():
    talk = conversation()
    talk.answer(challenge())
    with pytest.raises(AuthenticationRequiredError):
        talk.answer(answer(401, ("WWW-Authenticate", "Basic realm=r, stale=true")))


def test_est_86_nc_counts_per_nonce_and_nothing_is_sent_unasked_to_other_targets():
    login = Login(USER)
    first = conversation(login)
    assert not [name for name, _ in first.request.headers if name == "Authorization"]
    assert fields(sent(first.answer(challenge())))["nc"] == "00000001"
    first.answer(answer(200))
    second = conversation(login)
    assert fields(sent(second.request))["nc"] == "00000002"
    second.answer(answer(200, ("Authentication-Info", 'nextnonce="n2"')))
    third = fields(sent(conversation(login).request))
    assert (third["nonce"], third["nc"]) == ('"n2"', "00000001")
    assert not conversation(login, "GET", "/.well-known/est/csrattrs").request.headers


def test_a_forgotten_nonce_is_answered_anew():
    """A server that restarted may not say stale."""
    login = Login(USER)
    conversation(login).answer(challenge())
    talk = conversation(login)
    assert fields(sent(talk.answer(challenge("realm=r, nonce=n9, qop=auth"))))["nonce"] == '"n9"'
    with pytest.raises(AuthenticationRequiredError):
        talk.answer(challenge("realm=r, nonce=n10, qop=auth"))


def test_est_27_a_redirect_gets_an_answer_of_its_own():
    talk = conversation()
    talk.answer(challenge())
    again = fields(sent(talk.answer(answer(307, ("Location", "/other?x=1")))))
    assert (again["uri"], again["nc"]) == ('"/other?x=1"', "00000002")


def info(request: HttpRequest, **changes: str) -> str:
    """Authentication-Info as RFC 7616 section 3.5 wants it, with changes."""
    asked = {name: value.strip('"') for name, value in fields(sent(request)).items()}
    ha1, ha2 = sha256("dev:r:secret"), sha256(f":{request.target}")
    proof = sha256(f"{ha1}:{asked['nonce']}:{asked['nc']}:{asked['cnonce']}:auth:{ha2}")
    given = {"rspauth": proof, "cnonce": asked["cnonce"], "nc": asked["nc"], "qop": "auth"} | changes
    return ", ".join(f'{name}="{value}"' for name, value in given.items())


def test_rfc_7616_section_3_5_the_servers_proof():
    talk = conversation()
    request = talk.answer(challenge())
    assert talk.answer(answer(200, ("authentication-info", info(request, nextnonce="n2")))) is None


@pytest.mark.parametrize(
    "changes",
    [{"rspauth": "0" * 64}, {"rspauth": ""}, {"nc": "00000002"}, {"cnonce": "other"}, {"qop": "auth-int"}],
)
@pytest.mark.parametrize("status", [200, 302, 403])
def test_rfc_7616_section_3_5_a_false_proof_is_an_error(changes, status):
    talk = conversation()
    request = talk.answer(challenge())
    header = ("Authentication-Info", info(request, **changes))
    with pytest.raises(VerificationError, match="prove") as caught:
        talk.answer(answer(status, header, ("Location", "/x")))
    assert "secret" not in str(caught.value) + repr(caught.value.facts())


def test_two_proofs_are_none():
    talk = conversation()
    request = talk.answer(challenge())
    with pytest.raises(VerificationError, match="twice"):
        talk.answer(answer(200, ("Authentication-Info", f"{info(request)}, rspauth=x")))


@pytest.mark.parametrize("text", ["", "=", "Negotiate oYGUMIGRoAMKAQChCwYJ=", "x=" + "a" * 5000, "qop=auth-int"])
def test_what_other_schemes_say_is_not_looked_at(text):
    talk = conversation()
    talk.answer(challenge())
    assert talk.answer(answer(200, ("Authentication-Info", text))) is None


@pytest.mark.parametrize("nonce", ["n" * 2000, "a\x02", ""])
def test_a_hostile_next_nonce_is_not_taken(nonce):
    login = Login(USER)
    talk = conversation(login)
    talk.answer(challenge())
    talk.answer(answer(200, ("Authentication-Info", f'nextnonce="{nonce}"')))
    assert fields(sent(conversation(login).request))["nonce"] == '"n1"'


def test_the_password_and_its_hash_are_in_no_repr():
    login = Login(USER)
    talk = conversation(login)
    request = talk.answer(challenge())
    assert sent(request).split('response="')[1][:64] not in repr(request)
    shown = repr(login) + repr(vars(login)) + repr(vars(talk)) + repr(vars(login._session))
    assert "secret" not in shown
    assert sha256("dev:r:secret") not in shown
