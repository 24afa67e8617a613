"""`sync` and the packages that change the device: each once, each confirmed (section 13 of the profile)."""

from __future__ import annotations

import pytest

from device_sdk.client.device.sync import Deliveries, KeyDelivery, StepState
from device_sdk.errors import (
    ConfigurationError,
)
from device_sdk.state.outbox import MAX_MESSAGES
from device_sdk.state.processed import MAX_PROCESSED
from tests.est.scripted_server import http
from tests.firmware.making import IMAGE
from tests.packages.keeping import (
    DONE,
    EARLIER,
    FAILED,
    FIRMWARE,
    KEYS,
    LOADED,
    RECEIPT,
    bench,
    maker,
    sealer,
)
from tests.packages.sealing import key_package, receipt_request, written

__all__ = ["bench", "maker", "sealer"]


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


@pytest.mark.slow
def test_a_list_that_is_longer_than_the_ledger_and_the_outbox(bench):
    """Nothing on the list is forgotten, and no receipt given up that the server would take."""
    count = max(MAX_PROCESSED, MAX_MESSAGES) + 2
    places = [("0024", f"symmetrickeys/n-{number}", 900) for number in range(count)]
    for number, (_, place, _) in enumerate(places):
        request = receipt_request(f"{number}".encode())
        package = bench.sealer.seal(package=key_package(written(f"n{number}")), request=request)
        bench.give(place.rpartition("/")[2], package)
    report = bench.sync(*places)
    assert {state for _, state in bench.states(report)} == {DONE}
    assert (len(bench.told), len(report.delivery.sent), report.delivery.dropped) == (count, count, ())
    dated = [bench.synced.entry(*one) | {"date": "2026-06-01T00:00:00Z"} for one in places]
    bench.synced.asked()
    assert {state for _, state in bench.states(bench.sync(*dated))} == {EARLIER}
    assert bench.synced.asked() == ["GET pal"]
    bench.sync(KEYS)
    ledger = bench.synced.device.state.processed.all()
    assert len(ledger) == MAX_PROCESSED, "what is not on the list any more is forgotten, the oldest first"
    assert [one for one in ledger if one.place.endswith("/k-1")], "which is the last, or came in the same second"


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
