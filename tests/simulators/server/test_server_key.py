"""The server's side of /serverkeygen, with foreign clients and judges (RFC 7030 section 4.4): EST-190 to EST-203."""

from __future__ import annotations

import base64
import email.policy
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    pkcs7,
)
from device_sdk_simulators.http.messages import Response, TlsFacts
from device_sdk_simulators.server import ReferenceServer
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc2986, rfc5652, rfc5751, rfc5958

from tests.simulators.server.support import PKCS10, basic, certificates_in, make_csr, post

SHARED_ID, ASYMMETRIC_ID = "1.2.840.113549.1.9.16.2.37", "1.2.840.113549.1.9.16.2.54"
CAPABILITIES, CHALLENGE_PASSWORD = "1.2.840.113549.1.9.15", "1.2.840.113549.1.9.7"
AES_WRAP_128, AES_WRAP_256 = "2.16.840.1.101.3.4.1.5", "2.16.840.1.101.3.4.1.45"
OAEP, PKCS1, ECDH = "1.2.840.113549.1.1.7", "1.2.840.113549.1.1.1", "1.3.132.1.11.1"
SECRET, NAME = bytes(range(16)), b"bench-7"
KEY_TYPE, CERTIFICATE_TYPE = "application/pkcs8", "application/pkcs7-mime; smime-type=certs-only"
ENCRYPTED_TYPE = "application/pkcs7-mime; smime-type=server-generated-key"


@pytest.fixture
def generating(server: ReferenceServer) -> ReferenceServer:
    server.policy.serverkeygen = {"clear", "secret", "certificate"}
    server.est.server_keys.secrets.add(NAME, SECRET)
    return server


def octets(oid: str, value: bytes) -> tuple[str, bytes]:
    return oid, encode(univ.OctetString(value))


def capabilities(*oids: str) -> tuple[str, bytes]:
    found = rfc5751.SMIMECapabilities()
    for place, oid in enumerate(oids):
        found[place]["capabilityID"] = oid
    return CAPABILITIES, encode(found)


def request(*attributes: tuple[str, bytes], key: Any = None, **options: Any) -> bytes:
    """A CSR with attributes that no builder writes. Its signature is not renewed: nobody looks at it (EST-191)."""
    csr = decode(make_csr(key, **options), asn1Spec=rfc2986.CertificationRequest())[0]
    listed = csr["certificationRequestInfo"]["attributes"]
    for oid, value in attributes:
        attribute = rfc2986.Attribute()
        attribute["type"] = oid
        attribute["values"][0] = value
        listed.append(attribute)
    return bytes(encode(csr))


def ask(server: ReferenceServer, *attributes: tuple[str, bytes], key: Any = None, **options: Any) -> Response:
    return post(server, request(*attributes, key=key), operation="serverkeygen", **options)


def parts_of(response: Response) -> list[tuple[str, bytes]]:
    """Media type and content of each part, by Python's own parser, which must find nothing to complain about."""
    assert response.status == 200, response.body
    head = "".join(f"{key}: {value}\r\n" for key, value in response.headers).encode()
    message = email.message_from_bytes(head + b"\r\n" + response.body, policy=email.policy.HTTP)
    assert message.defects == []
    found = []
    for part in message.iter_parts():
        assert part.defects == []
        found.append((str(part["Content-Type"]).replace('"', ""), part.get_content()))
    return found


def certificate_in(der: bytes) -> x509.Certificate:
    (certificate,) = pkcs7.load_der_pkcs7_certificates(der)
    return certificate


def test_est_194_est_195_a_clear_key(generating: ReferenceServer) -> None:
    """Two parts: PrivateKeyInfo, and exactly what /simpleenroll would have answered; the key is new each time."""
    seen = set()
    for _ in range(2):
        (key_type, key), (certificate_type, certificate) = parts_of(ask(generating))
        assert (key_type, certificate_type) == (KEY_TYPE, CERTIFICATE_TYPE)
        issued = certificate_in(certificate)
        assert load_der_private_key(key, None).public_key() == issued.public_key()
        assert decode(key, asn1Spec=rfc5958.OneAsymmetricKey())[1] == b""
        seen.add(key)
    assert len(seen) == 2


