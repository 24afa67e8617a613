"""What servers answer, proper or not (EST-13, EST-14, EST-16)."""

import pytest

from device_sdk.errors import (
    LocalProtocolError,
    RemoteProtocolError,
    ResponseTooLargeError,
    TruncatedResponseError,
)
from device_sdk.transports.https.head import MAX_HEAD_BYTES
from tests.transports.conftest import get, post
from tests.transports.servers import OK, answering

NOISE = 10 * 1024 * 1024


def hang_up(connection):
    """End the TCP connection without a close_notify."""


def chunked(*chunks):
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(
        b"%x\r\n%s\r\n" % (len(c), c) for c in chunks
    )


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        chunked(b"he", b"llo", b""),
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.1 200\r\ncontent-length:5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5;name=value\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nStatus: 200 OK\r\nContent-Encoding: identity\r\nContent-Length : 5\r\n\r\nhello",
    ],
)
def test_ways_to_say_hello(answer, serve, connect):
    """EST-13, EST-14."""
    response = connect(serve(answering(answer))).send(get())
    assert (response.status_code, response.body) == (200, b"hello")


@pytest.mark.parametrize("change", [bytes.lower, bytes.upper, bytes.swapcase])
def test_est_13_letter_case_and_unknown_fields_do_not_matter(change, serve, connect):
    """On a connection that goes on: a length that is not understood would wait for its end."""
    fields = {b"Status": b"200 OK", b"X-Unknown": b"?", b"Content-Length": b"5", b"Retry-After": b"7"}
    head = b"".join(b"%s: %s\r\n" % (change(name), value) for name, value in fields.items())
    chunks = b"%s: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" % change(b"Transfer-Encoding")
    server = serve(answering(b"HTTP/1.1 200 OK\r\n" + head + b"\r\nhello", b"HTTP/1.1 200 OK\r\n" + chunks, OK))
    transport = connect(server)
    first, second, third = (transport.send(get()) for _ in range(3))
    assert [first.body, second.body, third.body] == [b"hello"] * 3
    assert first.header("retry-after") == first.header("Retry-After") == "7"
    assert len(server.connections) == 1


def test_no_content(serve, connect):
    server = serve(answering(b"HTTP/1.1 204 No Content\r\n\r\n", OK))
    transport = connect(server)
    assert transport.send(get()).body == b""
    assert transport.send(get()).body == b"hello"
    assert len(server.connections) == 1


def test_duplicates_stay_in_order(serve, connect):
    answer = b"HTTP/1.1 200 OK\r\nX: 1\r\nSet-Cookie: a\r\nx: 2\r\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n"
    response = connect(serve(answering(answer))).send(get())
    names = [name for name, _ in response.headers]
    assert names == ["X", "Set-Cookie", "x", "Set-Cookie", "Content-Length"]
    assert response.header_values("X") == ("1", "2")


def test_cale_headers_of_the_draft(serve, connect):
    """Two Content-Types, the second folded without indentation, and fields after it (CALE-11)."""
    answer = (
        b"HTTP/1.1 200 OK\r\n"
        b"Content-Type: text/plain\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Disposition: attachment;\r\n  filename=smime.p7m\r\n"
        b"Content-Type: application/x-pkcs7-mime; smime-type=enveloped-data;\r\n"
        b'name="smime.p7m"\r\n'
        b"Content-Transfer-Encoding: base64\r\n"
        b"Content-Length: 5\r\n\r\nhello"
    )
    response = connect(serve(answering(answer))).send(get())
    assert response.body == b"hello"
    assert response.header_values("Content-Type") == (
        "text/plain",
        'application/x-pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"',
    )
    assert response.header("Content-Disposition") == "attachment; filename=smime.p7m"
    assert response.header("Content-Transfer-Encoding") == "base64"


@pytest.mark.parametrize("ending", [hang_up, None], ids=["torn", "ended"])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        chunked(b"hello"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HT",
    ],
)
def test_truncated(answer, ending, serve, connect):
    server = serve(answering(answer, then=ending))
    with pytest.raises(TruncatedResponseError, match=server.url):
        connect(server).send(post())
    assert len(server.requests) == 1


