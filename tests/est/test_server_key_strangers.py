"""/serverkeygen answers of servers that the reference server is not: weak ciphers, errors with a key in them (EST-190, EST-202)."""

from __future__ import annotations

import base64
import ssl
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.est.multipart import multipart

from device_sdk.client.est import EstClient
from device_sdk.client.est.server_key import throwaway_key
from device_sdk.errors import HttpStatusError, ServerKeyError
from device_sdk.model.http import ConnectionFacts, HttpResponse
from device_sdk.model.keys import KeyType, PrivateKey
from device_sdk.protocols.est.server_key import Judgement, check_server_key
from device_sdk.protocols.est.server_key_answer import ServerKeyAnswer, read_server_key
from device_sdk.protocols.est.server_key_opened import _not_a_key_generator
from device_sdk.wire.csr import build_csr
from device_sdk.wire.private_key import pkcs8_of
from tests.est.answers import bag, trusting
from tests.est.pki import Ca, certs_only, new_key
from tests.est.scripted_server import ScriptedServer, http
from tests.est.test_server_key import SPEC
from tests.est.test_server_key_refused import refused


@pytest.mark.slow
@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256"])
def test_rfc_7030_section_4_4_a_connection_weaker_than_the_key(cipher: str) -> None:
    """AES-128 does for keys of P-256 and RSA up to 3072 bits, but not for stronger ones in the clear."""
    kinds = {"ec-p256": True, "rsa-3072": True, "ec-p384": False, "ec-p521": False, "rsa-4096": False}
    for kind, good in kinds.items():
        for suite in (cipher, "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"):
            answer, csr, judgement = answered(KeyType(kind), suite)
            if good or suite != cipher:
                check_server_key(answer, csr, None, judgement)
            else:
                with pytest.raises(ServerKeyError, match="weaker than the key"):
                    check_server_key(answer, csr, None, judgement)


def scripted(ca: Ca, tmp_path: Path, key: PrivateKey, status: int = 200, named: str = "") -> ScriptedServer:
    """A server that gives this key in the clear, with its certificate, with any status and under any name."""
    certificate = certs_only(ca.certify("sensor 7", key.public_key()))
    media, body = multipart(
        ("application/pkcs8", pkcs8_of(key).reveal()), ("application/pkcs7-mime; smime-type=certs-only", certificate)
    )
    server = ScriptedServer(ca, tmp_path, {"cacerts": bag(ca.certificate)}, maximum=ssl.TLSVersion.TLSv1_2)
    server.handlers["serverkeygen"] = lambda _seen: http(status, body, ("Content-Type", named or media))
    return server


@pytest.mark.parametrize("media", ["", "text/plain", "text/html", "application/pkcs8", "application/octet-stream"])
@pytest.mark.parametrize("status", [203, 204, 400, 500])
def test_est_202_est_203_a_key_that_comes_with_an_error_is_none(status: int, media: str, tmp_path: Path) -> None:
    """The answer is the status; the key below it is neither used nor shown, whatever it calls itself."""
    ca, key = Ca.root("EST root"), throwaway_key(None, None)
    server = scripted(ca, tmp_path, key, status, media)
    try:
        with EstClient(server.url, trusting(ca)) as client:
            error = refused(client, HttpStatusError, str(status), allow_clear=True, wishes=None)
    finally:
        server.close()
    assert error.facts()["status_code"] == status
    lines = base64.encodebytes(pkcs8_of(key).reveal()).decode().split()
    assert not any(line[-20:] in f"{error} {error.facts()}" for line in lines)


@pytest.mark.parametrize(("kind", "good"), [("ec-p256", True), ("ec-p384", False)])
def test_est_190_a_server_that_speaks_a_weak_cipher(kind: str, good: bool, tmp_path: Path) -> None:
    """Over TLS 1.2 with AES-128; the reference server would refuse (see its own test), so this one is another's."""
    ca, key = Ca.root("EST root"), throwaway_key(KeyType(kind), None)
    server = scripted(ca, tmp_path, key)
    server._context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    try:
        with EstClient(server.url, trusting(ca)) as client:
            if good:
                got = client.serverkeygen(SPEC, allow_clear=True, wishes=None)
                assert got.certificate.public_key() == key.public_key()
            else:
                refused(client, ServerKeyError, "AES128-GCM-SHA256, which is weaker", allow_clear=True, wishes=None)
    finally:
        server.close()


@cache
def generated(kind: KeyType | None) -> PrivateKey:
    """One key of a kind is enough: RSA ones take seconds."""
    return throwaway_key(kind, None)


def answered(kind: KeyType, suite: str) -> tuple[ServerKeyAnswer, x509.CertificateSigningRequest, Judgement]:
    """A good answer over a connection with this suite."""
    ca, key = Ca.root("Root"), generated(kind)
    content_type, body = multipart(
        ("application/pkcs8", pkcs8_of(key).reveal()),
        ("application/pkcs7-mime", certs_only(ca.certify("x", key.public_key()))),
    )
    facts = ConnectionFacts("TLSv1.3", suite)
    url = "https://est.example/.well-known/est/serverkeygen"
    now = datetime.now(UTC)
    answer = read_server_key(HttpResponse(200, (("Content-Type", content_type),), body, url, facts), now)
    csr = x509.load_der_x509_csr(build_csr(SPEC, generated(None)))
    return answer, csr, Judgement((ca.certificate,), (), now, url)


def test_est_198_who_may_sign_generated_keys() -> None:
    """What a device may have makes it no key generator: no extended key usage, any, or that of a server elsewhere."""
    ca = Ca.root("Signers")

    def judged(*usages: str, server: bool = False) -> bool:
        extensions = [(x509.ExtendedKeyUsage([x509.ObjectIdentifier(one) for one in usages]), False)] if usages else []
        signer = ca.certify("signer", new_key().public_key(), extensions=extensions)
        return _not_a_key_generator(signer, signer.public_bytes(Encoding.DER) if server else None) is None

    assert not judged()
    assert not judged("2.5.29.37.0")
    assert not judged("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2")
    assert all(judged(f"1.3.6.1.5.5.7.3.{last}") for last in (27, 28, 32))
    assert judged("1.3.6.1.5.5.7.3.1", server=True)
    assert _not_a_key_generator(ca.certificate, None) is None
