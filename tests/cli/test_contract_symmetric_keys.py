"""`device-sdk est symmetrickeys` against the reference server (RFC 8295 section 5)."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import pytest
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.keystores.registry import list_keys, open_secret
from device_sdk.keystores.tpm2.secret_keys import SealedKey
from device_sdk.model.symmetric_keys import KeyUsage
from tests.cli.conftest import Lab, leaf
from tests.keystores.pkcs11.tools import pkcs11_tool
from tests.simulators.packages.conftest import publish, sim

pytestmark = pytest.mark.slow

VALUES = {"door": "000102030405060708090a0b0c0d0e0f", "meter/1": "aa" * 32}
KEYS = [
    {
        "id": "door",
        "algorithm": "http://www.w3.org/2001/04/xmlenc#aes128-cbc",
        "value": VALUES["door"],
        "usages": ["Decrypt"],
    },
    {
        "id": "meter/1",
        "algorithm": "http://www.w3.org/2000/09/xmldsig#hmac-sha256",
        "value": VALUES["meter/1"],
        "name": "Meter",
    },
]


def key_file(directory: Path, keys: object = KEYS, mode: int = 0o600) -> Path:
    path = directory / "keys.json"
    path.write_text(json.dumps(keys))
    path.chmod(mode)
    return path


class Device:
    """One with a certificate; packages are published for it."""

    def __init__(self, lab: Lab, key: str, directory: Path) -> None:
        self.lab, self.key, self.directory = lab, key, directory
        lab.cli.ok("keys", "create", key, "--type", "ec-p256")
        self.certificate = lab.certificate(directory / "own.pem", key)
        self.serial = f"{leaf(self.certificate).serial_number:x}"

    def publish(self, *words: str, keys: object = KEYS) -> str:
        return publish(self.lab.server, "keys", key_file(self.directory, keys), self.serial, *words)

    @property
    def words(self) -> tuple[object, ...]:
        anchors = self.lab.server.state / "keys-ca" / "root.pem"
        pair = ("--cert", self.certificate, "--key", self.key)
        return ("est", "symmetrickeys", *self.lab.trust, *pair, "--package-anchors", anchors)

    @property
    def returned(self) -> list[dict[str, object]]:
        rows = json.loads(sim("packages", "--state", self.lab.server.state, "--json").stdout)
        return [one for row in rows for one in row.get("returned", [])]


@pytest.fixture
def device(lab: Lab, tmp_path: Path) -> Device:
    return Device(lab, f"file:{lab.keys}/k.pem", tmp_path)


@pytest.fixture
def out_dir(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir(mode=0o700)
    return path


@pytest.mark.parametrize("store", ["pkcs11", "tpm2"])
def test_k_01_kr_01_kr_04_keys_into_a_token_with_the_devices_key_in_hardware(
    store: str, lab: Lab, token: SoftHsm, swtpm: Swtpm, tmp_path: Path
) -> None:
    """Published, listed, fetched, opened by the hardware key, stored; the receipt is signed by the hardware key, too.

    Into the token, or into files that the TPM alone opens: an AES key that works in there, and a sealed one.
    """
    place = token.uri if store == "pkcs11" else f"tpm2:dir={tmp_path}"
    key = token.uri_of("key") if store == "pkcs11" else f"tpm2:file={tmp_path}/key.pem"
    device = Device(lab, key, tmp_path)
    item = device.publish("--receipt")
    pal = ("est", "pal", *lab.trust, "--cert", device.certificate, "--key", key, "--json")
    entry = lab.cli.ok(*pal).json["entries"][-1]
    assert (entry["type"], entry["where"]) == ("0024", f"/.well-known/est/symmetrickeys/{item}")
    done = lab.cli.ok(*device.words, "--place", entry["where"], "--to", place, "--json")
    assert [(one["key_id"], one["usages"]) for one in done.json["keys"]] == [
        ("door", ["Decrypt"]),
        ("meter/1", ["Integrity", "Verify"]),
    ]
    assert done.json["signers"] == ["CN=Reference Package Signer"]
    assert done.json["receipts"] == done.json["packages"]
    assert [(one["item"], one["kind"], one["code"]) for one in device.returned] == [(item, "receipt", None)]
    if store == "pkcs11":
        listed = pkcs11_tool(token, "--list-objects", "--type", "secrkey")
        assert listed.count("Secret Key Object") == 2
        assert listed.count("never extractable") + listed.count("sensitive") >= 2
    else:
        with open_secret(done.json["keys"][1]["place"]) as meter:
            assert isinstance(meter, SealedKey)
            with meter.value(KeyUsage.INTEGRITY) as value:
                assert value.hex() == VALUES["meter/1"]
        assert [info.extractable for info in list_keys(place) if info.key_type is None] == [True, False]
    for value in VALUES.values():
        assert value not in done.out + done.err


def test_k_11_keys_into_files(device: Device, out_dir: Path) -> None:
    """Nobody else can read them; a file that is there is not replaced unless somebody says so."""
    device.publish()
    device.lab.cli.ok(*device.words, "--out-dir", out_dir)
    files = sorted(out_dir.iterdir())
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600] * 2
    found = {one["key_id"]: one for one in (json.loads(path.read_text()) for path in files)}
    assert {name: one["value"] for name, one in found.items()} == VALUES
    assert found["door"]["usages"] == ["Decrypt"]
    said = device.lab.cli.fails(3, *device.words, "--out-dir", out_dir)
    assert "exists already" in said
    device.lab.cli.ok(*device.words, "--out-dir", out_dir, "--replace")
    assert sorted(out_dir.iterdir()) == files
    assert device.returned == [], "nobody asked for a receipt; an error of the second try has no package to name"


def test_kr_08_kr_11_an_encrypted_receipt(device: Device, out_dir: Path) -> None:
    """The server asks for encryption and opens what comes; without a recipient nothing is sent; bad ones have one answer."""
    server = device.lab.server
    item = device.publish("--encrypted-receipt")
    words = (*device.words, "--out-dir", out_dir, "--json")
    assert "nobody says to whom" in device.lab.cli.ok(*words).err
    assert device.returned == []
    recipient = server.state / "keys-ca" / "returns.pem"
    done = device.lab.cli.ok(*words, "--replace", "--receipt-recipient", recipient)
    assert done.json["receipts"] == done.json["packages"]
    assert [(one["item"], one["kind"]) for one in device.returned] == [(item, "receipt")]
    assert server.log()[-1]["encrypted"] is True
    said = device.lab.cli.fails(
        2, *words[:-1], "--replace", "--receipt-recipient", server.state / "keys-ca" / "root.pem"
    )
    assert "keyAgreement" in said


def test_amb_22_no_keys(device: Device, out_dir: Path) -> None:
    sim("withdraw", device.publish(), "--state", device.lab.server.state)
    assert device.lab.cli.ok(*device.words, "--out-dir", out_dir, "--json").json == {"keys": [], "receipts": []}


@pytest.mark.parametrize("nesting", ["a", "a-signed", "b", "c", "d", "d-bare", "e", "e-bare"])
def test_k_03_k_06_all_nestings_over_tls(device: Device, out_dir: Path, nesting: str) -> None:
    device.publish("--nesting", nesting)
    words = (*device.words, "--out-dir", out_dir)
    code, says = {"a": (6, "nobody signed"), "d-bare": (6, "nobody signed"), "a-signed": (7, "not encrypted")}.get(
        nesting, (7, "nothing that is signed says for whom it is") if nesting in "bd" else (0, "")
    )
    if code:
        assert says in device.lab.cli.fails(code, *words)
        assert list(out_dir.iterdir()) == []
        words += ("--allow-unaddressed",) if nesting in "bd" else ("--allow-unsigned", "--allow-unencrypted")
    assert len(device.lab.cli.ok(*words, "--json").json["keys"]) == 2


def test_amb_20_somebody_has_to_say_who_signs(device: Device, out_dir: Path) -> None:
    device.publish()
    words = tuple(word for word in device.words if word not in ("--package-anchors", device.words[-1]))
    assert "who may sign packages" in device.lab.cli.fails(2, *words, "--out-dir", out_dir)
    said = device.lab.cli.fails(6, *words, "--package-anchors", device.lab.server.ca_file, "--out-dir", out_dir)
    assert "no path to a trust anchor" in said or "certificate is not there" in said
    assert [(one["kind"], one["code"]) for one in errors(device)] == [("error", 10)]


def errors(device: Device) -> list[dict[str, object]]:
    return [dict(one) for one in device.lab.server.est.packages.key_returns.overview()]


def test_kr_03_a_package_for_another_device(device: Device, lab: Lab, tmp_path: Path, out_dir: Path) -> None:
    """It does not open, with one text, and the server is told so, and no more."""
    device.publish()
    lab.cli.ok("keys", "create", f"file:{lab.keys}/other.pem", "--type", "ec-p256")
    said = lab.cli.fails(10, *device.words, "--out-dir", out_dir, "--decrypt-key", f"file:{lab.keys}/other.pem")
    assert "cannot be opened: it is not an encrypted message for this key" in said
    assert [(one["kind"], one["code"], one["item"]) for one in errors(device)] == [("error", 71, None)]
    lab.cli.fails(
        10, *device.words, "--out-dir", out_dir, "--decrypt-key", f"file:{lab.keys}/other.pem", "--no-returns"
    )
    assert len(errors(device)) == 1


def test_k_11_half_stored_says_which(device: Device, swtpm: Swtpm, out_dir: Path) -> None:
    """The TPM takes no key as long as the second one: the first one stays, and the message names both."""
    device.publish("--receipt", keys=[KEYS[0], KEYS[1] | {"value": "aa" * 129}])
    place = ("--to", f"tpm2:dir={out_dir}")
    meter = out_dir / f"{hashlib.sha256(b'meter/1').hexdigest()}.key.pem"
    meter.touch()
    said = device.lab.cli.fails(3, *device.words, *place, "--replace")
    assert "no key of the identifier 'meter/1'" in said
    assert list(out_dir.iterdir()) == [meter], "nothing was stored"
    meter.unlink()
    said = device.lab.cli.fails(3, *device.words, *place, "--replace")
    assert "stored: door; not stored: meter/1" in said
    # said twice; in the same second it is the same, which is kept once
    assert {(one["kind"], one["code"]) for one in device.returned} == {("error", 127)}


def test_k_11_keys_that_no_token_may_take(device: Device, token: SoftHsm) -> None:
    device.publish(keys=[KEYS[0] | {"usages": ["Unlock"]}])
    said = device.lab.cli.fails(7, *device.words, "--to", token.uri)
    assert "the usage Unlock cannot be enforced" in said
    device.publish(keys=[KEYS[0] | {"device_binding": "another"}])
    said = device.lab.cli.fails(7, *device.words, "--to", token.uri, "--device-binding", "this")
    assert "bound to another device" in said
    device.lab.cli.ok(*device.words, "--to", token.uri, "--device-binding", "another")


def test_publishing_refuses(device: Device, lab: Lab, tmp_path: Path) -> None:
    """A file that others can read; one with something else in it; keys for everybody."""
    state = ("--state", lab.server.state)
    for keys, mode, to, says in (
        (KEYS, 0o644, device.serial, "others can read it"),
        ([{"id": "a"}], 0o600, device.serial, "not a JSON array"),
        ([KEYS[0] | {"colour": "red"}], 0o600, device.serial, "unknown names: colour"),
        ([KEYS[0] | {"value": "0011"}], 0o600, device.serial, "door: the value has 16 bits, the algorithm 128"),
        (KEYS, 0o600, "*", "encrypted to one device"),
    ):
        done = sim("publish", "keys", key_file(tmp_path, keys, mode), "--to", to, *state, check=False)
        assert done.returncode == 2
        assert says in done.stderr
