"""`device-sdk est cacerts|csrattrs|enroll|reenroll --url ... (--anchors | --pin | --implicit) ...`, one operation at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from tests.cli.conftest import Lab, leaf, openssl

pytestmark = pytest.mark.slow


def _ways(lab: Lab) -> dict[str, tuple[tuple[str, ...], dict[str, str]]]:
    """The three ways to trust, and what each needs in the environment."""
    url = ("--url", lab.server.url)
    return {
        "anchors": ((*url, "--anchors", str(lab.server.ca_file)), {}),
        "pin": ((*url, "--pin", lab.pin), {}),
        "implicit": ((*url, "--implicit"), {"SSL_CERT_FILE": str(lab.server.ca_file)}),
    }


@pytest.mark.slow
@pytest.mark.parametrize("way", ["anchors", "pin", "implicit"])
def test_cacerts(way: str, lab: Lab, tmp_path: Path) -> None:
    words, environment = _ways(lab)[way]
    done = lab.cli.ok("est", "cacerts", *words, "--out", tmp_path / "ca.pem", env=environment)
    assert (done.out, done.err) == ("", "")
    assert openssl("x509", "-in", tmp_path / "ca.pem", "-noout", "-subject") == "subject=CN = Reference Root CA\n"
    assert lab.server.ca_file.read_text() in (tmp_path / "ca.pem").read_text()
    data = lab.cli.ok("est", "cacerts", *words, "--json", env=environment).json
    assert data["anchors"][0]["sha256"] == lab.server.ca_sha256
    assert data["pem"] == (tmp_path / "ca.pem").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["anchors", "pin", "implicit"])
def test_csrattrs(way: str, lab: Lab) -> None:
    words, environment = _ways(lab)[way]
    assert lab.cli.ok("est", "csrattrs", *words, "--json", env=environment).json["mac_address"] is True
    assert lab.cli.ok("est", "csrattrs", *words, env=environment).out == "mac address: asked for\n"
    lab.server.policy.csrattrs = []
    assert lab.cli.ok("est", "csrattrs", *words, env=environment).out == "no wishes\n"


@pytest.mark.slow
@pytest.mark.parametrize("way", ["anchors", "pin", "implicit"])
def test_enroll(way: str, lab: Lab, tmp_path: Path) -> None:
    words, environment = _ways(lab)[way]
    key, out = lab.key(), tmp_path / "device.pem"
    command = ("est", "enroll", *words, *lab.login, "--key", key, "--subject", "CN=router-7,O=Example")
    done = lab.cli.ok(*command, "--mac", "00:00:5e:00:53:07", "--out", out, env=environment)
    assert (done.out, done.err) == ("", "")
    assert "OK" in openssl("verify", "-CAfile", lab.server.ca_file, "-untrusted", out, out)
    assert leaf(out).subject.rfc4514_string() == "CN=router-7,O=Example"
    assert (
        next(e for e in lab.server.log() if e["operation"] == "simpleenroll" and e["status"] == 200)["mac_address"]
        == "00:00:5e:00:53:07"
    )


@pytest.mark.parametrize("kind", ["ec-p256", "rsa-2048"])
@pytest.mark.parametrize("store", ["pkcs11", "tpm2"])
def test_enroll_and_reenroll_with_hardware(
    store: str, kind: str, lab: Lab, token: SoftHsm, swtpm: Swtpm, tmp_path: Path
) -> None:
    key = {"pkcs11": token.uri_of("key"), "tpm2": f"tpm2:file={tmp_path}/key.pem"}[store]
    lab.cli.ok("keys", "create", key, "--type", kind)
    first = lab.certificate(tmp_path / "first.pem", key)
    lab.cli.ok(
        "est", "reenroll", "--same-key", *lab.trust, "--cert", first, "--key", key, "--out", tmp_path / "second.pem"
    )
    entry = lab.server.log()[-1]
    assert (entry["operation"], entry["authentication"]) == ("simplereenroll", "tls")
    assert entry["client_serial"] == f"{leaf(first).serial_number:x}"
    assert entry["issued_serial"] == f"{leaf(tmp_path / 'second.pem').serial_number:x}"


@pytest.mark.slow
def test_reenroll_with_a_new_key(lab: Lab, tmp_path: Path) -> None:
    key, new = lab.key(), lab.key("new", "ec-p384")
    first = lab.certificate(tmp_path / "first.pem", key)
    out = tmp_path / "second.pem"
    lab.cli.ok("est", "reenroll", *lab.trust, "--cert", first, "--key", key, "--new-key", new, "--out", out)
    public = lab.cli.ok("keys", "show", new, "--json").json["public_key"]
    assert leaf(out).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode() == public


@pytest.mark.slow
def test_est_157_the_same_key_again_is_said(lab: Lab, tmp_path: Path) -> None:
    """Neither or both is an error that names the two, before anybody is asked."""
    key, new = lab.key(), lab.key("new")
    first = lab.certificate(tmp_path / "first.pem", key)
    renew = ("est", "reenroll", *lab.trust, "--cert", first, "--key", key, "--out", tmp_path / "second.pem")
    before = lab.operations()
    for words in ((), ("--new-key", new, "--same-key")):
        said = lab.cli.fails(2, *renew, *words)
        assert "--new-key" in said
        assert "--same-key" in said
    assert lab.operations() == before
    lab.cli.ok(*renew, "--same-key")
    assert leaf(tmp_path / "second.pem").public_key() == leaf(first).public_key()


@pytest.mark.slow
def test_reenroll_keeps_the_names(lab: Lab, tmp_path: Path) -> None:
    """RFC 7030 section 4.2.2, EST-150: identical to the current certificate."""
    key = lab.key()
    first = lab.certificate(tmp_path / "first.pem", key)
    pair = ("est", "reenroll", "--same-key", *lab.trust, "--cert", first, "--key", key, "--out", tmp_path / "x.pem")
    lab.cli.ok(*pair, "--subject", "CN=router-7")
    before = lab.operations()
    assert "cannot become CN=other" in lab.cli.fails(2, *pair, "--subject", "CN=other")
    assert "subject alternative names" in lab.cli.fails(2, *pair, "--san", "DNS:other.example")
    assert lab.operations() == before


@pytest.mark.slow
def test_enroll_with_a_certificate(lab: Lab, tmp_path: Path) -> None:
    """--cert with --key is the pair for TLS; --new-key, or --key where --tls-key is given, is certified."""
    old, new = lab.key("old"), lab.key("new", "ec-p384")
    first = lab.certificate(tmp_path / "first.pem", old)
    for words in (
        ("--cert", first, "--key", old, "--new-key", new),
        ("--tls-cert", first, "--tls-key", old, "--key", new),
    ):
        lab.cli.ok("est", "enroll", *lab.trust, *words, "--out", tmp_path / "second.pem")
        entry = lab.server.log()[-1]
        assert (entry["operation"], entry["status"], entry["authentication"]) == ("simpleenroll", 200, "tls")
        assert leaf(tmp_path / "second.pem").subject.rfc4514_string() == "CN=router-7"
        assert leaf(tmp_path / "second.pem").public_key().curve.name == "secp384r1"  # type: ignore[union-attr]
    lab.cli.ok("est", "cacerts", *lab.trust, "--cert", first, "--key", old)
    assert lab.server.log()[-1]["client_subject"] == "CN=router-7"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("cacerts",), "est.url is not set"),
        (("cacerts", "--url", "http://localhost", "--implicit"), "https"),
        (("cacerts", "--url", "https://localhost"), "say whom to trust"),
        (("cacerts", "--url", "https://localhost", "--pin", "sha256:00"), "sha256 has 64"),
        (("cacerts", "--url", "https://localhost", "--pin", "md5:00"), "sha256"),
        (
            ("cacerts", "--url", "https://localhost", "--implicit", "--pin", "sha256:" + 64 * "0"),
            "does not go together",
        ),
        (("cacerts", "--url", "https://localhost", "--anchors", "/nonexistent"), "No such file"),
        (("cacerts", "--url", "https://localhost", "--anchors", "/etc/hostname"), "no readable certificate"),
        (("cacerts", "--url", "https://localhost", "--implicit", "--timeout", "0"), "greater than 0"),
        (("cacerts", "--url", "https://localhost", "--implicit", "--timeout", "nan"), "must be a number"),
        (("cacerts", "--url", "https://localhost", "--implicit", "--password-file", "x"), "--user"),
        (("enroll", "--url", "https://localhost", "--implicit"), "key.uri is not set"),
        (("enroll", "--url", "https://localhost", "--implicit", "--key", "file:k", "--new-key", "file:n"), "--cert"),
        (
            ("enroll", "--url", "https://localhost", "--implicit", "--key", "file:k", "--tls-key", "file:n"),
            "go together",
        ),
        (("reenroll", "--url", "https://localhost", "--implicit", "--key", "file:k"), "--cert"),
        (("revoke",), "choose from"),
    ],
)
def test_mistakes(words: tuple[str, ...], said: str, lab: Lab) -> None:
    assert said in lab.cli.fails(2, "est", *words)


@pytest.mark.slow
def test_wrong_pair(lab: Lab, tmp_path: Path) -> None:
    first = lab.certificate(tmp_path / "first.pem", lab.key())
    assert "another key" in lab.cli.fails(
        2, "est", "reenroll", "--same-key", *lab.trust, "--cert", first, "--key", lab.key("other")
    )


@pytest.mark.slow
def test_label(lab: Lab, tmp_path: Path) -> None:
    lab.server.policy.labels = {"lab"}
    lab.cli.ok("est", "cacerts", *lab.trust, "--label", "lab", "--out", tmp_path / "ca.pem")
    assert lab.server.log()[-1]["path"] == "/.well-known/est/lab/cacerts"
    assert "404" in lab.cli.fails(7, "est", "cacerts", *lab.trust, "--label", "other")


def test_pending_and_patience(lab: Lab, tmp_path: Path) -> None:
    """202 with Retry-After (RFC 7030 section 4.2.3): exit 8, or --wait."""
    key = lab.key()
    words = (
        "est",
        "enroll",
        *lab.trust,
        *lab.login,
        "--key",
        key,
        "--subject",
        "CN=router-7",
        "--out",
        tmp_path / "d.pem",
    )
    lab.server.faults.set("retry_after", "1", operation="simpleenroll")
    assert "not decided yet" in lab.cli.fails(8, *words)
    failed = lab.cli(*words, "--json")
    assert (failed.code, failed.error["code"], failed.error["retry_after_s"]) == (8, "pending", 1.0)
    assert not (tmp_path / "d.pem").exists()
    lab.server.faults.set("retry_after", "1", times=1, operation="simpleenroll")
    done = lab.cli.ok(*words, "--wait", "10", "-v")
    assert "waiting: accepted and not decided yet (not yet); 1 s" in done.err
    assert (tmp_path / "d.pem").exists()


@pytest.mark.slow
def test_differences_are_told_on_stderr(lab: Lab, tmp_path: Path) -> None:
    lab.server.faults.set("other_subject")
    done = lab.cli.ok("est", "enroll", *lab.trust, *lab.login, "--key", lab.key(), "--subject", "CN=a", "--json")
    assert done.json["notes"]
    assert done.err.startswith("note: ")
    assert done.json["notes"][0] in done.err
