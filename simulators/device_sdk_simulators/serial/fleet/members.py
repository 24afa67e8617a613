"""The devices of a plan, fresh from the factory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from device_sdk_simulators.serial.board import Board
from device_sdk_simulators.serial.board_keys import KeyMaker, SoftwareKeys
from device_sdk_simulators.serial.fleet.plan import FleetPlan
from device_sdk_simulators.serial.fleet.report import Member
from device_sdk_simulators.serial.tool_keys import TokenKeys, TpmKeys
from device_sdk_simulators.softhsm import SoftHsm

Enrol = Callable[[Board], tuple[bytes, bytes]]


def make_members(plan: FleetPlan, enrol: Enrol | None, disks: Path) -> list[Member]:
    """The devices of a plan, with what is to befall them.

    Args:
        plan: the fleet.
        enrol: how they enrol themselves; None for no network.
        disks: for the keys of tokens and TPMs.
    """
    token = SoftHsm(disks / "token", label="device") if plan.keys == "softhsm" else None

    def keys(number: int) -> KeyMaker:
        if token is not None:
            return TokenKeys(token, plan.serial_number(number))
        if plan.keys == "swtpm":
            return TpmKeys(disks / f"tpm-{number}")
        return SoftwareKeys()

    return [_member(plan, number, enrol, keys(number)) for number in range(plan.devices)]


def _member(plan: FleetPlan, number: int, enrol: Enrol | None, keys: KeyMaker) -> Member:
    misfortune = plan.misfortune(number)
    other = (number + 1) % plan.devices
    board = Board(
        plan.serial_number(number),
        (plan.mac(other if misfortune == "same-mac" else number),),
        keys=keys,
        said_serial=plan.serial_number(other) if misfortune == "other-serial" else None,
        password=plan.password,
        enrol_itself=enrol,
    )
    return Member(number, board, misfortune)
