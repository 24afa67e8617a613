"""/serverkeygen of the reference server in the forms of RFC 8295 section 8; openssl and pyasn1 judge what it makes (A-02, A-03, B-02)."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key
from device_sdk_simulators.http.messages import Response
from device_sdk_simulators.packages.layers import content_info
from device_sdk_simulators.server import ReferenceServer
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5652, rfc5958, rfc6032

from tests.est.pki import pem_key
from tests.simulators.server.support import PKCS10, basic, certificates_in, make_csr, post
from tests.simulators.server.test_server_key import (
    AES_WRAP_128,
    ASYMMETRIC_ID,
    ECDH,
    NAME,
    SECRET,
    SHARED_ID,
    ask,
    capabilities,
    certificate_in,
    octets,
    parts_of,
)

EKP = (str(rfc5652.id_contentType), encode(univ.ObjectIdentifier(rfc6032.id_ct_KP_encryptedKeyPkg)))
SHARED = octets(SHARED_ID, NAME), capabilities(AES_WRAP_128)
MEDIA = {
    "signed": "application/cms; encapsulatingContent=signedData, envelopedData, signedData; innerContent=aKeyPackage",
    "ekp": "application/cms; encapsulatingContent=encryptedKeyPkg, signedData; innerContent=aKeyPackage",
    "signed-ekp": "application/cms; encapsulatingContent=signedData, encryptedKeyPkg, signedData; innerContent=aKeyPackage",
}
ACCEPT = ("Accept", "application/pkcs12")


@pytest.fixture
def generating(server: ReferenceServer) -> ReferenceServer:
    server.policy.serverkeygen = {"clear", "secret", "certificate", "pkcs12"}
    server.est.server_keys.secrets.add(NAME, SECRET)
    server.est.server_keys.pkcs12_passwords[""] = b"password"
    return server


@pytest.fixture
def openssl(tmp_path: Path) -> Callable[..., bytes]:
    def run(*words: object, data: bytes) -> bytes:
        command = ["openssl", *map(str, words)]
        done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=60, cwd=tmp_path)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    return run


def type_of(message: bytes) -> str:
    info, rest = decode(message, asn1Spec=rfc5652.ContentInfo())
    assert (rest, encode(info)) == (b"", message)
    return str(info["contentType"])


def as_envelope(message: bytes) -> bytes:
    """ContentInfo with the EnvelopedData that an EncryptedKeyPackage is but for its tag, which openssl does not know."""
    inside = bytes(decode(message, asn1Spec=rfc5652.ContentInfo())[0]["content"])
    package, rest = decode(inside, asn1Spec=rfc6032.EncryptedKeyPackage())
    assert (rest, encode(package), package.getName()) == (b"", inside, "enveloped")
    return content_info((rfc5652.id_envelopedData, b"\x30" + inside[1:]))


@pytest.mark.parametrize("form", MEDIA)
def test_a_02_openssl_takes_every_layer_off(
    form: str, generating: ReferenceServer, openssl: Callable[..., bytes], tmp_path: Path
) -> None:
    """Verified, decrypted, verified; what is inside is one key, and pyasn1 writes it the same."""
    server, key = generating, ec.generate_private_key(ec.SECP256R1())
    (own,) = certificates_in(post(server, make_csr(key)))
    identifier = own.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    (tmp_path / "own.key").write_bytes(pem_key(key))
    server.policy.serverkeygen_form = form
    wish = octets(ASYMMETRIC_ID, identifier), capabilities(ECDH, AES_WRAP_128)
    (media, message), (_, certificate) = parts_of(ask(server, *wish))
    assert media == MEDIA[form]
    verify = (
        "cms",
        "-verify",
        "-inform",
        "DER",
        "-binary",
        "-purpose",
        "any",
        "-CAfile",
        server.state / "keys-ca" / "root.pem",
    )
    if form.startswith("signed"):
        kind = rfc6032.id_ct_KP_encryptedKeyPkg if form == "signed-ekp" else rfc5652.id_envelopedData
        message = content_info((kind, openssl(*verify, data=message)))
    if form.endswith("ekp"):
        message = as_envelope(message)
    inner = openssl("cms", "-decrypt", "-inform", "DER", "-binary", "-inkey", "own.key", data=message)
    package = openssl(*verify, data=content_info((rfc5652.id_signedData, inner)))
    found, rest = decode(package, asn1Spec=rfc5958.AsymmetricKeyPackage())
    assert (rest, encode(found), len(found)) == (b"", package, 1)
    given = load_der_private_key(encode(found[0]), None)
    assert given.public_key() == certificate_in(certificate).public_key()


def test_a_03_who_understands_encrypted_key_packages_says_so(generating: ReferenceServer) -> None:
    """The attribute, the label, the policy: whichever says it; a label's form counts more than the request."""
    server = generating
    server.policy.labels = {"lab", "old"}
    server.policy.serverkeygen_label_forms = {"lab": "signed-ekp", "old": "rfc7030"}

    def media(*attributes: tuple[str, bytes], label: str = "") -> str:
        from tests.simulators.server.test_server_key import request

        path = f"{label}/serverkeygen" if label else "serverkeygen"
        return parts_of(post(server, request(*attributes), operation=path))[0][0]

    rfc_7030 = "application/pkcs7-mime; smime-type=server-generated-key"
    assert media(*SHARED) == rfc_7030
    assert media(*SHARED, EKP) == MEDIA["signed-ekp"]
    assert media(*SHARED, (EKP[0], encode(univ.ObjectIdentifier("1.2.3")))) == rfc_7030
    assert media(*SHARED, label="lab") == MEDIA["signed-ekp"]
    assert media(*SHARED, EKP, label="old") == rfc_7030
    server.policy.serverkeygen_announced_form = "signed"
    assert media(*SHARED, EKP) == MEDIA["signed"]
    assert media() == "application/pkcs8"


