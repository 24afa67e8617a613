"""Labels that scanners can read, and that stay labels whatever a device is called."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from PIL import Image, ImageChops

from device_sdk.errors import ConfigurationError
from device_sdk.station.labels import Label, html, png, svg, zpl
from device_sdk.station.ledger import DeviceRecord
from tests.station.scanner import scan

PRINT = "0123456789abcdef" * 4
HOSTILE = '"><script>alert(1)</script>&amp;^FS^XZ~JA'
NAMES = ["SN-0042", HOSTILE, "x" * 64, "Gerät 7 ½", "]]>--><!--"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sha256", [PRINT, None])
def test_the_code_is_read_by_a_foreign_decoder(tmp_path: Path, name: str, sha256: str | None) -> None:
    (tmp_path / "code.png").write_bytes(png(Label(name, sha256)))
    assert scan(tmp_path / "code.png") == [f"{name}\nsha256:{PRINT}" if sha256 else name]
    with Image.open(tmp_path / "code.png") as picture:
        dark = ImageChops.invert(picture.convert("L")).getbbox()
        assert dark == (40, 40, picture.width - 40, picture.height - 40), (
            "four modules of white around it (ISO/IEC 18004)"
        )


@pytest.mark.parametrize("name", NAMES)
def test_a_label_is_well_formed_and_says_it_in_letters_too(name: str) -> None:
    root = ET.fromstring(svg(Label(name, PRINT, "<b>Router</b>")))  # noqa: S314  # our own
    texts = [one.text or "" for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "".join(texts) == f"<b>Router</b>{name}{PRINT}"
    assert {one.tag.partition("}")[2] for one in root.iter()} == {"svg", "rect", "path", "g", "text"}
    assert root.get("aria-label") == name


@pytest.mark.slow
def test_a_printed_sheet_is_scanned(tmp_path: Path) -> None:
    """HTML to PDF to a picture of 200 dots an inch: every code is there, and each label on one page."""
    from weasyprint import HTML

    labels = [Label(f"SN-{number:04}", PRINT, "Router") for number in range(4)] + [Label(name, PRINT) for name in NAMES]
    HTML(string=html(labels)).write_pdf(tmp_path / "sheet.pdf")
    subprocess.run(["pdftoppm", "-r", "200", "-gray", "sheet.pdf", "page"], cwd=tmp_path, check=True, timeout=100)
    (page,) = tmp_path.glob("page*")
    assert scan(page) == sorted(label.payload for label in labels)


def test_zpl_has_no_commands_but_ours() -> None:
    text = zpl(Label(HOSTILE, PRINT, "^XA~"))
    commands = re.findall(r"[\^~][A-Z][A-Z0-9]", text)
    assert commands.count("^XA") == commands.count("^XZ") == 1
    assert "~" not in text
    fields = re.findall(r"\^FH\^FD(.*?)\^FS", text)
    said = [re.sub(r"_([0-9A-F]{2})", lambda match: chr(int(match[1], 16)), field) for field in fields]
    assert said[0] == f"MA,{HOSTILE}\nsha256:{PRINT}"
    assert "".join(said[1:]) == f"^XA~{HOSTILE}{PRINT}"


def test_only_what_is_provisioned_gets_a_label() -> None:
    facts: dict[str, object] = {"certificate_sha256": PRINT.upper(), "model": "Router"}
    for state in ("provisioned", "claimed"):
        assert Label.of(DeviceRecord("SN1", state, facts=facts, proved=True)) == Label("SN1", PRINT, "Router")
        assert Label.of(DeviceRecord("SN1", state, facts=facts)) == Label("SN1", None, "Router"), "it proved none"
    for state in ("seen", "released", "failed"):
        with pytest.raises(ConfigurationError, match=f"is {state}"):
            Label.of(DeviceRecord("SN1", state, facts=facts))
    odd: dict[str, object] = {"certificate_sha256": "<b>", "model": 7}
    assert Label.of(DeviceRecord("SN1", "provisioned", facts=odd, proved=True)) == Label("SN1")


def test_a_label_without_a_proof_says_so() -> None:
    """It must not look like that of an enrolled device."""
    label = Label("SN1", None, "Router")
    for text in (svg(label), html([label]), zpl(label)):
        assert "NOT ENROLLED" in text
        assert "NOT ENROLLED" not in text.replace("NOT ENROLLED", "", 1)
    assert label.payload == "SN1"
    for text in (svg(Label("SN1", PRINT)), zpl(Label("SN1", PRINT))):
        assert "ENROLLED" not in text
