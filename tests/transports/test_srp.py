"""Certificate-less TLS (RFC 5054) against GnuTLS's server, and against a man in the middle (EST-64, EST-68, EST-69)."""

from __future__ import annotations

import _ssl
import os
import ssl
import subprocess
import traceback

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from device_sdk_simulators.server import ReferenceServer

from device_sdk.errors import (
    ConfigurationError,
    ServerNotAuthorizedError,
    SharedSecretError,
    SrpUnavailableError,
    TlsError,
    TransportError,
)
from device_sdk.model.credentials import Credentials
from device_sdk.model.secret import Secret
from device_sdk.transports.openssl_provider.libcrypto import Library
from device_sdk.transports.srp import SrpTransport, openssl
from device_sdk.transports.srp.saslprep import saslprep
from device_sdk.transports.srp.tls import srp_context
from tests.transports.conftest import QUICK, get, post
from tests.transports.proxies import ConnectProxy
from tests.transports.srp_parts import (
    ALERT,
    BAD_PASSWORD,
    CHANGE_CIPHER_SPEC,
    CREDENTIALS,
    HANDSHAKE,
    MODP_2048,
    PASSWORD,
    SERVER_KEY_EXCHANGE,
    USER,
    WRONG,
    Relay,
    changed,
    gnutls_srp,
    server_key_exchange,
    srp_params,
)

ILLEGAL_PARAMETER, INSUFFICIENT_SECURITY = 47, 71


@pytest.fixture
def connect():
    opened = []

    def start(server, credentials=CREDENTIALS, **options):
        opened.append(SrpTransport(getattr(server, "url", server), credentials, timeouts=QUICK, **options))
        return opened[-1]

    yield start
    for transport in opened:
        transport.close()


@pytest.fixture
def server(tmp_path):
    with gnutls_srp(tmp_path / "gnutls") as url:
        yield url


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_gnutls_lets_us_in_without_any_certificate(tmp_path, connect, bits):
    """EST-64, EST-68: a suite with _SRP_ and nothing else (RFC 7030 section 3.3.3), groups of RFC 5054 appendix A."""
    with gnutls_srp(tmp_path, bits=bits) as server, Relay(server) as relay:
        transport = connect(relay)
        facts = transport.send(get("/")).connection
        assert (facts.tls_version, facts.cipher) == ("TLSv1.2", "SRP-AES-256-CBC-SHA")
        assert len(facts.tls_unique or b"") == 12
        # RFC 9266 section 4.2: there is one only with the extended master secret (RFC 7627)
        assert len(facts.tls_exporter or b"") == 32
        (hello, _), (exchange, body), (done, _) = relay.handshakes("server")
        # no certificate (11) and no request for one (13)
        assert (hello, exchange, done) == (2, SERVER_KEY_EXCHANGE, 14)
        assert int.from_bytes(srp_params(body)[0]).bit_length() == bits
    assert "- SRP authentication. Connected as 'router-7'" in (tmp_path / "gnutls.log").read_text()


def test_a_wrong_password_is_tried_once(server, connect):
    """RFC 5054 section 2.6: bad_record_mac means a wrong name or password; EST-68: guesses are counted by servers."""
    with Relay(server) as relay:
        transport = connect(relay, WRONG)
        for request in (get("/"), get("/"), post()):
            with pytest.raises(SharedSecretError, match="password of user 'router-7' is wrong") as caught:
                transport.send(request)
            assert caught.value.url == relay.url + "/"
            assert caught.value.user == USER
            assert caught.value.exit_code == 6
        assert relay.connections == 1
        assert relay.alerts("server") == [20]


def test_a_server_that_does_not_know_the_password(tmp_path, connect):
    """EST-64: who does not know the secret is not authorized; no request reaches it."""
    with gnutls_srp(tmp_path, password="another") as server, Relay(server) as relay:
        with pytest.raises(SharedSecretError):
            connect(relay).send(post(b"my request"))
        assert not any(kind == 23 for kind, _ in relay.said["client"])


