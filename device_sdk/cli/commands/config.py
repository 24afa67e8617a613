"""`device-sdk config`: every setting, its value, and the three ways to set it; doubles as a commented template."""

from __future__ import annotations

import argparse
import json

from device_sdk.cli.arguments import without_secrets
from device_sdk.cli.output import Output
from device_sdk.cli.settings import SETTINGS, Settings


def add_arguments(parser: argparse.ArgumentParser, _name: str, _common: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.add_argument("--template", action="store_true", help="print a commented config.toml to start from")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    if options.template:
        out.data({"template": _template()}, _template())
        return 0
    values = {setting.name: without_secrets(settings.get(setting.name)) for setting in SETTINGS}
    width = max(len(setting.name) for setting in SETTINGS)
    rows = [f"{s.name:{width}}  {_shown(values[s.name]):24}  {s.flag:18}  {s.variable}" for s in SETTINGS]
    out.data(values, "\n".join(rows))
    return 0


def _shown(value: object) -> str:
    return "-" if value is None or value == [] else json.dumps(value)


def _template() -> str:
    lines: list[str] = []
    section = ""
    for setting in SETTINGS:
        head, _, key = setting.name.rpartition(".")
        if head != section:
            lines += ["", f"[{head}]"]
            section = head
        example = {"text": '""', "list": "[]", "switch": "false", "number": "0"}[setting.kind]
        value = example if setting.default is None else json.dumps(setting.default)
        lines += [f"# {setting.help}", f"# {key} = {value}"]
    return "\n".join(lines).strip() + "\n"
