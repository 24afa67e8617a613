"""Package availability lists (RFC 8295 section 2.1): what `/pal` answers with, in XML and in JSON."""

from __future__ import annotations

from device_sdk.wire.pal.entry import CertificateName, IssuerSerial, PalEntry
from device_sdk.wire.pal.json_form import read_json
from device_sdk.wire.pal.reader import read_pal
from device_sdk.wire.pal.xml_form import read_xml

__all__ = ["CertificateName", "IssuerSerial", "PalEntry", "read_json", "read_pal", "read_xml"]
