"""Names as people type them: distinguished names, subject alternative names, MAC addresses, hardware module names."""

from __future__ import annotations

import subprocess
import warnings

import pytest
from cryptography import x509
from pyasn1.codec.der import decoder
from pyasn1_alt_modules import rfc4108

from device_sdk.errors import ConfigurationError, WireError
from device_sdk.wire import der
from device_sdk.wire.hardware_module_name import OID, hardware_module_name, parse_hardware_module_name
from device_sdk.wire.mac_address import is_locally_administered, looks_like_mac, parse_mac
from device_sdk.wire.names import parse_dn, parse_san
from tests.wire.judges import damaged, only_wire_errors


@pytest.mark.parametrize(
    ("text", "general_first"),
    [
        ("CN=router-1,serialNumber=42,O=Example", ["O=Example", "serialNumber=42", "CN=router-1"]),
        ("cn=router-1, SERIALNUMBER=42 ,o=Example", ["O=Example", "serialNumber=42", "CN=router-1"]),
        ("/O=Example/serialNumber=42/CN=router-1", ["O=Example", "serialNumber=42", "CN=router-1"]),
        ("2.5.4.3=x,2.5.4.5=PID:Widget SN:6", ["serialNumber=PID:Widget SN:6", "CN=x"]),
        ("CN=a\\,b\\+c\\\\d", ["CN=a,b+c\\d"]),
        ("/CN=a\\/b\\+c", ["CN=a/b+c"]),
        ("DC=example,DC=org", ["DC=org", "DC=example"]),
        ("UID=u,emailAddress=a@b.example,C=DE", ["C=DE", "emailAddress=a@b.example", "UID=u"]),
        ("CN=Gerät 5", ["CN=Gerät 5"]),
        ("CN=a=b", ["CN=a=b"]),
        ("CN=a\\ , O=b c", ["O=b c", "CN=a "]),
        ("", []),
    ],
)
def test_distinguished_names(text: str, general_first: list[str]) -> None:
    """RFC 4514 writes the most specific part first, OpenSSL last; the encoding is the same."""
    short = {"2.5.4.5": "serialNumber", "1.2.840.113549.1.9.1": "emailAddress"}
    found = [f"{short.get(a.oid.dotted_string, a.rfc4514_attribute_name)}={a.value}" for a in parse_dn(text)]
    assert found == general_first


def test_joined_attributes_are_one_rdn() -> None:
    for text in ("CN=x+serialNumber=1,O=y", "/O=y/CN=x+serialNumber=1"):
        assert [len(rdn) for rdn in parse_dn(text).rdns] == [1, 2]


