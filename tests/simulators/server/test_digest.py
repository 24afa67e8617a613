"""HTTP Digest on the reference server: RFC 7616; EST-80, EST-85 to EST-88."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from datetime import UTC, datetime, timedelta

import pytest
import requests
from device_sdk_simulators.guessing import PATIENCE
from device_sdk_simulators.http.messages import Request, Response, TlsFacts
from device_sdk_simulators.policy import Policy
from device_sdk_simulators.server import ReferenceServer
from requests.auth import HTTPDigestAuth

from tests.simulators.server.support import EST, PKCS10, basic, certificates_in, make_csr, post

TARGET = EST + "simpleenroll"
MOMENT = datetime.now(UTC)
HASHES = {"SHA-256": "sha256", "MD5": "md5"}


@pytest.fixture
def server(tmp_path):
    policy = Policy(http_auth=("basic", "digest"))
    with ReferenceServer(tmp_path / "server", policy=policy) as running:
        yield running


def challenges(response: Response) -> dict[str, dict[str, str]]:
    """The Digest challenges by algorithm."""
    texts = [value for name, value in response.headers if name == "WWW-Authenticate" and value.startswith("Digest ")]
    found = [dict(re.findall(r'([a-z]+)="?([^",]+)', text)) for text in texts]
    return {one["algorithm"]: one for one in found}


def h(algorithm: str, *parts: str) -> str:
    return hashlib.new(HASHES[algorithm], ":".join(parts).encode()).hexdigest()


def answer(server, challenge, *, user="device", password=None, method="POST", target=TARGET, **changes) -> str:
    """An Authorization header, calculated here; `changes` replace parameters, None leaves one out."""
    algorithm = challenge["algorithm"]
    values = {"nc": "00000001", "cnonce": "abc", "qop": "auth"} | {
        k: v for k, v in changes.items() if k in ("nc", "cnonce") and v
    }
    ha1 = h(algorithm, user, "estrealm", server.password if password is None else password)
    a2 = h(algorithm, method, target)
    given = {
        "username": f'"{user}"',
        "realm": '"estrealm"',
        "nonce": f'"{challenge["nonce"]}"',
        "uri": f'"{target}"',
        "response": f'"{h(algorithm, ha1, challenge["nonce"], values["nc"], values["cnonce"], "auth", a2)}"',
        "algorithm": algorithm,
        "cnonce": f'"{values["cnonce"]}"',
        "opaque": f'"{challenge["opaque"]}"',
        "qop": "auth",
        "nc": values["nc"],
    } | changes
    return "Digest " + ", ".join(f"{name}={value}" for name, value in given.items() if value is not None)


def enrol(server, header: str | None) -> Response:
    return post(server, make_csr(), headers=[PKCS10, *([("Authorization", header)] if header else [])])


def status(server, header: str) -> int:
    return enrol(server, header).status


def fresh(server, algorithm="SHA-256") -> dict[str, str]:
    return challenges(enrol(server, None))[algorithm]


def is_stale(response: Response) -> bool:
    return response.status == 401 and all(one.get("stale") == "true" for one in challenges(response).values())


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
def test_a_right_answer_enrols_est_83_est_86(server, algorithm):
    response = enrol(server, answer(server, fresh(server, algorithm)))
    assert response.status == 200
    assert certificates_in(response)
    assert server.log()[-1]["authentication"] == "digest"
    assert server.log()[-1]["user"] == "device"


def test_est_87_challenges_are_in_order_and_quoted_as_rfc_7616_section_3_3_says(server):
    response = enrol(server, None)
    texts = [value for name, value in response.headers if name == "WWW-Authenticate"]
    assert [re.sub(r'nonce="[^"]+"|opaque="[^"]+"', "", text) for text in texts] == [
        'Digest realm="estrealm", qop="auth", algorithm=SHA-256, , , charset=UTF-8',
        'Digest realm="estrealm", qop="auth", algorithm=MD5, , , charset=UTF-8',
        'Basic realm="estrealm", charset="UTF-8"',
    ]
    assert response.body == b""


@pytest.mark.parametrize(
    ("offered", "algorithms", "schemes"),
    [
        (("basic",), ("SHA-256", "MD5"), ["Basic"]),
        (("digest",), ("SHA-256",), ["SHA-256"]),
        (("digest",), ("MD5", "SHA-256"), ["MD5", "SHA-256"]),
        (("digest", "basic"), ("MD5",), ["MD5", "Basic"]),
    ],
)
def test_the_policy_says_what_is_offered_and_taken_est_80(server, offered, algorithms, schemes):
    told = fresh(server), fresh(server, "MD5")
    server.policy.http_auth, server.policy.digest_algorithms = offered, algorithms
    texts = [value for name, value in enrol(server, None).headers if name == "WWW-Authenticate"]
    assert [next(word for word in ("SHA-256", "MD5", "Basic") if word in text) for text in texts] == schemes
    assert (enrol(server, basic(server)[1]).status == 200) == ("basic" in offered)
    for challenge in told:
        good = "digest" in offered and challenge["algorithm"] in algorithms
        assert (status(server, answer(server, challenge)) == 200) == good


@pytest.mark.parametrize(
    "changes",
    [
        {"qop": '"auth"'},
        {"nc": '"00000001"'},
        {"algorithm": '"SHA-256"'},
        {"algorithm": "sha-256"},
        {"userhash": "false"},
        {"nonsense": '"a, b=c"'},
    ],
)
def test_quoted_and_unquoted_parameters_est_87(server, changes):
    """RFC 7030 A.3 quotes qop, which RFC 7616 section 3.4 forbids."""
    challenge = fresh(server)
    header = answer(server, challenge)
    for name, value in changes.items():
        header = re.sub(
            rf"{name}=[^,]+|$", f"{name}={value}" if f"{name}=" in header else f", {name}={value}", header, count=1
        )
    assert status(server, header) == 200, header


def test_est_86_algorithm_absent_is_md5(server):
    """RFC 7616 section 3.3; the samples of both EST documents."""
    challenge = fresh(server, "MD5")
    assert status(server, answer(server, challenge, algorithm=None)) == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"uri": '"/.well-known/est/simplereenroll"'},
        {"uri": '"/.well-known/est/Simpleenroll"'},
        {"uri": '"/.well-known/est/simpleenroll?"'},
        {"uri": '"https://localhost/.well-known/est/simpleenroll"'},
        {"opaque": '"other"'},
        {"opaque": None},
        {"qop": None},
        {"qop": "auth-int"},
        {"nc": "1"},
        {"nc": "0000000g"},
        {"cnonce": None},
        {"response": None},
        {"username": None},
        {"username*": "UTF-8''device"},
        {"username": None, "username*": "latin1''device"},
        {"username": None, "username*": "UTF-8''%ff"},
        {"username": '"\xff"'},
        {"username ": '"device"'},
        {"nonce": '"unterminated'},
    ],
)
def test_improper_answers_are_400_est_86(server, changes):
    """RFC 7616 section 3.4: a 4xx for improper or missing parameters; section 3.4.6: 400 for another uri."""
    response = enrol(server, answer(server, fresh(server), **changes))
    assert (response.status, response.body[:6]) == (400, b"Digest"), response.body
    assert server.est.register.entries() == []


def test_two_authorizations_are_one_too_many(server):
    headers = [PKCS10, ("Authorization", answer(server, fresh(server))), basic(server)]
    assert post(server, make_csr(), headers=headers).status == 400


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"password": "wrong"},
        {"user": "nobody"},
        {"realm": '"other"'},
        {"algorithm": "SHA-512-256"},
        {"algorithm": "SHA-256-sess"},
        {"response": '""'},
        {"response": '"\xff"'},
        {"method": "GET"},
    ],
)
def test_est_86_wrong_answers_are_401_and_never_stale(server, changes):
    response = enrol(server, answer(server, fresh(server), **changes))
    assert (response.status, is_stale(response), response.body) == (401, False, b"")
    assert len(challenges(response)) == 2
    assert not [name for name, _ in response.headers if name == "Authentication-Info"]
    assert server.est.register.entries() == []


def test_empty_user_est_85(server):
    server.users.add("", "pass")
    assert status(server, answer(server, fresh(server), user="", password="pass")) == 200
    assert server.log()[-1]["user"] == ""


@pytest.mark.slow
def test_user_names_that_are_not_ascii(server):
    """RFC 7616 section 3.4: username*, and what curl does: UTF-8 between the quotes."""
    server.users.add("J\u00e4s\u00f8n", "p\u00e4ss")
    header = answer(server, fresh(server), user="J\u00e4s\u00f8n", password="p\u00e4ss")
    assert status(server, header.encode().decode("latin-1")) == 200
    header = answer(server, fresh(server), user="J\u00e4s\u00f8n", password="p\u00e4ss",
                    **{"username": None, "username*": "utf-8'en'J%C3%A4s%C3%B8n"})  # fmt: skip
    assert status(server, header) == 200


def test_userhash(server):
    """RFC 7616 section 3.4.4."""
    server.policy.digest_userhash = True
    challenge = fresh(server)
    assert challenge["userhash"] == "true"
    name = h("SHA-256", "device", "estrealm")
    assert status(server, answer(server, challenge, username=f'"{name}"', userhash="true")) == 200
    assert server.log()[-1]["user"] == "device"
    assert status(server, answer(server, fresh(server), username=f'"{name}"')) == 401


def test_guesses_by_every_scheme_algorithm_and_form_of_the_name_are_one_count(server):
    """RFC 7616 section 5.12, RFC 7030 section 6: otherwise each would have its own free tries."""
    server.clock = lambda: MOMENT
    hashed = h("SHA-256", "device", "estrealm")
    wrong = [
        lambda: answer(server, fresh(server, "SHA-256"), password="guess"),
        lambda: answer(server, fresh(server, "MD5"), password="guess"),
        lambda: answer(server, fresh(server), password="guess", username=f'"{hashed}"', userhash="true"),
        lambda: "Basic " + base64.b64encode(b"device:guess").decode(),
    ]
    assert [status(server, make()) for make in wrong * (PATIENCE.user_tries // 4)] == [401] * PATIENCE.user_tries
    assert [status(server, make()) for make in wrong] == [429] * 4
    refused = enrol(server, answer(server, fresh(server)))
    assert (refused.status, refused.header("Retry-After")) == (429, "1")
    assert not refused.header("Authentication-Info")
    server.clock = lambda: MOMENT + timedelta(seconds=1.5)
    assert status(server, answer(server, fresh(server))) == 200


def test_one_nonce_is_for_one_post_est_88(server):
    challenge = fresh(server)
    header = answer(server, challenge)
    assert status(server, header) == 200
    before = server.est.register.entries()
    assert is_stale(enrol(server, header))
    assert is_stale(enrol(server, answer(server, challenge, nc="00000002")))
    assert server.est.register.entries() == before


def test_the_next_nonce_comes_with_the_answer_and_the_server_proves_itself(server):
    """RFC 7616 section 3.5."""
    challenge = fresh(server)
    response = enrol(server, answer(server, challenge))
    (info,) = (value for name, value in response.headers if name == "Authentication-Info")
    ha1 = h("SHA-256", "device", "estrealm", server.password)
    proof = h("SHA-256", ha1, challenge["nonce"], "00000001", "abc", "auth", h("SHA-256", "", TARGET))
    assert info.startswith(f'rspauth="{proof}", cnonce="abc", nc=00000001, qop=auth, nextnonce="')
    following = challenge | {"nonce": info.split('nextnonce="')[1].rstrip('"')}
    assert status(server, answer(server, following)) == 200


def test_nonces_grow_old_est_88(server):
    challenge = fresh(server)
    server.clock = lambda: datetime.now(UTC) + timedelta(minutes=6)
    response = enrol(server, answer(server, challenge))
    assert is_stale(response)
    assert status(server, answer(server, challenges(response)["SHA-256"])) == 200


@pytest.mark.slow
def test_nonces_of_others_are_stale_est_88(server, tmp_path):
    """One that is made up or comes from before a restart: the password was right, so the client may try again."""
    raw = base64.b64decode(fresh(server)["nonce"])
    younger = struct.pack(">d", struct.unpack(">d", raw[:8])[0] - 1e-3) + raw[8:]
    other_mac = raw[:-1] + bytes([raw[-1] ^ 1])
    forged = [base64.b64encode(one).decode() for one in (younger, other_mac, raw + b"x", bytes(40))]
    for nonce in ("1368141352", "A" * 56, "%%%", *forged):
        assert is_stale(enrol(server, answer(server, fresh(server) | {"nonce": nonce}))), nonce


@pytest.mark.slow
def test_nonces_are_never_the_same_and_not_the_time_est_88(server):
    texts = [one["nonce"] for _ in range(20) for one in challenges(enrol(server, None)).values()]
    assert len(set(texts)) == 40
    assert all(len(text) == 56 for text in texts)


@pytest.mark.slow
def test_a_wrong_password_uses_no_nonce_up(server):
    challenge = fresh(server)
    assert status(server, answer(server, challenge, password="wrong")) == 401
    assert status(server, answer(server, challenge)) == 200


def test_passwords_and_hashes_are_in_no_log_and_no_repr(server):
    challenge = fresh(server)
    header = answer(server, challenge)
    enrol(server, header)
    ha1 = h("SHA-256", "device", "estrealm", server.password)
    shown = (server.state / "log.jsonl").read_text() + repr(server.users.login("device", "SHA-256"))
    assert server.password not in shown
    assert ha1 not in shown
    assert header.split('response="')[1][:64] not in shown


def test_a_get_with_digest_is_answered(server):
    """CALE and other requests: nc counts on, and the request's method is what was signed."""
    challenge = fresh(server)
    tls = TlsFacts("TLSv1.3", "")
    header = answer(server, challenge, method="GET", target="/registration")
    assert server.handle(Request("GET", "/registration", [("Authorization", header)], b"", tls)).status == 405
    header = answer(server, challenge, target="/registration")
    assert server.handle(Request("POST", "/registration", [("Authorization", header)], b"", tls)).status != 401


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
def test_curl_digest_est_86(run, server, algorithm):
    server.policy.http_auth, server.policy.digest_algorithms = ("digest",), (algorithm,)
    run("openssl", "req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", "k.pem",
        "-outform", "DER", "-out", "req.der", "-subj", "/CN=dev-1")  # fmt: skip
    run("openssl", "base64", "-in", "req.der", "-out", "req.b64")
    run("curl", "-sS", "--fail-with-body", "--cacert", server.ca_file, "--digest", "-u", f"device:{server.password}",
        "-H", "Content-Type: application/pkcs10", "--data-binary", "@req.b64", "-o", "answer.b64",
        f"{server.url}{TARGET}")  # fmt: skip
    run("openssl", "base64", "-d", "-A", "-in", "answer.b64", "-out", "answer.p7")
    run("openssl", "pkcs7", "-inform", "DER", "-in", "answer.p7", "-print_certs", "-out", "cert.pem")
    run("openssl", "verify", "-CAfile", server.issuer_file, "cert.pem")
    assert [entry["status"] for entry in server.log()] == [401, 200]
    assert server.log()[-1]["authentication"] == "digest"
    assert server.connections == 1


def test_curl_takes_the_strongest_of_all_schemes(run, server):
    run("curl", "-sS", "--cacert", server.ca_file, "--anyauth", "-u", f"device:{server.password}",
        "-H", "Content-Type: application/pkcs10", "--data", "MAA=", f"{server.url}{TARGET}")  # fmt: skip
    assert [entry["status"] for entry in server.log()] == [401, 400]
    assert server.log()[-1]["authentication"] == "digest"


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
def test_python_requests_digest_est_86(server, algorithm):
    server.policy.http_auth, server.policy.digest_algorithms = ("digest",), (algorithm,)
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(server.ca_file)
        session.auth = HTTPDigestAuth("device", server.password)
        session.headers["Content-Type"] = "application/pkcs10"
        for _ in range(2):
            csr = base64.b64encode(make_csr())
            response = session.post(f"https://localhost:{server.port}{TARGET}", data=csr, timeout=20)
            assert response.status_code == 200
    # it knows no nextnonce: the second request meets stale=true and is repeated
    assert [entry["status"] for entry in server.log()] == [401, 200, 401, 200]
