"""[steps] and [limits]: commands that belong to the provisioning, and how long anything may take."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from device_sdk.station.profile.tables import Table
from device_sdk.station.profile.words import unknown_name

_NAME = re.compile(r"[a-z0-9][a-z0-9 _.-]{0,31}")
_PLACES = ("station", "device")
_MAX_HOOKS = 16
_MAX_ARGUMENTS = 64


@dataclass(frozen=True)
class Hook:
    """A command that is a step.

    Attributes:
        name: in the ledger.
        command: program and arguments, without a shell; ${name} stands for what the device said.
        on: "station" or "device".
        timeout_s: how long it may take.
    """

    name: str
    command: tuple[str, ...]
    on: str = "station"
    timeout_s: float = 60.0


@dataclass(frozen=True)
class StepsTable:
    """[steps].

    Attributes:
        before: [[steps.before]], before anything is written to the device: flash an image, for example.
        after: [[steps.after]], when the device has proved itself: self tests.
        label: [steps.label], last: print a label; None for none.
    """

    before: tuple[Hook, ...] = ()
    after: tuple[Hook, ...] = ()
    label: Hook | None = None


@dataclass(frozen=True)
class LimitsTable:
    """[limits].

    Attributes:
        step_s: how long a step may take.
        steps: other limits, by the step's name, [limits.steps].
        device_s: how long a device may take in all, without hooks.
        retries: how often a step is tried again after the line failed.
        backoff_s: how long to wait before that, the first time; twice as long each further time, at most 30 s.
        parallel: on how many devices to work at the same time.
        claim_s: how long a device stays this station's without a sign of life of it.
    """

    step_s: float = 60.0
    steps: dict[str, float] = field(default_factory=dict)
    device_s: float = 900.0
    retries: int = 3
    backoff_s: float = 1.0
    parallel: int = 64
    claim_s: float = 300.0

    def of(self, step: str) -> float:
        """The limit of a step, in seconds."""
        return self.steps.get(step, self.step_s)


def steps_table(table: Table) -> StepsTable:
    """Read [steps]; raises ConfigurationError."""
    label = table.table("label")
    found = StepsTable(
        before=_hooks(table, "before"),
        after=_hooks(table, "after"),
        label=_hook(label, "label") if "label" in table else None,
    )
    table.end()
    return found


def limits_table(table: Table, names: tuple[str, ...]) -> LimitsTable:
    """Read [limits]; raises ConfigurationError.

    Args:
        table: what to read.
        names: the steps there are.
    """
    steps = table.table("steps")
    limits = {name: steps.number(name, 0, least=0.1 if name in steps else 0, most=86400) for name in names}
    steps.end()
    found = LimitsTable(
        step_s=table.number("step_s", 60, least=0.1, most=86400),
        steps={name: limit_s for name, limit_s in limits.items() if limit_s},
        device_s=table.number("device_s", 900, least=1, most=7 * 86400),
        retries=table.whole("retries", 3, least=0, most=100),
        backoff_s=table.number("backoff_s", 1, least=0, most=30),
        parallel=table.whole("parallel", 64, least=1, most=1024),
        claim_s=table.number("claim_s", 300, least=5, most=86400),
    )
    table.end()
    return found


def _hooks(table: Table, key: str) -> tuple[Hook, ...]:
    found = tuple(_hook(one, None) for one in table.tables(key))
    if len(found) > _MAX_HOOKS:
        raise table.error(key, f"has more than {_MAX_HOOKS} entries")
    if len({one.name for one in found}) != len(found):
        raise table.error(key, "has a name twice")
    return found


def _hook(table: Table, name: str | None) -> Hook:
    name = name or table.text("name")
    if not _NAME.fullmatch(name):
        raise table.error("name", "has to be 1 to 32 lower-case letters, digits, spaces, or any of _.-")
    command = table.texts("command")
    if not command or len(command) > _MAX_ARGUMENTS:
        raise table.error("command", f"has to be a list of 1 to {_MAX_ARGUMENTS} texts", hint='["./flash", "${line}"]')
    for word in command:
        if (unknown := unknown_name(word)) is not None:
            raise table.error("command", f"names ${{{unknown}}}, which nothing stands for")
    if "${" in command[0]:
        raise table.error("command", "has to name its program itself")
    found = Hook(
        name,
        command,
        table.text("on", "station", choices=_PLACES if name != "label" else _PLACES[:1]),
        table.number("timeout_s", 60, least=0.1, most=86400),
    )
    table.end()
    return found
