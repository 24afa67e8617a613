"""What a station looks at in a device's request before it vouches for it (RFC 7030 section 3.7): a device is not believed."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from device_sdk.client.bench.facts import BenchKey, DeviceFacts
from device_sdk.client.bench.wanted import identity_of
from device_sdk.errors import BenchError, ConfigurationError, DeviceRequestError, WrongDeviceError
from device_sdk.model.csr import CsrSpec, DeviceAttributes
from device_sdk.model.keys import KeyType
from device_sdk.protocols.est.relayed import RelayedIdentity, check_relayed
from device_sdk.wire.csr import build_csr
from device_sdk.wire.csrattrs_oids import CHALLENGE_PASSWORD, OTP_CHALLENGE
from device_sdk.wire.names import parse_dn, parse_san

KEY = ec.generate_private_key(ec.SECP256R1())
SERIAL, MAC = "SN-4711", "00:00:5e:00:53:01"
UNSTRUCTURED_NAME = x509.ObjectIdentifier("1.2.840.113549.1.9.2")
CMC_RA = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.28")


def spki(key: Any) -> bytes:
    data: bytes = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return data


IDENTITY = RelayedIdentity(SERIAL, spki(KEY), macs=(MAC,), subject=parse_dn("CN=router,O=Example"))


def spec(subject: str = "CN=router,O=Example", serial: str | None = SERIAL, **device: Any) -> CsrSpec:
    return CsrSpec(parse_dn(subject), device=DeviceAttributes(serial_number=serial, **device))


def built(*extensions: x509.ExtensionType, attributes: tuple[tuple[str, bytes], ...] = (), key: Any = KEY, algorithm: Any = None,
          subject: str = "CN=router,O=Example,serialNumber=SN-4711") -> bytes:  # fmt: skip
    """A request as any device may make it: by cryptography, not by the SDK."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(parse_dn(subject))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    for oid, value in attributes:
        builder = builder.add_attribute(x509.ObjectIdentifier(oid), value)
    return builder.sign(
        key, algorithm or (None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    ).public_bytes(Encoding.DER)


def test_what_the_sdk_makes_is_taken() -> None:
    request = build_csr(
        spec(mac_address=MAC, hardware_type="1.3.6.1.4.1.99999.1", hardware_serial=SERIAL.encode()), KEY
    )
    maker = dataclasses.replace(IDENTITY, hardware_type="1.3.6.1.4.1.99999.1")
    assert check_relayed(request, maker).public_bytes(Encoding.DER) == request
    for other in (IDENTITY, dataclasses.replace(IDENTITY, hardware_type="1.3.6.1.4.1.99999.2")):
        with pytest.raises(DeviceRequestError, match="asks for the name OtherName"):
            check_relayed(request, other)
    named = dataclasses.replace(
        IDENTITY, alternative_names=(parse_san(f"HWMODULE:1.3.6.1.4.1.99999.1:{SERIAL.encode().hex()}"),)
    )
    assert check_relayed(request, named)
    assert check_relayed(built(x509.BasicConstraints(ca=False, path_length=None)), IDENTITY)
    nameless = dataclasses.replace(IDENTITY, subject=None)
    assert check_relayed(build_csr(spec(f"CN={SERIAL}", None), KEY), nameless)


@pytest.mark.parametrize(
    ("where", "subject", "serial", "good"),
    [
        ("serial-number", "CN=SN-4711", None, False),
        ("serial-number", "CN=router", SERIAL, True),
        ("common-name", "CN=router", SERIAL, False),
        ("common-name", "CN=SN-4711,O=Example", None, True),
        ("common-name", "CN=router-SN-4711.example", None, False),
        ("any", "CN=router-SN-47112", None, False),
        ("any", "CN=xSN-4711", None, False),
        ("any", "O=SN-4711", None, False),
    ],
)
def test_the_serial_number_is_where_it_is_wanted(where: str, subject: str, serial: str | None, good: bool) -> None:
    identity = dataclasses.replace(IDENTITY, in_certificate=where, subject=parse_dn(subject))
    request = build_csr(spec(subject, serial), KEY)
    if good:
        assert check_relayed(request, identity)
    else:
        with pytest.raises(WrongDeviceError, match="does not have its serial number in it"):
            check_relayed(request, identity)


@pytest.mark.parametrize(("serial", "name"), [("SN", "SN-0001"), ("example", "est.example.com"), ("4711", "SN-4711")])
def test_without_a_configuration_its_name_is_its_serial_number_and_nothing_around_it(serial: str, name: str) -> None:
    identity = RelayedIdentity(serial, spki(KEY))
    with pytest.raises(DeviceRequestError, match=f"CN={name}"):
        check_relayed(build_csr(spec(f"CN={name}", serial), KEY), identity)
    assert check_relayed(build_csr(spec(f"CN={serial}", serial), KEY), identity)


def test_usages_beyond_a_clients_are_those_that_the_server_asked_for() -> None:
    server = built(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]))
    with pytest.raises(DeviceRequestError, match=r"extended key usage 1\.3\.6\.1\.5\.5\.7\.3\.1"):
        check_relayed(server, dataclasses.replace(IDENTITY, also=("2.5.29.37",)))
    assert check_relayed(server, dataclasses.replace(IDENTITY, usages=("1.3.6.1.5.5.7.3.1",)))
    with pytest.raises(DeviceRequestError):
        check_relayed(
            HOSTILE["a registration authority"] or b"", dataclasses.replace(IDENTITY, usages=(CMC_RA.dotted_string,))
        )
    assert check_relayed(built(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])), IDENTITY)


