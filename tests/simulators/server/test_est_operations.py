"""What the EST server answers: requests over TLS; a few without sockets, where there are very many or they are no EST."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from device_sdk_simulators.http.messages import Request
from device_sdk_simulators.policy import LabelError, Policy
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import char
from pyasn1_alt_modules import rfc5280, rfc5652, rfc8951

from tests.simulators.server.odd_csrs import (
    CHALLENGE_PASSWORD,
    EXTENSION_REQUEST,
    IDENTITY_LINKING,
    dns_names,
    odd_csr,
    signed_with,
)
from tests.simulators.server.support import EST, MADE_UP, PKCS10, basic, certificates_in, make_csr, name, post

MAC = "1.3.6.1.1.1.1.22"


def get(server, operation):
    return server.handle(Request("GET", EST + operation))


def test_cacerts_holds_the_root_and_every_ca_below_est_115(server):
    """EST-111."""
    response = get(server, "cacerts")
    assert response.headers == [
        ("Content-Type", "application/pkcs7-mime"),
        ("Content-Transfer-Encoding", "base64"),
        ("Cache-Control", "no-store"),
    ]
    assert response.body.count(b"\n") == 1
    assert response.body.endswith(b"\n")
    root, issuing = server.hierarchy.root.certificate, server.hierarchy.issuing.certificate
    assert set(certificates_in(response)) == {root, issuing}
    (issued,) = certificates_in(post(server, make_csr()))
    issued.verify_directly_issued_by(issuing)
    issuing.verify_directly_issued_by(root)


def test_the_ca_certificates_follow_rfc_5280(server):
    """EST-59: the path of the server certificate."""
    root, issuing = server.hierarchy.bag
    issuing.verify_directly_issued_by(root)
    for certificate, length in ((root, None), (issuing, 0)):
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        assert constraints.critical
        assert (constraints.value.ca, constraints.value.path_length) == (True, length)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
        assert usage.critical
        assert usage.value.key_cert_sign
        assert certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        assert certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)


def test_enrolment_answers_with_the_issued_certificate_alone_est_138(server):
    key = ec.generate_private_key(ec.SECP256R1())
    response = post(server, make_csr(key))
    assert ("Content-Type", "application/pkcs7-mime; smime-type=certs-only") in response.headers
    assert ("Cache-Control", "no-store") in response.headers
    (certificate,) = certificates_in(response)
    assert certificate.public_key() == key.public_key()
    certificate.verify_directly_issued_by(server.hierarchy.issuing.certificate)


def test_certs_only_has_no_signers_content_or_crls_est_46(server):
    der = base64.b64decode(post(server, make_csr()).body)
    content, rest = decode(der, asn1Spec=rfc5652.ContentInfo())
    assert not rest
    signed, _ = decode(content["content"], asn1Spec=rfc5652.SignedData())
    assert int(signed["version"]) == 1
    assert signed["encapContentInfo"]["eContentType"] == rfc5652.id_data
    assert not signed["encapContentInfo"]["eContent"].hasValue()
    assert not len(signed["signerInfos"])
    assert not signed["crls"].hasValue()


@pytest.mark.parametrize("where", ["attribute", "directory attributes"])
def test_the_mac_address_is_written_down(server, where):
    value = b"00:00:5e:00:53:01"
    if where == "attribute":
        csr = make_csr(attributes=[(MAC, value, _ASN1Type.IA5String)])
    else:
        attributes = rfc5280.SubjectDirectoryAttributes()
        attributes[0]["type"] = MAC
        attributes[0]["values"][0] = encode(char.IA5String(value))
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.9"), encode(attributes))
        csr = make_csr(extensions=[(extension, False)])
    (certificate,) = certificates_in(post(server, csr))
    assert server.log()[-1]["mac_address"] == value.decode()
    (entry,) = server.est.register.entries()
    assert (entry["mac_address"], entry["serial"]) == (value.decode(), f"{certificate.serial_number:x}")


def test_san_with_hardware_module_name_is_copied(server):
    hardware = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4"), bytes.fromhex("300a06032a030404030a0b0c"))
    san = x509.SubjectAlternativeName([x509.DNSName("dev-1.example"), hardware])
    (certificate,) = certificates_in(post(server, make_csr(extensions=[(san, False)])))
    assert certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == san


def test_san_is_critical_with_an_empty_subject_est_33(server):
    """EST-141."""
    san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:dev:1")])
    (certificate,) = certificates_in(post(server, make_csr(subject=x509.Name([]), extensions=[(san, True)])))
    assert certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


CA_TRUE = x509.BasicConstraints(ca=True, path_length=None)
OCSP = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.OCSP_SIGNING])


@pytest.mark.parametrize(
    ("csr", "words"),
    [
        (lambda: make_csr(rsa.generate_private_key(65537, 1024)), "RSA keys have 2048"),  # noqa: S505 - refused
        (lambda: make_csr(ec.generate_private_key(ec.SECP256K1())), "secp256k1"),
        (lambda: make_csr(extensions=[(CA_TRUE, True)]), "no CA"),
        (lambda: make_csr(extensions=[(OCSP, False)]), "1.3.6.1.5.5.7.3.9"),
        (lambda: make_csr(subject=x509.Name([])), "names nobody"),
        (lambda: (der := make_csr())[:-1] + bytes([der[-1] ^ 1]), ""),
        (lambda: make_csr() + b"\0\0", ""),
        (lambda: make_csr()[:-20], "not a PKCS#10"),
    ],
)
def test_csr_policy_est_133_est_143(server, csr, words):
    response = post(server, csr())
    assert response.status == 400
    assert words in response.body.decode()
    assert server.est.register.entries() == []


@pytest.mark.slow
@pytest.mark.parametrize("digest", ["sha1", "md5"])
def test_hashes_that_can_be_forged_are_refused_est_143(server, tmp_path, digest):
    """SHA-1 by policy only, for the samples of the standards; MD5 never."""
    csr = signed_with(digest, tmp_path)
    response = post(server, csr)
    assert (response.status, digest in response.body.decode()) == (400, True)
    server.policy.allow_sha1 = True
    assert (post(server, csr).status == 200) == (digest == "sha1")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rsa:2048", "ec"])
def test_sha1_where_it_is_allowed_is_checked_all_the_same_est_133(server, tmp_path, kind):
    server.policy.allow_sha1 = True
    csr = signed_with("sha1", tmp_path, kind)
    assert post(server, csr).status == 200
    response = post(server, csr.replace(b"dev-9", b"dev-8"))
    assert (response.status, b"signature" in response.body) == (400, True)


SAN_A, SAN_B = dns_names("a.example"), dns_names("b.example")


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ([(CHALLENGE_PASSWORD, [""]), (CHALLENGE_PASSWORD, [""])], "twice"),
        ([(CHALLENGE_PASSWORD, ["what is not the binding"]), (CHALLENGE_PASSWORD, [""])], "twice"),
        ([(IDENTITY_LINKING, [""]), (IDENTITY_LINKING, [""])], "twice"),
        ([(EXTENSION_REQUEST, [SAN_A]), (EXTENSION_REQUEST, [SAN_B])], "twice"),
        ([(MAC, ["00:00:5e:00:53:01"]), (MAC, ["00:00:5e:00:53:02"])], "twice"),
        ([("1.2.3.4", ["a"]), ("1.2.3.4", ["b"])], "twice"),
        ([(CHALLENGE_PASSWORD, ["", ""])], "one value"),
        ([(CHALLENGE_PASSWORD, [])], "one value"),
        ([(EXTENSION_REQUEST, [SAN_A, SAN_B])], "one value"),
    ],
)  # fmt: skip
def test_repeated_attributes_and_values_are_refused_est_107_est_143(server, attributes, words):
    """RFC 2985 sections 5.4.1 and 5.4.2 and RFC 7894 section 3: SINGLE VALUE TRUE."""
    response = post(server, odd_csr(attributes))
    assert (response.status, words in response.body.decode()) == (400, True), response.body
    assert server.est.register.entries() == []


def test_a_request_of_another_version_is_refused_est_143(server):
    assert post(server, odd_csr([])).status == 200
    response = post(server, odd_csr([], version=1))
    assert (response.status, b"version" in response.body) == (400, True)


def test_two_mac_addresses_in_directory_attributes_are_refused_est_143(server):
    attributes = rfc5280.SubjectDirectoryAttributes()
    for position, value in enumerate(("00:00:5e:00:53:01", "00:00:5e:00:53:02")):
        attributes[position]["type"] = MAC
        attributes[position]["values"][0] = encode(char.IA5String(value))
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.9"), encode(attributes))
    response = post(server, make_csr(extensions=[(extension, False)]))
    assert (response.status, b"twice" in response.body) == (400, True)


def test_an_edwards_key_is_refused_in_words(server):
    csr = x509.CertificateSigningRequestBuilder().subject_name(name()).sign(ed25519.Ed25519PrivateKey.generate(), None)
    response = post(server, csr.public_bytes(Encoding.DER))
    assert (response.status, b"ed25519 is not accepted" in response.body) == (400, True)


def test_a_signature_by_another_key_is_refused_est_133(server):
    der = bytearray(make_csr())
    at = der.index(b"dev-1")
    der[at : at + 5] = b"dev-2"
    response = post(server, bytes(der))
    assert (response.status, b"signature" in response.body) == (400, True)


def pem(der: bytes, label: str) -> bytes:
    return f"-----BEGIN {label}-----\n".encode() + base64.encodebytes(der) + f"-----END {label}-----\n".encode()


@pytest.mark.parametrize(
    "body",
    [
        base64.b64encode,
        lambda der: base64.b64encode(der) + b"\n",
        base64.encodebytes,
        lambda der: base64.encodebytes(der).replace(b"\n", b"\r\n"),
        lambda der: pem(der, "CERTIFICATE REQUEST"),
        lambda der: pem(der, "NEW CERTIFICATE REQUEST"),
        lambda der: der,
    ],
    ids=["one line", "newline", "76 lf", "76 crlf", "pem", "new pem", "der"],
)
def test_every_form_a_client_sends_is_read_est_37_est_39(server, body):
    request = Request("POST", EST + "simpleenroll", [basic(server)], body(make_csr()))
    assert server.handle(request).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\n", b"\x30", b"\x30\x80\0\0", b"\x30\x84\xff\xff\xff\xff", b"MII*", b"MIIB", b"A", b"{}" * 100, b"\xff" * 3000,
        b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", b"-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n",
        base64.b64encode(b"\x30\x80" * 5000), base64.b64encode(bytes.fromhex("3003020100")), "MIIBé".encode(),
    ],
)  # fmt: skip
def test_malformed_bodies_are_400_and_never_500(server, body):
    response = server.handle(Request("POST", EST + "simpleenroll", [PKCS10, basic(server)], body))
    assert response.status == 400
    assert ("Content-Type", "text/plain; charset=utf-8") in response.headers


@pytest.mark.parametrize("intruder", [b"*", b"-", b"\0", b"="])
def test_characters_outside_the_alphabet_are_refused_est_38(server, intruder):
    text = base64.b64encode(make_csr())
    request = Request("POST", EST + "simpleenroll", [PKCS10, basic(server)], text[:40] + intruder + text[40:])
    assert server.handle(request).status == 400


def test_libest_gets_short_lines_and_nobody_else_does(server):
    """EST-41."""
    for agent, count in (("libest 3.2.0p", 12), ("curl/7.88.1", 1)):
        response = server.handle(Request("GET", EST + "cacerts", [("User-Agent", agent)]))
        assert response.body.count(b"\n") >= count
        assert (max(map(len, response.body.split(b"\n"))) == 64) == (count > 1)


def test_flipped_bits_are_400_and_never_500(server):
    der = make_csr(extensions=[(x509.SubjectAlternativeName([x509.DNSName("a.example")]), False)])
    for position in range(len(der)):
        broken = bytearray(der)
        broken[position] ^= 0xA5
        assert post(server, bytes(broken), tls=MADE_UP).status == 400, position


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "cacerts", [], 405),
        ("PUT", "simpleenroll", [], 405),
        ("GET", "simpleenroll", [], 404),
        ("GET", "serverkeygen", [], 404),
        ("GET", "", [], 404),
        ("GET", "nolabel/cacerts", [], 404),
        ("GET", "known/cacerts", [], 200),
        ("GET", "known/deeper/cacerts", [], 404),
        ("GET", "CACerts", [], 200),
        ("GET", "..%2fcacerts", [], 404),
        ("POST", "simpleenroll", [("Content-Type", "text/html")], 415),
        ("POST", "simpleenroll", [("Content-Type", "Application/PKCS10; x=y")], 200),
    ],
)
def test_paths_methods_and_types_est_06_est_10_est_17_est_43(server, method, path, headers, status):
    """EST-01 besides: below /.well-known/est and nowhere else."""
    server.policy.labels = {"known"}
    body = base64.b64encode(make_csr())
    response = server.handle(Request(method, EST + path, [*headers, basic(server)], body))
    assert response.status == status
    if status == 405:
        assert response.headers[1][0] == "Allow"


def test_nothing_is_kept_by_caches_est_18(server):
    """Certificates, and what became of a request: issued, waiting, denied."""
    server.policy.require_approval = True
    csr = make_csr()
    answers = [get(server, "cacerts"), get(server, "csrattrs"), post(server, csr)]
    server.est.queue.decide(None, approve=True)
    answers.append(post(server, csr))
    (certificate,) = certificates_in(answers[-1])
    answers.append(post(server, csr, operation="simplereenroll", client=certificate))
    server.est.queue.decide(None, approve=False)
    answers.append(post(server, csr, operation="simplereenroll", client=certificate))
    server.faults.set("retry_after", times=1)
    answers.append(post(server, csr))
    answers += [post(server, csr, headers=[]), post(server, csr, headers=[])]
    assert [answer.status for answer in answers] == [200, 200, 202, 200, 202, 403, 202, 401, 401]
    for answer in answers:
        assert answer.headers.count(("Cache-Control", "no-store")) == 1, answer


RESERVED = [
    "cacerts", "CACerts", "simpleenroll", "SimpleEnroll", "simplereenroll", "simpleReEnroll", "fullcmc", "FullCMC",
    "serverkeygen", "serverKeyGen", "csrattrs", "CSRAttrs",
    "pal", "PAL", "eecerts", "crls", "symmetrickeys", "firmware", "tamp",
]  # fmt: skip


WITH_ITEMS = ("pal", "eecerts", "symmetrickeys", "firmware", "tamp")


@pytest.mark.parametrize("label", [*RESERVED, "", "a/b", ".", ".."])
def test_a_label_is_never_the_name_of_an_operation_est_07(server, label):
    for configure in (lambda: Policy(labels={"good", label}), lambda: setattr(server.policy, "labels", {label})):
        with pytest.raises(LabelError, match="label"):
            configure()
    # a set can be changed behind the policy's back; such a label is not served all the same
    server.policy.labels.add(label)
    # below an operation with items it is the name of one (RFC 8295), and those are not for strangers
    expected = 401 if label.lower() in WITH_ITEMS else 404
    assert get(server, f"{label}/cacerts").status == expected


def test_csrattrs_default_asks_for_the_mac_address(server):
    """EST-03."""
    response = get(server, "csrattrs")
    assert ("Content-Type", "application/csrattrs") in response.headers
    listing, _ = decode(base64.b64decode(response.body), asn1Spec=rfc8951.CsrAttrs())
    assert [str(item["oid"]) for item in listing] == [MAC]


def test_csrattrs_lists_what_is_required_est_92(server):
    server.policy.require_binding = True
    listing, _ = decode(base64.b64decode(get(server, "csrattrs").body), asn1Spec=rfc8951.CsrAttrs())
    assert "1.2.840.113549.1.9.7" in [str(item["oid"]) for item in listing]


def test_csrattrs_attributes_and_nothing_est_171_est_175(server):
    curve = bytes.fromhex("301506072a8648ce3d0201310a06082a8648ce3d030107")
    server.policy.csrattrs = [MAC, curve]
    assert base64.b64decode(get(server, "csrattrs").body).endswith(curve)
    server.policy.csrattrs = []
    assert get(server, "csrattrs").status == 204
