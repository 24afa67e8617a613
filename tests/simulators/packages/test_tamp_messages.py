"""Messages about trust anchors as the reference server makes them, judged by openssl and pyasn1 (RFC 5934; T-05, T-06, T-07)."""

from __future__ import annotations

import datetime as dt
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from device_sdk_simulators.ca.hierarchy import make_authority
from device_sdk_simulators.ca.keys import new_key
from device_sdk_simulators.database import Database
from device_sdk_simulators.packages.constraints import content_constraints
from device_sdk_simulators.packages.shelf import Shelf
from device_sdk_simulators.packages.signing import Oddities
from device_sdk_simulators.packages.tamp import anchors, messages, targets
from device_sdk_simulators.packages.tamp.authority import Signer, TampAuthority
from device_sdk_simulators.packages.tamp.book import TampBook
from device_sdk_simulators.packages.tamp.kinds import KINDS, QUERY, SEQUENCE_ADJUST
from device_sdk_simulators.packages.tamp.making import make_message, unsigned_message
from device_sdk_simulators.packages.tamp.publishing import Delivery, Draft, publish
from device_sdk_simulators.softhsm import SimulatorError
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5652, rfc5914, rfc5934, rfc6010

NOW = dt.datetime.now(dt.UTC)
ARC = "1.3.6.1.4.1.32473"
TARGETS = {
    "all modules": targets.all_modules(),
    "modules": targets.modules([(f"{ARC}.1", [None]), (f"{ARC}.2", [b"\x01", (b"\x10\x00", b"\x10\xff")])]),
    "communities": targets.communities([f"{ARC}.9", f"{ARC}.10"]),
    "no community": targets.communities([]),
    "uri": targets.uri("urn:example:store"),
    "other name": targets.other_name(f"{ARC}.3", b"\x0c\x02me"),
}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tamp")


@pytest.fixture(scope="module")
def authority(state: Path) -> TampAuthority:
    return TampAuthority(state, NOW)


@pytest.fixture(scope="module")
def constrained() -> x509.Certificate:
    """An anchor of which there is much to say."""
    below = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Example")])
    said: list[x509.ExtensionType] = [
        content_constraints(["1.2.840.113549.1.9.16.1.16"]),
        x509.NameConstraints([x509.DirectoryName(below)], [x509.DNSName("not.example")]),
        x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(f"{ARC}.5"), None)]),
        x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=0),
    ]
    return make_authority("Constrained", new_key("ec-p256"), NOW, extensions=said).certificate


def every_message(reference: object, certificate: x509.Certificate) -> dict[str, list[bytes]]:
    """Each kind, in all its variants."""
    changes = [messages.Change("add", anchors.anchor(certificate, form, title="One")) for form in anchors.FORMS]
    changes += [
        messages.removed(certificate),
        messages.Change("change", anchors.changed_info(certificate, title="Two")),
    ]
    changes += [messages.Change("change", anchors.changed_info(certificate, controls=False))]
    changes += [messages.Change("change", anchors.changed_certificate(certificate))]
    numbers = [messages.first_number(certificate, 7)]
    return {
        "query": [messages.status_query(reference), messages.status_query(reference, terse=True)],
        "update": [
            messages.update(reference, changes, numbers=numbers),
            messages.update(reference, changes, terse=True),
        ],
        "apex-update": [
            messages.apex_update(
                reference, messages.NewApex(anchors.anchor(certificate, form), clear, not clear, number)
            )
            for form, clear, number in (("info", True, None), ("tbs", False, 0), ("certificate", True, 5))
        ],
        "community-update": [
            messages.community_update(reference, remove=["1.2.3"]),
            messages.community_update(reference, add=["1.2.3", "1.2.4"], terse=True),
        ],
        "sequence-adjust": [messages.sequence_adjust(reference)],
    }


SPECS = {
    "query": rfc5934.TAMPStatusQuery,
    "update": rfc5934.TAMPUpdate,
    "apex-update": rfc5934.TAMPApexUpdate,
    "community-update": rfc5934.TAMPCommunityUpdate,
    "sequence-adjust": rfc5934.SequenceNumberAdjust,
}


