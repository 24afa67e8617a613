"""Everything a store must refuse, each with its status and a signed word about it, and an unchanged store (T-04 to T-07, T-13, T-14)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.packages.signing import Oddities
from device_sdk_simulators.packages.tamp import targets
from pyasn1.codec.ber.encoder import encode as encode_ber
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc4108, rfc5652

from device_sdk.protocols.tamp import Trusting
from tests.tamp import making
from tests.tamp.conftest import Bench, held
from tests.tamp.making import ARC, Manager, add, authority, certificate, info, remove

CONTENT_TYPE, DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
LARGEST = 2**63 - 1


def opened(message: bytes) -> tuple[Any, Any]:
    whole = decode(message, asn1Spec=rfc5652.ContentInfo())[0]
    return whole, decode(whole["content"], asn1Spec=rfc5652.SignedData())[0]


def rewritten(message: bytes, how: Callable[[Any], object], *, coder=encode) -> bytes:
    """The SignedData with something done to it."""
    whole, signed = opened(message)
    how(signed)
    whole["content"] = univ.Any(coder(signed))
    return bytes(coder(whole))


def bare(message: bytes, *, as_octets: bool) -> bytes:
    _, signed = opened(message)
    content = signed["encapContentInfo"]["eContent"].asOctets()
    found = rfc5652.ContentInfo()
    found["contentType"] = signed["encapContentInfo"]["eContentType"]
    found["content"] = univ.Any(encode(univ.OctetString(content)) if as_octets else content)
    return bytes(encode(found))


ODD = {
    "nobody": (Oddities(signers=0), "BAD_SIGNER_INFO"),
    "two signers": (Oddities(signers=2), "BAD_SIGNER_INFO"),
    "version 1": (Oddities(version=1), "BAD_SIGNED_DATA"),
    "signer version 1": (Oddities(signer_version=1), "BAD_SIGNER_INFO"),
    "broken signature": (Oddities(broken=True), "SIGNATURE_FAILURE"),
    "wrong digest": (Oddities(wrong_digest=True), "CMS_ERROR"),
    "another signed type": (Oddities(signed_type=making.UPDATE), "CMS_ERROR"),
    "no content type": (Oddities(without=(CONTENT_TYPE,)), "CMS_ERROR"),
    "no digest": (Oddities(without=(DIGEST,)), "CMS_ERROR"),
}


@pytest.mark.parametrize("case", ODD)
def test_t_05_the_cms_layer(bench: Bench, case: str) -> None:
    odd, status = ODD[case]
    name, error = bench.refused(bench.apex.query(odd=odd))
    assert (name, str(error["msgType"]), int(error["msgRef"]["seqNum"])) == (status, making.QUERY, 1)


def attributes_twice(signed: Any) -> None:
    signed["signerInfos"][0]["signedAttrs"].append(signed["signerInfos"][0]["signedAttrs"][0])


def without_attributes(signed: Any) -> None:
    before = signed["signerInfos"][0]
    found = rfc5652.SignerInfo()
    for name in ("version", "sid", "digestAlgorithm", "signatureAlgorithm", "signature"):
        found[name] = before[name]
    signed["signerInfos"].clear()
    signed["signerInfos"].append(found)


def by_issuer(signed: Any) -> None:
    sid = signed["signerInfos"][0]["sid"]
    sid["issuerAndSerialNumber"]["issuer"]["rdnSequence"].clear()
    sid["issuerAndSerialNumber"]["serialNumber"] = 1


def sha1(signed: Any) -> None:
    signed["digestAlgorithms"][0]["algorithm"] = signed["signerInfos"][0]["digestAlgorithm"]["algorithm"] = (
        "1.3.14.3.2.26"
    )


def two_hashes(signed: Any) -> None:
    signed["digestAlgorithms"][1]["algorithm"] = "2.16.840.1.101.3.4.2.3"


def another_hash(signed: Any) -> None:
    signed["digestAlgorithms"][0]["algorithm"] = "2.16.840.1.101.3.4.2.3"


def dsa(signed: Any) -> None:
    signed["signerInfos"][0]["signatureAlgorithm"]["algorithm"] = "2.16.840.1.101.3.4.3.2"


def no_content(signed: Any) -> None:
    kind = str(signed["encapContentInfo"]["eContentType"])
    signed["encapContentInfo"].clear()
    signed["encapContentInfo"]["eContentType"] = kind


def attribute_certificate(signed: Any) -> None:
    signed["certificates"][0]["other"]["otherCertFormat"] = "1.2.3"
    signed["certificates"][0]["other"]["otherCert"] = univ.Any(encode(univ.Null("")))


def garbage(signed: Any) -> None:
    signed["encapContentInfo"]["eContent"] = b"0\x03\x02\x01\x07"


def an_answer(signed: Any) -> None:
    signed["encapContentInfo"]["eContentType"] = "2.16.840.1.101.2.1.2.77.4"


CHANGED: dict[Callable[[Any], object], str] = {
    attributes_twice: "MALFORMED",
    without_attributes: "BAD_SIGNED_ATTRS",
    by_issuer: "NO_TRUST_ANCHOR",
    sha1: "BAD_DIGEST_ALGORITHM",
    two_hashes: "BAD_SIGNED_DATA",
    another_hash: "BAD_DIGEST_ALGORITHM",
    dsa: "BAD_SIGNATURE_ALGORITHM",
    no_content: "MISSING_CONTENT",
    attribute_certificate: "BAD_CERTIFICATE",
    garbage: "DECODE_FAILURE",
    an_answer: "UNSUPPORTED_TAMP_MSG_TYPE",
}


@pytest.mark.parametrize("how", CHANGED)
def test_t_05_what_was_changed_on_the_way(bench: Bench, how: Callable[[Any], object]) -> None:
    name, error = bench.refused(rewritten(bench.apex.query(), how))
    assert name == CHANGED[how]
    assert error is not None


def test_t_05_content_that_is_no_message(bench: Bench) -> None:
    for content in (b"0\x03\x02\x01\x07", b"\x30\x80\0\0", b""):
        assert bench.refused(bench.apex.sign(content, making.QUERY))[0] == "DECODE_FAILURE"
    assert bench.refused(bench.apex.sign(b"0\x03\x02\x01\x07", "1.2.3"))[0] == "UNSUPPORTED_TAMP_MSG_TYPE"


@pytest.mark.parametrize("as_octets", [False, True])
def test_t_04_amb_14_unsigned(bench: Bench, as_octets: bool) -> None:
    manager = bench.apex
    for number, message in enumerate(
        (
            manager.query(),
            manager.update(add(certificate(bench.people.stranger))),
            manager.apex(certificate(bench.people.stranger)),
            manager.communities(new=["1.2.3"]),
            manager.adjust(5),
        ),
        1,
    ):
        name, error = bench.refused(bare(message, as_octets=as_octets))
        assert (name, int(error["msgRef"]["seqNum"])) == ("MISSING_SIGNATURE", number)


@pytest.mark.parametrize("body", [b"", b"<html>", b"0\x80", b"0\x03\x02\x01\x01", bytes(100)])
def test_t_05_no_message_at_all_is_not_answered(bench: Bench, body: bytes) -> None:
    """TR-04: an error message names the type of the message, and this has none."""
    name, error = bench.refused(body)
    assert (name in ("DECODE_FAILURE", "BAD_CONTENT_INFO"), error) == (True, None)


def test_t_05_ber_data_behind_and_other_content(bench: Bench) -> None:
    message = bench.apex.query()
    padded = rewritten(message, lambda _: None, coder=lambda one: encode_ber(one, defMode=False))
    assert bench.refused(padded) == ("DECODE_FAILURE", None)
    assert bench.refused(message + b"0\0") == ("DECODE_FAILURE", None)
    whole, _ = opened(message)
    whole["contentType"] = rfc5652.id_data
    assert bench.refused(encode(whole)) == ("BAD_CONTENT_INFO", None)


def test_t_14_who_may_not_sign(bench: Bench) -> None:
    people = bench.people
    assert bench.refused(Manager(people.identity).query())[0] == "NOT_AUTHORIZED"
    assert bench.refused(Manager(people.stranger).query())[0] == "NO_TRUST_ANCHOR"
    assert bench.refused(bench.limited.query())[0] == "NOT_AUTHORIZED"
    below = authority("Below", people.identity)
    assert bench.refused(Manager(below, (below.certificate,)).query())[0] == "NOT_AUTHORIZED"


def test_t_03_a_certificate_has_to_lead_to_an_anchor_and_to_say_what_it_may(bench: Bench) -> None:
    """T-03: by way of a certificate, too; without content constraints every device below the anchor could (RFC 6010)."""
    people = bench.people
    assert bench.statuses(bench.delegate.query()) == ["SUCCESS"]
    assert bench.refused(Manager(people.delegate).query())[0] == "NO_TRUST_ANCHOR"
    silent = authority("Silent", people.management)
    assert bench.refused(Manager(silent, (silent.certificate,)).query())[0] == "NOT_AUTHORIZED"
    other = authority("Other", people.management, making.may_sign(making.FIRMWARE))
    assert bench.refused(Manager(other, (other.certificate,)).query())[0] == "NOT_AUTHORIZED"
    stranger = authority("Below a stranger", people.stranger, making.may_sign(making.ANY))
    assert (
        bench.refused(Manager(stranger, (stranger.certificate, people.stranger.certificate)).query())[0]
        == "NO_TRUST_ANCHOR"
    )
    late = Trusting(people.delegate.certificate.not_valid_after_utc.replace(year=2090))
    assert bench.refused(bench.delegate.query(), late)[0] == "NO_TRUST_ANCHOR"


def test_s_02_an_attribute_that_is_limited_has_to_be_there(bench: Bench) -> None:
    """RFC 6010 section 1.2: what is missing would count as the constraint says; no message about anchors has such a default."""
    limits = making.may_sign(making.QUERY, attributes=[("1.2.3", [univ.Integer(1)])])
    limited = authority("Limited query", bench.people.management, limits)
    assert bench.refused(Manager(limited, (limited.certificate,)).query())[0] == "NOT_AUTHORIZED"


def test_t_03_certificates_that_are_not_needed_do_no_harm(bench: Bench) -> None:
    manager = Manager(bench.people.apex, (bench.people.stranger.certificate, bench.people.delegate.certificate))
    assert bench.statuses(manager.query()) == ["SUCCESS"]


def revoking(issuer: Authority, revoked: Authority) -> x509.CertificateRevocationList:
    serial = revoked.certificate.serial_number
    entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(making.NOW).build()
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.certificate.subject)
    dated = builder.last_update(making.NOW).next_update(making.NOW + making.DAY)
    return dated.add_revoked_certificate(entry).sign(issuer.key, hashes.SHA256())


def test_t_03_a_revoked_certificate(bench: Bench) -> None:
    people = bench.people
    found = revoking(people.management, people.delegate)
    name, error = bench.refused(bench.delegate.query(), Trusting(making.NOW, lists=[found]))
    assert (name, int(error["status"])) == ("REVOKED_CERTIFICATE", 33)


def test_t_03_a_list_of_somebody_of_the_same_name(bench: Bench) -> None:
    """The kept lists are those of the EST server's CAs: one of them may be called what a manager, or a CA below him, is."""
    people = bench.people
    between = authority("Between", people.management, making.may_sign(making.ANY))
    below = authority("Below", between, making.may_sign(making.ANY))
    manager = Manager(below, (below.certificate, between.certificate))
    others = [
        revoking(authority("Management"), people.delegate),
        revoking(authority("Management"), between),
        revoking(authority("Between"), below),
    ]
    trusting = Trusting(making.NOW, lists=others)
    for message in (bench.delegate.query(), manager.query()):
        assert [one.name for one in bench.do(message, trusting).statuses] == ["SUCCESS"]
    for own in (revoking(between, below), revoking(people.management, between)):
        trusting = Trusting(making.NOW, lists=[*others, own])
        assert bench.refused(manager.query(), trusting)[0] == "REVOKED_CERTIFICATE"


