"""`device-sdk est serverkeygen`: a key from the server, with the exit codes and files of `est enroll` (EST-190 to EST-203)."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.keystores import registry
from tests.cli.conftest import COMMAND, Lab, leaf, openssl
from tests.cli.generated import SECRET, require_pair, shared

pytestmark = pytest.mark.slow


def words(lab: Lab, *more: object) -> tuple[object, ...]:
    return "est", "serverkeygen", *lab.trust, *lab.login, "--subject", "CN=sensor-7", *more


def test_a_key_encrypted_to_a_shared_secret(skg: Lab, tmp_path: Path) -> None:
    key, out = tmp_path / "key.pem", tmp_path / "cert.pem"
    done = skg.cli.ok(*words(skg, *shared(skg), "--key-out", key, "--out", out))
    assert (done.out, done.err) == ("", "")
    require_pair(key, out, skg)
    assert skg.server.log()[-1]["private_key"] == "encrypted"


def test_the_key_file_has_the_certificates_too(skg: Lab, tmp_path: Path) -> None:
    """One step stores both: a power cut before --out is written costs nothing (EST-202)."""
    key, out = tmp_path / "key.pem", tmp_path / "cert.pem"
    skg.cli.ok(*words(skg, *shared(skg), "--key-out", key, "--out", out))
    assert key.read_bytes().endswith(out.read_bytes())
    require_pair(key, key, skg)


def test_a_name_taken_while_the_server_was_asked_costs_no_key(skg: Lab, tmp_path: Path, monkeypatch) -> None:
    """Somebody makes the file in the meantime: it stays as it is, and the key goes beside it."""
    key, out = tmp_path / "key.pem", tmp_path / "cert.pem"
    answer = skg.server.est.server_keys.answer

    def slowly(request, route):
        key.write_text("somebody else's\n")
        return answer(request, route)

    method, _ = skg.server.est._operations["serverkeygen"]
    monkeypatch.setitem(skg.server.est._operations, "serverkeygen", (method, slowly))
    said = skg.cli.fails(2, *words(skg, *shared(skg), "--key-out", key, "--out", out))
    assert key.read_text() == "somebody else's\n"
    (beside,) = tmp_path.glob("key.pem.*")
    assert str(beside) in said
    require_pair(beside, out, skg)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ec-p384", "rsa-2048"])
def test_a_key_encrypted_to_a_key_of_ours(kind: str, skg: Lab, tmp_path: Path) -> None:
    """The decryption key may be the one that authenticates TLS, or another."""
    ours = skg.key("ours", kind)
    first = skg.certificate(tmp_path / "first.pem", ours)
    to_ours = ("--decrypt-key", ours, "--decrypt-cert", first)
    key, out = tmp_path / "key.pem", tmp_path / "cert.pem"
    skg.cli.ok(*words(skg, *to_ours, "--key-out", key, "--out", out, "--type", "ec-p521"))
    require_pair(key, out, skg)
    assert leaf(out).public_key().curve.name == "secp521r1"  # type: ignore[union-attr]
    pair = ("est", "serverkeygen", *skg.trust, "--cert", first, "--key", ours, *to_ours)
    skg.cli.ok(*pair, "--key-out", tmp_path / "other.pem", "--out", tmp_path / "other.crt")
    assert skg.server.log()[-1]["authentication"] == "tls"
    assert leaf(tmp_path / "other.crt").subject == leaf(first).subject


@pytest.mark.slow
def test_a_clear_key_has_to_be_allowed(skg: Lab, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    assert "protected, one way" in skg.cli.fails(2, *words(skg, "--key-out", key))
    done = skg.cli.ok(*words(skg, "--allow-clear", "--key-out", key))
    (tmp_path / "cert.pem").write_text(done.out)
    require_pair(key, tmp_path / "cert.pem", skg)


@pytest.mark.slow
def test_json(skg: Lab, tmp_path: Path) -> None:
    """The certificate and where the key is; the key itself is nowhere in the output."""
    key = tmp_path / "key.pem"
    done = skg.cli.ok(*words(skg, *shared(skg), "--key-out", key, "--json"))
    assert sorted(done.json) == ["certificate", "key_file", "notes", "pem"]
    assert done.json["key_file"] == str(key)
    body = "".join(key.read_text().splitlines()[1:-1])
    assert body[60:100] not in done.out + done.err
    assert "PRIVATE" not in done.out + done.err


@pytest.mark.slow
def test_a_key_of_ours_may_sign(skg: Lab, tmp_path: Path) -> None:
    """--key signs the request, and its type is a hint at what to generate; without it a key is made for that."""
    out = tmp_path / "cert.pem"
    more = ("--key", skg.key("signer", "ec-p384"), *shared(skg), "--key-out", tmp_path / "key.pem", "--out", out)
    skg.cli.ok(*words(skg, *more))
    assert leaf(out).public_key().curve.name == "secp384r1"  # type: ignore[union-attr]
    require_pair(tmp_path / "key.pem", out, skg)


@pytest.mark.parametrize("kind", ["ec-p256", "rsa-2048"])
@pytest.mark.parametrize("store", ["pkcs11", "tpm2", "file"])
def test_the_key_goes_into_a_keystore(
    store: str, kind: str, skg: Lab, token: SoftHsm, swtpm: Swtpm, tmp_path: Path
) -> None:
    """Imported, and then used for TLS like any other; nothing of it is left on the disk."""
    uri = {
        "pkcs11": token.uri_of("key"),
        "tpm2": f"tpm2:file={tmp_path}/key.tss2",
        "file": f"file:{tmp_path}/key.pem",
    }[store]
    out = tmp_path / "cert.pem"
    done = skg.cli.ok(*words(skg, *shared(skg), "--key-out", uri, "--type", kind, "--out", out, "--json"))
    assert done.json["key_uri"].startswith(store)
    skg.cli.ok(
        "est",
        "reenroll",
        "--same-key",
        *skg.trust,
        "--cert",
        out,
        "--key",
        uri,
        "--allow-imported",
        "--out",
        tmp_path / "2.pem",
    )
    assert skg.server.log()[-1]["authentication"] == "tls"
    assert not list(tmp_path.glob("*rescued*"))
    taken = skg.cli.fails(3, *words(skg, *shared(skg), "--key-out", uri))
    assert "name already" in taken
    assert skg.server.log()[-1]["operation"] == "simplereenroll"


@pytest.mark.slow
def test_a_private_key_replaces_nothing_and_goes_to_no_device(skg: Lab, tmp_path: Path) -> None:
    """Looked at before anything is asked of the server."""
    (tmp_path / "there.pem").write_text("something\n")
    (tmp_path / "link.pem").symlink_to(tmp_path / "elsewhere")
    for place in ("there.pem", "link.pem"):
        assert "there already" in skg.cli.fails(2, *words(skg, *shared(skg), "--key-out", tmp_path / place))
    for place in ("/dev/stdout", "/dev/null", "/proc/self/fd/1", str(tmp_path)):
        assert "there already" in skg.cli.fails(2, *words(skg, *shared(skg), "--key-out", place))
    assert "standard output" in skg.cli.fails(2, *words(skg, *shared(skg), "--key-out", "-"))
    assert "No such file" in skg.cli.fails(2, *words(skg, *shared(skg), "--key-out", tmp_path / "no" / "key.pem"))
    assert (tmp_path / "there.pem").read_text() == "something\n"
    assert skg.server.log() == []


@pytest.mark.slow
def test_a_certificate_that_cannot_be_written_goes_to_stdout(skg: Lab, tmp_path: Path) -> None:
    """As with est enroll; the key is in its file by then."""
    done = skg.cli(*words(skg, *shared(skg), "--key-out", tmp_path / "key.pem", "--out", "/dev/full"))
    assert done.code == 2
    assert "No space left" in done.err
    (tmp_path / "cert.pem").write_text(done.out)
    require_pair(tmp_path / "key.pem", tmp_path / "cert.pem", skg)


def test_a_key_whose_import_fails_is_kept_in_the_rescue_file(skg: Lab, token: SoftHsm, tmp_path: Path) -> None:
    """EST-202: not printed, not lost. Here somebody else takes the name while the server thinks; what is left to do is said."""
    skg.server.policy.serverkeygen_types = ("rsa-3072",)
    uri, rescue, out = token.uri_of("key"), tmp_path / "rescued.pem", tmp_path / "cert.pem"
    command = words(skg, *shared(skg), "--key-out", uri, "--rescue", rescue, "--out", out)
    with skg.held_back("serverkeygen") as asked:
        process = subprocess.Popen(
            [*COMMAND, *map(str, command)],
            env=os.environ | skg.cli.environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert asked.wait(100)
        skg.cli.ok("keys", "create", uri, "--type", "ec-p256")
    said, words_said = process.communicate(timeout=100)
    assert process.returncode == 3, words_said
    assert said == b""
    assert f"the key is in {rescue}".encode() in words_said
    require_pair(rescue, out, skg)
    key = load_pem_private_key(rescue.read_bytes(), None)
    assert key.key_size == 3072  # type: ignore[union-attr]


def test_a_rescue_file_that_is_in_the_way(skg: Lab, token: SoftHsm, tmp_path: Path) -> None:
    (tmp_path / "rescued.pem").write_text("an older key\n")
    command = words(skg, *shared(skg), "--key-out", token.uri_of("key"), "--rescue", tmp_path / "rescued.pem")
    assert "replaces nothing" in skg.cli.fails(2, *command)
    in_file = words(skg, *shared(skg), "--key-out", tmp_path / "k.pem", "--rescue", tmp_path / "r.pem")
    assert "--rescue" in skg.cli.fails(2, *in_file)
    assert skg.server.log() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "code", "error", "said"),
    [
        ("clear_key", 7, "server-key", "came in the clear"),
        ("other_private_key", 7, "server-key", "private key beside it"),
        ("key_signer=device", 6, "verification", "not to be trusted"),
        ("multipart=encrypted", 7, "server-key", "password"),
        ("multipart=open", 7, "remote-protocol", "last delimiter"),
        ("status=403", 7, "http-status", "403"),
    ],
)
def test_answers_that_are_refused(fault: str, code: int, error: str, said: str, skg: Lab, tmp_path: Path) -> None:
    """No file is made, and the error is data with --json."""
    skg.server.faults.parse(f"{fault}@serverkeygen")
    way = ("--allow-clear",) if fault.startswith("multipart=enc") else shared(skg)
    command = words(skg, *way, "--key-out", tmp_path / "key.pem", "--out", tmp_path / "cert.pem")
    assert said in skg.cli.fails(code, *command)
    failed = skg.cli(*command, "--json")
    assert (failed.code, failed.error["code"]) == (code, error)
    assert sorted(file.name for file in tmp_path.glob("*.pem")) == []


@pytest.mark.slow
def test_a_secret_that_does_not_open(skg: Lab, tmp_path: Path) -> None:
    (skg.directory / "secret").write_text(bytes(32).hex())
    command = words(skg, *shared(skg), "--key-out", tmp_path / "key.pem")
    assert "cannot be opened" in skg.cli.fails(10, *command)
    assert not (tmp_path / "key.pem").exists()


@pytest.mark.slow
@pytest.mark.parametrize("json_too", [False, True])
@pytest.mark.parametrize("out", ["file", "stdout"])
def test_est_202_a_certificate_that_is_not_valid_yet_costs_no_key(
    out: str, json_too: bool, skg: Lab, tmp_path: Path
) -> None:
    """Only this machine's clock is against them: key and certificate go where they would have gone, with exit code 11."""
    skg.server.faults.parse("future@serverkeygen")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    more = ("--out", certificate) if out == "file" else ()
    done = skg.cli(*words(skg, *shared(skg), "--key-out", key, *more, *(["--json"] if json_too else [])))
    assert done.code == 11, done
    assert f"the private key is in {key}, the certificate is" in done.err
    if out == "stdout":
        certificate.write_text(done.error["pem"] if json_too else done.out)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert openssl("pkey", "-in", key, "-pubout") == openssl("x509", "-in", certificate, "-noout", "-pubkey")
    body = "".join(key.read_text().splitlines()[1:-1])
    assert body[60:100] not in done.out + done.err
    assert "PRIVATE" not in done.out + done.err


