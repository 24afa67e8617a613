"""The station page without a browser: who may see it, what is on it, and that nothing on it is a device's markup."""

from __future__ import annotations

import base64
import http.client
import logging
import socket
import ssl
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from device_sdk_simulators.server import ReferenceServer

from device_sdk.errors import ConfigurationError
from device_sdk.model.secret import Secret
from device_sdk.station.ledger import Ledger
from device_sdk.station.web import Access, PageServer, make_app, serving, waiting
from tests.station.web.entries import HOSTILE, begin, work

PASSWORD = "correct horse battery"


def get(page: PageServer, path: str, **headers: str) -> tuple[int, str]:
    answer = requests.get(page.url + path, headers=headers, timeout=60)
    return answer.status_code, answer.text


def test_every_page_of_an_empty_ledger(page: PageServer) -> None:
    for path in ("", "runs", "failures", "devices", "devices?serial=nobody", "run?name=nothing", "api/live"):
        assert get(page, path)[0] == 200, path
    assert get(page, "etc/passwd")[0] == 404
    assert get(page, "static/../app.py")[0] == 404


def test_what_happened_is_on_the_pages(page: PageServer, ledger: Ledger) -> None:
    begin(ledger)
    work(ledger, "SN-1", "/dev/ttyUSB0", steps=6, end="provisioned")
    work(
        ledger,
        "SN-2",
        "/dev/ttyUSB1",
        steps=2,
        end="failed",
        reason="nobody answers; look at the cable",
        excerpt="login: \n",
    )
    assert "look at the cable" in get(page, "failures")[1]
    assert "<pre>login:" in get(page, "failures")[1]
    assert "provisioned" in get(page, "devices?serial=SN-1")[1]
    assert "SN-2" in get(page, "run?name=run-1")[1]
    assert "bench-3" in get(page, "runs")[1]
    ledger.append("run-ended", run="run-1", outcome="done", facts={"provisioned": 1, "failed": 1})
    assert "goes on" not in get(page, "runs")[1]


def test_older_failures_are_found(page: PageServer, ledger: Ledger) -> None:
    begin(ledger)
    for number in range(130):
        ledger.append("failed", line="/dev/ttyUSB0", run="run-1", outcome="line", facts={"reason": f"reason {number}."})
    first = get(page, "failures")[1]
    assert "reason 129." in first
    assert "reason 29." not in first
    older = first.partition("before=")[2].partition('"')[0]
    second = get(page, f"failures?before={older}")[1]
    assert "reason 29." in second
    assert "reason 0." in second


def test_numbers_far_beyond_the_ledger_are_one_question(page: PageServer, ledger: Ledger) -> None:
    begin(ledger)
    ledger.append("failed", line="/dev/ttyUSB0", run="run-1", outcome="line", facts={"reason": "a reason."})
    assert "a reason." in get(page, "failures?before=999999999999999")[1]
    assert get(page, "failures?before=0")[0] == 200


def test_other_pages_get_nothing(page: PageServer) -> None:
    """An image or a script of a page elsewhere, as the browser says; following a link is not that."""
    for site in ("cross-site", "same-site"):
        assert get(page, "failures", **{"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"})[0] == 403
        frame = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
        assert get(page, "failures", **frame)[0] == 403
        assert get(page, "failures", **(frame | {"Sec-Fetch-Dest": "document"}))[0] == 200
    assert get(page, "api/live", **{"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"})[0] == 200


def test_words_of_devices_are_text(page: PageServer, ledger: Ledger) -> None:
    begin(ledger)
    work(ledger, HOSTILE, "/dev/ttyUSB0", steps=1, end="failed", reason=HOSTILE, excerpt=HOSTILE)
    for path in ("failures", "run?name=run-1", "runs", f"devices?serial={quote(HOSTILE)}"):
        status, body = get(page, path)
        assert status == 200
        assert "<img" not in body, path


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_another_host_is_refused(page: PageServer, host: str) -> None:
    """A page elsewhere whose name leads to this machine sees nothing (DNS rebinding)."""
    assert get(page, "api/live", Host=host)[0] in {400, 421}