def test_est_200_multipart_is_written_one_way(generating: ReferenceServer) -> None:
    """CRLF, Content-Type first and Content-Transfer-Encoding second in each part, key first, nothing around the parts.

    libest drops a part without Content-Transfer-Encoding and wants exactly this media type.
    """
    boundaries = set()
    for _ in range(3):
        response = ask(generating)
        match = re.fullmatch(r"multipart/mixed; boundary=([0-9A-Za-z-]{20,70})", dict(response.headers)["Content-Type"])
        assert match
        boundaries.add(match[1])
        limit = re.escape(match[1])
        text = r"(?:[A-Za-z0-9+/=]{1,64}\r\n)+"
        shape = (
            rf"--{limit}\r\nContent-Type: application/pkcs8\r\nContent-Transfer-Encoding: base64\r\n\r\n{text}"
            rf"--{limit}\r\nContent-Type: application/pkcs7-mime; smime-type=certs-only\r\n"
            rf"Content-Transfer-Encoding: base64\r\n\r\n{text}--{limit}--\r\n"
        )
        assert re.fullmatch(shape, response.body.decode())
        assert ("Cache-Control", "no-store") in response.headers
    assert len(boundaries) == 3


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (ec.generate_private_key(ec.SECP384R1()), "secp384r1"),
        (rsa.generate_private_key(65537, 2048), "2048"),
        (rsa.generate_private_key(65537, 2304), "secp256r1"),
        (ed25519.Ed25519PrivateKey.generate(), "secp256r1"),
        (ec.generate_private_key(ec.SECP256K1()), "secp256r1"),
    ],
    ids=["p384", "rsa", "odd size", "ed25519", "odd curve"],
)
def test_est_191_the_keys_type_is_a_hint_and_nothing_else_of_it_counts(
    key: Any, kind: str, generating: ReferenceServer
) -> None:
    """A key that an enrolment would refuse, and a signature that is none, are ignored."""
    csr = make_csr(key, digest=None) if not isinstance(key, ed25519.Ed25519PrivateKey) else _ed25519_csr(key)
    spoilt = csr[:-8] + bytes(8)
    (_, der), (_, certificate) = parts_of(post(generating, spoilt, operation="serverkeygen"))
    made = load_der_private_key(der, None)
    assert kind in (getattr(getattr(made, "curve", None), "name", ""), str(made.key_size))
    assert certificate_in(certificate).public_key() != key.public_key()
    assert post(generating, spoilt).status == 400


def _ed25519_csr(key: ed25519.Ed25519PrivateKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name.from_rfc4514_string("CN=dev-1"))
    return builder.sign(key, None).public_bytes(Encoding.DER)


def test_est_191_all_else_is_as_in_an_enrolment(generating: ReferenceServer) -> None:
    """A binding that is there is checked; a password or certificate is needed; the media type counts."""
    wrong = make_csr(attributes=((CHALLENGE_PASSWORD, b"AAAAAAAAAAAAAAAA", None),))
    assert post(generating, wrong, operation="serverkeygen").status == 400
    tls = TlsFacts("TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384", (), tls_unique=b"twelve bytes")
    right = make_csr(attributes=((CHALLENGE_PASSWORD, base64.b64encode(b"twelve bytes"), None),))
    assert post(generating, right, operation="serverkeygen", tls=tls).status == 200
    assert post(generating, request(), operation="serverkeygen", headers=[PKCS10]).status == 401
    assert (
        post(
            generating, request(), operation="serverkeygen", headers=[("Content-Type", "text/plain"), basic(generating)]
        ).status
        == 415
    )
    assert post(generating, b"\x30\x00", operation="serverkeygen").status == 400
    ca = make_csr(extensions=[(x509.BasicConstraints(ca=True, path_length=None), True)])
    assert post(generating, ca, operation="serverkeygen").status == 400


def test_est_190_off_by_default(server: ReferenceServer) -> None:
    assert ask(server).status == 404
    assert server.est.register.entries() == []


def enveloped(response: Response) -> bytes:
    (key_type, message), _ = parts_of(response)
    assert key_type == ENCRYPTED_TYPE
    return message


def judged(run: Callable[..., Any], server: ReferenceServer, tmp_path: Path, message: bytes, *opener: object) -> bytes:
    """What `openssl cms` finds in the envelope: it decrypts, verifies the signature to the root, and gives the package."""
    (tmp_path / "message.der").write_bytes(message)
    run("openssl", "cms", "-decrypt", "-inform", "DER", "-in", "message.der", "-out", "inner.der", *opener)
    wrapped = rfc5652.ContentInfo()
    wrapped["contentType"] = rfc5652.id_signedData
    wrapped["content"] = (tmp_path / "inner.der").read_bytes()
    (tmp_path / "signed.der").write_bytes(encode(wrapped))
    run("openssl", "cms", "-verify", "-inform", "DER", "-in", "signed.der", "-binary", "-out", "package.der",
        "-CAfile", server.ca_file, "-purpose", "any", "-signer", "signer.pem")  # fmt: skip
    return (tmp_path / "package.der").read_bytes()