def test_a_server_that_says_yes_to_every_password(tmp_path, connect):
    """EST-64: an impostor without the verifier lets the client's Finished pass and answers with one it cannot compute."""

    def bluff(kind, data):
        if kind == ALERT:
            return [(CHANGE_CIPHER_SPEC, b"\1"), (HANDSHAKE, os.urandom(80))]
        return [(kind, data)]

    with gnutls_srp(tmp_path, password="another") as server, Relay(server, to_client=bluff) as relay:
        with pytest.raises(SharedSecretError) as caught:
            connect(relay).send(post(b"my request"))
        assert "DECRYPTION_FAILED_OR_BAD_RECORD_MAC" in str(caught.value.__cause__)
        assert not any(kind == 23 for kind, _ in relay.said["client"])


def test_a_group_that_is_too_small(tmp_path, connect):
    """EST-68, RFC 5054 section 3.2: N is large enough; appendix A's 1536 bits are not, for us. Section 2.5.3: the alert."""
    with gnutls_srp(tmp_path, bits=1536) as server, Relay(server) as relay:
        with pytest.raises(TlsError, match="group is not one to be trusted with a password"):
            connect(relay).send(get("/"))
        assert relay.alerts("client") == [INSUFFICIENT_SECURITY]


@pytest.mark.parametrize(
    "group",
    [(MODP_2048, 2), (MODP_2048, 11), (int.from_bytes(os.urandom(512)) | 1 | 1 << 4095, 5), (2**2048 - 1, 2)],
    ids=["safe prime", "other generator", "composite", "special form"],
)
def test_a_group_that_nobody_vouched_for(server, connect, group):
    """EST-68, RFC 5054 sections 2.5.3 and 3.2: any group outside of appendix A MUST be rejected with insufficient_security."""
    prime, generator = group

    def swap(body):
        _, _, salt, _ = srp_params(body)
        size = (prime.bit_length() + 7) // 8
        return server_key_exchange(prime.to_bytes(size), bytes([generator]), salt, (prime - 5).to_bytes(size))

    with Relay(server, to_client=changed(SERVER_KEY_EXCHANGE, swap)) as relay:
        with pytest.raises(TlsError, match="group is not one to be trusted"):
            connect(relay).send(get("/"))
        assert relay.alerts("client") == [INSUFFICIENT_SECURITY]


def test_another_generator_for_a_known_prime(server, connect):
    """RFC 5054 section 2.5.3: N and g belong together."""

    def swap(body):
        prime, _, salt, public = srp_params(body)
        return server_key_exchange(prime, b"\3", salt, public)

    with Relay(server, to_client=changed(SERVER_KEY_EXCHANGE, swap)) as relay:
        with pytest.raises(TlsError, match="group is not one to be trusted"):
            connect(relay).send(get("/"))
        assert relay.alerts("client") == [INSUFFICIENT_SECURITY]


