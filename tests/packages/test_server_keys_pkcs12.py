"""Generated keys as PKCS#12 over TLS: asked for by Accept, checked, and refused (RFC 8295 section 8.3; B-01 to B-05, AMB-03)."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509

from device_sdk.client.est import DecryptionKey
from device_sdk.client.est.key_package_policy import KeyPackagePolicy
from device_sdk.client.est.server_key import ServerKeyForms
from device_sdk.errors import (
    CertificateMismatchError,
    ConfigurationError,
    HttpStatusError,
    Pkcs12PasswordError,
    RemoteProtocolError,
    ServerKeyError,
)
from device_sdk.model.pkcs12 import Pkcs12Policy
from device_sdk.model.secret import Secret
from tests.est.answers import csr_of
from tests.est.pki import Ca, new_key
from tests.est.scripted_server import http
from tests.packages.test_server_keys import SPEC, Bench
from tests.wire.pfx_making import PASSWORD, by_openssl, joined, usual
from tests.wire.test_pkcs12 import mac_iterations, without_mac

TYPE = "application/pkcs12"


@pytest.fixture(scope="module")
def bench(ca, tmp_path_factory):
    made = Bench(ca, tmp_path_factory.mktemp("server-keys"))
    yield made
    made.server.close()


def ask(bench, make, *, password=PASSWORD, encode=base64.encodebytes, media_type=TYPE, **options):
    """`make` gets a certificate for the generated key and gives the file."""

    def handle(seen):
        certificate = bench.ca.certify(x509.load_der_x509_csr(csr_of(seen)).subject, bench.maker.key.public_key())
        return http(200, encode(make(certificate)), ("Content-Type", media_type))

    options = {"decrypt": None, "forms": ServerKeyForms(pkcs12=Pkcs12Policy(Secret(password)))} | options
    return bench.ask(handle, **options)


def test_b_01_b_02_amb_03_asked_for_and_read(bench, tmp_path):
    """The request is an enrolment's; the answer base64, or DER; openssl's file, and one with PBMAC1."""
    key = bench.maker.key
    for make, encode in (
        (lambda certificate: usual(key, certificate), base64.encodebytes),
        (lambda certificate: usual(key, certificate, mac="pbmac1"), bytes),
        (lambda certificate: by_openssl(tmp_path, key, [certificate, bench.ca.certificate]), base64.b64encode),
    ):
        got = ask(bench, make, encode=encode)
        assert got.certificate.public_key() == key.public_key()
        assert got.requests == got.signers == ()
    seen = bench.server.seen[-1]
    assert seen.line == "POST /.well-known/est/serverkeygen"
    assert (seen.header("Accept"), seen.header("Content-Type")) == (TYPE, "application/pkcs10")
    assert x509.load_der_x509_csr(csr_of(seen)).subject == SPEC.subject


REFUSED = {
    "another password": (lambda b, c, _: usual(b.maker.key, c), {"password": "password"}, Pkcs12PasswordError, "another password"),
    "no MAC": (lambda b, c, _: without_mac(usual(b.maker.key, c)), {}, ServerKeyError, "it has no MAC"),
    "huge iterations": (
        lambda b, c, _: mac_iterations(usual(b.maker.key, c), 2**31 - 1), {}, ServerKeyError, "2147483647 iterations"),
    "two keys": (
        lambda b, c, _: joined(usual(b.maker.key, c), usual(new_key(), c)), {}, ServerKeyError, "several private keys"),
    "a key that is not the certificate's": (
        lambda _, c, __: usual(new_key(), c), {}, ServerKeyError, "no certificate of the answer is for"),
    "no certificate": (
        lambda b, c, d: by_openssl(d, b.maker.key, [c], "-nocerts"), {}, ServerKeyError, "no certificate of the answer is for"),
    "SHA-1": (lambda b, c, d: by_openssl(d, b.maker.key, [c], "-macalg", "sha1"), {}, ServerKeyError, "not taken"),
    "a certificate of another CA": (
        lambda b, _, __: usual(b.maker.key, Ca.root("x").certify("device 1", b.maker.key.public_key())), {},
        CertificateMismatchError, "not usable"),
    "nobody asked": (
        lambda b, c, _: usual(b.maker.key, c), {"forms": ServerKeyForms(), "own": True}, RemoteProtocolError,
        "unsupported response type"),
    "a package was asked for": (
        lambda b, c, _: usual(b.maker.key, c),
        {"forms": ServerKeyForms(KeyPackagePolicy(())), "own": True, "media_type": "application/cms"},
        ServerKeyError, "nobody asked for that"),
    "a package came": (
        lambda b, *_: b.maker.pack("ekp"), {}, ServerKeyError, "otherwise, and PKCS#12 is what was asked for"),
    "noise": (lambda *_: b"\x30\x03\x02\x01\x07", {}, ServerKeyError, "another version"),
}  # fmt: skip


@pytest.mark.parametrize(("wrong", "options", "error", "says"), REFUSED.values(), ids=REFUSED)
def test_b_05_section_17_7_what_is_refused(bench, wrong, options, error, says, tmp_path):
    options = dict(options)
    if options.pop("own", False):
        options["decrypt"] = DecryptionKey(bench.certificate, bench.maker.device_key)
    with pytest.raises(error, match=says) as caught:
        ask(bench, lambda certificate: wrong(bench, certificate, tmp_path), **options)
    assert bench.server.url in str(caught.value)
    assert len([seen for seen in bench.server.seen if seen.method == "POST"]) >= 1
    assert bench.returned == []


def test_b_05_a_wrong_password_is_not_tried_again(bench):
    """One request, one error; the hint says what is lost."""
    before = len(bench.server.seen)
    with pytest.raises(Pkcs12PasswordError) as caught:
        ask(bench, lambda certificate: usual(bench.maker.key, certificate), password="guess")  # no password
    assert [seen.method for seen in bench.server.seen[before:]].count("POST") == 1
    assert (caught.value.exit_code, caught.value.code) == (10, "pkcs12-password")
    assert "the key made now is lost" in str(caught.value)


def test_b_05_older_algorithms_by_opting_in(bench, tmp_path):
    words = ("-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1")
    forms = ServerKeyForms(pkcs12=Pkcs12Policy(Secret(PASSWORD), allow_legacy=True))
    assert ask(bench, lambda certificate: by_openssl(tmp_path, bench.maker.key, [certificate], *words), forms=forms)


@pytest.mark.parametrize("status", [400, 406, 500])
def test_b_03_refusals(bench, status):
    with pytest.raises(HttpStatusError, match="no such thing"):
        bench.ask(
            lambda _: http(status, b"no such thing", ("Content-Type", "text/plain")),
            decrypt=None,
            forms=ServerKeyForms(pkcs12=Pkcs12Policy(Secret(PASSWORD))),
        )


def test_b_04_one_protection(bench):
    """A key to decrypt with means nothing to PKCS#12; packages and PKCS#12 are not asked for at once."""
    pkcs12 = Pkcs12Policy(Secret(PASSWORD))
    decrypt = DecryptionKey(bench.certificate, bench.maker.device_key)
    before = len(bench.server.seen)
    with pytest.raises(ConfigurationError, match="at once"):
        bench.ask(lambda _: http(500), decrypt=decrypt, forms=ServerKeyForms(pkcs12=pkcs12))
    with pytest.raises(ConfigurationError, match="at once"):
        ServerKeyForms(KeyPackagePolicy(()), pkcs12=pkcs12)
    assert len(bench.server.seen) == before