def key_in(package: bytes) -> Any:
    found, rest = decode(package, asn1Spec=rfc5958.AsymmetricKeyPackage())
    assert (len(found), rest) == (1, b"")
    return load_der_private_key(encode(found[0]), None)


def test_est_196_openssl_opens_a_key_encrypted_to_a_shared_secret(
    run: Callable[..., Any], generating: ReferenceServer, tmp_path: Path
) -> None:
    response = ask(generating, octets(SHARED_ID, NAME), capabilities(AES_WRAP_128))
    message = enveloped(response)
    package = judged(run, generating, tmp_path, message, "-secretkey", SECRET.hex(), "-secretkeyid", NAME.hex())
    assert key_in(package).public_key() == certificate_in(parts_of(response)[1][1]).public_key()
    data = decode(decode(message, asn1Spec=rfc5652.ContentInfo())[0]["content"], asn1Spec=rfc5652.EnvelopedData())[0]
    info = data["recipientInfos"][0]["kekri"]
    assert int(info["version"]) == 4
    assert bytes(info["kekid"]["keyIdentifier"]) == NAME
    assert data["encryptedContentInfo"]["contentType"] == rfc5652.id_signedData


@pytest.mark.parametrize(
    ("key", "listed"),
    [
        (rsa.generate_private_key(65537, 2048), (OAEP, PKCS1)),
        (rsa.generate_private_key(65537, 2048), (PKCS1,)),
        (rsa.generate_private_key(65537, 4096), (OAEP,)),
        (ec.generate_private_key(ec.SECP256R1()), (AES_WRAP_256, ECDH)),
        (ec.generate_private_key(ec.SECP384R1()), (AES_WRAP_256,)),
    ],
    ids=["oaep", "pkcs1", "rsa-4096", "p256", "p384"],
)
def test_est_196_openssl_opens_a_key_encrypted_to_a_certificate(
    key: Any, listed: tuple[str, ...], run: Callable[..., Any], generating: ReferenceServer, tmp_path: Path
) -> None:
    """The recipient is named by the identifier of the request; the signer is the server's, for key generation."""
    (certificate,) = certificates_in(post(generating, make_csr(key)))
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    response = ask(generating, octets(ASYMMETRIC_ID, identifier), capabilities(*listed))
    message = enveloped(response)
    package = judged(run, generating, tmp_path, message, "-recip", "cert.pem", "-inkey", "key.pem")
    assert key_in(package).public_key() == certificate_in(parts_of(response)[1][1]).public_key()
    assert identifier in message
    signer = x509.load_pem_x509_certificate((tmp_path / "signer.pem").read_bytes())
    usages = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [usage.dotted_string for usage in usages] == ["1.3.6.1.5.5.7.3.32"]
    assert (b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a" in message) == (key.key_size in (384, 4096))


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ((octets(SHARED_ID, b"who?"), capabilities(AES_WRAP_128)), b"no shared secret"),
        ((octets(ASYMMETRIC_ID, b"who?"), capabilities(OAEP)), b"no valid certificate"),
        ((octets(SHARED_ID, NAME), octets(ASYMMETRIC_ID, NAME), capabilities(AES_WRAP_128)), b"two keys"),
        ((octets(SHARED_ID, NAME),), b"no SMIMECapabilities"),
        ((octets(SHARED_ID, NAME), capabilities(AES_WRAP_256, OAEP)), b"no key encipherment algorithm"),
        ((octets(SHARED_ID, NAME), capabilities()), b"no key encipherment algorithm"),
        ((octets(SHARED_ID, NAME), (CAPABILITIES, b"\x30\x02\x05\x00")), b"cannot be read"),
        ((octets(SHARED_ID, b""), capabilities(AES_WRAP_128)), b"OCTET STRING"),
        ((octets(SHARED_ID, 65 * b"x"), capabilities(AES_WRAP_128)), b"OCTET STRING"),
        (((SHARED_ID, encode(univ.Integer(5))), capabilities(AES_WRAP_128)), b"OCTET STRING"),
        ((octets(SHARED_ID, NAME), octets(SHARED_ID, NAME)), b"twice"),
    ],
)
def test_est_192_est_193_requests_that_get_no_key(
    attributes: tuple[tuple[str, bytes], ...], said: bytes, generating: ReferenceServer
) -> None:
    """An error and no key; nothing is issued, and nobody is asked to approve it."""
    generating.policy.require_approval = True
    response = ask(generating, *attributes)
    assert response.status == 400
    assert said in response.body
    assert generating.est.register.entries() == []
    assert generating.est.queue.entries() == []


