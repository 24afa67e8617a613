"""Devices without lines that enrol at a server, as many at a time as wanted: how many a second it takes."""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from device_sdk_simulators.serial.board import Board
from device_sdk_simulators.serial.fleet.members import make_members
from device_sdk_simulators.serial.fleet.plan import FleetPlan
from device_sdk_simulators.serial.fleet.report import Member, report
from device_sdk_simulators.serial.refusal import RefusalError
from device_sdk_simulators.serial.self_enrol import enrol_over_network

_MOST_ERRORS = 5


def load_server(plan: FleetPlan, url: str, anchors: bytes, user: str, at_once: int) -> dict[str, Any]:
    """Enrol every device of the plan at the EST server; all of it is over when this returns.

    Args:
        plan: how many devices, with which keys and password.
        url: https://HOST:PORT.
        anchors: PEM, the server's.
        user: for HTTP authentication.
        at_once: devices that enrol at the same time.

    Returns:
        The report of the fleet, with `enrolled`, `failed`, `seconds`, `per_second`, the slowest and the median time of a
        device in milliseconds, and some of the `errors`.
    """
    with tempfile.TemporaryDirectory(prefix="fleet-") as disks:
        members = make_members(plan, enrol_over_network, Path(disks))
        return _enrol_all(members, url, anchors, user, at_once)


def _enrol_all(members: list[Member], url: str, anchors: bytes, user: str, at_once: int) -> dict[str, Any]:
    config = f"[est]\nurl = {_quoted(url)}\nuser = {_quoted(user)}\n".encode()
    begin = time.monotonic()
    with ThreadPoolExecutor(at_once) as workers:
        outcomes = list(workers.map(lambda member: _enrol(member.board, config, anchors), members))
    seconds = time.monotonic() - begin
    times = sorted(took for took, error in outcomes if not error)
    errors = [error for _, error in outcomes if error]
    for member in members:
        member.board.keys.close()
    return report(members) | {
        "enrolled": len(times),
        "failed": len(errors),
        "seconds": round(seconds, 3),
        "per_second": round(len(times) / seconds, 1),
        "median_ms": round(times[len(times) // 2] * 1000) if times else None,
        "slowest_ms": round(times[-1] * 1000) if times else None,
        "errors": sorted(set(errors))[:_MOST_ERRORS],
    }


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _enrol(board: Board, config: bytes, anchors: bytes) -> tuple[float, str]:
    begin = time.monotonic()
    try:
        board.configure(config, anchors)
        board.enrol()
    except RefusalError as error:
        return 0.0, str(error)
    return time.monotonic() - begin, ""
