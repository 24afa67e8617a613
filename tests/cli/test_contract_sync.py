"""`device-sdk sync` against the reference server: driven by its package list (RFC 8295 section 2)."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.client.doctor import Doctor
from device_sdk.state import StateDirectory, SyncJournal
from tests.cli.conftest import Lab, leaf, openssl
from tests.est.pki import Ca, new_key
from tests.packages.test_crls import crl
from tests.simulators.packages.conftest import publish

pytestmark = pytest.mark.slow


def outcomes(data: dict[str, Any]) -> list[tuple[str, str]]:
    return [(step["type"], step["outcome"]) for step in data["steps"]]


def kept_peers(lab: Lab) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates((lab.state / "peers.pem").read_bytes())


@pytest.mark.parametrize("store", ["pkcs11", "tpm2"])
def test_p_15_driven_by_the_list_with_the_key_in_hardware(
    store: str, lab: Lab, token: SoftHsm, swtpm: Swtpm, tmp_path: Path
) -> None:
    """Enrolled, peers published, one of them revoked, renewed: the device does no more than `sync`."""
    key = {"pkcs11": token.uri_of("device"), "tpm2": f"tpm2:file={tmp_path}/device.pem?tcti={swtpm.tcti}"}[store]
    sync = ("sync", "--state", lab.state, "--json")
    lab.cli.ok(*lab.enroll_words(key))
    first = leaf(lab.state / "current.pem")
    pairs = [lab.certificate(tmp_path / f"{name}.pem", lab.key(name)) for name in ("peer-1", "peer-2")]
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join(path.read_bytes() for path in pairs))
    publish(lab.server, "peers", both, f"{first.serial_number:x}")
    planned = lab.cli.ok(*sync, "--plan").json
    assert outcomes(planned) == [("0002", "planned"), ("0005", "planned"), ("0003", "planned")]
    assert not (lab.state / "peers.pem").exists()
    assert outcomes(lab.cli.ok(*sync).json) == [("0002", "done"), ("0005", "done"), ("0003", "done")]
    assert set(kept_peers(lab)) == {leaf(path) for path in pairs}
    for path in pairs:
        said = openssl("verify", "-crl_check", "-CRLfile", lab.state / "crls.pem", "-CAfile", lab.server.ca_file,
                       "-untrusted", lab.server.issuer_file, path)  # fmt: skip
        assert "OK" in said
    gone = leaf(pairs[0])
    lab.server.est.register.revoke(f"{gone.serial_number:x}")
    lab.server.policy.pal_renewal = 0.0
    done = lab.cli.ok(*sync).json
    assert outcomes(done) == [("0002", "done"), ("0005", "done"), ("0010", "done"), ("0003", "done")]
    assert kept_peers(lab) == [leaf(pairs[1])]
    renewed = leaf(lab.state / "current.pem")
    assert renewed.serial_number != first.serial_number
    assert renewed.public_key() != first.public_key()
    entry = next(e for e in lab.server.log() if e["operation"] == "simplereenroll" and e["status"] == 200)
    assert (entry["authentication"], entry["client_serial"]) == ("tls", f"{first.serial_number:x}")


def test_for_people(lab: Lab) -> None:
    state = ("--state", lab.state)
    lab.enrolled()
    out = lab.cli.ok("sync", *state, "--plan").out.splitlines()
    assert out == [
        "0002  CA certificates: planned: refresh the trust anchors",
        "0005  revocation lists: planned: fetch the revocation lists, and keep them",
    ]
    out = lab.cli.ok("sync", *state).out.splitlines()
    assert out == [
        "0002  CA certificates: done: the trust anchors are the same",
        "0005  revocation lists: done: revocation lists kept: 2",
    ]
    lab.server.policy.packages = False
    assert lab.cli.ok("sync", *state).out == "nothing is there for this device\n"


def test_exit_codes(lab: Lab, tmp_path: Path) -> None:
    """0 done, 1 a step failed, 8 something is pending; without a list that error's own."""
    assert "there is no such state directory" in lab.cli.fails(9, "sync", "--state", tmp_path / "none")
    lab.enrolled()
    sync = ("sync", "--state", lab.state)
    lab.server.policy.pal_renewal = 0.0
    lab.server.policy.require_approval = True
    pending = lab.cli(*sync, "--json")
    assert (pending.code, pending.json["pending"], pending.json["failed"]) == (8, True, False)
    (step,) = [one for one in pending.json["steps"] if one["outcome"] == "pending"]
    assert step["error"]["code"] == "pending"
    lab.cli.ok("abandon", "--state", lab.state)
    strange = tmp_path / "strange.pem"
    strange.write_bytes(Ca.root("Stranger").certify("peer", new_key().public_key()).public_bytes(Encoding.PEM))
    publish(lab.server, "peers", strange, f"{leaf(lab.state / 'current.pem').serial_number:x}")
    failed = lab.cli(*sync, "--json")
    assert (failed.code, failed.json["failed"]) == (1, True)
    (step,) = [one for one in failed.json["steps"] if one["outcome"] == "failed"]
    assert (step["type"], step["error"]["code"]) == ("0003", "verification")
    lab.server.stop()
    assert lab.cli(*sync).code == 5


