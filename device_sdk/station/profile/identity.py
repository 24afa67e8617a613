"""[identity] and [device]: which devices are taken, and what they are given."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from device_sdk.station.profile.tables import Table
from device_sdk.station.profile.template import MAX_BYTES, Template

KNOWN = ("skip", "refuse", "again")
IN_CERTIFICATE = ("serial-number", "common-name", "any")
_OUI = re.compile(r"[0-9a-f]{2}:[0-9a-f]{2}:[0-9a-f]{2}")
MAX_ALLOWED_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class IdentityTable:
    """[identity].

    Attributes:
        serial_number: what serial numbers look like, as a whole; None for anything printable.
        allowed: file with the serial numbers that are expected, one a line; None for any.
        oui: the first three bytes that MAC addresses may begin with; empty for any.
        macs: how many MAC addresses a device has to name, at least.
        known: what becomes of a device that the ledger has as provisioned: "skip" leaves it alone, "refuse" makes it a
            failure, "again" provisions it anew.
        in_certificate: where the serial number has to be in the certificate: the subject's serialNumber (or hardwareModuleName),
            its common name, or either.
    """

    serial_number: re.Pattern[str] | None = None
    allowed: Path | None = None
    oui: tuple[str, ...] = ()
    macs: int = 0
    known: str = "skip"
    in_certificate: str = "any"


@dataclass(frozen=True)
class DeviceTable:
    """[device].

    Attributes:
        config: what its configuration is made from; None leaves the one it has, and there is no step "configure".
        anchors: PEM file with the trust anchors it gets with that; None for those of [est].
    """

    config: Template | None = None
    anchors: Path | None = None


def identity_table(table: Table) -> IdentityTable:
    """Read [identity]; raises ConfigurationError."""
    oui = tuple(text.lower().replace("-", ":") for text in table.texts("oui"))
    for one in oui:
        if not _OUI.fullmatch(one):
            raise table.error("oui", f"{one!r} is not three bytes", hint="write it as 02:00:5e")
    found = IdentityTable(
        serial_number=table.pattern("serial_number"),
        allowed=table.path("allowed"),
        oui=oui,
        macs=table.whole("macs", 0, least=0, most=64),
        known=table.text("known", "skip", choices=KNOWN),
        in_certificate=table.text("in_certificate", "any", choices=IN_CERTIFICATE),
    )
    table.end()
    return found


def device_table(table: Table) -> DeviceTable:
    """Read [device]; raises ConfigurationError."""
    text, file = table.text("config", "", limit=MAX_BYTES), table.path("config_file")
    if text and file:
        raise table.error("config_file", "does not go together with config")
    if file:
        text = read_text(table, "config_file", file, MAX_BYTES)
    template = Template.parse(text, str(file or f"{table.file}: [device] config")) if text else None
    found = DeviceTable(template, table.path("anchors"))
    table.end()
    return found


def read_text(table: Table, key: str, file: Path, limit: int) -> str:
    """A file that a profile names, in UTF-8; raises ConfigurationError."""
    try:
        with file.open("rb") as stream:
            data = stream.read(limit + 1)
        if len(data) <= limit:
            return data.decode()
    except OSError as error:
        raise table.error(key, f"names {file}, which cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise table.error(key, f"names {file}, which is not UTF-8") from error
    raise table.error(key, f"names {file}, which is larger than {limit} bytes")
