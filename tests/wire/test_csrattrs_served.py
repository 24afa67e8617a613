"""What the reference server demands by /csrattrs, what the client makes of it, and what the server then finds: over TLS.

EST-92, EST-103 to EST-108, EST-170 to EST-186. pyasn1-alt-modules' rfc9908 judges the templates on the wire.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from device_sdk_simulators.ca.tls import TlsProfile
from device_sdk_simulators.csr_demand import Demand, DemandedExtension
from device_sdk_simulators.est.csrattrs import csr_attributes
from pyasn1.codec.der import decoder
from pyasn1_alt_modules import rfc8951, rfc9908

from device_sdk.client.est import Credentials, EstClient
from device_sdk.errors import CsrAttributesError, EnrolmentPendingError, HttpStatusError
from device_sdk.model.csr import Asked, CsrSpec, DeviceAttributes
from device_sdk.model.keys import KeyType, PrivateKey
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.wire import csrattrs_oids as oids
from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.names import parse_dn, parse_san
from tests.est.pki import Ca

SAN, KU, EKU = "2.5.29.17", "2.5.29.15", "2.5.29.37"
FRIENDLY = "1.2.840.113549.1.9.20"
SHA384_ECDSA = "1.2.840.10045.4.3.3"
MAC = "00:00:92:90:ee:e2"
SIGNING = bytes.fromhex("03020780")
OPEN_ADDRESS = bytes.fromhex("300d8209612e6578616d706c658700")
CLIENT_AUTH = x509.ExtendedKeyUsage([x509.OID_CLIENT_AUTH]).public_bytes()


@pytest.fixture
def connect(est_server) -> Callable[..., EstClient]:
    anchors = tuple(x509.load_pem_x509_certificates(est_server.ca_file.read_bytes()))

    def open_client(**options: Any) -> EstClient:
        options = {"credentials": Credentials(est_server.user, Secret(est_server.password))} | options
        return EstClient(est_server.url, ServerTrust(explicit=anchors), **options)

    return open_client


def p384() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


FULL = Demand(
    key="ec-p384",
    signature=SHA384_ECDSA,
    subject=(("2.5.4.3", None), ("2.5.4.11", "lab")),
    extensions=(
        DemandedExtension(KU, critical=True, value=SIGNING),
        DemandedExtension(SAN, value=OPEN_ADDRESS),
        DemandedExtension(EKU),
    ),
    attributes=(FRIENDLY,),
    mac_address=True,
)
SPEC = CsrSpec(
    parse_dn("/CN=router-1/OU=lab"),
    device=DeviceAttributes(mac_address=MAC),
    extensions=(x509.Extension(x509.ExtendedKeyUsage.oid, False, x509.ExtendedKeyUsage([x509.OID_CLIENT_AUTH])),),
    values=lambda asked: {FRIENDLY: "gate", SAN: "192.0.2.7"}.get(asked.oid),
)


@pytest.mark.parametrize("form", ["draft-04", "rfc7030", "rfc8951", "rfc9908", "both"])
def test_est_173_est_186_every_form_is_served_and_followed(est_server, connect, form) -> None:
    """One demand in each form; the server holds the CSR to it, and issues."""
    est_server.policy.demands = [dataclasses.replace(FULL, form=form)]
    est_server.policy.require_binding = True
    with connect() as client:
        wishes = client.csrattrs()
        assert wishes.wants_binding
        assert wishes.wants_mac or form in ("rfc9908", "both")
        assert KeyType.EC_P384 in (wishes.required_key_types() or ())
        listed = [element.oid for element in wishes.elements]
        assert (oids.TEMPLATE in listed) is (form in ("rfc9908", "both"))
        assert (oids.CHALLENGE_PASSWORD in listed) is (form != "rfc9908"), "older entries, beside a template too"
        spec = SPEC if form in ("rfc9908", "both") else dataclasses.replace(SPEC, san=(parse_san("IP:192.0.2.7"),))
        if form in ("rfc7030", "rfc8951"):
            spec = dataclasses.replace(SPEC)
        enrolled = client.enroll(p384(), spec, wishes=wishes)
    assert enrolled.certificate.subject == parse_dn("/CN=router-1/OU=lab")
    last = est_server.log()[-1]
    assert (last["binding"], last["mac_address"]) == ("tls-exporter", MAC)
    if form != "draft-04":
        names = enrolled.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert set(names) == {x509.DNSName("a.example"), parse_san("IP:192.0.2.7")}


def test_est_180_the_template_on_the_wire_is_rfc_9908s(est_server) -> None:
    """Read by pyasn1-alt-modules: subject parts with and without values, curve, one extensionReqTemplate, open values."""
    est_server.policy.require_binding = True
    listing, rest = decoder.decode(
        csr_attributes(est_server.policy, dataclasses.replace(FULL, form="rfc9908")), asn1Spec=rfc8951.CsrAttrs()
    )
    assert not rest
    assert len(listing) == 1
    attribute = listing[0]["attribute"]
    assert attribute["attrType"] == rfc9908.id_aa_certificationRequestInfoTemplate
    template, rest = decoder.decode(
        bytes(attribute["attrValues"][0]), asn1Spec=rfc9908.CertificationRequestInfoTemplate()
    )
    assert not rest
    assert int(template["version"]) == 0
    parts = [rdn[0] for rdn in template["subject"]["rdnSequence"]]
    assert [part["value"].hasValue() for part in parts] == [False, True]
    assert str(template["subjectPKInfo"]["algorithm"]["algorithm"]) == oids.EC_PUBLIC_KEY
    assert not template["subjectPKInfo"]["subjectPublicKey"].hasValue()
    inner = {str(one["type"]): one["values"] for one in template["attributes"]}
    assert set(inner) == {oids.CHALLENGE_PASSWORD, FRIENDLY, oids.EXTENSION_REQUEST_TEMPLATE[0]}
    assert len(inner[oids.CHALLENGE_PASSWORD]) == 0
    extensions, _ = decoder.decode(
        bytes(inner[oids.EXTENSION_REQUEST_TEMPLATE[0]][0]), asn1Spec=rfc9908.ExtensionReqTemplate()
    )
    assert [(str(one["extnID"]), one["extnValue"].hasValue()) for one in extensions][:3] == [
        (KU, True), (SAN, True), (EKU, False),
    ]  # fmt: skip


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_est_182_rsa_sizes_in_templates_are_placeholders(est_server, bits: int) -> None:
    der = csr_attributes(est_server.policy, Demand(form="rfc9908", key=f"rsa-{bits}"))
    assert CsrAttributes.from_bytes(der or b"").required_key_types() == (KeyType(f"rsa-{bits}"),)


@pytest.mark.parametrize(
    ("form", "change", "says"),
    [
        ("rfc8951", {"mac": None}, "the macAddress is missing"),
        ("rfc8951", {"friendly": False}, f"attribute {FRIENDLY} is missing"),
        ("rfc8951", {"key": ec.SECP256R1()}, "the key is ec-p256, not ec-p384"),
        ("rfc8951", {"subject": "CN=router-1"}, "2.5.4.11 is missing"),
        ("rfc9908", {"subject": "/CN=router-1/OU=other"}, "2.5.4.11 is missing or not 'lab'"),
        ("rfc9908", {"eku": False}, f"extension {EKU} is missing"),
        ("rfc9908", {"address": False}, f"extension {SAN} has another value"),
        ("rfc9908", {"usage": bytes.fromhex("03020388")}, f"extension {KU} has another value"),
        ("rfc9908", {"critical": False}, f"extension {KU} is not critical"),
    ],
)
def test_est_174_a_request_that_does_not_follow_is_refused(est_server, connect, form, change, says) -> None:
    """The client goes by nothing the server said; the refusal names what is missing."""
    est_server.policy.demands = [dataclasses.replace(FULL, form=form, signature=None)]
    usage = x509.UnrecognizedExtension(x509.ObjectIdentifier(KU), change.get("usage", SIGNING))
    extensions = [x509.Extension(usage.oid, change.get("critical", True), usage)]
    extensions += SPEC.extensions if change.get("eku", True) else ()
    names = ("DNS:a.example", "IP:192.0.2.7") if change.get("address", True) else ("DNS:a.example",)
    spec = CsrSpec(
        parse_dn(change.get("subject", "/CN=router-1/OU=lab")),
        tuple(map(parse_san, names)),
        DeviceAttributes(mac_address=change.get("mac", MAC)),
        extensions=tuple(extensions),
        attributes=((FRIENDLY, b"\x1e\x02\x00a"),) if change.get("friendly", True) else (),
    )
    key = ec.generate_private_key(change.get("key", ec.SECP384R1()))
    with connect() as client:
        with pytest.raises(HttpStatusError, match="400") as caught:
            client.enroll(key, spec, wishes=None)
        assert says in str(caught.value)
        est_server.policy.demands = [dataclasses.replace(FULL, form=form, enforce=False)]
        client.enroll(key, spec, wishes=None)


def test_demands_by_label_and_by_user(est_server, connect) -> None:
    """The user is known only where the server asks for it; the first demand that fits counts."""
    policy = est_server.policy
    policy.labels.add("lab")
    policy.demands = [
        Demand(label="lab", key="rsa-3072"), Demand(user="device", key="ec-p521"), Demand(key="ec-p384"),
    ]  # fmt: skip
    with connect(label="lab") as client:
        assert client.csrattrs().required_key_types() == (KeyType.RSA_3072,)
    with connect() as client:
        assert client.csrattrs().required_key_types() == (KeyType.EC_P384,)
        with pytest.raises(CsrAttributesError, match="secp384r1"):
            client.enroll(ec.generate_private_key(ec.SECP256R1()), SPEC)
    policy.csrattrs_login = True
    with connect() as client:
        wishes = client.csrattrs()
        assert wishes.required_key_types() == (KeyType.EC_P521,)
        client.enroll(ec.generate_private_key(ec.SECP521R1()), SPEC, wishes=wishes)
    assert [one["status"] for one in est_server.log() if str(one["path"]).endswith("csrattrs")][-2:] == [401, 200]


def test_section_15_a_device_has_a_list_of_its_own(est_server, connect) -> None:
    """By the serialNumber of its maker's certificate; another device of the same maker gets the general list."""
    maker = Ca.root("Maker CA")
    policy = est_server.policy
    policy.third_party_anchors, policy.third_party_serials = [maker.certificate], None
    policy.demands = [Demand(device="SN-1", form="rfc9908", key="ec-p384", subject=(("2.5.4.3", "gate-1"),))]
    est_server.use_tls(TlsProfile())
    for serial, expected in (("SN-1", (KeyType.EC_P384,)), ("SN-2", None)):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, serial)])
        identity = TlsIdentity((maker.certify(subject, key.public_key()),), key)
        with connect(credentials=None, identity=identity) as client:
            wishes = client.csrattrs()
            assert wishes.required_key_types() == expected
            enrolled = client.enroll(p384(), CsrSpec(x509.Name([]), (parse_san("DNS:x.example"),)), wishes=wishes)
        assert enrolled.certificate.subject == (parse_dn("CN=gate-1") if expected else x509.Name([]))