def test_t_08_a_signer_that_was_removed(bench: Bench) -> None:
    assert bench.statuses(bench.management.update(remove(bench.people.management))) == ["SUCCESS"]
    assert bench.refused(bench.management.query())[0] == "NO_TRUST_ANCHOR"
    assert bench.refused(bench.delegate.query())[0] == "NO_TRUST_ANCHOR"


def test_t_07_sequence_numbers(bench: Bench) -> None:
    """T-07: the first is any; then above the last, by an anchor or a certificate, each signer on its own; the largest is the last."""
    for manager in (bench.apex, bench.delegate):
        assert bench.statuses(manager.query(number=7)) == ["SUCCESS"]
        for number in (0, 6, 7):
            assert bench.refused(manager.query(number=number))[0] == "SEQ_NUM_FAILURE"
        assert bench.statuses(manager.query(number=8)) == ["SUCCESS"]
    assert bench.statuses(bench.management.query(number=0)) == ["SUCCESS"]
    assert bench.refused(bench.apex.query(number=LARGEST + 1))[0] == "DECODE_FAILURE"
    assert bench.refused(bench.apex.query(number=-1))[0] == "DECODE_FAILURE"
    assert bench.statuses(bench.apex.query(number=LARGEST)) == ["SUCCESS"]
    assert bench.refused(bench.apex.query(number=LARGEST))[0] == "SEQ_NUM_FAILURE"
    assert bench.number(bench.people.apex) == LARGEST


