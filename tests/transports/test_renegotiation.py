"""EST-95: no renegotiation; a server that asks for one on TLS 1.2 does not get a second handshake."""

import contextlib
import socket
import threading

import pytest
from OpenSSL import SSL

from device_sdk.errors import TransportError
from tests.transports.conftest import get


class Renegotiating:
    """Asks for another handshake instead of answering; keeps the client's Finished from before and after."""

    def __init__(self, pair, directory):
        chain, key = pair.write(directory, "renegotiating")
        self._context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self._context.set_max_proto_version(SSL.TLS1_2_VERSION)
        self._context.use_certificate_chain_file(str(chain))
        self._context.use_privatekey_file(str(key))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked = False
        self.finished = []
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _serve(self):
        try:
            plain, _ = self._listener.accept()
        except OSError:
            return
        with plain:
            tls = SSL.Connection(self._context, plain)
            tls.set_accept_state()
            with contextlib.suppress(SSL.Error, OSError):
                tls.do_handshake()
                self.finished.append(tls.get_peer_finished())
                tls.recv(65536)
                self.asked = tls.renegotiate()
                tls.do_handshake()
                tls.recv(65536)  # the second ClientHello, or the alert instead of it
            self.finished.append(tls.get_peer_finished())


def test_est_95_renegotiation_is_refused(good, tmp_path, connect):
    with Renegotiating(good, tmp_path) as server:
        transport = connect(server)
        with pytest.raises(TransportError):
            transport.send(get())
        transport.close()
    assert server.asked
    first, last = server.finished
    assert first == last, "the client's Finished is still that of the first handshake"
