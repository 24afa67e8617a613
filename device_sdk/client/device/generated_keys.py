"""Keys that the server made for this device: where each is, and the next certificate for it (RFC 8295 section 8).

The certificate of each has a state directory of its own inside the device's, so that its renewals are those of any other, and a
file where other software finds it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cryptography import x509

from device_sdk.client.device.context import Context
from device_sdk.client.device.decision import DEFAULT_THRESHOLD, decide
from device_sdk.client.device.plan import Outcome, RenewalPlan
from device_sdk.errors import ConfigurationError
from device_sdk.model.key_uri import KeyUri
from device_sdk.model.private_key_files import holds_private_key
from device_sdk.state import DeviceState, Endpoint, GeneratedRecord, IdentityRecord, StateDirectory
from device_sdk.state.files import PUBLIC, write
from device_sdk.state.pem import encode


@dataclass(frozen=True)
class HeldKey:
    """One of them.

    Attributes:
        record: where it is.
        state: its state directory.
        chain: its certificate, and those above, leaf first.
    """

    record: GeneratedRecord
    state: StateDirectory
    chain: tuple[x509.Certificate, ...]

    @property
    def certificate(self) -> x509.Certificate:
        """The leaf."""
        return self.chain[0]


def held_keys(state: StateDirectory) -> tuple[HeldKey, ...]:
    """Those a device has, oldest first; StateError if they cannot be read."""
    found = []
    for record in state.generated.load():
        holder = state.generated.holder(record.number)
        current = holder.load().current
        if current is not None:
            found.append(HeldKey(record, holder, holder.chain(current.certificate)))
    return tuple(found)


@dataclass(frozen=True)
class GeneratedKeys:
    """What is done about them. The device is enrolled, and its state's lock is held.

    Attributes:
        context: the device.
    """

    context: Context

    def keep(self, key_uri: KeyUri, certificate_file: Path, chain: tuple[x509.Certificate, ...]) -> None:
        """A key is in its place; StateError if that cannot be noted.

        Args:
            key_uri: where.
            certificate_file: where its certificate is.
            chain: that, and those above, leaf first.
        """
        state = self.context.state
        records = tuple(one for one in state.generated.load() if one.key_uri != str(key_uri))
        number = max((one.number for one in records), default=0) + 1
        holder = state.generated.holder(number)
        endpoint, _ = self.context.service()
        with holder.exclusive():
            name = holder.add_certificate(chain)
            record = IdentityRecord(str(key_uri), name, created_here=False)
            holder.save(DeviceState(base_key_uri=str(key_uri), current=record, endpoint=endpoint))
            holder.drop_journal()
        now = self.context.clock.now()
        state.generated.save((*records, GeneratedRecord(number, str(key_uri), certificate_file, now)))

    def forget(self, record: GeneratedRecord) -> None:
        """Its key is gone; StateError if that cannot be noted."""
        records = self.context.state.generated
        records.save(tuple(one for one in records.load() if one != record))

    def renew(self, held: HeldKey, plan: RenewalPlan, key_uri: str | KeyUri | None = None) -> Outcome:
        """The next certificate for the same key, which nobody but the server could replace; an interrupted one is gone on with.

        Args:
            held: the key.
            plan: how the server is reached.
            key_uri: of a key in the same token, for its PIN.

        Raises:
            ConfigurationError: the file for its certificate holds a private key; nothing was asked.
            DeviceSdkError: as Device.renew.
        """
        from device_sdk.client.device.renew import Renewal

        require_no_key(held.record.certificate_file)
        same = replace(plan, rekey=False, key_uri=None, key_type=None, new_name=None, mac_address=None)
        outcome = Renewal(self.context.holding(held.state, key_uri), same).run()
        _put(held.record, outcome.chain)
        return outcome

    def settle(self) -> None:
        """A power cut between a renewal and the file for other software; StateError if it cannot be written."""
        for held in held_keys(self.context.state):
            with suppress(OSError, ValueError):  # somebody took it away, or has something else there
                (there, *_) = x509.load_pem_x509_certificates(held.record.certificate_file.read_bytes())
                if holds_private_key(held.record.certificate_file):
                    continue
                if there != held.certificate and there.public_key() == held.certificate.public_key():
                    _put(held.record, held.chain)

    def due(self, now: datetime) -> HeldKey | None:
        """The one whose certificate is to be renewed by its age, or whose renewal was interrupted.

        Only that of the newest key ages so: a server that made another one may have replaced those before. One that another
        server certified than the device is at home at now is left alone.
        """
        home, _ = self.context.service()
        found = [one for one in held_keys(self.context.state) if _same_service(one, home)]
        for held in found:
            journal = held.state.journal()
            if journal is None and (held is not found[-1] or held.certificate.not_valid_after_utc <= now):
                continue
            if decide(held.chain, journal, now, DEFAULT_THRESHOLD).needed:
                return held
        return None


def _same_service(held: HeldKey, home: Endpoint) -> bool:
    there = held.state.load().endpoint
    return there is not None and (there.url, there.label) == (home.url, home.label)


def require_no_key(path: Path) -> None:
    """ConfigurationError if a certificate would take the place of a private key."""
    if holds_private_key(path):
        raise ConfigurationError(
            f"{path} is not written: it holds a private key", hint="name another file; move the key elsewhere"
        )


def _put(record: GeneratedRecord, chain: tuple[x509.Certificate, ...]) -> None:
    write(record.certificate_file, encode(chain), PUBLIC)
