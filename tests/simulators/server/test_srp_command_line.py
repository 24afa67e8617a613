"""`device-sdk-sim server --srp` and `device-sdk-sim srp`: TLS without certificates from the command line (EST-68)."""

from __future__ import annotations

import json

import pytest
from device_sdk_simulators.process import ServerProcess
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.srp.service import SrpSettings

from device_sdk.errors import SharedSecretError
from device_sdk.model.credentials import Credentials
from device_sdk.model.http import HttpRequest
from device_sdk.model.secret import Secret
from device_sdk.transports.srp import SrpTransport
from tests.simulators.command import sim
from tests.simulators.server.support import EST

pytestmark = pytest.mark.slow


def told(*words, code=0):
    done = sim(*words)
    assert done.returncode == code, done
    if code:
        assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr if code else done.stdout


def ask(url: str, user: str, password: str) -> int:
    with SrpTransport(url, Credentials(user, Secret(password))) as transport:
        return transport.send(HttpRequest("GET", EST + "cacerts")).status_code


def test_a_server_of_its_own_process(tmp_path):
    """Its description says where and with which password; users are added and unlocked while it runs."""
    state, password = tmp_path / "server", tmp_path / "password"
    password.write_text("another password\n")
    with ServerProcess(state, "--srp", "--srp-user", "router-7") as server:
        facts = server.facts
        assert facts["srp_user"] == "router-7"
        made = (state / "srp-password").read_text().rstrip("\n")
        assert facts["srp_password_file"] == str(state / "srp-password")
        assert ask(str(facts["srp_url"]), "router-7", made) == 200
        told("srp", "add", "router-8", "--password-file", password, "--state", state)
        assert ask(str(facts["srp_url"]), "router-8", "another password") == 200
        with pytest.raises(SharedSecretError):
            ask(str(facts["srp_url"]), "router-8", "wrong")
        listed = json.loads(told("srp", "list", "--json", "--state", state))
        assert listed["users"] == ["router-7", "router-8"]
        assert listed["failures"] == {"address:127.0.0.1": 1, "user:router-8": 1}
        assert "user:router-8: 1 wrong passwords in a row" in told("srp", "list", "--state", state)
        told("srp", "unlock", "router-8", "--state", state)
        assert "user:router-8" not in told("srp", "list", "--state", state)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--srp-port", "1"), "--srp-port, --srp-user and --srp-password-file need --srp"),
        (("--srp", "--srp-user", ""), "a user name for SRP has 1 to 255 bytes"),
        (("--srp", "--srp-user", "a:b"), "colon"),
        (("--srp", "--srp-password-file", "/nowhere"), "--srp-password-file /nowhere: No such file"),
        (("--srp", "--srp-port", "65536"), "65536"),
    ],
)
def test_options_that_cannot_be(tmp_path, words, said):
    assert said in told("server", "--state", tmp_path / "server", *words, code=2)
    assert not (tmp_path / "server").exists()


@pytest.mark.slow
def test_users_that_cannot_be(tmp_path):
    state, password = tmp_path / "server", tmp_path / "password"
    password.write_text("x\n")
    assert "is not the state directory" in told("srp", "list", "--state", state, code=2)
    with ReferenceServer(state, srp=SrpSettings()):
        pass
    assert "need the name" in told("srp", "add", "--state", state, code=2)
    assert "--password-file" in told("srp", "add", "a", "--state", state, code=2)
    assert "255 bytes" in told("srp", "add", "n" * 256, "--password-file", password, "--state", state, code=2)
    assert "has no wrong passwords" in told("srp", "unlock", "device", "--state", state, code=2)
