"""The HTTPS server under clients that are rude, slow, many or gone."""

from __future__ import annotations

import base64
import os
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from device_sdk_simulators.ca.tls import TlsProfile, tls_settings
from device_sdk_simulators.http.listener import Listener
from device_sdk_simulators.http.messages import Request, Response
from device_sdk_simulators.http.parser import ConnectionEnded, Limits, RequestReader
from device_sdk_simulators.server import ReferenceServer

from tests.simulators.server.support import EST, basic, client_context, make_csr

GET = b"GET /.well-known/est/cacerts HTTP/1.1\r\nHost: localhost\r\n"


def tls_socket(server, timeout=10) -> ssl.SSLSocket:
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=timeout)
    return client_context(server).wrap_socket(raw, server_hostname="localhost")


def read_all(sock) -> bytes:
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except (ssl.SSLError, ConnectionError):
        pass
    return data


def exchange(server, data: bytes) -> bytes:
    with tls_socket(server) as sock:
        sock.sendall(data)
        return read_all(sock)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x00\x01\x02\x03\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /x HTTP/1.1 x\r\n\r\n", 400),
        (b"GET x HTTP/1.1\r\n\r\n", 400),
        (b"GET /x HTTP/2.0\r\n\r\n", 505),
        (b"GET /x HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nA : b\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nA: b\x00\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\n" + b"A: b\r\n" * 100 + b"\r\n", 431),
        (b"GET /x HTTP/1.1\r\nA: " + b"b" * 20000, 431),
        (b"POST /x HTTP/1.1\r\n\r\n", 411),
        (b"POST /x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nTransfer-Encoding: base64\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", 400),
        (b"POST /x HTTP/1.1\r\nContent-Length: 65537\r\n\r\n", 413),
        (b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFF\r\n", 413),
        (b"POST /x HTTP/1.1\r\nContent-Length: 1\r\nExpect: a miracle\r\n\r\n", 417),
        (b"GET /.well-known/est/cacerts HTTP/1.0\r\n\r\n", 200),
        (b"GET https://localhost/.well-known/est/cacerts HTTP/1.1\r\nConnection: close\r\n\r\n", 200),
        (b"\r\nGET /.well-known/est/cacerts HTTP/1.1\r\nConnection: close\r\n\r\n", 200),
    ],
)
def test_requests_good_and_bad_get_their_status(server, data, status):
    """RFC 9112, and the bounds of EST-16."""
    assert status_of(exchange(server, data)) == status
    assert server.log()[-1]["status"] == status


def test_a_body_that_is_too_large_is_answered_before_it_is_read_est_16(server):
    with tls_socket(server) as sock:
        sock.sendall(b"POST /x HTTP/1.1\r\nContent-Length: 100000\r\n\r\n")
        sock.sendall(b"x" * 100000)
        assert status_of(read_all(sock)) == 413


def test_an_answer_is_one_tls_record_with_title_case_names_and_a_length(server):
    with tls_socket(server) as sock:
        sock.sendall(GET + b"\r\n")
        answer = sock.recv(16384)
    head, _, body = answer.partition(b"\r\n\r\n")
    names = [line.split(b":")[0].decode() for line in head.split(b"\r\n")[1:]]
    assert names == ["Date", "Content-Type", "Content-Transfer-Encoding", "Cache-Control", "Content-Length"]
    assert int(head.rsplit(b"Content-Length: ", 1)[1]) == len(body)


def test_head_has_no_body(server):
    answer = exchange(server, b"HEAD /.well-known/est/none HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n")
    assert status_of(answer) == 404


def test_pipelined_and_split_requests(server):
    with tls_socket(server) as sock:
        for byte in GET:
            sock.sendall(bytes([byte]))
        sock.sendall(b"\r\n" + GET + b"Connection: close\r\n\r\n")
        assert read_all(sock).count(b"HTTP/1.1 200 OK") == 2
    assert server.connections == 1


def test_a_whole_enrolment_on_one_connection(server, connect):
    connection = connect()
    for method, operation in (
        ("GET", "cacerts"),
        ("GET", "csrattrs"),
        ("POST", "simpleenroll"),
        ("POST", "simpleenroll"),
    ):
        body = base64.b64encode(make_csr()) if method == "POST" else None
        headers = dict([basic(server)]) if operation == "simpleenroll" else {}
        connection.request(method, EST + operation, body, headers)
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
    assert server.connections == 1
    assert [entry["connection"] for entry in server.log()] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    "noise", [b"", b"GET / HTTP/1.1\r\n\r\n", os.urandom(3000), b"\x16\x03\x01\xff\xff" + b"\0" * 500]
)
def test_noise_on_the_socket_does_not_stop_the_server(server, noise):
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
            sock.sendall(noise)
    assert status_of(exchange(server, GET + b"Connection: close\r\n\r\n")) == 200


def test_clients_that_vanish_do_not_stop_the_server(server):
    for cut in (0, 10, 40):
        sock = tls_socket(server)
        sock.sendall((b"POST /.well-known/est/simpleenroll HTTP/1.1\r\nContent-Length: 1000\r\n\r\n" + b"x" * 40)[:cut])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
    assert status_of(exchange(server, GET + b"Connection: close\r\n\r\n")) == 200