def test_est_150_a_renewal_is_not_held_to_a_demanded_subject(est_server, connect) -> None:
    with connect() as client:
        key = p384()
        first = client.enroll(key, SPEC)
    est_server.policy.demands = [Demand(form="rfc9908", key="ec-p384", subject=(("2.5.4.3", "other"),))]
    with connect(credentials=None, identity=TlsIdentity(first.chain, key)) as client:
        renewed = client.reenroll(p384())
        assert renewed.certificate.subject == first.certificate.subject
        with pytest.raises(CsrAttributesError, match="secp384r1"):
            client.reenroll(ec.generate_private_key(ec.SECP256R1()))


def test_est_178_the_servers_template_and_another_wish_of_the_caller(est_server, connect) -> None:
    """Both are named, and nothing is sent."""
    est_server.policy.demands = [dataclasses.replace(FULL, form="rfc9908")]
    spec = dataclasses.replace(SPEC, subject=parse_dn("/CN=router-1/OU=other"))
    with connect() as client, pytest.raises(CsrAttributesError, match="'lab', and 'other' was given"):
        client.enroll(p384(), spec)
    assert est_server.log()[-1]["operation"] == "csrattrs"


@pytest.mark.parametrize(
    "demand",
    [
        bytes.fromhex("30133011") + bytes.fromhex("06092a864886f70d010101") + bytes.fromhex("310402020400"),
        bytes.fromhex("300b06092a864886f70d010105"),
        bytes.fromhex("300a06082a864886f70d0205"),
        bytes.fromhex("300706052b81040004"),
    ],
    ids=["RSA-1024", "sha1WithRSA", "MD5", "sect113r1"],
)
def test_est_179_a_server_cannot_ask_for_less_than_local_policy(est_server, connect, demand: bytes) -> None:
    """Whatever key is there: nothing is sent."""
    est_server.policy.csrattrs_der = demand
    keys: list[PrivateKey] = [p384(), rsa.generate_private_key(65537, 2048)]
    for key in keys:
        with connect() as client, pytest.raises(CsrAttributesError):
            client.enroll(key, SPEC)
    assert {one["operation"] for one in est_server.log()} == {"cacerts", "csrattrs"}


