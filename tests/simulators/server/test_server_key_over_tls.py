"""/serverkeygen over TLS against clients that ask for what they must not get: no key, no certificate, nothing that waits."""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk_simulators.server import ReferenceServer

from tests.simulators.server.support import EST, basic, certificates_in, client_context, make_csr, name, post
from tests.simulators.server.test_server_key import (
    AES_WRAP_128,
    AES_WRAP_256,
    ASYMMETRIC_ID,
    CAPABILITIES,
    CHALLENGE_PASSWORD,
    ECDH,
    NAME,
    OAEP,
    SECRET,
    SHARED_ID,
    capabilities,
    octets,
    request,
)

CA = x509.BasicConstraints(ca=True, path_length=None)
SIGNING = x509.KeyUsage(True, False, False, False, False, False, False, False, False)


@pytest.fixture
def generating(server: ReferenceServer) -> ReferenceServer:
    server.policy.serverkeygen = {"secret", "certificate"}
    server.policy.labels, server.policy.own_cas = {"lab"}, {"red"}
    server.users.add("mallory", server.password)
    server.est.server_keys.secrets.add(NAME, SECRET)
    return server


def certified(
    server: ReferenceServer, *, path: str = "simpleenroll", **options: object
) -> tuple[bytes, x509.Certificate]:
    """The identifier of a key the server's own user has a certificate for, and that certificate."""
    (certificate,) = certificates_in(post(server, make_csr(**options), operation=path))
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest, certificate


def signing_only(server: ReferenceServer) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return to(certified(server, key=key, extensions=[(SIGNING, True)])[0])


def revoked(server: ReferenceServer) -> bytes:
    identifier, certificate = certified(server)
    assert server.est.register.revoke(f"{certificate.serial_number:x}")
    return to(identifier)


def expired(server: ReferenceServer) -> bytes:
    identifier, certificate = certified(server)
    server.clock = lambda: certificate.not_valid_after_utc.replace(year=certificate.not_valid_after_utc.year + 1)
    return to(identifier)


def to(identifier: bytes) -> bytes:
    return request(octets(ASYMMETRIC_ID, identifier), capabilities(ECDH, AES_WRAP_128, OAEP))


def bound(binding: bytes) -> bytes:
    return make_csr(attributes=((CHALLENGE_PASSWORD, binding, None),))


WRAP = capabilities(AES_WRAP_128)
ATTACKS: dict[str, Callable[[ReferenceServer], bytes]] = {
    "EST-190: a key in the clear where there are none": lambda _: request(),
    "EST-191: the binding of another connection": lambda _: bound(b"AAAAAAAAAAAAAAAA"),
    "EST-191: a CA": lambda _: request(octets(SHARED_ID, NAME), WRAP, extensions=[(CA, True)]),
    "EST-191: no request": lambda _: b"\x30\x00",
    "EST-192: no SMIMECapabilities": lambda _: request(octets(SHARED_ID, NAME)),
    "EST-192: nothing this key can open": lambda _: request(octets(SHARED_ID, NAME), capabilities(AES_WRAP_256, OAEP)),
    "EST-192: capabilities of noise": lambda _: request(octets(SHARED_ID, NAME), (CAPABILITIES, b"\x30\x02\x05\x00")),
    "EST-192: two keys to encrypt to": lambda _: request(octets(SHARED_ID, NAME), octets(ASYMMETRIC_ID, NAME), WRAP),
    "EST-193: an unknown secret": lambda _: request(octets(SHARED_ID, b"who?"), WRAP),
    "EST-193: an unknown certificate": lambda _: to(b"who?"),
    "EST-193: a certificate for signatures": signing_only,
    "EST-193: a revoked certificate": revoked,
    "EST-193: an expired certificate": expired,
    "EST-193: a certificate of another label": lambda server: to(certified(server, path="lab/simpleenroll")[0]),
    "EST-193: a certificate of another CA": lambda server: to(certified(server, path="red/simpleenroll")[0]),
}  # fmt: skip


def ask(
    connection: http.client.HTTPSConnection, server: ReferenceServer, csr: bytes, user: str | None = None
) -> tuple[int, bytes, str]:
    headers = {"Content-Type": "application/pkcs10"} | dict([basic(server)])
    if user is not None:
        login = base64.b64encode(f"{user}:{server.password}".encode()).decode()
        headers["Authorization"] = f"Basic {login}"
    connection.request("POST", f"{EST}serverkeygen", base64.b64encode(csr), headers)
    response = connection.getresponse()
    return response.status, response.read(), response.getheader("Content-Type", "")


@pytest.mark.slow
@pytest.mark.parametrize("what", list(ATTACKS))
def test_no_key_for_these(what, generating, connect):
    clock = generating.clock
    csr = ATTACKS[what](generating)
    before = generating.est.register.entries()
    generating.policy.require_approval = True
    status, text, media = ask(connect(), generating, csr)
    assert (status, media) == (400, "text/plain; charset=utf-8"), text
    assert b"PRIVATE KEY" not in text
    assert generating.est.register.entries() == before
    assert generating.est.queue.entries() == [], "nobody is asked to approve it"
    generating.policy.require_approval, generating.clock = False, clock
    assert ask(connect(), generating, request(octets(SHARED_ID, NAME), WRAP))[0] == 200


def test_est_193_a_certificate_of_another_user(generating, connect):
    """A key of somebody else's, whose identifier anybody can read in his certificate."""
    identifier, _ = certified(generating)
    other = make_csr(subject=name("dev-2"))
    assert post(generating, other).status == 200
    status, text, _ = ask(connect(), generating, to(identifier), user="mallory")
    assert (status, b"no valid certificate" in text) == (400, True)
    assert ask(connect(), generating, to(identifier))[0] == 200


def test_est_190_a_connection_weaker_than_the_key(generating):
    """RFC 7030 section 4.4: "confidentiality commensurate with the private key"; encrypted, or P-256, it may travel so."""
    generating.policy.serverkeygen = {"clear", "secret"}
    context = client_context(generating, maximum="1.2")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AES128")

    def send(csr: bytes) -> tuple[int, bytes, str]:
        connection = http.client.HTTPSConnection("localhost", generating.port, context=context, timeout=20)
        try:
            return ask(connection, generating, csr)
        finally:
            connection.close()

    strong = ec.generate_private_key(ec.SECP384R1())
    status, text, _ = send(request(key=strong))
    assert (status, b"weaker than an ec-p384 key" in text) == (400, True), text
    assert generating.est.register.entries() == []
    assert send(request(octets(SHARED_ID, NAME), WRAP, key=strong))[0] == 200
    assert send(request())[0] == 200
