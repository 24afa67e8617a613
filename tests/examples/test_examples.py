"""Every example program runs, as a person would run it, against real parts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.cale.processes import RoleProcess
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from tests.simulators.packages.conftest import publish
from tests.simulators.server.support import certificates_in, make_csr, name, post

EXAMPLES = Path(__file__).parents[2] / "examples"
LISTED = {
    "enrol_with_token.py",
    "enrol_with_tpm.py",
    "driven_by_list.py",
    "from_the_factory.py",
    "cale_with_requests.py",
    "cale_upstream.py",
    "cale_asyncio.py",
    "cale_http_client.py",
}


def _run(name: str, *words: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_example_is_without_a_test() -> None:
    assert {file.name for file in EXAMPLES.glob("*.py")} == LISTED


@pytest.mark.slow
def test_enrol_with_token(softhsm_token: SoftHsm, est_server: ReferenceServer, tmp_path: Path) -> None:
    said = _run(
        "enrol_with_token.py", tmp_path / "state", softhsm_token.uri_of("device-key"), est_server.url,
        f"sha256:{est_server.ca_sha256}", str(est_server.user), est_server.password_file,
    )  # fmt: skip
    assert "enrolled CN=router-7,O=Example" in said
    assert "extractable: False" in said
    assert "with the token's key: 200" in said
    operations = [(entry["operation"], entry["authentication"]) for entry in est_server.log() if entry["status"] == 200]
    assert ("simplereenroll", "tls") in operations


@pytest.mark.slow
def test_enrol_with_tpm(swtpm: Swtpm, est_server: ReferenceServer, tmp_path: Path) -> None:
    said = _run(
        "enrol_with_tpm.py", f"tpm2:file={tmp_path}/key.pem", est_server.url, f"sha256:{est_server.ca_sha256}",
        str(est_server.user), est_server.password_file,
    )  # fmt: skip
    assert "'fixedTPM': True" in said or "'fixedtpm': True" in said.lower()
    assert "renewed over TLS with the TPM's key" in said
    serials = [entry["issued_serial"] for entry in est_server.log() if entry.get("issued_serial")]
    assert said.strip().endswith(str(serials[-1]))


@pytest.mark.slow
def test_p_15_driven_by_the_list(softhsm_token: SoftHsm, est_server: ReferenceServer, tmp_path: Path) -> None:
    """Enrolled; peers published; one revoked; renewed: all by the same command."""
    state = tmp_path / "state"
    words = (state, softhsm_token.uri_of("device-key"), est_server.url, f"sha256:{est_server.ca_sha256}",
             str(est_server.user), est_server.password_file)  # fmt: skip

    def own() -> str:
        return f"{x509.load_pem_x509_certificates((state / 'current.pem').read_bytes())[0].serial_number:x}"

    first = _run("driven_by_list.py", *words).splitlines()
    assert first == [
        "0002 done: the trust anchors are the same",
        "0005 done: revocation lists kept: 2",
        f"certificate {own()}",
        "peers: none",
    ]
    peers = []
    for number in (1, 2):
        key = ec.generate_private_key(ec.SECP256R1())
        peers += certificates_in(post(est_server, make_csr(key, name(f"peer-{number}"))))
    pem = tmp_path / "peers.pem"
    pem.write_bytes(b"".join(peer.public_bytes(Encoding.PEM) for peer in peers))
    publish(est_server, "peers", pem, own())
    said = _run("driven_by_list.py", *words).splitlines()
    assert said[-3:] == [
        "0003 done: certificates of peers from there: 2",
        f"certificate {own()}",
        "peers: CN=peer-1, CN=peer-2",
    ]
    est_server.est.register.revoke(f"{peers[0].serial_number:x}")
    est_server.policy.pal_renewal = 0.0
    before = own()
    said = _run("driven_by_list.py", *words).splitlines()
    assert any(line.startswith("  dropped the peer CN=peer-1: revoked on ") for line in said)
    assert any(line.startswith("0010 done: renewed until 20") for line in said)
    assert own() != before
    assert said[-2:] == [f"certificate {own()}", "peers: CN=peer-2"]


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[str]:
    """The example that knows nothing of CALE."""
    port_file = tmp_path / "port"
    command = [sys.executable, EXAMPLES / "cale_upstream.py", port_file]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while not (port_file.exists() and port_file.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port_file.read_text()}"
        process.kill()


@pytest.fixture
def edge(upstream: str, tmp_path: Path) -> Iterator[RoleProcess]:
    """`device-sdk-sim cale edge --upstream`, in a process of its own."""
    process = RoleProcess(
        "edge", ["--state", str(tmp_path / "edge"), "--upstream", upstream, "--user", "reader"]
    ).start()
    yield process
    process.stop()


@pytest.mark.slow
def test_the_one_line_story(edge: RoleProcess, upstream: str, softhsm_token: SoftHsm, tmp_path: Path) -> None:
    """An application untouched, an edge in front, and a client with one line more; then the same without requests."""
    words = (tmp_path / "state", softhsm_token.uri_of("cale-key"), edge.url, str(edge.facts["ca_file"]),
             str(edge.facts["user"]), str(edge.facts["password_file"]))  # fmt: skip
    assert urllib.request.urlopen(f"{upstream}/meter/1").read() == b'{"kWh": 4711}'  # noqa: S310  # our own server
    for _ in range(2):  # the second time it is registered already
        said = _run("cale_with_requests.py", *words, "/meter/1", "/meter/2")
        assert said == "{'kWh': 4711}\n{'kWh': 42}\n"
    assert _run("cale_asyncio.py", tmp_path / "state", words[3], "/meter/1", "/meter/2") == said
    paths = [entry["path"] for entry in edge.log()]
    assert paths.count("/registration") == 1
    assert paths.count("/meter/1") == 3


@pytest.mark.slow
def test_cale_with_requests_in_front_of_all_roles(cale_server: ReferenceServer, tmp_path: Path) -> None:
    said = _run(
        "cale_with_requests.py", tmp_path / "state", f"file:{tmp_path}/key.pem", cale_server.cale_url,
        cale_server.ca_file, str(cale_server.user), cale_server.password_file, "/resource", "/nothing",
    )  # fmt: skip
    answer, error = said.splitlines()
    assert answer == "{'foo': 'bar'}"
    assert error.startswith("404 Client Error: Not Found, behind the edge device for url: ")
    guid = json.loads((tmp_path / "state" / "cale" / "default.json").read_text())["guid"]
    cale_server.cale.authorization.revoke(guid)
    said = _run(
        "cale_with_requests.py", tmp_path / "state", f"file:{tmp_path}/key.pem", cale_server.cale_url,
        cale_server.ca_file, str(cale_server.user), cale_server.password_file, *["/resource"] * 3,
    )  # fmt: skip
    assert said.splitlines() == [*["/resource: nothing for us; go on"] * 2, "/resource: nothing for us; register again"]


@pytest.mark.slow
def test_cale_with_an_io_of_ones_own(cale_server: ReferenceServer, tmp_path: Path) -> None:
    """registration_request, open_registration and CaleExchange, as somebody with asyncio or a proxy uses them."""
    said = _run(
        "cale_http_client.py", f"file:{tmp_path}/key.pem", cale_server.cale_url, cale_server.ca_file,
        str(cale_server.user), cale_server.password_file, "/resource", "/nothing",
    )  # fmt: skip
    assert said == "application/json {'foo': 'bar'}\n/nothing: 404\n"
    assert [entry["path"] for entry in cale_server.log()] == ["/registration", "/whoami", "/resource", "/nothing"]
