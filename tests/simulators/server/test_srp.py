"""Certificate-less TLS of the reference server: curl (OpenSSL) and gnutls-cli judge it (EST-68, EST-69; RFC 5054)."""

from __future__ import annotations

import base64
import socket
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.http.messages import TlsFacts
from device_sdk_simulators.server import CannotListenError, ReferenceServer
from device_sdk_simulators.srp.saslprep import saslprep
from device_sdk_simulators.srp.service import SrpSettings
from device_sdk_simulators.srp.users import SrpUsers
from device_sdk_simulators.srp.verifier import PRIME

from device_sdk.errors import TlsError
from device_sdk.model.credentials import Credentials
from device_sdk.model.http import HttpRequest
from device_sdk.model.secret import Secret
from device_sdk.transports.srp import SrpTransport
from tests.simulators.server.support import EST, make_csr, name
from tests.simulators.server.support import post as post_directly
from tests.transports.srp_parts import Relay, messages, srp_params

USER, PASSWORD = "router-7", "open sesame"
BAD_RECORD_MAC, ILLEGAL_PARAMETER, PROTOCOL_VERSION, UNKNOWN_PSK_IDENTITY = 20, 47, 70, 115
CONNECT_ERROR = 35  # curl's


@pytest.fixture
def server(tmp_path):
    with ReferenceServer(tmp_path / "server", srp=SrpSettings(user=USER, password=PASSWORD)) as running:
        yield running


@pytest.fixture
def curl(run, server):
    def runner(operation, *words, user=USER, password=PASSWORD, check=True):
        return run(
            "curl", "-sSk", "--fail-with-body", "--tlsauthtype", "SRP", "--tlsuser", user, "--tlspassword", password,
            "--tls-max", "1.2", *words, f"{server.srp_url}{EST}{operation}", check=check,
        )  # fmt: skip

    return runner


def client_hello(user: str | None, *, suites: tuple[int, ...] = (0xC020,), version: int = 0x0303) -> bytes:
    """A ClientHello with the SRP extension (RFC 5054 section 2.8.1), as a record."""
    extensions = b""
    if user is not None:
        names = len(user.encode()).to_bytes(1) + user.encode()
        extensions = b"\x00\x0c" + len(names).to_bytes(2) + names
    offered = b"".join(suite.to_bytes(2) for suite in suites)
    body = version.to_bytes(2) + bytes(32) + b"\0" + len(offered).to_bytes(2) + offered + b"\1\0"
    body += len(extensions).to_bytes(2) + extensions
    message = b"\1" + len(body).to_bytes(3) + body
    return b"\x16\x03\x01" + len(message).to_bytes(2) + message


def first_answer(port: int, user: str | None, **options) -> tuple[socket.socket, int | list[bytes]]:
    """Begin a handshake: the open connection, and the server's alert or its N, g, s and B."""
    sock = socket.create_connection(("127.0.0.1", port), 10)
    stream = sock.makefile("rb")
    sock.sendall(client_hello(user, **options))
    found = []
    while True:
        head = stream.read(5)
        data = stream.read(int.from_bytes(head[3:]))
        if head[0] == 21:
            return sock, data[1]
        found += messages(data)
        if found[-1][0] == 14:
            return sock, srp_params(next(body for kind, body in found if kind == 12))


def test_it_is_off_unless_asked_for(tmp_path):
    """EST-69: TLS 1.2 with CBC and SHA-1 is nothing to offer unasked."""
    with ReferenceServer(tmp_path / "plain") as server:
        assert server.srp is None
        assert "srp_url" not in server.describe()


def test_curl_enrols_without_any_certificate(run, curl, server, tmp_path):
    """EST-68: RFC 7030 section 3.3.3, with OpenSSL's SRP on the other side."""
    said = curl("cacerts", "-v").stderr
    assert "TLSv1.2 / SRP-AES-256-CBC-SHA" in said
    assert "Certificate" not in said
    (tmp_path / "req.b64").write_bytes(base64.encodebytes(make_csr(subject=name("router-7"))))
    curl("simpleenroll", "-H", "Content-Type: application/pkcs10", "--data-binary", "@req.b64", "-o", "answer.b64")
    run("openssl", "base64", "-d", "-in", "answer.b64", "-out", "answer.p7")
    run("openssl", "pkcs7", "-inform", "DER", "-in", "answer.p7", "-print_certs", "-out", "cert.pem")
    run("openssl", "verify", "-CAfile", server.ca_file, "-untrusted", server.issuer_file, "cert.pem")
    entry = server.log()[-1]
    assert (entry["authentication"], entry["srp_user"], entry["resumed"]) == ("srp", USER, False)
    (row,) = server._database.rows("SELECT issued_to FROM certificates")
    assert row["issued_to"] == f"srp:{USER}"


