"""Redirects to other servers, carried out over TLS (RFC 7030 section 3.2.1; EST-27 to EST-31)."""

from __future__ import annotations

import base64
import ssl

import pytest
from cryptography import x509
from cryptography.x509.oid import AttributeOID

from device_sdk.client.est import Credentials, EstClient
from device_sdk.client.est.symmetric_keys import KeyPackagePolicy
from device_sdk.client.firmware import FileInstaller, FirmwarePolicy, FirmwareRules, HardwareModule
from device_sdk.errors import (
    AuthenticationRequiredError,
    RedirectRefusedError,
    ServerNotAuthorizedError,
    ServerNotTrustedError,
)
from device_sdk.model.secret import Secret
from device_sdk.model.trust import TlsIdentity
from tests.est.answers import SPEC, bag, csr_of, issue, trusting
from tests.est.pki import Ca, new_key
from tests.est.scripted_server import http

USER = Credentials("dev", Secret("secret"))
CHALLENGE = ("WWW-Authenticate", 'Basic realm="est"')


class Asked:
    """A callback that says yes or no, and remembers what it was asked."""

    def __init__(self, answer: bool = True) -> None:
        self.answer, self.questions = answer, []

    def __call__(self, old_url: str, new_url: str, method: str) -> bool:
        self.questions.append((old_url, new_url, method))
        return self.answer


def to(url: str, status: int = 307):
    return lambda seen: http(status, b"", ("Location", url))


@pytest.fixture
def identity(ca):
    key = new_key()
    return TlsIdentity((ca.certify("device 1", key.public_key()),), key)


def elsewhere(ca, serve, **handlers):
    """A server that sends enrolments to another one."""
    other = serve(**(handlers or {"simpleenroll": issue(ca)}), options={"client_ca": ca.certificate})
    server = serve(
        cacerts=bag(ca.certificate), simpleenroll=to(f"{other.url}/simpleenroll"), options={"client_ca": ca.certificate}
    )
    return server, other


def test_est_28_est_29_a_post_goes_elsewhere_if_the_caller_says_so(ca, serve, identity):
    server, other = elsewhere(ca, serve)
    asked = Asked()
    with EstClient(server.url, trusting(ca), identity=identity, redirects=asked) as client:
        enrolled = client.enroll(new_key(), SPEC)
    assert asked.questions == [
        (f"{server.url}/.well-known/est/simpleenroll", f"{other.url}/simpleenroll", "POST"),
    ]
    assert enrolled.certificate.public_key() == x509.load_der_x509_csr(csr_of(other.seen[0])).public_key()
    assert other.seen[0].client_certificate == identity.chain[0]
    assert other.connections == 1


def test_est_29_a_caller_who_says_no(ca, serve):
    server, other = elsewhere(ca, serve)
    with EstClient(server.url, trusting(ca), redirects=Asked(False)) as client, pytest.raises(RedirectRefusedError):
        client.enroll(new_key(), SPEC)
    assert other.connections == 0


@pytest.mark.parametrize("moved", ["cacerts", "simpleenroll"])
@pytest.mark.parametrize(
    ("host", "issuer", "error"),
    [
        ("127.0.0.1", Ca.root("EST root"), ServerNotTrustedError),
        ("localhost", None, ServerNotAuthorizedError),
    ],
    ids=["another CA", "another name"],
)
def test_est_28_the_other_server_is_checked_like_the_first(ca, serve, identity, moved, host, issuer, error):
    """EST-62: trust and name, for a GET and for a POST; not a byte is sent to a server that fails."""
    other = serve(signed_by=issuer or ca, cacerts=bag(ca.certificate), simpleenroll=issue(ca))
    there = other.url.replace("127.0.0.1", host)
    server = serve(**{"cacerts": bag(ca.certificate), "simpleenroll": issue(ca), moved: to(f"{there}/{moved}")})
    with (
        EstClient(server.url, trusting(ca), identity=identity, credentials=USER, redirects=Asked()) as client,
        pytest.raises(error) as caught,
    ):
        client.enroll(new_key(), SPEC)
    assert there in str(caught.value)
    assert other.connections == 1
    assert other.seen == []


def test_est_30_the_csr_is_bound_to_the_new_connection_and_the_key_stays(ca, serve):
    options = {"maximum": ssl.TLSVersion.TLSv1_2}
    other = serve(simpleenroll=issue(ca), options=options)
    server = serve(cacerts=bag(ca.certificate), simpleenroll=to(f"{other.url}/simpleenroll"), options=options)
    with EstClient(server.url, trusting(ca), redirects=Asked()) as client:
        client.enroll(new_key(), SPEC)
    seen = (server.seen[-1], other.seen[-1])
    first, second = (x509.load_der_x509_csr(csr_of(one)) for one in seen)
    assert first.public_key() == second.public_key()
    bindings = [csr.attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD).value for csr in (first, second)]
    assert bindings == [base64.b64encode(one.tls_unique) for one in seen]
    assert bindings[0] != bindings[1]


