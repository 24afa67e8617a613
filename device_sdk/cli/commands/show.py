"""`device-sdk show`: what this device is, from its state directory."""

from __future__ import annotations

import argparse

from device_sdk.cli.output import Output
from device_sdk.cli.pem import describe
from device_sdk.cli.settings import Settings, add_settings


def add_arguments(parser: argparse.ArgumentParser, _name: str, _common: argparse.ArgumentParser) -> None:
    """Describe the command."""
    add_settings(parser, "state_dir", "renewal.threshold")
    parser.set_defaults(run=_run)


def _run(_options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.client.device import Device

    device = Device(settings.require("state_dir"))
    state, chain, anchors = device.state.snapshot()
    journal = device.state.journal()
    data: dict[str, object] = {
        "state_dir": str(device.state.path),
        "enrolled": state.current is not None,
        "key_uri": state.current.key_uri if state.current else None,
        "certificate": describe(chain[0]) if chain else None,
        "certificate_file": str(device.state.current_file) if chain else None,
        "chain": [describe(certificate) for certificate in chain[1:]],
        "anchors": [describe(certificate) for certificate in anchors],
        "endpoint": vars(state.endpoint) if state.endpoint else None,
        "renewal": device.needs_renewal(threshold=settings.number("renewal.threshold") or 2 / 3).to_json()
        if chain
        else None,
        "under_way": journal
        and {"operation": journal.operation.value, "phase": journal.phase.value, "key_uri": journal.key_uri},
        "previous": [record.key_uri for record in state.previous],
        "cale": {name: vars(registration) for name, registration in device.state.cale_registrations().items()},
    }
    out.data(data, _text(data))
    return 0


def _text(data: dict[str, object]) -> str:
    lines: list[str] = []
    for name, value in data.items():
        words = name.replace("_", " ")
        if isinstance(value, dict):
            lines.append(f"{words}:")
            lines += [f"    {key}: {item}" for key, item in value.items()]
        elif isinstance(value, list):
            lines += [
                f"{words}: {item['subject']} ({item['sha256']})" if isinstance(item, dict) else f"{words}: {item}"
                for item in value
            ]
        elif value is not None:
            lines.append(f"{words}: {value}")
    return "\n".join(lines)
