"""The provider as a guest in a process: start, exit, threads, memory, and Pythons that do not let it in."""

import os
import subprocess
import sys
import textwrap

import pytest

from device_sdk.errors import TlsKeyUnavailableError
from device_sdk.transports.factory import self_test
from device_sdk.transports.openssl_provider.libcrypto import Library

PRELUDE = """
import ssl, socket, threading, sys
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk.transports.openssl_provider import self_test, use_private_key
key = ec.generate_private_key(ec.SECP256R1())
chain = self_test._certificate(key).public_bytes(Encoding.PEM)
def context():
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    use_private_key(made, chain, key)
    return made
"""


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | environment,
    )


def test_exit_with_live_contexts_and_connections():
    """OpenSSL's exit handlers run after the interpreter is gone."""
    result = run("""
        contexts = [context() for _ in range(5)]
        a, b = socket.socketpair()
        half_open = contexts[0].wrap_socket(a, server_hostname="x", do_handshake_on_connect=False)
        half_open.setblocking(False)
        try:
            half_open.do_handshake()
        except ssl.SSLWantReadError:
            pass
        sys.modules["__main__"].keep = (contexts, half_open, b)
        ssl.create_default_context()
        print("end")
        import os, warnings
        warnings.simplefilter("ignore")
    """)
    assert (result.returncode, result.stdout) == (0, "end\n"), result.stderr


@pytest.mark.slow
def test_exit_while_daemon_threads_are_in_handshakes():
    result = run("""
        def loop():
            server = context(); server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            use_private_key(server_side, chain, key)
            while True:
                client = context(); client.check_hostname = False; client.verify_mode = ssl.CERT_NONE
                self_test._handshake(server_side, client)
        for _ in range(4):
            threading.Thread(target=loop, daemon=True).start()
        import time; time.sleep(1)
        print("end")
    """)
    assert (result.returncode, result.stdout) == (0, "end\n"), result.stderr


def test_factory_is_light():
    """Neither requests nor ssl is imported before a transport is opened."""
    code = "import sys, device_sdk.transports.factory; print({'requests','urllib3','ssl','ctypes'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "requests" not in result.stdout
    assert "ssl" not in result.stdout
    assert "urllib3" not in result.stdout


def test_https_transport_is_made_without_requests():
    code = "import sys, device_sdk.transports.https; print('requests' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout == "False\n"


def test_python_that_does_not_lead_to_openssl():
    """Statically linked builds: the symbols are not there."""
    import _ctypes

    with pytest.raises(TlsKeyUnavailableError, match="cannot be reached") as caught:
        Library(_ctypes.__file__)
    assert "linked dynamically" in caught.value.hint
    with pytest.raises(TlsKeyUnavailableError):
        Library("/nowhere/_ssl.so")


def test_ssl_module_inside_the_executable():
    """An `_ssl` without a file; asked twice, the answer stays clear."""
    result = run("""
        import _ssl
        from device_sdk.errors import TlsKeyUnavailableError
        del _ssl.__file__
        for _ in range(2):
            try:
                context()
            except TlsKeyUnavailableError as error:
                print(error.message, "|", bool(error.hint))
    """)
    assert result.stdout == "the ssl module is built into this Python's executable | True\n" * 2, result.stderr


@pytest.mark.parametrize("properties", ["fips=yes", "provider=default"])
def test_default_properties_that_keep_keys_out(properties, tmp_path):
    """Without the check a handshake would silently go without client certificate."""
    conf = tmp_path / "openssl.cnf"
    conf.write_text(
        "openssl_conf = init\n[init]\nproviders = providers\nalg_section = algs\n[providers]\ndefault = d\n"
        f"[d]\nactivate = 1\n[algs]\ndefault_properties = {properties}\n"
    )
    code = """if True:
        from device_sdk.errors import TlsKeyUnavailableError
        from device_sdk.transports.factory import self_test
        try:
            self_test()
        except TlsKeyUnavailableError as error:
            print(error)
    """
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=60, check=False, env=os.environ | {"OPENSSL_CONF": str(conf)},
    )  # fmt: skip
    assert "keeps hardware keys out of TLS" in result.stdout, result.stderr
    assert "default_properties" in result.stdout


