"""The CALE roles: openssl opens what is meant for a key, and nothing tells a decoy from an answer."""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from device_sdk_simulators.cale.certificates import (
    NotAcceptedError,
    Owner,
    accept_certificate,
    make_certificate,
    new_serial,
)
from device_sdk_simulators.cale.ciphers import content_cipher
from device_sdk_simulators.cale.headers import certificate_from_header, certificate_header
from device_sdk_simulators.http.messages import Request, TlsFacts
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc5652

from tests.simulators.server.support import PKCS10, basic, certificates_in, make_csr, post

TLS = TlsFacts("TLSv1.2", "ECDHE-RSA-AES256-SHA")
KEYS = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
}
DRAFT_HEADERS = [
    ("Content-Type", "text/plain;charset=UTF-8"),
    ("MIME-Version", "1.0"),
    ("Content-Disposition", 'attachment; filename="smime.p7m"'),
    ("Content-Type", 'application/x-pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"'),
    ("Content-Transfer-Encoding", "base64"),
    ("Cache-Control", "no-store"),
]


@pytest.fixture
def openssl_decrypt(run, tmp_path):
    def decrypt(key, body: bytes, *, check=True):
        der = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / "cale.key").write_bytes(der)
        (tmp_path / "cale.der").write_bytes(base64.b64decode(body))
        done = run("openssl", "cms", "-decrypt", "-inform", "DER", "-in", "cale.der", "-inkey", "cale.key", check=check)
        return done.stdout if done.returncode == 0 else None

    return decrypt


def register(server, key, *, headers=None, tls=TLS):
    pem = x509.load_der_x509_csr(make_csr(key)).public_bytes(Encoding.PEM)
    return server.handle(Request("POST", "/registration", [PKCS10, *(headers or [basic(server)])], pem, tls))


def get(server, path, guid, *extra, tls=TLS):
    return server.handle(Request("GET", path, [("CALE-GUID", guid), *extra], tls=tls))


def guid_of(server) -> str:
    """The GUID of the registration that was just made, which only its records have in clear."""
    return str(server._database.row("SELECT guid FROM registrations ORDER BY rowid DESC LIMIT 1")["guid"])


