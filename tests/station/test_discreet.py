"""A device repeats the password that was typed to it: in its facts, its keys, its errors."""

from __future__ import annotations

from dataclasses import replace

import pytest

from device_sdk.client.bench import BenchDevice, BenchKey, DeviceFacts, KeyWish, Proof
from device_sdk.errors import DeviceSaysError, WrongDeviceError
from device_sdk.model.keys import KeyType
from device_sdk.model.secret import Secret
from device_sdk.station.run.discreet import DiscreetDevice
from device_sdk.transports.serial import Hidden

PASSWORD = "labsecret 1"
SAYS = f"pw is {PASSWORD}"


class Parrot(BenchDevice):
    """Says the password wherever it can."""

    serial_number = "R10000001"

    def facts(self):
        return DeviceFacts(
            self.serial_number, ("02:00:5e:10:00:01",), SAYS, SAYS, 1, (SAYS,), "ab" * 32, {SAYS: "labsecret1"}
        )

    def create_key(self, wish):
        return BenchKey(SAYS, wish.type, b"key", {SAYS: SAYS, "list": [SAYS], "flag": True})

    def run(self, command, timeout_s):
        return 3, SAYS

    def _refuse(self, *_words):
        raise DeviceSaysError(SAYS, hint=SAYS, line="line", excerpt=f"{SAYS}\n", device_code=SAYS, device_exit=4)

    configure = request = install = enrol = prove = close = _refuse


@pytest.fixture
def device():
    hidden = Hidden()
    hidden.hide(Secret(PASSWORD.encode()))
    return DiscreetDevice(Parrot(), hidden)


def test_what_was_typed_is_not_in_what_a_device_says(device):
    facts = device.facts()
    assert facts == replace(
        facts, model="pw is ***", sdk_version="pw is ***", keystores=("pw is ***",), extra={"pw is ***": "***"}
    )
    assert (facts.serial_number, facts.enrolled) == ("R10000001", "ab" * 32)
    key = device.create_key(KeyWish("tpm2:", KeyType.EC_P256))
    assert (key.uri, key.attestation) == ("pw is ***", {"pw is ***": "pw is ***", "list": ["pw is ***"], "flag": True})
    assert device.run(("true",), 1) == (3, "pw is ***")


def test_what_was_typed_is_not_in_errors(device):
    for ask in (
        lambda: device.configure(b"", b""),
        device.request,
        lambda: device.install(b"", b""),
        device.enrol,
        lambda: device.prove(bytes(32)),
        device.close,
    ):
        with pytest.raises(DeviceSaysError) as caught:
            ask()
        assert "labsecret" not in f"{caught.value} {caught.value.facts()}"
        assert (caught.value.excerpt, caught.value.line, caught.value.device_exit) == ("pw is ***\n", "line", 4)


def test_a_serial_number_that_holds_it_is_none(device, monkeypatch):
    monkeypatch.setattr(Parrot, "serial_number", "SN-labsecret1")
    with pytest.raises(WrongDeviceError, match=r"calls itself 'SN-\*\*\*'") as caught:
        device.facts()
    assert "labsecret" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["ascii", "utf-16-be"])
def test_names_in_requests_and_certificates_are_told_and_so_hold_none(device, monkeypatch, encoding):
    said = b"0" + SAYS.encode(encoding)
    for name in ("request", "install", "enrol"):
        monkeypatch.setattr(Parrot, name, lambda *_words: said)
    monkeypatch.setattr(Parrot, "prove", lambda *_words: Proof(said, b"signature"))
    for ask in (device.request, lambda: device.install(b"", b""), device.enrol, lambda: device.prove(bytes(32))):
        with pytest.raises(WrongDeviceError, match="holds a secret") as caught:
            ask()
        assert "labsecret" not in str(caught.value)
    monkeypatch.setattr(Parrot, "request", lambda *_words: b"labsecret 2")
    assert device.request() == b"labsecret 2"


def test_short_words_are_left_in_names(monkeypatch):
    """Who types "1234" would find it in many a serial number."""
    hidden = Hidden()
    hidden.hide(Secret(b"1234"))
    monkeypatch.setattr(Parrot, "serial_number", "SN-12345")
    assert DiscreetDevice(Parrot(), hidden).facts().serial_number == "SN-12345"
