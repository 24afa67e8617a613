"""`device-sdk show`: what this device is, from its state directory."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from device_sdk.cli import inputs
from device_sdk.cli.output import Output
from device_sdk.cli.pem import describe
from device_sdk.cli.settings import Settings, add_settings
from device_sdk.errors import ClockError

if TYPE_CHECKING:
    from device_sdk.client.device import Device


def add_arguments(parser: argparse.ArgumentParser, _name: str, _common: argparse.ArgumentParser) -> None:
    """Describe the command."""
    add_settings(parser, "state_dir", "renewal.threshold")
    parser.set_defaults(run=_run)


def _run(_options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.client.device import Device
    from device_sdk.client.device.kept import Kept

    device = Device(settings.require("state_dir"))
    state, chain, anchors = device.state.snapshot()
    journal, kept = device.state.journal(), Kept.readable(device.state.packages, datetime.now(UTC))
    data: dict[str, object] = {
        "state_dir": str(device.state.path),
        "enrolled": state.current is not None,
        "key_uri": state.current.key_uri if state.current else None,
        "certificate": describe(chain[0]) if chain else None,
        "certificate_file": str(device.state.current_file) if chain else None,
        "chain": [describe(certificate) for certificate in chain[1:]],
        "anchors": [describe(certificate) for certificate in anchors],
        "revocation_lists": kept.lists_to_json(),
        "signer_revocation_lists": kept.signer_lists_to_json(),
        "peers": [describe(certificate) for certificate in kept.peers],
        "endpoint": vars(state.endpoint) if state.endpoint else None,
        "renewal": _renewal(device, inputs.threshold(settings)) if chain else None,
        "key_establishment": _key_establishment(device, inputs.threshold(settings)),
        "generated": _generated(device),
        "under_way": journal
        and {"operation": journal.operation.value, "phase": journal.phase.value, "key_uri": journal.key_uri},
        "previous": [record.key_uri for record in state.previous],
        "cale": {name: vars(registration) for name, registration in device.state.cale_registrations().items()},
        "cale_damaged": [str(error) for errors in device.state.cale_damage().values() for error in errors],
    }
    out.data(data, _text(data))
    return 0


def _key_establishment(device: Device, threshold: float) -> dict[str, object] | None:
    """The second certificate; None if there is none."""
    directory = device.state.key_establishment
    state, chain, _ = directory.snapshot()
    if state.current is None:
        return None
    journal = directory.journal()
    return {
        "key_uri": state.current.key_uri,
        "certificate": describe(chain[0]),
        "certificate_file": str(directory.current_file),
        "renewal": _renewal(device, threshold, key_establishment=True),
        "under_way": journal and journal.operation.value,
        "previous": ", ".join(record.key_uri for record in state.previous) or None,
    }


def _generated(device: Device) -> list[dict[str, object]]:
    """Keys that the server made, oldest first."""
    from device_sdk.client.device.generated_keys import held_keys

    return [
        {
            "key_uri": held.record.key_uri,
            "certificate": describe(held.certificate),
            "certificate_file": str(held.record.certificate_file),
        }
        for held in held_keys(device.state)
    ]


def _renewal(device: Device, threshold: float, *, key_establishment: bool = False) -> dict[str, object]:
    try:
        return device.needs_renewal(threshold=threshold, key_establishment=key_establishment).to_json()
    except ClockError as error:
        return {"needed": None, "reason": error.message}


def _text(data: dict[str, object]) -> str:
    lines: list[str] = []
    for name, value in data.items():
        words = name.replace("_", " ")
        if isinstance(value, bool):
            lines.append(f"{words}: {'yes' if value else 'no'}")
        elif isinstance(value, dict):
            lines += [f"{words}:"] if value else []
            lines += [f"    {key.replace('_', ' ')}: {_item(item)}" for key, item in value.items() if item is not None]
        elif isinstance(value, list):
            lines += [f"{words}: {_item(item)}" for item in value]
        elif value is not None:
            lines.append(f"{words}: {value}")
    return "\n".join(lines)


def _item(item: object) -> object:
    """One line for something inside something."""
    if isinstance(item, bool):
        return "yes" if item else "no"
    if not isinstance(item, dict):
        return item
    if "guid" in item:
        return f"{item['guid']} at {item['origin']}, key {item['key_uri']}"
    if "next_update" in item:
        stale = " (stale: its successor is overdue)" if item["stale"] else ""
        return f"{item['issuer']}, {item['entries']} entries, until {item['next_update']}{stale}"
    if "certificate_file" in item:
        return f"{item['key_uri']}, its certificate in {item['certificate_file']}"
    if "reason" in item:
        return item["reason"]
    return f"{item['subject']} ({item['sha256']})"
