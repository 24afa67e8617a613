"""Generated keys in packages of RFC 8295 section 8.1 over TLS: what is taken, what is refused, what goes back (A-01 to A-08, AR-01)."""

from __future__ import annotations

import base64
import re
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key
from device_sdk_simulators.est.server_key_package import enveloped_to
from device_sdk_simulators.est.server_key_wish import Recipient
from device_sdk_simulators.packages import layers
from pyasn1.codec.der.decoder import decode
from pyasn1_alt_modules import rfc5652, rfc7191

from device_sdk.client.est import DecryptionKey, EstClient, SharedKey
from device_sdk.client.est.key_package_policy import KeyPackagePolicy
from device_sdk.client.est.server_key import ServerKeyForms
from device_sdk.errors import (
    ConfigurationError,
    EnvelopeError,
    HttpStatusError,
    KeyPackageRefusedError,
    KeyPackageUntrustedError,
    RemoteProtocolError,
    ServerKeyError,
)
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import KeyType
from device_sdk.model.secret import Secret
from device_sdk.model.trust import TlsIdentity
from tests.est.answers import bag, trusting
from tests.est.pki import certs_only, name, new_key, one_line, pem_key
from tests.est.scripted_server import ScriptedServer, http, pkcs7
from tests.packages.generated import FORMS, Generator, alone, in_parts
from tests.packages.sealing import SKP, Sealer, constraints, flip, key_package, receipt_request
from tests.packages.test_symmetric_keys import opened, said

SPEC = CsrSpec(subject=name("device 1"))
BASE = "/.well-known/est/serverkeygen"
KEK = SharedKey(b"kek-1", Secret(bytes(range(32))))


class Bench:
    """A server that answers what it is told, and a client whose key opens packages."""

    def __init__(self, ca, directory) -> None:
        self.ca, self.maker = ca, Generator()
        self.certificate = ca.certify("device 1", self.maker.device_key.public_key())
        self.server = ScriptedServer(ca, directory, {"cacerts": bag(ca.certificate)}, client_ca=ca.certificate)
        self.server.handlers["return"] = lambda seen: self.returned.append(seen) or self.back
        self.returned, self.back = [], http(204)

    def ask(self, handler, *, anonymous=False, decrypt="own", receipts=False, key_type=None, forms=None, **policy):
        self.returned.clear()
        self.server.handlers["serverkeygen"] = handler
        identity = None if anonymous else TlsIdentity((self.certificate,), self.maker.device_key)
        if decrypt == "own":
            decrypt = DecryptionKey(self.certificate, self.maker.device_key)
        usual = {"anchors": self.maker.anchors, "require_addressed": False}  # the form "ekp", too
        forms = forms or ServerKeyForms(KeyPackagePolicy(**(usual | policy)))
        with EstClient(self.server.url, trusting(self.ca), identity=identity) as client:
            got = client.serverkeygen(SPEC, decrypt=decrypt, forms=forms, key_type=key_type, wishes=None)
            return (
                (got, client.packages.return_receipts(got, recipient=policy.get("receipt_recipient")))
                if receipts
                else got
            )

    def parts(self, message, media_type="application/cms"):
        return in_parts(self.ca, self.maker.key, message, media_type)

    def error(self):
        (seen,) = self.returned
        assert seen.line == f"POST {BASE}/return"
        return said(seen, rfc7191.KeyPackageError())[1]


@pytest.fixture(scope="module")
def bench(ca, tmp_path_factory):
    made = Bench(ca, tmp_path_factory.mktemp("server-keys"))
    yield made
    made.server.close()


@pytest.fixture(autouse=True)
def usual(bench):
    bench.back = http(204)


def require_good(got, bench) -> None:
    key = load_der_private_key(got.private_key.reveal(), None)
    assert key.public_key() == got.certificate.public_key() == bench.maker.key.public_key()
    assert set(got.signers) == {bench.maker.signer}


@pytest.mark.parametrize("form", FORMS)
def test_a_02_the_nestings(bench, form):
    """Beside a certificate (AMB-02), whatever the part is said to be (G-08), with the ciphers of section 8.1."""
    for cipher in layers.CONTENT_CIPHERS:
        require_good(bench.ask(bench.parts(bench.maker.pack(form, cipher=cipher))), bench)
    require_good(bench.ask(bench.parts(bench.maker.pack(form), "application/pkcs7-mime")), bench)
    assert bench.server.seen[-1].header("Accept") != "application/pkcs12"