@pytest.mark.slow
def test_a_client_that_drips_bytes_is_cut_off(tmp_path, server):
    limits = Limits(request_s=1.0, idle_s=1.0, handshake_s=1.0)
    settings = tls_settings(server.hierarchy, TlsProfile(), ())
    listener = Listener(server.handle, settings, server.clock, limits=limits)
    listener.start()
    try:
        with socket.create_connection(("127.0.0.1", listener.port), timeout=10) as silent:
            assert silent.recv(1) == b""
        raw = socket.create_connection(("127.0.0.1", listener.port), timeout=10)
        with client_context(server).wrap_socket(raw, server_hostname="localhost") as sock:
            started = time.monotonic()
            with suppress(OSError):
                while time.monotonic() - started < 10:
                    sock.sendall(b"G")
                    time.sleep(0.1)
            assert time.monotonic() - started < 9
    finally:
        listener.stop()


@pytest.mark.slow
def test_parallel_enrolments(server):
    def enrol(number: int) -> int:
        with tls_socket(server, timeout=60) as sock:
            body = base64.b64encode(make_csr())
            name, value = basic(server)
            head = f"POST {EST}simpleenroll HTTP/1.1\r\n{name}: {value}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            sock.sendall(head.encode() + body)
            return status_of(read_all(sock))

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(enrol, range(64))) == [200] * 64
    entries = server.est.register.entries()
    assert len({entry["serial"] for entry in entries}) == 64
    assert len(server.log()) == 64


def test_stop_leaves_no_thread_and_no_socket(tmp_path):
    before = set(threading.enumerate())
    server = ReferenceServer(tmp_path / "state").start()
    sockets = [tls_socket(server) for _ in range(5)]
    idle = socket.create_connection(("127.0.0.1", server.port))
    started = time.monotonic()
    server.stop()
    assert time.monotonic() - started < 9
    assert set(threading.enumerate()) <= before
    for sock in [*sockets, idle]:
        sock.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


@pytest.mark.slow
def test_stop_waits_for_the_answer_that_is_being_made(server):
    entered = threading.Event()

    def slow(_request: Request) -> Response:
        entered.set()
        time.sleep(0.5)
        return Response(204)

    before = set(threading.enumerate())
    listener = Listener(slow, tls_settings(server.hierarchy, TlsProfile(), ()), server.clock)
    listener.start()
    raw = socket.create_connection(("127.0.0.1", listener.port), timeout=10)
    with client_context(server).wrap_socket(raw, server_hostname="localhost") as sock:
        sock.sendall(GET + b"\r\n")
        assert entered.wait(60)
        listener.stop()
    assert set(threading.enumerate()) <= before


def test_an_error_inside_is_500_and_says_nothing(server):
    server.policy.csrattrs = ["not an oid"]
    answer = exchange(server, b"GET /.well-known/est/csrattrs HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert status_of(answer) == 500
    assert b"oid" not in answer
    assert "Error" in server.log()[-1]["reason"]


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        (TlsProfile(expired=True), "expired"),
        (TlsProfile(not_yet_valid=True), "not yet valid"),
        (TlsProfile(unknown_ca=True), "local issuer|self-signed|self signed"),
        (TlsProfile(names=("other.example",), local_names=False), "Hostname mismatch"),
        (TlsProfile(usages=("1.3.6.1.5.5.7.3.28",)), "purpose"),
        (TlsProfile(send_chain=False), "local issuer"),
    ],
)
def test_server_certificates_a_client_must_refuse(server, profile, words):
    server.use_tls(profile)
    with pytest.raises(ssl.SSLCertVerificationError, match=words):
        tls_socket(server)


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_one_version_only(server, version):
    server.use_tls(TlsProfile(minimum=version, maximum=version, key_type="rsa-2048"))
    with tls_socket(server) as sock:
        assert sock.version() == version


@pytest.mark.slow
def test_old_versions_and_weak_suites_are_refused_est_50_est_51(run, server):
    """OpenSSL's client offers it, and the server's alert ends it."""
    for words in (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-tls1_2", "-cipher", "AES128-SHA"],
                  ["-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"]):  # fmt: skip
        done = run("openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", *words, check=False, input="")
        assert "Cipher is (NONE)" in done.stdout, words
        assert "alert protocol version" in done.stderr or "alert handshake failure" in done.stderr, words


def test_a_certificate_of_an_unknown_ca_is_refused_in_the_handshake_est_21(server, run, tmp_path):
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "k.pem",
        "-out", "c.pem", "-subj", "/CN=stranger")  # fmt: skip
    context = client_context(server, certificate=tmp_path / "c.pem", key=tmp_path / "k.pem")
    answer = b""
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    with raw, suppress(OSError), context.wrap_socket(raw, server_hostname="localhost") as sock:
        sock.sendall(GET + b"\r\n")
        answer = sock.recv(10)
    assert answer == b""
    assert server.log() == []


def test_reader_takes_a_body_in_any_pieces():
    pieces = iter(
        [
            b"POST /x HTTP/1.1\r\nTransfer-Enc",
            b"oding: chunked\r\n\r\n3;ext=1\r",
            b"\nabc\r\n2\r\nde\r\n0\r\nT: x\r\n",
            b"\r\nGE",
        ]
    )

    def receive() -> bytes:
        try:
            return next(pieces)
        except StopIteration:
            raise ConnectionEnded from None

    reader = RequestReader(receive, lambda _data: None, Limits())
    assert reader.next_request().body == b"abcde"
    with pytest.raises(ConnectionEnded):
        reader.next_request()
