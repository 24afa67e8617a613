"""EST-117: name constraints of CA certificates (RFC 5280 sections 4.2.1.10 and 6.1.3), judged by openssl verify."""

from __future__ import annotations

import random
import subprocess
from ipaddress import ip_address, ip_network

import pytest
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from device_sdk.errors import VerificationError
from device_sdk.protocols.est.ca_certificates import check_ca_certificates
from device_sdk.wire.path import find_path
from tests.est.pki import NOW, Ca, make, name, new_key
from tests.processor import require_at_most

DNS, EMAIL, URI = x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier


def dn(**parts: str) -> x509.Name:
    oids = {"o": NameOID.ORGANIZATION_NAME, "cn": NameOID.COMMON_NAME, "mail": NameOID.EMAIL_ADDRESS}
    return x509.Name([x509.NameAttribute(oids[key], value) for key, value in parts.items()])


def directory(**parts: str) -> x509.DirectoryName:
    return x509.DirectoryName(dn(**parts))


def net(text: str) -> x509.IPAddress:
    return x509.IPAddress(ip_network(text))


def address(text: str) -> x509.IPAddress:
    return x509.IPAddress(ip_address(text))


def other(oid: str) -> x509.OtherName:
    return x509.OtherName(x509.ObjectIdentifier(oid), b"\x0c\x01x")


def constrained(permitted=None, excluded=None) -> dict:
    return {"extensions": [(x509.NameConstraints(permitted, excluded), True)]}


def accepted(leaf, intermediates, anchor) -> bool:
    try:
        find_path(leaf, intermediates=intermediates, anchors=[anchor], now=NOW)
    except VerificationError:
        return False
    return True


def openssl_accepts(directory_, leaf, intermediates, anchor) -> bool:
    for file, certificates in (("anchor", [anchor]), ("untrusted", intermediates), ("leaf", [leaf])):
        (directory_ / file).write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in certificates))
    words = [
        "openssl",
        "verify",
        "-CAfile",
        directory_ / "anchor",
        "-untrusted",
        directory_ / "untrusted",
        directory_ / "leaf",
    ]
    return subprocess.run(words, capture_output=True, timeout=60, check=False).returncode == 0


CASES = [
    # permitted, excluded, subject, alternative names, whether the path stands
    ([DNS("example.org")], None, dn(o="x"), [DNS("a.Example.ORG")], True),
    ([DNS("example.org")], None, dn(o="x"), [DNS("example.org")], True),
    ([DNS("example.org")], None, dn(o="x"), [DNS("notexample.org")], False),
    ([DNS("example.org")], None, dn(o="x"), [DNS("a.example.org"), DNS("a.example.com")], False),
    ([DNS(".example.org")], None, dn(o="x"), [DNS("a.example.org")], True),
    ([DNS(".example.org")], None, dn(o="x"), [DNS("example.org")], False),
    ([DNS("")], None, dn(o="x"), [DNS("anything.example")], True),
    (None, [DNS("")], dn(o="x"), [DNS("anything.example")], False),
    (None, [DNS("example.org")], dn(o="x"), [DNS("b.a.example.org")], False),
    (None, [DNS("example.org")], dn(o="x"), [DNS("example.com")], True),
    ([DNS("example.org")], [DNS("bad.example.org")], dn(o="x"), [DNS("good.example.org")], True),
    ([DNS("example.org")], [DNS("bad.example.org")], dn(o="x"), [DNS("very.bad.example.org")], False),
    ([DNS("example.org")], None, dn(o="x"), [EMAIL("a@example.com"), address("192.0.2.1")], True),
    ([EMAIL("example.org")], None, dn(o="x"), [EMAIL("a@EXAMPLE.org")], True),
    ([EMAIL("example.org")], None, dn(o="x"), [EMAIL("a@mail.example.org")], False),
    ([EMAIL(".example.org")], None, dn(o="x"), [EMAIL("a@mail.example.org")], True),
    ([EMAIL(".example.org")], None, dn(o="x"), [EMAIL("a@example.org")], False),
    ([EMAIL("a@example.org")], None, dn(o="x"), [EMAIL("a@example.org")], True),
    ([EMAIL("a@example.org")], None, dn(o="x"), [EMAIL("A@example.org")], False),
    (None, [EMAIL("example.org")], dn(o="x", mail="a@example.org"), [DNS("a.example")], False),
    ([EMAIL("example.org")], None, dn(o="x", mail="a@example.com"), [EMAIL("a@example.org")], False),
    ([URI("example.org")], None, dn(o="x"), [URI("https://example.org:8443/a?b#c")], True),
    ([URI("example.org")], None, dn(o="x"), [URI("https://a.example.org/")], False),
    ([URI(".example.org")], None, dn(o="x"), [URI("https://user@a.example.org")], True),
    ([URI("example.org")], None, dn(o="x"), [URI("urn:dev:1")], False),
    (None, [URI("example.org")], dn(o="x"), [URI("https://example.com/example.org")], True),
    ([net("192.0.2.0/24")], None, dn(o="x"), [address("192.0.2.7")], True),
    ([net("192.0.2.0/24")], None, dn(o="x"), [address("198.51.100.7")], False),
    ([net("192.0.2.0/24")], None, dn(o="x"), [address("2001:db8::1")], False),
    ([net("192.0.2.0/24"), net("2001:db8::/32")], None, dn(o="x"), [address("2001:db8::1")], True),
    (None, [net("0.0.0.0/0")], dn(o="x"), [address("192.0.2.7")], False),
    (None, [net("0.0.0.0/0")], dn(o="x"), [address("2001:db8::1")], True),
    ([directory(o="Example")], None, dn(o="example", cn="dev"), [], True),
    ([directory(o="Example")], None, dn(o="Else", cn="dev"), [], False),
    ([directory(o="Example")], None, dn(cn="dev", o="Example"), [], False),
    ([directory(o="Example")], None, x509.Name([]), [DNS("a.example")], True),
    (None, [directory(o="Example")], dn(o="  EXAMPLE ", cn="dev"), [], False),
    ([directory(o="Example")], None, dn(o="Example", cn="dev"), [directory(o="Else")], False),
    ([DNS("example.org")], None, dn(o="x"), [other("2.999.1")], True),
]


