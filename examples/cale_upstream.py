"""A web application that knows nothing of CALE, untouched: plain WSGI, as Flask or Django would be.

usage: python examples/cale_upstream.py PORT_FILE

Put an edge device in front, and whoever listens behind it reads nothing any more:
device-sdk-sim cale edge --state /tmp/edge --upstream http://127.0.0.1:PORT --user reader
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.simple_server import make_server


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    readings = {"/meter/1": {"kWh": 4711}, "/meter/2": {"kWh": 42}}
    found = readings.get(environ["PATH_INFO"])
    status = "200 OK" if found else "404 Not Found"
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(found or {"error": "no such meter"}).encode()]


def main(port_file: str) -> None:
    with make_server("127.0.0.1", 0, application) as server:
        Path(port_file).write_text(str(server.server_port))
        server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
