"""Servers with the wrong certificate: the handshake, or the check right after it, ends everything; no byte of HTTP is sent."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from ipaddress import ip_address, ip_network

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID as Eku

from device_sdk.errors import ClockError, ServerNotAuthorizedError, ServerNotTrustedError, TlsError
from tests.est.pki import DAY, NOW, Ca, make, name, new_key, pem_key
from tests.hostile.case import Attack, Case, carry_out, table
from tests.hostile.conftest import Lab
from tests.hostile.host import Host

LOCAL = x509.IPAddress(ip_address("127.0.0.1"))
CMC_ARCHIVE = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.29")
CMC_CA = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.27")
CMC_RA = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.28")
SIGNS_ONLY_DATA = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
ENCIPHERS_ONLY = x509.KeyUsage(False, False, True, False, False, False, False, False, False)


def leaf(*names: x509.GeneralName, usages=(Eku.SERVER_AUTH,), more=(), key=None, **options):
    """A leaf as it should be but for what the case says: names, extended key usage, further extensions, dates."""

    def attack(host: Host) -> None:
        server_key = key or new_key()
        extensions = [*more]
        if names:
            extensions.append((x509.SubjectAlternativeName(names), False))
        if usages:
            extensions.append((x509.ExtendedKeyUsage(usages), False))
        signer = host.ca
        certificate = signer.certify("127.0.0.1", server_key.public_key(), extensions=extensions, **options)
        host.show(certificate, server_key)

    return attack


def below(*, of_root=False, forget=(), usage=None, ca=True, path_length=None, depth=1, more=(), **options) -> Attack:
    """A good leaf below an intermediate that is not as it should be."""

    def attack(host: Host) -> None:
        chain, signer = [], Ca.root("Stranger") if of_root else host.ca
        for number in range(depth):
            key = new_key()
            certificate = make(
                name(f"Middle {number}"), key.public_key(), signer.certificate.subject, signer.key, ca=ca, usage=usage,
                path_length=path_length, extensions=list(more), **options,
            )  # fmt: skip
            signer = Ca(key, certificate)
            chain.insert(0, certificate)
        key = new_key()
        extensions = [(x509.SubjectAlternativeName([LOCAL]), False), (x509.ExtendedKeyUsage([Eku.SERVER_AUTH]), False)]
        certificate = signer.certify("leaf", key.public_key(), extensions=extensions)
        host.show(certificate, key, *[one for one in chain if one.subject not in forget])

    return attack


def self_signed(host: Host) -> None:
    key = new_key()
    extensions = [(x509.SubjectAlternativeName([LOCAL]), False)]
    host.show(make(name("127.0.0.1"), key.public_key(), name("127.0.0.1"), key, extensions=extensions), key)


def of_namesake(host: Host) -> None:
    """A CA that calls itself like ours and has another key."""
    namesake = Ca.root("EST root")
    key = new_key()
    extensions = [(x509.SubjectAlternativeName([LOCAL]), False), (x509.ExtendedKeyUsage([Eku.SERVER_AUTH]), False)]
    host.show(namesake.certify("leaf", key.public_key(), extensions=extensions), key, namesake.certificate)


def of_the_devices_own(host: Host) -> None:
    """A certificate for a device, which signs: what a thief of one device could make."""
    key, server_key = new_key(), new_key()
    device = host.ca.certify("device 2", key.public_key(), extensions=[(x509.BasicConstraints(False, None), True)])
    extensions = [(x509.SubjectAlternativeName([LOCAL]), False), (x509.ExtendedKeyUsage([Eku.SERVER_AUTH]), False)]
    certificate = make(name("leaf"), server_key.public_key(), device.subject, key, extensions=extensions)
    host.show(certificate, server_key, device)


def rsa_1024(host: Host) -> None:
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505  # to be refused
    leaf(LOCAL, key=key)(host)


def sha1(host: Host) -> None:
    """By openssl, as cryptography signs nothing with SHA-1."""
    key, at = new_key(), host.directory
    (at / "sha1.key").write_bytes(pem_key(key))
    (at / "ca.key").write_bytes(pem_key(host.ca.key))
    (at / "ca.pem").write_bytes(host.ca.certificate.public_bytes(Encoding.PEM))
    (at / "ext").write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
    request = ["openssl", "req", "-new", "-key", "sha1.key", "-subj", "/CN=leaf", "-out", "sha1.csr"]
    sign = ["openssl", "x509", "-req", "-sha1", "-in", "sha1.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-extfile", "ext",
            "-days", "1", "-out", "sha1.pem"]  # fmt: skip
    for words in (request, sign):
        subprocess.run(words, cwd=at, check=True, capture_output=True)
    host.show(x509.load_pem_x509_certificate((at / "sha1.pem").read_bytes()), key)


def name_constraint(*excluded: x509.GeneralName):
    return [(x509.NameConstraints(permitted_subtrees=None, excluded_subtrees=list(excluded)), True)]


UNKNOWN = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), True)
NOT_TRUSTED, NOT_AUTHORIZED = ServerNotTrustedError, ServerNotAuthorizedError

CASES = [
    Case("EST-52", "self-signed", self_signed, NOT_TRUSTED),
    Case("EST-52", "a stranger's CA", below(of_root=True), NOT_TRUSTED),
    Case("EST-52", "a CA of the same name with another key", of_namesake, NOT_TRUSTED),
    Case("EST-52", "signed by a device's certificate", of_the_devices_own, NOT_TRUSTED),
    Case("EST-52", "expired", leaf(LOCAL, not_before=NOW - 9 * DAY, not_after=NOW - DAY), NOT_TRUSTED, "expired"),
    Case("EST-52", "expired a second ago", leaf(LOCAL, not_after=NOW - timedelta(seconds=1)), NOT_TRUSTED, "expired"),
    Case("EST-52", "begins next year", leaf(LOCAL, not_before=NOW + 365 * DAY, not_after=NOW + 400 * DAY), ClockError),
    Case("EST-52", "intermediate not sent", below(forget=(name("Middle 0"),)), NOT_TRUSTED),
    Case("EST-52", "intermediate expired", below(not_after=NOW - DAY, not_before=NOW - 9 * DAY), NOT_TRUSTED),
    Case("EST-52", "intermediate is no CA", below(ca=False), NOT_TRUSTED),
    Case("EST-52", "intermediate may not sign certificates", below(usage=SIGNS_ONLY_DATA), NOT_TRUSTED),
    Case("EST-52", "path length exceeded", below(path_length=0, depth=2), NOT_TRUSTED),
    Case("EST-52", "a path of two hundred", below(depth=200), (NOT_TRUSTED, TlsError)),
    Case("EST-52", "unknown critical extension", leaf(LOCAL, more=[UNKNOWN]), NOT_TRUSTED),
    Case("EST-52", "unknown critical extension above", below(more=[UNKNOWN]), NOT_TRUSTED),
    Case("EST-52", "address excluded by a name constraint", below(more=name_constraint(
        x509.IPAddress(ip_network("127.0.0.0/8")))), NOT_TRUSTED, "limits the names below it"),
    Case("EST-51", "RSA with 1024 bits", rsa_1024, (NOT_TRUSTED, TlsError)),
    Case("EST-51", "signed with SHA-1", sha1, (NOT_TRUSTED, TlsError)),
    Case("EST-62", "another host", leaf(x509.DNSName("other.example")), NOT_AUTHORIZED, "other.example"),
    Case("EST-62", "another address", leaf(x509.IPAddress(ip_address("127.0.0.2"))), NOT_AUTHORIZED),
    Case("EST-62", "name in the CN only", leaf(), NOT_AUTHORIZED),
    Case("EST-67", "the address as a DNS name", leaf(x509.DNSName("127.0.0.1")), NOT_AUTHORIZED),
    Case("EST-67", "the address as a URI", leaf(x509.UniformResourceIdentifier("https://127.0.0.1/")), NOT_AUTHORIZED),
    Case("EST-67", "a wildcard for addresses", leaf(x509.DNSName("*.0.0.1")), NOT_AUTHORIZED),
    Case("EST-62", "a wildcard for everything", leaf(x509.DNSName("*")), NOT_AUTHORIZED),
    Case("EST-67", "the address mapped to IPv6", leaf(x509.IPAddress(ip_address("::ffff:127.0.0.1"))), NOT_AUTHORIZED),
    Case("EST-61", "for clients", leaf(LOCAL, usages=(Eku.CLIENT_AUTH,)), (NOT_TRUSTED, NOT_AUTHORIZED)),
    Case("EST-61", "for code", leaf(LOCAL, usages=(Eku.CODE_SIGNING,)), (NOT_TRUSTED, NOT_AUTHORIZED)),
    Case("EST-63", "cmcArchive is not cmcRA", leaf(x509.DNSName("ra.example"), usages=(Eku.SERVER_AUTH, CMC_ARCHIVE)),
         NOT_AUTHORIZED),
    Case("EST-63", "cmcCA is not cmcRA", leaf(x509.DNSName("ra.example"), usages=(Eku.SERVER_AUTH, CMC_CA)),
         NOT_AUTHORIZED),
    Case("EST-66", "anyExtendedKeyUsage is not cmcRA",
         leaf(x509.DNSName("ra.example"), usages=(Eku.ANY_EXTENDED_KEY_USAGE,)), NOT_AUTHORIZED),
    Case("EST-63", "cmcRA below a CA that is not for it", below(more=[(x509.ExtendedKeyUsage([Eku.CLIENT_AUTH]), False)]),
         (NOT_TRUSTED, NOT_AUTHORIZED)),
    Case("EST-61", "a key that may only encipher", leaf(LOCAL, more=[(ENCIPHERS_ONLY, True)]),
         (NOT_TRUSTED, NOT_AUTHORIZED, TlsError)),
]  # fmt: skip


@table(CASES)
def test_wrong_certificate(lab: Lab, case: Case) -> None:
    """And so EST-132: no renewal goes to a server that is not authenticated and authorized."""
    carry_out(lab, case)
    assert lab.host.seen == []
    assert lab.host.received == b""


def test_the_tables_own_honesty(lab: Lab) -> None:
    """The same machinery with nothing wrong renews; so what refuses above is what the case says."""
    for attack in (
        leaf(LOCAL),
        below(),
        below(depth=2, path_length=5),
        leaf(x509.DNSName("x"), usages=(Eku.SERVER_AUTH, CMC_RA)),
    ):
        attack(lab.host)
        assert lab.device.renew(lab.plan()).changed
    assert lab.host.seen
