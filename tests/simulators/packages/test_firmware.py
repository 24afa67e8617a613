"""Firmware of the reference server: who gets it, and which reports it takes (F-02, FR-02, FR-03, FR-07)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from device_sdk_simulators.cli.main import main
from device_sdk_simulators.server import ReferenceServer

from tests.simulators.packages.conftest import sim

pytestmark = pytest.mark.slow
ARC = "1.3.6.1.4.1.32473"


def published(server: ReferenceServer, file: Path, to: str, *words: object) -> str:
    name = ("--package", f"{ARC}.7", "--hw-type", f"{ARC}.1")
    done = sim("publish", "firmware", file, "--to", to, "--state", server.state, "--json", *name, *words)
    item: str = json.loads(done.stdout)["item"]
    return item


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(bytes(range(256)) * 4000)
    return path


def test_f_02_for_those_it_was_published_to(server: ReferenceServer, enrol, image: Path) -> None:
    one, other = enrol("dev-1"), enrol("dev-2")
    item = published(server, image, one.serial)
    status, media, body = one.get(f"firmware/{item}")
    assert (status, body[:1]) == (200, b"\x30")
    assert media == "application/cms; encapsulatingContent=signedData; innerContent=firmwarePackage"
    assert body == one.get("firmware")[2]
    for path in (f"firmware/{item}", "firmware"):
        assert other.get(path)[0] == 404
    sim("withdraw", item, "--state", server.state)
    assert one.get("firmware")[0] == 404
    assert not list((server.state / "firmware").iterdir())


def test_fr_02_fr_03_what_is_no_report(server: ReferenceServer, enrol, image: Path, tmp_path: Path) -> None:
    """Nothing signed, a signature over something else, somebody else's: nothing is kept."""
    one, other = enrol("dev-1"), enrol("dev-2")
    published(server, image, "*")
    one.get("firmware")
    signed = pkcs7.PKCS7SignatureBuilder().set_data(b"hello").add_signer(other.certificate, other.key, hashes.SHA256())
    for body in (b"", b"hello", signed.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary])):
        path = tmp_path / "body"
        path.write_bytes(body)
        status, media, _ = one.get("firmware/return", "--data-binary", f"@{path}")
        assert (status, media.split(";")[0]) == (400, "text/plain")
    assert one.get("firmware/return")[0] == 405
    assert one.get("firmware", "--data-binary", "x")[0] == 405
    rows = json.loads(sim("packages", "--state", server.state, "--json").stdout)
    assert {row["report"] for row in rows} == {None}


def test_a_package_without_a_name_is_none(server: ReferenceServer, image: Path) -> None:
    words = ("publish", "firmware", image, "--to", "*", "--state", server.state)
    for more, says in (((), "firmware has a name"), (("--package", "1.2.3"), "some type of hardware")):
        done = sim(*words, *more, check=False)
        assert done.returncode != 0
        assert says in done.stderr


def test_options_that_are_no_numbers(server: ReferenceServer, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each with words, and not with a traceback."""
    words = ["publish", "firmware", str(image), "--to", "*", "--state", str(server.state), "--package", "1.2.3"]
    wrong = (
        ("--hw-type", "abc"),
        ("--community", "x"),
        ("--package-version", "-1"),
        ("--needs", "x:1"),
        ("--needs", "1.2.3:x"),
    )
    for option in (*wrong, ("--stale", "x")):
        try:
            code = main([*words, "--hw-type", "1.2.3", *option])
        except SystemExit as ended:
            code = int(str(ended.code))
        assert code == 2, option
        assert option[0].strip("-") in capsys.readouterr().err or option[0] == "--needs"


def test_the_signer_is_nobody_who_issues_certificates(server: ReferenceServer, image: Path) -> None:
    """AMB-20: its anchor is in a file of its own."""
    published(server, image, "*")
    (anchor,) = x509.load_pem_x509_certificates((server.state / "firmware-ca" / "anchors.pem").read_bytes())
    assert anchor not in x509.load_pem_x509_certificates(server.ca_file.read_bytes())
    assert (server.state / "firmware-ca" / "root.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_firmware_stays_in_the_order_it_was_published_while_some_was_not_fetched(server, enrol, tmp_path):
    """The later version would be the end of the earlier one."""
    (tmp_path / "image").write_bytes(b"image")
    device = enrol("dev-1")
    versions = [published(server, tmp_path / "image", device.serial, "--package-version", number) for number in (1, 2)]
    assert device.get(f"firmware/{versions[0]}")[0] == 200
    listed = json.loads(device.get("pal", "-H", "Accept: application/json")[2])
    places = [str(one["info"]) for one in listed if one["type"] == "0026"]
    assert [item in place for item, place in zip(versions, places, strict=True)] == [True, True]
