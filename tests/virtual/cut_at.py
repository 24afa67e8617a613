"""Runs `device-sdk` on the virtual device up to a moment, says so on the console, and waits there for the power cut.

    cut_at.py MOMENT ARGUMENTS...

The product knows nothing of this: functions are wrapped from outside.
"""

from __future__ import annotations

import http.client
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

WRAPPED = {
    "key-made": ("device_sdk.client.device.provenance", "_recorded", "before"),
    "certificate-received": ("device_sdk.client.est.client", "read_enrolment", "before"),
    "state-written": ("device_sdk.client.device.enrol", "finish", "after"),
}


def stop() -> None:
    sys.stdout.write("CUT HERE\n")
    sys.stdout.flush()
    while True:
        signal.pause()


def wrap(module: str, name: str, when: str) -> None:
    home = import_module(module)
    inner: Callable[..., Any] = getattr(home, name)

    def outer(*args: Any, **options: Any) -> None:
        if when == "after":
            inner(*args, **options)
        stop()

    setattr(home, name, outer)


def wrap_sending() -> None:
    """The request with a password was sent; its answer is not waited for."""
    putheader, getresponse = http.client.HTTPConnection.putheader, http.client.HTTPConnection.getresponse
    sent = []

    def watch(self: Any, header: Any, *values: Any) -> None:
        if str(header).lower() == "authorization":
            sent.append(header)
        putheader(self, header, *values)

    def wait(self: Any) -> Any:
        if sent:
            stop()
        return getresponse(self)

    http.client.HTTPConnection.putheader, http.client.HTTPConnection.getresponse = watch, wait  # type: ignore[method-assign]


def main() -> None:
    moment = sys.argv.pop(1)
    if moment == "csr-sent":
        wrap_sending()
    else:
        wrap(*WRAPPED[moment])
    from device_sdk.cli.main import main as command

    sys.exit(command())


if __name__ == "__main__":
    main()
