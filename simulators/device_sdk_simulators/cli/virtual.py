"""`device-sdk-sim virtual`: build the image of the virtual device, or switch a device on until it is told to stop."""

from __future__ import annotations

import argparse
from pathlib import Path

from device_sdk_simulators.cli.serve import serve


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser("virtual", help="a device of its own: kernel, TPM, serial console")
    parser.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="where images are kept; made anew as needed"
    )
    parser.add_argument("--wheel", type=Path, required=True, metavar="FILE", help="device-sdk, as pip wheel makes it")
    parser.add_argument(
        "--state", type=Path, metavar="DIR", help="the device; without it the image is built and that is all"
    )
    parser.add_argument("--serial-number", default="VD0001", metavar="TEXT", help="of the device [VD0001]")
    parser.add_argument("--mac", default="52:54:00:12:34:56", help="of its network card [52:54:00:12:34:56]")
    parser.add_argument("--server-port", type=int, metavar="PORT", help="loopback port it reaches as server.bench:8443")
    parser.add_argument("--epoch", type=int, metavar="SECONDS", help="its clock at the start, POSIX [now]")
    parser.add_argument("--no-tpm", action="store_true", help="without a TPM")
    parser.add_argument("--json", action="store_true", help="describe it as one JSON line")
    parser.set_defaults(run=_run, words=[])


def _run(options: argparse.Namespace) -> int:
    from device_sdk_simulators.virtual import VirtualDevice, build

    image = build(options.images, options.wheel)
    if options.state is None:
        print(image.root.parent)
        return 0
    settings = {} if options.epoch is None else {"epoch": str(options.epoch)}
    device = VirtualDevice(
        options.state, image, options.serial_number, options.mac, options.server_port, settings, tpm=not options.no_tpm
    )
    with device:
        return serve({"console": device.power_on(), "state": str(device.directory)}, {}, options)