@pytest.mark.parametrize("form", FORMS)
def test_amb_02_one_message_with_the_certificate_inside(bench, form):
    """As an attribute of the key, or among the certificates of a signature; in DER or base64 (AMB-01)."""
    certificate = bench.ca.certify("device 1", bench.maker.key.public_key())
    attribute = bench.maker.pack(form, bench.maker.package(certificate=certificate))
    require_good(bench.ask(alone(attribute)), bench)
    require_good(bench.ask(alone(base64.encodebytes(attribute))), bench)
    by = bench.maker.by()
    signed = layers.signed(bench.maker.content(), by.signer, [*by.certificates, certificate])
    beside = layers.content_info(bench.maker.ekp(signed))
    require_good(bench.ask(alone(beside)), bench)
    with pytest.raises(ServerKeyError, match="no certificate of the answer"):
        bench.ask(alone(bench.maker.pack(form)))


def test_amb_02_a_key_that_comes_without_its_certificate(bench):
    """It is fetched, as the result of an enrolment is, and has to be for that key; anything else is the answer's fault."""
    certificate = bench.ca.certify("device 1", bench.maker.key.public_key())
    stranger = bench.ca.certify("device 1", new_key().public_key())
    message = alone(bench.maker.pack("ekp"))
    for answer, good in (
        (pkcs7(one_line(certs_only(certificate))), True),
        (pkcs7(one_line(certs_only(stranger))), False),
        (http(202, b"", ("Retry-After", "60")), False),
        (http(500, b"no"), False),
        (http(404), False),
    ):
        bench.server.handlers["simpleenroll"] = lambda _, answer=answer: answer
        if good:
            require_good(bench.ask(message), bench)
            continue
        with pytest.raises(ServerKeyError, match="no certificate of the answer"):
            bench.ask(message)
        assert bench.server.seen[-2].line == "GET /.well-known/est/simpleenroll"


def test_amb_02_who_signed_is_found_by_way_of_known_certificates(bench):
    """A signature without the certificate of the CA between signer and anchor, which /cacerts has."""
    below = bench.ca.issue_ca("Issuing")
    signer = below.certify("package signer", bench.maker.signer_key.public_key())
    message = bench.parts(bench.maker.pack("ekp", signer=signer))
    with pytest.raises(KeyPackageUntrustedError):
        bench.ask(message, anchors=[bench.ca.certificate])
    before = bench.server.handlers["cacerts"]
    bench.server.handlers["cacerts"] = bag(bench.ca.certificate, below.certificate)
    try:
        assert bench.ask(message, anchors=[bench.ca.certificate]).signers == (signer,)
    finally:
        bench.server.handlers["cacerts"] = before


def test_a_02_encrypted_data_with_a_shared_key(bench):
    content = bench.maker.signed(bench.maker.content())
    encrypted = layers.encrypted(content, KEK.key.reveal(), "kwp", KEK.identifier)
    message = layers.content_info(layers.encrypted_key_package(encrypted))
    require_good(bench.ask(bench.parts(message), decrypt=KEK), bench)


def test_a_03_the_request_says_what_is_understood(bench):
    """RFC 2985's contentType, with the encrypted key package's OID; openssl reads it."""
    policy = KeyPackagePolicy(bench.maker.anchors)
    require_good(
        bench.ask(bench.parts(bench.maker.pack("signed-ekp")), forms=ServerKeyForms(policy, announce=True)), bench
    )
    csr = base64.b64decode(bench.server.seen[-1].body)
    words = ["openssl", "asn1parse", "-inform", "DER"]
    shown = subprocess.run(words, input=csr, capture_output=True, check=True).stdout.decode()
    assert re.search(r":contentType\n.*SET.*\n.*OBJECT +:2\.16\.840\.1\.101\.2\.1\.2\.78\.2\n", shown)
    with pytest.raises(ConfigurationError, match="who may sign"):
        ServerKeyForms(announce=True)