def test_t_12_adjusting_takes_the_last_number_again_and_only_raises(bench: Bench) -> None:
    assert bench.statuses(bench.management.adjust(40)) == ["SUCCESS"]
    assert bench.statuses(bench.management.adjust(40)) == ["SUCCESS"]
    assert bench.refused(bench.management.adjust(39))[0] == "SEQ_NUM_FAILURE"
    assert bench.refused(bench.management.query(number=40))[0] == "SEQ_NUM_FAILURE"
    assert (bench.number(bench.people.management), bench.number(bench.people.apex)) == (40, None)
    assert bench.refused(bench.delegate.adjust(50))[0] == "NOT_AUTHORIZED"


def test_t_13_two_anchors_of_one_key_identifier(bench: Bench) -> None:
    """T-13: all are tried before anything fails."""
    first, second = (
        authority("First", None, making.may_sign(making.ANY)),
        authority("Second", None, making.may_sign(making.ANY)),
    )
    choice = info(second)
    choice["taInfo"]["keyId"] = making.key_identifier(first.certificate)
    assert bench.statuses(bench.apex.update(add(certificate(first)), add(choice))) == ["SUCCESS", "SUCCESS"]
    both = Manager(making.Authority(first.certificate, second.key))
    assert bench.statuses(Manager(first).query(number=5)) == ["SUCCESS"]
    assert bench.statuses(both.query(number=3)) == ["SUCCESS"]
    assert (bench.number(first), bench.number(second)) == (5, 3)
    wrong = Manager(making.Authority(first.certificate, bench.people.stranger.key))
    assert bench.refused(wrong.query())[0] == "SIGNATURE_FAILURE"


