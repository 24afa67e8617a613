"""Revocation lists over TLS: which are believed (RFC 8295 section 4, RFC 5280 section 6.3; C-01 to C-06, AMB-04, AMB-22)."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.client.est import EstClient
from device_sdk.errors import HttpStatusError, RemoteProtocolError
from device_sdk.protocols.crls import check_crls, kept_inputs
from device_sdk.protocols.merge_crls import merge_lists
from device_sdk.wire.revocation import ListsByIssuer, is_newer
from tests.est.answers import bag, trusting
from tests.est.pki import CA_USAGE, DAY, NOW, Ca, Rollover, name, new_key
from tests.est.scripted_server import http

NO_CRL_SIGN = x509.KeyUsage(False, False, False, False, False, True, False, False, False)


REVOKED = f"revoked on {NOW - DAY:%Y-%m-%dT%H:%M:%SZ}"


def problem(ca: Ca, certificate: x509.Certificate, lists) -> str | None:
    return ListsByIssuer(one.crl for one in lists).problem((certificate, ca.certificate))


def crl(ca: Ca, *revoked: x509.Certificate, key=None, number: int | None = 1, extensions=(), entry=(), **dates):
    builder = x509.CertificateRevocationListBuilder().issuer_name(ca.certificate.subject)
    builder = builder.last_update(dates.get("last", NOW - DAY)).next_update(dates.get("until", NOW + 7 * DAY))
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), False)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    for certificate in revoked:
        one = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(NOW - DAY)
        for value, critical in entry:
            one = one.add_extension(value, critical)
        builder = builder.add_revoked_certificate(one.build())
    return builder.sign(key or ca.key, hashes.SHA256())


def crls_only(*lists: x509.CertificateRevocationList) -> bytes:
    """base64 of the message, by hand."""

    def element(tag: int, contents: bytes) -> bytes:
        return bytes([tag, 0x84]) + len(contents).to_bytes(4, "big") + contents

    field = element(0xA1, b"".join(one.public_bytes(Encoding.DER) for one in lists))
    signed = bytes.fromhex("0201013100300b06092a864886f70d010701") + field + bytes.fromhex("3100")
    whole = element(0x30, bytes.fromhex("06092a864886f70d010702") + element(0xA0, element(0x30, signed)))
    return base64.b64encode(whole) + b"\n"


@pytest.fixture
def fetch(ca, serve, clock):
    """What a client makes of the lists a server sends."""

    def run(*lists, body=None, status=200, media="application/pkcs7-mime; smime-type=crls-only", below=()):
        answer = http(status, crls_only(*lists) if body is None else body, ("Content-Type", media))
        server = run.server = serve(
            cacerts=bag(ca.certificate, *(one.certificate for one in below)), crls=lambda _: answer
        )
        with EstClient(server.url, trusting(ca), clock=clock) as client:
            return client.packages.crls()

    return run


def test_c_01_c_02_c_03_lists_of_the_root_and_of_a_ca_below(ca, fetch):
    issuing = ca.issue_ca("Issuing")
    found = fetch(crl(ca), crl(issuing), below=[issuing])
    assert [(one.issuer, one.stale) for one in found.accepted] == [
        (ca.certificate, False),
        (issuing.certificate, False),
    ]
    assert not found.rejected
    assert [seen.line for seen in fetch.server.seen] == [
        "GET /.well-known/est/cacerts",
        "GET /.well-known/est/crls",
    ]


@pytest.mark.parametrize(
    "media",
    [
        "application/pkcs7-mime",
        "application/pkcs7-mime; smime-type=certs-only",
        "application/pkcs7-smime",
        "text/plain",
    ],
)
def test_amb_04_the_content_decides(ca, fetch, media):
    assert len(fetch(crl(ca), media=media).accepted) == 1


@pytest.mark.parametrize("status", [204, 404])
def test_amb_22_a_server_without_lists(fetch, status):
    assert fetch(body=b"" if status == 204 else b"none", status=status, media="text/plain").accepted == ()


@pytest.mark.parametrize("status", [403, 500])
def test_c_02_another_status_is_an_error(fetch, status):
    with pytest.raises(HttpStatusError):
        fetch(body=b"no", status=status, media="text/plain")


def test_c_02_no_message_is_an_error(fetch):
    with pytest.raises(RemoteProtocolError, match="cannot be read"):
        fetch(body=b"<html>", media="text/html")


def unknown(critical: bool):
    return (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), critical)


def part(place: str | None = "http://ca.example/part.crl", **options):
    """What a list is about."""
    fields = {
        "full_name": [x509.UniformResourceIdentifier(place)] if place else None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**(fields | options)), True


REFUSED = {
    "another key": ({"key": new_key()}, "signature is not"),
    "from the future": ({"last": NOW + DAY, "until": NOW + 2 * DAY}, "not issued before"),
    "an unknown critical extension": ({"extensions": [unknown(True)]}, "critical extension 1.2.3.4"),
    "a delta list": ({"extensions": [(x509.DeltaCRLIndicator(1), True)]}, "delta list"),
    "a delta list that says so quietly": ({"extensions": [(x509.DeltaCRLIndicator(1), False)]}, "delta list"),
    "others' certificates, too": ({"extensions": [part(indirect_crl=True)]}, "other certificates than its issuer's"),
    "attribute certificates": (
        {"extensions": [part(None, only_contains_attribute_certs=True)]},
        "other certificates than its issuer's",
    ),
    "an entry with a critical extension": (
        {"entry": [(x509.CertificateIssuer([x509.DirectoryName(name("Other"))]), True)]},
        "entry with a critical",
    ),
}


@pytest.mark.parametrize(("options", "says"), REFUSED.values(), ids=REFUSED)
def test_c_05_lists_that_are_not_used(ca, fetch, options, says):
    """Each is judged alone: the good one beside it stays."""
    victim = ca.certify("victim", new_key().public_key())
    found = fetch(crl(ca, victim, **options), crl(ca, victim, number=2))
    assert len(found.accepted) == 1
    ((issuer, reason),) = found.rejected
    assert issuer == "CN=EST root"
    assert says in reason


def test_c_05_what_is_not_critical_does_not_matter(ca, fetch):
    reason = (x509.CRLReason(x509.ReasonFlags.key_compromise), False)
    victim = ca.certify("victim", new_key().public_key())
    assert len(fetch(crl(ca, victim, extensions=[unknown(False)], entry=[reason, unknown(False)])).accepted) == 1


def test_c_03_a_list_of_nobody_that_is_trusted(ca, fetch):
    stranger = Ca.root("Stranger")
    found = fetch(crl(stranger), below=[stranger])
    assert found.rejected == (("CN=Stranger", "its issuer is none of the CAs that are trusted"),)


def test_c_03_somebody_elses_list_in_the_name_of_the_root(fetch):
    impostor = Ca.root("EST root")
    assert fetch(crl(impostor)).rejected == (("CN=EST root", "the signature is not its issuer's"),)


def test_c_05_an_issuer_that_must_not_sign_lists(ca, fetch):
    issuing = ca.issue_ca("Issuing", usage=NO_CRL_SIGN)
    assert "lacks cRLSign" in fetch(crl(issuing), below=[issuing]).rejected[0][1]


def test_c_03_a_certificate_that_is_no_cas(ca):
    """An end entity with the right name and key usage signs nothing here, even if somebody hands it over as a CA's."""
    key = new_key()
    entity = Ca(key, ca.certify("Issuing", key.public_key(), extensions=[(CA_USAGE, True)]))
    found = check_crls([crl(entity)], anchors=[ca.certificate], intermediates=[entity.certificate], now=NOW)
    assert found.rejected == (("CN=Issuing", "not a CA certificate (BasicConstraints)"),)


