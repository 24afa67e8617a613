"""`device-sdk est firmware` against the reference server (RFC 8295 section 6, RFC 4108)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc4108, rfc5652

from device_sdk.keystores.secret_import import store_keys
from device_sdk.model.secret import Secret
from device_sdk.model.symmetric_keys import KeyUsage, SymmetricKey
from tests.cli.conftest import Lab, leaf
from tests.est.pki import Ca, new_key
from tests.mounts import UNSHARE
from tests.packages.test_crls import crl
from tests.simulators.packages.conftest import curl, sim

pytestmark = pytest.mark.slow

ARC = "1.3.6.1.4.1.32473"
HARDWARE, PACKAGE, COMMUNITY = f"{ARC}.1", f"{ARC}.7", f"{ARC}.9"
SERIAL = "00a1"
IMAGE = b"\x7fELF" + bytes(range(256)) * 2000
SIGNED = ("--package", PACKAGE, "--hw-type", HARDWARE)


class Device:
    """A device with a certificate, and the words that name it and its server."""

    def __init__(self, lab: Lab, directory: Path, key: str, kind: str = "ec-p256") -> None:
        self.lab, self.directory, self.key = lab, directory, key
        lab.cli.ok("keys", "create", key, "--type", kind)
        self.certificate = lab.certificate(directory / "own.pem", key)
        self.out, self.record = directory / "image.bin", directory / "record.json"
        self.firmware = directory / "new-image"
        self.firmware.write_bytes(IMAGE)

    @property
    def serial(self) -> str:
        return f"{leaf(self.certificate).serial_number:x}"

    def publish(self, *words: object, name: tuple[str, ...] = SIGNED) -> str:
        done = sim(
            "publish",
            "firmware",
            self.firmware,
            "--to",
            self.serial,
            "--state",
            self.lab.server.state,
            "--json",
            *name,
            *words,
        )
        item: str = json.loads(done.stdout)["item"]
        return item

    def words(self, *words: object) -> tuple[object, ...]:
        anchors = self.lab.server.state / "firmware-ca" / "anchors.pem"
        module = ("--hw-type", HARDWARE, "--hw-serial", SERIAL, "--firmware-anchors", anchors, "--record", self.record)
        pair = ("--cert", self.certificate, "--key", self.key)
        place = () if "--installer" in words else ("--out", self.out)
        return ("est", "firmware", *self.lab.trust, *pair, *module, *place, *words)

    def load(self, *words: object) -> dict[str, Any]:
        found: dict[str, Any] = self.lab.cli.ok(*self.words(*words, "--json")).json
        return found

    def refused(self, *words: object, code: int = 6) -> dict[str, Any]:
        """The error; the file and the record are what they were."""
        before = [path.read_bytes() if path.exists() else None for path in (self.out, self.record)]
        done = self.lab.cli(*self.words(*words, "--json"))
        assert done.code == code, done
        after = [path.read_bytes() if path.exists() else None for path in (self.out, self.record)]
        assert after == before
        assert not [path for path in self.directory.iterdir() if path.name.endswith(".tmp")]
        found: dict[str, Any] = done.error
        return found

    def reports(self) -> list[dict[str, Any]]:
        rows = json.loads(sim("packages", "--state", self.lab.server.state, "--json").stdout)
        return [row for row in rows if row["operation"] == "firmware"]

    def listed(self) -> list[str]:
        pair = ("--cert", self.certificate, "--key", self.key)
        found = self.lab.cli.ok("est", "pal", *self.lab.trust, *pair, "--json").json["entries"]
        return [entry["type"] for entry in found if entry["type"] in ("0026", "0027")]


@pytest.fixture
def device(lab: Lab, tmp_path: Path) -> Device:
    directory = tmp_path / "device"
    directory.mkdir()
    return Device(lab, directory, f"file:{lab.keys}/own.pem")


@pytest.mark.parametrize(("store", "kind"), [("file", "ec-p256"), ("pkcs11", "rsa-2048"), ("tpm2", "ec-p256")])
def test_fr_01_to_fr_06_f_09_from_the_list_to_the_receipt(
    store: str, kind: str, lab: Lab, token: SoftHsm, swtpm: Swtpm, tmp_path: Path
) -> None:
    """Listed, fetched, verified, opened with the key of the module (RSA-OAEP, ECDH), written, reported with the same key:
    a receipt, then an error; openssl and pyasn1 read both. With a TPM the record is bound to a counter of it."""
    directory = tmp_path / "device"
    directory.mkdir()
    uris = {"pkcs11": token.uri_of("key"), "tpm2": f"tpm2:file={directory}/key.pem", "file": f"file:{lab.keys}/k.pem"}
    device = Device(lab, directory, uris[store], kind)
    item = device.publish("--package-version", 4, "--compress", "--stale", 2, "--encrypt-for", device.certificate)
    assert device.listed() == ["0026"]
    bound = ("--counter", "tpm2:nv=0x01800100") if store == "tpm2" else ()
    place = ("--place", f"/.well-known/est/firmware/{item}")
    found = device.load("--receipt", *place, *bound, "--decrypt-key", device.key)
    assert device.out.read_bytes() == IMAGE
    assert (found["package"], found["size"], found["reported"]) == (f"{PACKAGE} version 4", len(IMAGE), True)
    (row,) = device.reports()
    assert (row["item"], row["report"], row["report_of"]) == (item, "loaded", f"{HARDWARE} {SERIAL}")
    assert row["bytes"] < len(IMAGE)
    assert device.listed() == ["0026"], "the receipt is there, and no longer asked for"
    report = receipt_of(lab, directory)
    receipt, rest = decode(report, asn1Spec=rfc4108.FirmwarePackageLoadReceipt())
    assert (encode(receipt), rest) == (report, b"")
    assert (str(receipt["hwType"]), bytes(receipt["hwSerialNum"]).hex()) == (HARDWARE, SERIAL)
    assert int(receipt["fwPkgName"]["preferred"]["verNum"]) == 4
    assert receipt["decryptKeyID"].isValue
    device.publish("--package-version", 3)
    assert device.refused("--receipt", *bound)["load_error"] == 28
    error, _ = decode(receipt_of(lab, directory), asn1Spec=rfc4108.FirmwarePackageLoadError())
    assert int(error["errorCode"]) == 28
    assert [row["report"] for row in device.reports()] == ["loaded", "refused (28)"]


def receipt_of(lab: Lab, directory: Path) -> bytes:
    """What openssl verified of the last report the server has."""
    database = lab.server.est.packages.shelf._database
    row = database.row("SELECT content FROM firmware_reports ORDER BY id DESC LIMIT 1")
    assert row is not None
    message = directory / "report.der"
    message.write_bytes(bytes(row["content"]))
    done = subprocess.run(
        ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", message, "-CAfile", lab.server.ca_file,
         "-certfile", lab.server.issuer_file, "-purpose", "any", "-out", directory / "report.content"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    signed = decode(
        decode(bytes(row["content"]), asn1Spec=rfc5652.ContentInfo())[0]["content"], asn1Spec=rfc5652.SignedData()
    )[0]
    assert int(signed["version"]) == 3
    assert signed["signerInfos"][0]["sid"]["subjectKeyIdentifier"].isValue
    assert not signed["signerInfos"][0]["unsignedAttrs"].isValue
    return (directory / "report.content").read_bytes()


REFUSED = {
    "F-08 wrongHardware": ((), (), ("--hw-type", f"{ARC}.2"), 27),
    "F-08 notInCommunity": (("--community", COMMUNITY), (), (), 29),
    "F-08 serial outside the block": (("--hw-serial", "00a2-00ff"), (), (), 29),
    "F-08 serial of another length": (("--hw-serial", "0000a1"), (), (), 29),
    "F-08 missingDependency": (("--needs", f"{ARC}.8:1"), (), (), 31),
    "F-04 unsigned": (("--unsigned",), (), (), 2),
    "G-14 too large": (("--compress",), (), ("--max-bytes", len(IMAGE) - 1), 33),
}


@pytest.mark.parametrize(("published", "more", "told", "code"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_reported(device: Device, published: Any, more: Any, told: Any, code: int) -> None:
    """FR-04: the number goes to the server, nothing is written (section 17 item 4)."""
    del more
    device.publish(*published)
    error = device.refused("--receipt", *told)
    assert (error["code"], error["load_error"], error["reported"]) == ("firmware", code, True)
    # without a name it is booked on no package: nobody signed, so nobody named it
    assert device.reports()[-1]["report"] == f"refused ({code})"
    assert (device.reports()[0]["report"] is None) is ("--unsigned" in published)


def test_f_08_members_of_a_community(device: Device) -> None:
    device.publish("--community", COMMUNITY, "--hw-serial", "00a0-00af")
    assert device.load()["installed"]
    device.publish("--community", COMMUNITY)
    assert device.load("--community", COMMUNITY)["installed"]


def test_f_10_f_11_versions(device: Device) -> None:
    """Stale: never again. Older: only if somebody says so. The record survives, and is no other device's business."""
    device.publish("--package-version", 5, "--stale", 3)
    device.load()
    device.publish("--package-version", 4)
    error = device.refused()
    assert error["load_error"] == 28
    assert "is older than version 5" in error["message"]
    assert device.load("--allow-downgrade")["package"].endswith("version 4")
    for version in (2, 3):
        device.publish("--package-version", version)
        error = device.refused("--allow-downgrade")
        assert error["load_error"] == 28
        assert "is stale" in error["message"]


