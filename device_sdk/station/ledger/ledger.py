"""The ledger: what happened to which device, appended and never changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection

from device_sdk.errors import DeviceProvisionedError, LedgerError, WrongDeviceError
from device_sdk.station.ledger import chain, claims, content, identities, opening, postgresql, sqlite
from device_sdk.station.ledger.claims import MAX_TTL_S, Claim
from device_sdk.station.ledger.database import Database
from device_sdk.station.ledger.devices import fold
from device_sdk.station.ledger.entry import Entry, Head
from device_sdk.station.ledger.place import is_url
from device_sdk.station.ledger.reader import LedgerReader

_FENCED = frozenset({"step", "provisioned", "failed"})
_WAIT_S = 60.0


class Ledger(LedgerReader):
    """What a station writes down before it believes it. Threads may share one; processes open one each.

    Every method raises LedgerError where the database cannot be read or written; nothing was appended then.
    """

    @classmethod
    def open(
        cls,
        place: str | Path,
        *,
        create: bool = True,
        read_only: bool = False,
        wait_s: float = _WAIT_S,
        clock: Callable[[], float] | None = None,
    ) -> Self:
        """Open the ledger at a path (SQLite) or URL (PostgreSQL).

        Args:
            place: "DIR/ledger.sqlite", or "postgresql://HOST/DATABASE?user=NAME" without a password.
            create: make it if it is not there.
            read_only: for looking at it; implies that it is there.
            wait_s: how long to wait for others who write, seconds.
            clock: gives POSIX seconds; by default the clock of this machine, of a PostgreSQL server its own.

        Raises:
            ConfigurationError: the place cannot be one, or has a password in it.
            MissingDependencyError: the driver is not installed.
            LedgerError: not there, not a ledger, of another version, or cannot be opened.
        """
        create, name = create and not read_only, str(place)
        if create and not is_url(name):
            sqlite.make(Path(name), wait_s, lambda engine: opening.fill_new(engine, clock))
        database = Database(name, create=create, read_only=read_only, wait_s=wait_s, clock=clock)
        try:
            if create and database.dialect == "postgresql":
                with database.write() as connection:
                    postgresql.alone(connection)
                    if not postgresql.has_tables(connection):
                        opening.fill(connection, database.now(connection))
            with database.read() as connection:
                return cls(database, opening.checked_id(connection, database))
        except BaseException:
            database.close()
            raise

    def hurry(self) -> None:
        """From now on wait no longer than a few seconds for a database that does not come; a signal's handler may call it."""
        self._database.patience.hurry()

    @property
    def waited_s(self) -> float:
        """For how long something that is to be written has been waiting for the database, seconds."""
        return self._database.patience.waited_s

    def append(
        self,
        kind: str,
        *,
        device: str | None = None,
        line: str | None = None,
        run: str | None = None,
        step: str | None = None,
        outcome: str | None = None,
        facts: Mapping[str, object] | None = None,
        claim: Claim | None = None,
    ) -> Entry:
        """Append an entry; when this returns, it survives a power cut.

        Args:
            kind: one of KINDS but "claimed" and "released".
            device: serial number; that of the claim if there is one.
            line: where; that of the claim if not given.
            run: name of the run; that of the claim if not given.
            step: what was done.
            outcome: how it ended.
            facts: everything else, JSON-able. "macs" and "public_key_sha256" tell devices apart: see `identities`.
            claim: what the station has on the device; needed for "step", "provisioned" and "failed" of a device. It is renewed.

        Raises:
            ClaimLostError: another station has the device by now; nothing was appended.
            DeviceProvisionedError: it is provisioned already; nothing was appended.
            WrongDeviceError: the facts are those of another device, or not those it had before; there is an entry "failed" about it
                instead. Or its serial number cannot be one.
            LedgerError: a secret, no claim where there must be one, or the database.
        """
        words: dict[str, Any] = {
            "device": device,
            "line": line,
            "run": run,
            "step": step,
            "outcome": outcome,
            "facts": facts,
        }
        if claim is not None:
            words |= {
                "device": claim.device,
                "line": line or claim.line,
                "run": run or claim.run,
                "claim": claim.number,
            }
        _check_kind(kind, device, claim)
        with self._database.write() as connection:
            head = chain.last(connection, self.id, lock=True)
            now = self._database.now(connection)
            if claim is not None:
                claims.extend(connection, claim, now)
                if kind == "provisioned":
                    _refuse_provisioned(connection, claim.device)
                wrong = identities.conflict(connection, claim.device, facts or {}, again=claim.again)
                if wrong is not None:
                    words |= {"outcome": "refused", "facts": {"reason": wrong.reason} | wrong.facts}
                    kind = "failed"
            entry = chain.append(connection, head, now, kind, words)
            if claim is not None and wrong is None:
                identities.remember(connection, claim.device, facts or {}, entry.number)
        if claim is not None and wrong is not None:
            raise _wrong_device(claim.device, wrong)
        return entry

    def claim(
        self,
        device: str,
        station: str,
        run: str,
        ttl_s: float,
        *,
        line: str | None = None,
        facts: Mapping[str, object] | None = None,
        again: bool = False,
        proved: bool = False,
    ) -> Claim:
        """Take a device for this station; there is an entry "claimed" about it.

        Args:
            device: serial number.
            station: who takes it.
            run: in which run.
            ttl_s: how long the claim holds without a sign of life, at most a day.
            line: where it is.
            facts: as in `append`.
            again: provision it anew on purpose, though it is provisioned, with another key, or with another device's addresses.
            proved: it is to prove a certificate: one that was provisioned without is not provisioned for that.

        Raises:
            DeviceClaimedError: a station has it.
            DeviceProvisionedError: it is provisioned already, and not to be again.
            WrongDeviceError: as in `append`; the entry about it is a "note".
        """
        if not 0 < ttl_s <= MAX_TTL_S:
            raise LedgerError(f"a claim cannot hold for {ttl_s} seconds", hint=f"more than 0, at most {MAX_TTL_S:.0f}")
        words: dict[str, Any] = {"device": content.serial_number(device), "line": line, "run": run}
        station, run = content.word(station) or "", content.word(run) or ""
        facts = {"station": station, "ttl_s": ttl_s} | dict(facts or {})
        with self._database.write() as connection:
            head = chain.last(connection, self.id, lock=True)
            now = self._database.now(connection)
            claims.refuse_held(claims.holder(connection, device), now)
            if not again:
                _refuse_provisioned(connection, device, proved=proved)
            wrong = identities.conflict(connection, device, facts, again=again)
            if wrong is None:
                words |= {"outcome": "again" if again else None, "facts": facts, "claim": head.number + 1}
                entry = chain.append(connection, head, now, "claimed", words)
                claim = Claim(device, entry.number, station, run, entry.line, ttl_s, now + ttl_s, again)
                claims.hold(connection, claim)
                identities.remember(connection, device, facts, entry.number)
                return claim
            words |= {"outcome": "refused", "facts": {"station": station, "reason": wrong.reason} | wrong.facts}
            chain.append(connection, head, now, "note", words)
        raise _wrong_device(device, wrong)

    def renew(self, claim: Claim) -> Claim:
        """Let a claim hold for another `ttl_s`. No entry is made.

        Raises:
            ClaimLostError: another station has the device by now.
        """
        with self._database.write() as connection:
            return replace(claim, until=claims.extend(connection, claim, self._database.now(connection)))

    def release(self, claim: Claim, *, outcome: str | None = None, facts: Mapping[str, object] | None = None) -> Entry:
        """Let a device go; there is an entry "released" about it.

        Raises:
            ClaimLostError: another station has the device by now.
        """
        with self._database.write() as connection:
            head = chain.last(connection, self.id, lock=True)
            now = self._database.now(connection)
            claims.extend(connection, claim, now)
            claims.drop(connection, claim)
            words = {"device": claim.device, "line": claim.line, "run": claim.run, "claim": claim.number}
            return chain.append(connection, head, now, "released", words | {"outcome": outcome, "facts": facts})

    def release_all(self, station: str, run: str) -> list[Entry]:
        """Let all devices go that a killed station had in a run, before it goes on with that run.

        Whoever still holds such a claim has lost it.
        """
        with self._database.write() as connection:
            head, made = chain.last(connection, self.id, lock=True), []
            now = self._database.now(connection)
            for row in claims.of_station(connection, content.word(station) or "", content.word(run) or ""):
                claim = Claim(row.device, row.claim, station, run, None, 0, 0)
                claims.drop(connection, claim)
                words = {"device": claim.device, "run": run, "claim": claim.number, "outcome": "interrupted"}
                made.append(chain.append(connection, head, now, "released", words))
                head = Head(self.id, made[-1].number, made[-1].hash)
            return made