@pytest.mark.slow
def test_est_202_an_early_key_is_imported(skg: Lab, token: SoftHsm, tmp_path: Path) -> None:
    skg.server.faults.parse("future@serverkeygen")
    uri, out = token.uri_of("key"), tmp_path / "cert.pem"
    said = skg.cli.fails(11, *words(skg, *shared(skg), "--key-out", uri, "--out", out))
    assert "the private key is in pkcs11:" in said
    with registry.open_key(uri, allow_imported=True) as key:
        assert key.public_key() == leaf(out).public_key()  # type: ignore[attr-defined]
    assert not list(tmp_path.glob("*rescued*"))


def test_pending_and_patience(skg: Lab, tmp_path: Path) -> None:
    skg.server.policy.require_approval = True
    command = words(skg, *shared(skg), "--key-out", tmp_path / "key.pem", "--out", tmp_path / "cert.pem")
    assert "not decided yet" in skg.cli.fails(8, *command)
    assert not (tmp_path / "key.pem").exists()
    skg.server.est.queue.decide(None, approve=True)
    skg.cli.ok(*command)
    require_pair(tmp_path / "key.pem", tmp_path / "cert.pem", skg)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--decrypt-key", "file:k"), "go together"),
        (("--decrypt-cert", "x.pem"), "go together"),
        (("--decrypt-secret-file", "secret"), "go together"),
        (("--decrypt-id", "00"), "go together"),
        (("--allow-clear", "--decrypt-secret-file", "secret", "--decrypt-id", "00"), "one way"),
        (("--decrypt-secret-file", "secret", "--decrypt-id", "zz"), "--decrypt-id is not hex"),
        (("--decrypt-secret-file", "/nonexistent", "--decrypt-id", "00"), "No such file"),
        (("--decrypt-secret-file", "short", "--decrypt-id", "00"), "16, 24 or 32 bytes"),
        (("--decrypt-secret-file", "words", "--decrypt-id", "00"), "does not hold hex"),
        (("--allow-clear", "--type", "ed25519"), "invalid choice"),
        (("--allow-clear", "--cert", "x.pem"), "key.uri is not set"),
    ],
)
def test_mistakes(more: tuple[str, ...], said: str, skg: Lab, tmp_path: Path) -> None:
    (skg.cli.directory / "secret").write_text(SECRET.hex())
    (skg.cli.directory / "short").write_text("0102")
    (skg.cli.directory / "words").write_text("not hex, but confidential")
    failed = skg.cli.fails(2, *words(skg, "--key-out", tmp_path / "key.pem", *more))
    assert said in failed
    assert "confidential" not in failed
    assert skg.server.log() == []