@pytest.mark.parametrize(("kind", "listed"), [("ec", ECDH), ("rsa", OAEP)])
def test_est_193_a_certificate_for_signatures_only(kind: str, listed: str, generating: ReferenceServer) -> None:
    """RFC 7030 section 4.4.1.2: the key MUST support keyTransport or keyAgreement, or be unrestricted."""
    key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)
    signing = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    (certificate,) = certificates_in(post(generating, make_csr(key, extensions=[(signing, True)])))
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_agreement, usage.key_encipherment) == (False, False)
    identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    response = ask(generating, octets(ASYMMETRIC_ID, identifier), capabilities(listed, AES_WRAP_128))
    assert (response.status, b"KeyUsage" in response.body) == (400, True)


def test_one_approval_is_one_key(generating: ReferenceServer) -> None:
    """Asked by eight at once after one approval, the server gives one certificate and one key; the others wait again."""
    generating.policy.require_approval = True
    assert ask(generating).status == 202
    generating.est.queue.decide(None, approve=True)
    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(response.status for response in pool.map(lambda _: ask(generating), range(8)))
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 202, 409}
    assert len(generating.est.register.entries()) == 1


def test_secrets_survive_a_restart_and_stay_private(tmp_path: Path) -> None:
    state = tmp_path / "kept"
    with ReferenceServer(state) as first:
        first.est.server_keys.secrets.add(NAME, SECRET)
        for identifier, key in ((b"", SECRET), (65 * b"x", SECRET), (NAME, b"short")):
            with pytest.raises(ValueError, match="16, 24 or 32"):
                first.est.server_keys.secrets.add(identifier, key)
    assert (state / "server.sqlite").stat().st_mode & 0o077 == 0
    with ReferenceServer(state) as second:
        second.policy.serverkeygen = {"secret"}
        response = ask(second, octets(SHARED_ID, NAME), capabilities(AES_WRAP_128))
        assert enveloped(response)
        assert ask(second).status == 400


@pytest.mark.parametrize("version", [["--tls-max", "1.2"], ["--tlsv1.3"]], ids=["1.2", "1.3"])
def test_curl_and_openssl_get_a_key(
    version: list[str], run: Callable[..., Any], generating: ReferenceServer, tmp_path: Path
) -> None:
    """EST-03, by a client made of a shell: openssl req, curl, csplit, openssl base64."""
    run("openssl", "req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout",
        "throwaway.pem", "-outform", "DER", "-out", "req.der", "-subj", "/CN=sensor-7")  # fmt: skip
    run("openssl", "base64", "-in", "req.der", "-out", "req.b64")
    run("curl", "-sS", "--fail-with-body", "--cacert", generating.ca_file, "-u",
        f"{generating.user}:{generating.password}", *version, "-H", "Content-Type: application/pkcs10", "--data-binary",
        "@req.b64", "-o", "answer", f"{generating.url}/.well-known/est/serverkeygen")  # fmt: skip
    run("csplit", "-s", "-f", "part", "answer", "/^--est-/", "{*}")
    for part in ("01", "02"):
        text = (tmp_path / f"part{part}").read_text().split("\n\n", 1)[-1]
        (tmp_path / f"{part}.b64").write_text(text.replace("\r", "").strip() + "\n")
        run("openssl", "base64", "-d", "-in", f"{part}.b64", "-out", f"{part}.der")
    run("openssl", "pkcs7", "-inform", "DER", "-in", "02.der", "-print_certs", "-out", "cert.pem")
    assert run("openssl", "verify", "-CAfile", generating.ca_file, "-untrusted", generating.issuer_file, "cert.pem")
    public = run("openssl", "pkey", "-inform", "DER", "-in", "01.der", "-pubout").stdout
    assert run("openssl", "x509", "-in", "cert.pem", "-noout", "-pubkey").stdout == public