@pytest.mark.parametrize("where", ["intermediate", "root"])
@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_est_117_name_constraints_as_openssl_judges_them(tmp_path, case, where):
    permitted, excluded, subject, san, stands = case
    limits = constrained(permitted, excluded)
    root = Ca.root("Root", **(limits if where == "root" else {}))
    # the CA's own name is below the root's constraints, too
    middle_name = dn(o="Example") if permitted and isinstance(permitted[0], x509.DirectoryName) else dn(o="m")
    key = new_key()
    certificate = make(middle_name, key.public_key(), root.certificate.subject, root.key, ca=True,
                       **(limits if where == "intermediate" else {}))  # fmt: skip
    extensions = [(x509.SubjectAlternativeName(san), not list(subject))] if san else []
    leaf = Ca(key, certificate).certify(subject, new_key().public_key(), extensions=extensions)
    assert accepted(leaf, [certificate], root.certificate) is stands
    assert openssl_accepts(tmp_path, leaf, [certificate], root.certificate) is stands


def chance_name(chance: random.Random, *, constraint: bool) -> x509.GeneralName:
    label = chance.choice(["a", "b", "a.b", "x"])
    domain = chance.choice(["example.org", "Example.com", "b.example.org"])
    dot = chance.choice(["", "."]) if constraint else chance.choice(["", f"{label}."])
    kind = chance.choice(["dns", "email", "uri", "ip", "directory"])
    if kind == "dns":
        return DNS(dot + domain)
    if kind == "email":
        mailbox = chance.choice(["a@", "A@"]) if not constraint or chance.random() < 0.3 else ""
        return EMAIL(mailbox + ("" if mailbox and dot == "." else dot) + domain)
    if kind == "uri":
        return URI(dot + domain) if constraint else URI(f"https://{dot}{domain}{chance.choice(['', '/p', ':1/'])}")
    if kind == "ip":
        first = chance.choice(["10.0.0", "10.0.1"])
        return (
            net(f"{first}.0/{chance.choice([24, 25])}") if constraint else address(f"{first}.{chance.choice([1, 200])}")
        )
    parts = {"o": chance.choice(["One", "Two"])} | ({"cn": "x"} if chance.random() < 0.3 else {})
    return directory(**parts)