def test_close_delimited_without_close_notify_is_truncated(serve, connect):
    """EST-14: only a close_notify tells that the response is complete."""
    server = serve(answering(b"HTTP/1.1 200 OK\r\n\r\nhello", then=hang_up))
    with pytest.raises(TruncatedResponseError):
        connect(server).send(get())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + bytes(1001),
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999\r\n\r\n",
        chunked(bytes(600), bytes(401), b""),
        b"HTTP/1.1 200 OK\r\n\r\n" + bytes(1001),
    ],
)
def test_too_large(answer, serve, connect):
    """EST-16."""
    with pytest.raises(ResponseTooLargeError) as caught:
        connect(serve(answering(answer))).send(get(limit_bytes=1000))
    assert caught.value.limit_bytes == 1000


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(1000),
        chunked(bytes(600), bytes(400), b""),
        b"HTTP/1.1 200 OK\r\n\r\n" + bytes(1000),
    ],
)
def test_just_not_too_large(answer, serve, connect):
    assert connect(serve(answering(answer))).send(get(limit_bytes=1000)).body == bytes(1000)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % NOISE,
        b"HTTP/1.1 500 Oops\r\n\r\n",
        b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % NOISE,
    ],
)
def test_noise_of_ten_mebibytes_with_an_error(head, serve, connect):
    """The status is what counts; of the text 64 KiB are kept, and the connection is given up."""
    server = serve([answering(head + b"n" * NOISE), answering(OK)])
    transport = connect(server)
    response = transport.send(get(limit_bytes=10))
    assert response.status_code == int(head[9:12])
    assert response.body == b"n" * 65536
    assert transport.send(get()).body == b"hello"
    assert len(server.connections) == 2


@pytest.mark.parametrize("size", [0, 1, 65535, 65536])
def test_text_of_an_error_keeps_the_connection(size, serve, connect):
    answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n" % size + b"t" * size
    server = serve(answering(answer, OK))
    transport = connect(server)
    assert len(transport.send(get()).body) == size
    assert transport.send(get()).body == b"hello"
    assert len(server.connections) == 1


def test_text_of_an_error_that_breaks_off(serve, connect):
    """The status still counts."""
    answer = b"HTTP/1.1 503 Busy\r\nRetry-After: 5\r\nContent-Length: 100\r\n\r\nsorry"
    for ending in (hang_up, None):
        response = connect(serve(answering(answer, then=ending))).send(get())
        assert (response.status_code, response.header("Retry-After")) == (503, "5")


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: base64\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n" + bytes(1000),
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 101 + b"\r\n",
    ],
)
def test_not_http_as_it_should_be(answer, serve, connect):
    """EST-16 among others: a hundred header fields."""
    server = serve(answering(answer))
    with pytest.raises((RemoteProtocolError, TruncatedResponseError), match=server.url):
        connect(server).send(get())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD_BYTES,
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 1000 + b"\r\n" + b" folded\r\n" * MAX_HEAD_BYTES,
        b"HTTP/1.1 100 Continue\r\n\r\n" * MAX_HEAD_BYTES,
        b"x" * (MAX_HEAD_BYTES + 1),
    ],
)
def test_head_without_end(answer, serve, connect):
    with pytest.raises(RemoteProtocolError):
        connect(serve(answering(answer))).send(get())


def test_gzip_of_an_error_is_not_text(serve, connect):
    answer = b"HTTP/1.1 500 Oops\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"
    assert connect(serve(answering(answer))).send(get()).body == b""


def test_redirect_is_not_followed(serve, connect):
    server = serve(answering(b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere/\r\nContent-Length: 0\r\n\r\n"))
    response = connect(server).send(get())
    assert (response.status_code, response.header("location")) == (302, "https://elsewhere/")
    assert len(server.requests) == 1


def test_what_a_request_looks_like(serve, connect):
    """Fields in order, names as given, head and body in one write, target untouched."""
    first = []

    def script(connection):
        first.append(connection.sock.recv(65536))
        connection.send(OK)

    server = serve(script)
    request = post(b"abc", target="/%2f/./a?b=%zz", headers=(("Content-Type", "application/pkcs10"), ("X-A", "\xe9")))
    connect(server).send(request)
    head, _, body = first[0].partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    assert body == b"abc"
    assert lines[0] == "POST /%2f/./a?b=%zz HTTP/1.1"
    assert lines[1] == f"Host: 127.0.0.1:{server.port}"
    assert lines[2].startswith("User-Agent: device-sdk/")
    assert lines[3:] == [
        "Accept-Encoding: identity",
        "Content-Type: application/pkcs10",
        "X-A: \xe9",
        "Content-Length: 3",
    ]


@pytest.mark.parametrize(
    "request_",
    [
        get("cacerts"),
        get("/a b"),
        get("/a\r\nX: y"),
        get("/\xe9"),
        get("https://other/"),
        get(headers=(("X", "a\r\nY: b"),)),
        get(headers=(("X y", "a"),)),
        get(headers=(("X", "\u20ac"),)),
        get(headers=(("Host", "other"),)),
        post(headers=(("Content-Length", "0"),)),
        post(headers=(("transfer-encoding", "chunked"),)),
    ],
)
def test_requests_that_are_not_one_request(request_, serve, connect):
    server = serve()
    with pytest.raises(LocalProtocolError):
        connect(server).send(request_)
    assert not server.connections


def test_server_that_answers_before_it_has_read(serve, connect):
    """413 while the body is still on its way."""

    def script(connection):
        connection.sock.recv(1000)
        connection.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        while connection.sock.recv(65536):
            pass

    assert connect(serve(script)).send(post(bytes(3_000_000))).status_code == 413