def test_self_test_says_which_library():
    import ssl

    assert self_test() == ssl.OPENSSL_VERSION


def test_nothing_of_the_key_is_written_to_disk(tmp_path):
    """Neither with memfd nor without; what is written without is a random handle in a directory of mode 0700."""
    result = run(
        """
        import os, pathlib, stat, tempfile
        seen = []
        write = pathlib.Path.write_bytes
        def spy(self, data):
            seen.append((stat.S_IMODE(os.stat(self.parent).st_mode), bytes(data)))
            return write(self, data)
        pathlib.Path.write_bytes = spy
        context()
        assert not seen and not os.listdir(tempfile.gettempdir()), seen
        del os.memfd_create
        context()
        modes = {mode for mode, _ in seen}
        assert modes == {0o700}, modes
        assert {data.split(b"-----")[1] for _, data in seen} == {b"BEGIN CERTIFICATE", b"BEGIN DEVICE SDK KEY HANDLE"}
        assert not os.listdir(tempfile.gettempdir())
        print("end")
        """,
        TMPDIR=str(tmp_path),
    )
    assert result.stdout == "end\n", result.stderr


def test_no_room_for_what_openssl_reads_by_name(tmp_path):
    """A limit on the size of files counts for memory files, too; it is no fault of the network."""
    result = run(
        """
        import resource
        from device_sdk.errors import DeviceSdkError
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        try:
            context()
        except DeviceSdkError as error:
            print(error.exit_code, error.message, error.hint)
        """,
        TMPDIR=str(tmp_path),
    )
    assert result.stdout.startswith("9 "), result.stderr
    assert "TMPDIR" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_fork_after_install():
    result = run("""
        import os, warnings
        made = context()
        pid = os.fork()
        if pid == 0:
            again = context()
            os._exit(0 if again and made else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """)
    assert result.stdout == "0\n", result.stderr


def test_everybody_else_keeps_the_default_provider():
    """The first thing a process does with OpenSSL is to install the provider: EC and RSA stay where they were."""
    result = run("""
        import ctypes
        from device_sdk.transports.factory import self_test as install
        from device_sdk.transports.openssl_provider.libcrypto import library
        install()
        lib = library()
        for kind, fetch, name in (
            ("KEYMGMT", lib.fetch_keymgmt, b"EC"), ("KEYMGMT", lib.fetch_keymgmt, b"RSA"),
            ("SIGNATURE", lib.fetch_signature, b"ECDSA"), ("SIGNATURE", lib.fetch_signature, b"RSA"),
        ):
            provider = lib.function(f"EVP_{kind}_get0_provider", ctypes.c_void_p, ctypes.c_void_p)
            name_of = lib.function("OSSL_PROVIDER_get0_name", ctypes.c_char_p, ctypes.c_void_p)
            print(name_of(provider(fetch(None, name, None))).decode())
    """)
    assert result.stdout.split() == ["default"] * 4, result.stderr


def test_transport_after_a_fork(serve, ca, tmp_path):
    """The child makes a connection of its own and leaves the parent's as it was."""
    server = serve()
    anchor = tmp_path / "ca.pem"
    anchor.write_bytes(ca.pem())
    result = run(f"""
        import os, pathlib
        from cryptography import x509
        from device_sdk.model.http import HttpRequest
        from device_sdk.model.trust import ServerTrust
        from device_sdk.transports.factory import open_transport
        anchor = x509.load_pem_x509_certificate(pathlib.Path({str(anchor)!r}).read_bytes())
        with open_transport({server.url!r}, ServerTrust((anchor,))) as transport:
            request = HttpRequest("GET", "/x")
            transport.send(request)
            pid = os.fork()
            if pid == 0:
                assert transport.send(request).body == b"hello"
                transport.close()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            assert transport.send(request).body == b"hello"
        print("end")
    """)
    assert result.stdout == "end\n", result.stderr
    assert sorted(len(seen.requests) for seen in server.connections) == [1, 2]


