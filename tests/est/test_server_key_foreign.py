"""Answers of /serverkeygen made without our server: openssl signs and encrypts, Python's email writes the parts."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from email import policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc5958

from device_sdk.client.est import DecryptionKey, EstClient, ServerKey, SharedKey
from device_sdk.client.est.server_key import ProtectionKey
from device_sdk.errors import ServerKeyError, VerificationError
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import PrivateKey
from device_sdk.model.secret import Secret
from tests.est.answers import bag, csr_of, trusting
from tests.est.pki import Ca, certs_only, name
from tests.est.scripted_server import Handler, Reply, Seen, http

SPEC = CsrSpec(subject=name("sensor 7"))
SECRET, NAME = bytes(range(24)), b"bench-7"
SHARED = SharedKey(NAME, Secret(SECRET))
KEY_PACKAGE = "2.16.840.1.101.2.1.2.78.5"


@pytest.fixture
def openssl(tmp_path: Path) -> Callable[..., bytes]:
    def run(*words: object, data: bytes = b"") -> bytes:
        command = ["openssl", *map(str, words)]
        done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=60, cwd=tmp_path)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    return run


def pem(directory: Path, file: str, certificate: x509.Certificate, key: PrivateKey | None = None) -> Path:
    path = directory / f"{file}.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    if key is not None:
        path.with_suffix(".key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def package_of(key: PrivateKey) -> bytes:
    package = rfc5958.AsymmetricKeyPackage()
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    package[0] = decode(der, asn1Spec=rfc5958.OneAsymmetricKey())[0]
    return bytes(encode(package))


@pytest.fixture
def signed(openssl: Callable[..., bytes], ca: Ca, tmp_path: Path) -> Callable[..., bytes]:
    """signed(key, *options): the package with a key, signed with openssl by a certificate of the CA."""

    def sign(key: PrivateKey, *options: str, content_type: str = KEY_PACKAGE) -> bytes:
        signer = rsa.generate_private_key(65537, 2048)
        usage = x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.32")])
        extensions = [(x509.SubjectKeyIdentifier.from_public_key(signer.public_key()), False), (usage, False)]
        certificate = ca.certify("Key Generation", signer.public_key(), extensions=extensions)
        file = pem(tmp_path, "signer", certificate, signer)
        words = ("cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-econtent_type", content_type)
        return openssl(*words, "-signer", file, "-inkey", file.with_suffix(".key"), *options, data=package_of(key))

    return sign


def answer(ca: Ca, key: PrivateKey, key_part: tuple[str, bytes], *, certificate_first: bool = False) -> Handler:
    """Two parts by Python's email package: MIME-Version and all, LF, base64 in 76 columns."""

    def handle(seen: Seen) -> Reply:
        subject = x509.load_der_x509_csr(csr_of(seen)).subject
        parts = [key_part, ("application/pkcs7-mime", certs_only(ca.certify(subject, key.public_key())))]
        message = EmailMessage(policy.default)
        message.make_mixed()
        message.preamble = "This is a multipart message."
        for media_type, der in parts[::-1] if certificate_first else parts:
            message.add_attachment(der, *media_type.split("/"), filename="part.bin")
        body = message.as_bytes().split(b"\n\n", 1)[1]
        return http(200, body, ("Content-Type", str(message["Content-Type"]).replace("\n", "")))

    return handle


def ask(serve: Callable, ca: Ca, handler: Handler, protection: ProtectionKey | None) -> ServerKey:
    server = serve(cacerts=bag(ca.certificate), serverkeygen=handler)
    with EstClient(server.url, trusting(ca)) as client:
        got = client.serverkeygen(SPEC, decrypt=protection, allow_clear=protection is None, wishes=None)
    assert server.lines[-1] == "POST /.well-known/est/serverkeygen"
    return got


def test_est_199_parts_by_pythons_email(serve: Callable, ca: Ca) -> None:
    """In either order; some servers send the certificate first."""
    key = ec.generate_private_key(ec.SECP256R1())
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    for first in (False, True):
        handler = answer(ca, key, ("application/pkcs8", der), certificate_first=first)
        assert ask(serve, ca, handler, None).private_key.reveal() == der


