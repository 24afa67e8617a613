"""`sync` and the packages that change the device: symmetric keys and firmware, each once, each confirmed (section 13 of the profile)."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from device_sdk_simulators.packages.firmware.layers import ContentKey
from device_sdk_simulators.packages.firmware.making import Encryption
from pyasn1.codec.der.decoder import decode
from pyasn1_alt_modules import rfc4108, rfc7191

from device_sdk.client.device.sync import Deliveries, FirmwareDelivery, KeyDelivery, StepState
from device_sdk.client.est.symmetric_keys import KeyPackagePolicy
from device_sdk.client.firmware import FileInstaller, FirmwarePolicy, FirmwareRules, HardwareModule
from device_sdk.errors import (
    ConfigurationError,
    FirmwareError,
    KeyExistsError,
    KeyPackageUntrustedError,
    RolledBackError,
    StateNotWritableError,
)
from device_sdk.wire.cms.signed_data import read_signed_data
from tests.est.pki import new_key
from tests.est.scripted_server import http
from tests.firmware.making import HARDWARE, IMAGE, NOTES, PACKAGE, Maker
from tests.packages.sealing import Sealer, key_package, receipt_request, written
from tests.packages.test_symmetric_keys import unsealed

DONE, EARLIER, FAILED = StepState.DONE, StepState.EARLIER, StepState.FAILED
KEYS, RECEIPT = ("0024", "symmetrickeys/k-1", 900), ("0025", "symmetrickeys/return", 0)
FIRMWARE, LOADED = ("0026", "firmware/f-1", 5000), ("0027", "firmware/return", 0)


@pytest.fixture(scope="module")
def sealer() -> Sealer:
    return Sealer()


@pytest.fixture(scope="module")
def maker() -> Maker:
    return Maker()


class Bench:
    """What the server gives, what it was told, and where things go on the device."""

    def __init__(self, synced, sealer: Sealer, maker: Maker, directory: Path) -> None:
        self.synced, self.sealer, self.maker = synced, sealer, maker
        sealer.device = synced.certificate
        self.keys, self.image = directory / "keys", directory / "firmware" / "image"
        self.keys.mkdir(mode=0o700)
        self.image.parent.mkdir()
        self.told: list[bytes] = []
        self.status = 204
        synced.server.handlers["return"] = self._take
        self.give("k-1", sealer.seal(request=receipt_request()))
        self.give("f-1", maker.make())

    def give(self, place: str, message: bytes) -> None:
        answer = http(200, message, ("Content-Type", "application/cms"))
        self.synced.server.handlers[place] = lambda _: answer

    def deliveries(
        self,
        *,
        replace: bool = False,
        returns: bool = True,
        recipient=None,
        again=False,
        hardware=HARDWARE,
        installer=None,
    ) -> Deliveries:
        policy = KeyPackagePolicy(self.sealer.anchors, receipt_recipient=recipient)
        rules = FirmwareRules(self.maker.anchors, FirmwarePolicy(HardwareModule(hardware, b"\0\xa1")))
        takes = installer or FileInstaller(self.image)
        return Deliveries(
            keys=lambda: KeyDelivery(policy, self.keys, replace=replace, returns=returns),
            firmware=lambda: FirmwareDelivery(rules, takes, self.image.parent, returns=returns, again=again),
        )

    def sync(self, *entries, **options):
        self.synced.entries = list(entries)
        self.told.clear()
        return self.synced.device.sync(deliveries=self.deliveries(**options))

    def states(self, report) -> list[tuple[str, StepState]]:
        return self.synced.outcomes(report)

    def stored(self) -> dict[str, str]:
        found = [json.loads(path.read_text()) for path in self.keys.glob("*")]
        return {one["key_id"]: one["value"] for one in found}

    def _take(self, seen):
        self.told.append(seen.body)
        return http(self.status)


@pytest.fixture
def bench(synced, sealer, maker, tmp_path) -> Bench:
    return Bench(synced, sealer, maker, tmp_path)


def content(message: bytes, spec):
    found, rest = decode(read_signed_data(message).content, asn1Spec=spec)
    assert not rest
    return found


def test_kr_06_keys_are_stored_and_confirmed(bench):
    report = bench.sync(KEYS)
    assert bench.states(report) == [("0024", DONE)]
    assert list(bench.stored()) == ["k1"]
    (message,) = bench.told
    assert bytes(content(message, rfc7191.KeyPackageReceipt())["receiptOf"]["pkgID"]) == b"pkg-1"
    assert [one.about for one in report.delivery.sent] == [f"receipt for package {b'pkg-1'.hex()}"]
    assert bench.synced.device.state.check() == ()
    assert (bench.synced.device.state.outbox.pending(), bench.synced.device.state.outbox.held()) == ((), ())


def test_kr_08_an_encrypted_receipt_goes_by_way_of_the_outbox(bench):
    key = new_key()
    bench.give("k-1", bench.sealer.seal(request=receipt_request(encrypt=True)))
    bench.sync(KEYS, recipient=bench.sealer.ca.certify("returns", key.public_key()))
    (message,) = bench.told
    assert bytes(content(unsealed(message, key), rfc7191.KeyPackageReceipt())["receiptOf"]["pkgID"]) == b"pkg-1"


def test_fr_06_firmware_is_installed_and_confirmed(bench):
    report = bench.sync(FIRMWARE)
    assert bench.states(report) == [("0026", DONE)]
    assert bench.image.read_bytes() == IMAGE
    (message,) = bench.told
    assert bytes(content(message, rfc4108.FirmwarePackageLoadReceipt())["hwSerialNum"]) == b"\0\xa1"
    assert bench.synced.device.state.outbox.held() == ()
    assert bench.synced.device.state.check() == ()


def test_a_package_that_was_dealt_with_is_not_dealt_with_again(bench):
    """Offered again without a date it is fetched, and known by its bytes; with a date it is not even fetched (P-08)."""
    bench.sync(KEYS, FIRMWARE)
    before = {path: path.stat().st_ino for path in (*bench.keys.iterdir(), bench.image)}
    bench.synced.asked()
    report = bench.sync(KEYS, FIRMWARE)
    assert bench.states(report) == [("0024", EARLIER), ("0026", EARLIER)]
    assert "GET firmware/f-1" in bench.synced.asked()
    dated = [bench.synced.entry(*one) | {"date": "2026-06-01T00:00:00Z"} for one in (KEYS, FIRMWARE)]
    assert bench.states(bench.sync(*dated)) == [("0024", EARLIER), ("0026", EARLIER)]
    assert bench.synced.asked() == ["GET pal"]
    assert {path: path.stat().st_ino for path in before} == before
    assert bench.told == []


def test_another_package_at_the_same_place_is_dealt_with(bench):
    bench.sync(KEYS, FIRMWARE)
    bench.give("k-1", bench.sealer.seal(package=key_package(written("k2")), request=receipt_request(b"pkg-2")))
    bench.give("f-1", bench.maker.make(IMAGE[1:]))
    dated = bench.synced.entry(*KEYS[:2], 901) | {"date": "2026-06-01T00:00:00Z"}
    assert bench.states(bench.sync(dated, FIRMWARE)) == [("0024", DONE), ("0026", DONE)]
    assert sorted(bench.stored()) == ["k1", "k2"]
    assert bench.image.read_bytes() == IMAGE[1:]
    assert len(bench.told) == 2


@pytest.mark.parametrize(("entry", "asks"), [(KEYS, RECEIPT), (FIRMWARE, LOADED)])
def test_kr_06_fr_06_a_receipt_is_sent_again_if_the_list_asks(bench, entry, asks):
    report = bench.sync(asks)
    assert bench.states(report) == [(asks[0], StepState.SKIPPED)]
    assert bench.told == []
    bench.sync(entry)
    (first,) = bench.told
    report = bench.sync(entry, asks)
    assert bench.states(report) == [(entry[0], EARLIER), (asks[0], DONE)]
    assert bench.told == [first]
    bench.sync(asks)
    assert bench.told == [first], "also if the package is not on the list any more"


def test_kr_06_fr_06_what_the_server_took_is_not_sent_again_for_ever(bench):
    """The list does not say which report is missing, and the server may never find it among those of this device."""
    bench.sync(KEYS, FIRMWARE)
    sent = []
    for _ in range(5):
        report = bench.sync(KEYS, RECEIPT, FIRMWARE, LOADED)
        sent.append(len(bench.told))
    assert sent == [2, 2, 2, 0, 0]
    assert dict(bench.states(report))["0025"] == StepState.SKIPPED
    bench.give("k-1", bench.sealer.seal(package=key_package(written("k2")), request=receipt_request(b"pkg-2")))
    assert len(bench.sync(KEYS, FIRMWARE).delivery.sent) == 1, "another package is another matter"


@pytest.mark.parametrize(("entry", "asks"), [(KEYS, RECEIPT), (FIRMWARE, LOADED)])
def test_kr_06_fr_06_what_never_got_to_the_server_does_not_count(bench, entry, asks):
    """Put into the outbox and lost there is not delivered; what the server had counts, whatever it said."""
    bench.sync(entry)
    (first,) = bench.told
    outbox = bench.synced.device.state.outbox
    bench.status = 503
    for _ in range(5):
        bench.sync(entry, asks)
        (waits,) = outbox.pending()
        outbox.drop(waits.id, "newer ones wait, too")
    for status, sent in ((204, [first]), (400, [first]), (204, [first]), (204, [])):
        bench.status = status
        bench.sync(entry, asks)
        assert bench.told == sent


def test_kr_06_a_receipt_nobody_asked_for_in_the_package_is_kept_for_the_list(bench):
    bench.give("k-1", bench.sealer.seal(request=receipt_request(wanted=False)))
    bench.sync(KEYS)
    assert bench.told == []
    bench.sync(KEYS, RECEIPT)
    assert len(bench.told) == 1


@pytest.mark.parametrize(("entry", "asks"), [(KEYS, RECEIPT), (FIRMWARE, LOADED)])
def test_a_receipt_that_does_not_arrive_waits_for_the_next_run(bench, entry, asks):
    bench.status = 503
    report = bench.sync(entry, asks)
    assert bench.states(report) == [(entry[0], DONE), (asks[0], DONE)]
    assert not report.failed
    ((waits, _),) = report.delivery.waiting
    assert waits.tries == 0
    bench.status = 204
    assert len(bench.sync().delivery.sent) == 1
    assert bench.told == [waits.body]


def test_k_06_a_package_that_is_refused_is_told_once_and_again_if_asked(bench):
    stranger = Sealer()
    stranger.device = bench.synced.certificate
    bench.give("k-1", stranger.seal())
    report = bench.sync(KEYS, FIRMWARE)
    assert bench.states(report) == [("0024", FAILED), ("0026", DONE)]
    assert isinstance(bench.synced.result(report, "0024").error, KeyPackageUntrustedError)
    error = content(bench.told[0], rfc7191.KeyPackageError())
    assert int(error["errorCode"]["enum"]) == 10
    assert bench.states(bench.sync(KEYS)) == [("0024", FAILED)]
    assert bench.told == [], "told already"
    bench.sync(KEYS, RECEIPT)
    assert len(bench.told) == 1
    assert bench.stored() == {}


def test_f_08_firmware_that_is_refused_is_told_once(bench):
    from dataclasses import replace

    bench.give("f-1", bench.maker.make(notes=replace(NOTES, hardware=("1.2.3",))))
    report = bench.sync(FIRMWARE, KEYS)
    assert bench.states(report) == [("0026", FAILED), ("0024", DONE)]
    error = bench.synced.result(report, "0026").error
    assert isinstance(error, FirmwareError)
    assert error.load_error == 27
    assert len(bench.told) == 2
    assert int(content(bench.told[0], rfc4108.FirmwarePackageLoadError())["errorCode"]) == 27
    bench.sync(FIRMWARE)
    assert bench.told == []
    assert not bench.image.exists()


def test_firmware_that_is_refused_is_not_fetched_again_while_nothing_changes(bench):
    """Each time it would be as large as the first; servers note the download, which changes the date once."""
    bench.give("f-1", bench.maker.make(notes=dataclasses.replace(NOTES, hardware=("1.2.3",))))
    entry = bench.synced.entry(*FIRMWARE)
    dated, later = (entry | {"date": f"2026-06-0{day}T00:00:00Z"} for day in (1, 2))

    def fetched(entry, **options) -> bool:
        bench.synced.asked()
        ((_, state),) = bench.states(bench.sync(entry, **options))
        found = "GET firmware/f-1" in bench.synced.asked()
        assert state is (FAILED if found else StepState.SKIPPED)
        return found

    assert fetched(entry)
    assert not any(fetched(entry) for _ in range(2))
    assert [fetched(one) for one in (dated, dated, dated)] == [True, False, False]
    assert [fetched(one) for one in (later, later, later)] == [True, False, False]
    assert [fetched(one) for one in (entry, later, later, entry)] == [True, False, False, True]
    larger = bench.synced.entry(*FIRMWARE[:2], 5001)
    assert [fetched(one) for one in (larger, larger)] == [True, False]
    assert [fetched(larger, again=True), fetched(larger)] == [True, False]
    assert [fetched(larger, hardware="1.2.4") for _ in range(2)] == [True, False]
    assert "refused before" in bench.sync(larger, hardware="1.2.4").steps[0].detail
    assert bench.states(bench.sync(larger, hardware="1.2.3")) == [("0026", DONE)]


def test_firmware_for_which_there_is_no_room_is_fetched_again(bench):
    """What passes by itself is no word about the package."""

    class Full(FileInstaller):
        def stage(self, attributes, /) -> None:
            raise StateNotWritableError("no room")

    for _ in range(2):
        assert bench.states(bench.sync(FIRMWARE, installer=Full(bench.image))) == [("0026", FAILED)]
    assert bench.states(bench.sync(FIRMWARE)) == [("0026", DONE)]


def test_f_10_an_older_version_than_the_installed_one_fails_once_and_is_skipped(bench):
    bench.give("f-2", bench.maker.make(notes=dataclasses.replace(NOTES, name=(PACKAGE, 3))))
    second = ("0026", "firmware/f-2", 5000)
    assert bench.states(bench.sync(FIRMWARE, second)) == [("0026", DONE), ("0026", FAILED)]
    assert len(bench.told) == 2
    report = bench.sync(FIRMWARE, second)
    assert bench.states(report) == [("0026", EARLIER), ("0026", StepState.SKIPPED)]
    assert (report.failed, bench.told) == (False, [])


def test_k_11_keys_that_are_there_are_replaced_only_if_that_is_wanted(bench):
    bench.sync(KEYS)
    bench.give("k-1", bench.sealer.seal(package=key_package(written(value=b"n" * 16)), request=receipt_request(b"2")))
    before = bench.stored()
    report = bench.sync(KEYS)
    assert isinstance(bench.synced.result(report, "0024").error, KeyExistsError)
    assert bench.stored() == before
    assert int(content(bench.told[0], rfc7191.KeyPackageError())["errorCode"]["enum"]) == 127
    assert bench.synced.device.state.outbox.held() == ()
    assert bench.states(bench.sync(KEYS, replace=True)) == [("0024", DONE)]
    assert bench.stored() == {"k1": (b"n" * 16).hex()}


def test_returns_that_are_switched_off(bench):
    bench.sync(KEYS, FIRMWARE, returns=False)
    assert (bench.told, list(bench.stored()), bench.image.exists()) == ([], ["k1"], True)
    assert bench.states(bench.sync(KEYS, FIRMWARE, returns=False)) == [("0024", EARLIER), ("0026", EARLIER)]
    bench.give("k-1", bench.sealer.seal(package=key_package(written("k2")), request=receipt_request(b"pkg-2")))
    bench.sync(KEYS)
    assert len(bench.told) == 1
    report = bench.sync(RECEIPT, LOADED, returns=False)
    assert bench.told == []
    assert {state for _, state in bench.states(report)} == {StepState.SKIPPED}


def test_what_nobody_configured_is_not_done_and_told(bench):
    bench.synced.entries = [KEYS, RECEIPT, FIRMWARE, LOADED]
    for report in (bench.synced.device.sync(), bench.synced.device.sync_plan()):
        assert {state for _, state in bench.states(report)} == {StepState.UNCONFIGURED}
        assert "keys.to" in bench.synced.result(report, "0024").detail
        assert "firmware.anchors" in bench.synced.result(report, "0027").detail
        assert not report.failed
    assert set(bench.synced.asked()) == {"GET pal"}
    planned = bench.synced.device.sync_plan(deliveries=bench.deliveries())
    assert {state for _, state in bench.states(planned)} == {StepState.PLANNED}


def test_a_mistake_in_the_configuration_concerns_its_own_steps(bench):
    def wrong() -> KeyDelivery:
        raise ConfigurationError("no such file")

    bench.synced.entries = [KEYS, FIRMWARE]
    deliveries = bench.deliveries()
    report = bench.synced.device.sync(deliveries=Deliveries(keys=wrong, firmware=deliveries.firmware))
    assert bench.states(report) == [("0024", FAILED), ("0026", DONE)]


def test_a_ledger_that_was_damaged_costs_work_only(bench):
    bench.sync(FIRMWARE)
    for path in (bench.synced.device.state.path / "processed").iterdir():
        path.write_text("{")
    assert bench.states(bench.sync(FIRMWARE)) == [("0026", DONE)]
    assert len(bench.told) == 1


def test_only_if_a_power_cut_is_known_the_keys_are_stored_over_themselves(bench):
    """Killed between storing and noting: the keys are there, the ledger says begun, the receipt is held."""
    from dataclasses import replace

    bench.sync(KEYS)
    state = bench.synced.device.state
    (record,) = state.processed.all()
    state.processed.save(replace(record, result="begun", event=record.sha256))
    (kept,) = record.returns
    state.outbox.put(
        kept.path, kept.media_type, kept.body, about=kept.about, made_at=record.at, held=True, event=record.sha256
    )
    assert bench.states(bench.sync(KEYS)) == [("0024", DONE)]
    assert (len(bench.told), state.outbox.held(), list(bench.stored())) == (1, (), ["k1"])


@pytest.mark.slow
def test_f_10_k_11_a_tpm_keeps_the_keys_opens_the_firmware_and_counts(bench, swtpm, tmp_path):
    """Keys go into files of the TPM; one of them opens the firmware of the same list; an old record is refused afterwards."""
    value, there = bytes(range(32)), tmp_path / "sealed"
    there.mkdir()
    aes = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
    bench.give("k-1", bench.sealer.seal(package=key_package(written("fw-1", value, algorithm=aes))))
    bench.give("f-1", bench.maker.make(encryption=Encryption(b"fw-1", ContentKey(value)), compressed=True))
    plain = bench.deliveries()
    deliveries = Deliveries(
        keys=lambda: dataclasses.replace(plain.keys(), place=f"tpm2:dir={there}"),
        firmware=lambda: dataclasses.replace(
            plain.firmware(), open_with=(f"tpm2:file={there}/fw-1.key.pem",), counter="tpm2:nv=0x01800100"
        ),
    )
    bench.synced.entries = [KEYS, FIRMWARE]
    state = bench.synced.device.state
    assert bench.states(bench.synced.device.sync(deliveries=deliveries)) == [("0024", DONE), ("0026", DONE)]
    assert bench.image.read_bytes() == IMAGE
    old = state.firmware_file.read_bytes()
    bench.give("f-1", bench.maker.make(IMAGE[1:]))
    assert bench.states(bench.synced.device.sync(deliveries=deliveries)) == [("0024", EARLIER), ("0026", DONE)]
    state.firmware_file.write_bytes(old)
    bench.give("f-1", bench.maker.make(IMAGE[2:]))
    report = bench.synced.device.sync(deliveries=deliveries)
    assert isinstance(bench.synced.result(report, "0026").error, RolledBackError)
    assert bench.image.read_bytes() == IMAGE[1:]


def test_what_the_server_is_not_ready_to_give_is_pending(bench):
    """202 and Retry-After on a GET: the next run asks again (RFC 7030 section 4.2.3, for every package)."""
    lists, places = ("0005", "crls", 1), [("0003", "eecerts/p", 1), KEYS, FIRMWARE]
    for _, place, _ in (lists, *places):
        bench.synced.server.handlers[place.rpartition("/")[2]] = lambda _: http(202, b"", ("Retry-After", "60"))
    report = bench.sync(*places)
    assert [state for _, state in bench.states(report)] == [StepState.PENDING] * 3
    assert (report.pending, report.failed, bench.told) == (True, False, [])
    report = bench.sync(lists, *places)
    blocked = [StepState.BLOCKED] * 3
    assert [state for _, state in bench.states(report)] == [StepState.PENDING, *blocked], "they rely on the lists"
