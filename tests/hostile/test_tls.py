"""Servers that are wrong before the first byte of HTTP: old versions, weak suites, noise, silence."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID as Eku

from device_sdk.errors import (
    DeviceSdkError,
    TlsError,
    TransportError,
    TransportTimeoutError,
)
from tests.est.pki import new_key, pem_key
from tests.hostile.case import Case, carry_out, table
from tests.hostile.conftest import QUICK, Lab
from tests.hostile.host import Host


def _openssl(host: Host, *options: str) -> tuple[subprocess.Popen[bytes], int]:
    """openssl s_server with a certificate of the CA that is trusted; its port."""
    key = new_key()
    extensions = [
        (x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False),
        (x509.ExtendedKeyUsage([Eku.SERVER_AUTH]), False),
    ]
    certificate = host.ca.certify("leaf", key.public_key(), extensions=extensions)
    pem = Path(host.directory) / "s_server.pem"
    pem.write_bytes(pem_key(key) + certificate.public_bytes(Encoding.PEM))
    process = subprocess.Popen(
        ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", str(pem), "-quiet", *options],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    return process, _port_of(process.pid)


def _port_of(pid: int) -> int:
    """Where a process listens, as the kernel says."""
    for _ in range(1200):
        with suppress(OSError):
            sockets = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
            for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                    return int(fields[1].split(":")[1], 16)
        time.sleep(0.05)
    raise AssertionError("openssl s_server does not listen")


def forward(port: int) -> Callable[[socket.socket], None]:
    """Connect each connection to another port."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def carry(front: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as back:
            other = threading.Thread(target=pump, args=(back, front), daemon=True)
            other.start()
            pump(front, back)
            other.join(5)

    return carry


@pytest.fixture
def openssl(lab: Lab) -> Iterator[Callable[..., None]]:
    """Puts openssl s_server with these options in the host's place."""
    with ExitStack() as opened:

        def run(*options: str) -> None:
            process, port = _openssl(lab.host, *options)
            opened.callback(process.wait)
            opened.callback(process.kill)
            opened.callback(process.stdin.close)
            opened.callback(process.stderr.close)
            lab.host.raw = forward(port)

        yield run


WEAK = {
    "EST-50: TLS 1.0 only": ("-tls1", "-cipher", "ALL:@SECLEVEL=0"),
    "EST-50: TLS 1.1 only": ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
    "EST-51: anonymous suites only": ("-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"),
    "EST-51: no encryption": ("-tls1_2", "-cipher", "eNULL:!aNULL:@SECLEVEL=0"),
    "EST-51: CBC with SHA-1 only": ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"),
    "EST-51: PSK only": ("-tls1_2", "-cipher", "PSK-AES128-GCM-SHA256", "-psk", "11" * 16, "-nocert"),
    "EST-68: SRP only, which nobody asked for": ("-tls1_2", "-cipher", "SRP-AES-256-CBC-SHA", "-srpvfile", os.devnull),
}


@pytest.mark.parametrize("case", WEAK)
def test_weak_tls(lab: Lab, openssl: Callable[..., None], case: str) -> None:
    openssl(*WEAK[case])
    failure = lab.renewal_fails()
    assert isinstance(failure, TlsError), repr(failure)


@pytest.mark.slow
def test_the_same_openssl_with_good_options_gets_as_far_as_http(lab: Lab, openssl: Callable[..., None]) -> None:
    """s_server -quiet says nothing in HTTP, so a client that got through TLS waits for an answer."""
    openssl("-tls1_2")
    lab.timeouts = QUICK
    failure = lab.renewal_fails()
    assert isinstance(failure, TransportTimeoutError), repr(failure)
    assert "answer" in str(failure) or "response" in str(failure) or "read" in str(failure)


def say(*parts: bytes, then: str = "close", pause_s: float = 0.0) -> Callable[[Host], None]:
    """Bytes instead of a handshake."""

    def raw(sock: socket.socket) -> None:
        sock.settimeout(5)
        sock.recv(65536)
        for part in parts:
            sock.sendall(part)
            time.sleep(pause_s)
        if then == "wait":
            with suppress(OSError):
                while sock.recv(65536):
                    pass

    def attack(host: Host) -> None:
        host.raw = raw

    return attack


def never_reads(host: Host) -> None:
    def raw(sock: socket.socket) -> None:
        time.sleep(2)

    host.raw = raw


def reset(host: Host) -> None:
    def raw(sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    host.raw = raw


# A ServerHello is 0x16 0x03 0x03 LENGTH 0x02; an alert 0x15 0x03 0x03 0x0002 LEVEL DESCRIPTION.
BROKEN = (TlsError, TransportError)
CASES = [
    Case("EST-50", "HTTP without TLS", say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), TlsError),
    Case("EST-50", "another protocol", say(b"SSH-2.0-OpenSSH_9.2\r\n"), TlsError),
    Case("EST-50", "zeros", say(b"\0" * 5000), TlsError),
    Case("EST-50", "fatal alert", say(b"\x15\x03\x03\0\x02\x02\x28"), TlsError),
    Case("EST-50", "an alert that only warns", say(b"\x15\x03\x03\0\x02\x01\x00"), BROKEN),
    Case("EST-50", "a record longer than any", say(b"\x16\x03\x03\xff\xff" + b"\x02" * 65535), TlsError),
    Case("EST-50", "half a ServerHello", say(b"\x16\x03\x03\0\x7a\x02\0\0\x76\x03\x03"), BROKEN),
    Case("EST-50", "the end after the ClientHello", say(), BROKEN),
    Case("EST-50", "reset", reset, BROKEN),
    Case("EST-16", "silence in the handshake", say(then="wait"), TransportTimeoutError),
    Case(
        "EST-15", "one byte of a record a moment", say(*[b"\x16"] * 40, pause_s=0.1), (TransportTimeoutError, TlsError)
    ),
    Case("EST-16", "nobody reads", never_reads, TransportTimeoutError),
]


@pytest.mark.slow
@table(CASES)
def test_no_tls_at_all(lab: Lab, case: Case) -> None:
    failure: DeviceSdkError = carry_out(lab, case)
    assert lab.host.seen == []
    assert failure.exit_code