@pytest.mark.parametrize("target", TARGETS)
def test_t_06_every_message_is_der_again(constrained: x509.Certificate, target: str) -> None:
    """T-06: for every kind of target, with anchors in every format; defaults are left out."""
    reference = targets.reference(TARGETS[target], 2**63 - 1)
    for kind, variants in every_message(reference, constrained).items():
        for der in variants:
            found, rest = decode(der, asn1Spec=SPECS[kind]())
            assert (bytes(encode(found)), rest) == (der, b""), kind
            assert encode(found["query" if kind == "query" else "msgRef"]) == encode(reference)


def test_t_11_an_empty_list_of_removals_stays() -> None:
    """Section 4.7: it means all of them; pyasn1's encoder would leave it out."""
    der = messages.community_update(targets.reference(targets.all_modules(), 1), remove=[])
    assert der.endswith(b"\x30\x02\xa1\x00")


def test_what_an_anchor_says_in_its_short_form(constrained: x509.Certificate) -> None:
    """RFC 5914 section 2: controls replace the extensions that say the same, and only those."""
    info = anchors.anchor(constrained, "info", title="One")["taInfo"]
    controls = info["certPath"]
    assert str(controls["policySet"][0]["policyIdentifier"]) == f"{ARC}.5"
    assert tuple(controls["policyFlags"]) == (1, 1)
    assert len(controls["nameConstr"]["permittedSubtrees"]) == len(controls["nameConstr"]["excludedSubtrees"]) == 1
    assert bytes(encode(controls["taName"])) == constrained.subject.public_bytes()
    assert [one["extnID"] for one in info["exts"]] == [rfc6010.id_pe_cmsContentConstraints]
    assert not anchors.changed_info(constrained, controls=False)["taChange"]["certPath"].isValue


def verified(path: Path, message: bytes, anchor: x509.Certificate, *words: str) -> subprocess.CompletedProcess[bytes]:
    (path / "anchor.pem").write_bytes(anchor.public_bytes(Encoding.PEM))
    (path / "message.der").write_bytes(message)
    command = ["openssl", "cms", "-verify", "-inform", "DER", "-binary", "-in", "message.der", "-CAfile", "anchor.pem"]
    command += ["-purpose", "any", "-out", "content", *words]
    return subprocess.run(command, cwd=path, capture_output=True, check=False, timeout=30)


@pytest.mark.parametrize("kind", KINDS)
def test_t_05_openssl_verifies_messages_of_anchors(authority, constrained, tmp_path: Path, kind: str) -> None:
    """T-03: signed by an anchor itself, which is not in the message, and by the holder of a certificate, which is."""
    content = every_message(targets.reference(targets.all_modules(), 1), constrained)[kind][0]
    management, apex = (authority.authority(name).root.certificate for name in ("management", "apex"))
    for by_path, words in ((False, ("-certfile", "anchor.pem")), (True, ())):
        signer = authority.signer("management", by_path=by_path)
        message = make_message(content, KINDS[kind].content_type, signer)
        done = verified(tmp_path, message, management, *words)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "content").read_bytes() == content
        assert verified(tmp_path, message, apex, *words).returncode != 0
        check_layout(message, signer, KINDS[kind].content_type)
    broken = make_message(content, KINDS[kind].content_type, signer, odd=Oddities(broken=True))
    assert verified(tmp_path, broken, management).returncode != 0


@pytest.mark.parametrize("kind", ["ec-p384", "rsa-2048"])
def test_t_05_anchors_with_other_keys(authority, tmp_path: Path, kind: str) -> None:
    """RFC 5753, RFC 5754: the digest fits the key."""
    name = f"management-{kind}"
    anchor = authority.make(name, kind).root.certificate
    content = messages.status_query(targets.reference(targets.all_modules(), 1))
    for by_path, words in ((False, ("-certfile", "anchor.pem")), (True, ())):
        message = make_message(content, QUERY.content_type, authority.signer(name, by_path=by_path))
        done = verified(tmp_path, message, anchor, *words)
        assert done.returncode == 0, done.stderr
    listed = anchors.anchor(anchor)["taInfo"]
    assert bytes(encode(listed["pubKey"])) == anchors.public_key(anchor)