@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_public_value_that_is_zero_modulo_the_prime(server, connect, times):
    """RFC 5054 section 2.5.3: the client MUST abort with illegal_parameter if B % N = 0."""

    def zero(body):
        prime, generator, salt, _ = srp_params(body)
        public = int.from_bytes(prime) * times
        return server_key_exchange(prime, generator, salt, public.to_bytes((public.bit_length() + 7) // 8 or 1))

    with Relay(server, to_client=changed(SERVER_KEY_EXCHANGE, zero)) as relay:
        with pytest.raises(TlsError):
            connect(relay).send(get("/"))
        assert relay.alerts("client") == [ILLEGAL_PARAMETER]


@pytest.mark.parametrize("field", [2, 3], ids=["salt", "B"])
def test_a_man_in_the_middle_who_changes_a_value(server, connect, field):
    """EST-68: the only thing an active attack shows is whether one guess was right."""

    def flip(body):
        values = srp_params(body)
        values[field] = values[field][:-1] + bytes([values[field][-1] ^ 1])
        return server_key_exchange(*values)

    with Relay(server, to_client=changed(SERVER_KEY_EXCHANGE, flip)) as relay:
        with pytest.raises(SharedSecretError):
            connect(relay).send(post(b"my request"))
        assert not any(kind == 23 for kind, _ in relay.said["client"])


@pytest.mark.parametrize("zeros", [1, 16])
def test_a_salt_that_begins_with_zero(server, connect, zeros):
    """RFC 5054 section 2.4: OpenSSL would hash it without; nothing is tried with a password that cannot be right."""

    def swap(body):
        prime, generator, salt, public = srp_params(body)
        return server_key_exchange(prime, generator, bytes(zeros) + salt[zeros:], public)

    with Relay(server, to_client=changed(SERVER_KEY_EXCHANGE, swap)) as relay:
        with pytest.raises(TlsError, match="salt that the server has for user 'router-7' begins with a zero octet"):
            connect(relay).send(get("/"))
        assert not any(kind == CHANGE_CIPHER_SPEC for kind, _ in relay.said["client"])
    assert connect(server).send(get("/")).status_code == 200


def test_gnutls_with_a_salt_that_begins_with_zero(tmp_path, connect):
    """That is one user in 256 of GnuTLS's; its own client has no trouble with the right password."""
    with gnutls_srp(tmp_path, zero_salt=True) as server:
        with pytest.raises(TlsError, match="begins with a zero octet"):
            connect(server).send(get("/"))
        port = server.rpartition(":")[2]
        words = ["gnutls-cli", "--priority", "NORMAL:-KX-ALL:+SRP:-VERS-ALL:+VERS-TLS1.2", "--port", port]
        words += ["--srpusername", USER, "--srppasswd", PASSWORD, "127.0.0.1"]
        shown = subprocess.run(words, input=b"", capture_output=True, timeout=30, check=False)
        assert b"Handshake was completed" in shown.stdout


def test_a_server_with_a_certificate_is_not_asked_for_it(tmp_path, connect):
    """Only the suites without certificates are offered, so nobody can step in with one (EST-64)."""
    with ReferenceServer(tmp_path / "server") as server, Relay(server.url) as relay:
        with pytest.raises(TlsError, match="no certificate-less TLS"):
            connect(relay).send(get("/"))
        ((_, hello),) = relay.handshakes("client")
        suites = _suites(hello)
        assert suites == {0xC020, 0xC01D, 0x00FF}  # SRP with AES-256, with AES-128, and the signal of RFC 5746


def _suites(hello: bytes) -> set[int]:
    rest = hello[34:]
    rest = rest[1 + rest[0] :]
    size = int.from_bytes(rest[:2])
    return {int.from_bytes(rest[at : at + 2]) for at in range(2, 2 + size, 2)}


def test_a_server_that_mixes_certificates_in(tmp_path, ca, connect):
    """SRP-RSA has a certificate that nobody here could check: it is not offered."""
    chain, key = ca.issue("127.0.0.1", key=rsa.generate_private_key(65537, 2048)).write(tmp_path, "server")
    more = ("--x509certfile", chain, "--x509keyfile", key)
    with (
        gnutls_srp(tmp_path, exchange="SRP-RSA", more=more) as server,
        pytest.raises(TlsError, match="no certificate-less TLS"),
    ):
        connect(server).send(get("/"))
    client = srp_context(CREDENTIALS)
    assert client.verify_mode is ssl.CERT_REQUIRED
    assert client.cert_store_stats()["x509"] == 0


def test_success_without_srp_is_no_success(serve, connect):
    """EST-64: should OpenSSL ever come to terms with a server in another way, nothing is sent."""
    transport = connect(serve())
    context = transport._context
    context.set_ciphers("ECDHE+AESGCM")
    context.verify_mode = ssl.CERT_NONE
    with pytest.raises(ServerNotAuthorizedError, match="did not prove that it knows the password"):
        transport.send(get("/"))


def test_nothing_is_resumed(server, connect):
    """Every connection proves the password anew: no session, no ticket is offered."""
    with Relay(server) as relay:
        transport = connect(relay)
        for _ in range(2):
            assert transport.send(get("/")).connection.tls_unique
            transport.close()

        def sent(number: int) -> list[bytes]:
            # by its length, too: an encrypted Finished begins with any octet
            return [
                data[4:]
                for kind, data in relay.said["client"]
                if kind == HANDSHAKE and data[0] == number and int.from_bytes(data[1:4]) == len(data) - 4
            ]

        hellos = sent(1)
        assert len(hellos) == relay.connections == 2
        for hello in hellos:
            assert hello[34] == 0  # no session identifier
            assert b"\x00\x23\x00" not in hello[34:]  # no session_ticket extension
        assert len(sent(16)) == 2  # a ClientKeyExchange in each


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("", "x"),
        ("n" * 256, "x"),
        ("\N{ROMAN NUMERAL ONE}" * 128 + "\u0600", "x"),
        ("router-7", ""),
        ("router-7", b"\xff\xfe"),
        ("router-7", "a\0b"),
        ("router-7", "\N{SOFT HYPHEN}"),
    ],
)
def test_names_and_passwords_that_cannot_be(user, password):
    """RFC 5054 sections 2.3 and 2.8.1; the message repeats no password."""
    with pytest.raises(ConfigurationError) as caught:
        SrpTransport("https://127.0.0.1", Credentials(user, Secret(password)))
    told = "".join(traceback.format_exception(caught.value))
    assert "\\xff" not in told
    assert "a\0b" not in told


