"""A package availability list in XML and in JSON (RFC 8295 sections 2.1.2 and 2.1.3)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

NAMESPACE = "urn:ietf:params:xml:ns:pal"


@dataclass(frozen=True)
class Entry:
    """One entry.

    Attributes:
        type: four digits.
        size: bytes of the package, 0 where the client begins.
        uri: where it is, or None.
        iasn: issuer (RFC 4514) and serial number of the certificate it is about, or None.
        date: when the client was last sent it, or None.
    """

    type: str
    size: int
    uri: str | None = None
    iasn: tuple[str, int] | None = None
    date: datetime | None = None


def to_json(entries: Sequence[Entry]) -> bytes:
    """An array of objects."""
    return json.dumps([_object(one) for one in entries], ensure_ascii=False).encode()


def to_xml(entries: Sequence[Entry]) -> bytes:
    """A `pal` element."""
    ET.register_namespace("", NAMESPACE)
    root = ET.Element(f"{{{NAMESPACE}}}pal")
    for one in entries:
        _add(ET.SubElement(root, f"{{{NAMESPACE}}}message"), _object(one))
    written: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return written


def _object(entry: Entry) -> dict[str, object]:
    date = {"date": _text(entry.date)} if entry.date else {}
    if entry.iasn is None:
        info: dict[str, object] = {"uri": entry.uri}
    else:
        info = {"iasn": {"issuer": entry.iasn[0], "serial": entry.iasn[1]}}
    return {"type": entry.type, **date, "size": entry.size, "info": info}


def _add(parent: ET.Element, members: dict[str, object]) -> None:
    for name, value in members.items():
        element = ET.SubElement(parent, f"{{{NAMESPACE}}}{name}")
        if isinstance(value, dict):
            _add(element, value)
        else:
            element.text = str(value)


def _text(moment: datetime) -> str:
    """P-07: whole seconds, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