def test_gnutls_finds_nothing_to_complain_about(run, server):
    """RFC 7627 (extended master secret), RFC 7366 (encrypt-then-MAC, which spares CBC its oracles), RFC 5746."""
    words = ["--srpusername", USER, "--priority", "NORMAL:-KX-ALL:+SRP:-VERS-ALL:+VERS-TLS1.2", "127.0.0.1"]
    connect = ["gnutls-cli", "-p", server.srp.port, *words]
    good = run(*connect, "--srppasswd", PASSWORD, input="GET / HTTP/1.0\r\n\r\n", check=False)
    assert "(TLS1.2-X.509)-(SRP)-(AES-256-CBC)-(SHA1)" in good.stdout
    assert "extended master secret, safe renegotiation, EtM" in good.stdout
    bad = run(*connect, "--srppasswd", "wrong", input="", check=False)
    assert "Received alert [20]: Bad record MAC" in bad.stderr + bad.stdout


def test_a_wrong_password_is_told_as_the_rfc_says(curl, server):
    """RFC 5054 section 2.6: bad_record_mac; and no request is heard."""
    done = curl("cacerts", password="wrong", check=False)
    assert done.returncode == CONNECT_ERROR
    assert "bad record mac" in done.stderr
    end = time.monotonic() + 60
    while not server.log() and time.monotonic() < end:
        time.sleep(0.02)  # the client has its alert before the server has written its line
    (entry,) = server.log()
    assert (entry["event"], entry["srp_user"], entry["address"]) == ("srp-handshake-failed", USER, "127.0.0.1")
    assert entry["reason"] == "decryption failed or bad record mac"


def test_users_that_do_not_exist_look_like_those_that_do(curl, server):
    """EST-68, RFC 5054 section 2.5.1.3: the same group, a salt that stays the same, the same alert in the end."""
    answers = {}
    for user in (USER, "nobody", "nobody-2"):
        (one, first), (two, second) = first_answer(server.srp.port, user), first_answer(server.srp.port, user)
        one.close()
        two.close()
        assert first[:3] == second[:3]  # N, g and s
        assert first[3] != second[3]  # B
        answers[user] = first
        done = curl("cacerts", user=user, password="wrong", check=False)
        assert "bad record mac" in done.stderr
    assert len({(answer[0], answer[1], len(answer[2])) for answer in answers.values()}) == 1
    assert len({answer[2] for answer in answers.values()}) == 3
    assert int.from_bytes(answers[USER][0]) == PRIME


def test_the_salt_of_nobody_is_the_same_after_a_restart(tmp_path):
    """RFC 5054 section 2.5.1.3: "must consistently return the same salt"."""
    salts = set()
    for _ in range(2):
        with ReferenceServer(tmp_path / "server", srp=SrpSettings()) as server:
            sock, answer = first_answer(server.srp.port, "nobody")
            sock.close()
            salts.add(answer[2])
    assert len(salts) == 1


def test_without_a_user_name(server):
    """RFC 5054 section 2.5.1.2: unknown_psk_identity right after the ClientHello."""
    sock, alert = first_answer(server.srp.port, None)
    sock.close()
    assert alert == UNKNOWN_PSK_IDENTITY


@pytest.mark.parametrize(
    "suites", [(0xC01A,), (0xC01B, 0xC021), (0xC02F, 0xC030, 0x009E)], ids=["3DES", "SRP-RSA", "with certificates"]
)
def test_suites_that_are_not_spoken(server, suites):
    """EST-68: RFC 7030 section 6 forbids _DES_, though RFC 5054 section 2.7 asks for it; this port has no certificate."""
    sock, alert = first_answer(server.srp.port, USER, suites=suites)
    sock.close()
    assert alert == 40


@pytest.mark.parametrize("version", [0x0301, 0x0302])
def test_est_50_older_versions(server, version):
    """EST-50: SRP was made for TLS 1.0 and 1.1, which are not spoken."""
    sock, alert = first_answer(server.srp.port, USER, version=version)
    sock.close()
    assert alert == PROTOCOL_VERSION


def test_newer_versions(run, server):
    """EST-69: there is no SRP for TLS 1.3."""
    done = run("curl", "-sSk", "--tlsv1.3", f"{server.srp_url}{EST}cacerts", check=False)
    assert done.returncode == CONNECT_ERROR
    assert "protocol version" in done.stderr


