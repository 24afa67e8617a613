"""`device-sdk csr`: a certificate request signed by a key that stays where it is."""

from __future__ import annotations

import argparse

from device_sdk.cli import inputs
from device_sdk.cli.files import write_file
from device_sdk.cli.output import Output
from device_sdk.cli.pem import name_of
from device_sdk.cli.settings import Settings, add_settings


def add_arguments(parser: argparse.ArgumentParser, _name: str, _common: argparse.ArgumentParser) -> None:
    """Describe the command."""
    add_settings(
        parser, "key.uri", "key.pin_file", "key.pin_fd", "key.allow_imported", "certificates_dir", *inputs.IDENTITY
    )
    parser.add_argument("--out", metavar="FILE", help="write the PEM request here instead of stdout")
    parser.add_argument("--der", action="store_true", help="write DER instead of PEM; needs --out")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from typing import Any

    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from device_sdk.errors import ConfigurationError
    from device_sdk.wire.csr import build_csr

    if options.der and not options.out:
        raise ConfigurationError("--der needs --out FILE")
    spec = inputs.csr_spec(settings)
    with inputs.key_opened(settings.require("key.uri"), settings) as key:
        signer: Any = key  # every DeviceKey is also one of cryptography's keys, which no type says
        der = build_csr(spec, signer)
        uri = key.info.uri
    request = x509.load_der_x509_csr(der)
    pem = request.public_bytes(Encoding.PEM)
    if options.out:
        write_file(options.out, der if options.der else pem)
    if out.as_json or not options.out:
        data = {"subject": name_of(request.subject), "key_uri": uri, "pem": pem.decode(), "file": options.out}
        out.data(data, pem.decode())
    return 0
