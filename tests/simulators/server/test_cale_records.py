"""What the authorization server keeps of a registration, and the certificates it makes of that (CALE-46 to CALE-53)."""

from __future__ import annotations

import functools
import operator
import random
import uuid

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.http.messages import Request

from tests.simulators.server.support import PKCS10, basic
from tests.simulators.server.test_cale import KEYS, TLS, guid_of, register


def test_guids_come_from_the_operating_system_s_random_numbers_cale_47(server):
    """Version 4 of RFC 4122; every other bit changes, and no seed of this process brings one back."""
    numbers = []
    for _ in range(40):
        random.seed(1)
        register(server, KEYS["p256"])
        number = uuid.UUID(guid_of(server))
        assert (number.version, number.variant) == (4, uuid.RFC_4122)
        numbers.append(number.int)
    changing = functools.reduce(operator.or_, numbers) & ~functools.reduce(operator.and_, numbers)
    assert changing.bit_count() == 122
    assert len({number >> 80 for number in numbers}) == 40


@pytest.mark.parametrize(
    ("key", "status"),
    [
        (rsa.generate_private_key(65537, 1024), 400),  # noqa: S505
        (ed25519.Ed25519PrivateKey.generate(), 400),
        (KEYS["p256"], 200),
    ],
    ids=["weak", "signs only", "good"],
)
def test_keys_that_are_weak_or_only_sign_are_not_registered_cale_46(server, key, status):
    """Also where the policy lets keys that only sign be certified: nothing can be encrypted to them."""
    server.policy.curves = (*server.policy.curves, "ed25519")
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dev-1")])
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, digest)
    body = csr.public_bytes(Encoding.PEM)
    assert server.handle(Request("POST", "/registration", [PKCS10, basic(server)], body, TLS)).status == status
    assert len(server._database.rows("SELECT * FROM registrations")) == (status == 200)


@pytest.mark.parametrize(("kind", "wanted"), [("rsa", "key_encipherment"), ("p256", "key_agreement")])
def test_the_profile_of_a_certificate_cale_53(server, kind, wanted):
    """Every extension, and what the draft's sample has and this has not: nobody is a TLS server or client by it."""
    register(server, KEYS[kind])
    authority, request = (
        server.cale.authorization._authority,
        Request("GET", "/validate", [("CALE-GUID", guid_of(server))]),
    )
    first, second = (
        x509.load_pem_x509_certificate(server.cale.authorization.handle(request, "edge").body) for _ in range(2)
    )
    assert first.serial_number != second.serial_number, "fresh for every request (CALE-48)"
    public = KEYS[kind].public_key()
    assert (first.public_key(), first.issuer) == (public, authority.certificate.subject)
    assert first.subject.rfc4514_string() == "CN=device"
    found = {one.oid: (one.critical, one.value) for one in first.extensions}
    names = ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"]
    names += ["key_cert_sign", "crl_sign"]
    usage = x509.KeyUsage(**{name: name == wanted for name in names}, encipher_only=False, decipher_only=False)
    name = x509.Name.from_rfc4514_string("CN=device,OU=read,DC=reference,DC=example")
    expected = [
        (True, x509.BasicConstraints(ca=False, path_length=None)),
        (True, usage),
        (False, x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION])),
        (False, x509.SubjectAlternativeName([x509.DirectoryName(name)])),
        (False, x509.SubjectKeyIdentifier.from_public_key(public)),
        (False, x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())),
    ]
    assert found == {value.oid: (critical, value) for critical, value in expected}
