"""`device-sdk anchors import` of a TrustAnchorList (RFC 5914), as the reference server writes it for devices in the factory."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from device_sdk_simulators.packages.tamp.anchors import Form
from device_sdk_simulators.packages.tamp.authority import TampAuthority
from pyasn1.codec.der.decoder import decode
from pyasn1_alt_modules import rfc5652

from device_sdk.cli.main import main
from device_sdk.wire import der
from device_sdk.wire.tamp.anchors import MAX_ANCHORS

NAMES = ("management", "management-2")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TampAuthority:
    made = TampAuthority(tmp_path_factory.mktemp("authority"), datetime.now(UTC))
    made.make("management-2", "ec-p256")
    return made


def imported(state: Path, capsys: pytest.CaptureFixture[str], *files: Path, code: int = 0) -> str:
    """What is said about them."""
    capsys.readouterr()
    assert main(["anchors", "import", *map(str, files), "--state", str(state)]) == code
    shown = capsys.readouterr()
    return shown.err if code else shown.out


def bare(content_info: bytes) -> bytes:
    return bytes(decode(content_info, asn1Spec=rfc5652.ContentInfo())[0]["content"])


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("form", ["info", "certificate"])
def test_t_16_each_anchor_of_a_list_is_as_if_it_came_alone(
    authority: TampAuthority, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: Form, wrapped: bool
) -> None:
    authority.export(tmp_path, form, NAMES)
    file = tmp_path / "anchors.der"
    if not wrapped:
        file.write_bytes(bare(file.read_bytes()))
    said = imported(tmp_path / "list", capsys, file)
    assert said == imported(tmp_path / "single", capsys, *(tmp_path / f"{name}.der" for name in NAMES))
    assert len(said.splitlines()) == len(NAMES)
    stores = [json.loads((tmp_path / name / "tamp.json").read_text()) for name in ("list", "single")]
    assert stores[0]["anchors"] == stores[1]["anchors"]
    assert imported(tmp_path / "list", capsys, file) == "nothing new\n"


def test_t_16_a_form_that_is_not_kept_is_named(
    authority: TampAuthority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority.export(tmp_path, "tbs", NAMES)
    said = imported(tmp_path / "state", capsys, tmp_path / "anchors.der", code=2)
    assert f"{tmp_path}/anchors.der, anchor 1: " in said
    assert "TBSCertificate" in said
    assert "TBSCertificate" in imported(tmp_path / "state", capsys, tmp_path / "management-2.der", code=2)
    authority.export(tmp_path / "good", "info", NAMES)
    mixed = tmp_path / "mixed.der"
    mixed.write_bytes(
        der.sequence((tmp_path / "good" / "management-2.der").read_bytes(), (tmp_path / "management.der").read_bytes())
    )
    assert f"{mixed}, anchor 2: " in imported(tmp_path / "state", capsys, mixed, code=2)
    assert not (tmp_path / "state" / "tamp.json").exists(), "nothing of it"


def test_a_list_that_is_too_long_and_what_is_none(
    authority: TampAuthority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority.export(tmp_path, "info", NAMES)
    one, file = (tmp_path / "management-2.der").read_bytes(), tmp_path / "x.der"
    file.write_bytes(der.sequence(*[one] * (MAX_ANCHORS + 1)))
    assert f"{file}: more than {MAX_ANCHORS} trust anchors" in imported(tmp_path / "state", capsys, file, code=2)
    whole = (tmp_path / "anchors.der").read_bytes()
    for broken in (whole[:-1], whole + b"\0", der.sequence(), bare(whole)[:-1], der.sequence(der.tlv(2, b"\1"))):
        file.write_bytes(broken)
        assert f"{file} holds no readable certificate" in imported(tmp_path / "state", capsys, file, code=2)
    file.write_bytes(der.sequence(der.sequence(der.sequence())))
    assert f"{file}, anchor 1: no trust anchor that can be kept" in imported(tmp_path / "state", capsys, file, code=2)
