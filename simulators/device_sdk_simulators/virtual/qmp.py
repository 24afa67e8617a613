"""QEMU's machine protocol: one command over the socket it listens on."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from device_sdk_simulators.softhsm import SimulatorError


def execute(path: Path, command: str) -> None:
    """Have QEMU do something.

    Raises:
        SimulatorError: it does not answer, or refuses.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(str(path))
            with connection.makefile("rw") as lines:
                lines.readline()
                for word in ("qmp_capabilities", command):
                    lines.write(json.dumps({"execute": word}) + "\n")
                    lines.flush()
                    while "event" in (answer := json.loads(lines.readline())):
                        pass
                    if "error" in answer:
                        raise SimulatorError(f"QEMU refuses {word}: {answer['error'].get('desc')}")
    except (OSError, ValueError) as error:
        raise SimulatorError(f"QEMU does not answer at {path}: {error}") from error