def test_on_a_terminal_each_step_is_shown_while_it_is_under_way(lab: Lab, terminal) -> None:
    lab.enrolled()
    screen = terminal("sync", "--state", lab.state)
    screen.until("[1/2] refresh the trust anchors")
    screen.until("revocation lists kept: 2")
    assert screen.end() == 0


def test_c_05_show_and_doctor_tell_of_lists_and_peers(lab: Lab, tmp_path: Path) -> None:
    state = ("--state", lab.state)
    lab.enrolled()
    own = leaf(lab.state / "current.pem")
    peer = lab.certificate(tmp_path / "peer.pem", lab.key("peer"))
    publish(lab.server, "peers", peer, f"{own.serial_number:x}")
    empty = lab.cli.ok("show", *state, "--json").json
    assert (empty["revocation_lists"], empty["peers"]) == ([], [])
    lab.cli.ok("sync", *state)
    shown = lab.cli.ok("show", *state, "--json").json
    assert [(one["issuer"], one["stale"]) for one in shown["revocation_lists"]] == [
        ("CN=Reference Root CA", False),
        ("CN=Reference Issuing CA", False),
    ]
    assert [one["serial"] for one in shown["peers"]] == [f"{leaf(peer).serial_number:x}"]
    assert "revocation lists: CN=Reference Root CA, 0 entries, until 20" in lab.cli.ok("show", *state).out

    def verdict(**moved: float) -> tuple[str, str]:
        doctor = Doctor(str(lab.state), now=lambda: datetime.now(UTC) + timedelta(**moved))
        (found,) = [one for one in doctor.run() if one.check == "revocation"]
        return found.status, found.detail

    assert verdict() == ("ok", "revocation lists: 2, peers: 1")
    assert verdict(days=8) == (
        "warning",
        "stale: the revocation list of CN=Reference Root CA, CN=Reference Issuing CA",
    )
    StateDirectory(lab.state).packages.write_journal(SyncJournal(datetime.now(UTC), "00" * 32, ()))
    assert verdict() == ("warning", "a sync was interrupted")
    lab.server.est.register.revoke(f"{own.serial_number:x}")
    lab.cli.ok("est", "crls", *lab.trust, "--out", lab.state / "crls.pem")
    assert verdict()[0] == "failed"
    assert verdict()[1].startswith("the certificate of this device was revoked on ")
    (lab.state / "crls.pem").write_text("-----BEGIN nothing")
    assert verdict()[0] == "skipped"
    assert lab.cli.ok("show", *state, "--json").json["revocation_lists"] == []
    assert "crls.pem: cannot be understood" in str(lab.cli("doctor", *state, "--json").json["checks"][2])