def test_f_08_dependencies(device: Device) -> None:
    """A package that others need keeps the version they need."""
    library = ("--package", f"{ARC}.8", "--hw-type", HARDWARE)
    device.publish("--package-version", 2, name=library)
    device.load()
    device.publish("--needs", f"{ARC}.8:3")
    assert device.refused()["load_error"] == 32
    device.publish("--needs", f"{ARC}.8:2")
    device.load()
    device.publish("--package-version", 1, name=library)
    assert device.refused("--allow-downgrade")["load_error"] == 36


def test_f_09_encrypted_for_the_device_and_with_a_shared_key(device: Device, tmp_path: Path) -> None:
    device.publish("--compress", "--encrypt-for", device.certificate)
    assert device.refused()["load_error"] == 22
    assert device.load("--decrypt-key", device.key)["size"] == len(IMAGE)
    secret = tmp_path / "secret"
    secret.write_text(bytes(range(32)).hex())
    secret.chmod(0o600)
    device.out.unlink()
    device.publish("--encrypt-key", secret, "--encrypt-id", "0102")
    device.load("--decrypt-secret-file", secret, "--decrypt-id", "0102", "--receipt")
    assert device.out.read_bytes() == IMAGE


def test_f_09_a_symmetric_key_in_hardware_opens(device: Device, swtpm: Swtpm, tmp_path: Path) -> None:
    """decrypt-key-identifier names an AES key in the TPM, by its own identifier."""
    value = bytes(range(32))
    key = SymmetricKey("fw-1", "urn:aes", is_aes=True, usages=frozenset({KeyUsage.DECRYPT}), value=Secret(value))
    (uri,) = store_keys([key], f"tpm2:dir={tmp_path}").places.values()
    secret = tmp_path / "secret"
    secret.write_text(value.hex())
    device.publish("--compress", "--encrypt-key", secret, "--encrypt-id", b"fw-1".hex())
    assert device.load("--decrypt-key", uri)["size"] == len(IMAGE)
    assert device.out.read_bytes() == IMAGE


