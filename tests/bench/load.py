"""How many enrolments a second the reference server bears; its clients are threads of this process, on the same cores."""

from __future__ import annotations

import base64
import http.client
import ssl
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from device_sdk_simulators.process import ServerProcess
from enrolment import make_request

CLIENTS = (1, 8, 32)
SECONDS = 4.0


def _enrol(server: ServerProcess, context: ssl.SSLContext, body: bytes, login: str) -> None:
    """One connection, one certificate."""
    port = urlsplit(server.url).port
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=30)
    headers = {"Content-Type": "application/pkcs10", "Authorization": login, "Connection": "close"}
    connection.request("POST", "/.well-known/est/simpleenroll", body, headers)
    response = connection.getresponse()
    if response.status != 200 or not response.read():
        raise RuntimeError(f"the server answered {response.status}")
    connection.close()


def measure(directory: Path) -> list[tuple[int, float]]:
    """Enrolments per second for each number of clients; every one makes a new TLS connection, none is resumed."""
    make_request(directory)
    body = base64.b64encode((directory / "request.der").read_bytes())
    with ServerProcess(directory / "load-server") as server:
        context = ssl.create_default_context(cafile=str(server.ca_file))
        login = "Basic " + base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
        return [(clients, _rate(server, context, body, login, clients)) for clients in CLIENTS]


def _rate(server: ServerProcess, context: ssl.SSLContext, body: bytes, login: str, clients: int) -> float:
    counts = [0] * clients
    failures: list[Exception] = []
    _enrol(server, context, body, login)
    end = time.perf_counter() + SECONDS

    def work(number: int) -> None:
        try:
            while time.perf_counter() < end:
                _enrol(server, context, body, login)
                counts[number] += 1
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return sum(counts) / (time.perf_counter() - begun)
