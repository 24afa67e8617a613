"""`device-sdk provision label`: labels for devices that are provisioned."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from device_sdk.cli.files import write_file
from device_sdk.cli.output import Output
from device_sdk.cli.settings import Settings, add_settings
from device_sdk.cli.station.ledger import opened
from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from device_sdk.station.labels import Label
    from device_sdk.station.ledger import Ledger

FORMATS = ("svg", "png", "html", "zpl")
_MAX_LABELS = 10_000


def add_arguments(parser: argparse.ArgumentParser, _common: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    add_settings(parser, "station.ledger")
    parser.add_argument("serial_numbers", metavar="SERIAL", nargs="*", help="of the devices")
    parser.add_argument("--run", metavar="ID", dest="run_id", help="all devices that were provisioned in this run")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="svg",
        help="svg: a label; png: its QR code; html: a sheet of labels; zpl: for Zebra printers (default: %(default)s)",
    )
    parser.add_argument("--out", metavar="FILE", help="write it here instead of stdout")
    parser.set_defaults(run=_label)


def _label(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.station.labels import html, png, svg, zpl

    if bool(options.serial_numbers) == bool(options.run_id):
        raise ConfigurationError(
            "either serial numbers or a run", hint="device-sdk provision label SERIAL, or --run ID"
        )
    with opened(settings) as ledger:
        labels = _labels(ledger, options)
    if options.format in ("svg", "png") and len(labels) != 1:
        raise ConfigurationError(f"{options.format} is one label, not {len(labels)}", hint="--format html, or zpl")
    if options.format == "png":
        content = png(labels[0])
    elif options.format == "svg":
        content = svg(labels[0]).encode()
    elif options.format == "html":
        content = html(labels).encode()
    else:
        content = "".join(zpl(label) for label in labels).encode()
    if options.out:
        write_file(options.out, content)
        out.data(
            {"labels": [label.serial_number for label in labels], "file": options.out},
            f"{options.out}: {len(labels)} labels",
        )
    else:
        out.content(content)
    return 0


def _labels(ledger: Ledger, options: argparse.Namespace) -> list[Label]:
    from device_sdk.station.labels import Label

    if options.run_id:
        # a device that this run only met, and left alone, has its label
        records = [record for record in ledger.devices(run=options.run_id) if record.provisioned_in == options.run_id]
        if not records:
            raise ConfigurationError(
                f"no device was provisioned in run {options.run_id}", hint="check the name of the run"
            )
        if len(records) > _MAX_LABELS:
            raise ConfigurationError(f"these are {len(records)} labels; at most {_MAX_LABELS} at once")
        return [Label.of(record) for record in records]
    found = []
    for name in options.serial_numbers:
        record = ledger.device(name)
        if record is None:
            raise ConfigurationError(f"the ledger knows no device {name}", hint="check the serial number")
        found.append(Label.of(record))
    return found
