"""`device-sdk doctor`: every check, its outcome and what to do; exit 1 if one failed."""

from __future__ import annotations

import argparse
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk.cli import inputs
from device_sdk.cli.files import write_file
from device_sdk.cli.output import Output, one_line
from device_sdk.cli.secrets import pin_provider
from device_sdk.cli.settings import Settings, add_settings
from device_sdk.errors import ConfigurationError, StateError

if TYPE_CHECKING:
    from device_sdk.client.board import BoardDoctor
    from device_sdk.client.doctor import Doctor, Finding

_MARKS = {"ok": "ok  ", "warning": "WARN", "failed": "FAIL", "skipped": "-   "}


def add_arguments(parser: argparse.ArgumentParser, _name: str, _common: argparse.ArgumentParser) -> None:
    """Describe the command."""
    add_settings(
        parser,
        "state_dir",
        "key.uri",
        "key.pin_file",
        "key.pin_fd",
        "key.allow_imported",
        "certificates_dir",
        *inputs.SERVER,
    )
    parser.add_argument("--online", action="store_true", help="also talk to the server")
    parser.add_argument("--stream", action="store_true", help="with --json: one line per check, as soon as it is done")
    parser.add_argument("--warnings-as-errors", action="store_true", help="exit 1 for a warning, too")
    parser.add_argument(
        "--hardware",
        action="store_true",
        help="check this board, and the token or TPM of --key, instead of the device's state",
    )
    parser.add_argument("--thorough", action="store_true", help="with --hardware: RSA keys, too; minutes on a real TPM")
    parser.add_argument(
        "--report",
        metavar="FILE",
        help="with --hardware: write all findings there as JSON, without PINs and serial numbers",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    if not options.hardware and (options.report or options.thorough):
        raise ConfigurationError("--report and --thorough go with --hardware")
    board = _board(options, settings) if options.hardware else None
    doctor = board or _doctor(options, settings)
    found = []
    for finding in doctor.run():
        found.append(finding)
        if options.stream or not out.as_json:
            out.line(finding.to_json(), _line(finding))
    if out.as_json and not options.stream:
        out.data({"checks": [finding.to_json() for finding in found]}, "")
    if board is not None and options.report:
        write_file(options.report, json.dumps(board.report(), indent=2).encode() + b"\n")
        out.say(f"device-sdk: the report is in {options.report}")
    bad = {"failed", "warning"} if options.warnings_as_errors else {"failed"}
    return 1 if any(finding.status in bad for finding in found) else 0


def _board(options: argparse.Namespace, settings: Settings) -> BoardDoctor:
    from device_sdk.client.board import BoardDoctor

    return BoardDoctor(
        Path(settings.require("state_dir")),
        key_uri=settings.text("key.uri"),
        pin=pin_provider(settings),
        thorough=options.thorough,
    )


def _doctor(options: argparse.Namespace, settings: Settings) -> Doctor:
    from device_sdk.client.doctor import Doctor, ServerToCheck
    from device_sdk.model.trust import ServerTrust

    with suppress(StateError):  # which is a finding
        inputs.use_configured_anchors(settings)
    anchors, implicit = inputs.anchors(settings), settings.switch("est.implicit")
    server = ServerToCheck(
        url=settings.text("est.url"),
        label=settings.text("est.label"),
        trust=ServerTrust(anchors, implicit) if anchors or implicit else None,
        pins=inputs.pins(settings),
        timeouts=inputs.timeouts(settings),
        proxy=settings.text("est.proxy"),
    )
    return Doctor(
        settings.require("state_dir"),
        key_uri=settings.text("key.uri"),
        server=server,
        online=options.online,
        pin=pin_provider(settings),
        allow_imported=settings.switch("key.allow_imported"),
    )


def _line(finding: Finding) -> str:
    hint = f"\n{'':22}-> {one_line(finding.hint)}" if finding.hint else ""
    return f"{_MARKS[finding.status]}  {finding.check:15} {one_line(finding.detail)}{hint}"
