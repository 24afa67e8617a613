"""What /simpleenroll and /simplereenroll refuse, each attack carried out over TLS: EST-132 to EST-156.

After every refusal nothing was issued, and at the end the clients that were attacked with still get what is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from device_sdk_simulators.est.challenges import Challenges
from pyasn1.type import char, univ

from device_sdk.model.csr import CsrSpec, NewName
from device_sdk.wire.csr import build_csr
from tests.simulators.server.attacking_clients import OWN, SAN, Clients, dns
from tests.simulators.server.odd_csrs import (
    CHALLENGE_PASSWORD,
    EXTENSION_REQUEST,
    dh_key,
    dns_names,
    odd_csr,
    resealed,
    signed_with,
    twice,
    unsigned,
    with_key,
    x400_name,
)
from tests.simulators.server.support import make_csr, name

Make = Callable[[Clients], bytes]
SIMPLE, RENEW = "simpleenroll", "simplereenroll"
OTP_CHALLENGE = "1.2.840.113549.1.9.16.2.56"
POLICIES = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)])


@dataclass(frozen=True)
class Case:
    """One request that must not be fulfilled.

    Attributes:
        requirement: the EST-nn it breaks.
        name: in words.
        status: of the answer.
        says: part of it.
        csr: the request.
        who: users and certificates that are shown, as in test_matrix.py.
        operation: where it is sent.
        policy: what is not as it comes.
    """

    requirement: str
    name: str
    status: int
    says: str
    csr: Make = lambda _clients: make_csr()
    who: str = "user"
    operation: str = SIMPLE
    policy: dict[str, object] = field(default_factory=dict)


def asking(*extensions: x509.ExtensionType, critical: bool = False, subject: str = "dev-9") -> Make:
    return lambda _clients: make_csr(subject=name(subject), extensions=[(one, critical) for one in extensions])


def of_key(make: Callable[[], object]) -> Make:
    return lambda _clients: make_csr(make())


def spoilt(change: Callable[[object], None]) -> Make:
    return lambda _clients: resealed(make_csr(), change)


def own(subject: str = OWN, *names: x509.GeneralName, same_key: bool = False, san: bool = True) -> Make:
    """A renewal of the certificate "own", or of what it is not."""

    def make(clients: Clients) -> bytes:
        extensions = [(x509.SubjectAlternativeName(names or SAN), False)] if san else []
        asked = name(subject) if subject else x509.Name([])
        return make_csr(clients.keys["own"] if same_key else None, asked, extensions=extensions)

    return make


def renamed(subject: str, new: NewName) -> Make:
    spec = CsrSpec(name(subject), SAN if subject == OWN else (), new_name=new)
    return lambda _clients: build_csr(spec, ec.generate_private_key(ec.SECP256R1()))


def edwards(_clients: Clients) -> bytes:
    key = ed25519.Ed25519PrivateKey.generate()
    return x509.CertificateSigningRequestBuilder().subject_name(name()).sign(key, None).public_bytes(Encoding.DER)


def called(common_name: univ.Any) -> Make:
    return lambda _clients: odd_csr([], common_name=common_name)


def other_name(_clients: Clients) -> bytes:
    return make_csr().replace(b"dev-1", b"dev-2")


def usage(*bits: str) -> x509.KeyUsage:
    every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip
    return x509.KeyUsage(**{bit: bit in bits for bit in every})


CASES = [
    Case("EST-132", "nobody enrols", 401, "", who="nobody"),
    Case("EST-132", "nobody renews", 401, "", who="nobody", csr=own(), operation=RENEW),
    Case("EST-132", "a wrong password", 401, "", who="wrong"),
    Case("EST-132", "a wrong password beside a certificate", 401, "", who="wrong+own", csr=own()),
    Case("EST-132", "a certificate for another name", 403, "its own subject", who="own", csr=own("dev-2")),
    Case("EST-132", "somebody else's certificate beside the own password", 403, "another user", who="other+own", csr=own()),
    Case("EST-132", "a maker's device that is not listed", 403, "not on the list", who="maker",
         policy={"third_party_serials": {"SN-2"}}),
    Case("EST-133", "the name changed after the signature", 400, "signature", csr=other_name),
    Case("EST-133", "somebody else's public key", 400, "signature",
         csr=spoilt(with_key(ec.generate_private_key(ec.SECP256R1()).public_key()))),
    Case("EST-133", "somebody else's public key in a renewal", 400, "signature", who="own", operation=RENEW,
         csr=lambda _clients: resealed(own()(_clients), with_key(ec.generate_private_key(ec.SECP256R1()).public_key()))),
    Case("EST-135", "a key that cannot sign", 400, "/fullcmc",
         csr=spoilt(with_key(x25519.X25519PrivateKey.generate().public_key()))),
    Case("EST-135", "a key for key agreement alone", 400, "cannot be read", csr=spoilt(dh_key)),
    Case("EST-135", "no signature", 400, "/fullcmc", csr=spoilt(unsigned)),
    Case("EST-137", "a new name without a certificate", 400, "needs a certificate", csr=renamed(OWN, NewName(name("x")))),
    Case("EST-137", "a new name for a maker's device, by policy", 403, "another name", who="maker",
         csr=renamed("SN-1", NewName(name("x"))), policy={"change_subject_name": "no"}),
    Case("EST-137", "the server's name for a maker's device", 403, "name of this server", who="maker",
         csr=renamed("SN-1", NewName(san=(dns("localhost"),)))),
    Case("EST-140", "an extension that is not given", 400, "unsupportedExt", csr=asking(POLICIES)),
    Case("EST-140", "a critical extension that is not given", 400, "unsupportedExt", csr=asking(POLICIES, critical=True)),
    Case("EST-140", "the identifier of another key", 400, "not that of the key", csr=asking(x509.SubjectKeyIdentifier(b"x"))),
    Case("EST-140", "a usage that the key does not have", 400, "key encipherment", csr=asking(usage("key_encipherment"))),
    Case("EST-140", "the usage of a CA", 400, "key cert sign", csr=asking(usage("digital_signature", "key_cert_sign"))),
    Case("EST-140", "no usage", 400, "none at all", csr=asking(usage())),
    Case("EST-141", "no name at all", 400, "names nobody", csr=lambda _clients: make_csr(subject=x509.Name([]))),
    Case("EST-143", "version 2", 400, "version", csr=lambda _clients: odd_csr([], version=1)),
    Case("EST-143", "two challenge passwords", 400, "twice",
         csr=lambda _clients: odd_csr([(CHALLENGE_PASSWORD, [""]), (CHALLENGE_PASSWORD, ["x"])])),
    Case("EST-143", "two values of one challenge password", 400, "one value",
         csr=lambda _clients: odd_csr([(CHALLENGE_PASSWORD, ["", "x"])])),
    Case("EST-143", "one extension twice", 400, "uplicate",
         csr=lambda _clients: odd_csr([(EXTENSION_REQUEST, [twice(dns_names("a.example"))])])),
    Case("EST-143", "RSA with 1024 bits", 400, "2048",
         csr=of_key(lambda: rsa.generate_private_key(65537, 1024))),  # noqa: S505 - to be refused
    Case("EST-143", "RSA with the exponent 3", 400, "65537", csr=of_key(lambda: rsa.generate_private_key(3, 2048))),
    Case("EST-143", "RSA where it is off", 400, "RSA keys are not accepted", policy={"rsa_keys": False},
         csr=of_key(lambda: rsa.generate_private_key(65537, 2048))),
    Case("EST-143", "a curve that is not listed", 400, "secp256k1",
         csr=of_key(lambda: ec.generate_private_key(ec.SECP256K1()))),
    Case("EST-143", "an Edwards curve", 400, "ed25519", csr=edwards),
    Case("EST-143", "signed with SHA-1", 400, "sha1", csr=lambda clients: signed_with("sha1", clients.directory)),
    Case("EST-143", "signed with MD5", 400, "md5", csr=lambda clients: signed_with("md5", clients.directory)),
    Case("EST-143", "a CA certificate", 400, "no CA", csr=asking(x509.BasicConstraints(True, None), critical=True)),
    Case("EST-143", "a usage that is not listed", 400, "1.3.6.1.5.5.7.3.9", csr=asking(x509.ExtendedKeyUsage([Usage.OCSP_SIGNING]))),
    Case("EST-143", "the rights of a registration authority", 400, "1.3.6.1.5.5.7.3.28",
         csr=asking(x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.28")]))),
    Case("EST-143", "the server's own name", 403, "name of this server", csr=asking(x509.SubjectAlternativeName([dns("localhost")]))),
    Case("EST-143", "half a request", 400, "not a PKCS#10", csr=lambda _clients: make_csr()[:-20]),
    Case("EST-143", "more after the request", 400, "not a PKCS#10", csr=lambda _clients: make_csr() + b"\0\0"),
    Case("EST-143", "an empty common name", 400, "1 to 64", csr=called(char.UTF8String(""))),
    Case("EST-143", "a common name of 20,000 characters", 400, "1 to 64", csr=called(char.UTF8String("x" * 20_000))),
    Case("EST-143", "a common name that writes to terminals", 400, "control", csr=called(char.UTF8String("a\x1b[2J"))),
    Case("EST-143", "a common name that ends in the middle", 400, "control", csr=called(char.UTF8String("a\0b"))),
    Case("EST-143", "a number for a common name", 400, "not a PKCS#10", csr=called(univ.Integer(1))),
    Case("EST-143", "a DNS name that is none", 400, "dNSName", csr=asking(x509.SubjectAlternativeName([dns("a\x1b.example")]))),
    Case("EST-143", "an alternative name of a forgotten kind", 400, "not a PKCS#10",
         csr=lambda _clients: odd_csr([(EXTENSION_REQUEST, [x400_name()])])),
    Case("EST-150", "other alternative names by enrolling", 403, "subjectAltName only", who="own", csr=own(OWN, dns("x.example"))),
    Case("EST-150", "another subject", 400, "subject is not", who="own", csr=own("dev-2"), operation=RENEW),
    Case("EST-150", "no subject", 400, "subject is not", who="own", csr=own(""), operation=RENEW),
    Case("EST-150", "other alternative names", 400, "subjectAltName", who="own", csr=own(OWN, dns("x.example")), operation=RENEW),
    Case("EST-150", "one alternative name more", 400, "subjectAltName", who="own", csr=own(OWN, *SAN, dns("x.example")),
         operation=RENEW),
    Case("EST-150", "no alternative names", 400, "subjectAltName", who="own", csr=own(san=False), operation=RENEW),
    Case("EST-153", "a new name in a renewal", 403, "another name", who="own", csr=renamed(OWN, NewName(name("x"))),
         operation=RENEW),
    Case("EST-153", "the server's name in a renewal", 403, "name of this server", who="own",
         csr=renamed(OWN, NewName(san=(dns("localhost"),))), operation=RENEW, policy={"change_subject_name": "any"}),
    Case("EST-154", "a password instead of the certificate", 403, "needs the certificate", csr=own(), operation=RENEW),
    Case("EST-154", "a password for what nobody has", 403, "no certificate of that subject", csr=own("dev-8"), operation=RENEW,
         policy={"reenroll_with_password": True}),
    Case("EST-154", "a password for another user's", 403, "no certificate of that subject", who="other", csr=own(),
         operation=RENEW, policy={"reenroll_with_password": True}),
    Case("EST-154", "a password for what was revoked", 403, "no certificate of that subject", csr=own("dev-revoked"),
         operation=RENEW, policy={"reenroll_with_password": True}),
    Case("EST-155", "a maker's certificate", 403, "not renewed here", who="maker", operation=RENEW,
         csr=lambda _clients: make_csr(subject=name("SN-1"))),
    Case("EST-155", "a revoked certificate renews", 403, "revoked", who="revoked", csr=own("dev-revoked"), operation=RENEW),
    Case("EST-155", "a revoked certificate enrols", 403, "revoked", who="revoked", csr=own("dev-revoked")),
    Case("EST-155", "an expired certificate renews", 403, "expired", who="expired", csr=own("dev-expired"), operation=RENEW),
    Case("EST-155", "an expired certificate enrols", 403, "expired", who="expired", csr=own("dev-expired")),
    Case("EST-155", "a certificate that begins tomorrow", 403, "not valid yet", who="early", csr=own("dev-early"), operation=RENEW),
    Case("EST-156", "the same key where new ones are wanted", 400, "new key", who="own", csr=own(same_key=True),
         operation=RENEW, policy={"forbid_key_reuse": True}),
]  # fmt: skip


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with Clients.at(tmp_path_factory.mktemp("refusals")) as clients:
        yield clients


@pytest.fixture
def clients(running: Clients) -> Iterator[Clients]:
    yield running
    running.reset()


@pytest.mark.filterwarnings("ignore:Attribute's length")
@pytest.mark.parametrize("case", CASES, ids=[f"{case.requirement}: {case.name}" for case in CASES])
def test_refused_over_tls(clients: Clients, case: Case) -> None:
    clients.allow(**case.policy)
    before = clients.server.est.register.entries()
    status, answer = clients.ask(case.operation, case.who, case.csr(clients))
    assert (status, case.says in answer) == (case.status, True), clients.server.log()[-1].get("reason")
    assert clients.server.est.register.entries() == before
    assert clients.server.log()[-1]["status"] == case.status, clients.server.log()[-1].get("reason")


@pytest.mark.slow
def test_the_tables_own_honesty(clients: Clients) -> None:
    """The same clients with nothing wrong are served; so what refuses above is what the case says."""
    for operation, who, csr in (
        (SIMPLE, "user", own("dev-3")), (SIMPLE, "own", own()), (RENEW, "own", own()), (RENEW, "own", own(same_key=True)),
        (SIMPLE, "maker", renamed("SN-1", NewName(name("x")))),
        (SIMPLE, "user", asking(usage("digital_signature"), x509.ExtendedKeyUsage([Usage.CLIENT_AUTH]))),
        (SIMPLE, "user", lambda _clients: odd_csr([(CHALLENGE_PASSWORD, [""])])),
        (SIMPLE, "user", of_key(lambda: rsa.generate_private_key(65537, 2048))),
        (SIMPLE, "user", lambda clients: signed_with("sha256", clients.directory)),
    ):  # fmt: skip
        assert clients.ask(operation, who, csr(clients))[0] == 200
    clients.allow(reenroll_with_password=True, change_subject_name="any")
    assert clients.ask(RENEW, "user", own()(clients))[0] == 200
    assert clients.ask(RENEW, "own", renamed(OWN, NewName(name("x")))(clients))[0] == 200


def test_est_155_a_password_does_not_renew_what_has_expired(clients: Clients) -> None:
    """EST-154 speaks of valid certificates: a year later the user's own is none."""
    clients.allow(reenroll_with_password=True)
    now = clients.server.clock
    clients.server.clock = lambda: now() + timedelta(days=400)
    try:
        before = clients.server.est.register.entries()
        status, answer = clients.ask(RENEW, "user", own()(clients))
        assert (status, "expired" in answer) == (403, True), answer
        assert clients.server.est.register.entries() == before
    finally:
        clients.server.clock = now