def _check_kind(kind: str, device: str | None, claim: Claim | None) -> None:
    if kind in ("claimed", "released"):
        raise LedgerError(f"{kind!r} entries are made by claim and release")
    if claim is not None and device not in (None, claim.device):
        raise LedgerError(f"the claim is on {claim.device}, the entry would be about another device")
    if kind in _FENCED and claim is None and (device is not None or kind == "provisioned"):
        raise LedgerError(f"a {kind!r} entry of a device needs the station's claim on it")


def _refuse_provisioned(connection: Connection, device: str, *, proved: bool = False) -> None:
    record = fold(device, chain.deciding(connection, device))
    if record is not None and record.state == "provisioned" and (record.proved or not proved):
        words = [str(record.facts[name]) for name in ("profile", "profile_version") if name in record.facts]
        by = f" by profile {' '.join(words)}" if words else ""
        raise DeviceProvisionedError(
            f"{device}: was provisioned at {record.provisioned_at} in run {record.provisioned_in}{by}",
            hint="nothing has to be done; to do it once more, say that it is to be provisioned again",
            serial_number=device,
            run=record.provisioned_in,
        )


def _wrong_device(device: str, wrong: identities.Conflict) -> WrongDeviceError:
    hint = "look whether two devices have one serial number; a device that was repaired has to be provisioned again on purpose"
    return WrongDeviceError(f"{device}: {wrong.reason}", hint=hint, serial_number=device)