def test_a_07_a_package_in_ber(bench):
    """RFC 5958 section 2: receivers take BER; lengths left open, and the key in pieces."""
    one = bench.maker.package()[2:]
    assert bench.maker.package()[0] == 0x30
    open_ended = b"\x30\x80" + (one if one[0] == 0x30 else one[1:]) + b"\0\0"
    require_good(bench.ask(bench.parts(bench.maker.pack("signed", open_ended))), bench)


def own_ca(bench):
    """Signed by a certificate of the CA that the EST server and all devices are under."""
    certificate = bench.ca.certify("device 2", bench.maker.signer_key.public_key())
    return bench.maker.pack("signed", signer=certificate)


def forbidden(bench):
    signer = bench.maker.ca.certify(
        "signer", bench.maker.signer_key.public_key(), extensions=[(constraints(SKP), False)]
    )
    return bench.maker.pack("signed", signer=signer)


def altered(bench):
    m = bench.maker
    kind, content = m.signed(m.content())
    return layers.content_info(m.signed(m.enveloped((kind, flip(content, m.package()[-20:])), "cbc")))


def info(content):
    return layers.content_info(content)


MAKER_OF_ANOTHER = Sealer()
REFUSED = {
    "A-08: a key that is not the certificate's": (
        lambda b: b.maker.pack("signed", b.maker.package(new_key())), ServerKeyError, "no certificate of the answer", 84),
    "A-08: two keys": (
        lambda b: b.maker.pack("signed", b.maker.package(b.maker.key, new_key())), ServerKeyError, "exactly one", 84),
    "A-08: no key": (lambda b: b.maker.pack("signed", b"\x30\x00"), ServerKeyError, "exactly one", 84),
    "A-08: a key of a kind that is not supported": (
        lambda b: b.maker.pack("signed", b.maker.package(ec.generate_private_key(ec.SECP256K1()))), ServerKeyError,
        "not supported", 84),
    "A-04: an encrypted key package without a signature": (
        lambda b: info(b.maker.ekp(b.maker.content())), KeyPackageUntrustedError, "nobody signed", 71),
    "A-04: a signer of the EST server's own CA": (own_ca, KeyPackageUntrustedError, "no path", 10),
    "A-04: altered below the outer signature": (altered, KeyPackageUntrustedError, "digest", 16),
    "A-04: an unknown signer inside": (
        lambda b: info(b.maker.ekp(MAKER_OF_ANOTHER.signed(b.maker.content()))), KeyPackageUntrustedError, "no path", 71),
    "G-04: not encrypted": (
        lambda b: info(b.maker.signed(b.maker.content())), KeyPackageRefusedError, "not encrypted beyond TLS", 89),
    "S-02: content constraints without asymmetric keys": (
        forbidden, KeyPackageUntrustedError, "do not allow content of type 2.16.840.1.101.2.1.2.78.5", 11),
    "G-08: symmetric keys": (
        lambda b: info(b.maker.signed((SKP, key_package()))), KeyPackageRefusedError, "no package of asymmetric keys", 2),
    "S-04: for another device": (
        lambda b: info(b.maker.signed(MAKER_OF_ANOTHER.enveloped(b.maker.signed(b.maker.content())))), EnvelopeError,
        "cannot be opened", 71),
    "data in the envelope that is no message": (
        lambda b: info(b.maker.ekp(("1.2.840.113549.1.7.1", b.maker.package()))), EnvelopeError, "cannot be opened", 71),
    "a message of another kind in the envelope": (
        lambda b: info(b.maker.ekp(("1.2.840.113549.1.7.1", info(("1.2.840.113549.1.9.16.1.16", b"\4\1x"))))),
        EnvelopeError, "cannot be opened", 71),
    "half a message": (lambda b: b.maker.pack("ekp")[:-40], RemoteProtocolError, "serverkeygen", None),
}  # fmt: skip


@pytest.mark.parametrize(("wrong", "error", "says", "fault"), REFUSED.values(), ids=REFUSED)
def test_section_17_7_what_is_refused_and_told(bench, wrong, error, says, fault):
    """In parts and as one message; the server is told by a signed error, and no more than it may know (S-03)."""
    message = wrong(bench)
    for handler in (bench.parts(message), alone(message)):
        with pytest.raises(error, match=says) as caught:
            bench.ask(handler)
        assert bench.server.url in str(caught.value)
        assert [int(bench.error()["errorCode"]["enum"])] == [fault] if fault else bench.returned == []


