"""The main job, watched: two devices, one with a PKCS#11 token and one with a TPM 2.0, get and use an identity.

Everything is done with the two command lines, `device-sdk-sim` for what stands in for hardware and servers and `device-sdk`
for the devices, so that every step can be repeated by hand. Run it with `./run demo` (`--json`, `--keep`).
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path

from device import Device, pkcs11_device, tpm2_device
from narrator import Narrator
from programs import ProgramError, Server, Simulator

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./run demo", description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else ""
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object on stdout, words on stderr")
    parser.add_argument("--keep", action="store_true", help="leave servers and simulators running until Ctrl-C")
    return parser.parse_args()


def _act(server: Server, devices: list[Device], tell: Narrator) -> list[dict[str, object]]:
    results = []
    for device in devices:
        tell.chapter(f"{device.name}: {device.hardware}")
        device.enrol(server, tell)
        device.renew(server, tell)
        device.read_answer(server, tell)
        results.append(device.result(server))
    return results


def _run(options: argparse.Namespace, directory: Path) -> int:
    tell = Narrator(sys.stderr if options.json else sys.stdout)
    tell.title("Two devices, two kinds of hardware, one identity each")
    with (
        Simulator("softhsm", "--state", directory / "token", "--label", "router-7") as softhsm,
        Simulator("swtpm", "--state", directory / "tpm") as swtpm,
        Server(directory) as server,
    ):
        tell.paragraph(f"A token ({softhsm.facts['label']}), a TPM 2.0 and an EST + CALE server run on this machine now, each in a "
                       f"directory of its own. The server is {server.url}.")  # fmt: skip
        devices = [pkcs11_device(directory, softhsm), tpm2_device(directory, swtpm)]
        results = _act(server, devices, tell)
        tell.table(results)
        if options.json:
            print(json.dumps({"devices": results}), flush=True)
        if options.keep:
            tell.invitation(server, devices)
            _until_stopped(server)
    return 0


def _until_stopped(server: Server) -> None:
    try:
        server.wait()
    except _Stopped:
        return
    raise ProgramError("the server ended by itself")


class _Stopped(SystemExit):
    """Somebody wants the demonstration to end; the with-blocks then end everything in order."""


def _stop(number: int, _frame: object) -> None:
    for other in _SIGNALS:
        # tidying up takes a moment and is not to be interrupted
        signal.signal(other, signal.SIG_IGN)
    raise _Stopped(128 + number)


def main() -> int:
    """Run the demonstration; the exit code is 0 only if every step was what it should be."""
    options = _arguments()
    for number in _SIGNALS:
        signal.signal(number, _stop)
    try:
        with tempfile.TemporaryDirectory(prefix="device-sdk-demo-") as directory:
            return _run(options, Path(directory))
    except ProgramError as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