MODULE_NAME = rfc4108.HardwareModuleName()
MODULE_NAME["hwType"], MODULE_NAME["hwSerialNum"] = making.HARDWARE, making.SERIAL
TYPE, OTHER = making.HARDWARE, f"{ARC}.2"
HERE = {
    "one": targets.modules([(TYPE, [b"\x00\x17"])]),
    "all of a type": targets.modules([(OTHER, [b"\x00\x17"]), (TYPE, [None])]),
    "block": targets.modules([(TYPE, [(b"\x00\x10", b"\x00\x17")])]),
    "community": targets.communities([f"{ARC}.8", making.COMMUNITY]),
    "uri": targets.uri(making.URI),
    "name": targets.other_name("1.3.6.1.5.5.7.8.4", encode(MODULE_NAME)),
}
ELSEWHERE = {
    "another type": (targets.modules([(OTHER, [None])]), "INCORRECT_TARGET"),
    "another serial": (targets.modules([(TYPE, [b"\x00\x18"])]), "INCORRECT_TARGET"),
    "a longer serial": (targets.modules([(TYPE, [b"\x00\x00\x17"])]), "INCORRECT_TARGET"),
    "above the block": (targets.modules([(TYPE, [(b"\x00\x10", b"\x00\x16")])]), "INCORRECT_TARGET"),
    "a block of longer ones": (targets.modules([(TYPE, [(b"\x00\x00\x10", b"\x00\x00\x20")])]), "INCORRECT_TARGET"),
    "a block of two lengths": (targets.modules([(TYPE, [(b"\x10", b"\x00\x20")])]), "DECODE_FAILURE"),
    "a type twice": (targets.modules([(TYPE, [None]), (TYPE, [b"\x00\x17"])]), "DECODE_FAILURE"),
    "another community": (targets.communities([f"{ARC}.8"]), "INCORRECT_TARGET"),
    "another uri": (targets.uri("urn:example:store:24"), "INCORRECT_TARGET"),
    "another name": (targets.other_name("1.3.6.1.5.5.7.8.4", b"\x05\x00"), "INCORRECT_TARGET"),
    "a name of another kind": (targets.other_name("1.2.3", b"\x05\x00"), "UNSUPPORTED_TARGET_IDENTIFIER"),
}