@pytest.mark.slow
def test_a_fork_while_another_thread_sends(serve, ca, tmp_path):
    """The child's transport is free, and does not touch the connection its parent is in the middle of."""
    server = serve()
    anchor = tmp_path / "ca.pem"
    anchor.write_bytes(ca.pem())
    result = run(f"""
        import os, pathlib, signal, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 about forks beside threads: the case at hand
        from cryptography import x509
        from device_sdk.model.http import HttpRequest
        from device_sdk.model.trust import ServerTrust
        from device_sdk.transports.factory import open_transport
        anchor = x509.load_pem_x509_certificate(pathlib.Path({str(anchor)!r}).read_bytes())
        transport = open_transport({server.url!r}, ServerTrust((anchor,)))
        sending, forked, answers = threading.Event(), threading.Event(), []
        def body(facts):
            sending.set()
            forked.wait()
            return b"body"
        thread = threading.Thread(target=lambda: answers.append(transport.send(HttpRequest("POST", "/x", body=body))))
        thread.start()
        sending.wait()
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            assert transport.send(HttpRequest("GET", "/x")).body == b"hello"
            transport.close()
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        forked.set()
        thread.join()
        assert transport.send(HttpRequest("GET", "/x")).body == b"hello"
        print(answers[0].body.decode())
    """)
    assert result.stdout == "0\nhello\n", result.stderr
    assert sorted(len(seen.requests) for seen in server.connections) == [1, 2]


@pytest.mark.slow
def test_a_fork_while_another_thread_holds_a_lock():
    """Every lock of the SDK that lives as long as its object: free in the child, and whose it was in the parent."""
    result = run("""
        import os, signal, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from device_sdk.model.forks import ForkLock
        from device_sdk.transports.openssl_provider import context as provider
        from device_sdk.transports.https.sessions import Sessions
        made = context()
        locks = [ForkLock(), provider._installation._lock, Sessions()._lock]
        held, done = threading.Event(), threading.Event()
        def hold():
            with locks[0], locks[1], locks[2]:
                held.set()
                done.wait()
        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            for lock in locks:
                with lock:
                    pass
            context()
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        done.set()
        thread.join()
        with locks[0]:
            pid = os.fork()
            if pid:
                print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        if not pid:
            with locks[0]:
                os._exit(0)
        with locks[0]:
            print("end")
    """)
    assert result.stdout == "0\n0\nend\n", result.stderr


@pytest.mark.slow
def test_clock_of_1970(serve, ca, tmp_path):
    """A device before its first NTP answer: ClockError, and no warning of somebody else's (run with -W error)."""
    server = serve()
    anchor = tmp_path / "ca.pem"
    anchor.write_bytes(ca.pem())
    result = run(f"""
        import datetime, pathlib
        class Long_ago(datetime.date):
            @classmethod
            def today(cls):
                return cls(1970, 1, 1)
        datetime.date = Long_ago
        from cryptography import x509
        from device_sdk.model.http import HttpRequest
        from device_sdk.model.trust import ServerTrust
        from device_sdk.transports.factory import open_transport
        anchor = x509.load_pem_x509_certificate(pathlib.Path({str(anchor)!r}).read_bytes())
        with open_transport({server.url!r}, ServerTrust((anchor,))) as transport:
            print(transport.send(HttpRequest("GET", "/x")).status_code)
    """)
    assert result.stdout == "200\n", result.stderr


@pytest.mark.slow
def test_memory_stays_flat_over_a_thousand_handshakes():
    """After warming up, 1000 contexts and handshakes on both ends add less than 2 MiB."""
    result = run("""
        def rss():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * 4096
        def once():
            server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            use_private_key(server, chain, key)
            server.load_verify_locations(cadata=chain.decode()); server.verify_mode = ssl.CERT_REQUIRED
            client = context(); client.check_hostname = False
            client.load_verify_locations(cadata=chain.decode())
            assert self_test._handshake(server, client)
        for _ in range(200):
            once()
        before = rss()
        for _ in range(1000):
            once()
        print(rss() - before)
    """)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 2 * 1024 * 1024
