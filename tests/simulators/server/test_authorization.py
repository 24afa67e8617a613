"""Who may do what: the authorization matrix, with the certificates put where the handshake would put them."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk_simulators.ca.hierarchy import make_authority
from device_sdk_simulators.ca.issue import Wish, issue
from device_sdk_simulators.ca.names import same_name
from device_sdk_simulators.http.messages import TlsFacts
from device_sdk_simulators.passwords import Users

from tests.simulators.server.support import PKCS10, basic, certificates_in, make_csr, name, post

SAN = x509.SubjectAlternativeName([x509.DNSName("dev-1.example"), x509.DNSName("b.example")])


@pytest.fixture
def key():
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def certificate(server, key):
    return certificates_in(post(server, make_csr(key, extensions=[(SAN, False)])))[0]


def token(text: str) -> tuple[str, str]:
    return "Authorization", "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "authorization",
    [None, token("device:wrong"), token("nobody:x"), token(":"), ("Authorization", "Basic OnBhc3M="),
     ("Authorization", "Basic ***"), ("Authorization", "Bearer abc"), token("device")],
)  # fmt: skip
@pytest.mark.parametrize("operation", ["simpleenroll", "simplereenroll"])
def test_no_or_wrong_password_is_401_with_an_empty_body(server, operation, authorization):
    """EST-132."""
    headers = [PKCS10, authorization] if authorization else [PKCS10]
    response = post(server, make_csr(), operation=operation, headers=headers)
    assert (response.status, response.body) == (401, b"")
    assert response.headers[0] == ("WWW-Authenticate", 'Basic realm="estrealm", charset="UTF-8"')


def test_an_empty_user_name_may_have_a_password_est_85(server):
    server.users.add("", "pass")
    assert post(server, make_csr(), headers=[PKCS10, ("Authorization", "Basic OnBhc3M=")]).status == 200


def stored(server, name: str) -> str:
    return server._database.row("SELECT password FROM users WHERE name = ?", name)["password"]


def test_passwords_of_people_are_kept_as_scrypt(server):
    server.users.add("ann", "a word of hers")
    assert stored(server, "ann").startswith("scrypt$")
    assert "word" not in stored(server, "ann")


def test_a_password_that_was_drawn_is_kept_as_a_salted_hash_until_it_is_anothers_choice(server):
    drawn = stored(server, "device")
    assert drawn.startswith("sha256$")
    assert server.password not in drawn
    for users in (server.users, Users(server._database)):
        assert users.check("device", server.password)
        assert not users.check("device", server.password + "x")
    server.users.add("device", server.password)
    assert stored(server, "device").startswith("scrypt$")


def test_a_wrong_password_takes_as_long_whoever_it_is_for(server):
    server.users.add("ann", "a word of hers")

    def took(name: str) -> float:
        times = []
        for _ in range(5):
            begun = time.thread_time()
            assert not server.users.check(name, "a guess")
            times.append(time.thread_time() - begun)
        return min(times)

    spent = [took(name) for name in ("device", "ann", "nobody")]
    assert max(spent) < 10 * min(spent), "without the slow hash it would be one part in a hundred"


def test_renewal_by_tls_certificate_est_150(server, certificate, key):
    """EST-20."""
    for new_key in (key, ec.generate_private_key(ec.SECP384R1())):
        csr = make_csr(new_key, extensions=[(SAN, True)])
        response = post(server, csr, operation="simplereenroll", client=certificate)
        assert response.status == 200
        assert certificates_in(response)[0].public_key() == new_key.public_key()


def test_renewal_compares_san_as_a_set_and_names_by_rfc_5280_7_1(server, certificate):
    """EST-150."""
    turned = x509.SubjectAlternativeName([x509.DNSName("B.example"), x509.DNSName("dev-1.example")])
    other_type = x509.NameAttribute(x509.NameOID.COMMON_NAME, "DEV-1", x509.name._ASN1Type.PrintableString)
    csr = make_csr(subject=x509.Name([other_type]), extensions=[(turned, False)])
    assert post(server, csr, operation="simplereenroll", client=certificate).status == 200


@pytest.mark.parametrize(
    ("subject", "extensions"),
    [("dev-2", [(SAN, False)]), ("dev-1", []), ("dev-1", [(x509.SubjectAlternativeName([x509.DNSName("x")]), False)])],
)
def test_renewal_of_another_identity_is_refused_est_150(server, certificate, subject, extensions):
    csr = make_csr(subject=name(subject), extensions=extensions)
    assert post(server, csr, operation="simplereenroll", client=certificate).status == 400


def test_renewal_with_the_same_key_can_be_forbidden_est_156(server, certificate, key):
    server.policy.forbid_key_reuse = True
    csr = make_csr(key, extensions=[(SAN, False)])
    assert post(server, csr, operation="simplereenroll", client=certificate).status == 400


def test_a_revoked_certificate_authenticates_nothing_est_155(server, certificate):
    assert server.est.register.revoke(f"{certificate.serial_number:X}")
    csr = make_csr(extensions=[(SAN, False)])
    for operation in ("simpleenroll", "simplereenroll"):
        response = post(server, csr, operation=operation, client=certificate)
        assert (response.status, b"revoked" in response.body) == (403, True)


def test_an_expired_certificate_by_the_servers_clock_and_the_grace_period_est_155(server, certificate):
    server.clock = lambda: datetime.now(UTC) + timedelta(days=91)
    csr = make_csr(extensions=[(SAN, False)])
    response = post(server, csr, operation="simplereenroll", client=certificate)
    assert (response.status, b"expired" in response.body) == (403, True)
    server.policy.reenroll_grace = timedelta(days=7)
    assert post(server, csr, operation="simplereenroll", client=certificate).status == 200


def test_enrolment_with_a_certificate_of_this_ca_asks_for_its_own_subject(server, certificate):
    assert post(server, make_csr(), client=certificate).status == 200
    assert post(server, make_csr(subject=name("dev-2")), client=certificate).status == 403
    server.policy.enroll_with_certificate = "any"
    assert post(server, make_csr(subject=name("dev-2")), client=certificate).status == 200
    server.policy.enroll_with_certificate = "no"
    assert post(server, make_csr(), client=certificate).status == 403


def test_password_and_certificate_must_agree(server, certificate):
    tls = TlsFacts("TLSv1.3", "", (certificate,))
    assert post(server, make_csr(), headers=[PKCS10, basic(server)], tls=tls).status == 200
    assert server.log()[-1]["authentication"] == "basic+tls"
    assert post(server, make_csr(), headers=[PKCS10, token("device:wrong")], tls=tls).status == 401


def test_renewal_with_a_password_is_a_policy_est_154(server, certificate):
    csr = make_csr(extensions=[(SAN, False)])
    assert post(server, csr, operation="simplereenroll").status == 403
    server.policy.reenroll_with_password = True
    assert post(server, csr, operation="simplereenroll").status == 200
    assert post(server, make_csr(subject=name("dev-9")), operation="simplereenroll").status == 403


@pytest.fixture
def idevid(key, server):
    maker = make_authority("Maker CA", ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC))
    server.policy.third_party_anchors = [maker.certificate]
    serial = x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, "SN-1")
    end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    wish = Wish(x509.Name([serial]), key.public_key(), x509.Extensions([]), datetime(2020, 1, 1, tzinfo=UTC), end)
    return issue(maker, wish)


def test_a_makers_certificate_enrols_if_its_serial_number_is_listed(server, idevid):
    assert post(server, make_csr(), client=idevid).status == 403
    server.policy.third_party_serials = {"SN-1"}
    assert post(server, make_csr(), client=idevid).status == 200


def test_a_makers_certificate_is_never_renewed_est_155(server, idevid):
    server.policy.third_party_serials = None
    csr = make_csr(subject=idevid.subject)
    assert post(server, csr, operation="simplereenroll", client=idevid).status == 403


def test_names_compare_as_rfc_5280_section_7_1_says():
    def cn(text):
        return name(text)

    assert same_name(cn("Dev  1"), cn("dev 1"))
    assert same_name(cn("straße"), cn("STRASSE"))
    assert not same_name(cn("dev1"), cn("dev 1"))
    left = x509.NameAttribute(x509.NameOID.COMMON_NAME, "a"), x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "b")
    assert not same_name(x509.Name(left), x509.Name(left[::-1]))


def test_the_approval_queue_est_161_est_163(server, key):
    server.policy.require_approval = True
    server.policy.retry_after_s = 7
    first = post(server, make_csr(key))
    assert (first.status, dict(first.headers)["Retry-After"]) == (202, "7")
    # a client that binds its CSR sends other bytes each time: another CSR of the same key is the same request
    assert post(server, make_csr(key)).status == 202
    (waiting,) = server.est.queue.entries()
    assert waiting["state"] == "waiting"
    assert post(server, make_csr()).status == 202
    assert server.est.queue.decide(waiting["id"], approve=True) == 1
    response = post(server, make_csr(key))
    assert (response.status, certificates_in(response)[0].public_key()) == (200, key.public_key())
    again = post(server, make_csr(key))
    assert certificates_in(again) == certificates_in(response), "the answer may have been lost"
    server.policy.redelivery = timedelta(0)
    assert post(server, make_csr(key)).status == 202, "an approval is used once"


def test_a_denied_request_is_403(server, key):
    server.policy.require_approval = True
    post(server, make_csr(key))
    assert server.est.queue.decide(None, approve=False) == 1
    response = post(server, make_csr(key))
    assert (response.status, b"denied" in response.body) == (403, True)