def test_a_04_nobody_is_named_who_may_sign(bench):
    """The anchors of the server are none for packages; in parts, alone, and without a key to open it."""
    message = bench.maker.pack("signed")
    nothing = ServerKeyForms()
    with pytest.raises(ServerKeyError, match="nothing says who may sign"):
        bench.ask(bench.parts(message, "application/pkcs7-mime"), forms=nothing)
    for handler in (bench.parts(message), alone(message)):
        with pytest.raises(RemoteProtocolError, match="unsupported response type 'application/cms'"):
            bench.ask(handler, forms=nothing)
    assert bench.returned == []


def test_section_17_3_what_was_signed_for_somebody_else(bench):
    """An inner signature alone does not say for whom the key is, so the package may be one that another device was given."""
    for form in ("signed", "signed-ekp"):
        require_good(bench.ask(bench.parts(bench.maker.pack(form)), require_addressed=True), bench)
    with pytest.raises(KeyPackageRefusedError, match="nothing that is signed says for whom it is"):
        bench.ask(bench.parts(bench.maker.pack("ekp")), require_addressed=True)
    assert int(bench.error()["errorCode"]["enum"]) == 71
    assert KeyPackagePolicy(bench.maker.anchors).require_addressed


def test_k_06_a_stripped_signature_counts_only_by_policy(bench):
    message = info(bench.maker.ekp(bench.maker.content()))
    assert bench.ask(bench.parts(message), require_signature=False).signers == ()


def test_a_08_another_type_than_asked_for(bench):
    message = bench.maker.pack("signed")
    require_good(bench.ask(bench.parts(message), key_type=KeyType.EC_P256), bench)
    with pytest.raises(ServerKeyError, match="ec-p256, and ec-p384 was asked for"):
        bench.ask(bench.parts(message), key_type=KeyType.EC_P384)


def test_ar_01_a_receipt(bench):
    """KR-02, KR-07: signed by the identity's key, with the identifier of the attribute; the judge reads it."""
    message = bench.maker.pack("signed", request=receipt_request(b"generated-7"))
    got, returned = bench.ask(bench.parts(message), receipts=True)
    assert (returned.sent, returned.withheld) == ((b"generated-7",), ())
    (seen,) = bench.returned
    assert seen.line == f"POST {BASE}/return"
    assert seen.header("Content-Type") == (
        "application/cms; encapsulatingContent=signedData; innerContent=keyPackageReceipt"
    )
    _, judged = said(seen, rfc7191.KeyPackageReceipt())
    assert bytes(judged["receiptOf"]["pkgID"]) == b"generated-7"
    assert bytes(judged["receivedBy"]["sirenValue"]) == bench.certificate.subject.public_bytes()
    assert [one.package_id for one in got.requests] == [b"generated-7"]


def test_ar_01_a_receipt_for_the_form_of_rfc_7030(bench):
    """EnvelopedData around SignedData, signed by a key generator of the EST server's CA: its attribute counts as well."""
    usage = x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.32")])
    signer = bench.ca.certify("Key Generation", bench.maker.signer_key.public_key(), extensions=[(usage, False)])
    signed = bench.maker.signed(bench.maker.content(), signer=signer, request=receipt_request(b"of 7030"))
    recipient = Recipient(KEK.identifier, ("2.16.840.1.101.3.4.1.45",), secret=KEK.key.reveal())
    handler = bench.parts(info(enveloped_to(signed, recipient)), "application/pkcs7-mime")
    got, returned = bench.ask(handler, receipts=True, decrypt=KEK, forms=ServerKeyForms())
    assert (returned.sent, got.signers) == ((b"of 7030",), ())
    assert bench.returned[0].line == f"POST {BASE}/return"


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"receipts_from": [name("device 2")]}, 0),
        ({"receipts_from": [name("device 1")]}, 1),
        ({"encrypt": True}, 0),
        ({"wanted": False}, 0),
    ],
)
def test_ar_01_kr_08_who_is_asked(bench, asked, sent):
    message = bench.maker.pack("ekp", request=receipt_request(**asked))
    _, returned = bench.ask(bench.parts(message), receipts=True)
    assert len(returned.sent) == len(bench.returned) == sent