@pytest.mark.parametrize("form", [None, "draft-04", "rfc7030", "rfc8951", "rfc9908", "both"])
def test_est_104_what_is_required_is_in_every_answer(est_server, connect, form) -> None:
    """RFC 7894 section 4: for everybody, and for those who are told something of their own, in whatever form."""
    policy = est_server.policy
    policy.csrattrs = []
    policy.require_binding = policy.list_identity_linking = policy.require_otp = True
    policy.require_revocation_challenge = True
    policy.demands = [Demand(form=form, key="ec-p384")] if form else []
    with connect() as client:
        for _ in range(2):
            assert set(client.csrattrs().challenges) == {
                oids.CHALLENGE_PASSWORD, oids.EST_IDENTITY_LINKING, oids.OTP_CHALLENGE, oids.REVOCATION_CHALLENGE,
            }  # fmt: skip


def challenged(**secrets: str) -> CsrSpec:
    return dataclasses.replace(SPEC, **{field: Secret(text.encode()) for field, text in secrets.items()})


def test_est_103_est_104_est_107_one_time_passwords(est_server, connect) -> None:
    """Listed in every answer, wrong ones and none refused, one key each; a present one counts though none is required."""
    est_server.policy.require_otp = True
    password = est_server.est.requirements.challenges.new_one_time_password()
    key = p384()
    with connect() as client:
        assert oids.OTP_CHALLENGE in client.csrattrs().challenges
        with pytest.raises(HttpStatusError, match="an otpChallenge is required"):
            client.enroll(key, SPEC)
        with pytest.raises(HttpStatusError, match="not a one-time password"):
            client.enroll(key, challenged(otp_challenge="wrong"))
        for _ in range(2):
            client.enroll(key, challenged(otp_challenge=password))
        with pytest.raises(HttpStatusError, match="used for another request"):
            client.enroll(p384(), challenged(otp_challenge=password))
        wishes = client.csrattrs()
        est_server.policy.require_otp = False
        with pytest.raises(HttpStatusError, match="not a one-time password"):
            client.enroll(p384(), challenged(otp_challenge="wrong"), wishes=wishes)
    assert password not in str(est_server.log())