def test_headers_keep_others_out(page: PageServer) -> None:
    headers = requests.get(page.url, timeout=60).headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"


def test_it_writes_nothing(page: PageServer) -> None:
    assert requests.post(page.url + "api/live", timeout=60).status_code == 405
    assert requests.post(page.url + "api/live", data=b"x", timeout=60).status_code == 413
    assert requests.post(page.url, data=b"x" * 100_000, timeout=60).status_code in {405, 413}


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104
def test_elsewhere_only_with_tls_and_password(ledger: Ledger, address: str, tmp_path: Path) -> None:
    for options in ({}, {"password": Secret(PASSWORD)}, {"certificate": tmp_path, "key": tmp_path}):
        with pytest.raises(ConfigurationError, match="TLS and a password"):
            PageServer(ledger, address=address, port=0, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_number_that_is_no_port(ledger: Ledger, port: int) -> None:
    with pytest.raises(ConfigurationError, match=f"{port} is no port"):
        PageServer(ledger, port=port)


def test_a_short_password_is_none() -> None:
    with pytest.raises(ConfigurationError, match="fewer than"):
        Access(frozenset(), Secret("short"))


def test_the_password_is_asked_for_and_guessing_ends() -> None:
    time = [0.0]
    access = Access(frozenset(), Secret(PASSWORD), lambda: time[0])
    assert access.may_see("station", PASSWORD)
    assert not access.may_see(None, None)
    assert not access.may_see("root", PASSWORD)
    for number in range(20):
        assert not access.may_see("station", f"guess {number}")
    assert access.may_see("station", PASSWORD), "who is in stays in while somebody else guesses"
    other = Access(frozenset(), Secret(PASSWORD), lambda: time[0])
    for number in range(5):
        assert not other.may_see("station", f"guess {number}")
    assert not other.may_see("station", PASSWORD), "nobody gets in for a while"
    time[0] += 31
    assert not other.may_see("station", "one more guess")
    assert other.may_see("station", PASSWORD), "after the wait one wrong password keeps nobody out"


def test_over_tls_with_the_password(ledger: Ledger, est_server: ReferenceServer, tmp_path: Path) -> None:
    certificate, key = tls_pair(est_server, tmp_path)
    begin(ledger)
    with PageServer(
        ledger, address="127.0.0.1", port=0, password=Secret(PASSWORD), certificate=certificate, key=key
    ) as page:
        context = ssl.create_default_context(cafile=str(est_server.ca_file))
        port = int(page.url.rpartition(":")[2].rstrip("/"))
        word = base64.b64encode(f"station:{PASSWORD}".encode()).decode()
        seen = []
        for headers in (
            {},
            {"Authorization": f"Basic {word}"},
            {"Authorization": "Basic ???"},
            {"Authorization": "Bearer x"},
        ):
            connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=60)
            connection.request("GET", "/api/live", headers=headers)
            seen.append(connection.getresponse().status)
            connection.close()
        assert seen == [401, 200, 401, 401]
        # who speaks no TLS gets no page, and stops nobody
        with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with suppress(ConnectionResetError):
                assert b"200" not in plain.recv(4096)


