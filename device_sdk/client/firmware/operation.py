"""/firmware and /firmware/return of one EST service."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from device_sdk.client.est.full_cmc_transaction import Service
from device_sdk.client.est.patience import Patience, Progress
from device_sdk.client.est.returns import ReturnMessage, give_back
from device_sdk.client.firmware.download import Download, Transferred
from device_sdk.client.firmware.installers import WAITS_FOR_RESTART, Installer
from device_sdk.client.firmware.loading import FirmwareRules, Loading, Witness, load, recovered
from device_sdk.client.firmware.record_file import RecordFile
from device_sdk.errors import ConfigurationError, DeviceSdkError, FirmwareError, StateNotWritableError
from device_sdk.model.trust import TlsIdentity
from device_sdk.protocols.est.returns import return_path, signed_media_type
from device_sdk.protocols.est.urls import Operation
from device_sdk.protocols.firmware import (
    error_for,
    firmware_request,
    has_firmware,
    receipt_for,
    require_own,
    signed_report,
)
from device_sdk.wire.firmware import FirmwareAttributes, FirmwarePackage, LoadError, LoadReceipt

DOWNLOAD_S = 3600.0
"""The most that one download takes, however fast it is."""


@dataclass(frozen=True)
class InstalledFirmware:
    """What was installed.

    Attributes:
        attributes: what the signer says of it; None if nobody signed.
        size: bytes.
        sha256: of the firmware.
        reported: whether the server took a receipt; None if none was asked for, or somebody keeps it until then.
        problem: why it did not.
    """

    attributes: FirmwareAttributes | None
    size: int
    sha256: bytes
    reported: bool | None = None
    problem: DeviceSdkError | None = None


class Firmware:
    """Fetches and installs; `EstClient.packages.firmware`.

    Args:
        service: the EST service.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def install(  # noqa: PLR0913  # what is not needed has a default
        self,
        installer: Installer,
        rules: FirmwareRules,
        *,
        directory: str | os.PathLike[str],
        record: RecordFile | None = None,
        reporter: TlsIdentity | None = None,
        target: str | None = None,
        wait_s: float | None = None,
        progress: Progress | None = None,
        transferred: Transferred | None = None,
        wanted: Callable[[bytes], bool] | None = None,
    ) -> InstalledFirmware | None:
        """Fetch a package, and install what is in it if everything about it is right.

        Args:
            installer: takes the firmware.
            rules: what is believed and taken.
            directory: where the package waits in a file without a name; needs as much room as that.
            record: what is installed; None refuses no old version.
            reporter: certificate and key of the module, which sign a receipt, or an error if the package is refused (FR-06);
                None reports nothing.
            target: the request target a step of `packages.list` has; by default what the server gives without a name.
            wait_s: total seconds to wait while the server answers "later" (202, 429, 503); None does not wait.
            progress: told before each wait.
            transferred: told how much has come.
            wanted: told the SHA-256 of what came; False leaves it alone.

        Returns:
            What was installed; None if the server has nothing (AMB-22), or it was not wanted.

        Raises:
            FirmwareError: the package is refused; nothing has changed, and `reported` says whether the server was told. Or
                the installer takes nothing before the device has restarted, and nothing was fetched.
            StateNotWritableError: no room; likewise.
            HttpStatusError: the server refused.
            ConfigurationError: a target that is not of this operation; or the reporter is another module.
        """
        if reporter is not None:
            require_own(rules.policy.module, reporter.chain[0])
        target = self._target(target)
        if not installer.is_ready():
            raise FirmwareError("nothing was fetched, as nothing can be installed now", hint=WAITS_FOR_RESTART)
        installer.tidy()
        patience = Patience(self._service.clock, wait_s, progress)
        loading, witness = Loading(), self._witness(rules, reporter)
        download = Download(directory, transferred)
        told: type[DeviceSdkError] = StateNotWritableError  # other trouble on the way is no word about the package
        try:
            with download:
                request = firmware_request(target, download, rules.limit_bytes, DOWNLOAD_S, rules.min_rate)
                response = self._service.exchanges.send(request, patience, may_pend=True)
                if not has_firmware(response, self._service.clock.now()):
                    return None
                if wanted and not wanted(download.sha256()):
                    return None
                told = DeviceSdkError
                load(download.file, rules, installer, record, self._service.clock.now(), loading, witness)
        except DeviceSdkError as error:
            # the package is gone by now: what there is to tell may have to wait on the disk that it filled
            if isinstance(error, told):
                self._tell_error(error, rules, loading, reporter, patience)
            raise
        return self._result(loading, rules, reporter, patience)

    def report(self, report: LoadReceipt | LoadError, reporter: TlsIdentity, patience: Patience | None = None) -> None:
        """Sign a receipt or an error, and give it to the server (section 6.2).

        Raises:
            HttpStatusError: the server did not take it.
            KeyStoreError: the key could not sign.
            TransportError: it could not be sent.
        """
        give_back(self._service, self._message(report, reporter), patience)

    def recover(self, installer: Installer, record: RecordFile) -> None:
        """Find out what became of an installation that a power cut ended, and of the receipt for it.

        Args:
            installer: the one that was used.
            record: the one that was used.

        Raises:
            StateError: the record cannot be used.
            DeviceSdkError: as the installer raises it.
        """
        with record.held():
            recovered(record, installer, self._settled)

    def _settled(self, sha256: bytes | None, happened: bool) -> None:
        if self._service.returns is not None:
            event = sha256.hex() if sha256 is not None else None
            self._service.returns.settle(return_path(Operation.FIRMWARE), event, happened=happened)

    def _witness(self, rules: FirmwareRules, reporter: TlsIdentity | None) -> Witness | None:
        """Keeps the receipt before the installer commits, where somebody keeps receipts."""
        if self._service.returns is None:
            return None

        def beginning(package: FirmwarePackage, sha256: bytes) -> None:
            receipt = receipt_for(rules.policy.module, package) if reporter else None
            if receipt is not None and reporter is not None:
                give_back(self._service, self._message(receipt, reporter, sha256.hex()), None)

        return Witness(beginning, self._settled)

    def _message(self, report: LoadReceipt | LoadError, reporter: TlsIdentity, event: str = "") -> ReturnMessage:
        is_receipt = isinstance(report, LoadReceipt)
        media_type = signed_media_type("firmwareLoadReceipt" if is_receipt else "firmwareLoadError")
        body = signed_report(report, reporter, self._service.clock.now())
        what = "receipt" if is_receipt else f"error {int(report.code)}"  # type: ignore[union-attr]  # one of the two
        name = report.name or "unknown"
        return ReturnMessage(return_path(Operation.FIRMWARE), media_type, body, f"{what} for firmware {name}", event)

    def _target(self, target: str | None) -> str:
        usual = self._service.endpoint.target(Operation.FIRMWARE)
        if target is not None and target != usual and not target.startswith(f"{usual}/"):
            raise ConfigurationError(f"{target[:200]}: firmware is at {usual}")
        return target or usual

    def _result(
        self, loading: Loading, rules: FirmwareRules, reporter: TlsIdentity | None, patience: Patience
    ) -> InstalledFirmware:
        package, unpacked = loading.package, loading.unpacked
        if package is None or unpacked is None:  # not reached: `load` fills both in
            raise FirmwareError("nothing was installed")
        receipt = receipt_for(rules.policy.module, package) if reporter else None
        reported, problem = None, None
        if receipt is not None and reporter is not None and self._service.returns is None:
            try:
                self.report(receipt, reporter, patience)
                reported = True
            except DeviceSdkError as error:
                reported, problem = False, error
        return InstalledFirmware(package.attributes, unpacked.size, unpacked.sha256, reported, problem)

    def _tell_error(
        self,
        error: DeviceSdkError,
        rules: FirmwareRules,
        loading: Loading,
        reporter: TlsIdentity | None,
        patience: Patience,
    ) -> None:
        """Tell the server, if it is to be told, which changes nothing about the error."""
        if reporter is None:
            return
        attributes = loading.package.attributes if loading.package else None
        report = error_for(rules.policy.module, error, attributes.name if attributes else None, loading.record)
        told = True
        try:
            self.report(report, reporter, patience)
        except DeviceSdkError:
            told = False
        if isinstance(error, FirmwareError):
            error.reported = told
