"""One enrolment over lines of different length, by the SDK and by strongSwan's pki: what a round trip costs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from enrolment import make_request
from link import SERVER, Hosts, two_hosts
from measure import Figure, processes

RUNS = 5
ROUND_TRIPS_MS = (0, 20, 100)


@dataclass(frozen=True)
class Row:
    """One client over lines of every length.

    Attributes:
        name: what was run.
        figures: one for each of ROUND_TRIPS_MS.
        round_trips: of one enrolment, counted on the longest line.
    """

    name: str
    figures: tuple[Figure, ...]
    round_trips: float


@contextmanager
def _server(directory: Path, hosts: Hosts) -> Iterator[dict[str, str]]:
    words = [*hosts.server, sys.executable, "-m", "device_sdk_simulators.cli.main", "server", "--host", SERVER,
             "--state", str(directory / "line-server"), "--user", "device", "--json"]  # fmt: skip
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    if process.stdout is None:
        raise RuntimeError("a pipe was asked for")
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def _commands(directory: Path, server: dict[str, str]) -> dict[str, tuple[list[list[str]], dict[str, str]]]:
    password = Path(server["password_file"]).read_text().strip()
    anchors = ["--cacert", server["ca_file"]]
    login = ["--userpass", f"device:{password}"]
    ours = [sys.executable, "-m", "device_sdk.cli.main", "est", "enroll", "--url", server["url"], "--anchors", server["ca_file"],
            "--user", "device", "--password-file", server["password_file"], "--key", f"file:{directory}/key.pem",
            "--subject", "CN=bench", "--out", str(directory / "ours.pem")]  # fmt: skip
    fetch = ["pki", "--estca", "--url", server["url"], *anchors, "--caout", str(directory / "swan-ca.pem"), "--force"]
    enrol = ["pki", "--est", "--url", server["url"], "--in", str(directory / "request.der"), *anchors,
             "--cacert", server["issuer_file"], *login]  # fmt: skip
    swan = {"STRONGSWAN_CONF": str(directory / "strongswan.conf")}
    return {
        "device-sdk: cacerts, csrattrs, enroll; 1 process": ([ours], {}),
        "strongSwan pki: --estca, --est; 2 processes": ([fetch, enrol], swan),
        "strongSwan pki: --est alone, CSR made before": ([enrol], swan),
    }


def measure(directory: Path) -> list[Row]:
    """Wall time of both at every length of line; making keys is not measured."""
    make_request(directory)
    figures: dict[str, list[Figure]] = {}
    counted: dict[str, float] = {}
    for round_trip_ms in ROUND_TRIPS_MS:
        with two_hosts(round_trip_ms) as hosts, _server(directory, hosts) as server:
            for name, (sequence, environment) in _commands(directory, server).items():
                there = [[*hosts.client, *words] for words in sequence]
                hosts.round_trips()
                figures.setdefault(name, []).append(processes(there, RUNS, environment))
                # one more run than those that count
                counted[name] = hosts.round_trips() / (RUNS + 1)
    return [Row(name, tuple(found), counted[name]) for name, found in figures.items()]
