"""What `sync` keeps: a server that gives a package of keys and one of firmware, and a device with places for both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pyasn1.codec.der.decoder import decode

from device_sdk.client.device.sync import Deliveries, FirmwareDelivery, KeyDelivery, StepState
from device_sdk.client.est.symmetric_keys import KeyPackagePolicy
from device_sdk.client.firmware import FileInstaller, FirmwarePolicy, FirmwareRules, HardwareModule
from device_sdk.wire.cms.signed_data import read_signed_data
from tests.est.scripted_server import http
from tests.firmware.making import HARDWARE, Maker
from tests.packages.sealing import Sealer, key_package, receipt_request, written

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


def second_package(bench) -> bytes:
    return bench.sealer.seal(package=key_package(written(value=b"n" * 16)), request=receipt_request(b"pkg-2"))
