"""What the server asks for and the SDK does not know: from the caller's source of values; and where the two contradict."""

from __future__ import annotations

import logging

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from pyasn1.codec.der import decoder
from pyasn1_alt_modules import rfc5280

from device_sdk.errors import ConfigurationError, CsrAttributesError, WireError
from device_sdk.model.csr import Asked, CsrSpec, DeviceAttributes, NewName
from device_sdk.wire import csrattrs_oids as oids
from device_sdk.wire import der
from device_sdk.wire.ber import children, contents_of
from device_sdk.wire.csr import build_csr
from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.names import parse_dn, parse_san
from device_sdk.wire.transfer import decode_body
from tests.wire.judges import VECTORS, csr_by_pyasn1, openssl

KEY = ec.generate_private_key(ec.SECP256R1())
SPEC = CsrSpec(parse_dn("CN=router-1"))
SAN, KU, EKU = "2.5.29.17", "2.5.29.15", "2.5.29.37"
FRIENDLY, DRINK = "1.2.840.113549.1.9.20", "0.9.2342.19200300.100.1.5"
CHANGE_NAME = "1.3.6.1.5.5.7.7.36"


class Source:
    """A source of values that remembers what it was asked."""

    def __init__(self, **values: bytes | str) -> None:
        self.values = {oid.replace("_", "."): value for oid, value in values.items()}
        self.asked: list[Asked] = []

    def __call__(self, asked: Asked) -> bytes | str | None:
        self.asked.append(asked)
        return self.values.get(asked.oid)


def source(values: dict[str, bytes | str]) -> Source:
    made = Source()
    made.values = values
    return made


def example(name: str) -> CsrAttributes:
    return CsrAttributes.from_bytes(decode_body((VECTORS / f"{name}.b64").read_bytes()))


def wishes_of(*entries: bytes | str) -> CsrAttributes:
    return CsrAttributes.from_bytes(
        der.sequence(*(der.oid(entry) if isinstance(entry, str) else entry for entry in entries))
    )


def template(subject: bytes | None, *attributes: bytes) -> CsrAttributes:
    parts = [b"\x02\x01\x00", *([subject] if subject is not None else []), der.tlv(0xA1, b"".join(attributes))]
    return wishes_of(der.attribute(oids.TEMPLATE, der.sequence(*parts)))


def rdn(oid: str, value: bytes = b"") -> bytes:
    return der.set_of([der.sequence(der.oid(oid), value)])


def with_source(values: dict[str, bytes | str], spec: CsrSpec = SPEC) -> tuple[CsrSpec, Source]:
    import dataclasses

    found = source(values)
    return dataclasses.replace(spec, values=found), found


def test_est_177_attributes_and_subject_types_of_rfc_9908_section_5_6() -> None:
    """friendlyName and favouriteDrink into the request, serialNumber into the subject; each in the type of its standard."""
    wishes = example("rfc9908/s5.6-p521")
    spec, asked = with_source({FRIENDLY: "gate", DRINK: "tea", "2.5.4.5": "4711"})
    key = ec.generate_private_key(ec.SECP521R1())
    request = build_csr(spec, key, wishes=wishes, challenge_password="b" * 16)
    attributes, _ = csr_by_pyasn1(request)
    assert attributes[FRIENDLY] == b"\x1e\x08" + "gate".encode("utf-16-be")
    assert attributes[DRINK] == b"\x13\x03tea"
    text = openssl("req", "-inform", "DER", "-verify", "-text", "-noout", data=request)
    assert "serialNumber = 4711" in text or "serialNumber=4711" in text
    assert [one.place for one in asked.asked] == ["subject", "attribute", "attribute"]


def test_est_185_a_value_that_is_not_told_is_left_out_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    spec, asked = with_source({})
    with caplog.at_level(logging.INFO, logger="device_sdk"):
        request = build_csr(spec, ec.generate_private_key(ec.SECP521R1()), wishes=example("rfc9908/s5.6-p521"),
                            challenge_password="b" * 16)  # fmt: skip
    assert set(csr_by_pyasn1(request)[0]) == {oids.CHALLENGE_PASSWORD}
    assert len(asked.asked) == 3
    for oid in (FRIENDLY, DRINK, "2.5.4.5"):
        assert oid in caplog.text


def test_nobody_is_asked_for_what_the_caller_gave() -> None:
    spec = CsrSpec(parse_dn("CN=x"), device=DeviceAttributes("00:00:92:90:ee:e2", "4711"),
                   attributes=((DRINK, b"\x0c\x01t"),))  # fmt: skip
    spec, asked = with_source({}, spec)
    build_csr(spec, KEY, wishes=wishes_of("2.5.4.5", DRINK, oids.MAC_ADDRESS))
    assert asked.asked == []


