"""`device-sdk sync`: ask the server what it has for this device, and do what it asks for (RFC 8295)."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from device_sdk.cli import inputs, waiting
from device_sdk.cli.commands import enroll
from device_sdk.cli.deliveries import FIRMWARE, GENERATED, KEY_ESTABLISHMENT, KEYS, deliveries
from device_sdk.cli.output import Output, one_line
from device_sdk.cli.pal import entry_data
from device_sdk.cli.settings import Settings, add_settings
from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from device_sdk.client.device import RenewalPlan
    from device_sdk.client.device.sync import StepResult, SyncReport

_FAILED, _PENDING = 1, 8
CONNECTION = (
    *("state_dir", "key.pin_file", "key.pin_fd", "key.allow_imported", "certificates_dir"),
    *(*inputs.LOGIN, *waiting.WAITING, "est.timeout_s", "est.proxy", *inputs.COMPATIBILITY),
)
"""Settings of a command that speaks to the server of an enrolled device."""


def add_arguments(parser: argparse.ArgumentParser, _name: str, _common: argparse.ArgumentParser) -> None:
    """Describe the command."""
    add_settings(parser, *CONNECTION)
    add_settings(
        parser, "renewal.rekey", "renewal.keep_old", "sync.limit_s", *KEYS, *GENERATED, *FIRMWARE, *KEY_ESTABLISHMENT
    )
    parser.add_argument("--plan", action="store_true", help="only show what would be done")
    parser.add_argument(
        "--again",
        action="store_true",
        help="fetch firmware again that was refused, and ask for a key again that could not be stored, though nothing changed",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    device = enroll.device_of(settings, out)
    enroll.require_directory(device)
    plan = replace(
        connection_plan(settings, out),
        rekey=settings.switch("renewal.rekey"),
        keep_old=settings.switch("renewal.keep_old"),
    )
    wanted = deliveries(settings, out, again=options.again)
    limit_s = settings.number("sync.limit_s")
    if limit_s is None or not limit_s > 0:
        raise ConfigurationError("sync.limit_s must be greater than 0")
    if options.plan:
        return _report(device.sync_plan(plan, deliveries=wanted), out, told=False)
    try:
        report = device.sync(plan, deliveries=wanted, told=None if out.as_json else _Lines(out), limit_s=limit_s)
        code = _report(report, out, told=True)
        device.state.outbox.forget_dropped()  # they were told
        return code
    finally:
        waiting.erase_line()


def connection_plan(settings: Settings, out: Output) -> RenewalPlan:
    """How the server of an enrolled device is reached."""
    from device_sdk.client.device import RenewalPlan

    return RenewalPlan(
        credentials=inputs.credentials(settings, needed=False),
        timeouts=inputs.timeouts(settings),
        proxy=settings.text("est.proxy"),
        **enroll.patient(settings, out),
        compatibility=inputs.compatibility(settings),
    )


def _report(report: SyncReport, out: Output, *, told: bool) -> int:
    for note in (*report.notes, *(note for one in report.steps for note in one.notes), *report.delivery.words):
        out.say(f"note: {note}")
    if out.as_json:
        data = {"steps": [_data(one) for one in report.steps], "resumed": report.resumed, "notes": list(report.notes)}
        data["outbox"] = report.delivery.to_json()
        out.data(data | {"failed": report.failed, "pending": report.pending}, "")
    elif not report.steps:
        out.data({}, "nothing is there for this device")
    elif not told:
        for one in report.steps:
            out.line({}, _line(one))
    if report.failed:
        return _FAILED
    return _PENDING if report.pending else 0


class _Lines:
    """A line for each step as soon as it ends; on a terminal also what is under way."""

    def __init__(self, out: Output) -> None:
        self._out = out

    def __call__(self, result: StepResult) -> None:
        from device_sdk.client.device.sync import StepState

        if result.state is StepState.BEGUN:
            waiting.show_line(f"[{result.number}/{result.total}] {result.detail}")
            return
        waiting.erase_line()
        self._out.line({}, _line(result))
        sys.stdout.flush()


def _line(one: StepResult) -> str:
    meaning = f"  {one.step.kind.meaning}" if one.step else ""
    hint = f" ({one.error.hint})" if one.error and one.error.hint else ""
    return one_line(f"{one.entry.type}{meaning}: {one.state.value}: {one.detail}{hint}")


def _data(one: StepResult) -> dict[str, Any]:
    shown = entry_data(one.step) if one.step else {"type": one.entry.type, "where": None, "meaning": None}
    return shown | {
        "outcome": one.state.value,
        "detail": one.detail,
        "notes": list(one.notes),
        "error": one.error.facts() if one.error else None,
    }
