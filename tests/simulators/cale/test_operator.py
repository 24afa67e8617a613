"""What the operator of the roles reads when a name, a file or an option is wrong: one line that names it, and exit code 2."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from device_sdk_simulators.command_process import CommandProcess

from tests.simulators.cale.test_processes import said
from tests.simulators.command import sim

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Certificates for all roles, and the issuer's where roles look for it."""
    said("cale", "pki", "--state", tmp_path)
    issuer = (tmp_path / "authz/cale/root.pem").read_bytes()
    for role in ("edge", "origin", "resource"):
        (tmp_path / role / "issuer.pem").write_bytes(issuer)
    (tmp_path / "nonsense").write_text("nonsense\n")
    return tmp_path


def refused(place: Path, *words: object) -> str:
    done = sim("cale", *words, cwd=place)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


EDGE = "edge --state edge --upstream http://127.0.0.1:1"
ORIGIN = "origin --state origin --resource resource=https://127.0.0.1:1"
RESOURCE = "resource --state resource"
ANOTHER_KEY = "edge/hop/certificate.pem is for another key than that in"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (f"{ORIGIN} --hop-key none", "none: No such file"),
        (f"{ORIGIN} --hop-key nonsense", "nonsense holds no private key"),
        (f"{ORIGIN} --hop-certificate none", "none: No such file"),
        (f"{ORIGIN} --hop-certificate nonsense", "nonsense holds no certificates"),
        (f"{ORIGIN} --hop-anchors none", "none: No such file"),
        (f"{ORIGIN} --hop-anchors nonsense", "nonsense holds no certificates"),
        (f"{ORIGIN} --issuer none", "none: No such file"),
        (f"{ORIGIN} --issuer nonsense", "nonsense holds no certificates"),
        ("origin --state empty --resource resource=https://127.0.0.1:1", "empty/hop/certificate.pem: No such file"),
        (f"{RESOURCE} --hop-key nonsense", "nonsense holds no private key"),
        (f"{RESOURCE} --hop-certificate edge/hop/certificate.pem", f"{ANOTHER_KEY} resource/hop/key.pem"),
        (f"{EDGE} --certificate edge/hop/certificate.pem --key origin/hop/key.pem", f"{ANOTHER_KEY} origin/hop/key.pem"),
        (f"{EDGE} --certificate nonsense --key origin/hop/key.pem", "nonsense holds no certificates"),
        (f"{EDGE} --client-anchors nonsense", "--client-anchors nonsense holds no certificates"),
        (f"{EDGE} --token-file nonsense", "--token-file nonsense"),
        (f"{EDGE} --max-body 53687092", "take --memory 257 or more"),
        (f"{EDGE} --memory 4", "take --memory 5 or more"),
    ],
)  # fmt: skip
def test_the_file_is_named(place: Path, words: str, named: str) -> None:
    assert named in refused(place, *words.split())


@pytest.mark.parametrize(
    "name", ["Host", "connection", "Transfer-Encoding", "Content-Length", "TE", "Proxy-Authorization", "Accept", "CALE-Identity"]
)  # fmt: skip
def test_the_owner_goes_into_no_field_that_http_uses(place: Path, name: str) -> None:
    assert f"--owner-header {name}" in refused(place, *EDGE.split(), "--owner-header", name)


@pytest.fixture
def authz(place: Path) -> Iterator[Callable[[str], str]]:
    """An authorization server; gives the value of --authz for a name of it."""
    words = ["cale", "authz", "--state", str(place / "authz"), "--peer", "edge"]
    with CommandProcess("the authorization server", words) as running:
        yield lambda name: f"{name}={running.url}"


def test_a_role_of_another_name(place: Path, authz: Callable[[str], str]) -> None:
    """The role is there, and is not the one that was named: that is said at once, with what it is called."""
    sha256 = json.loads(said("cale", "pki", "--state", place).stdout)["authz"]["sha256"]
    line = refused(place, *EDGE.split(), "--authz", authz("WRONGNAME"))
    assert f"'authz' or sha256:{sha256} answers there, and not wrongname" in line
    assert "cale pki" in line
    assert authz("").removeprefix("=") in line


def test_no_name_at_all(place: Path) -> None:
    line = refused(place, *EDGE.split(), "--authz", "WRONGNAME")
    assert "'WRONGNAME' is not NAME=https://HOST:PORT" in line
    assert "cale pki" in line


@pytest.mark.parametrize("role", ["all", "edge", "authz", "origin", "resource"])
def test_help_says_what_holds_otherwise(role: str) -> None:
    shown = " ".join(said("cale", role, "--help").stdout.split())
    assert "None" not in shown
    assert "SECONDS how fast this server's clock is (default: 0)" in shown