@pytest.mark.parametrize(
    "text", ["/O=Example/OU=a\\/b/CN=router-1", "/C=DE/CN=x+serialNumber=7", "/DC=org/UID=1/CN=y z"]
)
def test_openssl_reads_its_own_form_the_same(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`openssl req -subj` with the same text gives the same name."""
    folder = tmp_path_factory.mktemp("req")
    command = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-utf8"]
    command += ["-keyout", str(folder / "key"), "-subj", text, "-outform", "DER"]
    made = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    assert x509.load_der_x509_csr(made).subject == parse_dn(text)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("router-1", "write it as CN=router-1"),
        ("CN", "not a distinguished name"),
        ("CN=", "not a distinguished name"),
        ("CN=a,,O=b", "not a distinguished name"),
        ("nonsense=1", "not a distinguished name"),
        ("9.9.9=1", "not a distinguished name"),
        ("/CN", "type=value pair is missing"),
        ("/CN=", "type=value pair is missing"),
        ("/CN=x\\", "ends in a backslash"),
        ("/=x", "not a distinguished name"),
        ("CN=" + "a" * 65, "64"),
        ("CN=a\0b", "not a distinguished name"),
        ("serialNumber=a_b", "only letters, digits"),
        ("serialNumber=" + "1" * 65, "64 fit"),
        ("C=Deutschland", "not a distinguished name"),
        ("C=D_", "only letters, digits"),
        ("emailAddress=ü@example.org", "only ASCII"),
        ("CN=" + "a" * 5000, "longer than 4096"),
    ],
)
def test_names_that_are_refused(text: str, word: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConfigurationError, match=word):
            parse_dn(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DNS:a.example", "<DNSName(value='a.example')>"),
        ("dns:*.a-b.example", "<DNSName(value='*.a-b.example')>"),
        ("IP:192.0.2.1", "<IPAddress(value=192.0.2.1)>"),
        ("IP:2001:db8::1", "<IPAddress(value=2001:db8::1)>"),
        ("URI:urn:dev:ops:1", "<UniformResourceIdentifier(value='urn:dev:ops:1')>"),
        ("email:a@b.example", "<RFC822Name(value='a@b.example')>"),
        ("dirName:CN=x,O=y", "<DirectoryName(value=<Name(CN=x,O=y)>)>"),
        ("dirName:/O=y/CN=x", "<DirectoryName(value=<Name(CN=x,O=y)>)>"),
    ],
)
def test_subject_alternative_names(text: str, expected: str) -> None:
    assert repr(parse_san(text)) == expected


def test_hardware_module_name() -> None:
    """EST-33, RFC 4108 section 5, judged by pyasn1-alt-modules and read back."""
    name = parse_san("HWMODULE:1.3.6.1.4.1.32473.1:00:0A0b")
    assert isinstance(name, x509.OtherName)
    assert name.type_id.dotted_string == str(rfc4108.id_on_hardwareModuleName)
    value, rest = decoder.decode(name.value, asn1Spec=rfc4108.HardwareModuleName())
    assert (str(value["hwType"]), bytes(value["hwSerialNum"]), rest) == ("1.3.6.1.4.1.32473.1", b"\x00\x0a\x0b", b"")
    assert parse_hardware_module_name(name) == ("1.3.6.1.4.1.32473.1", b"\x00\x0a\x0b")


def test_hardware_module_names_that_are_damaged() -> None:
    good = hardware_module_name("1.3.6.1.4.1.32473.1", b"serial 1").value
    for data in damaged(good):
        only_wire_errors(lambda value: parse_hardware_module_name(x509.OtherName(OID, value)), data)
    for size in range(len(good)):
        with pytest.raises(WireError):
            parse_hardware_module_name(x509.OtherName(OID, good[:size] or b"\x30\x00"))
    cut_off = der.sequence(b"\x06\x02\x2a\x81", b"\x04\x01\x00")
    for value in (cut_off, b"\x30\x81\x06" + good[2:8], der.sequence(der.oid("1.2.3"), der.tlv(0x04, bytes(600)))):
        with pytest.raises(WireError):
            parse_hardware_module_name(x509.OtherName(OID, value))
    with pytest.raises(WireError, match=r"1\.2\.3 is not a hardwareModuleName"):
        parse_hardware_module_name(x509.OtherName(x509.ObjectIdentifier("1.2.3"), good))


@pytest.mark.parametrize(
    "text",
    [
        "a.example", "DNS", "DNS:", "DNS:a b", "DNS:ü.example", "DNS:.a", "DNS:a..b", "DNS:-a", "DNS:*", "DNS:" + "a" * 64,
        "DNS:" + "a." * 130 + "a", "IP:1.2.3", "IP:1.2.3.4/8", "IP:", "URI:nothing", "URI:http:", "URI:a b:c", "URI:ü:x",
        "email:a", "email:a@", "email:a@b@c", "email:ü@b", "dirName:x", "HWMODULE:1.2.3", "HWMODULE:1.2.3:", "HWMODULE:x:00",
        "HWMODULE:1.2.3:0", "HWMODULE:1.2.3:" + "00" * 257, "RID:1.2.3", "HWMODULE:9.9:00", "URI:" + "a" * 5000,
    ],
)  # fmt: skip
def test_alternative_names_that_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_san(text)


@pytest.mark.parametrize(
    "text",
    ["00:00:92:90:ee:e2", "00-00-92-90-EE-E2", "00009290eee2", "0000.9290.EEE2", " 00:00:92:90:EE:E2\n"],
)
def test_mac_addresses(text: str) -> None:
    """EST-177: one canonical form, RFC 2307 style."""
    assert parse_mac(text) == "00:00:92:90:ee:e2"
    assert looks_like_mac(text)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("00:00:00:00:00:00", "names no device"),
        ("ff-ff-ff-ff-ff-ff", "broadcast"),
        ("01:00:5e:00:00:01", "multicast"),
        ("00:00:92:90:ee", "not a MAC address"),
        ("00:00:92:90:ee:e2:01", "not a MAC address"),
        ("00:00-92:90:ee:e2", "not a MAC address"),
        ("0:0:92:90:ee:e2", "not a MAC address"),
        ("0000:9290:eee2", "not a MAC address"),
        ("00:00:92:90:ee:g2", "not a MAC address"),
        ("\u0660\u0660:00:92:90:ee:e2", "not a MAC address"),
        ("", "not a MAC address"),
    ],
)
def test_mac_addresses_that_are_refused(text: str, word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        parse_mac(text)


def test_locally_administered_addresses() -> None:
    assert is_locally_administered("02:fc:00:00:00:01")
    assert not is_locally_administered("00:00:92:90:ee:e2")