@pytest.mark.parametrize("other", ["another name", "another extension", "another key"])
def test_est_103_a_one_time_password_is_for_one_request(clients: Clients, other: str) -> None:
    """The same request again is the same client, whose answer was lost; every other one is refused."""
    otp = Challenges(clients.server._database, clients.server.policy).new_one_time_password()
    key, usual = ec.generate_private_key(ec.SECP256R1()), x509.ExtendedKeyUsage([Usage.CLIENT_AUTH])

    def request(
        subject: str = "dev-otp", key: ec.EllipticCurvePrivateKey = key, usage: x509.ExtensionType = usual
    ) -> bytes:
        return make_csr(
            key,
            name(subject),
            extensions=[(usage, False)],
            attributes=[(OTP_CHALLENGE, otp.encode(), _ASN1Type.UTF8String)],
        )

    assert [clients.ask(SIMPLE, "user", request())[0] for _ in range(2)] == [200, 200]
    csr = {
        "another name": lambda: request("dev-otp-2"),
        "another extension": lambda: request(usage=x509.ExtendedKeyUsage([Usage.SERVER_AUTH])),
        "another key": lambda: request(key=ec.generate_private_key(ec.SECP256R1())),
    }[other]()
    status, answer = clients.ask(SIMPLE, "user", csr)
    assert (status, "another request" in answer) == (400, True), answer


def test_est_103_a_one_time_password_is_for_one_key_of_the_server(clients: Clients) -> None:
    clients.allow(serverkeygen={"clear"})
    otp = Challenges(clients.server._database, clients.server.policy).new_one_time_password()

    def ask(subject: str) -> int:
        csr = make_csr(subject=name(subject), attributes=[(OTP_CHALLENGE, otp.encode(), _ASN1Type.UTF8String)])
        return clients.ask("serverkeygen", "user", csr)[0]

    assert [ask("dev-key"), ask("dev-key"), ask("dev-key-2")] == [200, 200, 400]
