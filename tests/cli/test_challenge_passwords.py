"""One-time and revocation passwords of RFC 7894: by file, descriptor and environment, sent only where they are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from device_sdk_simulators.database import Database
from device_sdk_simulators.est.challenges import Challenges
from device_sdk_simulators.policy import Policy

from tests.cli.conftest import Lab, leaf

pytestmark = pytest.mark.slow

OTP, REVOCATION = "1.2.840.113549.1.9.16.2.56", "1.2.840.113549.1.9.16.2.57"
LINKING = "1.2.840.113549.1.9.16.2.58"


def _given_out(lab: Lab) -> str:
    database = Database(lab.server.state / "server.sqlite")
    try:
        return Challenges(database, Policy()).new_one_time_password()
    finally:
        database.close()


def _may_revoke(lab: Lab, certificate: Path, password: str) -> bool:
    database = Database(lab.server.state / "server.sqlite")
    try:
        return Challenges(database, Policy()).may_revoke(f"{leaf(certificate).serial_number:x}", password)
    finally:
        database.close()


@pytest.mark.slow
def test_est_105_csrattrs_shows_what_is_listed(lab: Lab) -> None:
    """Text and JSON; a server that lists nothing of it is shown so."""
    policy = lab.server.policy
    shown = lab.cli.ok("est", "csrattrs", *lab.trust, "--json").json
    assert (shown["otp"], shown["revocation"], shown["identity_linking"]) == (False, False, False)
    policy.require_otp = policy.require_revocation_challenge = policy.list_identity_linking = True
    shown = lab.cli.ok("est", "csrattrs", *lab.trust, "--json").json
    assert (shown["otp"], shown["revocation"], shown["identity_linking"]) == (True, True, True)
    text = lab.cli.ok("est", "csrattrs", *lab.trust).out.splitlines()
    assert {"otp: asked for", "revocation: asked for", "identity linking: asked for"} <= set(text)


def test_est_105_enroll_and_reenroll_send_them(lab: Lab, tmp_path: Path) -> None:
    """Missing, the options are named; then by file and environment, and the server has what was meant."""
    policy = lab.server.policy
    policy.require_otp = policy.require_revocation_challenge = True
    key, first = lab.key(), tmp_path / "first.pem"
    words = ("est", "enroll", *lab.trust, *lab.login, "--key", key, "--subject", "CN=router-7", "--out", first)
    refused = lab.cli(*words)
    assert refused.code == 7
    assert "(one-time password, --otp-file or --otp-fd)" in refused.err
    assert "--revocation-password-file" in refused.err
    otp, revocation = tmp_path / "otp", tmp_path / "revocation"
    otp.write_text(_given_out(lab) + "\n")
    revocation.write_text("never mind\n")
    for file in (otp, revocation):
        file.chmod(0o600)
    assert lab.cli.ok(*words, "--otp-file", otp, "--revocation-password-file", revocation).err == ""
    assert _may_revoke(lab, first, "never mind")
    second = tmp_path / "second.pem"
    words = ("est", "reenroll", "--same-key", *lab.trust, "--key", key, "--cert", first, "--out", second)
    environment = {"DEVICE_SDK_OTP": _given_out(lab), "DEVICE_SDK_REVOCATION_PASSWORD": "another"}
    assert lab.cli.ok(*words, env=environment).err == ""
    assert _may_revoke(lab, second, "another")


def test_est_105_the_device_commands_take_them_too(lab: Lab) -> None:
    lab.server.policy.require_otp = lab.server.policy.require_revocation_challenge = True
    given = "--otp-fd", 0, "--revocation-password-file", lab.directory / "revocation"
    (lab.directory / "revocation").write_text("never mind")
    uri = f"file:{lab.keys}/device.pem"
    lab.cli.ok(*lab.enroll_words(uri, *given), input=_given_out(lab).encode())
    lab.cli.ok("renew", "--state", lab.state, *given, input=_given_out(lab).encode())


def test_est_105_full_cmc_takes_them_too(lab: Lab, tmp_path: Path) -> None:
    lab.server.policy.fullcmc = True
    certificate = lab.certificate(tmp_path / "first.pem", lab.key())
    lab.server.policy.require_revocation_challenge = True
    words = ("est", "fullcmc", *lab.trust, "--key", f"file:{lab.keys}/device.pem", "--cert", certificate)
    new = tmp_path / "new.pem"
    lab.cli.ok(*words, "--out", new, env={"DEVICE_SDK_REVOCATION_PASSWORD": "never mind"})
    assert _may_revoke(lab, new, "never mind")


@pytest.mark.parametrize("oid", [OTP, REVOCATION, LINKING, "1.2.840.113549.1.9.7"])
def test_a_password_in_an_attribute_is_refused(oid: str, lab: Lab) -> None:
    """As a PIN in an argument is; its value is not repeated."""
    words = ("est", "enroll", *lab.trust, "--key", lab.key(), "--attribute", f"{oid}=geheim")
    said = lab.cli.fails(2, *words)
    assert "every user of this machine" in said
    assert "geheim" not in said
    assert ("--otp-file" in said) == (oid == OTP)


@pytest.mark.slow
def test_an_empty_one_and_one_without_a_server(lab: Lab, tmp_path: Path) -> None:
    key = lab.key()
    (tmp_path / "empty").write_text("\n")
    words = ("est", "enroll", *lab.trust, "--key", key, "--subject", "CN=x")
    assert "the one-time password is empty" in lab.cli.fails(2, *words, "--otp-file", tmp_path / "empty")
    assert "cannot read the secret" in lab.cli.fails(2, *words, "--revocation-password-file", "/nonexistent")
    said = lab.cli.fails(2, *words, "--otp-file", tmp_path / "empty", "--offline-out", tmp_path / "request")
    assert "--otp-file needs a server that is asked directly" in said