def test_amb_02_the_package_alone(generating: ReferenceServer) -> None:
    """DER, as application/cms is a binary type (G-07); what is known of it is in the log."""
    generating.policy.serverkeygen_form, generating.policy.serverkeygen_bare = "ekp", True
    response = ask(generating, *SHARED)
    assert (response.status, response.header("Content-Type")) == (
        200,
        MEDIA["ekp"].replace("=encr", '="encr').replace("a; inner", 'a"; inner'),
    )
    assert type_of(response.body) == str(rfc6032.id_ct_KP_encryptedKeyPkg)
    assert generating.log()[-1]["private_key"] == "ekp"


def pkcs12(server: ReferenceServer, *headers: tuple[str, str]) -> Response:
    return ask(server, headers=[PKCS10, basic(server), *headers])


def test_b_02_amb_03_openssl_opens_what_accept_asks_for(
    generating: ReferenceServer, openssl: Callable[..., bytes]
) -> None:
    """Base64, application/pkcs12; PBES2 with AES-256 and a MAC with SHA-256; the key is the certificate's."""
    response = pkcs12(generating, ACCEPT)
    assert (response.status, response.header("Content-Type")) == (200, "application/pkcs12")
    made = base64.b64decode(response.body, validate=False)
    shown = openssl("pkcs12", "-nodes", "-passin", "pass:password", data=made)
    both = [openssl(*words, data=shown) for words in (("pkey", "-pubout"), ("x509", "-noout", "-pubkey"))]
    assert both[0] == both[1]
    assert generating.est.register.entries()[-1]["serial"] == generating.log()[-1]["issued_serial"]


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("application/pkcs12", "application/pkcs12"),
        ("text/html, Application/PKCS12;q=0.5", "application/pkcs12"),
        ("application/pkcs12;q=0, */*", "multipart/mixed"),
        ("multipart/mixed", "multipart/mixed"),
    ],
)
def test_amb_03_accept(accept: str, answered: str, generating: ReferenceServer) -> None:
    assert (pkcs12(generating, ("Accept", accept)).header("Content-Type") or "").partition(";")[0] == answered


def test_amb_03_a_server_that_makes_none(generating: ReferenceServer) -> None:
    """406, and nothing is issued; nobody learns so who has not said who he is."""
    generating.est.server_keys.pkcs12_passwords.clear()
    assert pkcs12(generating, ACCEPT).status == 406
    generating.est.server_keys.pkcs12_passwords[""] = b"password"
    generating.policy.serverkeygen = {"clear"}
    assert pkcs12(generating, ACCEPT).status == 406
    assert ask(generating, headers=[PKCS10, ACCEPT]).status == 401
    assert generating.est.register.entries() == []


def test_b_03_each_user_has_a_password(generating: ReferenceServer, openssl: Callable[..., bytes]) -> None:
    """Of the certificates for one of them no other can open the file; by policy everybody gets PKCS#12."""
    generating.policy.serverkeygen_form = "pkcs12"
    generating.est.server_keys.pkcs12_passwords[str(generating.user)] = b"of this user"
    made = base64.b64decode(pkcs12(generating).body)
    assert b"BEGIN" in openssl("pkcs12", "-nodes", "-passin", "pass:of this user", data=made)