@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_public_value_that_is_zero_modulo_the_prime(server, times):
    """RFC 5054 section 2.5.4: with A % N = 0 everybody would know the premaster secret; MUST abort with illegal_parameter."""
    public = PRIME * times
    value = public.to_bytes((public.bit_length() + 7) // 8 or 1)
    body = len(value).to_bytes(2) + value

    def zero(kind, data):
        if kind == 22 and data[:1] == b"\x10":
            return [(22, b"\x10" + len(body).to_bytes(3) + body)]
        return [(kind, data)]

    with Relay(server.srp_url, to_server=zero) as relay:
        transport = SrpTransport(relay.url, Credentials(USER, Secret(PASSWORD)))
        with pytest.raises(TlsError):
            transport.send(HttpRequest("GET", EST + "cacerts"))
        assert relay.alerts("server") == [ILLEGAL_PARAMETER]
    assert all("status" not in entry for entry in server.log())


def test_passwords_are_not_kept(server):
    """EST-68: verifiers only; somebody who reads the state directory has to search for each password."""
    kept = b"".join(path.read_bytes() for path in server.state.rglob("*") if path.is_file())
    assert PASSWORD.encode() not in kept
    assert server.srp.users.verifier(USER).value in kept
    assert not server.srp.password_file.exists()


def test_a_password_is_made_once(tmp_path):
    """Without one being given, the first start makes one for the client to read; later starts keep it."""
    with ReferenceServer(tmp_path / "server", srp=SrpSettings()) as server:
        facts = server.describe()
        assert server.srp.password_file.stat().st_mode & 0o777 == 0o600
        first = server.srp.password_file.read_text()
    with ReferenceServer(tmp_path / "server", srp=SrpSettings()) as server:
        assert server.describe()["srp_password_file"] == facts["srp_password_file"]
        assert server.srp.password_file.read_text() == first
        with SrpTransport(server.srp_url, Credentials("device", Secret(first.rstrip("\n")))) as transport:
            assert transport.send(HttpRequest("GET", EST + "cacerts")).status_code == 200


def test_salts_begin_with_a_bit_that_stays(server):
    """OpenSSL keeps salts as numbers: one in 256 users could never log in if salts began with a zero byte."""
    assert all(server.srp.users.verifier(f"user-{number}").salt[0] >= 0x80 for number in range(600))


def test_a_renewal_with_a_password_where_the_policy_allows_it(server):
    """EST-154: who enrolled by SRP may renew by SRP, and nobody else's certificate."""
    server.policy.reenroll_with_password = True
    headers = [("Content-Type", "application/pkcs10")]

    def post(operation, user):
        facts = TlsFacts("TLSv1.2", "SRP-AES-256-CBC-SHA", srp_user=user)
        return post_directly(server, make_csr(), operation=operation, headers=headers, tls=facts).status

    assert post("simpleenroll", USER) == 200
    assert post("simplereenroll", USER) == 200
    assert post("simplereenroll", "another") == 403
    server.policy.reenroll_with_password = False
    assert post("simplereenroll", USER) == 403


@pytest.mark.slow
def test_many_at_once(server):
    """Each thread has its own connection and its own user; nobody gets another's verifier."""
    names = [f"device-{number}" for number in range(12)]
    for user in names:
        server.srp.users.add(user, f"password of {user}")
    found: dict[str, int] = {}

    def enrol(user):
        with SrpTransport(server.srp_url, Credentials(user, Secret(f"password of {user}"))) as transport:
            found[user] = transport.send(HttpRequest("GET", EST + "cacerts")).status_code

    threads = [threading.Thread(target=enrol, args=(user,)) for user in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == dict.fromkeys(names, 200)
    assert {entry["srp_user"] for entry in server.log()} == set(names)
    assert server.srp.guard.failures() == {}


def test_the_port_is_taken(server, tmp_path):
    with pytest.raises(CannotListenError, match=f"port {server.srp.port}"):
        ReferenceServer(tmp_path / "other", srp=SrpSettings(port=server.srp.port))


@pytest.mark.parametrize(("user", "password"), [("", "x"), ("n" * 256, "x"), ("a:b", "x"), ("a", ""), ("a", "\0")])
def test_users_that_cannot_be(server, user, password):
    """RFC 5054 sections 2.3 and 2.8.1."""
    with pytest.raises(ValueError, match=r"user name|password|U\+0000"):
        SrpUsers(server._database).add(user, password)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("I\u00adX", "IX"), ("user", "user"), ("USER", "USER"), ("\u00aa", "a"), ("\u2168", "IX"), ("\u3000", " ")],
)
def test_saslprep_examples(given, expected):
    """RFC 4013 section 3."""
    assert saslprep(given) == expected


@pytest.mark.parametrize("given", ["\u0007", "\u06271", "\ue000", "\u0627b\u0627", "\u0221"])
def test_saslprep_refusals(given):
    """RFC 4013 sections 2.3 to 2.5 and 3."""
    with pytest.raises(ValueError, match="RFC"):
        saslprep(given)


def test_the_certificates_are_the_same_on_both_ports(server, curl):
    """The same CA behind both doors."""
    root = x509.load_pem_x509_certificate(server.ca_file.read_bytes())
    assert root.public_bytes(Encoding.DER) in base64.b64decode(curl("cacerts").stdout)
