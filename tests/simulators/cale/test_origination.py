"""What the origination and the resource server make of a certificate (CALE-55 to CALE-61)."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.ca.hierarchy import Authority, make_authority
from device_sdk_simulators.ca.keys import new_key
from device_sdk_simulators.cale.certificates import AUTHORITY_NAME, NotAcceptedError, Owner, make_certificate, owner_of
from device_sdk_simulators.cale.headers import certificate_from_header, certificate_header, certificate_of
from device_sdk_simulators.cale.origination import OriginationServer
from device_sdk_simulators.cale.remote import LONGEST_ANSWER
from device_sdk_simulators.cale.replay import ReplayWindow
from device_sdk_simulators.cale.resource import LARGEST_DOCUMENT, ResourceServer
from device_sdk_simulators.cale.rules import CaleRules
from device_sdk_simulators.cale.scopes import OddPathError, needed_scope, plain_path
from device_sdk_simulators.http.messages import Request, Response
from device_sdk_simulators.policy import Policy

from tests.simulators.cale.support import KEYS, opened

CN, DC, OU = x509.NameOID.COMMON_NAME, x509.NameOID.DOMAIN_COMPONENT, x509.NameOID.ORGANIZATIONAL_UNIT_NAME
SUITE = ("Cipher", "ECDHE-RSA-AES256-SHA")
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return make_authority(AUTHORITY_NAME, new_key("ec-p256"), NOW)


ANN = Owner("ann", "shop.example", ("read",))


def certificate(authority, owner=ANN, begin=-5, end=10, key=KEYS["rsa"]):
    times = (NOW + timedelta(seconds=begin), NOW + timedelta(seconds=end))
    return make_certificate(authority, owner, key.public_key(), *times)


class Asked:
    """A resource server that says what it was asked."""

    def __init__(self, answer: Response | None = None) -> None:
        self.requests: list[Request] = []
        self.answer = answer or Response(200, [("Content-Type", "application/json")], b'{"a": 1}\n')

    def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        return self.answer


def origin(authority, resource=None, *, paths=None, clock=lambda: NOW, **rules) -> OriginationServer:
    policy = Policy(cale=CaleRules(**rules))
    return OriginationServer(authority.certificate, resource or Asked(), policy, clock, ("edge",), None, paths)


def ask(role, *headers, target="/data", method="GET") -> Response:
    return role.handle(Request(method, target, list(headers)), "edge")


def plain(response: Response, tmp_path) -> object:
    return json.loads(opened(KEYS["rsa"], response.body, tmp_path) or b"null")


def test_a_certificate_is_for_one_request(authority):
    """Weakness 4 of the draft; the authorization server makes one for each request, so nobody needs a second one."""
    role, shown = origin(authority), certificate_header(certificate(authority))
    assert ask(role, shown, SUITE).status == 200
    assert ask(role, shown, SUITE).status == 403
    assert ask(role, shown, SUITE, target="/other").status == 403
    assert ask(role, certificate_header(certificate(authority)), SUITE).status == 200


def test_a_certificate_that_was_refused_is_not_used_up(authority):
    role, shown = origin(authority), certificate_header(certificate(authority, begin=1))
    assert ask(role, shown, SUITE).status == 403
    later = origin(authority, clock=lambda: NOW + timedelta(seconds=2))
    assert ask(later, shown, SUITE).status == 200
    role, shown = origin(authority), certificate_header(certificate(authority))
    assert ask(role, shown, ("Cipher", "NULL-SHA")).status == 400
    assert ask(role, shown, SUITE).status == 200


def test_per_request_and_off(authority):
    shown = certificate_header(certificate(authority))
    role = origin(authority, replay="off")
    assert [ask(role, shown, SUITE).status for _ in range(3)] == [200] * 3
    role = origin(authority, replay="per-request")
    assert ask(role, shown, SUITE).status == 200
    assert ask(role, shown, SUITE, target="/other").status == 200
    assert ask(role, shown, SUITE, target="/other").status == 403


def test_the_window_survives_a_restart_and_forgets_what_has_expired(authority, tmp_path):
    shown, path = certificate(authority), tmp_path / "replay.sqlite"
    for expected in (True, False, False):
        window = ReplayWindow(path)
        assert window.is_first(shown, "", NOW, NOW + timedelta(seconds=10)) is expected
        window.close()
    window = ReplayWindow(path, most=2)
    late = NOW + timedelta(seconds=11)
    # it would be refused by its validity now; here it shows that nothing is kept for ever
    assert window.is_first(shown, "", late, late)
    assert window.is_first(certificate(authority), "", late, late)
    assert not window.is_first(certificate(authority), "", late, late), "full: refused rather than forgotten"
    assert path.stat().st_mode & 0o777 == 0o600
    window.close()


def test_a_skewed_clock_is_borne_by_rule_cale_48_cale_55(authority):
    shown = certificate_header(certificate(authority, begin=-20, end=-3))
    assert ask(origin(authority), shown, SUITE).status == 403
    assert ask(origin(authority, clock_skew=timedelta(seconds=5)), shown, SUITE).status == 200
    early = certificate_header(certificate(authority, begin=3, end=20))
    assert ask(origin(authority, clock_skew=timedelta(seconds=5)), early, SUITE).status == 200
    long = certificate_header(certificate(authority, begin=-5, end=60))
    assert ask(origin(authority), long, SUITE).status == 403
    assert ask(origin(authority, max_lifetime=timedelta(seconds=65)), long, SUITE).status == 200


def test_only_listed_suites_are_taken_cale_29(authority):
    role = origin(authority, suites=("ECDHE-RSA-AES256-SHA",))
    for name, status in (
        ("ECDHE-RSA-AES256-SHA", 200),
        ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", 200),
        ("ECDHE-RSA-AES128-SHA", 400),
        ("TLS_AES_256_GCM_SHA384", 400),
        ("NULL-SHA", 400),
        ("", 400),
    ):
        shown = certificate_header(certificate(authority))
        assert ask(role, shown, ("Cipher", name)).status == status, name
    shown = certificate_header(certificate(authority))
    assert ask(role, shown).status == 400
    assert ask(role, certificate_header(certificate(authority)), SUITE, SUITE).status == 400, "two of them"


@pytest.mark.slow
def test_scopes_by_path_cale_56(authority, tmp_path):
    scopes = {"/": "read", "/orders": "orders", "/orders/secret": "admin", "/private/": "admin"}
    scopes |= {"/readers": "reader", "/public": ""}
    role = origin(authority, paths={}, scopes={k: v for k, v in scopes.items() if v})
    for owner, path, status in (
        (("read",), "/data", None),
        (("read",), "/orders", 403),
        (("read",), "/orders/1", 403),
        (("read",), "/ordersx", None),
        (("orders",), "/orders/1?x=/data", None),
        (("orders",), "/data", 403),
        (("orders", "read"), "/orders/secret/1", 403),
        (("admin",), "/orders/secret", None),
        ((), "/data", 403),
        (("Read",), "/data", 403),
        (("reader",), "/data", 403),
        (("rea",), "/data", 403),
        (("read",), "/readers", 403),
        (("read,reader",), "/readers", 403),
        (("reader",), "/readers", None),
        (("orders",), "/data/../orders", 404),
        (("read",), "/x%2f..%2forders", 404),
        (("read",), "//orders", 404),
        (("orders",), "/%6frders/1", None),
        (("read",), "/ORDERS/1", 403),
        (("read",), "/Orders", 403),
        (("orders",), "/ORDERS/SECRET/1", 403),
        (("read",), "/private", 403),
        (("read",), "/private/", 403),
        (("read",), "/data;/../orders", 404),
    ):
        shown = certificate_header(certificate(authority, Owner("ann", "shop.example", owner)))
        response = ask(role, shown, SUITE, target=path)
        assert response.status == 200, "encrypted, whatever it says"
        answer = plain(response, tmp_path)
        assert answer == ({"a": 1} if status is None else {"error": status}), (owner, path)


@pytest.mark.parametrize("scopes", [{"/resource": "admin"}, {"/aggregate": "admin"}, {"/RESOURCE": "admin"}])
def test_a_rule_holds_by_every_name_of_a_document_cale_56(authority, tmp_path, scopes):
    """What is /resource outside is /aggregate inside: a rule about one of them is about both."""
    role = origin(authority, scopes=scopes)
    for owner, expected in ((("read",), {"error": 403}), (("admin",), {"a": 1})):
        for target in ("/resource", "/aggregate", "/%72esource", "/aggregat%65?x=1"):
            shown = certificate_header(certificate(authority, Owner("ann", "shop.example", owner)))
            assert plain(ask(role, shown, SUITE, target=target), tmp_path) == expected, target
    shown = certificate_header(certificate(authority))
    assert plain(ask(role, shown, SUITE, target="/other"), tmp_path) == {"a": 1}


def test_two_rules_for_one_document_both_hold_cale_56(authority, tmp_path):
    role = origin(authority, scopes={"/resource": "one", "/aggregate": "two"})
    for owner, expected in ((("one",), {"error": 403}), (("two",), {"error": 403}), (("one", "two"), {"a": 1})):
        for target in ("/resource", "/aggregate"):
            shown = certificate_header(certificate(authority, Owner("ann", "shop.example", owner)))
            assert plain(ask(role, shown, SUITE, target=target), tmp_path) == expected


def test_entries_that_differ_in_letter_case_are_two(authority):
    """The exact one counts, where the resource server tells them apart (CALE-56)."""
    scopes = {"/a": "small", "/A": "large"}
    assert [needed_scope(path, scopes) for path in ("/a/1", "/A/1", "/b")] == ["small", "large", None]


def test_without_rules_every_path_is_open_and_without_ou_there_is_no_scope_cale_56(authority):
    assert needed_scope("/a", {}) is None
    assert owner_of(certificate(authority, Owner("ann", "", ()))) == Owner("ann", "", ())


@pytest.mark.parametrize(
    "target",
    [
        "/a/../b",
        "/a/./b",
        "/..",
        "/a//b",
        "//a",
        "/a%2Fb",
        "/a%2eb%5c",
        "/a\\b",
        "/%00",
        "/%ff",
        "/a%0d%0ab",
        "*",
        "/a#b",
        "/a b",
        "/%2e%2e/b",
        "/.%2E/b",
        "/a;x=1",
        "/a/..;/b",
        "/a%3bx",
        "/a;",
        "/a%2ejson",
        "/a%252f..%252fb",
        "/a%25%32%66b",
        "/a%253b",
        "/a%c2%85",
    ],
)
def test_paths_that_can_be_read_in_two_ways(target):
    with pytest.raises(OddPathError):
        plain_path(target)


def test_paths_that_can_be_read_in_one_way():
    assert plain_path("/a/b%20c/%C3%A4?q=../%2f;x//%252e") == "/a/b c/ä"
    assert plain_path("/100%25/a,b=c:d@e&f.json/...") == "/100%/a,b=c:d@e&f.json/..."
    assert plain_path("/") == "/"


def _name(*parts) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


ENCRYPTS, SIGNS, CERTIFIES = "key_encipherment", "digital_signature", "key_cert_sign"


def built(authority, subject, alternatives=None, *, usage=(ENCRYPTS,)) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.certificate.subject)
        .public_key(KEYS["rsa"].public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(seconds=5))
        .not_valid_after(NOW + timedelta(seconds=10))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(KEYS["rsa"].public_key()), critical=False)
    )
    if usage is not None:
        names = (SIGNS, "content_commitment", ENCRYPTS, "data_encipherment", "key_agreement", CERTIFIES, "crl_sign")
        flags = {name: name in usage for name in names}
        builder = builder.add_extension(x509.KeyUsage(**flags, encipher_only=False, decipher_only=False), critical=True)
    if alternatives is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(authority.key, hashes.SHA256())


def test_identity_rules_cale_56(authority):
    full = _name((DC, "example"), (DC, "shop"), (OU, "a"), (OU, "b"), (CN, "ann"))
    assert owner_of(built(authority, full)) == Owner("ann", "shop.example", ("a", "b"))
    other = _name((CN, "bob"))
    assert owner_of(built(authority, other, [x509.DirectoryName(full)])).name == "ann", "the SAN counts"
    assert owner_of(built(authority, other, [x509.DNSName("x.example")])).name == "bob"
    for subject, alternatives in (
        (_name((CN, "a"), (CN, "b")), None),
        (_name((DC, "example")), None),
        (other, [x509.DirectoryName(_name((CN, "a"), (CN, "b")))]),
        (other, [x509.DirectoryName(_name((OU, "read")))]),
        (other, [x509.DirectoryName(full), x509.DirectoryName(other)]),
    ):
        with pytest.raises(NotAcceptedError, match="one owner"):
            owner_of(built(authority, subject, alternatives))


@pytest.mark.parametrize("usage", [None, (), (SIGNS,), ("data_encipherment",), (ENCRYPTS, CERTIFIES)])
def test_certificates_without_usage_or_of_a_ca_are_refused_not_crashed_on_cale_55(authority, usage):
    """By both servers; what they take beside it shows that nothing else is wrong."""
    resource = ResourceServer(authority.certificate, lambda: NOW, ("origin",))
    for named, expected in ((usage, 403), ((ENCRYPTS,), 200), (("key_agreement",), 200)):
        shown = certificate_header(built(authority, _name((CN, "a")), usage=named))
        assert ask(origin(authority), shown, SUITE).status == expected
        assert resource.handle(Request("GET", "/aggregate", [shown]), "origin").status == expected


def test_certificate_header_in_every_form_cale_60(authority):
    shown = certificate(authority)
    text = base64.b64encode(shown.public_bytes(Encoding.DER)).decode()
    lines = [text[place : place + 64] for place in range(0, len(text), 64)]
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    for value in (
        f'"{text}"',
        text,
        f":{text}:",
        "\r\n ".join(lines),
        " ".join([begin, *lines, end]),
        "%0A".join([begin, *lines, end, ""]),
        ("%0A".join([begin, *lines, end]))
        .replace("+", "%2B")
        .replace("/", "%2F")
        .replace("=", "%3D")
        .replace(" ", "%20"),
        "\t".join(lines),
    ):
        assert certificate_from_header(value) == shown
    for value in ("", '"', ":", "%zz", "***", text[:-8], text + "AAAA", "-----BEGIN CERTIFICATE-----", "ü"):
        with pytest.raises(ValueError):  # noqa: PT011 - of base64 or of the DER in it
            certificate_from_header(value)


def test_rfc_9440_form_both_ways_cale_60(authority):
    shown = certificate(authority)
    name, value = certificate_header(shown, "Client-Cert")
    assert (name, value[0], value[-1]) == ("Client-Cert", ":", ":")
    resource = Asked()
    role = origin(authority, resource, certificate_header="Client-Cert")
    assert ask(role, (name, value), SUITE).status == 200
    assert [field for field, _ in resource.requests[0].headers] == ["Client-Cert"]
    assert certificate_of(resource.requests[0]) == shown
    both = (certificate_header(certificate(authority)), certificate_header(certificate(authority), "Client-Cert"))
    assert ask(role, *both, SUITE).status == 403


def test_a_certificate_of_the_longest_key_fits_and_more_does_not_cale_61(authority):
    large = rsa.RSAPublicNumbers(65537, (1 << 8191) + 1).public_key()
    times = (NOW - timedelta(seconds=5), NOW + timedelta(seconds=10))
    value = certificate_header(make_certificate(authority, Owner("n" * 64, "d.example", ("s" * 64,)), large, *times))[1]
    assert len(value) < 4096
    response = ask(origin(authority), ("CALE-PEM", "A" * 8191), SUITE)
    assert response.status == 431


def test_resource_servers_get_no_cipher_and_refuse_one_cale_58(authority):
    resource = Asked()
    ask(origin(authority, resource), certificate_header(certificate(authority)), SUITE, ("CALE-Correlation", "c"))
    assert [name for name, _ in resource.requests[0].headers] == ["CALE-PEM", "CALE-Correlation"]
    server = ResourceServer(authority.certificate, lambda: NOW, ("origin",))
    fields = [certificate_header(certificate(authority))]
    assert server.handle(Request("GET", "/aggregate", fields), "origin").body == b'{"foo": "bar"}\n'
    assert server.handle(Request("GET", "/aggregate", [*fields, SUITE]), "origin").status == 400
    assert server.handle(Request("POST", "/aggregate", fields), "origin").status == 400
    assert server.handle(Request("GET", "/aggregate", []), "origin").status == 403
    assert server.handle(Request("GET", "/aggregate", fields), "edge").status == 403


def test_the_largest_document_fits_into_an_answer_to_the_edge_device(authority):
    content = Response(200, [("Content-Type", "text/plain")], b"x" * (LARGEST_DOCUMENT - 1))
    role = origin(authority, Asked(content), padding=65536)
    answer = ask(role, certificate_header(certificate(authority)), SUITE)
    assert answer.status == 200
    assert LARGEST_DOCUMENT < len(answer.body) <= LONGEST_ANSWER


def test_text_and_json_fill_buckets_and_other_contents_do_not_cale_37(authority, tmp_path):
    for media_type, body, padded in (
        ("application/json", b'{"a": 1}\n', True),
        ("text/plain; charset=utf-8", b"", True),
        ("application/vnd.x+json", b"{}" * 40, True),
        ("application/octet-stream", b"x" * 100, False),
        ("image/png", b"x" * 64, False),
        ("text/plain", b"x" * 64, True),
    ):
        answer = Asked(Response(200, [("Content-Type", media_type)], body))
        response = ask(origin(authority, answer, padding=64), certificate_header(certificate(authority)), SUITE)
        content = opened(KEYS["rsa"], response.body, tmp_path)
        assert content is not None
        assert content.rstrip(b"\n") == body.rstrip(b"\n")
        assert len(content) == (-(-len(body) // 64) * 64 if padded else len(body))
    lost = ask(origin(authority, Asked(Response(404)), padding=64), certificate_header(certificate(authority)), SUITE)
    assert len(opened(KEYS["rsa"], lost.body, tmp_path) or b"") == 64