def check_layout(message: bytes, signer: Signer, content_type: str) -> None:
    """RFC 5934 section 2.2."""
    info = decode(message, asn1Spec=rfc5652.ContentInfo())[0]
    data = decode(bytes(info["content"]), asn1Spec=rfc5652.SignedData())[0]
    assert bytes(encode(data)) == bytes(info["content"])
    assert (int(data["version"]), len(data["digestAlgorithms"]), len(data["signerInfos"])) == (3, 1, 1)
    assert str(data["encapContentInfo"]["eContentType"]) == content_type
    assert len(data["certificates"]) == len(signer.certificates)
    (one,) = data["signerInfos"]
    assert (int(one["version"]), bytes(one["sid"]["subjectKeyIdentifier"])) == (3, signer.key_identifier)
    assert {str(said["attrType"]) for said in one["signedAttrs"]} == {"1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"}
    assert one["unsignedAttrs"].isValue is signer.is_contingency


def test_t_10_the_contingency_key(authority: TampAuthority, tmp_path: Path) -> None:
    """Section 4.5: what the apex says of it is opened with the key in the message, and that key signed the message."""
    apex, signer = authority.authority("apex").root.certificate, authority.contingency_signer()
    said = apex.extensions.get_extension_for_oid(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.20")).value
    assert isinstance(said, x509.UnrecognizedExtension)
    wrapped = decode(said.value, asn1Spec=rfc5934.ApexContingencyKey())[0]
    new = messages.NewApex(anchors.anchor(authority.authority("identity").root.certificate))
    content = messages.apex_update(targets.reference(targets.all_modules(), 0), new)
    message = make_message(content, KINDS["apex-update"].content_type, signer)
    check_layout(message, signer, KINDS["apex-update"].content_type)
    data = decode(bytes(decode(message, asn1Spec=rfc5652.ContentInfo())[0]["content"]), asn1Spec=rfc5652.SignedData())[
        0
    ]
    (disclosed,) = data["signerInfos"][0]["unsignedAttrs"]
    assert disclosed["attrType"] == rfc5934.id_aa_TAMP_contingencyPublicKeyDecryptKey
    key = bytes(decode(bytes(disclosed["attrValues"][0]), asn1Spec=univ.OctetString())[0])
    opened = aes_key_unwrap_with_padding(key, bytes(wrapped["wrappedContinPubKey"]))
    public = signer.authority.certificate.public_key()
    assert opened == public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert verified(tmp_path, message, signer.authority.certificate, "-certfile", "anchor.pem").returncode == 0


def test_t_07_numbers_are_never_used_twice(state: Path, authority: TampAuthority, tmp_path: Path) -> None:
    """T-07: each signer counts its own, over restarts; a number that is given counts; what fails uses none up."""
    delivery = Delivery("*", "", NOW)
    target = targets.all_modules()
    query = Draft(QUERY, messages.status_query, target, updates=0)
    adjust = Draft(SEQUENCE_ADJUST, messages.sequence_adjust, target)
    apex, management = authority.signer("apex"), authority.signer("management")

    def make(draft: Draft, signer: Signer, **options: object) -> int:
        # as another process would
        database = Database(tmp_path / "server.sqlite")
        try:
            return publish(database, draft, TampAuthority(state, NOW).signer(signer.name), delivery, **options)[1]
        finally:
            database.close()

    assert [make(query, apex), make(adjust, apex)] == [1, 2]
    assert make(query, management) == 3, "what is answered is known by target and number alone (section 4.2)"

    def fails(_reference: object) -> bytes:
        raise SimulatorError("no")

    with pytest.raises(SimulatorError, match="no"):
        make(Draft(QUERY, fails, target), apex)
    assert make(query, apex, number=40) == 40
    assert make(query, apex, number=7) == 7
    assert make(query, apex) == 41
    assert make(query, apex, number=2**63 - 1) == 2**63 - 1
    with pytest.raises(SimulatorError, match="needs another key"):
        make(query, apex)
    assert make(query, management) == 4


def test_t_07_a_message_is_there_with_its_number_or_not_at_all(authority: TampAuthority, tmp_path: Path) -> None:
    """What breaks between the package and the book leaves neither."""
    database = Database(tmp_path / "server.sqlite")
    query = Draft(QUERY, messages.status_query, targets.all_modules(), updates=0)
    book, shelf, signer = TampBook(database), Shelf(database), authority.signer("apex")
    database.execute("CREATE TRIGGER broken BEFORE INSERT ON tamp_numbers BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(sqlite3.IntegrityError):
        publish(database, query, signer, Delivery("*", "", NOW))
    assert (shelf.overview(), book.next_number(signer.key_identifier)) == ([], 1)
    database.execute("DROP TRIGGER broken")
    assert publish(database, query, signer, Delivery("*", "", NOW))[1] == 1
    database.close()


def test_commands_at_the_same_moment(tmp_path: Path) -> None:
    """One of them makes what is missing; no two get the same number, or the same new apex."""

    def command(_number: int) -> tuple[bytes, str, int]:
        authority, database = TampAuthority(tmp_path, NOW), Database(tmp_path / "server.sqlite")
        signer = authority.signer("management", by_path=True)
        query = Draft(QUERY, messages.status_query, targets.all_modules(), updates=0)
        try:
            return (
                signer.key_identifier,
                authority.next_apex(),
                publish(database, query, signer, Delivery("*", "", NOW))[1],
            )
        finally:
            database.close()

    with ThreadPoolExecutor(6) as pool:
        keys, apexes, numbers = zip(*pool.map(command, range(6)), strict=True)
    assert len(set(keys)) == 1
    assert sorted(apexes) == [f"apex-{number}" for number in range(2, 8)]
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]


def test_t_10_messages_of_contingency_keys_have_no_number(authority: TampAuthority, tmp_path: Path) -> None:
    """Section 4.5: all of them have the number 0."""
    database = Database(tmp_path / "server.sqlite")
    new = messages.NewApex(anchors.anchor(authority.authority("identity").root.certificate))
    draft = Draft(KINDS["apex-update"], lambda ref: messages.apex_update(ref, new), targets.all_modules())
    signer, delivery = authority.contingency_signer(), Delivery("*", "", NOW)
    assert [publish(database, draft, signer, delivery)[1] for _ in range(2)] == [0, 0]
    assert publish(database, draft, signer, delivery, number=5)[1] == 5, "for those who have to refuse it"
    database.close()


def test_s_02_who_may_sign_what(authority: TampAuthority) -> None:
    """T-14: management says what it may sign, the apex says nothing, and identity anchors may sign no message at all."""
    extension = x509.ObjectIdentifier(str(rfc6010.id_pe_cmsContentConstraints))

    def allowed(certificate: x509.Certificate) -> set[str] | None:
        try:
            found = certificate.extensions.get_extension_for_oid(extension).value
        except x509.ExtensionNotFound:
            return None
        assert isinstance(found, x509.UnrecognizedExtension)
        said = decode(found.value, asn1Spec=rfc6010.CMSContentConstraints())[0]
        return {str(one["contentType"]) for one in said}

    by_name = {name: allowed(authority.authority(name).root.certificate) for name in ("apex", "management", "identity")}
    below = allowed(authority.signer("management", by_path=True).authority.certificate)
    everything = {one.content_type for one in KINDS.values()} - {KINDS["apex-update"].content_type}
    assert below == everything
    assert by_name["apex"] is by_name["identity"] is None
    assert by_name["management"] is not None
    assert by_name["management"] > everything
    again = authority.signer("management", by_path=True).authority.certificate
    assert again == authority.signer("management", by_path=True).authority.certificate, "its numbers go with its key"


def test_what_a_device_has_from_the_factory(authority: TampAuthority, tmp_path: Path) -> None:
    """RFC 5914 section 3: one list, and each anchor for itself, in every format."""
    for form in anchors.FORMS:
        rows = authority.export(tmp_path / form, form)
        assert [row["role"] for row in rows] == ["apex", "management"]
        info = decode((tmp_path / form / "anchors.der").read_bytes(), asn1Spec=rfc5652.ContentInfo())[0]
        assert info["contentType"] == rfc5914.id_ct_trustAnchorList
        listed = decode(bytes(info["content"]), asn1Spec=rfc5914.TrustAnchorList())[0]
        assert [bytes(encode(one)) for one in listed] == [Path(str(row["file"])).read_bytes() for row in rows]
    with pytest.raises(SimulatorError, match="no trust anchor nobody"):
        authority.export(tmp_path, "info", ["nobody"])
    with pytest.raises(SimulatorError, match="are called apex"):
        authority.make("management/../x")


def test_an_apex_is_followed_by_another(state: Path) -> None:
    """It is there before the message that brings it, with keys of its own; what was made stays what it is."""
    authority = TampAuthority(state, NOW)
    name = authority.next_apex()
    assert name == "apex-2"
    first, second = (authority.contingency_signer(one) for one in ("apex", name))
    assert first.key_identifier != second.key_identifier
    again = TampAuthority(state, NOW + dt.timedelta(days=30))
    assert again.authority(name).root.certificate == authority.authority(name).root.certificate
    assert again.contingency_signer(name).unsigned == second.unsigned
    files = [*(state / "tamp-ca").rglob("*.key")]
    assert len(files) >= 8
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)


