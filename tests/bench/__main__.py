"""`./run bench`: figures of this machine, side by side in one run; compare within a table only."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import cale
import enrolment
import firmware
import latency
import load
import provision
import rates
from measure import processes

RUNS = 20


def _heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def _start_up() -> None:
    _heading("Start-up of a process: median wall time (smallest to largest), peak memory")
    python = sys.executable
    for name, words in (
        ("python -c pass", [python, "-c", "pass"]),
        ("python -c 'import device_sdk'", [python, "-c", "import device_sdk"]),
        ("device-sdk --version", [str(Path(python).parent / "device-sdk"), "--version"]),
        ("device-sdk est enroll --help", [str(Path(python).parent / "device-sdk"), "est", "enroll", "--help"]),
        ("python -c 'import cryptography.x509'", [python, "-c", "import cryptography.x509"]),
        ("python -c 'import requests'", [python, "-c", "import requests"]),
    ):
        print(f"{name:50} {processes([words], RUNS)}")


def _enrolment(directory: Path) -> None:
    _heading("One enrolment, EC P-256 key in a file, HTTP Basic, whole processes: wall time, peak memory")
    figures, connections = enrolment.measure(directory)
    for name, figure in figures:
        print(f"{name:50} {figure}")
    print(f"TLS connections of one device-sdk enrolment: {connections}")


def _latency(directory: Path) -> None:
    times = ", ".join(f"{milliseconds} ms" for milliseconds in latency.ROUND_TRIPS_MS)
    _heading(f"The same enrolment over lines with a round-trip time of {times}: median wall time, round trips counted")
    for row in latency.measure(directory):
        walls = " ".join(f"{figure.wall_ms:7.0f} ms" for figure in row.figures)
        print(f"{row.name:50} {walls} {row.round_trips:6.1f}")


def _load(directory: Path) -> None:
    _heading("Reference server: enrolments per second, a TLS connection each; its clients run on the same cores")
    for clients, rate in load.measure(directory):
        print(f"{clients:3} clients {rate:8.1f}/s")


def _rates(title: str, rows: Iterable[tuple[str, float, float]]) -> None:
    _heading(title)
    print(f"{'operation':14} {'device-sdk':>12} {'raw C loop':>12} {'share':>7}")
    for name, ours, raw in rows:
        print(f"{name:14} {ours:10.0f}/s {raw:10.0f}/s {ours / raw:6.0%}")


def _messages(pkcs11: Path, tpm: Path, directory: Path) -> None:
    _heading("Encrypted messages of 1 KiB opened per second, one thread; the key's bare operation in turns with them")
    print(f"{'key':22} {'message':22} {'opened':>9} {'bare, SDK':>10} {'bare, C':>10} {'share':>6}")
    for row in cale.rates(pkcs11, tpm, directory):
        raw = f"{row.raw:8.0f}/s" if row.raw else " " * 10
        share = row.opened / (row.raw or row.bare)
        print(f"{row.key:22} {row.message:22} {row.opened:7.0f}/s {row.bare:8.0f}/s {raw} {share:6.0%}")
    _heading("One message of 1 KiB, RSA-2048 in a file: median wall time (smallest to largest), peak memory")
    for name, figure in cale.processes(directory):
        print(f"{name:50} {figure}")


def _keystores(directory: Path) -> None:
    pkcs11, tpm = rates.compile_probes(directory)
    _rates("SoftHSM token: operations per second, one thread", rates.token_rates(pkcs11))
    _rates("swtpm: operations per second, one thread", rates.tpm_rates(tpm, directory))


def _firmware(directory: Path) -> None:
    _heading("Firmware package to file, whole processes: verified, decrypted, inflated; openssl inflates nothing")
    print(f"{'firmware':>8} {'form':22} {'SDK':>10} {'extra memory':>13} {'openssl cms':>12} {'peak memory':>12}")
    for row in firmware.measure(directory):
        ours, theirs = row.mib / row.seconds, row.mib / row.openssl_seconds
        extra = row.peak_mib - row.idle_mib
        print(
            f"{row.mib:4} MiB {row.form:22} {ours:5.0f} MB/s {extra:9.1f} MiB {theirs:7.0f} MB/s {row.openssl_peak_mib:8.0f} MiB"
        )


def _provision(directory: Path) -> None:
    _heading("Devices that a station provisions (mode relay, agents on ptys); fleet and server share the cores with it")
    print(f"{'lines':>5} {'devices':>8} {'a minute':>9} {'each':>9} {'station busy':>13}")
    for row in provision.measure(directory):
        minute, each = row.devices * 60 / row.wall_s, row.busy_s * 1000 / row.devices
        print(f"{row.lines:5} {row.devices:8} {minute:9.0f} {each:6.0f} ms {row.busy_s / row.wall_s:12.0%}")


PARTS: dict[str, Callable[[Path], None]] = {
    "start-up": lambda _directory: _start_up(),
    "enrolment": _enrolment,
    "latency": _latency,
    "load": _load,
    "keystores": _keystores,
    "firmware": _firmware,
    "provision": _provision,
    "messages": lambda directory: _messages(*rates.compile_probes(directory), directory),
}


def main() -> None:
    """Measure what is asked for, or everything, and print it."""
    parser = argparse.ArgumentParser(prog="./run bench", description="Measure; everything takes about five minutes.")
    parser.add_argument(
        "part", nargs="*", choices=[*PARTS, []], help=f"one of {', '.join(PARTS)}; all if none is named"
    )
    asked = parser.parse_args().part or list(PARTS)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory(prefix="device-sdk-bench-") as name:
        for part in asked:
            PARTS[part](Path(name))


if __name__ == "__main__":
    main()
