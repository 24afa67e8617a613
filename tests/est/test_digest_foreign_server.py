"""The client against Apache: its mod_auth_digest judges our answers, and openssl in a CGI script is the CA.

Nothing of it is ours: RFC 7616 in another implementation, quotes and all, MD5 being what it has.
"""

from __future__ import annotations

import hashlib
import socket
import subprocess
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.client.est import Credentials, EstClient
from device_sdk.errors import AuthenticationRequiredError, VerificationError
from device_sdk.model.secret import Secret
from tests.est.answers import SPEC, trusting
from tests.est.pki import new_key, pem_key, server_certificate
from tests.ports import free_port

APACHE = "/usr/sbin/apache2"
REALM = "Apache EST"
MODULES = ("mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_digest", "cgid", "alias", "ssl")
CONFIGURATION = """
ServerRoot {root}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {root}/pid
ErrorLog {root}/error.log
LogLevel auth_digest:info
Mutex file:{root}
ScriptSock {root}/cgi.sock
DefaultRuntimeDir {root}
StartServers 1
ThreadsPerChild 8
MaxRequestWorkers 8
ServerLimit 1
KeepAlive On
SSLEngine On
SSLCertificateFile {root}/server.pem
ScriptAlias /.well-known/est/ {root}/
<Directory {root}>
  Require all denied
  <Files cacerts>
    Require all granted
  </Files>
  <Files csrattrs>
    Require all granted
  </Files>
  <Files simpleenroll>
    AuthType Digest
    AuthName "{realm}"
    AuthDigestProvider file
    AuthUserFile {root}/users
    {more}
    Require valid-user
  </Files>
</Directory>
"""
BAG = """#!/bin/sh
printf 'Content-Type: application/pkcs7-mime\\r\\n\\r\\n'
openssl crl2pkcs7 -nocrl -certfile {root}/ca.pem -outform DER | openssl base64
"""
NOTHING = """#!/bin/sh
printf 'Status: 204 No Content\\r\\n\\r\\n'
"""
ISSUE = """#!/bin/sh
cd {root} || exit 1
openssl base64 -d | openssl x509 -req -inform DER -CA ca.pem -CAkey ca.key -days 2 -out leaf.pem 2>openssl.log
printf 'Content-Type: application/pkcs7-mime; smime-type=certs-only\\r\\n\\r\\n'
openssl crl2pkcs7 -nocrl -certfile leaf.pem -outform DER | openssl base64
"""


def write(path: Path, text: str, mode: int = 0o755) -> None:
    path.write_text(text)
    path.chmod(mode)


def user_line(name: str, password: str) -> str:
    realm = REALM
    return f"{name}:{realm}:" + hashlib.md5(f"{name}:{realm}:{password}".encode(), usedforsecurity=False).hexdigest()


class Apache:
    """One Apache in a directory of its own, on a free port, in the foreground."""

    def __init__(self, root: Path, ca) -> None:
        self.root, self.ca = root, ca
        root.chmod(0o755)
        certificate, key = server_certificate(ca)
        (root / "server.pem").write_bytes(pem_key(key) + certificate.public_bytes(Encoding.PEM))
        (root / "ca.pem").write_bytes(ca.certificate.public_bytes(Encoding.PEM))
        (root / "ca.key").write_bytes(pem_key(ca.key))
        for name, text in (("cacerts", BAG), ("csrattrs", NOTHING), ("simpleenroll", ISSUE)):
            write(root / name, text.format(root=root))
        write(root / "users", "\n".join(map(user_line, ("dev", ""), ("secret", "nobody's"))) + "\n")
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self, more: str = "") -> None:
        port = free_port()
        loads = "".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n" for name in MODULES)
        text = loads + CONFIGURATION.format(root=self.root, port=port, more=more, realm=REALM)
        write(self.root / "httpd.conf", text, 0o644)
        self.process = subprocess.Popen([APACHE, "-DFOREGROUND", "-f", str(self.root / "httpd.conf")])
        self.url = f"https://127.0.0.1:{port}"
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                log = self.root / "error.log"
                assert self.process.poll() is None, log.read_text() if log.exists() else "no log"
                assert time.monotonic() < end
                time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)

    def client(self, user: str = "dev", password: str = "secret") -> EstClient:  # noqa: S107  # of this test
        return EstClient(self.url, trusting(self.ca), credentials=Credentials(user, Secret(password)))


@pytest.fixture
def apache(tmp_path, ca):
    server = Apache(tmp_path, ca)
    yield server
    server.stop()


@pytest.mark.slow
@pytest.mark.parametrize("user", ["dev", ""])
def test_est_86_enrolment_at_apache_with_digest(apache, user):
    apache.start()
    with apache.client(user, "secret" if user else "nobody's") as client:
        for _ in range(2):
            key = new_key()
            assert client.enroll(key, SPEC).certificate.public_key() == key.public_key()


@pytest.mark.slow
def test_est_86_apache_refuses_a_wrong_password(apache):
    apache.start()
    with apache.client(password="wrong") as client, pytest.raises(AuthenticationRequiredError, match="refused"):
        client.enroll(new_key(), SPEC)


@pytest.mark.slow
def test_est_86_stale_nonces_of_apache(apache):
    """It lets a nonce live for a second, and says stale=true then."""
    apache.start("AuthDigestNonceLifetime 1")
    with apache.client() as client:
        client.enroll(new_key(), SPEC)
        time.sleep(2.1)
        client.enroll(new_key(), SPEC)
    assert "nonce expired" in (apache.root / "error.log").read_text()


@pytest.mark.slow
def test_apache_proves_that_it_knows_the_password(apache, monkeypatch):
    """The proof is there and is looked at: with another password in mind it is none."""
    apache.start()
    credentials = Credentials("dev", Secret("secret"))
    with EstClient(apache.url, trusting(apache.ca), credentials=credentials) as client:
        client.enroll(new_key(), SPEC)
        monkeypatch.setattr("device_sdk.protocols.est.digest.hmac.compare_digest", lambda *_: False)
        with pytest.raises(VerificationError, match="prove"):
            client.enroll(new_key(), SPEC)
