"""`device-sdk est fullcmc`: enrol, renew, revoke, ask again, with the exit codes and files of `est enroll`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from tests.cli.conftest import Lab, leaf, openssl

pytestmark = pytest.mark.slow

SECRET = "sixteen or more characters"


@pytest.fixture
def cmc(lab: Lab) -> Lab:
    lab.server.policy.fullcmc = True
    lab.server.est.full_cmc.store.add_secret("router-7", SECRET.encode())
    (lab.directory / "secret").write_text(SECRET + "\n")
    (lab.directory / "secret").chmod(0o600)
    return lab


def _proof(lab: Lab) -> tuple[str, ...]:
    return "--shared-secret-file", str(lab.directory / "secret"), "--identification", "router-7"


def _enrol(lab: Lab, key: str, *more: object) -> tuple[object, ...]:
    return "est", "fullcmc", *lab.trust, *_proof(lab), "--key", key, "--subject", "CN=router-7", *more


@pytest.mark.slow
def test_enrol_renew_and_revoke(cmc: Lab, tmp_path: Path) -> None:
    """A shared secret first, then the certificate; the revocation is signed by the certificate that goes (EST-207)."""
    key, new = cmc.key(), cmc.key("new", "ec-p384")
    done = cmc.cli.ok(*_enrol(cmc, key, "--out", tmp_path / "first.pem"))
    assert (done.out, done.err) == ("", "")
    assert "OK" in openssl(
        "verify", "-CAfile", cmc.server.ca_file, "-untrusted", tmp_path / "first.pem", tmp_path / "first.pem"
    )
    renewing = ("est", "fullcmc", *cmc.trust, "--cert", tmp_path / "first.pem", "--key", key, "--new-key", new)
    data = cmc.cli.ok(*renewing, "--out", tmp_path / "second.pem", "--json").json
    assert data["cmc"]["statuses"] == [{"status": "success", "text": None}]
    assert leaf(tmp_path / "second.pem").subject == leaf(tmp_path / "first.pem").subject
    revoking = ("est", "fullcmc", *cmc.trust, "--revoke", tmp_path / "second.pem", "--key", new)
    mistaken = cmc.cli.fails(2, *revoking[:-1], key)
    assert "--key is not the key of --revoke's certificate: CN=router-7" in mistaken
    said = cmc.cli.ok(*revoking, "--reason", "superseded").out
    assert said == f"revoked CN=router-7, serial {leaf(tmp_path / 'second.pem').serial_number:x}\n"
    serial = f"{leaf(tmp_path / 'second.pem').serial_number:x}"
    assert cmc.server.est.full_cmc.store.revocation_reason(serial) == 4
    assert "revoked" in cmc.cli.fails(7, *revoking)


@pytest.mark.slow
def test_revoke_by_shared_secret_when_the_key_is_lost(cmc: Lab, tmp_path: Path) -> None:
    cmc.cli.ok(*_enrol(cmc, cmc.key(), "--out", tmp_path / "lost.pem"))
    done = cmc.cli.ok(
        "est",
        "fullcmc",
        *cmc.trust,
        *_proof(cmc),
        "--revoke",
        tmp_path / "lost.pem",
        "--reason",
        "keyCompromise",
        "--json",
    )
    assert done.json["reason"] == "keyCompromise"
    assert SECRET not in done.out + done.err + json.dumps(cmc.server.log())


@pytest.mark.slow
@pytest.mark.parametrize("more", [("--json",), ()])
def test_pending_exits_8_and_the_same_command_asks_again(more: tuple[str, ...], cmc: Lab, tmp_path: Path) -> None:
    """RFC 5272 section 6.13: what is needed to ask again is in the file, readable by its owner only."""
    cmc.server.policy.require_approval = True
    kept, out = tmp_path / "kept.json", tmp_path / "device.pem"
    command = _enrol(cmc, cmc.key(), "--pending", kept, "--out", out, *more)
    done = cmc.cli(*command)
    assert done.code == 8
    assert not out.exists()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "asks" in done.err or "ask again" in done.err
    if more:
        assert done.error["code"] == "pending"
        assert done.error["pending"] == json.loads(kept.read_text())
    assert cmc.cli(*command).code == 8
    assert len(cmc.server.est.queue.entries()) == 1
    cmc.server.est.queue.decide(None, approve=True)
    cmc.cli.ok(*command)
    assert "OK" in openssl("verify", "-CAfile", cmc.server.ca_file, "-untrusted", out, out)
    assert not kept.exists()


@pytest.mark.slow
def test_query_asks_only(cmc: Lab, tmp_path: Path) -> None:
    cmc.server.policy.require_approval = True
    kept, key = tmp_path / "kept.json", cmc.key()
    assert cmc.cli(*_enrol(cmc, key, "--pending", kept)).code == 8
    cmc.server.est.queue.decide(None, approve=False)
    asking = ("est", "fullcmc", *cmc.trust, "--key", key, "--query", kept)
    assert "denied" in cmc.cli.fails(7, *asking)
    assert kept.exists()
    kept.write_text("{}")
    assert "not what a pending CMC request left" in cmc.cli.fails(2, *asking)
    kept.unlink()
    assert "No such file" in cmc.cli.fails(2, *asking)


@pytest.mark.slow
def test_waiting_within_one_run(cmc: Lab, tmp_path: Path) -> None:
    cmc.server.policy.require_approval = True
    words = _enrol(cmc, cmc.key(), "--out", tmp_path / "device.pem")
    assert "--pending FILE" in cmc.cli.fails(8, *words)
    cmc.server.est.queue.decide(None, approve=True)
    cmc.cli.ok(*words, "--wait", "30")


@pytest.mark.parametrize("kind", ["ec-p256", "rsa-2048"])
@pytest.mark.parametrize("store", ["pkcs11", "tpm2"])
def test_hardware_keys_sign_request_and_message(
    store: str, kind: str, cmc: Lab, token: SoftHsm, swtpm: Swtpm, tmp_path: Path
) -> None:
    key = {"pkcs11": token.uri_of("key"), "tpm2": f"tpm2:file={tmp_path}/key.pem"}[store]
    cmc.cli.ok("keys", "create", key, "--type", kind)
    cmc.cli.ok(*_enrol(cmc, key, "--out", tmp_path / "first.pem"))
    cmc.cli.ok(
        "est", "fullcmc", *cmc.trust, "--cert", tmp_path / "first.pem", "--key", key, "--out", tmp_path / "second.pem"
    )
    assert cmc.server.log()[-1]["authentication"] == "cmc:certificate"
    assert cmc.server.log()[-1]["binding"] in ("tls-exporter", "tls-unique")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--revoke", "x.pem", "--query", "y"), "does not go together"),
        (("--query", "x", "--pending", "y"), "give one"),
        (("--reason", "superseded"), "--revoke"),
        (("--new-key", "file:n"), "--cert"),
        (("--tls-cert", "x.pem"), "go together"),
        (("--identification", "router-7"), "no shared secret"),
        (("--shared-secret-file", "/nonexistent"), "cannot read the secret"),
        (("--shared-secret-file", "/dev/null"), "the shared secret is empty"),
    ],
)
def test_mistakes(words: tuple[str, ...], said: str, cmc: Lab) -> None:
    before = cmc.operations()
    assert said in cmc.cli.fails(2, "est", "fullcmc", *cmc.trust, "--key", cmc.key(), "--subject", "CN=x", *words)
    assert cmc.operations() == before


@pytest.mark.slow
def test_a_renewal_has_no_shared_secret(cmc: Lab, tmp_path: Path) -> None:
    """RFC 5272 section 3.2: the identity proofs are absent when an existing certificate signs."""
    key = cmc.key()
    cmc.cli.ok(*_enrol(cmc, key, "--out", tmp_path / "first.pem"))
    words = ("est", "fullcmc", *cmc.trust, *_proof(cmc), "--cert", tmp_path / "first.pem", "--key", key)
    assert "does not go with it" in cmc.cli.fails(2, *words)


def test_a_server_without_it(cmc: Lab, tmp_path: Path) -> None:
    """EST-204: 404 means that Full CMC is not there."""
    cmc.server.policy.fullcmc = False
    assert "does not speak Full CMC" in cmc.cli.fails(7, *_enrol(cmc, cmc.key()))


def test_a_wrong_secret_is_named_in_json(cmc: Lab, tmp_path: Path) -> None:
    (cmc.directory / "secret").write_text("another secret\n")
    done = cmc.cli(*_enrol(cmc, cmc.key(), "--json"))
    assert (done.code, done.error["code"], done.error["fail_info"]) == (7, "cmc-identity", "badIdentity")
    assert "another secret" not in done.out + done.err


def test_what_cannot_be_written_is_known_before_anything_is_asked(cmc: Lab, tmp_path: Path) -> None:
    before = cmc.operations()
    assert "cannot write" in cmc.cli.fails(2, *_enrol(cmc, cmc.key(), "--pending", tmp_path / "nowhere" / "kept.json"))
    assert cmc.operations() == before


@pytest.mark.slow
def test_another_certificate_signs(cmc: Lab, tmp_path: Path) -> None:
    """--tls-cert: the certificate of the factory, or of a registration authority; the names are its own if none are given."""
    old, new = cmc.key("old"), cmc.key("new", "ec-p384")
    first = cmc.certificate(tmp_path / "first.pem", old)
    words = ("est", "fullcmc", *cmc.trust, "--tls-cert", first, "--tls-key", old, "--key", new)
    cmc.cli.ok(*words, "--out", tmp_path / "second.pem")
    assert leaf(tmp_path / "second.pem").subject == leaf(first).subject
    assert leaf(tmp_path / "second.pem").public_key().curve.name == "secp384r1"  # type: ignore[union-attr]
    assert cmc.server.log()[-1]["authentication"] == "cmc:certificate"
    assert "own subject only" in cmc.cli.fails(7, *words, "--subject", "CN=other")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("other_key", 7),
        ("other_issuer", 7),
        ("expired", 7),
        ("not_cms", 7),
        ("not_base64", 7),
        ("empty_body", 7),
        ("media_type=text/html", 7),
        ("truncate", 5),
        ("status=500", 7),
        ("redirect=https://localhost:1/", 7),
        ("noise", 7),
    ],
)
def test_hostile_answers_change_nothing(fault: str, code: int, cmc: Lab, tmp_path: Path) -> None:
    """What was in --out and --pending is there afterwards, byte by byte, and nothing else is."""
    cmc.server.policy.require_approval = True
    kept, out, key = tmp_path / "kept.json", tmp_path / "device.pem", cmc.key()
    command = _enrol(cmc, key, "--pending", kept, "--out", out)
    assert cmc.cli(*command).code == 8
    cmc.server.est.queue.decide(None, approve=True)
    out.write_text("what was here before")
    before = {path: path.read_bytes() for path in tmp_path.glob("*.*") if path.is_file()}
    cmc.server.faults.parse(f"{fault}@fullcmc")
    cmc.cli.fails(code, *command)
    assert {path: path.read_bytes() for path in tmp_path.glob("*.*") if path.is_file()} == before
    cmc.server.faults.clear()
    cmc.cli.ok(*command)
    assert "OK" in openssl("verify", "-CAfile", cmc.server.ca_file, "-untrusted", out, out)
    assert not kept.exists()
