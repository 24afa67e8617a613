"""Requests as no library writes them: repeated, cut up and sewn together, unsigned."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import char, univ
from pyasn1_alt_modules import rfc2986, rfc5280

from tests.simulators.server.support import make_csr

CHALLENGE_PASSWORD = "1.2.840.113549.1.9.7"
IDENTITY_LINKING = "1.2.840.113549.1.9.16.2.58"
EXTENSION_REQUEST = "1.2.840.113549.1.9.14"


def dns_names(*names: str) -> univ.Any:
    """The value of an extensionRequest that asks for these names."""
    extensions = rfc5280.Extensions()
    extensions[0]["extnID"] = rfc5280.id_ce_subjectAltName
    extensions[0]["extnValue"] = x509.SubjectAlternativeName([x509.DNSName(name) for name in names]).public_bytes()
    return extensions


def x400_name() -> univ.Any:
    """The value of an extensionRequest that asks for an x400Address."""
    extensions = rfc5280.Extensions()
    extensions[0]["extnID"] = rfc5280.id_ce_subjectAltName
    extensions[0]["extnValue"] = bytes.fromhex("3004a3023000")
    return extensions


def odd_csr(attributes, *, version=0, common_name=None) -> bytes:
    """A CSR with attributes and a name as no library writes them: repeated, of several values or of none; signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    request, _ = decode(make_csr(key), asn1Spec=rfc2986.CertificationRequest())
    info = request["certificationRequestInfo"]
    info["version"] = version
    if common_name is not None:
        info["subject"]["rdnSequence"][0][0]["value"] = encode(common_name)
    info["attributes"].clear()
    for position, (oid, values) in enumerate(attributes):
        info["attributes"][position]["type"] = oid
        info["attributes"][position]["values"].clear()
        for number, value in enumerate(values):
            encoded = encode(char.UTF8String(value) if isinstance(value, str) else value)
            info["attributes"][position]["values"][number] = encoded
    request["signature"] = univ.BitString.fromOctetString(key.sign(encode(info), ec.ECDSA(hashes.SHA256())))
    return bytes(encode(request))


def resealed(csr: bytes, change) -> bytes:
    """The request with its parts changed by hand and its old signature."""
    request, _ = decode(csr, asn1Spec=rfc2986.CertificationRequest())
    change(request)
    return encode(request)


def with_key(public_key):
    spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def change(request):
        info = request["certificationRequestInfo"]
        info["subjectPKInfo"] = decode(spki, asn1Spec=rfc5280.SubjectPublicKeyInfo())[0]

    return change


def unsigned(request):
    """RFC 5272 appendix C.1: the signature is a hash, which anybody can make."""
    algorithm = request["signatureAlgorithm"]
    algorithm["algorithm"] = "1.3.6.1.5.5.7.6.2"
    algorithm["parameters"] = b"\x05\x00"
    digest = hashes.Hash(hashes.SHA256())
    digest.update(encode(request["certificationRequestInfo"]))
    request["signature"] = type(request["signature"])(hexValue=digest.finalize().hex())


def dh_key(request):
    """id-ecDH (RFC 5480 section 2.1.2): a key that is restricted to key agreement."""
    request["certificationRequestInfo"]["subjectPKInfo"]["algorithm"]["algorithm"] = "1.3.132.1.12"


def twice(extensions: univ.Any) -> univ.Any:
    """The value of an extensionRequest that has its one extension twice."""
    extensions[1] = extensions[0]
    return extensions


def signed_with(digest: str, directory: Path, kind: str = "rsa:2048") -> bytes:
    """By openssl, which still signs with what is not to be accepted; for a new key, "rsa:2048" or "ec"."""
    words = ["openssl", "req", "-new", "-newkey", kind, "-noenc", "-keyout", directory / "odd.key", f"-{digest}"]
    words += ["-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else []
    words += ["-subj", "/CN=dev-9", "-outform", "DER"]
    return subprocess.run(words, check=True, capture_output=True, timeout=30).stdout