RECIPIENTS: dict[str, tuple[PrivateKey, tuple[str, ...]]] = {
    "rsa": (rsa.generate_private_key(65537, 2048), ()),
    "rsa oaep": (
        rsa.generate_private_key(65537, 3072),
        ("-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"),
    ),
    "p256": (ec.generate_private_key(ec.SECP256R1()), ("-keyopt", "ecdh_kdf_md:sha256")),
    "p384": (ec.generate_private_key(ec.SECP384R1()), ("-aes256-wrap", "-keyopt", "ecdh_kdf_md:sha384")),
}


@pytest.mark.parametrize("keyid", [False, True])
@pytest.mark.parametrize("kind", [*RECIPIENTS, "shared"])
def test_est_196_an_envelope_by_openssl(
    kind: str,
    keyid: bool,
    serve: Callable,
    signed: Callable[..., bytes],
    openssl: Callable[..., bytes],
    ca: Ca,
    tmp_path: Path,
) -> None:
    """openssl puts a whole ContentInfo into the envelope and calls it data; signer and recipient named both ways."""
    key = ec.generate_private_key(ec.SECP384R1())
    extra = ("-keyid",) if keyid else ()
    message = signed(key, *extra)
    words = ("cms", "-encrypt", "-binary", "-outform", "DER", "-aes-256-cbc", *extra, *(("-stream",) if keyid else ()))
    protection: ProtectionKey = SHARED
    if kind == "shared":
        enveloped = openssl(*words, "-secretkey", SECRET.hex(), "-secretkeyid", NAME.hex(), data=message)
    else:
        ours, options = RECIPIENTS[kind]
        extensions = [(x509.SubjectKeyIdentifier.from_public_key(ours.public_key()), False)]
        certificate = ca.certify("device", ours.public_key(), extensions=extensions)
        protection = DecryptionKey(certificate, ours)
        recipient = pem(tmp_path, "recipient", certificate)
        wrap = tuple(option for option in options if option.startswith("-aes"))
        keyopt = tuple(option for option in options if not option.startswith("-aes"))
        enveloped = openssl(*words, *wrap, "-recip", recipient, *keyopt, data=message)
    got = ask(serve, ca, answer(ca, key, ("application/pkcs7-mime", enveloped)), protection)
    assert got.private_key.reveal() == key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.slow
def test_est_198_openssls_signature_of_another_content_type(
    serve: Callable, signed: Callable[..., bytes], openssl: Callable[..., bytes], ca: Ca
) -> None:
    """Signed data is not a signed key package; and a package signed without attributes, or by nobody, is not one either."""
    key = ec.generate_private_key(ec.SECP256R1())
    words = (
        "cms",
        "-encrypt",
        "-binary",
        "-outform",
        "DER",
        "-aes-256-cbc",
        "-secretkey",
        SECRET.hex(),
        "-secretkeyid",
    )
    for inner, expected in (
        (signed(key, content_type="1.2.840.113549.1.7.1"), ServerKeyError),
        (signed(key, "-noattr"), VerificationError),
        (package_of(key), ServerKeyError),
    ):
        enveloped = openssl(*words, NAME.hex(), data=inner)
        with pytest.raises(expected):
            ask(serve, ca, answer(ca, key, ("application/pkcs7-mime", enveloped)), SHARED)


def test_a_signed_package_that_is_not_encrypted_is_refused(
    serve: Callable, signed: Callable[..., bytes], ca: Ca
) -> None:
    """A-04: who may sign packages is for the caller to say; the anchors of the server do not count (AMB-20)."""
    key = ec.generate_private_key(ec.SECP256R1())
    for protection in (SHARED, None):
        with pytest.raises(ServerKeyError, match="package of RFC 8295"):
            ask(serve, ca, answer(ca, key, ("application/pkcs7-mime", signed(key))), protection)


def test_the_key_part_in_base64_of_one_line(serve: Callable, ca: Ca) -> None:
    """A body written with a template: no transfer encoding named, one line, LF."""
    key = ec.generate_private_key(ec.SECP256R1())
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    def handle(seen: Seen) -> Reply:
        certificate = ca.certify(x509.load_der_x509_csr(csr_of(seen)).subject, key.public_key())
        texts = [base64.b64encode(one) for one in (der, certs_only(certificate))]
        kinds = (b"application/pkcs8", b"application/pkcs7-mime; smime-type=certs-only")
        body = b"".join(b"--b\nContent-Type: %s\n\n%s\n" % pair for pair in zip(kinds, texts, strict=True)) + b"--b--\n"
        return http(200, body, ("Content-Type", "multipart/mixed; boundary=b"))

    assert ask(serve, ca, handle, None).private_key.reveal() == der
