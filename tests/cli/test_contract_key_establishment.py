"""`device-sdk sync` and the reference server: a second certificate, for key establishment, its key in a token (N-01, P-15)."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from device_sdk_simulators.database import Database
from device_sdk_simulators.packages.addresses import address_for
from device_sdk_simulators.packages.publishing_keys import recipient_of
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from tests.cli.conftest import Lab, leaf
from tests.cli.test_contract_symmetric_keys import key_file
from tests.simulators.packages.conftest import publish

pytestmark = pytest.mark.slow

USE = ("--use", "key-establishment")


def outcomes(data: dict[str, object]) -> dict[str, str]:
    return {one["type"]: one["outcome"] for one in data["steps"] if "0006" <= one["type"] <= "0019"}  # type: ignore[union-attr]


def test_n_01_a_certificate_for_key_establishment_in_a_token(lab: Lab, token: SoftHsm, tmp_path: Path) -> None:
    """Got when the server asks for it, renewed when it is due, shown, checked, and looked after by the other commands."""
    policy, state = lab.server.policy, ("--state", lab.state)
    lab.cli.ok(*lab.enroll_words(token.uri_of("device")))
    signing = leaf(lab.state / "current.pem")
    assert lab.cli.run("needs-renewal", *state, *USE).returncode == 2
    policy.key_establishment = True
    sync = ("sync", *state, "--json")
    assert outcomes(lab.cli.ok(*sync).json) == {"0014": "not configured"}
    (lab.cli.directory / "config.toml").write_text(f'[key_establishment]\nkey = "{token.uri_of("establishing")}"\n')
    sync = (*sync, "--config", lab.cli.directory / "config.toml")
    assert outcomes(lab.cli.ok(*sync).json) == {"0014": "done"}
    file = lab.state / "key-establishment" / "current.pem"
    first = leaf(file)
    policy.pal_renewal = 0.0
    found = outcomes(lab.cli.ok(*sync).json)
    assert found["0017"] == "done"
    second = leaf(file)
    assert second.public_key() != first.public_key()
    assert leaf(lab.state / "current.pem").subject == second.subject == signing.subject
    shown = lab.cli.ok("show", *state, "--json").json["key_establishment"]
    assert shown["certificate"]["serial"] == f"{second.serial_number:x}"
    assert shown["renewal"]["needed"] is False
    assert lab.cli.run("needs-renewal", *state, *USE).returncode == 1
    assert lab.cli.ok("abandon", *state, *USE, "--json").json == {"abandoned": False}
    renewed = lab.cli.ok("renew", *state, *USE, "--json").json
    assert Path(renewed["certificate_file"]) == file
    assert leaf(file) != second
    takes_keys(lab, state, tmp_path)
    is_looked_at(lab, state)


def test_n_01_its_key_in_a_tpm_opens_packages(lab: Lab, swtpm: Swtpm, tmp_path: Path) -> None:
    """K-03: ECDH in there; the certificate for signatures authenticates, and signs the receipt."""
    (tmp_path / "tpm").mkdir(mode=0o700)
    device, second = (f"tpm2:file={tmp_path}/tpm/{name}.tss2" for name in ("device", "establishing"))
    state, keys = ("--state", lab.state), lab.server.state / "keys-ca" / "root.pem"
    lab.server.policy.key_establishment = True
    lab.cli.ok(*lab.enroll_words(device))
    sync = ("sync", *state, "--json", "--key-establishment-key", second)
    assert outcomes(lab.cli.ok(*sync).json) == {"0014": "done"}
    publish(lab.server, "keys", key_file(tmp_path), f"{leaf(lab.state / 'current.pem').serial_number:x}", "--receipt")
    done = lab.cli.ok(*sync, "--keys-to", f"tpm2:dir={tmp_path}/tpm", "--keys-anchors", keys).json
    assert [one["outcome"] for one in done["steps"] if one["type"] == "0024"] == ["done"]
    assert [one["about"][:7] for one in done["outbox"]["sent"]] == ["receipt"]


def is_looked_at(lab: Lab, state: tuple[object, ...]) -> None:
    """`doctor` opens its key, too."""

    def found() -> dict[str, str]:
        (one,) = [
            one for one in lab.cli("doctor", *state, "--json").json["checks"] if one["check"] == "key-establishment"
        ]
        return dict(one)

    assert found()["status"] == "ok"
    assert "in hardware, not extractable" in found()["detail"]
    uri = lab.cli.ok("show", *state, "--json").json["key_establishment"]["key_uri"]
    lab.cli.ok("keys", "delete", uri)
    assert (found()["status"], "renew --use key-establishment" in found()["hint"]) == ("failed", True)
    lab.cli.ok("keys", "create", uri, "--type", "ec-p256")
    assert (found()["status"], "not the key of the certificate" in found()["detail"]) == ("failed", True)


def takes_keys(lab: Lab, state: tuple[object, ...], directory: Path) -> None:
    """Packages are encrypted to the newest certificate for key establishment, whatever was issued after it, and opened
    after the next renewal, too (K-03, KR-06)."""
    lab.server.policy.pal_renewal = 1.0
    lab.cli.ok("renew", *state)
    serial = f"{leaf(lab.state / 'current.pem').serial_number:x}"
    target, keys = directory / "symmetric", lab.server.state / "keys-ca" / "root.pem"
    target.mkdir(mode=0o700)
    publish(lab.server, "keys", key_file(directory), serial, "--receipt")
    with closing(Database(lab.server.state / "server.sqlite")) as database:
        recipient = recipient_of(address_for(serial, database), database, datetime.now(UTC))
    assert recipient == leaf(lab.state / "key-establishment" / "current.pem")
    lab.cli.ok("renew", *state, *USE)
    done = lab.cli.ok("sync", *state, "--json", "--keys-to", target, "--keys-anchors", keys).json
    assert [one["outcome"] for one in done["steps"] if one["type"] == "0024"] == ["done"]
    assert [one["about"][:7] for one in done["outbox"]["sent"]] == ["receipt"]
    assert list(target.iterdir())
