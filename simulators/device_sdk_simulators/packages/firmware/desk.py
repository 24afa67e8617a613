"""/firmware and /firmware/return (RFC 8295 section 6)."""

from __future__ import annotations

from collections.abc import Sequence

from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.est.site import Surroundings
from device_sdk_simulators.http.messages import HttpError, Request, Response
from device_sdk_simulators.packages.addresses import addresses_of
from device_sdk_simulators.packages.firmware.modules import Modules
from device_sdk_simulators.packages.firmware.reports import BadReportError, Report, read_report
from device_sdk_simulators.packages.firmware.shelf import NO_ITEM, REPORT_TYPE, FirmwareShelf, entry_of
from device_sdk_simulators.packages.own_keys import certificates_of, is_signed_by
from device_sdk_simulators.packages.pal_forms import Entry
from device_sdk_simulators.packages.returned import Return, require_short
from device_sdk_simulators.packages.shelf import Package, Shelf

RETURN = "return"


class FirmwareDesk:
    """Answers about firmware.

    Args:
        shared: memory, policy and clock of the server.
        shelf: all packages.
    """

    def __init__(self, shared: Surroundings, shelf: Shelf) -> None:
        self._shelf, self._clock, self._policy, self._database = shelf, shared.clock, shared.policy, shared.database
        self.firmware, self.modules = FirmwareShelf(shared.database), Modules(shared.database)

    def give(self, client: Client, package: Package) -> Response:
        """The package, from its file (F-02)."""
        path = self.firmware.file_of(package)
        if not path.exists():
            raise HttpError(404, "nothing of this kind is here for this client")
        sent = self._shelf.noting(client, package.place, self._clock)
        facts: dict[str, object] = {"identity": client.identity, "authentication": client.authentication}
        return Response(200, [("Content-Type", package.media_type)], file=path, facts=facts, sent=sent)

    def take(self, request: Request, client: Client, packages: Sequence[Package]) -> Response:
        """A receipt or an error (FR-02, FR-03, FR-07)."""
        require_short(request.body)
        try:
            report = read_report(request.body)
        except BadReportError as error:
            raise HttpError(400, f"not a signed report about firmware: {error}") from error
        own, shown = addresses_of(client)[1:2], client.certificate
        if not own or shown is None or not is_signed_by(report.message, certificates_of(client, self._database)):
            raise HttpError(403, "the report is signed by somebody else than who sends it")
        reported, only = self.firmware.hardware_of(own[0]), self._policy.firmware_registered
        elsewhere = self.firmware.is_reported_elsewhere(own[0], report.hardware)
        self.modules.check(own[0], shown, reported, report.hardware, registered_only=only, reported_elsewhere=elsewhere)
        item = self._item(report, client, packages)
        about = Return(own[0], item, report.message.digest)
        self.firmware.note_report(about, report.hardware, report.code, request.body, self._clock())
        facts: dict[str, object] = {"identity": client.identity, "firmware": item, "code": report.code}
        return Response(204, facts=facts)

    def wanted(self, client: Client, packages: Sequence[Package], base: str) -> list[Entry]:
        """An entry that asks for a report, if there is a package that was fetched and not reported about (P-09)."""
        own = addresses_of(client)[1:2]
        if not own:
            return []
        seen = self._shelf.fetches_of(client)
        fetched = {one.item: seen[one.place] for one in packages if one.place in seen}
        waiting = self.firmware.waiting(own[0], fetched)
        return [Entry(REPORT_TYPE, 0, f"{base}/firmware/{RETURN}")] if waiting else []

    def _item(self, report: Report, client: Client, packages: Sequence[Package]) -> str:
        """What it is about: a package this client was sent; without a name (RFC 4108 section 4.1.3) nobody knows which.

        Who reports without one may have had too little room for all of it, so that it was not sent to its end.
        """
        seen = self._shelf.fetches_of(client)
        sent = sorted((one for one in packages if one.place in seen), key=lambda one: seen[one.place])
        found = [one for one in sent if entry_of(one).name == report.name] if report.name else packages
        if not found:
            raise HttpError(400, "the report is about no package that was sent")
        return found[-1].item if report.name else NO_ITEM