def test_est_107_a_failed_binding_is_not_made_good_by_a_right_password(est_server, connect) -> None:
    """Each attribute is judged on its own, and the password is not used up by a request that fails otherwise."""
    policy = est_server.policy
    policy.require_otp = True
    password = est_server.est.requirements.challenges.new_one_time_password()
    wrong = dataclasses.replace(
        challenged(otp_challenge=password), attributes=((oids.EST_IDENTITY_LINKING, b"\x13\x04AAAA"),)
    )
    with connect() as client:
        with pytest.raises(HttpStatusError, match="linking failed"):
            client.enroll(p384(), wrong)
        client.enroll(p384(), challenged(otp_challenge=password))


def test_est_103_revocation_passwords_are_kept_for_later(est_server, connect) -> None:
    est_server.policy.require_revocation_challenge = True
    challenges = est_server.est.requirements.challenges
    with connect() as client:
        with pytest.raises(HttpStatusError, match="a revocationChallenge is required"):
            client.enroll(p384(), SPEC)
        enrolled = client.enroll(p384(), challenged(revocation_challenge="revoke m\u00e9"))
    serial = f"{enrolled.certificate.serial_number:x}"
    assert challenges.may_revoke(serial, "revoke m\u00e9")
    assert not challenges.may_revoke(serial, "revoke me")
    assert not challenges.may_revoke("1", "revoke m\u00e9")