@pytest.mark.slow
def test_who_says_nothing_keeps_nobody_out(
    ledger: Ledger,
    est_server: ReferenceServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More silent connections than there are threads, before TLS and after it. Nobody's patience ends first: it does not matter how long one would be waited for."""
    monkeypatch.setattr(serving, "_TIMEOUT_S", 3600)
    monkeypatch.setattr(waiting, "_HANDSHAKE_S", 3600)
    caplog.set_level(logging.INFO)
    certificate, key = tls_pair(est_server, tmp_path)
    page = PageServer(ledger, address="127.0.0.1", port=0, password=Secret(PASSWORD), certificate=certificate, key=key)
    context = ssl.create_default_context(cafile=str(est_server.ca_file))
    with page, ExitStack() as open_yet:
        port = int(page.url.rpartition(":")[2].rstrip("/"))

        def connect(words: bytes | None) -> None:
            silent = open_yet.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            if words is not None:
                silent = open_yet.enter_context(context.wrap_socket(silent, server_hostname="localhost"))
                silent.sendall(words)

        def ask() -> int:
            connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=60)
            connection.request("GET", "/api/live")
            status = connection.getresponse().status
            connection.close()
            return status

        slow = [
            f"{method} / HTTP/1.1\r\nHost: localhost\r\n{content}\r\n\r\n".encode()
            for method in ("GET", "POST")
            for content in ("Content-Length: 4000", "Transfer-Encoding: chunked")
        ]
        for words in (None, b"GET / HTTP/1.1\r\n", *slow):
            for _ in range(waiting.THREADS + 4):
                connect(words)
            assert ask() == 401
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.INFO and "web" in one.name] == []


@dataclass(eq=False)
class _End:
    socket: socket.socket
    remote_addr: str


def test_the_oldest_of_who_has_the_most_is_given_up() -> None:
    pairs = [socket.socketpair() for _ in range(4)]
    guard = waiting.Waiting(2)
    ends = [_End(ours, address) for (ours, _), address in zip(pairs, "abba", strict=True)]
    for end in ends[:3]:
        guard.came(end)
    for _, theirs in pairs:
        theirs.setblocking(False)
    assert pairs[1][1].recv(1) == b"", "b had the most"
    guard.over(ends[2])
    guard.came(ends[3])
    with pytest.raises(BlockingIOError):
        pairs[0][1].recv(1)
    for pair in pairs:
        for end in pair:
            end.close()


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("fd00::5", "[fd00::5]:8080"),
        ("fd00::5", "[fd00::5]"),
        ("FD00:0:0::5", "[fd00::5]:8080"),
        ("[fd00::5]", "[fd00::5]:8080"),
        ("[fd00::5]:8080", "[fd00::5]:8080"),
        ("10.9.8.7", "10.9.8.7:8080"),
        ("Station.Lab", "station.lab:8080"),
        ("station.lab", "Station.Lab"),
    ],
)
def test_a_host_is_known_however_it_is_spelled(given: str, asked: str) -> None:
    access = Access(frozenset({given}))
    assert access.is_for_us(asked)
    for other in ("[fd00::6]:8080", "[fd00::5]:8081" if ":8080" in given else "evil.example", "fd00::", "", "8080"):
        assert not access.is_for_us(other), other


@pytest.mark.parametrize("address", ["::1", "[::1]", "0:0::1"])
def test_its_own_url_is_answered_where_the_address_is_of_ipv6(ledger: Ledger, address: str) -> None:
    with PageServer(ledger, address=address, port=0) as page:
        assert page.url.startswith("http://[")
        assert get(page, "api/live")[0] == 200


def tls_pair(server: ReferenceServer, directory: Path) -> tuple[Path, Path]:
    """A certificate for localhost by the reference server's CA."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    issuer, key, now = server.hierarchy.issuing, ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "station")]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )
    (directory / "page.pem").write_bytes(
        certificate.public_bytes(Encoding.PEM) + issuer.certificate.public_bytes(Encoding.PEM)
    )
    (directory / "page.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return directory / "page.pem", directory / "page.key"


def test_a_broken_ledger_is_said(ledger: Ledger, tmp_path: Path) -> None:
    client = make_app(ledger, Access(frozenset())).test_client()
    assert client.get("/api/live").status_code == 200
    ledger.close()
    (tmp_path / "ledger.sqlite").write_bytes(b"no database" * 1000)
    answer = client.get("/failures")
    assert answer.status_code == 503
    assert "ledger" in answer.text