def test_another_devices_serial_number_key_or_mac_address() -> None:
    with pytest.raises(WrongDeviceError, match=r"serial number 'SN-4712'"):
        check_relayed(build_csr(spec(serial="SN-4712"), KEY), IDENTITY)
    with pytest.raises(WrongDeviceError, match="another key"):
        check_relayed(build_csr(spec(), ec.generate_private_key(ec.SECP256R1())), IDENTITY)
    with pytest.raises(WrongDeviceError, match="MAC address '00:00:5e:00:53:02'"):
        check_relayed(build_csr(spec(mac_address="00:00:5e:00:53:02"), KEY), IDENTITY)
    asked = dataclasses.replace(spec(mac_address="00:00:5e:00:53:02"), mac_placement="attribute")
    with pytest.raises(WrongDeviceError, match="MAC address '00:00:5e:00:53:02'"):
        check_relayed(build_csr(asked, KEY), IDENTITY)


HOSTILE = {
    "a CA": built(x509.BasicConstraints(ca=True, path_length=None)),
    "key usage of a CA": built(
        x509.KeyUsage(True, False, False, False, False, True, False, False, False)
    ),
    "a registration authority": built(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, CMC_RA])),
    "code signing": built(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])),
    "any usage": built(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])),
    "somebody's name": built(x509.SubjectAlternativeName([x509.DNSName("bank.example")])),
    "somebody's address": built(x509.SubjectAlternativeName([x509.RFC822Name("root@bank.example")])),
    "another common name": built(subject="CN=bank,O=Example,serialNumber=SN-4711"),
    "one more common name": built(subject="CN=router,CN=bank,O=Example,serialNumber=SN-4711"),
    "a common name with its serial number": built(subject="CN=bank SN-4711,O=Example,serialNumber=SN-4711"),
    "another organisation": built(subject="CN=router,O=Bank,serialNumber=SN-4711"),
    "an unknown extension": built(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")),
    "a binding of another session": built(attributes=((CHALLENGE_PASSWORD, b"YWJj"),)),
    "a one-time password": built(attributes=((OTP_CHALLENGE, b"secret"),)),
    "more about its subject": built(x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.9"), b"\x30\x02\x30\x00")),
    "noise about its subject": built(x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.9"), b"\x30\x05\x30")),
    "an unknown attribute": built(attributes=((UNSTRUCTURED_NAME.dotted_string, b"router"),)),
    "SHA-1": None,
    "trailing bytes": built() + b"\0",
    "nothing": b"",
    "noise": bytes(range(256)),
    "too long": build_csr(dataclasses.replace(spec(), san=tuple(x509.DNSName(f"n{one}.bank.example") for one in range(1000))), KEY),
    "Ed25519": built(key=ed25519.Ed25519PrivateKey.generate()),
    "a small curve": built(key=ec.generate_private_key(ec.SECP192R1())),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(HOSTILE))
def test_what_a_device_may_not_have_is_not_vouched_for(what: str) -> None:
    request = HOSTILE[what]
    if request is None:  # nothing that is at hand signs with SHA-1 any more: the algorithm's name is exchanged
        request = built().replace(bytes.fromhex("2a8648ce3d040302"), bytes.fromhex("2a8648ce3d040301").ljust(8, b"\0"))
    with pytest.raises(DeviceRequestError, match="16384 are taken" if what == "too long" else None) as caught:
        check_relayed(request, IDENTITY)
    assert isinstance(caught.value, BenchError)
    assert len(str(caught.value)) < 600


def test_a_request_that_was_changed_on_the_line() -> None:
    request = bytearray(build_csr(spec(), KEY))
    position = request.index(b"router")
    request[position] ^= 1
    with pytest.raises(DeviceRequestError, match="not signed by its own key"):
        check_relayed(bytes(request), IDENTITY)


def test_types_of_keys_are_the_profiles() -> None:
    small = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    identity = dataclasses.replace(IDENTITY, public_key=spki(small), key_types=(KeyType.EC_P256,))
    with pytest.raises(DeviceRequestError, match=r"type rsa-2048; taken are ec-p256"):
        check_relayed(built(key=small), identity)
    assert check_relayed(built(key=small), dataclasses.replace(identity, key_types=(KeyType.RSA_2048,)))


def test_what_the_server_asked_for_is_its_to_judge_but_for_names_and_rights() -> None:
    also = (UNSTRUCTURED_NAME.dotted_string, "2.5.29.17", "2.5.29.37", "2.5.4.3", "2.5.4.11", CHALLENGE_PASSWORD)
    identity = dataclasses.replace(IDENTITY, also=also)
    assert check_relayed(HOSTILE["an unknown attribute"] or b"", identity)
    assert check_relayed(built(subject="CN=router,OU=Lab,O=Example,serialNumber=SN-4711"), identity)
    for what in ("somebody's name", "a registration authority", "another common name", "a binding of another session"):
        with pytest.raises(DeviceRequestError):
            check_relayed(HOSTILE[what] or b"", identity)


def test_what_is_expected_comes_from_facts_key_and_configuration() -> None:
    facts, key = DeviceFacts(SERIAL, macs=(MAC,)), BenchKey("tpm2:", KeyType.EC_P256, spki(KEY), {})
    config = b'[identity]\nsubject = "CN=router"\nsan = ["DNS:r.example"]\nhardware_type = "1.2.3.4"\n'
    identity = identity_of(facts, key, config)
    assert identity.hardware_type == "1.2.3.4"
    asked = dataclasses.replace(spec("CN=router"), san=(x509.DNSName("r.example"),))
    assert check_relayed(build_csr(asked, KEY), identity)
    with pytest.raises(DeviceRequestError):
        check_relayed(build_csr(asked, KEY), identity_of(facts, key))
    for broken in (
        b"[",
        b"identity = 1",
        b'[identity]\nsan = "x"',
        b"[identity]\nsubject = 1",
        b'[identity]\nsan = ["x"]',
        b"\xff",
    ):
        with pytest.raises(ConfigurationError):
            identity_of(facts, key, broken)