@pytest.mark.parametrize("case", HERE)
def test_t_06_meant(bench: Bench, case: str) -> None:
    assert bench.statuses(bench.apex.query(target=HERE[case])) == ["SUCCESS"]


@pytest.mark.parametrize("case", ELSEWHERE)
def test_t_06_not_meant(bench: Bench, case: str) -> None:
    target, status = ELSEWHERE[case]
    name, error = bench.refused(bench.apex.query(target=target))
    assert name == status
    if status != "DECODE_FAILURE":
        assert encode(error["msgRef"]["target"]) == encode(target)


def test_t_06_no_community_and_no_name(bench: Bench) -> None:
    """An empty list of communities is nobody's; a device without a name is no module."""
    from dataclasses import replace

    from device_sdk.protocols.tamp import StoreName

    assert bench.refused(rewritten_communities(bench))[0] == "INCORRECT_TARGET"
    bench.store = replace(bench.store, name=StoreName())
    assert bench.refused(bench.apex.query(target=HERE["all of a type"]))[0] == "INCORRECT_TARGET"


def rewritten_communities(bench: Bench) -> bytes:
    """The DER encoder of the library leaves empty lists out."""
    content = bytes.fromhex("3007" + "3005" + "a200" + "020101")
    return bench.apex.sign(content, making.QUERY)


def test_t_06_another_version(bench: Bench) -> None:
    first = bytes.fromhex("300a" + "800101" + "3005" + "8300" + "020101")
    assert (
        bench.refused(bench.apex.sign(first.replace(b"\x30\x0a", b"\x30\x0a", 1), making.QUERY))[0]
        == "VERSION_NUMBER_MISMATCH"
    )
    written_out = bytes.fromhex("300a" + "800102" + "3005" + "8300" + "020101")
    assert bench.refused(bench.apex.sign(written_out, making.QUERY))[0] == "DECODE_FAILURE"


def test_t_14_an_anchor_that_is_an_rsa_key(bench: Bench) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from device_sdk_simulators.ca.hierarchy import make_authority

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    rsa_anchor = make_authority("RSA", key, making.NOW, extensions=[making.may_sign(making.ANY)])
    weak_key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  # that is what is refused
    weak = make_authority("Weak", weak_key, making.NOW)
    done = bench.statuses(bench.apex.update(add(certificate(rsa_anchor)), add(certificate(weak))))
    assert done == ["SUCCESS", "UNSUPPORTED_TA_KEY_SIZE"]
    assert bench.statuses(Manager(rsa_anchor).query()) == ["SUCCESS"]
    assert held(certificate(rsa_anchor), bench.find(rsa_anchor).role).identity  # type: ignore[union-attr]  # it is there