def test_est_31_no_http_credentials_for_the_other_server(ca, serve):
    """Not those of the first server's challenge, and none when the other one asks."""
    other = serve(simpleenroll=lambda seen: http(401, b"", CHALLENGE))
    server = serve(
        cacerts=bag(ca.certificate),
        simpleenroll=[lambda seen: http(401, b"", CHALLENGE), to(f"{other.url}/simpleenroll")],
    )
    with (
        EstClient(server.url, trusting(ca), credentials=USER, redirects=Asked()) as client,
        pytest.raises(AuthenticationRequiredError, match="not for one it redirects to") as caught,
    ):
        client.enroll(new_key(), SPEC)
    assert "client certificate" in (caught.value.hint or "")
    assert server.seen[-1].header("Authorization")
    assert [seen.header("Authorization") for seen in other.seen] == [None]


def test_est_28_a_get_goes_elsewhere_without_asking_and_without_the_certificate(ca, serve, identity):
    other = serve(cacerts=bag(ca.certificate), options={"client_ca": ca.certificate})
    server = serve(cacerts=to(f"{other.url}/cacerts", 302), options={"client_ca": ca.certificate})
    asked = Asked(False)
    with EstClient(server.url, trusting(ca), identity=identity, credentials=USER, redirects=asked) as client:
        assert client.cacerts().anchors == (ca.certificate,)
    assert asked.questions == []
    assert server.seen[0].client_certificate == identity.chain[0]
    assert other.seen[0].client_certificate is None
    assert other.seen[0].header("Authorization") is None


@pytest.mark.parametrize("location", ["http://127.0.0.1:1/x", "ftp://127.0.0.1/x", "https://user@127.0.0.1:1/x"])
def test_est_31_never_to_http(ca, serve, location):
    server = serve(cacerts=to(location))
    with (
        EstClient(server.url, trusting(ca), redirects=Asked()) as client,
        pytest.raises(RedirectRefusedError) as caught,
    ):
        client.cacerts()
    assert "user" not in str(caught.value)
    assert len(server.seen) == 1


def test_est_31_two_servers_that_send_each_other_in_a_circle(ca, serve):
    other = serve()
    server = serve(cacerts=to(f"{other.url}/cacerts"))
    other.handlers["cacerts"] = to(f"{server.url}/.well-known/est/cacerts")
    with EstClient(server.url, trusting(ca)) as client, pytest.raises(RedirectRefusedError, match="circle"):
        client.cacerts()
    assert len(server.seen) + len(other.seen) == 2


def test_est_31_a_circle_somewhere_on_the_way(ca, serve):
    server = serve(cacerts=to("/a"), a=to("/b"), b=to("/a"))
    with EstClient(server.url, trusting(ca)) as client, pytest.raises(RedirectRefusedError, match="circle"):
        client.cacerts()
    assert len(server.seen) == 3


def test_est_31_five_redirects_over_several_servers(ca, serve):
    other = serve()
    server = serve(cacerts=to(f"{other.url}/0"))
    other.handlers |= {str(number): to(f"/{number + 1}") for number in range(9)}
    with EstClient(server.url, trusting(ca)) as client, pytest.raises(RedirectRefusedError, match="more than 5"):
        client.cacerts()
    assert len(server.seen) + len(other.seen) == 6


def test_est_29_somebody_is_asked_once_while_a_request_is_pending(ca, serve, clock):
    """A request that is repeated after 202 begins at the first server again (EST-164)."""
    other = serve(simpleenroll=[lambda seen: http(202, b"", ("Retry-After", "9")), issue(ca)])
    server = serve(cacerts=bag(ca.certificate), simpleenroll=to(f"{other.url}/simpleenroll"))
    asked = Asked()
    with EstClient(server.url, trusting(ca), redirects=asked, clock=clock) as client:
        client.enroll(new_key(), SPEC, wait_s=60)
    assert len(asked.questions) == 1
    assert server.lines.count("POST /.well-known/est/simpleenroll") == 2


@pytest.mark.parametrize("operation", ["pal", "crls", "eecerts", "symmetrickeys", "firmware", "tamp"])
def test_g_15_packages_stay_at_their_server_unless_somebody_says_otherwise(ca, serve, tmp_path, operation):
    """A list leads to its own server only; neither does an answer lead elsewhere, without a word."""
    other = serve(**{operation: lambda _: http(404)})
    server = serve(cacerts=bag(ca.certificate), **{operation: to(f"{other.url}/.well-known/est/{operation}")})

    installer = FileInstaller(tmp_path / "image")
    rules = FirmwareRules([ca.certificate], FirmwarePolicy(HardwareModule("1.2.3", b"1")))

    def fetch(client):
        packages = client.packages
        return {
            "pal": packages.list,
            "crls": packages.crls,
            "eecerts": packages.peers,
            "symmetrickeys": lambda: packages.symmetric_keys(KeyPackagePolicy([ca.certificate]), decrypt=new_key()),
            "firmware": lambda: packages.firmware.install(installer, rules, directory=tmp_path),
            "tamp": packages.anchor_message,
        }[operation]()

    with EstClient(server.url, trusting(ca)) as client, pytest.raises(RedirectRefusedError, match="it leads to"):
        fetch(client)
    assert other.connections == 0
    asked = Asked()
    with EstClient(server.url, trusting(ca), redirects=asked) as client:
        fetch(client)
    assert [method for _, _, method in asked.questions] == ["GET"]
    assert other.connections == 1
