"""One enrolment as whole processes, by the SDK and by strongSwan's pki, against the same quiet server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from device_sdk_simulators.server import ReferenceServer
from measure import Figure, processes

RUNS = 10


def make_request(directory: Path) -> None:
    """A key for both, and the finished request strongSwan sends; making keys is not what is measured."""
    subprocess.run(
        ["openssl", "req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=bench",
         "-keyout", "key.pem", "-outform", "DER", "-out", "request.der"],
        cwd=directory, check=True, capture_output=True,
    )  # fmt: skip
    (directory / "key.pem").chmod(0o600)
    (directory / "strongswan.conf").write_text("pki {\n}\n")


def measure(directory: Path) -> tuple[list[tuple[str, Figure]], int]:
    """Wall time and memory of both, and how many TLS connections one of our enrolments took."""
    make_request(directory)
    with ReferenceServer(directory / "server") as server:
        ours = [
            sys.executable, "-m", "device_sdk.cli.main", "est", "enroll", "--url", server.url, "--anchors", str(server.ca_file),
            "--user", str(server.user), "--password-file", str(server.password_file), "--key", f"file:{directory}/key.pem",
            "--subject", "CN=bench", "--out", str(directory / "ours.pem"),
        ]  # fmt: skip
        before = server.connections
        first = processes([ours], RUNS)
        connections = (server.connections - before) // (RUNS + 1)
        swan = {"STRONGSWAN_CONF": str(directory / "strongswan.conf")}
        anchors = ["--cacert", str(server.ca_file)]
        login = ["--userpass", f"{server.user}:{server.password}"]
        fetch = ["pki", "--estca", "--url", server.url, *anchors, "--caout", str(directory / "swan-ca.pem"), "--force"]
        enrol = ["pki", "--est", "--url", server.url, "--in", str(directory / "request.der"), *anchors,
                 "--cacert", str(server.issuer_file), *login]  # fmt: skip
        second = processes([fetch, enrol], RUNS, swan)
        third = processes([enrol], RUNS, swan)
    return [
        ("device-sdk: cacerts, csrattrs, enroll; 1 process", first),
        ("strongSwan pki: --estca, --est; 2 processes", second),
        ("strongSwan pki: --est alone, CSR made before", third),
    ], connections
