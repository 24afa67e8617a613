"""`device-sdk-sim server --serverkeygen`: options, and what is wrong with them in one line."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from device_sdk.client.est import Credentials, EstClient, SharedKey
from device_sdk.errors import HttpStatusError
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import KeyType
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust
from tests.est.pki import name
from tests.simulators.command import SIM, sim

pytestmark = pytest.mark.slow

SECRET = bytes(range(16))


def test_a_server_that_gives_encrypted_keys_of_one_type(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET.hex() + "\n")
    (tmp_path / "password").write_text("a password\n")
    words = ("--state", tmp_path / "s", "--json", "--user", "lab", "--password-file", tmp_path / "password",
             "--serverkeygen", "secret", "--serverkeygen-type", "ec-p384", "--serverkeygen-secret",
             f"62656e6368={tmp_path / 'secret'}")  # fmt: skip
    with subprocess.Popen([*SIM, "server", *map(str, words)], stdout=subprocess.PIPE, text=True) as process:
        try:
            facts = json.loads(process.stdout.readline())  # type: ignore[union-attr]
            anchors = tuple(x509.load_pem_x509_certificates(Path(facts["ca_file"]).read_bytes()))
            credentials = Credentials("lab", Secret("a password"))
            spec = CsrSpec(subject=name("sensor 7"))
            with EstClient(facts["url"], ServerTrust(anchors), credentials=credentials) as client:
                got = client.serverkeygen(spec, decrypt=SharedKey(b"bench", Secret(SECRET)))
                assert KeyType.of(got.certificate.public_key()) is KeyType.EC_P384  # type: ignore[arg-type]
                with pytest.raises(HttpStatusError, match="encrypted only"):
                    client.serverkeygen(spec, allow_clear=True)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
    again = ("--state", tmp_path / "s", "--json", "--serverkeygen", "secret")  # it keeps the secret
    with subprocess.Popen([*SIM, "server", *map(str, again)], stdout=subprocess.PIPE, text=True) as process:
        assert json.loads(process.stdout.readline())["url"]  # type: ignore[union-attr]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--serverkeygen-type", "ec-p256"), "need --serverkeygen"),
        (("--serverkeygen-secret", "00=secret"), "need --serverkeygen"),
        (("--serverkeygen", "clear", "--serverkeygen-secret", "00=secret"), "needs --serverkeygen secret"),
        (("--serverkeygen", "secret"), "needs --serverkeygen-secret: which one?"),
        (("--serverkeygen", "secret", "--serverkeygen-secret", "00=/nonexistent"), "No such file"),
        (("--serverkeygen", "secret", "--serverkeygen-secret", "00=short"), "16, 24 or 32 bytes"),
        (("--serverkeygen", "secret", "--serverkeygen-secret", "zz=secret"), "HEX=FILE"),
        (("--serverkeygen", "secret", "--serverkeygen-secret", "=secret"), "HEX=FILE"),
        (("--serverkeygen", "sometimes"), "invalid choice"),
        (("--serverkeygen", "clear", "--serverkeygen-type", "dsa"), "invalid choice"),
    ],
)
def test_mistakes(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET.hex())
    (tmp_path / "short").write_text("confidential")
    done = sim("server", "--state", tmp_path / "s", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert "confidential" not in done.stderr
    assert not (tmp_path / "s").exists()