@pytest.mark.parametrize(
    ("given", "expected"),
    [("I\u00adX", "IX"), ("user", "user"), ("USER", "USER"), ("\u00aa", "a"), ("\u2168", "IX"), ("a\u00a0b", "a b")],
)
def test_saslprep_examples(given, expected):
    """RFC 4013 section 3."""
    assert saslprep(given) == expected


@pytest.mark.parametrize("given", ["\u0007", "\u06271", "\ue000", "\u0627\u0062\u0627", "\U000e0001", "\u0221"])
def test_saslprep_refusals(given):
    """RFC 4013 section 3: prohibited character, bidirectional check; and what Unicode 3.2 does not have."""
    with pytest.raises(ValueError, match=r"characters|right-to-left"):
        saslprep(given)


def test_both_sides_prepare_the_password_the_same_way(tmp_path, connect):
    """RFC 5054 section 2.3, with GnuTLS as the other side: what is typed differently is the same password."""
    with gnutls_srp(tmp_path, password="IX\u00e9") as server:
        typed = Credentials("router-\N{FULLWIDTH DIGIT SEVEN}", Secret("\u2168e\u0301\u00ad"))
        assert connect(server, typed).send(get("/")).status_code == 200


class WithoutSrp(Library):
    """The OpenSSL of this Python as if it had been built with no-srp."""

    def function(self, name, result, *arguments):
        if "srp" in name:
            raise AttributeError(f"undefined symbol: {name}")
        return super().function(name, result, *arguments)


def test_openssl_without_srp(monkeypatch):
    """EST-69: a type of its own that says so."""
    monkeypatch.setattr(openssl, "library", lambda: WithoutSrp(_ssl.__file__))
    with pytest.raises(SrpUnavailableError, match="undefined symbol: SSL_CTX_set_srp_username") as caught:
        SrpTransport("https://127.0.0.1", CREDENTIALS)
    assert caught.value.code == "srp-unavailable"


def test_the_password_shows_nowhere(server, connect):
    """In no representation of what holds it, and in no traceback of a refusal."""
    transport = connect(server)
    context = transport._context
    assert PASSWORD not in repr(vars(context)) + repr(vars(transport))
    transport.send(get("/"))
    with pytest.raises(SharedSecretError) as caught:
        connect(server, WRONG).send(get("/"))
    assert BAD_PASSWORD not in "".join(traceback.format_exception(caught.value)) + repr(caught.value.facts())


def test_a_server_without_the_extended_master_secret(tmp_path, connect):
    """Older servers are good enough, as nothing is resumed; there is tls-unique, and no exporter (RFC 9266 section 4.2)."""
    with gnutls_srp(tmp_path, exchange="SRP:%NO_SESSION_HASH") as server:
        facts = connect(server).send(get("/")).connection
        assert len(facts.tls_unique or b"") == 12
        assert facts.tls_exporter is None


def test_through_a_proxy(server, connect):
    """The proxy sees a CONNECT, the user name, and nothing it could use."""
    with ConnectProxy() as proxy:
        assert connect(server, proxy=proxy.url).send(get("/")).connection.cipher.startswith("SRP-")
        with pytest.raises(SharedSecretError):
            connect(server, WRONG, proxy=proxy.url).send(get("/"))
        assert len(proxy.requests) == 2
        assert PASSWORD not in "".join(map(str, proxy.requests))


def test_no_server_at_all(connect):
    """The usual errors stay what they are."""
    with pytest.raises(TransportError, match="connection refused"):
        connect("https://127.0.0.1:1").send(get("/"))
