"""The reference server as one of draft-ietf-pkix-est-04 (2013), with this SDK's client and with curl and openssl."""

from __future__ import annotations

import base64
import email
import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs7
from device_sdk_simulators.http.messages import Request
from device_sdk_simulators.policy import Policy
from device_sdk_simulators.server import ReferenceServer
from pyasn1.codec.der.decoder import decode
from pyasn1.type import univ

from device_sdk.client.est import Compatibility, EstClient
from device_sdk.client.est.bootstrapping import bootstrap_client
from device_sdk.errors import HttpStatusError
from device_sdk.model.credentials import Credentials
from device_sdk.model.csr import CsrSpec
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.wire.fingerprint import parse_pin
from tests.simulators.server.support import PKCS10, basic, make_csr, name


@pytest.fixture
def old_server(tmp_path):
    with ReferenceServer(tmp_path / "old", policy=Policy(dialect="draft-04", labels={"red"})) as server:
        yield server


def armoured(body: bytes) -> bytes:
    lines = body.decode().split("\n")
    assert (lines[0], lines[-2], lines[-1]) == ("-----BEGIN PKCS7-----", "-----END PKCS7-----", "")
    assert "\r" not in body.decode()
    assert all(len(line) == 64 for line in lines[1:-3])
    return body


def ask(server, path, csr=None, headers=()):
    body = (
        b"-----BEGIN CERTIFICATE REQUEST-----\n" + base64.encodebytes(csr) + b"-----END CERTIFICATE REQUEST-----\n"
        if csr
        else b""
    )
    return server.handle(Request("POST" if csr else "GET", path, [*headers], body))


@pytest.mark.parametrize("path", ["/CACerts", "/.well-known/est/CACerts", "/.well-known/est/red/CACerts"])
def test_ca_certificates_are_pem_without_transfer_encoding(old_server, path):
    """Appendix A.1: media type alone, PKCS7 armour, LF."""
    response = ask(old_server, path)
    assert dict(response.headers).keys() == {"Content-Type", "Cache-Control"}
    assert dict(response.headers)["Content-Type"] == "application/pkcs7-mime"
    assert set(pkcs7.load_pem_pkcs7_certificates(armoured(response.body))) == set(old_server.hierarchy.bag)


def test_enrolment_has_no_smime_type(old_server):
    """Appendix A.2 and A.3: PEM in, PEM out."""
    for path in ("/simpleEnroll", "/.well-known/est/simpleEnroll"):
        response = ask(old_server, path, make_csr(), [PKCS10, basic(old_server)])
        assert response.status == 200, response.body
        assert dict(response.headers)["Content-Type"] == "application/pkcs7-mime"
        (certificate,) = pkcs7.load_pem_pkcs7_certificates(armoured(response.body))
        certificate.verify_directly_issued_by(old_server.hierarchy.issuing.certificate)


@pytest.mark.parametrize(("listed", "expected"), [
    (["1.3.6.1.1.1.1.22", bytes.fromhex("301206072a8648ce3d0201310706052b81040022")], ["1.3.6.1.1.1.1.22"]),
    ([], []),
])  # fmt: skip
def test_csr_attributes_are_identifiers_only_and_never_204(old_server, listed, expected):
    """Section 4.5.2: Csrattrs ::= SEQUENCE SIZE (0..MAX) OF OBJECT IDENTIFIER; an empty one says that there are no wishes."""
    old_server.policy.csrattrs = listed
    response = ask(old_server, "/CSRAttrs")
    assert (response.status, dict(response.headers)["Content-Type"]) == (200, "application/csrattrs")
    found, rest = decode(
        base64.b64decode(response.body), asn1Spec=univ.SequenceOf(componentType=univ.ObjectIdentifier())
    )
    assert (not rest, [str(one) for one in found]) == (True, expected)


def test_generated_keys_come_in_parts_with_lf(old_server):
    """Appendix A.5: preamble, epilogue, PEM in both parts, LF everywhere."""
    old_server.policy.serverkeygen = {"clear"}
    response = ask(old_server, "/serverKeyGen", make_csr(subject=name("generated")), [PKCS10, basic(old_server)])
    assert response.status == 200, response.body
    assert b"\r" not in response.body
    media_type = dict(response.headers)["Content-Type"]
    assert media_type.startswith("multipart/mixed ; boundary=")
    message = email.message_from_bytes(b"Content-Type: " + media_type.encode() + b"\n\n" + response.body)
    key_part, certificate_part = message.get_payload()
    assert [part.get_content_type() for part in message.get_payload()] == [
        "application/pkcs8",
        "application/pkcs7-mime",
    ]
    assert all("Content-Transfer-Encoding" not in part for part in message.get_payload())
    key = load_pem_private_key(key_part.get_payload().encode(), None)
    (certificate,) = pkcs7.load_pem_pkcs7_certificates(certificate_part.get_payload().encode())
    assert key.public_key() == certificate.public_key()
    assert message.preamble.startswith("This is the preamble")


