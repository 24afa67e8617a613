"""`device-sdk doctor`: every check, its outcome and what to do; exit 1 if one failed."""

from __future__ import annotations

import argparse

from device_sdk.cli.output import Output
from device_sdk.cli.secrets import pin_provider
from device_sdk.cli.settings import Settings, add_settings

_MARKS = {"ok": "ok  ", "warning": "WARN", "failed": "FAIL", "skipped": "-   "}


def add_arguments(parser: argparse.ArgumentParser, _name: str, _common: argparse.ArgumentParser) -> None:
    """Describe the command."""
    add_settings(parser, "state_dir", "key.uri", "key.pin_file", "key.pin_fd", "est.url")
    parser.add_argument("--online", action="store_true", help="also talk to the server")
    parser.add_argument("--warnings-as-errors", action="store_true", help="exit 1 for a warning, too")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.client.doctor import Doctor

    doctor = Doctor(
        settings.require("state_dir"),
        key_uri=settings.text("key.uri"),
        url=settings.text("est.url"),
        online=options.online,
        pin=pin_provider(settings),
    )
    findings = list(doctor.run())
    lines = [
        f"{_MARKS[found.status]}  {found.check:16} {found.detail}" + (f"\n{'':24}-> {found.hint}" if found.hint else "")
        for found in findings
    ]
    out.data({"checks": [found.to_json() for found in findings]}, "\n".join(lines))
    bad = {"failed", "warning"} if options.warnings_as_errors else {"failed"}
    return 1 if any(found.status in bad for found in findings) else 0
