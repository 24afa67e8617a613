"""A device to which secrets were typed: it may say them again, and nothing that it says is to hold one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from device_sdk.client.bench import BenchDevice, BenchKey, DeviceFacts, KeyWish, Proof
from device_sdk.errors import BenchError, WrongDeviceError
from device_sdk.transports.serial import Hidden

_LEAST, _LEAST_IN_NAMES = 4, 6
"""Shorter ones are in many a word by chance; a serial number is refused, so that more has to speak against it."""


class DiscreetDevice(BenchDevice):
    """Takes secrets, as they were typed, out of facts, keys, outputs and errors. Other forms of them are not recognised.

    Args:
        device: is asked.
        hidden: the secrets.
    """

    def __init__(self, device: BenchDevice, hidden: Hidden) -> None:
        self._device = device
        self._hidden = hidden

    def wait_for_boot(self, seconds: float) -> bool:
        """See BenchDevice."""
        with self._discreet():
            return self._device.wait_for_boot(seconds)

    def facts(self) -> DeviceFacts:
        """See BenchDevice.

        Raises:
            WrongDeviceError: its serial number holds a secret.
        """
        with self._discreet():
            facts = self._device.facts()
        serial_number = self._hidden.taken_out(facts.serial_number, _LEAST_IN_NAMES)
        if serial_number != facts.serial_number:
            raise WrongDeviceError(
                f"it calls itself {serial_number!a}, in which the stars are a secret that was typed to it",
                hint="change that password; a serial number that has one in it is none",
            )
        return replace(
            facts,
            model=self._clean(facts.model),
            sdk_version=self._clean(facts.sdk_version),
            keystores=tuple(map(self._clean, facts.keystores)),
            extra=self._words(facts.extra),
            boot_loader=None if facts.boot_loader is None else self._words(facts.boot_loader),
        )

    def configure(self, config: bytes, anchors: bytes) -> None:
        """See BenchDevice."""
        with self._discreet():
            self._device.configure(config, anchors)

    def create_key(self, wish: KeyWish) -> BenchKey:
        """See BenchDevice."""
        with self._discreet():
            key = self._device.create_key(wish)
        said = {self._clean(name): self._value(value) for name, value in key.attestation.items()}
        return replace(key, uri=self._clean(key.uri), attestation=said)

    def request(self, csrattrs: bytes = b"") -> bytes:
        """See BenchDevice.

        Raises:
            WrongDeviceError: a secret is in it.
        """
        with self._discreet():
            return self._without(self._device.request(csrattrs), "its request for a certificate")

    def install(self, answer: bytes, ca_certificates: bytes) -> bytes:
        """See BenchDevice.

        Raises:
            WrongDeviceError: a secret is in it.
        """
        with self._discreet():
            return self._without(self._device.install(answer, ca_certificates), "its certificate")

    def enrol(self) -> bytes:
        """See BenchDevice.

        Raises:
            WrongDeviceError: a secret is in it.
        """
        with self._discreet():
            return self._without(self._device.enrol(), "its certificate")

    def prove(self, nonce: bytes) -> Proof:
        """See BenchDevice.

        Raises:
            WrongDeviceError: a secret is in the certificate.
        """
        with self._discreet():
            proof = self._device.prove(nonce)
            self._without(proof.certificate, "its certificate")
        return proof

    def run(self, command: tuple[str, ...], timeout_s: float) -> tuple[int, str]:
        """See BenchDevice."""
        with self._discreet():
            status, output = self._device.run(command, timeout_s)
        return status, self._clean(output)

    def close(self) -> None:
        """See BenchDevice."""
        with self._discreet():
            self._device.close()

    def _without(self, octets: bytes, what: str) -> bytes:
        """As they came; names in them are told and written down."""
        if self._hidden.is_in(octets, _LEAST_IN_NAMES):
            raise WrongDeviceError(
                f"{what} holds a secret that was typed to it",
                hint="change that password, and look at the device: it says again what it was told",
            )
        return octets

    def _clean(self, text: str) -> str:
        return self._hidden.taken_out(text, _LEAST)

    def _words(self, words: Mapping[str, str]) -> dict[str, str]:
        return {self._clean(name): self._clean(word) for name, word in words.items()}

    def _value(self, value: object) -> object:
        if isinstance(value, list):
            return [self._value(one) for one in value]
        return self._clean(value) if isinstance(value, str) else value

    @contextmanager
    def _discreet(self) -> Iterator[None]:
        try:
            yield
        except BenchError as error:
            error.args = tuple(map(self._value, error.args))
            for name, value in vars(error).items():
                vars(error)[name] = self._value(value)
            raise
