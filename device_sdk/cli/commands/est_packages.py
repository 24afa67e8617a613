"""`device-sdk est pal`, `crls` and `eecerts`: what a server has beyond the device's own certificate (RFC 8295)."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from device_sdk.cli import inputs, waiting
from device_sdk.cli.delivery import deliver
from device_sdk.cli.files import OutputFile
from device_sdk.cli.output import Output
from device_sdk.cli.pal import entry_data, entry_line
from device_sdk.cli.pem import add_crls, crls_in, describe, name_of, pem_of
from device_sdk.cli.settings import Settings
from device_sdk.model.urls import shown_url

if TYPE_CHECKING:
    from device_sdk.client.est.packages import Packages
    from device_sdk.protocols.crls import RevocationList, RevocationLists
    from device_sdk.protocols.eecerts import PeerCertificates


def add_arguments(operation: argparse.ArgumentParser) -> None:
    """Describe what one of them has beyond the other operations."""
    name = str(operation.prog.rpartition(" ")[2])
    operation.add_argument("--cert", metavar="FILE", help="certificate for TLS; its key is --key")
    if name == "eecerts":
        operation.add_argument(
            "--place",
            metavar="TARGET",
            help="which package: `where` of an entry of type 0003 (default: the server's choice)",
        )
        add_crls(operation, "")


def _opened(options: argparse.Namespace, settings: Settings, opened: ExitStack, out: Output) -> Packages:
    from device_sdk.cli.commands import est

    return opened.enter_context(est._client(settings, out, est._pair(options, settings, opened))).packages


def list_packages(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """`est pal`."""
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.out))
        packages = _opened(options, settings, opened, out)
        plan = packages.list(wait_s=inputs.wait(settings), progress=waiting.patience(out))
        for entry, reason in plan.skipped:
            out.say(f"note: skipped an entry of type {entry.type}: {reason}")
        data = {
            "entries": [entry_data(step) for step in plan.steps],
            "skipped": [{"type": entry.type, "reason": reason} for entry, reason in plan.skipped],
        }
        lines = [entry_line(step) for step in plan.steps] or ["nothing is there for this client"]
        return deliver(file, ("\n".join(lines) + "\n").encode(), data, out)


def crls(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """`est crls`."""
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.out))
        found = _opened(options, settings, opened, out).crls(
            wait_s=inputs.wait(settings), progress=waiting.patience(out)
        )
        for issuer, reason in found.rejected:
            out.say(f"note: rejected a revocation list of {issuer}: {reason}")
        for one in found.accepted:
            if one.stale:
                out.say(f"note: the revocation list of {name_of(one.crl.issuer)} is stale: its successor is overdue")
        if not (found.accepted or found.rejected):
            out.say("note: the server has no revocation lists")
        _require_usable(found, settings)
        pem = b"".join(_pem(one) for one in found.accepted)
        data = {
            "lists": [_list(one) for one in found.accepted],
            "rejected": [{"issuer": issuer, "reason": reason} for issuer, reason in found.rejected],
            "pem": pem.decode(),
        }
        return deliver(file, pem, data, out)


def _pem(one: RevocationList) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return one.crl.public_bytes(Encoding.PEM)


def _list(one: RevocationList) -> dict[str, Any]:
    crl = one.crl
    return {
        "issuer": name_of(crl.issuer),
        "this_update": f"{crl.last_update_utc:%Y-%m-%dT%H:%M:%SZ}",
        "next_update": f"{crl.next_update_utc:%Y-%m-%dT%H:%M:%SZ}" if crl.next_update_utc else None,
        "stale": one.stale,
        "entries": len(crl),
    }


def peers(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """`est eecerts`."""
    lists, issuers = crls_in(options.crls)
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.out))
        packages = _opened(options, settings, opened, out)
        wait_s, progress = inputs.wait(settings), waiting.patience(out)
        found = packages.peers(options.place, lists=lists, intermediates=issuers, wait_s=wait_s, progress=progress)
        for certificate, reason in found.rejected:
            out.say(f"note: rejected {name_of(certificate.subject)}: {reason}")
        if not (found.accepted or found.rejected):
            out.say("note: the server has no certificates of peers for this client")
        _require_usable(found, settings)
        pem = pem_of(found.accepted)
        data = {
            "certificates": [describe(certificate) for certificate in found.accepted],
            "rejected": [describe(certificate) | {"reason": reason} for certificate, reason in found.rejected],
            "pem": pem.decode(),
        }
        return deliver(file, pem, data, out)


def _require_usable(found: RevocationLists | PeerCertificates, settings: Settings) -> None:
    from device_sdk.protocols.usable import require_usable

    require_usable(found, shown_url(settings.require("est.url")))