def test_ar_01_a_refusal_names_the_package(bench):
    message = bench.maker.pack("signed", b"\x30\x00", request=receipt_request(b"generated-8"))
    with pytest.raises(ServerKeyError):
        bench.ask(bench.parts(message))
    assert bytes(bench.error()["errorOf"]["pkgID"]) == b"generated-8"


def test_ar_01_kr_08_encrypted_where_that_is_asked_for(bench):
    """A receipt, and an error; both are readable by the recipient alone."""
    key = new_key()
    to = bench.ca.certify("returns", key.public_key())
    asked = receipt_request(b"generated-9", encrypt=True)
    good, wrong = bench.maker.pack("signed", request=asked), bench.maker.pack("signed", b"\x30\x00", request=asked)
    bench.ask(bench.parts(good), receipts=True, receipt_recipient=to)
    (seen,) = bench.returned
    assert bytes(said(opened(seen, key), rfc7191.KeyPackageReceipt())[1]["receiptOf"]["pkgID"]) == b"generated-9"
    with pytest.raises(ServerKeyError):
        bench.ask(bench.parts(wrong), receipt_recipient=to)
    (seen,) = bench.returned
    assert bytes(said(opened(seen, key), rfc7191.KeyPackageError())[1]["errorOf"]["pkgID"]) == b"generated-9"


def test_ar_01_what_the_server_does_not_take_back(bench):
    """The error that matters stays; a receipt that is refused is an error of its own; without a key nothing is sent."""
    bench.back = http(403)
    message = bench.maker.pack("signed", request=receipt_request())
    with pytest.raises(HttpStatusError):
        bench.ask(bench.parts(message), receipts=True)
    wrong = bench.maker.pack("signed", b"\x30\x00")
    with pytest.raises(ServerKeyError, match="exactly one"):
        bench.ask(bench.parts(wrong))
    bench.returned.clear()
    with pytest.raises(ServerKeyError):
        bench.ask(bench.parts(wrong), anonymous=True)
    policy = KeyPackagePolicy(bench.maker.anchors)
    with pytest.raises(ServerKeyError):
        bench.ask(bench.parts(wrong), forms=ServerKeyForms(policy, report=False))
    assert bench.returned == []


def test_the_place_of_a_package_list_is_asked(bench):
    policy = KeyPackagePolicy(bench.maker.anchors)
    bench.server.handlers["k-7"] = bench.parts(bench.maker.pack("signed"))
    bench.ask(http, forms=ServerKeyForms(policy, target=f"{BASE}/k-7"))
    assert bench.server.seen[-1].line == f"POST {BASE}/k-7"
    with pytest.raises(ConfigurationError, match="server generates are at"):
        bench.ask(http, forms=ServerKeyForms(policy, target="/.well-known/est/simpleenroll"))


@pytest.mark.parametrize("form", FORMS)
def test_a_02_what_openssl_makes(bench, form, tmp_path):
    """Signed, enveloped with AES-256 for our certificate, and signed again by openssl; the choice of RFC 6032 is a tag.

    Whatever openssl encrypts it says that it is data, so there is a ContentInfo inside.
    """
    m = bench.maker
    (tmp_path / "signer.pem").write_bytes(pem_key(m.signer_key) + m.signer.public_bytes(Encoding.PEM))
    (tmp_path / "device.pem").write_bytes(bench.certificate.public_bytes(Encoding.PEM))

    def openssl(*words, data):
        command = ["openssl", "cms", "-binary", "-outform", "DER", *words]
        return subprocess.run(command, input=data, capture_output=True, check=True, cwd=tmp_path, timeout=60).stdout

    def sign(content):
        return openssl(
            "-sign", "-nodetach", "-signer", "signer.pem", "-econtent_type", str(content[0]), data=content[1]
        )

    def inside(message):
        return bytes(decode(message, asn1Spec=rfc5652.ContentInfo())[0]["content"])

    words = ("-encrypt", "-aes256", "-recip", "device.pem", "-keyopt", "ecdh_kdf_md:sha256")
    content = rfc5652.id_envelopedData, inside(openssl(*words, data=sign(m.content())))
    if form.endswith("ekp"):
        content = layers.encrypted_key_package(content)
    message = sign(content) if form.startswith("signed") else layers.content_info(content)
    require_good(bench.ask(bench.parts(message)), bench)
