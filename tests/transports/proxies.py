"""An HTTP proxy that knows CONNECT, for tests."""

import contextlib
import socket
import threading


class ConnectProxy:
    """Tunnels to wherever it is asked to; `answer` replaces its 200, `requests` are the heads it saw."""

    def __init__(self, answer=b"HTTP/1.1 200 Connection established\r\n\r\n", *, tunnel=True, host="127.0.0.1"):
        self.answer, self.tunnel, self.requests = answer, tunnel, []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
        self._threads = [threading.Thread(target=self._accept)]
        self._sockets = []

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for sock in (self._listener, *self._sockets):
            sock.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(sock)
            self._start(self._serve, sock)

    def _start(self, *call):
        thread = threading.Thread(target=call[0], args=call[1:])
        thread.start()
        self._threads.append(thread)

    def _serve(self, sock):
        with contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                piece = sock.recv(1000)
                if not piece:
                    return
                head += piece
            self.requests.append(head.decode())
            sock.sendall(self.answer)
            if not self.tunnel:
                sock.shutdown(socket.SHUT_RDWR)
                return
            host, _, port = head.split()[1].decode().rpartition(":")
            upstream = socket.create_connection((host.strip("[]"), int(port)))
            self._sockets.append(upstream)
            self._start(self._pump, upstream, sock)
            self._pump(sock, upstream)

    @staticmethod
    def _pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