def test_c_03_an_issuer_without_a_path(ca):
    """Expired, or below somebody else."""
    expired = ca.issue_ca("Issuing", not_after=NOW - DAY)
    stranger = Ca.root("Stranger").issue_ca("Issuing")
    for issuing, says in ((expired, "expired on"), (stranger, "no path to a trust anchor")):
        found = check_crls([crl(issuing)], anchors=[ca.certificate], intermediates=[issuing.certificate], now=NOW)
        assert says in found.rejected[0][1]


def test_c_05_a_stale_list_is_kept_and_says_so(ca, fetch, clock):
    victim = ca.certify("victim", new_key().public_key())
    clock.shift = timedelta(days=8)
    (found,) = fetch(crl(ca, victim)).accepted
    assert found.stale
    assert problem(ca, victim, [found]) == REVOKED


def test_who_is_on_a_list_and_who_is_not(ca):
    one, other = (ca.certify("dev", new_key().public_key()) for _ in range(2))
    lists = check_crls([crl(ca, one)], anchors=[ca.certificate], intermediates=[], now=NOW).accepted
    assert problem(ca, one, lists) == REVOKED
    assert problem(ca, other, lists) is None
    stranger = Ca.root("Stranger").certify("dev", new_key().public_key())
    assert problem(ca, stranger, lists) is None


def test_rfc_4210_4_4_3_each_key_of_a_rollover_signs_lists():
    """The old certificate is on the new key's list, and the other way round: the name counts."""
    rollover = Rollover()
    victim = rollover.old.certify("victim", new_key().public_key())
    anchors = [rollover.old.certificate, rollover.new.certificate]
    for signer in (rollover.old, rollover.new):
        found = check_crls([crl(signer, victim)], anchors=anchors, intermediates=[], now=NOW)
        assert [one.issuer for one in found.accepted] == [signer.certificate]
        assert problem(rollover.new, victim, found.accepted) == REVOKED


