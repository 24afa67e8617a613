"""/firmware and /firmware/return (RFC 8295 section 6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pyasn1.codec.der.decoder import decode
from pyasn1.error import PyAsn1Error
from pyasn1_alt_modules import rfc4108

from device_sdk_simulators.database import Database
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.http.messages import HttpError, Request, Response
from device_sdk_simulators.packages.addresses import addresses_of
from device_sdk_simulators.packages.firmware.reports import BadReportError, Report, read_report
from device_sdk_simulators.packages.firmware.shelf import REPORT_TYPE, FirmwareShelf, entry_of
from device_sdk_simulators.packages.pal_forms import Entry
from device_sdk_simulators.packages.shelf import Package, Shelf

RETURN = "return"
_NAME = str(rfc4108.id_on_hardwareModuleName)


class FirmwareDesk:
    """Answers about firmware.

    Args:
        database: the server's.
        shelf: all packages.
        clock: the time.
    """

    def __init__(self, database: Database, shelf: Shelf, clock: Callable[[], datetime]) -> None:
        self._shelf, self._clock = shelf, clock
        self.firmware = FirmwareShelf(database)

    def give(self, client: Client, package: Package) -> Response:
        """The package, from its file (F-02)."""
        path = self.firmware.file_of(package)
        if not path.exists():
            raise HttpError(404, "nothing of this kind is here for this client")
        self._shelf.note_fetch(client, package.place, self._clock())
        facts: dict[str, object] = {"identity": client.identity, "authentication": client.authentication}
        return Response(200, [("Content-Type", package.media_type)], file=path, facts=facts)

    def take(self, request: Request, client: Client, packages: Sequence[Package]) -> Response:
        """A receipt or an error (FR-02, FR-03, FR-07)."""
        try:
            report = read_report(request.body)
        except BadReportError as error:
            raise HttpError(400, f"not a signed report about firmware: {error}") from error
        own = addresses_of(client)[1:2]
        if not own or client.certificate is None or _key(report.signer) != _key(client.certificate):
            raise HttpError(403, "the report is signed by somebody else than who sends it")
        known = _module_of(client.certificate) or self.firmware.hardware_of(own[0])
        if known is not None and known != report.hardware:
            raise HttpError(403, "the report is about another module than the one that sends it")
        item = self._item(report, client, packages)
        self.firmware.note_report(own[0], item, report.hardware, report.code, request.body, self._clock())
        facts: dict[str, object] = {"identity": client.identity, "firmware": item, "code": report.code}
        return Response(204, facts=facts)

    def wanted(self, client: Client, packages: Sequence[Package], base: str) -> list[Entry]:
        """An entry that asks for a report, if there is a package that was fetched and not reported about (P-09)."""
        own = addresses_of(client)[1:2]
        if not own:
            return []
        seen, told = self._shelf.fetches_of(client), self.firmware.reported(own[0])
        open_ones = [one for one in packages if one.place in seen and one.item not in told]
        return [Entry(REPORT_TYPE, 0, f"{base}/firmware/{RETURN}")] if open_ones else []

    def _item(self, report: Report, client: Client, packages: Sequence[Package]) -> str:
        """What it is about: a package this client was sent."""
        seen = self._shelf.fetches_of(client)
        sent = sorted((one for one in packages if one.place in seen), key=lambda one: seen[one.place])
        found = [one for one in sent if not report.name or entry_of(one).name == report.name]
        if not found:
            raise HttpError(400, "the report is about no package that was sent")
        return found[-1].item


def _key(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _module_of(certificate: x509.Certificate) -> str | None:
    """Type and serial number out of a hardwareModuleName."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        for one in names.get_values_for_type(x509.OtherName):
            if one.type_id.dotted_string == _NAME:
                found = decode(one.value, asn1Spec=rfc4108.HardwareModuleName())[0]
                return f"{found['hwType']} {bytes(found['hwSerialNum']).hex()}"
    except (x509.ExtensionNotFound, PyAsn1Error):
        pass
    return None
