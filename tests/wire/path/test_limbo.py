"""Certificates equal to those of x509-limbo's RFC 5280, path length, CVE and path building cases, by its names.

What limbo checks of the profile of certificates, and not of paths (RFC 5280 section 6.1 advises against that), is in
PROFILE: those are taken here, knowingly. What it checks of TLS servers' names is for tests/transports.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

import pytest
from cryptography import x509
from cryptography.x509 import DirectoryName, DNSName, IPAddress, OtherName, RFC822Name

from device_sdk.errors import VerificationError
from device_sdk.protocols.crls import check_crls
from device_sdk.wire import der
from device_sdk.wire.path import find_path
from device_sdk.wire.path_inputs import PathInputs
from tests.est.pki import CA_USAGE, DAY, NOW, Ca, make, name, new_key
from tests.packages.test_crls import NO_CRL_SIGN, crl

PRIVATE = x509.ObjectIdentifier("1.3.6.1.4.1.32473.666")
UNKNOWN = x509.UnrecognizedExtension(PRIVATE, b"")
NO_USAGE = x509.KeyUsage(*[False] * 9)


@dataclass
class Cert:
    """One certificate of a chain; what is not said is as it should be."""

    names: tuple[x509.GeneralName, ...] = ()
    permitted: tuple[x509.GeneralName, ...] | None = None
    excluded: tuple[x509.GeneralName, ...] | None = None
    critical: bool = True
    subject: str | None = None
    options: dict = field(default_factory=dict)

    def extensions(self) -> list:
        found = list(self.options.get("extensions", []))
        if self.names:
            found.append((x509.SubjectAlternativeName(self.names), False))
        if self.permitted or self.excluded:
            found.append((x509.NameConstraints(self.permitted, self.excluded), self.critical))
        return found


def dns(*names: str) -> tuple[DNSName, ...]:
    return tuple(DNSName(one) for one in names)


def ip(*addresses: str) -> tuple[IPAddress, ...]:
    return tuple(IPAddress(ip_network(one) if "/" in one else ip_address(one)) for one in addresses)


def email(*addresses: str) -> tuple[RFC822Name, ...]:
    return tuple(RFC822Name._init_without_validation(one) for one in addresses)


def directory(*names: str) -> tuple[DirectoryName, ...]:
    return tuple(DirectoryName(name(one)) for one in names)


def only(**options) -> Cert:
    return Cert(options=options)


def depth(*limits: int | None) -> list[Cert]:
    return [Cert(), *(only(path_length=limit) for limit in limits), Cert()]


def below(root: Cert, leaf: Cert) -> list[Cert]:
    return [root, leaf]


OTHER = (OtherName(PRIVATE, b"\x05\x00"),)
EXAMPLE = dns("example.com")
NET = ip("192.0.2.0/24")
FOO = directory("foo")

CASES: dict[str, tuple[bool, list[Cert]]] = {
    "nc::permitted-dns-mismatch": (False, below(Cert(permitted=EXAMPLE), Cert(dns("not-example.com")))),
    "nc::excluded-dns-match": (False, [Cert(), Cert(excluded=EXAMPLE), Cert(EXAMPLE)]),
    "nc::permitted-dns-match": (True, below(Cert(permitted=EXAMPLE), Cert(EXAMPLE))),
    "nc::permitted-dns-match-noncritical": (False, below(Cert(permitted=EXAMPLE, critical=False), Cert(EXAMPLE))),
    "nc::permitted-dns-match-more": (True, below(Cert(permitted=EXAMPLE), Cert(dns("foo.bar.example.com")))),
    "nc::excluded-dns-match-second": (
        False,
        below(Cert(excluded=dns("not.example.com")), Cert(dns("example.com", "not.example.com"))),
    ),
    "nc::permitted-ip-mismatch": (False, below(Cert(permitted=NET), Cert(ip("192.0.3.1")))),
    "nc::excluded-ipv4-match": (False, below(Cert(excluded=NET), Cert(ip("192.0.2.1")))),
    "nc::excluded-ipv6-match": (False, below(Cert(excluded=ip("::1/128")), Cert(ip("::1")))),
    "nc::permitted-ipv4-match": (True, below(Cert(permitted=NET), Cert(ip("192.0.2.1")))),
    "nc::permitted-ipv6-match": (True, below(Cert(permitted=ip("::1/128")), Cert(ip("::1")))),
    "nc::permitted-dn-mismatch": (False, below(Cert(permitted=FOO), Cert(directory("not-foo"), subject="not-foo"))),
    "nc::excluded-dn-match": (False, below(Cert(excluded=FOO), Cert(FOO, subject="foo"))),
    "nc::permitted-dn-match": (True, below(Cert(permitted=FOO), Cert(FOO, subject="foo"))),
    "nc::permitted-dn-match-subject-san-mismatch": (False, below(Cert(permitted=FOO), Cert(FOO, subject="not-foo"))),
    "nc::excluded-dn-match-sub-mismatch": (
        False,
        below(Cert(excluded=FOO), Cert(directory("not-foo"), subject="foo")),
    ),
    "nc::permitted-self-issued": (
        True,
        [Cert(permitted=EXAMPLE, subject="ca"), Cert(dns("not-example.com"), subject="ca"), Cert(EXAMPLE)],
    ),
    "nc::excluded-self-issued-leaf": (
        False,
        [Cert(permitted=EXAMPLE), Cert(subject="ca"), Cert(dns("not-example.com"), subject="ca")],
    ),
    "nc::excluded-match-permitted-and-excluded": (
        False,
        below(Cert(permitted=EXAMPLE, excluded=EXAMPLE), Cert(EXAMPLE)),
    ),
    "nc::permitted-different-constraint-type": (True, below(Cert(permitted=NET), Cert(EXAMPLE))),
    "nc::excluded-different-constraint-type": (True, below(Cert(excluded=NET), Cert(EXAMPLE))),
    "nc::invalid-dnsname-leading-period": (
        False,
        below(Cert(permitted=dns(".example.com")), Cert(dns("foo.example.com"))),
    ),
    "nc::invalid-email-address": (
        False,
        below(Cert(permitted=email("invalid@invalid@example.com")), Cert(email("example@example.com"))),
    ),
    "nc::not-allowed-in-ee-noncritical": (False, [Cert(), Cert(EXAMPLE, permitted=EXAMPLE, critical=False)]),
    "nc::not-allowed-in-ee-critical": (False, [Cert(), Cert(EXAMPLE, permitted=EXAMPLE)]),
    "nc::intermediate-with-san-rejected-by-intermediate-nc": (
        False,
        [
            *(Cert(), Cert(permitted=dns("permitted.example.com"), excluded=dns("forbidden.example.com"))),
            *(Cert(dns("forbidden.example.com")), Cert(dns("permitted.example.com"))),
        ],
    ),
    "nc::intermediate-with-san-rejected-by-root-nc": (
        False,
        [
            *(Cert(permitted=dns("permitted.example.com"), excluded=dns("forbidden.example.com")), Cert()),
            *(Cert(dns("forbidden.example.com")), Cert(dns("permitted.example.com"))),
        ],
    ),
    "nc::restrictive-permits-in-intermediates-narrows": (
        False,
        [
            *(Cert(), Cert(permitted=dns("foo.example.com", "bar.example.com"))),
            *(Cert(permitted=dns("bar.example.com")), Cert(dns("foo.example.com"))),
        ],
    ),
    "nc::restrictive-permits-in-intermediates-widens": (
        False,
        [
            *(Cert(), Cert(permitted=dns("bar.example.com"))),
            *(Cert(permitted=dns("foo.example.com", "bar.example.com")), Cert(dns("foo.example.com"))),
        ],
    ),
    "nc::nc-permits-invalid-dns-san": (
        False,
        [Cert(), Cert(permitted=EXAMPLE), Cert(dns(".example.com", "foo.example.com"))],
    ),
    "nc::nc-permits-invalid-ip-san": (False, [Cert(), Cert(permitted=NET), Cert(ip("192.0.2.0/24", "192.0.2.1"))]),
    "nc::nc-permits-invalid-email-san": (
        False,
        [Cert(), Cert(permitted=email("example.com")), Cert(email("good@example.com", "invalid@address@example.com"))],
    ),
    "nc::nc-permits-email-exact": (
        True,
        [Cert(), Cert(permitted=email("foo@example.com")), Cert(email("foo@example.com"))],
    ),
    "nc::nc-permits-email-domain": (
        True,
        [Cert(), Cert(permitted=email("example.com")), Cert(email("foo@example.com"))],
    ),
    "nc::nc-forbids-othername": (
        False,
        [Cert(), Cert(permitted=EXAMPLE, excluded=OTHER), Cert((*EXAMPLE, *OTHER))],
    ),
    "nc::nc-forbids-othername-noop": (True, [Cert(), Cert(permitted=EXAMPLE, excluded=OTHER), Cert(EXAMPLE)]),
    "cve::cve-2025-61727": (
        False,
        [Cert(), Cert(permitted=EXAMPLE, excluded=dns("bar.example.com")), Cert(dns("*.example.com"))],
    ),
    "cve::cve-2025-61727, above": (
        True,
        [Cert(), Cert(excluded=dns("bar.deep.example.com", ".bar.example.com")), Cert(dns("*.example.com"))],
    ),
    "cve::cve-2025-61727-nc-permits-variant": (
        False,
        [Cert(), Cert(permitted=dns("foo.example.com")), Cert(dns("*.example.com"))],
    ),
    "pc::ica-noncritical-pc": (
        False,
        [Cert(), only(extensions=[(x509.PolicyConstraints(3, None), False)]), Cert()],
    ),
    "pathlen::ee-with-intermediate-pathlen-0": (True, depth(0)),
    "pathlen::ee-with-intermediate-pathlen-1": (True, depth(1)),
    "pathlen::ee-with-intermediate-pathlen-2": (True, depth(2)),
    "pathlen::validation-ignores-pathlen-in-leaf": (True, depth(0, 0)[:3]),
    "pathlen::intermediate-violates-pathlen-0": (False, depth(0, 0)),
    "pathlen::intermediate-pathlen-may-increase": (True, depth(1, 2)),
    "pathlen::intermediate-pathlen-too-long": (False, depth(1, 0, 0)),
    "pathlen::self-issued-certs-pathlen": (
        True,
        [
            *(Cert(), Cert(subject="ica", options={"path_length": 1})),
            *(Cert(subject="ica", options={"path_length": 1}), only(path_length=0), Cert()),
        ],
    ),
    "unknown-critical-extension-ee": (False, [Cert(), only(extensions=[(UNKNOWN, True)])]),
    "unknown-critical-extension-root": (False, [only(extensions=[(UNKNOWN, True)]), Cert()]),
    "unknown-critical-extension-intermediate": (False, [Cert(), only(extensions=[(UNKNOWN, True)]), Cert()]),
    "intermediate-ca-without-ca-bit": (
        False,
        [Cert(), only(ca=False, extensions=[(x509.BasicConstraints(False, None), True)]), Cert()],
    ),
    "intermediate-ca-missing-basic-constraints": (False, [Cert(), only(ca=False), Cert()]),
    "root-missing-basic-constraints": (False, [only(ca=False), Cert()]),
    "root-inconsistent-ca-extensions": (False, [only(usage=NO_USAGE), Cert()]),
    "ica-ku-keycertsign": (False, [Cert(), only(usage=NO_USAGE, path_length=0), Cert()]),
    "leaf-ku-keycertsign": (False, [Cert(), only(extensions=[(CA_USAGE, False)])]),
    "ee-critical-aia-invalid": (
        False,
        [
            Cert(),
            only(
                extensions=[
                    (
                        x509.AuthorityInformationAccess([x509.AccessDescription(x509.OID_CA_ISSUERS, EXAMPLE[0])]),
                        True,
                    )
                ]
            ),
        ],
    ),
    "no-keyusage": (True, [Cert(), Cert(EXAMPLE)]),
    "validity::expired-root": (False, [only(not_before=NOW - 9 * DAY, not_after=NOW - DAY), Cert(), Cert()]),
    "validity::expired-intermediate": (False, [Cert(), only(not_before=NOW - 9 * DAY, not_after=NOW - DAY), Cert()]),
    "validity::expired-leaf": (False, [Cert(), Cert(), only(not_before=NOW - 9 * DAY, not_after=NOW - DAY)]),
    "validity::notbefore-exact": (True, [only(not_before=NOW)] * 3),
    "validity::notafter-exact": (True, [only(not_after=NOW)] * 3),
}

PROFILE = {
    "nc::permitted-dns-match-noncritical": "how CAs mark it",
    "nc::invalid-dnsname-leading-period": "written so by CAs, and read so by OpenSSL, for any name below",
    "nc::not-allowed-in-ee-noncritical": "it limits nothing there",
    "nc::not-allowed-in-ee-critical": "it limits nothing there",
    "pc::ica-noncritical-pc": "it is processed whether it is critical or not",
    "unknown-critical-extension-root": "a trust anchor's certificate is no part of the path (section 6.1)",
    "root-missing-basic-constraints": "the same: its flags are looked at where it becomes an anchor",
    "root-inconsistent-ca-extensions": "the same",
    "leaf-ku-keycertsign": "its key signs no certificate here: it is no CA's",
}


def built(chain: list[Cert]) -> list[x509.Certificate]:
    """The root first."""
    found: list[x509.Certificate] = []
    signer = None
    for number, one in enumerate(chain):
        key = new_key()
        subject = name(one.subject or f"limbo {number}")
        options = {"ca": number < len(chain) - 1} | one.options | {"extensions": one.extensions()}
        issuer = found[-1].subject if found else subject
        found.append(make(subject, key.public_key(), issuer, signer or key, **options))
        signer = key
    return found


def valid(chain: list[x509.Certificate], **options) -> bool:
    root, *between, leaf = chain
    try:
        find_path(leaf, intermediates=between, anchors=[root], now=NOW, **options)
    except VerificationError:
        return False
    return True


@pytest.mark.parametrize("case", CASES)
def test_rfc_5280_section_6_1_limbo(case):
    expected, chain = CASES[case]
    assert valid(built(chain)) == (expected or case in PROFILE)


@pytest.mark.parametrize("excluded", [False, True])
@pytest.mark.parametrize(
    ("base", "names"),
    [
        (b"\x82\x0d*.example.com", dns("foo.example.com")),
        (b"\x87\x04\x7f\0\0\1", ip("127.0.0.1")),
        (b"\x87\x10" + bytes(15) + b"\1", ip("::1")),
        (b"\x81\x0fa@b@example.com", email("a@example.com")),
        (b"\x82\x0eexample..com.a", dns("foo.example.com")),
    ],
)
def test_limbo_constraints_that_are_none(base, names, excluded):
    """nc::invalid-dnsname-wildcard, nc::invalid-ipv4-address, nc::invalid-ipv6-address, nc::invalid-email-address.

    Whether they permit or exclude: what cannot be read is not passed over.
    """
    subtrees = der.sequence(base)
    value = der.sequence(der.tlv(0xA1 if excluded else 0xA0, subtrees))
    extension = x509.UnrecognizedExtension(x509.NameConstraints.oid, value), True
    assert not valid(built([only(extensions=[extension]), Cert(names)]))


@pytest.mark.parametrize("same_name", [False, True])
def test_limbo_cas_that_sign_each_other(same_name):
    """pathological::intermediate-cycle-*: two CAs that vouch for each other lead nowhere."""
    root, keys = Ca.root("Root"), (new_key(), new_key())
    subjects = [name("cycle" if same_name else f"cycle {number}") for number in range(2)]
    bag = [make(subjects[one], keys[one].public_key(), subjects[1 - one], keys[1 - one], ca=True) for one in range(2)]
    leaf = make(name("leaf"), new_key().public_key(), subjects[0], keys[0])
    assert not valid([root.certificate, *bag, leaf])


def test_limbo_an_expired_cross_certificate_beside_a_root():
    """pathological::multiple-chains-expired-intermediate."""
    root, other = Ca.root("Root"), Ca.root("Root 2")
    expired = make(
        name("Root"),
        root.key.public_key(),
        name("Root 2"),
        other.key,
        ca=True,
        not_before=NOW - 9 * DAY,
        not_after=NOW - DAY,
    )
    leaf = root.certify("leaf", new_key().public_key())
    anchors = [other.certificate, root.certificate]
    assert find_path(leaf, intermediates=[expired], anchors=anchors, now=NOW) == (leaf, root.certificate)


def test_limbo_cve_2024_0567_roots_that_signed_each_other():
    """cve::cve-2024-0567: a way out of the cycle is found."""
    cas = [Ca.root(f"Root {letter}") for letter in "ABC"]
    crossed = [
        make(one.certificate.subject, one.key.public_key(), other.certificate.subject, other.key, ca=True)
        for one in cas
        for other in cas
        if one is not other
    ]
    issuing = cas[0].issue_ca("Intermediate A1")
    leaf = issuing.certify("leaf", new_key().public_key())
    assert valid([cas[0].certificate, *crossed, issuing.certificate, leaf])


@pytest.mark.parametrize("forbidden_root_is_trusted", [False, True])
def test_limbo_a_ca_with_two_certificates_one_of_which_is_not_allowed(forbidden_root_is_trusted):
    """nc::nc-forbids-alternate-chain-ica and nc::nc-forbids-same-chain-ica."""
    good, bad = Ca.root("Good"), Ca.root("Bad")
    limits = x509.NameConstraints(permitted_subtrees=None, excluded_subtrees=dns("forbidden.example.com"))
    limited = bad.issue_ca("Limited", extensions=[(limits, True)])
    key = new_key()
    forbidden = (x509.SubjectAlternativeName(dns("forbidden.example.com")), False)
    twins = [limited.issue_ca("Twin", key=key, extensions=[forbidden]), good.issue_ca("Twin", key=key)]
    leaf = twins[0].certify("leaf", new_key().public_key())
    anchors = [bad.certificate, good.certificate] if forbidden_root_is_trusted else [good.certificate]
    bag = [limited.certificate, *(one.certificate for one in twins)]
    assert find_path(leaf, intermediates=bag, anchors=anchors, now=NOW)[-1] == good.certificate


LISTS: dict[str, tuple[bool, dict]] = {
    "revoked-certificate-with-crl": (False, {"revoked": "leaf"}),
    "certificate-not-on-crl": (True, {"revoked": "other"}),
    "crl-empty": (True, {}),
    "issuer-missing-crlsign": (False, {"usage": NO_CRL_SIGN}),
    "crl-invalid-signature": (False, {"key": new_key()}),
    "crl-unknown-critical-extension": (False, {"extensions": [(UNKNOWN, True)]}),
    "crl-unknown-noncritical-extension": (True, {"extensions": [(UNKNOWN, False)]}),
    "entry-unknown-critical-extension": (False, {"revoked": "leaf", "entry": [(UNKNOWN, True)]}),
    "entry-unknown-noncritical-extension": (False, {"revoked": "leaf", "entry": [(UNKNOWN, False)]}),
    "this-update-in-future": (False, {"last": NOW + DAY}),
    "next-update-in-past": (False, {"last": NOW - 60 * DAY, "until": NOW - 30 * DAY}),
    "crlnumber-missing": (
        True,
        {"number": None},
    ),  # limbo: not valid; the profile of CAs asks for it, section 6.3 does not
}


@pytest.mark.parametrize("case", LISTS)
def test_rfc_5280_section_6_3_limbo(case):
    """Where lists are demanded, a list that must not be used is none."""
    expected, options = LISTS[case]
    root = Ca.root("Root", usage=options.pop("usage", None))
    leaf, other = (root.certify(one, new_key().public_key()) for one in ("leaf", "other"))
    revoked = {"leaf": [leaf], "other": [other], None: []}[options.pop("revoked", None)]
    found = check_crls([crl(root, *revoked, **options)], anchors=[root.certificate], intermediates=[], now=NOW)
    inputs = PathInputs(lists=tuple(one.crl for one in found.accepted), lists_required=True)
    assert valid([root.certificate, leaf], inputs=inputs) == expected


def test_limbo_a_list_of_another_issuer():
    """crl::certificate-serial-on-crl-different-issuer."""
    one, other = Ca.root("Root CA 1"), Ca.root("Root CA 2")
    leaf = one.certify("leaf", new_key().public_key())
    inputs = PathInputs(lists=(crl(one), crl(other, leaf)), lists_required=True)
    assert valid([one.certificate, leaf], inputs=inputs)