def test_c_06_never_an_older_list_for_a_newer(ca):
    first, second = crl(ca, number=1), crl(ca, number=2, last=NOW - 2 * DAY)
    assert is_newer(second, first), "the number counts before the date"
    assert not is_newer(first, second)
    early, late = crl(ca, number=None, last=NOW - 2 * DAY), crl(ca, number=None)
    assert is_newer(late, early)
    assert not is_newer(early, late)
    assert is_newer(first, first)


def keyed(ca: Ca, *revoked: x509.Certificate, number: int) -> x509.CertificateRevocationList:
    """A list with the key identifier of its issuer."""
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())
    return crl(ca, *revoked, number=number, extensions=[(identifier, False)])


def test_c_06_of_each_key_of_an_authority_the_newest_is_kept():
    """RFC 4210 section 4.4.3: one name, two keys, two lists; the number of one says nothing about the other."""
    rollover = Rollover()
    anchors = [rollover.old.certificate, rollover.new.certificate]

    def checked(*lists):
        return check_crls(lists, anchors=anchors, intermediates=[], now=NOW)

    held = (keyed(rollover.old, number=7), keyed(rollover.new, number=2))
    for found, kept in (
        ((), held),
        ((keyed(rollover.old, number=6), newer := keyed(rollover.new, number=3)), (held[0], newer)),
        ((keyed(rollover.new, number=1), newest := keyed(rollover.new, number=4), newer), (held[0], newest)),
    ):
        merged = merge_lists(checked(*held), checked(*found))
        assert tuple(one.crl for one in merged.kept) == kept
        older = [note for note in merged.notes if "is older than the one that is kept" in note]
        assert len(older) == len(found) - (kept != held)
    gone = check_crls(held, anchors=anchors[1:], intermediates=[], now=NOW)
    merged = merge_lists(gone, checked())
    assert tuple(one.crl for one in merged.kept) == held[1:]
    assert merged.notes[0].startswith("dropped the revocation list of CN=EST CA: ")


def test_c_05_a_list_about_some_of_the_certificates(ca, fetch):
    """Who is on it is revoked; it is kept beside the lists about the others, and takes the place of its own predecessor."""
    victim = ca.certify("victim", new_key().public_key())
    parts = [crl(ca, victim, extensions=[part()]), crl(ca, extensions=[part("http://ca.example/other.crl")])]
    found = fetch(*parts, crl(ca))
    assert len(found.accepted) == 3
    assert problem(ca, victim, found.accepted) == REVOKED
    kept = merge_lists(found, fetch(crl(ca, number=2, extensions=[part()]))).kept
    assert [len(one.crl) for one in kept] == [0, 0, 0]
    assert len(merge_lists(found, fetch(*parts)).kept) == 3


def test_c_06_one_of_several_certificates_of_a_ca(ca):
    """Four of those that lead to an anchor are kept with a list; who only says the name and key of the CA is not among them."""
    issuing = ca.issue_ca("Issuing", not_after=NOW + DAY)
    others = [ca.issue_ca("Issuing", key=issuing.key) for _ in range(5)]
    forged = [Ca.root("EST root").issue_ca("Issuing", key=issuing.key) for _ in range(3)]
    between = [one.certificate for one in (*forged, issuing, *others)]
    (found,) = check_crls([crl(issuing)], anchors=[ca.certificate], intermediates=between, now=NOW).accepted
    assert found.authorities == tuple(between[3:7])
    later = {"anchors": [ca.certificate], "now": NOW + 2 * DAY}
    for held in (False, True):
        (found,) = check_crls([crl(issuing)], intermediates=between, held=held, **later).accepted
        assert found.authorities == tuple(between[4:8])
    only = between[:4]
    assert check_crls([crl(issuing)], intermediates=only, **later).accepted == ()
    (found,) = check_crls([crl(issuing)], intermediates=only, held=True, **later).accepted
    assert found.authorities == (issuing.certificate,)
    revoked = crl(ca, issuing.certificate)
    assert [
        one.crl for one in check_crls([crl(issuing), revoked], intermediates=only, held=True, **later).accepted
    ] == [revoked]


def test_c_06_what_a_key_for_lists_said_counts_after_the_end_of_its_certificate(ca):
    """For who signs packages and messages about trust anchors, too: a list by a key that signs no certificates."""
    for_lists = x509.KeyUsage(False, False, False, False, False, False, True, False, False)
    key = new_key()
    issuer = ca.certify(
        ca.certificate.subject, key.public_key(), extensions=[(for_lists, True)], not_after=NOW + 2 * DAY
    )
    signer = ca.certify("signer", new_key().public_key())
    for now in (NOW, NOW + 3 * DAY):
        inputs = kept_inputs([crl(ca, signer, key=key)], anchors=[ca.certificate], now=now, issuers=[issuer])
        assert inputs.by_issuer.problem((signer, ca.certificate)) == REVOKED