@pytest.mark.slow
def test_implicit_trust_is_not_enough(skg: Lab, tmp_path: Path) -> None:
    """EST-190."""
    command = ("est", "serverkeygen", "--url", skg.server.url, "--implicit", *skg.login, "--subject", "CN=x")
    way = ("--allow-clear", "--key-out", tmp_path / "key.pem")
    environment = {"SSL_CERT_FILE": str(skg.server.ca_file)}
    assert "operating system" in skg.cli.fails(2, *command, *way, env=environment)
    assert skg.server.log() == []


@pytest.mark.slow
def test_a_pinned_ca_is_enough(skg: Lab, tmp_path: Path) -> None:
    command = ("est", "serverkeygen", "--url", skg.server.url, "--pin", skg.pin, *skg.login, "--subject", "CN=sensor-7")
    skg.cli.ok(*command, *shared(skg), "--key-out", tmp_path / "key.pem", "--out", tmp_path / "cert.pem")
    require_pair(tmp_path / "key.pem", tmp_path / "cert.pem", skg)


def test_the_server_that_does_not_generate_keys(lab: Lab, tmp_path: Path) -> None:
    assert "404" in lab.cli.fails(7, *words(lab, "--allow-clear", "--key-out", tmp_path / "key.pem"))
    assert json.dumps(lab.server.log()[-1]["status"]) == "404"
