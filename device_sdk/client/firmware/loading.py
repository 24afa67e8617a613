"""From a package in a file to firmware that is installed and remembered, or to nothing at all (section 13 of the profile)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias

from cryptography import x509

from device_sdk.client.firmware.installers import Installer
from device_sdk.client.firmware.record_file import RecordFile
from device_sdk.errors import DeviceSdkError, FirmwareError, KeyStoreError, StateError
from device_sdk.protocols.crls import inputs_with
from device_sdk.protocols.firmware import FirmwarePolicy, FirmwareRecord, InstalledPackage, pending_of
from device_sdk.wire.cms.passes import Spool
from device_sdk.wire.cms.recipients import OpeningKey
from device_sdk.wire.content_constraints import ConstraintsMode
from device_sdk.wire.firmware import (
    MAX_IMAGE_BYTES,
    MAX_PACKAGE_BYTES,
    FirmwarePackage,
    LoadErrorCode,
    Unpacked,
    refused,
    unpack_package,
    verify_package,
)

MIN_RATE = 1024.0
"""Bytes a second."""


@dataclass(frozen=True)
class FirmwareRules:
    """What a device believes and takes.

    Attributes:
        anchors: who may sign firmware (AMB-20).
        policy: what is loaded, and into what.
        keys: what opens encrypted packages.
        require_signed: False takes packages that nobody signed, about which nothing can be checked (AMB-15).
        constraints: CMS content constraints in certificates of signers: "required", "if-present" or "off" (RFC 6010).
        revocation_lists: lists that are held; those of CAs that have nothing to do with `anchors` mean nothing.
        limit_bytes: the largest package.
        image_limit_bytes: the largest firmware.
        min_rate: bytes a second: a download that is slower for longer than the timeout of an exchange is given up.
        list_issuers: CA certificates that the lists lead through, where other keys signed them than those of the path.
    """

    anchors: Sequence[x509.Certificate]
    policy: FirmwarePolicy
    keys: Sequence[OpeningKey] = field(default=(), repr=False)
    require_signed: bool = True
    constraints: ConstraintsMode = "if-present"
    revocation_lists: Sequence[x509.CertificateRevocationList] = ()
    limit_bytes: int = MAX_PACKAGE_BYTES
    image_limit_bytes: int = MAX_IMAGE_BYTES
    min_rate: float = MIN_RATE
    list_issuers: Sequence[x509.Certificate] = ()


@dataclass
class Loading:
    """How far it came; what is known of a package that failed is for the report.

    Attributes:
        package: what was verified, or None before that.
        unpacked: the firmware, or None before that.
        record: what is installed.
    """

    package: FirmwarePackage | None = None
    unpacked: Unpacked | None = None
    record: FirmwareRecord = field(default_factory=FirmwareRecord)


Settled: TypeAlias = Callable[[bytes | None, bool], None]
"""Told whether something was installed: the firmware of that digest, or, None, everything that was about to be."""


@dataclass(frozen=True)
class Witness:
    """Told at the two moments between which a power cut leaves open what happened.

    Attributes:
        beginning: the installer is about to commit a package, whose firmware has that SHA-256.
        settled: it has, or has not.
    """

    beginning: Callable[[FirmwarePackage, bytes], None]
    settled: Settled


def load(  # what a load is made of
    file: Spool,
    rules: FirmwareRules,
    installer: Installer,
    record: RecordFile | None,
    now: datetime,
    loading: Loading,
    witness: Witness | None = None,
) -> None:
    """Verify, check, unpack, install, remember.

    Args:
        file: holds the package.
        rules: what is believed.
        installer: takes the firmware.
        record: what is installed; None remembers nothing, and so refuses no old version.
        now: the present.
        loading: is filled in as it goes on.
        witness: told what happens, or None.

    Raises:
        FirmwareError: the package is refused; nothing has changed.
        StateNotWritableError: no room; nothing has changed.
        DeviceSdkError: as the key, the record and the installer raise it.
    """
    held: AbstractContextManager[None] = record.held() if record else nullcontext()
    with held:
        if record:
            loading.record = recovered(record, installer, witness.settled if witness else None, goes_on=True)
        package = loading.package = verify_package(
            file,
            anchors=rules.anchors,
            now=now,
            require_signed=rules.require_signed,
            limit_bytes=rules.limit_bytes,
            inputs=inputs_with(rules.revocation_lists, anchors=rules.anchors, now=now, issuers=rules.list_issuers),
            constraints=rules.constraints,
        )
        if package.attributes is not None:
            rules.policy.check(package.attributes, loading.record)
            # whether there is room for its name is known before anything happens
            loading.record.committed(pending_of(package.attributes, b""))
        try:
            _install(file, package, rules, installer, record, loading, witness)
        except BaseException:
            installer.rollback()
            raise


def recovered(
    record: RecordFile, installer: Installer, settled: Settled | None = None, *, goes_on: bool = False
) -> FirmwareRecord:
    """The record, after an installation that a power cut ended was found to have happened or not; inside `held`.

    Args:
        record: where it is.
        installer: is asked what is active, and puts back what was there before if it is not what was being installed.
        settled: told what was found, before the record says so.
        goes_on: another package is about to be installed, which may mend what could not be put back: that is no error then,
            but left for the next time.

    Raises:
        StateError: the record cannot be used.
        FirmwareError: neither what was being installed nor what was there before is active; the record says so still.
        DeviceSdkError: as the installer raises it.
    """
    found = record.load()
    if found.pending is None:
        if settled:
            settled(None, True)  # the record is written after the installer was done
        return found
    before = replace(found, pending=None)
    happened = installer.is_active(found.pending.sha256)
    if settled:
        settled(found.pending.sha256, happened)
    if happened:
        after = _replaced(before.committed(found.pending), found.pending.package, installer)
    else:
        try:
            _put_back(before, installer)
        except FirmwareError:
            if goes_on:
                return before
            raise
        after = before
    record.save(after)
    return after


def _put_back(before: FirmwareRecord, installer: Installer) -> None:
    installer.undo()
    known = [one.sha256 for one in before.installed if one.sha256 and one.place == installer.place]
    if known and not any(map(installer.is_active, known)):
        raise refused(
            LoadErrorCode.OTHER_ERROR,
            "the power failed while firmware was being installed: that is not what the device uses, nor is what was there before",
            hint="look what the device runs, and have the server offer the newest package",
        )


def _replaced(record: FirmwareRecord, new: InstalledPackage, installer: Installer) -> FirmwareRecord:
    """Without what the new package took the place of; only the installer knows which names mean the same thing."""
    gone = []
    for one in record.installed:
        if one.name != new.name and one.sha256 and one.place == installer.place:
            with suppress(DeviceSdkError):  # nobody can say: then it is there
                if not installer.is_active(one.sha256):
                    gone.append(one)
    return record.without(gone)


def _install(
    file: Spool,
    package: FirmwarePackage,
    rules: FirmwareRules,
    installer: Installer,
    record: RecordFile | None,
    loading: Loading,
    witness: Witness | None,
) -> None:
    installer.begin()
    unpacked = unpack_package(file, package, installer.write, keys=rules.keys, limit_bytes=rules.image_limit_bytes)
    installer.stage(package.attributes)
    if record is None or package.attributes is None:
        installer.commit()
    else:
        pending = pending_of(package.attributes, unpacked.sha256, installer.place)
        record.save(loading.record.beginning(pending))
        if witness:
            witness.beginning(package, unpacked.sha256)
        # whatever becomes of the commit: what is pending is settled by asking the installer, next time at the latest
        installer.commit()
        loading.record = _replaced(loading.record.committed(pending), pending.package, installer)
        # it is installed, and no trouble of the record makes that an error: what it says is pending the next run settles
        with suppress(StateError, KeyStoreError):
            record.save(loading.record)
            if witness:
                witness.settled(unpacked.sha256, True)
    loading.unpacked = unpacked