def test_c_05_a_cale_server_on_a_kept_list_gets_nothing(lab: Lab) -> None:
    """The lists of the state directory count for every server that its anchors vouch for."""
    lab.enrolled()
    port = int(lab.server.cale_url.rpartition(":")[2])
    shown = x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", port)).encode())
    issuers = [leaf(path) for path in (lab.server.ca_file, lab.server.issuer_file)]
    (issuer,) = [one for one in issuers if one.subject == shown.issuer]
    StateDirectory(lab.state).packages.save_lists([crl(Ca(new_key(), issuer), shown)])
    words = (
        "cale",
        "register",
        "--state",
        lab.state,
        "--url",
        lab.server.cale_url,
        "--key",
        lab.key("cale", "rsa-2048"),
    )
    assert "revoked on " in lab.cli.fails(6, *words, *lab.login)
    assert not [entry for entry in lab.server.log() if entry["path"] == "/registration"]
    StateDirectory(lab.state).packages.save_lists([])
    lab.cli.ok(*words, *lab.login)


def test_what_waits_for_the_server_is_listed_and_sent(lab: Lab) -> None:
    """Exit 0 if nothing is left, 1 if something still waits or was given up; what nobody was told of yet is told once."""
    lab.enrolled()
    state = ("--state", lab.state)
    assert lab.cli.ok("outbox", "list", *state).out == "nothing waits\n"
    outbox = StateDirectory(lab.state).outbox
    outbox.put("firmware/return", "application/cms", b"0\0", about="a receipt", made_at=datetime.now(UTC))
    (waits,) = lab.cli.ok("outbox", "list", *state, "--json").json["waiting"]
    assert (waits["path"], waits["about"], waits["tries"], waits["bytes"]) == ("firmware/return", "a receipt", 0, 2)
    assert "body" not in waits
    (waiting,) = (lab.state / "outbox").glob("*.json")
    whole = waiting.read_bytes()
    waiting.write_bytes(b"{")
    assert lab.cli("outbox", "send", *state).code == 1, "what cannot be read is left, too"
    waiting.write_bytes(whole)
    sent = lab.cli("outbox", "send", *state)  # the server cannot read it, and says so for good
    assert (sent.code, sent.out) == (1, "nothing waits\n")
    assert sent.err.startswith("note: given up: a receipt: https://localhost:")
    outbox.put("firmware/return", "application/cms", b"0\0", about="a receipt", made_at=datetime.now(UTC))
    synced = lab.cli.ok("sync", *state)
    assert "note: given up: a receipt" in synced.err
    lab.server.stop()
    outbox.put("firmware/return", "application/cms", b"0\0", about="a receipt", made_at=datetime.now(UTC))
    left = lab.cli("outbox", "send", *state)
    assert (left.code, left.out.endswith("firmware/return  a receipt: still waits\n")) == (1, True)
    assert "given up" not in left.err


def test_doctor_tells_of_messages_that_wait_too_long_or_were_given_up(lab: Lab) -> None:
    lab.enrolled()
    outbox = StateDirectory(lab.state).outbox

    def verdict(**moved: float) -> tuple[str, str]:
        doctor = Doctor(str(lab.state), now=lambda: datetime.now(UTC) + timedelta(**moved))
        (found,) = [one for one in doctor.run() if one.check == "outbox"]
        return found.status, found.detail

    assert verdict() == ("ok", "messages for the server that wait: 0")
    outbox.put("firmware/return", "application/cms", b"0\0", about="a receipt", made_at=datetime.now(UTC))
    assert verdict() == ("ok", "messages for the server that wait: 1")
    assert verdict(days=2)[0] == "warning"
    (message,) = outbox.pending()
    outbox.drop(message.id, "403")
    assert verdict() == ("warning", "messages for the server that wait: 0, given up: 1")