def test_est_177_the_mac_address_by_the_source() -> None:
    """Into subjectDirectoryAttributes as any MAC address; checked as any MAC address."""
    spec, asked = with_source({oids.MAC_ADDRESS: "00-00-92-90-EE-E2"})
    assert b"00:00:92:90:ee:e2" in build_csr(spec, KEY, wishes=wishes_of(oids.MAC_ADDRESS))
    assert asked.asked == [Asked("attribute", oids.MAC_ADDRESS)]
    spec, _ = with_source({oids.MAC_ADDRESS: "nonsense"})
    with pytest.raises(ConfigurationError):
        build_csr(spec, KEY, wishes=wishes_of(oids.MAC_ADDRESS))


def test_est_105_challenges_by_the_source() -> None:
    """RFC 7894 section 4: every listed attribute for which there is a value."""
    spec, _ = with_source({oids.OTP_CHALLENGE: "one-time", oids.REVOCATION_CHALLENGE: "later"})
    attributes, _ = csr_by_pyasn1(build_csr(spec, KEY, wishes=wishes_of(oids.OTP_CHALLENGE, oids.REVOCATION_CHALLENGE)))
    assert attributes == {oids.OTP_CHALLENGE: b"\x13\x08one-time", oids.REVOCATION_CHALLENGE: b"\x13\x05later"}
    assert csr_by_pyasn1(build_csr(spec, KEY, wishes=wishes_of(oids.OTP_CHALLENGE)))[0].keys() == {oids.OTP_CHALLENGE}


def test_est_182_est_183_open_parts_of_the_template_of_section_3_4() -> None:
    """CN, EKU and the iPAddress are open in RFC 9908 section 3.4's example; all three come from the source."""
    usage = x509.ExtendedKeyUsage([x509.OID_CLIENT_AUTH]).public_bytes()
    spec, asked = with_source({"2.5.4.3": "router-7", EKU: usage, SAN: "192.0.2.7"}, CsrSpec(x509.Name([])))
    request = build_csr(spec, KEY, wishes=example("rfc9908/generated-s3.4-template"))
    text = openssl("req", "-inform", "DER", "-verify", "-text", "-noout", data=request)
    assert "router-7" in text
    assert "DNS:www.myServer.com, IP Address:192.0.2.7" in text
    assert csr_by_pyasn1(request)[1][EKU] == (False, usage)
    assert [(one.place, one.oid) for one in asked.asked] == [
        ("subject", "2.5.4.3"), ("alternative-name", SAN), ("extension", EKU),
    ]  # fmt: skip


@pytest.mark.parametrize("place", [b"\xa4\x00", b"\xa4\x02\x30\x00"], ids=["nothing", "an empty name"])
def test_est_183_an_open_directory_name_in_the_san(place: bytes) -> None:
    """Filled with the caller's, else with the source's; left out where neither has one. Critical stays what it was."""
    open_name = der.extension(SAN, der.sequence(place), critical=True)
    wishes = template(None, der.attribute(oids.EXTENSION_REQUEST_TEMPLATE[0], der.sequence(open_name)))
    filled = x509.SubjectAlternativeName([x509.DirectoryName(parse_dn("CN=gate"))]).public_bytes()
    asking, _ = with_source({SAN: "CN=gate"})
    for spec in (CsrSpec(parse_dn("CN=router-1"), (parse_san("dirName:CN=gate"),)), asking):
        assert csr_by_pyasn1(build_csr(spec, KEY, wishes=wishes))[1] == {SAN: (True, filled)}
    assert csr_by_pyasn1(build_csr(SPEC, KEY, wishes=wishes))[1] == {}


def test_est_182_two_open_parts_and_one_value_of_the_callers() -> None:
    """The caller's OU fills the first, the source's the second."""
    wishes = template(der.sequence(rdn("2.5.4.11"), rdn("2.5.4.11")))
    spec, asked = with_source({"2.5.4.11": "second"}, CsrSpec(parse_dn("OU=first")))
    request = build_csr(spec, KEY, wishes=wishes)
    assert x509.load_der_x509_csr(request).subject == parse_dn("/OU=first/OU=second")
    assert len(asked.asked) == 1