@pytest.mark.slow
def test_est_117_generated_name_constraints_agree_with_openssl(tmp_path):
    chance = random.Random(30)  # noqa: S311 - cases, not keys
    verdicts = {True: 0, False: 0}
    keys = [new_key() for _ in range(3)]
    for number in range(400):

        def some(at_most: int, *, constraint: bool):
            return [chance_name(chance, constraint=constraint) for _ in range(chance.randint(0, at_most))]

        def limits():
            permitted, excluded = some(3, constraint=True) or None, some(2, constraint=True) or None
            return constrained(permitted, excluded) if permitted or excluded else {}

        root = Ca.root("Root", key=keys[0], **(limits() if chance.random() < 0.3 else {}))
        middle = root.issue_ca("Middle", key=keys[1], **limits())
        subject = dn(o=chance.choice(["One", "two"]), cn="x") if chance.random() < 0.5 else dn(o="Two")
        san = some(3, constraint=False)
        extensions = [(x509.SubjectAlternativeName(san), False)] if san else []
        leaf = middle.certify(subject, keys[2].public_key(), extensions=extensions)
        ours = accepted(leaf, [middle.certificate], root.certificate)
        theirs = openssl_accepts(tmp_path, leaf, [middle.certificate], root.certificate)
        assert ours is theirs, (number, root.certificate.extensions, middle.certificate.extensions, subject, san)
        verdicts[ours] += 1
    assert min(verdicts.values()) > 50, verdicts


def test_est_123_self_issued_certificates_are_not_bound_by_name_constraints():
    """RFC 5280 section 6.1.3: the rollover certificate of a CA whose own name is outside of what it may certify."""
    root = Ca.root("EST CA", **constrained([directory(o="Devices")]))
    new = Ca.root("EST CA", **constrained([directory(o="Devices")]))
    link = make(name("EST CA"), new.key.public_key(), name("EST CA"), root.key, ca=True)
    leaf = new.certify(dn(o="Devices", cn="1"), new_key().public_key())
    assert accepted(leaf, [link], root.certificate)
    assert not accepted(new.certify(dn(o="Else"), new_key().public_key()), [link], root.certificate)


def test_est_117_a_ca_outside_its_constraints_is_ignored_with_the_reason():
    root = Ca.root("Root", **constrained([directory(o="Example")]))
    stray = root.issue_ca("Stray")
    result = check_ca_certificates([stray.certificate], [root.certificate], NOW)
    assert "outside the names its CA may certify" in result.ignored[0].reason


def test_est_117_another_path_without_the_constraint_is_found():
    root = Ca.root("Root")
    key = new_key()
    narrow = root.issue_ca("Middle", key=key, **constrained([DNS("example.org")]))
    wide = root.issue_ca("Middle", key=key)
    leaf = wide.certify(
        "device", new_key().public_key(), extensions=[(x509.SubjectAlternativeName([DNS("a.com")]), False)]
    )
    assert accepted(leaf, [narrow.certificate, wide.certificate], root.certificate)
    assert not accepted(leaf, [narrow.certificate], root.certificate)


@pytest.mark.parametrize(
    "subtree",
    [x509.RegisteredID(x509.ObjectIdentifier("2.999.1")), other("2.999.2")],
    ids=["registeredID", "otherName"],
)
def test_a_constrained_form_that_is_not_processed_ends_the_path(subtree):
    """RFC 5280 section 4.2.1.10: process the constraint or reject the certificate."""
    middle = Ca.root("Root").issue_ca("Middle", **constrained([subtree]))
    root = Ca.root("Root")
    middle = root.issue_ca("Middle", **constrained([subtree]))
    for names, stands in (([subtree], False), ([DNS("a.example")], True)):
        leaf = middle.certify(
            "device", new_key().public_key(), extensions=[(x509.SubjectAlternativeName(names), False)]
        )
        assert accepted(leaf, [middle.certificate], root.certificate) is stands


@pytest.mark.parametrize("field", ["minimum", "maximum"])
def test_minimum_and_maximum_end_the_path(tmp_path, field):
    value = asn1.NameConstraints(
        {"permitted_subtrees": [{"base": asn1.GeneralName("dns_name", asn1.DNSName("example.org")), field: 1}]}
    )
    root = Ca.root("Root")
    extension = x509.UnrecognizedExtension(x509.NameConstraints.oid, value.dump())
    middle = root.issue_ca("Middle", extensions=[(extension, True)])
    leaf = middle.certify(
        "d", new_key().public_key(), extensions=[(x509.SubjectAlternativeName([DNS("a.example.org")]), False)]
    )
    assert not accepted(leaf, [middle.certificate], root.certificate)
    assert not openssl_accepts(tmp_path, leaf, [middle.certificate], root.certificate)


@pytest.mark.slow
def test_a_flood_of_constraints_costs_little():
    root = Ca.root("Root", **constrained([DNS(f"x{i}.example") for i in range(5000)]))
    names = [DNS(f"d{i}.example") for i in range(5000)]
    leaf = root.certify("device", new_key().public_key(), extensions=[(x509.SubjectAlternativeName(names), False)])

    def check() -> None:
        with pytest.raises(VerificationError, match="more names and name constraints"):
            find_path(leaf, intermediates=[], anchors=[root.certificate], now=NOW)

    require_at_most(2.5, check)
