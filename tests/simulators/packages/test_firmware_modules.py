"""Reports about firmware come from the module they are about (FR-07), signed by a key of it (FR-03)."""

from __future__ import annotations

import io
import json

import pytest
from cryptography import x509
from device_sdk_simulators.cli.main import main
from device_sdk_simulators.packages.firmware.making import make_package
from device_sdk_simulators.packages.firmware.notes import Notes, package_name
from device_sdk_simulators.packages.firmware.shelf import FirmwareShelf
from device_sdk_simulators.packages.signing import Oddities, attribute
from device_sdk_simulators.server import ReferenceServer
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc4108

from tests.simulators.packages.raw_device import Device, enrolled, renewed

ARC = "1.3.6.1.4.1.32473"
NAME = (f"{ARC}.7", 1)
MEDIA = "application/cms; encapsulatingContent=signedData; innerContent=firmwareLoadReceipt"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with ReferenceServer(tmp_path_factory.mktemp("modules") / "server") as running:
        FirmwareShelf(running.est.packages.shelf._database).publish(
            lambda out: make_package(io.BytesIO(b"image"), out, Notes(NAME, (f"{ARC}.1",)), None),
            bytes(encode(package_name(NAME))).hex(),
            media_type="application/cms",
            address="*",
            label="",
            now=running.clock(),
        )
        yield running


def report(
    device: Device, serial: str, hardware: str = f"{ARC}.1", *, signer: Device | None = None, **more: object
) -> int:
    """Status of the answer to a receipt."""
    receipt = rfc4108.FirmwarePackageLoadReceipt()
    receipt["hwType"], receipt["hwSerialNum"] = hardware, bytes.fromhex(serial)
    receipt["fwPkgName"] = package_name(NAME)
    content_type = str(rfc4108.id_ct_firmwareLoadReceipt)
    body = (signer or device).signed(content_type, bytes(encode(receipt)), **more)
    return device.post(body, MEDIA, "firmware/return")[0]


def fetched(server: ReferenceServer, text: str, *extensions: x509.ExtensionType) -> Device:
    device = enrolled(server, text, *extensions)
    assert device.get("firmware")[0] == 200
    return device


def listed(device: Device) -> list[str]:
    return [one["type"] for one in json.loads(device.get("pal", "application/json")[2])]


def modules(server: ReferenceServer, *words: str) -> int:
    return main(["modules", *words, "--state", str(server.state)])


def test_fr_07_by_the_certificate(server: ReferenceServer) -> None:
    """A hardwareModuleName says which module it is; nothing else does."""
    value = rfc4108.HardwareModuleName()
    value["hwType"], value["hwSerialNum"] = f"{ARC}.1", b"\x00\xa1"
    other = x509.OtherName(x509.ObjectIdentifier(str(rfc4108.id_on_hardwareModuleName)), encode(value))
    device = fetched(server, "by-certificate", x509.SubjectAlternativeName([other]))
    assert report(device, "00a2") == 403
    assert report(device, "00a1", f"{ARC}.2") == 403
    assert report(device, "a1") == 403, "as many octets"
    modules(server, "register", device.serial, f"{ARC}.1:00a2")
    assert report(device, "00a2") == 403
    assert report(device, "00a1") == 204
    modules(server, "forget", device.serial)


def test_fr_07_a_first_report_claims_no_module_of_another_device(server: ReferenceServer) -> None:
    """Neither one that a certificate names, whether or not it reported, nor one that reported; a person may say otherwise."""
    value = rfc4108.HardwareModuleName()
    value["hwType"], value["hwSerialNum"] = f"{ARC}.1", b"\x00\xf1"
    other = x509.OtherName(x509.ObjectIdentifier(str(rfc4108.id_on_hardwareModuleName)), encode(value))
    enrolled(server, "owner-of-f1", x509.SubjectAlternativeName([other]))
    device, second = fetched(server, "claims"), fetched(server, "claims-too")
    assert report(device, "00f1") == 403
    assert report(device, "00f2") == 204
    assert report(second, "00f2") == 403
    assert report(device, "00f2") == 204, "its own it may"
    modules(server, "register", second.serial, f"{ARC}.1:00f2")
    assert report(second, "00f2") == 204
    modules(server, "forget", second.serial)