ODD = {
    "two signers": (Oddities(signers=2), lambda data: len(data["signerInfos"]) == 2),
    "no signer": (Oddities(signers=0), lambda data: len(data["signerInfos"]) == 0),
    "SignedData version 1": (Oddities(version=1), lambda data: int(data["version"]) == 1),
    "SignerInfo version 1": (Oddities(signer_version=1), lambda data: int(data["signerInfos"][0]["version"]) == 1),
    "two digests": (Oddities(digests=2), lambda data: len(data["digestAlgorithms"]) == 2),
    "by issuer": (
        Oddities(by_issuer=True),
        lambda data: data["signerInfos"][0]["sid"].getName() == "issuerAndSerialNumber",
    ),
    "no message digest": (
        Oddities(without=("1.2.840.113549.1.9.4",)),
        lambda data: len(data["signerInfos"][0]["signedAttrs"]) == 1,
    ),
    "content type twice": (
        Oddities(repeated=("1.2.840.113549.1.9.3",)),
        lambda data: len(data["signerInfos"][0]["signedAttrs"]) == 3,
    ),
}


@pytest.mark.parametrize("odd", ODD)
def test_t_05_what_devices_have_to_refuse_can_be_made(authority: TampAuthority, odd: str) -> None:
    """One thing is wrong with the message, and the rest of it is as it should be."""
    oddity, shows = ODD[odd]
    content = messages.status_query(targets.reference(targets.all_modules(), 1))
    signer = authority.signer("apex")
    good, bad = (make_message(content, QUERY.content_type, signer, odd=one) for one in (Oddities(), oddity))
    found = [
        decode(decode(one, asn1Spec=rfc5652.ContentInfo())[0]["content"], asn1Spec=rfc5652.SignedData())[0]
        for one in (good, bad)
    ]
    assert [shows(data) for data in found] == [False, True]
    assert bytes(found[1]["encapContentInfo"]["eContent"]) == content


def test_amb_14_a_message_that_nobody_signed() -> None:
    """Itself in the ContentInfo, or in an OCTET STRING there."""
    content = messages.status_query(targets.reference(targets.all_modules(), 1))
    direct = decode(unsigned_message(content, QUERY.content_type), asn1Spec=rfc5652.ContentInfo())[0]
    inside = decode(unsigned_message(content, QUERY.content_type, as_octets=True), asn1Spec=rfc5652.ContentInfo())[0]
    assert direct["contentType"] == inside["contentType"] == rfc5934.id_ct_TAMP_statusQuery
    assert bytes(direct["content"]) == content
    assert bytes(decode(bytes(inside["content"]), asn1Spec=univ.OctetString())[0]) == content