@pytest.mark.parametrize(
    ("oid", "value"),
    [(EKU, "text"), (EKU, b"\x30"), (DRINK, b"\x0c\x01t\x00"), (oids.MAC_ADDRESS, b"\x16\x00"), ("2.5.4.5", b"\x13\x011"),
     ("2.5.4.6", "Germany"), ("1.2.840.113549.1.9.2", "\u00e4")],
)  # fmt: skip
def test_values_that_do_not_fit_are_the_sources_fault(oid: str, value: bytes | str) -> None:
    spec, _ = with_source({oid: value})
    open_extension = der.attribute(oids.EXTENSION_REQUEST_TEMPLATE[0], der.sequence(der.sequence(der.oid(EKU))))
    wishes = template(None, open_extension) if oid == EKU else wishes_of(oid)
    with pytest.raises(ConfigurationError):
        build_csr(spec, KEY, wishes=wishes)


def test_est_178_a_fixed_subject_part_and_another_of_the_callers() -> None:
    """The error names both; the same value, an open part of that type, and silence are no conflict."""
    fixed = template(der.sequence(rdn("2.5.4.3"), rdn("2.5.4.11", b"\x0c\x06myDept")))
    with pytest.raises(CsrAttributesError, match=r"2\.5\.4\.11 .*'myDept', and 'other' was given") as caught:
        build_csr(CsrSpec(parse_dn("CN=x,OU=other")), KEY, wishes=fixed)
    assert caught.value.asked == ("'myDept'", "'other'")
    for text in ("CN=x,OU=myDept", "CN=x"):
        request = build_csr(CsrSpec(parse_dn(text)), KEY, wishes=fixed)
        assert x509.load_der_x509_csr(request).subject == parse_dn("/CN=x/OU=myDept")
    both = template(der.sequence(rdn("2.5.4.11", b"\x0c\x06myDept"), rdn("2.5.4.11")))
    request = build_csr(CsrSpec(parse_dn("OU=other")), KEY, wishes=both)
    assert x509.load_der_x509_csr(request).subject == parse_dn("/OU=myDept/OU=other")


@pytest.mark.parametrize("value", ["0703585300", "06032a0304", "020101", "0c01ff", "1304", "2480", "ff"])
def test_est_178_a_fixed_subject_part_that_is_no_text(value: str) -> None:
    """An ObjectDescriptor, an OID, a number, broken text: compared by its bytes, and never a foreign exception."""
    with pytest.raises((CsrAttributesError, WireError)):
        build_csr(
            CsrSpec(parse_dn("OU=other")), KEY, wishes=template(der.sequence(rdn("2.5.4.11", bytes.fromhex(value))))
        )


def test_est_179_weak_curves_are_refused_whatever_the_server_asks() -> None:
    weak = ec.generate_private_key(ec.SECP192R1())
    for wishes in (None, wishes_of("1.2.840.10045.3.1.1")):
        with pytest.raises(ConfigurationError, match="192 bits; 256 are needed"):
            build_csr(SPEC, weak, wishes=wishes)


def judged_change(request: bytes) -> tuple[bytes | None, list[str]]:
    """The attribute's members, each as pyasn1-alt-modules takes it apart."""
    subject, names = None, []
    for _, member, contents in children(contents_of(csr_by_pyasn1(request)[0][CHANGE_NAME])):
        if contents[:1] == b"\x31":
            decoder.decode(member, asn1Spec=rfc5280.Name())
            subject = member
        else:
            names = [one.getName() for one in decoder.decode(member, asn1Spec=rfc5280.GeneralNames())[0]]
    return subject, names


@pytest.mark.parametrize(
    ("name", "subject", "names"),
    [
        (NewName(parse_dn("CN=new")), True, []),
        (NewName(san=(parse_san("DNS:new.example"),)), False, ["dNSName"]),
        (
            NewName(parse_dn("CN=new"), (parse_san("DNS:a.example"), parse_san("IP:::1"))),
            True,
            ["dNSName", "iPAddress"],
        ),
    ],
)
def test_est_153_change_subject_name(name: NewName, subject: bool, names: list[str]) -> None:
    """RFC 6402 section 2.8: at least one of both; the request's own subject stays."""
    request = build_csr(CsrSpec(parse_dn("CN=old"), new_name=name), KEY)
    found, alternatives = judged_change(request)
    assert found == (name.subject.public_bytes() if subject and name.subject else None)
    assert alternatives == names
    assert x509.load_der_x509_csr(request).subject == parse_dn("CN=old")


def test_est_153_an_empty_new_name_is_refused() -> None:
    for empty in (NewName(), NewName(x509.Name([]))):
        with pytest.raises(ConfigurationError, match="new name is empty"):
            build_csr(CsrSpec(parse_dn("CN=old"), new_name=empty), KEY)
