"""Claims: one station has a device, for a while. What it appends meanwhile is fenced by the number of its claim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from device_sdk.errors import ClaimLostError, DeviceClaimedError
from device_sdk.station.ledger import schema
from device_sdk.station.ledger.entry import time_text

MAX_TTL_S = 24 * 3600.0
_CLAIMS = schema.claims.c


@dataclass(frozen=True)
class Claim:
    """A device is this station's until it lets it go, or says nothing for `ttl_s`.

    Attributes:
        device: serial number.
        number: of the entry "claimed"; what fences.
        station: who has it.
        run: in which run.
        line: where it is, or None.
        ttl_s: how long it holds from each renewal or fenced entry on, seconds.
        until: POSIX seconds, by the ledger's clock, as this claim knew it when it was taken or renewed.
        again: the device is provisioned anew, on purpose.
    """

    device: str
    number: int
    station: str
    run: str
    line: str | None
    ttl_s: float
    until: float
    again: bool = False


def holder(connection: Connection, device: str) -> Row[Any] | None:
    """Who has a device, the row locked; None if nobody has."""
    query = select(schema.claims).where(_CLAIMS.device == device).with_for_update()
    return connection.execute(query).one_or_none()


def refuse_held(row: Row[Any] | None, now: float) -> None:
    """Refuse a device that somebody has.

    Raises:
        DeviceClaimedError: the claim has not run out.
    """
    if row is None or row.until_ms <= now * 1000:
        return
    until = time_text(row.until_ms / 1000)
    raise DeviceClaimedError(
        f"{row.device}: station {row.station} has this device in run {row.run} until {until}",
        hint="let it finish there; a killed station takes its devices back when its run is resumed",
        serial_number=row.device,
        station=row.station,
        until=until,
    )


def hold(connection: Connection, claim: Claim) -> None:
    """Write down who has the device from now on; the row of an older claim goes."""
    connection.execute(delete(schema.claims).where(_CLAIMS.device == claim.device))
    values = {"device": claim.device, "claim": claim.number, "station": claim.station, "run": claim.run}
    connection.execute(insert(schema.claims).values(**values, until_ms=int(claim.until * 1000), again=claim.again))


def extend(connection: Connection, claim: Claim, now: float) -> float:
    """Let a claim hold for another `ttl_s`; until when, POSIX seconds.

    A claim that ran out, but that nobody else has taken, is still good.

    Raises:
        ClaimLostError: another station took the device, or the claim was released.
    """
    until = now + claim.ttl_s
    mine = (_CLAIMS.device == claim.device, _CLAIMS.claim == claim.number)
    if connection.execute(update(schema.claims).where(*mine).values(until_ms=int(until * 1000))).rowcount != 1:
        raise ClaimLostError(
            f"{claim.device}: station {claim.station} has lost its claim {claim.number} on this device",
            hint="leave the device alone: another station has it, or its run was resumed",
            serial_number=claim.device,
        )
    return until


def drop(connection: Connection, claim: Claim) -> None:
    """Nobody has the device any more."""
    connection.execute(delete(schema.claims).where(_CLAIMS.device == claim.device, _CLAIMS.claim == claim.number))


def of_station(connection: Connection, station: str, run: str) -> list[Row[Any]]:
    """What a station has claimed in a run."""
    query = select(schema.claims).where(_CLAIMS.station == station, _CLAIMS.run == run).order_by(_CLAIMS.device)
    return list(connection.execute(query))