def test_est_106_identity_linking_is_preferred_and_listed_together_with_the_older_one(est_server, connect) -> None:
    """RFC 7894 section 4; the request the server got holds the linking attribute and no challengePassword."""
    policy = est_server.policy
    policy.require_binding = policy.list_identity_linking = policy.require_approval = True
    with connect() as client:
        assert client.csrattrs().challenges == (oids.CHALLENGE_PASSWORD, oids.EST_IDENTITY_LINKING)
        with pytest.raises(EnrolmentPendingError):
            client.enroll(p384(), SPEC)
    assert est_server.log()[-1]["binding"] == "tls-exporter"
    row = est_server.est.queue._database.row("SELECT csr FROM requests")
    present = {attribute.oid.dotted_string for attribute in x509.load_der_x509_csr(row["csr"]).attributes}
    assert oids.EST_IDENTITY_LINKING in present
    assert oids.CHALLENGE_PASSWORD not in present


@pytest.mark.parametrize("tag", [0x0C, 0x13, 0x14, 0x1E, 0x1C])
def test_est_108_every_string_type_is_read(est_server, connect, tag: int) -> None:
    """PrintableString and UTF8String must be, the others of DirectoryString are as well."""
    from device_sdk.wire import der

    encoding = {0x1E: "utf-16-be", 0x1C: "utf-32-be"}.get(tag, "ascii")
    password = est_server.est.requirements.challenges.new_one_time_password()
    spec = dataclasses.replace(SPEC, attributes=((oids.OTP_CHALLENGE, der.tlv(tag, password.encode(encoding))),))
    with connect() as client:
        client.enroll(p384(), spec)


@pytest.mark.parametrize(
    "value", [b"\x13\x00", b"\x13\x82\x01\x00" + b"a" * 256, b"\x0c\x01\xff", b"\x02\x01\x01", b"\x04\x01a"]
)
def test_est_103_what_is_no_directory_string_is_refused(est_server, connect, value: bytes) -> None:
    spec = dataclasses.replace(SPEC, attributes=((oids.REVOCATION_CHALLENGE, value),))
    with connect() as client, pytest.raises(HttpStatusError, match="DirectoryString"):
        client.enroll(p384(), spec)


@pytest.mark.slow
def test_a_source_of_values_is_asked_once_for_every_wish(est_server, connect) -> None:
    """A request that is rebuilt for a new connection bothers nobody again."""
    est_server.policy.demands = [Demand(attributes=(FRIENDLY,))]
    asked: list[Asked] = []

    def source(wish: Asked) -> str:
        asked.append(wish)
        return "gate"

    spec = dataclasses.replace(SPEC, values=source)
    est_server.policy.require_approval = est_server.policy.require_binding = True
    est_server.policy.retry_after_s = 0

    def approve(_: object) -> None:
        est_server.est.queue.decide(None, approve=True)
        est_server.drop_connections()

    with connect() as client:
        client.enroll(p384(), spec, wait_s=30, progress=approve)
    assert asked == [Asked("attribute", FRIENDLY)]
    posts = [one for one in est_server.log() if one["operation"] == "simpleenroll" and one["status"] in (200, 202)]
    assert posts[0]["connection"] != posts[-1]["connection"]


def test_est_171_nothing_to_say(est_server, connect) -> None:
    """204, whether or not demands exist for others."""
    est_server.policy.csrattrs = []
    est_server.policy.demands = [Demand(label="elsewhere")]
    with connect() as client:
        assert client.csrattrs() == CsrAttributes.none()
    assert est_server.log()[-1]["status"] == 204