@pytest.fixture
def guid(server):
    register(server, KEYS["rsa"])
    return guid_of(server)


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("suite", ["ECDHE-RSA-AES256-SHA", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"])
@pytest.mark.parametrize("hardened", [False, True], ids=["draft", "hardened"])
def test_openssl_opens_every_answer_cale_25_cale_46_cale_50(server, openssl_decrypt, kind, suite, hardened):
    server.policy.cale_hardened = server.policy.cale_aead = hardened
    key, tls = KEYS[kind], TlsFacts("TLSv1.3", suite)
    answer = openssl_decrypt(key, register(server, key, tls=tls).body)
    assert answer[-1] == "\n"
    guid = answer.strip()
    assert uuid.UUID(guid).version == 4
    assert openssl_decrypt(key, get(server, "/resource", guid, tls=tls).body) == '{"foo": "bar"}\n'
    certificate = x509.load_pem_x509_certificate(
        openssl_decrypt(key, get(server, "/whoami", guid, tls=tls).body).encode()
    )
    assert certificate.public_key() == key.public_key()
    assert certificate.not_valid_before_utc == certificate.not_valid_after_utc


def test_headers_are_those_of_appendix_b(server, guid):
    assert register(server, KEYS["rsa"]).headers == DRAFT_HEADERS
    assert get(server, "/resource", guid).headers == DRAFT_HEADERS
    assert get(server, "/whoami", guid).headers == DRAFT_HEADERS[1:]


def test_headers_folded_and_plain(server, guid, connect):
    server.policy.cale_headers = "draft-folded"
    connection = connect()
    connection.request("GET", "/resource", headers={"CALE-GUID": guid})
    answer = connection.getresponse()
    answer.read()
    types = answer.headers.get_all("Content-Type")
    assert len(types) == 2
    assert types[1].count("\r\n ") == 1
    assert "".join(types[1].split()) == 'application/x-pkcs7-mime;smime-type=enveloped-data;name="smime.p7m"'
    assert answer.headers["Content-Transfer-Encoding"] == "base64"
    server.policy.cale_headers = "plain"
    for path, one in (("/resource", guid), ("/whoami", guid), ("/resource", STRANGER), ("/whoami", STRANGER)):
        assert get(server, path, one).headers == [
            ("Content-Type", 'application/pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"'),
            *DRAFT_HEADERS[2:3],
            *DRAFT_HEADERS[4:],
        ]


def test_registration_needs_an_identity_cale_02(server):
    for headers in ([PKCS10], [PKCS10, ("Authorization", "Basic OnBhc3M=")]):
        response = register(server, KEYS["rsa"], headers=headers)
        assert (response.status, response.body) == (401, b"")
    assert server._database.rows("SELECT * FROM registrations") == []


def test_registration_with_an_est_certificate(server):
    (certificate,) = certificates_in(post(server, make_csr()))
    tls = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", (certificate,))
    assert register(server, KEYS["rsa"], headers=[PKCS10], tls=tls).status == 200
    assert server._database.row("SELECT identity FROM registrations")["identity"] == "dev-1"


@pytest.mark.parametrize("body", [b"", b"MAA=", b"no csr", make_csr()[:-4]])
def test_registration_of_garbage_is_400(server, body):
    response = server.handle(Request("POST", "/registration", [PKCS10, basic(server)], body, TLS))
    assert response.status == 400


def test_registration_over_a_weak_suite_is_refused_cale_65(server):
    assert register(server, KEYS["rsa"], tls=TlsFacts("TLSv1.2", "DES-CBC3-SHA")).status == 400


def shape(body: bytes) -> bytes:
    """The message with everything random in it blotted out."""
    content = decode(base64.b64decode(body), asn1Spec=rfc5652.ContentInfo())[0]
    message = decode(content["content"], asn1Spec=rfc5652.EnvelopedData())[0]
    info = message["recipientInfos"][0]["ktri"]
    info["rid"]["issuerAndSerialNumber"]["serialNumber"] = 1 << 126
    info["encryptedKey"] = b"\0" * len(bytes(info["encryptedKey"]))
    part = message["encryptedContentInfo"]
    part["contentEncryptionAlgorithm"]["parameters"] = b"\x04\x10" + b"\0" * 16
    part["encryptedContent"] = b"\0" * len(bytes(part["encryptedContent"]))
    return bytes(encode(message))


def ciphertexts(body: bytes) -> set[bytes]:
    """Content and key of a message, encrypted, and the serial number of its recipient."""
    content = decode(base64.b64decode(body), asn1Spec=rfc5652.ContentInfo())[0]
    message = decode(content["content"], asn1Spec=rfc5652.EnvelopedData())[0]
    info = message["recipientInfos"][0]["ktri"]
    part = message["encryptedContentInfo"]
    serial = str(info["rid"]["issuerAndSerialNumber"]["serialNumber"]).encode()
    parameters = bytes(part["contentEncryptionAlgorithm"]["parameters"])
    return {bytes(part["encryptedContent"]), bytes(info["encryptedKey"]), serial, parameters}


def test_serial_numbers_have_one_length_cale_36():
    assert {(new_serial().bit_length() + 8) // 8 for _ in range(500)} == {16}


STRANGER = "00000000-1111-4222-8333-444444444444"


@pytest.mark.parametrize("path", ["/resource", "/whoami", "/identity", "/nowhere"])
@pytest.mark.parametrize("stranger", [STRANGER, "not a guid", ""])
def test_a_decoy_has_status_headers_length_and_structure_of_an_answer(server, guid, openssl_decrypt, path, stranger):
    real = get(server, path, guid)
    decoy = get(server, path, stranger)
    assert (decoy.status, decoy.headers, len(decoy.body)) == (real.status, real.headers, len(real.body))
    assert shape(decoy.body) == shape(real.body)
    assert get(server, path, stranger).body != decoy.body
    assert not ciphertexts(decoy.body) & ciphertexts(real.body)
    # OpenSSL tries blindly and may find valid padding in noise; the content is never the answer
    assert openssl_decrypt(KEYS["rsa"], decoy.body, check=False) != openssl_decrypt(KEYS["rsa"], real.body)
    assert server.log()[-1]["decoy"] is True


def test_the_first_decoy_of_all_is_an_envelope_too(server):
    body = get(server, "/resource", STRANGER).body
    assert shape(body)
    assert base64.b64decode(body)[0] == 0x30


@pytest.mark.parametrize("kind", ["p256", "p384"])
def test_decoys_of_key_agreement_answers(server, kind):
    server.policy.cale_hardened = True
    register(server, KEYS[kind])
    guid = guid_of(server)
    real, decoy = get(server, "/resource", guid), get(server, "/resource", STRANGER)
    assert (decoy.headers, len(decoy.body)) == (real.headers, len(real.body))


def test_two_guids_get_a_decoy_cale_27(server, guid):
    get(server, "/resource", guid, ("CALE-GUID", guid))
    assert server.log()[-1]["decoy"] is True


@pytest.mark.parametrize("how", ["edge", "operator"])
def test_a_revoked_registration_gets_decoys_cale_51(server, guid, openssl_decrypt, how):
    real = get(server, "/resource", guid)
    if how == "edge":
        request = Request("DELETE", "/registration", [("CALE-GUID", guid), basic(server)], tls=TLS)
        assert server.handle(request).status == 204
        assert server.handle(request).status == 404
    else:
        assert server.cale.authorization.revoke(guid)
    decoy = get(server, "/resource", guid)
    assert (decoy.status, decoy.headers, len(decoy.body)) == (200, real.headers, len(real.body))
    # bad padding, though the message is for this key
    assert openssl_decrypt(KEYS["rsa"], decoy.body, check=False) is None
    assert openssl_decrypt(KEYS["rsa"], get(server, "/whoami", guid).body, check=False) is None


@pytest.mark.slow
def test_nobody_else_can_revoke(server, guid):
    server.users.add("mallory", "m")
    token = ("Authorization", "Basic " + base64.b64encode(b"mallory:m").decode())
    assert server.handle(Request("DELETE", "/registration", [("CALE-GUID", guid), token], tls=TLS)).status == 404
    assert server.handle(Request("DELETE", "/registration", [("CALE-GUID", guid)], tls=TLS)).status == 401


def test_no_guid_is_400_and_writing_is_405_cale_06(server, guid):
    assert server.handle(Request("GET", "/resource", tls=TLS)).status == 400
    assert server.handle(Request("POST", "/resource", [("CALE-GUID", guid)], b"x", TLS)).status == 405


def test_inner_headers_of_a_client_go_nowhere_cale_27(server, guid, openssl_decrypt):
    """A client that brings its own certificate and cipher gets its own answer, under its own key and the real cipher."""
    stranger = make_certificate(server.cale.authorization._authority, Owner("eve"), KEYS["p256"].public_key(), *times())
    extra = (certificate_header(stranger), ("Cipher", "NULL"), ("CALE-Identity", "eve"))
    answer = get(server, "/identity", guid, *extra)
    assert '"owner": "device"' in openssl_decrypt(KEYS["rsa"], answer.body)


def times(begin=-5, end=10):
    now = datetime.now(UTC).replace(microsecond=0)
    return now + timedelta(seconds=begin), now + timedelta(seconds=end)


def test_certificates_live_for_seconds_and_only_encrypt_cale_48_cale_53(server, guid):
    validated = server.cale.authorization.handle(Request("GET", "/validate", [("CALE-GUID", guid)]), "edge")
    assert validated.headers == [("Content-Type", "application/x509")]
    certificate = x509.load_pem_x509_certificate(validated.body)
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(seconds=15)
    owner = accept_certificate(certificate, server.cale.authorization._authority.certificate, datetime.now(UTC))
    assert owner == Owner("device", "reference.example", ("read",))


@pytest.mark.parametrize(
    ("begin", "end", "issuer"), [(-20, -10, True), (10, 20, True), (-5, 600, True), (-5, 10, False)],
)  # fmt: skip
def test_origination_refuses_certificates_cale_55(server, begin, end, issuer):
    authority = server.cale.authorization._authority if issuer else server.hierarchy.issuing
    certificate = make_certificate(authority, Owner("x"), KEYS["rsa"].public_key(), *times(begin, end))
    request = Request("GET", "/resource", [certificate_header(certificate), ("Cipher", "ECDHE-RSA-AES256-SHA")])
    assert server.cale.origination.handle(request, "edge").status == 403


def test_inner_roles_listen_to_listed_peers_only_cale_59(server, guid):
    for role in (server.cale.authorization, server.cale.origination, server.cale.resource):
        assert role.handle(Request("GET", "/validate", [("CALE-GUID", guid)]), "internet").status == 403


def test_the_resource_server_is_not_told_the_cipher_cale_58(server, guid):
    seen = []
    original = server.cale.origination._resource
    server.cale.origination._resource = lambda request: (seen.append(request), original(request))[1]
    get(server, "/resource", guid)
    assert [name for name, _value in seen[0].headers] == ["CALE-PEM", "CALE-Correlation"]


def test_two_owners_in_one_certificate_are_refused_cale_56(server):
    two = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text) for text in ("a", "b")])
    certificate = x509.CertificateBuilder().subject_name(two)
    authority = server.cale.authorization._authority
    begin, end = times()
    certificate = (
        certificate.issuer_name(authority.certificate.subject)
        .public_key(KEYS["rsa"].public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(_usage(), critical=True)
        .sign(authority.key, x509.base.hashes.SHA256())
    )
    with pytest.raises(NotAcceptedError, match="one owner"):
        accept_certificate(certificate, authority.certificate, datetime.now(UTC))


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(False, False, True, False, False, False, False, False, False)


def test_certificate_header_in_every_form_cale_60(server):
    certificate = server.hierarchy.root.certificate
    name, value = certificate_header(certificate)
    assert (name, value[0], value[-1]) == ("CALE-PEM", '"', '"')
    for form in (value, value.strip('"'), value[:60] + "\r\n " + value[60:]):
        assert certificate_from_header(form) == certificate
    with pytest.raises(ValueError, match="base64"):
        certificate_from_header('"***"')


@pytest.mark.parametrize(
    ("suite", "oid"),
    [
        ("ECDHE-RSA-AES256-SHA", 42), ("ECDHE-RSA-AES128-SHA256", 2), ("TLS_AES_256_GCM_SHA384", 46),
        ("TLS_AES_128_GCM_SHA256", 6), ("ECDHE-ECDSA-CHACHA20-POLY1305", 46), ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", 2),
    ],
)  # fmt: skip
def test_cipher_mapping_cale_65(suite, oid):
    assert content_cipher(suite, aead=True).oid == f"2.16.840.1.101.3.4.1.{oid}"


@pytest.mark.parametrize(
    "suite",
    [
        "",
        "DES-CBC3-SHA",
        "RC4-SHA",
        "ADH-AES256-SHA",
        "NULL-SHA",
        "ECDHE-RSA-CAMELLIA256-SHA",
        "AECDH-AES128-SHA",
        "TLS_DH_anon_WITH_AES_128_CBC_SHA",
        "PSK-AES256-CBC-SHA",
        "SRP-RSA-AES-256-CBC-SHA",
        "IDEA-CBC-SHA",
        "SEED-SHA",
        "EXP-DES-CBC-SHA",
        "EXP1024-AES128-SHA",
        "ECDHE-RSA-AES192-SHA",
        "AES128-MD5",
    ],
)
def test_weak_and_unknown_suites_are_refused_cale_65(suite):
    with pytest.raises(ValueError, match="suite"):
        content_cipher(suite, aead=False)
