"""Entries of package lists, as data and as a line for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from device_sdk.protocols.pal import SyncStep


def entry_data(step: SyncStep) -> dict[str, Any]:
    """For `--json`."""
    date, certificate = step.entry.date, step.entry.certificate
    return {
        "type": step.kind.number,
        "meaning": step.kind.meaning,
        "action": step.kind.action.value,
        "size": step.entry.size,
        "date": f"{date:%Y-%m-%dT%H:%M:%SZ}" if date else None,
        "where": step.target,
        "certificate": None if certificate is None else _certificate(certificate),
    }


def entry_line(step: SyncStep) -> str:
    """One line of `est pal`."""
    shown = entry_data(step)
    size = f"{shown['size']} bytes" if shown["size"] else ""
    words = [shown["type"], shown["action"], shown["meaning"], size, shown["where"]]
    if shown["certificate"]:
        words += [" ".join(f"{name} {value}" for name, value in shown["certificate"].items())]
    if shown["date"]:
        words.append(f"(fetched {shown['date']})")
    return "  ".join(word for word in words if word)


def _certificate(name: object) -> dict[str, Any]:
    from device_sdk.wire.pal import IssuerSerial

    if isinstance(name, IssuerSerial):
        return {"issuer": name.issuer, "serial": f"{name.serial:x}"}
    return {"ski": name.hex()} if isinstance(name, bytes) else {"subject": name}
