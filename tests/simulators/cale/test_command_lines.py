"""The roles by command line: what they are given, and what cannot be."""

from __future__ import annotations

import json
import subprocess

import pytest
from device_sdk_simulators.cale.processes import Installation, RoleEndedError
from device_sdk_simulators.cale.resource import LARGEST_DOCUMENT

from tests.simulators.cale.test_processes import said
from tests.simulators.command import sim

pytestmark = pytest.mark.slow


def test_pki_for_several_machines(tmp_path):
    done = said("cale", "pki", "--state", tmp_path / "pki", "--name", "edge.example")
    made = json.loads(done.stdout)
    assert set(made) == {"edge", "authz", "origin", "resource"}
    assert json.loads(said("cale", "pki", "--state", tmp_path / "pki").stdout) == made, "what is there stays"
    for path in (tmp_path / "pki").rglob("*.key"):
        assert path.stat().st_mode & 0o777 == 0o600, path
    for path in (tmp_path / "pki").rglob("key.pem"):
        assert path.stat().st_mode & 0o777 == 0o600, path
    text = subprocess.run(
        ["openssl", "x509", "-noout", "-text", "-in", tmp_path / "pki/edge/tls/certificate.pem"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "DNS:edge.example" in text
    verify = ["openssl", "verify", "-CAfile", tmp_path / "pki/origin/hop/anchors.pem"]
    for role in made:
        for purpose in ("sslclient", "sslserver"):
            subprocess.run(
                [*verify, "-purpose", purpose, tmp_path / f"pki/{role}/hop/certificate.pem"],
                check=True,
                capture_output=True,
            )


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("nobody",),
        ("edge", "--state", "S"),
        ("edge", "--state", "S", "--upstream", "http://x", "--origin", "o=https://x"),
        ("edge", "--state", "S", "--upstream", "https://x"),
        ("edge", "--state", "S", "--upstream", "http://x", "--password-file", "F"),
        ("edge", "--state", "S", "--upstream", "http://x", "--client-crl", "F"),
        ("edge", "--state", "S", "--upstream", "http://x", "--certificate", "F"),
        ("edge", "--state", "S", "--upstream", "http://x", "--token-file", "F"),
        ("edge", "--state", "S", "--upstream", "http://x", "--suite", "NULL-SHA"),
        ("edge", "--state", "S", "--upstream", "http://x", "--scope", "x"),
        ("edge", "--state", "S", "--upstream", "http://x", "--scope", "/a;b=x"),
        ("edge", "--state", "S", "--upstream", "http://x", "--authz", "a=https://x", "--grant", "read"),
        ("edge", "--state", "S", "--upstream", "http://x", "--authz", "a=https://x", "--organization", "x"),
        ("edge", "--state", "S", "--origin", "o=https://x", "--scope", "/a=b"),
        ("edge", "--state", "S", "--upstream", "http://x", "--scope", "/a%20b=x"),
        ("edge", "--state", "S", "--upstream", "http://x", "--allow-method", "TRACE"),
        ("edge", "--state", "S", "--upstream", "http://x", "--forward", "Cookie"),
        ("edge", "--state", "S", "--authz", "https://x", "--upstream", "http://x"),
        ("edge", "--state", "S", "--authz", "a=https://x/y", "--upstream", "http://x"),
        ("edge", "--state", "S", "--upstream", "http://x", "--owner-header", "a b"),
        ("authz", "--state", "S", "--peer", "*"),
        ("authz", "--state", "S", "--peer", "sha256:12"),
        ("authz", "--state", "S", "--grant", ""),
        ("authz", "--state", "S"),
        ("origin", "--state", "S"),
        ("origin", "--state", "S", "--resource", "https://x"),
        ("origin", "--state", "S", "--resource", "r=https://localhost:1"),
        ("resource", "--state", "S", "--document", "/a=nothing"),
        ("resource", "--state", "S"),
        ("all", "--state", "S", "--rate", "-1"),
        ("all", "--state", "S", "--user", "x", "--password-file", "missing"),
    ],
)  # fmt: skip
def test_mistakes_are_said_in_a_line_each_and_exit_code_2(tmp_path, words):
    words = [str(tmp_path / "state") if word == "S" else word for word in words]
    done = sim("cale", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert 0 < done.stderr.count("\n") <= (2 if words[:1] == ["all"] else 1), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("role", ["all", "resource"])
def test_a_document_that_no_answer_can_carry_is_refused_at_start(tmp_path, role):
    large = tmp_path / "big=1.bin"
    large.write_bytes(b"x" * (LARGEST_DOCUMENT + 1))
    done = sim("cale", role, "--state", str(tmp_path / "state"), "--document", f"/big={large}", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    words = f"--document /big={large}: that has {LARGEST_DOCUMENT + 1} bytes, and the roles carry {LARGEST_DOCUMENT} at most"
    assert words in line
    assert not (tmp_path / "state").exists(), "before anything is made"


def test_a_role_that_cannot_start_stops_the_others(tmp_path):
    installation = Installation(tmp_path / "i", {"origin": ["--hop-key", str(tmp_path / "missing")]})
    with pytest.raises(RoleEndedError, match="origin"):
        installation.start()
    assert not any(process.running for process in installation.roles.values())


def test_a_state_directory_is_for_one_role(tmp_path):
    installation = Installation(tmp_path / "i")
    with installation:
        done = said("cale", "authz", "--state", tmp_path / "i" / "authz", "--peer", "edge", code=2)
        assert "another server works in" in done.stderr