def test_amb_22_nothing_is_there(device: Device) -> None:
    anchors = device.directory / "anchors.pem"
    anchors.write_bytes(device.lab.server.ca_file.read_bytes())
    said = device.lab.cli.ok(*device.words(), "--firmware-anchors", anchors).out
    assert said == "the server has no firmware for this client\n"
    assert not device.out.exists()


def test_amb_15_unsigned_if_somebody_says_so(device: Device) -> None:
    device.publish("--unsigned", "--compress")
    found = device.load("--allow-unsigned")
    assert (found["package"], device.out.read_bytes()) == (None, IMAGE)


def test_amb_20_the_anchor_of_the_server_is_none_for_firmware(device: Device) -> None:
    device.publish()
    assert device.refused("--firmware-anchors", device.lab.server.ca_file)["load_error"] == 10


def test_fr_07_a_report_about_another_module(device: Device) -> None:
    """The first report tells the server which module this is; later ones are about no other."""
    device.publish()
    device.load("--receipt")
    done = device.lab.cli(*device.words("--receipt", "--hw-serial", "00a2", "--json"))
    assert (done.code, done.error["code"], done.error["status_code"]) == (7, "http-status", 403)
    assert "is installed; only the receipt did not arrive" in done.error["hint"]


PROGRAM = """#!/bin/sh
echo "$1" >> {log}
case "$1" in
  stage) cp "$2" {log}.staged; exit {stage};;
  commit) [ {commit} = 0 ] && mv {log}.staged {log}.active; exit {commit};;
  active) [ "$(sha256sum < {log}.active 2>/dev/null | cut -d' ' -f1)" = "$2" ];;
  rollback) rm -f {log}.staged;;
esac
"""


def program(device: Device, *, stage: int = 0, commit: int = 0) -> Path:
    path = device.directory / "installer"
    path.write_text(PROGRAM.format(log=device.directory / "log", stage=stage, commit=commit))
    path.chmod(0o755)
    return path


def test_an_installer_of_the_devices_own(device: Device) -> None:
    device.publish()
    device.load("--installer", program(device))
    assert (device.directory / "log.active").read_bytes() == IMAGE
    assert (device.directory / "log").read_text().split() == ["ready", "stage", "commit"]