def test_fr_07_by_registration(server: ReferenceServer, capsys: pytest.CaptureFixture[str]) -> None:
    """What a person said counts from the first report on, and nobody else is that module."""
    device, other = fetched(server, "registered"), fetched(server, "not-registered")
    assert modules(server, "register", device.serial, f"{ARC}.1:00:b1") == 0
    assert report(other, "00b1") == 403
    assert report(device, "00b2") == 403
    assert report(device, "00b1") == 204
    assert modules(server, "register", other.serial, f"{ARC}.1:00b1") == 2
    assert "is the module" in capsys.readouterr().err
    assert modules(server, "list", "--json") == 0
    assert list(json.loads(capsys.readouterr().out).values()) == [f"{ARC}.1 00b1"]
    assert modules(server, "forget", device.serial) == 0
    assert modules(server, "forget", device.serial) == 2
    for words in (
        ("register", device.serial, "x"),
        ("register", device.serial),
        ("register", "*", "1.2.3:00"),
        ("list", "x"),
    ):
        assert modules(server, *words) == 2


def test_fr_07_by_the_first_report_or_not_at_all(server: ReferenceServer) -> None:
    """Unless policy wants every module to be known."""
    first, second = fetched(server, "first-report"), fetched(server, "unknown")
    assert report(first, "00c1") == 204
    assert report(first, "00c2") == 403
    server.policy.firmware_registered = True
    try:
        assert report(second, "00c3") == 403
        modules(server, "register", second.serial, f"{ARC}.1:00c3")
        assert report(second, "00c3") == 204
    finally:
        server.policy.firmware_registered = False


def test_fr_03_signed_before_the_renewal(server: ReferenceServer) -> None:
    """A report may have waited while the certificate was renewed; another device's key, or a revoked one's, is none."""
    device, stranger = fetched(server, "renewing"), fetched(server, "stranger")
    later = renewed(device)
    assert report(later, "00d1", signer=stranger) == 403
    assert report(later, "00d1", signer=device) == 204
    server.est.register.revoke(device.serial)
    assert report(later, "00d1", signer=device) == 403
    assert report(later, "00d1") == 204


def test_fr_04_what_a_signature_has(server: ReferenceServer) -> None:
    """The signer's certificate may be left out; unsigned attributes may not be there, nor no signature at all."""
    device = fetched(server, "plain")
    unsigned = [attribute(rfc4108.id_aa_decryptKeyID, rfc4108.DecryptKeyIdentifier(b"x"))]
    assert report(device, "00e1", unsigned=unsigned) == 400
    assert report(device, "00e1", odd=Oddities(signers=0)) == 400
    assert report(device, "00e1", odd=Oddities(broken=True)) == 403
    assert report(device, "00e1", odd=Oddities(wrong_digest=True)) == 403
    assert report(device, "00e1", odd=Oddities(signed_type="1.2.3")) == 400
    assert report(device, "00e1", certificates=()) == 204


def test_fr_04_an_error_without_a_name_is_booked_on_no_package(
    server: ReferenceServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """RFC 4108 section 4.1.3: it says nothing about which; the list asks for one report less, and a person sees it."""
    device = fetched(server, "nameless")
    assert "0027" in listed(device)
    error = rfc4108.FirmwarePackageLoadError()
    error["hwType"], error["hwSerialNum"], error["errorCode"] = f"{ARC}.1", bytes.fromhex("00e9"), 3
    body = device.signed(str(rfc4108.id_ct_firmwareLoadError), bytes(encode(error)))
    assert device.post(body, MEDIA, "firmware/return")[0] == 204
    assert "0027" not in listed(device)
    assert main(["packages", "--state", str(server.state), "--json"]) == 0
    rows = [row for row in json.loads(capsys.readouterr().out) if row["operation"] == "firmware"]
    assert [row["report"] for row in rows if row["item"] is None] == ["refused (3)"]
    assert "refused (3)" not in [row["report"] for row in rows if row["item"] is not None]
    assert main(["packages", "--state", str(server.state)]) == 0
    assert "errors about firmware without a name: 1" in capsys.readouterr().out
