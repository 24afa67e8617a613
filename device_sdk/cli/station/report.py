"""`device-sdk provision report`: what became of a run."""

from __future__ import annotations

import argparse
import time

from device_sdk.cli.files import OutputFile
from device_sdk.cli.output import Output, one_line
from device_sdk.cli.settings import Settings, add_settings
from device_sdk.cli.station.ledger import opened


def add_arguments(parser: argparse.ArgumentParser, _common: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    add_settings(parser, "station.ledger")
    parser.add_argument("--run", metavar="ID", dest="run_id", help="which run (default: the one that started last)")
    parser.add_argument("--html", metavar="FILE", help="write it as a page")
    parser.add_argument("--pdf", metavar="FILE", help="write it as PDF")
    parser.set_defaults(run=_report)


def _report(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.station.ledger.entry import time_text
    from device_sdk.station.report import collect, html, pdf

    with OutputFile(options.html) as page_file, OutputFile(options.pdf) as pdf_file:
        with opened(settings) as ledger:
            report = collect(ledger, options.run_id, time_text(time.time()))
        if options.html or options.pdf:
            page = html(report)
            made = pdf(page) if options.pdf else b""
            page_file.write(page.encode())
            pdf_file.write(made)
    lines = [
        f"{report.run}: {report.count('provisioned')} provisioned, {report.count('failed')} failed, {report.count('left')} left"
    ]
    lines += [f"{one.serial_number or one.line}: {one.step}: {one.reason}" for one in report.failures if not one.mended]
    out.data(report.to_json(), "\n".join(one_line(line) for line in [*lines, str(report.head)]))
    return 0