@pytest.mark.parametrize(
    ("fails", "verbs"), [("stage", "ready stage rollback"), ("commit", "ready stage commit rollback")]
)
def test_an_installer_that_fails(device: Device, fails: str, verbs: str) -> None:
    """Its exit code is the vendor's error code (FR-04); what was there stays."""
    device.publish()
    codes: Any = {fails: 42}
    done = device.lab.cli(*device.words("--installer", program(device, **codes), "--receipt", "--json"))
    assert done.error["load_error"] == 99
    assert done.error["vendor_error"] == 42
    assert (device.directory / "log").read_text().split() == verbs.split()
    assert not (device.directory / "log.active").exists()
    assert json.loads(device.record.read_bytes() if device.record.exists() else b'{"installed": []}')["installed"] == []
    assert device.reports()[0]["report"] == "refused (99)"


def test_a_record_that_is_none_is_not_overwritten(device: Device) -> None:
    device.publish()
    device.record.write_text("{}")
    assert device.refused(code=9)["code"] == "state-corrupt"


@pytest.mark.parametrize("when", ["before", "while it is unpacked"])
def test_no_room_for_the_package(device: Device, when: str) -> None:
    """FR-04, insufficientMemory: a file system that is too small; nothing is left on it."""
    squeezed = when != "before"
    device.firmware.write_bytes(bytes(8 << 20) if squeezed else os.urandom(3 << 20))
    device.publish(*(["--compress"] if squeezed else []))
    small = device.directory / "small"
    small.mkdir()
    script = 'mount -t tmpfs -o size=3m none "$0" && { "$@"; code=$?; ls -A "$0" >&2; exit $code; }'
    words = [str(word) for word in device.words("--receipt", "--json")]
    words[words.index("--out") + 1] = str(small / "image")
    done = device.lab.cli(*words, prefix=(*UNSHARE, "sh", "-c", script, str(small)))
    assert (done.code, done.error["code"]) == (9, "state-not-writable"), done
    assert len(done.err.splitlines()) == 1, "ls shows nothing"
    # before the package was there nobody knew its name
    reports = [row["report"] for row in device.reports()]
    assert reports == (["refused (33)"] if squeezed else [None, "refused (33)"])


def test_fr_03_a_report_that_somebody_else_sends(device: Device, lab: Lab, tmp_path: Path) -> None:
    """Replayed by another client, even one the package is for, too."""
    device.publish("--legacy-name", "boot", name=("--hw-type", HARDWARE))
    device.load("--receipt")
    receipt_of(lab, device.directory)
    other = lab.certificate(tmp_path / "other.pem", lab.key("other"))
    pair = ("--cert", str(other), "--key", str(lab.keys / "other.pem"))
    sent = ("--data-binary", f"@{device.directory / 'report.der'}")
    status, _, said = curl(lab.server, "firmware/return", *pair, *sent)
    assert (status, said) == (403, b"the report is signed by somebody else than who sends it\n")


def test_s_02_c_05_what_a_signer_may_sign_and_who_was_revoked(device: Device, tmp_path: Path) -> None:
    """--constraints and --crls count: a signer without constraints, and a list in the anchor's name that it did not sign."""
    device.publish()
    error = device.refused("--constraints", "required")
    assert "content constraints (RFC 6010), which are demanded" in error["message"]
    assert error["load_error"] == 11
    anchor = leaf(device.lab.server.state / "firmware-ca" / "anchors.pem")
    forged = crl(Ca(new_key(), anchor), anchor)
    lists = tmp_path / "lists.pem"
    lists.write_bytes(forged.public_bytes(Encoding.PEM))
    assert "signature is not its issuer's" in device.refused("--crls", lists)["message"]
    # by the next key of that CA, which is known by its certificate (RFC 4210 section 4.4)
    with (device.lab.server.state / "firmware-ca" / "root.key").open("rb") as file:
        old = Ca(load_pem_private_key(file.read(), None), anchor)
    following = Ca(new_key(), anchor)
    following.certificate = old.certify(anchor.subject, following.key.public_key(), ca=True)
    lists.write_bytes(crl(following, anchor).public_bytes(Encoding.PEM))
    assert "signature is not its issuer's" in device.refused("--crls", lists)["message"]
    lists.write_bytes(following.certificate.public_bytes(Encoding.PEM) + lists.read_bytes())
    device.load("--constraints", "if-present", "--crls", lists)
    assert device.out.read_bytes() == IMAGE
