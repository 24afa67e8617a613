"""`device-sdk provision web`: the station page."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path

from device_sdk.cli.output import Output
from device_sdk.cli.settings import Settings, add_settings


def add_arguments(parser: argparse.ArgumentParser, _common: argparse.ArgumentParser) -> None:
    """Describe the options."""
    add_settings(parser, "station.ledger")
    parser.add_argument("--listen", metavar="ADDRESS", default="127.0.0.1", help="address to listen on [127.0.0.1]")
    parser.add_argument("--port", type=int, default=8080, help="port; 0 picks a free one [8080]")
    parser.add_argument(
        "--host-name", metavar="NAME", action="append", default=[], help="further name browsers use for it; repeatable"
    )
    parser.add_argument(
        "--password-file", metavar="FILE", help="file holding the page's password; the user is called station"
    )
    parser.add_argument("--tls-cert", metavar="FILE", type=Path, help="PEM with the page's certificate and its chain")
    parser.add_argument("--tls-key", metavar="FILE", type=Path, help="PEM with its key")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.cli.secrets import secret_in
    from device_sdk.station.ledger import Ledger
    from device_sdk.station.web import PageServer

    password = secret_in(options.password_file) if options.password_file else None
    with (
        Ledger.open(settings.require("station.ledger"), read_only=True) as ledger,
        PageServer(
            ledger,
            address=options.listen,
            port=options.port,
            names=tuple(options.host_name),
            password=password,
            certificate=options.tls_cert,
            key=options.tls_key,
        ) as page,
    ):
        out.line({"url": page.url}, f"the page is at {page.url}; Ctrl-C ends it")
        threading.Event().wait()
    return 0