def test_a_server_of_today_does_not_know_the_bare_paths(old_server):
    old_server.policy.dialect = "rfc7030"
    assert ask(old_server, "/CACerts").status == 400, "a matter for CALE"
    response = ask(old_server, "/.well-known/est/cacerts")
    assert b"BEGIN" not in response.body


@pytest.mark.parametrize(
    "path", ["/.well-known/est/cacerts", "/.well-known/est/red/cacerts", "/.well-known/est/CAcerts"]
)
def test_only_the_paths_of_the_draft_are_there(old_server, path):
    """As with those servers: a client has to spell them so. One of today takes every case."""
    assert ask(old_server, path).status == 404
    old_server.policy.dialect = "rfc7030"
    assert ask(old_server, path).status == 200
    assert ask(old_server, path.replace("cacerts", "CACerts")).status == 200


def test_a_client_of_today_does_not_find_them(old_server):
    """It makes no second try of its own (section 1 of the requirements: the dialect is chosen)."""
    anchors = tuple(x509.load_pem_x509_certificates(old_server.ca_file.read_bytes()))
    with EstClient(old_server.url, ServerTrust(anchors)) as client, pytest.raises(HttpStatusError) as caught:
        client.cacerts()
    assert caught.value.status_code == 404
    assert len(old_server.log()) == 1


def test_an_empty_challenge_password_is_no_binding(old_server):
    """Section 4.2.1 of the draft: present and empty where there is no channel binding."""
    from cryptography.x509.name import _ASN1Type

    csr = make_csr(attributes=[("1.2.840.113549.1.9.7", b"", _ASN1Type.PrintableString)])
    assert ask(old_server, "/simpleEnroll", csr, [PKCS10, basic(old_server)]).status == 200


@pytest.mark.parametrize("label", [None, "red"])
@pytest.mark.parametrize("wishes", [["1.3.6.1.1.1.1.22"], []])
def test_this_client_enrols_and_renews_at_a_server_of_the_draft(old_server, label, wishes):
    """EST-37, EST-40: the tolerant reader; over TLS, with the password and then with the certificate."""
    old_server.policy.csrattrs = wishes
    anchors = tuple(x509.load_pem_x509_certificates(old_server.ca_file.read_bytes()))
    login, old_way = Credentials(old_server.user, Secret(old_server.password)), Compatibility(dialect="draft-04")
    key = ec.generate_private_key(ec.SECP256R1())
    trust = ServerTrust(anchors)
    with EstClient(old_server.url, trust, label=label, credentials=login, compatibility=old_way) as client:
        assert client.cacerts().anchors == anchors
        enrolled = client.enroll(key, CsrSpec(name("old friend")))
    identity = TlsIdentity(enrolled.chain, key)
    with EstClient(old_server.url, trust, label=label, identity=identity, compatibility=old_way) as client:
        renewed = client.reenroll(ec.generate_private_key(ec.SECP256R1()))
    assert renewed.certificate.subject == enrolled.certificate.subject
    assert renewed.certificate.serial_number != enrolled.certificate.serial_number


def test_this_client_spells_paths_as_the_draft_does_where_it_is_told_to(old_server):
    """Those servers compare letter by letter; with bootstrap, so that the first request is spelt so, too."""
    old_way = Compatibility(dialect="draft-04")
    pin = parse_pin(f"sha256:{old_server.ca_sha256}")
    login = Credentials(old_server.user, Secret(old_server.password))
    with bootstrap_client(old_server.url, [pin], label="red", credentials=login, compatibility=old_way) as client:
        client.enroll(ec.generate_private_key(ec.SECP256R1()), CsrSpec(name("old friend")))
    paths = [entry["path"].removeprefix("/.well-known/est/red/") for entry in old_server.log()]
    assert list(dict.fromkeys(paths)) == ["CACerts", "CSRAttrs", "simpleEnroll"]


@pytest.mark.slow
def test_curl_enrols_as_in_the_appendix(old_server, run):
    run(
        "openssl",
        "req",
        "-new",
        "-nodes",
        "-newkey",
        "rsa:2048",
        "-keyout",
        "key.pem",
        "-out",
        "req.pem",
        "-subj",
        "/CN=demo",
    )
    run("curl", "-sS", "--fail-with-body", "--cacert", old_server.ca_file, "-u", f"{old_server.user}:{old_server.password}",
        "-H", "Content-Type: application/pkcs10", "--data-binary", "@req.pem", "-o", "answer.p7", f"{old_server.url}/simpleEnroll")  # fmt: skip
    run("openssl", "pkcs7", "-in", "answer.p7", "-print_certs", "-out", "cert.pem")
    run("openssl", "verify", "-CAfile", old_server.issuer_file, "cert.pem")


def test_the_command_line_takes_the_dialect(tmp_path):
    words = [
        sys.executable,
        "-m",
        "device_sdk_simulators.cli.main",
        "server",
        "--state",
        str(tmp_path / "s"),
        "--dialect",
        "x",
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, "draft-04" in done.stderr) == (2, True)
