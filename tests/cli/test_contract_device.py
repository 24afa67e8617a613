"""`device-sdk enroll`, `renew`, `needs-renewal`, `show`, `abandon`: the whole job, with a state directory."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path

import pytest
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from tests.cli.conftest import Cli, Lab, leaf, openssl

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("way", ["pin", "anchors", "implicit"])
@pytest.mark.parametrize("store", ["pkcs11", "tpm2"])
def test_life_of_a_device(store: str, way: str, lab: Lab, token: SoftHsm, swtpm: Swtpm, tmp_path: Path) -> None:
    key = {"pkcs11": token.uri_of("device-key"), "tpm2": f"tpm2:file={tmp_path}/device-key.pem"}[store]
    trust = {"pin": ("--pin", lab.pin), "anchors": ("--anchors", lab.server.ca_file), "implicit": ("--implicit",)}[way]
    lab.cli.environment["SSL_CERT_FILE"] = str(lab.server.ca_file)
    state = ("--state", lab.state)
    words = ("enroll", *state, "--key", key, "--url", lab.server.url, *trust, *lab.login, "--subject", "CN=router-7",
             "--mac", "00:00:5e:00:53:07", "--san", "DNS:router-7.example")  # fmt: skip
    enrolled = lab.cli.ok(*words, "--json").json
    assert enrolled["changed"] is True
    assert enrolled["certificate_file"] == str(lab.state / "current.pem")
    assert "OK" in openssl("verify", "-CAfile", lab.state / "anchors.pem", "-untrusted", lab.state / "current.pem",
                           lab.state / "current.pem")  # fmt: skip
    again = lab.cli.ok(*words, "--json").json
    assert (again["changed"], again["certificate"]) == (False, enrolled["certificate"])
    assert lab.cli("needs-renewal", *state).code == 1
    del lab.cli.environment["SSL_CERT_FILE"]
    renewed = lab.cli.ok("renew", *state, "--json").json
    assert renewed["certificate"]["serial"] != enrolled["certificate"]["serial"]
    entry = next(e for e in lab.server.log() if e["operation"] == "simplereenroll" and e["status"] == 200)
    assert (entry["authentication"], entry["client_serial"]) == ("tls", enrolled["certificate"]["serial"])
    shown = lab.cli.ok("show", *state, "--json").json
    assert (shown["enrolled"], shown["key_uri"], shown["certificate"]) == (
        True,
        renewed["key_uri"],
        renewed["certificate"],
    )
    assert shown["under_way"] is None
    key_info = lab.cli.ok("keys", "show", shown["key_uri"], "--json").json
    assert (key_info["extractable"], key_info["hardware"]) == (False, True)
    assert lab.cli("keys", "show", key).code == 3, "the first key is gone"


def test_enroll_and_renew_speak_plainly(lab: Lab) -> None:
    key = f"file:{lab.keys}/device.pem"
    said = lab.cli.ok(*lab.enroll_words(key)).out
    certificate = leaf(lab.state / "current.pem")
    assert said.startswith(f"enrolled: CN=router-7, serial {certificate.serial_number:x}, until 20")
    assert said.endswith(f"\n{lab.state}/current.pem\n")
    assert lab.cli.ok(*lab.enroll_words(key)).out.startswith("nothing to do: CN=router-7")
    assert lab.cli.ok("renew", "--state", lab.state, "--if-needed").out.startswith("renewal is due on 20")
    assert lab.cli.ok("renew", "--state", lab.state).out.startswith("renewed: CN=router-7")


@pytest.mark.slow
def test_needs_renewal_exit_codes(lab: Lab) -> None:
    """0 = renew now, 1 = fine, 2 = missing or unreadable."""
    state = ("needs-renewal", "--state", lab.state)
    missing = lab.cli(*state, "--json")
    assert (missing.code, missing.error["code"]) == (2, "state")
    lab.enrolled()
    fine = lab.cli(*state, "--json")
    assert (fine.code, fine.json["needed"]) == (1, False)
    due = lab.cli(*state, "--threshold", "0.00001", "--json")
    assert (due.code, due.json["needed"]) == (0, True)
    assert "was due" in due.json["reason"]
    assert "renewal.threshold" in lab.cli.fails(2, *state, "--threshold", "0")
    (lab.state / "state.json").write_text("{")
    assert "state.json" in lab.cli.fails(2, *state)


def test_expired(lab: Lab) -> None:
    lab.server.policy.lifetime = timedelta(seconds=1)
    lab.server.policy.backdate = timedelta(seconds=0)
    lab.enrolled()
    time.sleep(1.5)
    assert "expired" in lab.cli.ok("needs-renewal", "--state", lab.state).out
    lab.server.policy.lifetime = timedelta(days=1)
    said = lab.cli("renew", "--state", lab.state).err
    assert "the certificate has expired: enrol again" in said
    again = lab.cli.ok(*lab.enroll_words(f"file:{lab.keys}/device.pem"), "--json").json
    assert again["changed"] is True


@pytest.mark.slow
def test_enroll_keeps_to_what_it_was_told(lab: Lab) -> None:
    key = lab.enrolled()
    assert "enrolled already" in lab.cli.fails(2, *lab.enroll_words(f"file:{lab.keys}/other.pem"))
    other = lab.key("other")
    lab.state = lab.directory / "second"
    assert "there is a key of that name" in lab.cli.fails(3, *lab.enroll_words(other))
    assert lab.cli.ok(*lab.enroll_words(other, "--reuse"), "--json").json["key_uri"] == other
    lab.state = lab.directory / "state"
    assert lab.cli.ok(*lab.enroll_words(key, "--again"), "--json").json["changed"] is True


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ec-p384", "rsa-2048"])
def test_type(kind: str, lab: Lab) -> None:
    key = lab.enrolled("device", "--type", kind)
    assert lab.cli.ok("keys", "show", key, "--json").json["key_type"] == kind


@pytest.mark.slow
def test_type_that_is_none(lab: Lab) -> None:
    assert "choose from" in lab.cli.fails(2, *lab.enroll_words("file:/x", "--type", "ec-p255"))
    said = lab.cli.fails(2, *lab.enroll_words("file:/x"), env={"DEVICE_SDK_KEY_TYPE": "ec-p255"})
    assert "DEVICE_SDK_KEY_TYPE is 'ec-p255'; it must be one of ec-p256" in said


@pytest.mark.slow
def test_enroll_with_the_factorys_certificate(lab: Lab, tmp_path: Path) -> None:
    """EST-21: a certificate of another kind may stand in for the password."""
    factory = lab.key("factory")
    certificate = lab.certificate(tmp_path / "factory.pem", factory)
    pair = ("--tls-cert", certificate, "--tls-key", factory)
    lab.cli.ok(
        "enroll", "--state", lab.state, "--key", f"file:{lab.keys}/d.pem", *lab.trust, "--subject", "CN=router-7", *pair
    )
    entry = [e for e in lab.server.log() if e["operation"] == "simpleenroll" and e["status"] == 200][-1]
    assert (entry["authentication"], entry["client_subject"]) == ("tls", "CN=router-7")
    assert "go together" in lab.cli.fails(2, *lab.enroll_words("file:/x", "--tls-cert", certificate))


@pytest.mark.slow
def test_renew_without_a_new_key_and_with_a_named_one(lab: Lab) -> None:
    key = lab.enrolled()
    same = lab.cli.ok("renew", "--state", lab.state, "--no-rekey", "--json").json
    assert same["key_uri"] == key
    named = f"file:{lab.keys}/named.pem"
    new = lab.cli.ok("renew", "--state", lab.state, "--new-key", named, "--keep-old", "--json").json
    assert new["key_uri"] == named
    assert lab.cli.ok("show", "--state", lab.state, "--json").json["previous"] == [key]


@pytest.mark.slow
def test_renew_asks_nobody_for_a_password(lab: Lab, tmp_path: Path) -> None:
    """A timer has no terminal, and the password file of the enrolment may be gone."""
    (tmp_path / "config.toml").write_text(f'[est]\nuser = "device"\npassword_file = "{tmp_path}/gone"\n')
    lab.enrolled()
    assert lab.cli.ok("renew", "--state", lab.state).err == ""
    assert "cannot read the secret" in lab.cli.fails(
        2, "renew", "--state", lab.state, "--password-file", tmp_path / "gone"
    )


def test_pending_is_resumed_with_the_same_key_and_can_be_abandoned(lab: Lab) -> None:
    lab.server.policy.require_approval = True
    key = f"file:{lab.keys}/device.pem"
    assert "not decided yet" in lab.cli.fails(8, *lab.enroll_words(key))
    first = lab.cli.ok("keys", "show", key, "--json").json["spki_sha256"]
    shown = lab.cli.ok("show", "--state", lab.state, "--json").json
    assert (shown["enrolled"], shown["under_way"]["key_uri"]) == (False, key)
    for more in ((), ("--key", key)):
        said = lab.cli.ok("doctor", "--state", lab.state, *more).out
        assert "enroll is under way since" in said
        assert said.count(key) == 1, "the key that waits is looked at, and named there"
    failed = lab.cli(*lab.enroll_words(key, "--json"))
    assert (failed.code, failed.error["code"]) == (8, "pending")
    lab.server.policy.require_approval = False
    lab.server.est.queue.decide(None, approve=True)
    lab.cli.ok(*lab.enroll_words(key, "--wait", "5"))
    assert lab.cli.ok("keys", "show", key, "--json").json["spki_sha256"] == first
    assert lab.cli.ok("abandon", "--state", lab.state, "--json").json == {"abandoned": False}
    lab.server.policy.require_approval = True
    lab.cli.fails(8, "renew", "--state", lab.state)
    assert len(list(lab.keys.glob("*.pem"))) == 2
    said = lab.cli.ok("doctor", "--state", lab.state).out
    assert f"renew with file:{lab.keys}/device-2.pem is under way since" in said
    assert said.count("device-2.pem") == 1
    assert lab.cli.ok("abandon", "--state", lab.state).out == "abandoned\n"
    assert [path.name for path in lab.keys.glob("*.pem")] == ["device.pem"]


@pytest.mark.slow
def test_a_mistyped_state_directory_is_not_made(lab: Lab) -> None:
    assert "no such state directory" in lab.cli.fails(9, "renew", "--state", lab.state)
    assert lab.cli.ok("abandon", "--state", lab.state).out == "nothing was under way\n"
    lab.cli.ok("doctor", "--state", lab.state)
    assert not lab.state.exists()


@pytest.mark.slow
def test_show_of_nothing_and_of_a_clock_that_was_set_back(lab: Lab, cli: Cli) -> None:
    nothing = cli.ok("show", "--state", lab.state)
    assert nothing.out == f"state dir: {lab.state}\nenrolled: no\n"
    lab.enrolled()
    assert "needed: no" in cli.ok("show", "--state", lab.state).out
    state = json.loads((lab.state / "state.json").read_text())
    state["time_floor"] = "2099-01-01T00:00:00Z"
    (lab.state / "state.json").write_text(json.dumps(state))
    shown = cli.ok("show", "--state", lab.state)
    assert "subject: CN=router-7" in shown.out
    assert "last known good time is 2099-01-01" in shown.out
    assert "set the clock" in cli.fails(11, "renew", "--state", lab.state)
    assert "set the clock" in cli.fails(2, "needs-renewal", "--state", lab.state)


def test_n_02_n_03_the_result_of_a_first_enrolment(lab: Lab, tmp_path: Path) -> None:
    """Approved, denied, or nothing there (types 0008 and 0009): a GET with the credentials of the request."""
    words = lab.enroll_words(f"file:{lab.keys}/result.pem")
    assert "no such state directory" in lab.cli.fails(9, *words, "--result")
    lab.server.policy.require_approval = True
    lab.cli.fails(8, *words)
    lab.cli.fails(8, *words, "--result")
    lab.server.est.queue.decide(None, approve=False)
    listed = lab.cli.ok("est", "pal", *lab.trust, *lab.login, "--json").json["entries"]
    assert "0009" in [one["type"] for one in listed]
    assert "403" in lab.cli.fails(7, *words, "--result")
    lab.cli.ok("abandon", "--state", lab.state)
    lab.cli.fails(8, *words)
    lab.server.est.queue.decide(None, approve=True)
    assert "such results are at" in lab.cli.fails(2, *words, "--result", "/.well-known/est/pal")
    assert lab.cli.run(*words, "--result", "/.well-known/est/fullcmc").returncode == 1
    before = len(lab.server.log())
    done = lab.cli.ok(*words, "--result", "--json").json
    assert done["changed"]
    asked = [(one["method"], one["operation"]) for one in lab.server.log()[before:] if "enroll" in one["operation"]]
    assert set(asked) == {("GET", "simpleenroll")}, "challenged, and with the password"
    assert leaf(lab.state / "current.pem").serial_number == int(done["certificate"]["serial"], 16)
    assert lab.cli.run(*words, "--result", "--json").returncode == 1
