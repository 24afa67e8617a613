"""`device-sdk sync` with keys and firmware on the list of the reference server (RFC 8295 sections 5 and 6; KR-06, FR-06)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.client.device.sync import Deliveries
from tests.cli.conftest import Lab, leaf
from tests.cli.test_contract_symmetric_keys import key_file
from tests.est.pki import Ca, new_key
from tests.keystores.pkcs11.tools import pkcs11_tool
from tests.simulators.packages.conftest import publish, sim

pytestmark = pytest.mark.slow

HARDWARE, PACKAGE = "1.3.6.1.4.1.32473.1", "1.3.6.1.4.1.32473.7"
IMAGE = b"\x7fELF" + bytes(range(256)) * 40
CONFIGURATION = """
[keys]
to = "{token}"
anchors = "{server}/keys-ca/root.pem"
[firmware]
out = "{image}"
anchors = "{server}/firmware-ca/anchors.pem"
hardware_type = "{hardware}"
serial = "00a1"
{counter}
[generated]
key = "{second}"
out = "{second_certificate}"
anchors = "{server}/keys-ca/root.pem"
"""


def outcomes(data: dict[str, object]) -> list[tuple[str, str]]:
    return [(one["type"], one["outcome"]) for one in data["steps"] if one["type"] > "0010"]  # type: ignore[union-attr]


@pytest.mark.parametrize("store", ["pkcs11", "tpm2"])
def test_kr_06_fr_06_ar_01_keys_and_firmware_by_the_list_with_the_key_in_hardware(
    store: str, lab: Lab, token: SoftHsm, swtpm: Swtpm, tmp_path: Path
) -> None:
    """Not configured, nothing happens; configured, all of it comes once, and the server has every receipt.

    The device's key, the one of the server's making and the symmetric keys are in a token or in a TPM, whose counter then
    binds the record of firmware.
    """
    in_token = store == "pkcs11"
    uri_of: Callable[[str], str] = token.uri_of if in_token else lambda name: f"tpm2:file={tmp_path}/{name}.tss2"
    (tmp_path / "keys-of-tpm").mkdir(mode=0o700)
    place = token.uri if in_token else f"tpm2:dir={tmp_path}/keys-of-tpm"
    policy = lab.server.policy
    policy.serverkeygen, policy.serverkeygen_form, policy.serverkeygen_receipts = {"certificate"}, "signed", True
    sync = ("sync", "--state", lab.state, "--json")
    lab.cli.ok(*lab.enroll_words(uri_of("device")))
    serial = f"{leaf(lab.state / 'current.pem').serial_number:x}"
    image, package = tmp_path / "image", tmp_path / "new"
    package.write_bytes(IMAGE)
    publish(lab.server, "keys", key_file(tmp_path), serial, "--receipt")
    words = ("--package", PACKAGE, "--package-version", "4", "--hw-type", HARDWARE)
    publish(lab.server, "firmware", package, serial, *words)
    publish(lab.server, "generated-key", Path("cms"), serial)
    idle = lab.cli.ok(*sync).json
    assert outcomes(idle) == [(number, "not configured") for number in ("0021", "0024", "0026")]
    server = lab.server.state
    (lab.cli.directory / "config.toml").write_text(
        CONFIGURATION.format(
            token=place,
            server=server,
            image=image,
            hardware=HARDWARE,
            second=uri_of("second"),
            second_certificate=tmp_path / "second.pem",
            counter="" if in_token else 'counter = "tpm2:nv=0x01800100"',
        )
    )
    planned = lab.cli.ok(*sync, "--plan").json
    assert outcomes(planned) == [(number, "planned") for number in ("0021", "0024", "0026")]
    assert not image.exists()
    done = lab.cli.ok(*sync).json
    assert outcomes(done) == [(number, "done") for number in ("0021", "0024", "0026")]
    sent = [one["path"] for one in done["outbox"]["sent"]]
    assert sent == ["serverkeygen/return", "symmetrickeys/return", "firmware/return"]
    second = lab.cli.ok("keys", "list", uri_of("second"), "--json").json["keys"][0]
    assert (second["extractable"], second["imported"]) == (False, True)
    (returned,) = [one for one in lab.server.est.server_keys.returns.overview() if str(one["item"])[:6] == "server"]
    assert returned["item"] == f"serverkeygen:{leaf(tmp_path / 'second.pem').serial_number:x}"
    assert image.read_bytes() == IMAGE
    assert in_token or '"bound"' in (lab.state / "firmware.json").read_text()
    if in_token:
        assert pkcs11_tool(token, "--list-objects", "--type", "secrkey").count("Secret Key Object") == 2
    else:
        assert len(list((tmp_path / "keys-of-tpm").iterdir())) == 2
    rows = json.loads(sim("packages", "--state", server, "--json").stdout)
    made = [row for row in rows if row["operation"] == "serverkeygen"]
    assert [row.get("returned", [{}])[0].get("kind") for row in made] == [None, "receipt"]
    rows = [row for row in rows if row not in made]
    assert sorted(row.get("report") or row["returned"][0]["kind"] for row in rows) == ["loaded", "receipt"]
    again = lab.cli.ok(*sync).json
    assert outcomes(again) == [(number, "done before") for number in ("0021", "0024", "0026")]
    assert (again["outbox"]["sent"], again["failed"]) == ([], False)
    another_key_of_the_servers_making(lab, serial)


def another_key_of_the_servers_making(lab: Lab, serial: str) -> None:
    """P-15, AR-01: it is asked for by Full CMC, has a place beside the first, and the key in hardware is certified again."""
    (first,) = lab.cli.ok("show", "--state", lab.state, "--json").json["generated"]
    lab.server.policy.fullcmc, lab.server.policy.pal_renewal = True, 0.0
    publish(lab.server, "generated-key", Path("cms"), serial, "--by-cmc")
    done = lab.cli.ok("sync", "--state", lab.state, "--json").json
    assert [one["outcome"] for one in done["steps"] if one["type"] == "0010"] == ["done", "done"], done["steps"]
    assert ("0021", "done") in outcomes(done)
    renewed, second = lab.cli.ok("show", "--state", lab.state, "--json").json["generated"]
    assert renewed["certificate"]["serial"] != first["certificate"]["serial"]
    assert (renewed["key_uri"], renewed["certificate_file"]) == (first["key_uri"], first["certificate_file"])
    assert f"{leaf(Path(renewed['certificate_file'])).serial_number:x}" == renewed["certificate"]["serial"]
    assert second["certificate_file"].endswith("/second-2.pem")
    (key,) = lab.cli.ok("keys", "list", second["key_uri"], "--json").json["keys"]
    assert (key["extractable"], key["imported"], "second-2" in key["uri"]) == (False, True, True)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ('[keys]\nto = "/x"\n', "keys.anchors is not set"),
        ('[firmware]\nout = "/x/y"\nanchors = "/x"\nhardware_type = "1.2"\n', "firmware.serial is not set"),
        ('[firmware]\nout = "/x/y"\ninstaller = "/z"\n', "exclude each other"),
        ('[firmware]\nout = "/x/y"\nanchors = "/x"\nhardware_type = "y"\nserial = "00"\n', "y"),
        ('[keys]\nto = "/x"\nanchors = "/nowhere"\n', "/nowhere"),
        ('[firmware]\nout = "{own}"\n', "own.pem is not written: it holds a private key"),
        ('[generated]\nkey = "file:/x"\nout = "{own}"\n', "own.pem is not written: it holds a private key"),
        ('[generated]\nkey = "file:/x/y"\nout = "/x/y"\n', "name one file: /x/y"),
        ('[generated]\nkey = "tpm2:file=/x/y"\nout = "/x/../x/y"\n', "name one file: /x/"),
    ],
)
def test_a_mistake_in_the_settings_is_named(config: str, said: str, tmp_path: Path) -> None:
    """When a package comes; nothing else is concerned by it."""
    from argparse import Namespace

    from device_sdk.cli.deliveries import deliveries
    from device_sdk.cli.output import Output
    from device_sdk.cli.settings import Settings
    from device_sdk.errors import ConfigurationError

    file, own = tmp_path / "config.toml", tmp_path / "own.pem"
    own.write_bytes(new_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    file.write_text(config.format(own=own))
    wanted = deliveries(Settings(Namespace(), {}, str(file)), Output())
    with pytest.raises(ConfigurationError, match=said):
        (wanted.keys or wanted.firmware or wanted.generated)()  # type: ignore[misc]  # one of them is set


def test_what_the_settings_say_about_downloads_and_returns(tmp_path: Path) -> None:
    """The rate of a download, what was refused before, and to whom receipts are encrypted (KR-08)."""
    from argparse import Namespace

    from device_sdk.cli.deliveries import deliveries
    from device_sdk.cli.output import Output
    from device_sdk.cli.settings import Settings
    from device_sdk.errors import ConfigurationError

    ca = Ca.root("anchors")
    returns = ca.certify("returns", new_key().public_key())
    for name, some in (
        ("ca.pem", [ca.certificate]),
        ("returns.pem", [returns]),
        ("two.pem", [returns] * 2),
        ("signs.pem", [ca.certificate]),
    ):
        (tmp_path / name).write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in some))

    def wanted(rate: str = "2048", recipient: str = "returns.pem", *, again: bool = False) -> Deliveries:
        file = tmp_path / "config.toml"
        file.write_text(
            f'[firmware]\nout = "{tmp_path}/x"\nanchors = "{tmp_path}/ca.pem"\nhardware_type = "1.2"\nserial = "00"\n'
            f'min_rate = {rate}\n[keys]\nto = "{tmp_path}"\nanchors = "{tmp_path}/ca.pem"\n'
            f'receipt_recipient = "{tmp_path}/{recipient}"\n'
            f'[generated]\nkey = "file:{tmp_path}/g"\nout = "{tmp_path}/g.pem"\nanchors = "{tmp_path}/ca.pem"\n'
            f'receipt_recipient = "{tmp_path}/{recipient}"\n'
        )
        return deliveries(Settings(Namespace(), {}, str(file)), Output(), again=again)

    found = wanted()
    assert found.firmware
    assert found.keys
    assert found.generated
    assert (found.firmware().rules.min_rate, found.firmware().again) == (2048, False)
    again = wanted(again=True).firmware
    assert again
    assert again().again
    policy = found.generated().policy
    assert found.keys().policy.receipt_recipient == returns == (policy and policy.receipt_recipient)
    for wrong, says in ((wanted("0"), "at least 1"), (wanted(recipient="two.pem"), "2 certificates"),
                        (wanted(recipient="none.pem"), "none.pem"),
                        (wanted(recipient="signs.pem"), "not for encryption")):  # fmt: skip
        assert wrong.firmware
        assert wrong.keys
        assert wrong.generated
        makers = (wrong.firmware,) if "least" in says else (wrong.keys, wrong.generated)
        for make in makers:
            # each `wanted` wrote the file anew, and settings are read once
            with pytest.raises(ConfigurationError, match=says):
                make()


def test_a_run_has_some_time(lab: Lab) -> None:
    lab.enrolled()
    assert "greater than 0" in lab.cli.fails(2, "sync", "--state", lab.state, "--limit", "0")
    late = lab.cli("sync", "--state", lab.state, "--limit", "0.0001", "--json")
    assert (late.code, {one["error"]["code"] for one in late.json["steps"]}) == (1, {"timeout"})
    assert lab.cli.ok("sync", "--state", lab.state, "--json").json["resumed"]


@pytest.mark.parametrize("directory", ["elsewhere", None])
def test_firmware_waits_where_there_is_room_and_not_in_memory(directory: str | None, tmp_path: Path) -> None:
    """For a program of the device's own: package and image in `firmware.directory`, or the state directory; never in TMPDIR."""
    from argparse import Namespace

    from device_sdk.cli.deliveries import deliveries
    from device_sdk.cli.output import Output
    from device_sdk.cli.settings import Settings

    place = tmp_path / (directory or "state")
    place.mkdir()
    lab = Ca.root("Firmware root")
    (tmp_path / "anchors.pem").write_bytes(lab.certificate.public_bytes(Encoding.PEM))
    file = tmp_path / "config.toml"
    named = f'directory = "{place}"\n' if directory else ""
    file.write_text(
        f'state_dir = "{tmp_path}/state"\n[firmware]\ninstaller = "/bin/true"\nanchors = "{tmp_path}/anchors.pem"\n'
        f'hardware_type = "1.2.3"\nserial = "00"\npackages = ["1.2.4", "1.2.5"]\n{named}'
    )
    wanted = deliveries(Settings(Namespace(), {}, str(file)), Output()).firmware
    assert wanted
    delivery = wanted()
    assert delivery.directory == place
    assert delivery.rules.policy.packages == ("1.2.4", "1.2.5")
    delivery.installer.begin()
    delivery.installer.write(b"image")
    (waits,) = place.glob("device-sdk-firmware-*")
    delivery.installer.rollback()
    assert not waits.exists()
