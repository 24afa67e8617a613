"""A device whose first certificate comes over certificate-less TLS (RFC 7030 section 3.3.3): EST-64, EST-68."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.srp.service import SrpSettings

from device_sdk.client.device import EnrolmentPlan, RenewalPlan
from device_sdk.client.est import RetryPolicy
from device_sdk.errors import ConfigurationError, EnrolmentPendingError, ServerNotTrustedError, SharedSecretError
from device_sdk.model.credentials import Credentials
from device_sdk.model.csr import CsrSpec
from device_sdk.model.secret import Secret
from device_sdk.model.trust import Pin, TlsIdentity
from device_sdk.state import Endpoint
from tests.cli.conftest import Cli, leaf
from tests.est.pki import Ca, name

pytestmark = pytest.mark.slow

USER, PASSWORD = "router-7", "open sesame"


@pytest.fixture
def est_server(tmp_path: Path) -> Iterator[ReferenceServer]:
    with ReferenceServer(tmp_path / "server", srp=SrpSettings(user=USER, password=PASSWORD)) as running:
        yield running


@pytest.fixture
def plan(bench) -> EnrolmentPlan:
    """Without any anchor: the password vouches for the server."""
    return EnrolmentPlan(
        url=bench.server.srp_url,
        key_uri=bench.key_uri,
        spec=CsrSpec(name("router-7")),
        srp=Credentials(USER, Secret(PASSWORD)),
        renewal_url=bench.server.url,
    )


def test_est_64_from_a_password_to_renewals_with_a_certificate(bench, plan) -> None:
    outcome = bench.device.enroll(plan)
    assert outcome.notes == ()
    (enrolment,) = bench.logged("simpleenroll")
    assert (enrolment["authentication"], enrolment["srp_user"]) == ("srp", USER)
    last = bench.server.log()[-1]
    serial = f"{outcome.certificate.serial_number:x}"
    assert (last["operation"], last["client_serial"]) == ("cacerts", serial), "renewals were tried out"
    state = bench.device.state.load()
    assert state.endpoint == Endpoint(bench.server.url)
    assert bench.device.anchors == bench.plan.anchors
    assert not bench.device.enroll(plan).changed
    bench.device.renew()
    assert bench.logged("simplereenroll")[0]["client_serial"] == f"{outcome.certificate.serial_number:x}"
    bench.require_sound()


def test_a_token_holds_the_key(bench, plan, softhsm_token) -> None:
    bench.device.enroll(replace(plan, key_uri=softhsm_token.uri_of("device")))
    bench.device.renew()
    assert bench.device.state.load().current.key_uri.startswith("pkcs11:")
    with bench.device.key() as key:
        assert key.public_key() == bench.device.certificate.public_key()


def test_renewals_need_to_know_where_before_anything_is_sent(bench, plan) -> None:
    with pytest.raises(ConfigurationError, match=r"renewals need a server with a certificate.*--renew-url"):
        replace(plan, renewal_url=None)
    known = replace(plan, renewal_url=None, anchors=bench.plan.anchors)
    assert known.home == known.url, "a server that has a certificate of known anchors may do both"


def test_a_server_for_renewals_that_is_not_there_is_told_and_not_fatal(bench, plan) -> None:
    """The certificate is good without it; what will not work is said now, not when it has nearly ended."""
    outcome = bench.device.enroll(replace(plan, renewal_url="https://localhost:1"))
    assert len(outcome.notes) == 1
    assert outcome.notes[0].startswith("renewals would fail as things are: https://localhost:1")
    assert bench.device.status().enrolled
    # put right by enrolling again
    bench.device.enroll(replace(plan, again=True))
    bench.device.renew()


def test_a_server_for_renewals_of_another_ca_is_told(bench, plan, tmp_path: Path) -> None:
    """The CA of the password's server is the only one that counts from then on."""
    with ReferenceServer(tmp_path / "stranger") as stranger:
        outcome = bench.device.enroll(replace(plan, renewal_url=stranger.url))
        assert "renewals would fail as things are" in outcome.notes[0]
        with pytest.raises(ServerNotTrustedError):
            bench.device.renew()


def test_est_68_a_wrong_password_is_one_try(bench, plan) -> None:
    """However patient the plan is."""
    wrong = Credentials(USER, Secret("guess"))
    with pytest.raises(SharedSecretError):
        bench.device.enroll(replace(plan, srp=wrong, wait_s=100.0, retry=RetryPolicy(connections=True)))
    assert bench.server.srp.guard.failures()[f"user:{USER}"] == 1
    assert bench.key_files() == []
    bench.device.enroll(plan)
    bench.require_sound()


def test_a_request_that_waits_for_the_next_run(bench, plan, clock) -> None:
    """EST-164: the same key, and the password again."""
    bench.server.policy.require_approval = True
    with pytest.raises(EnrolmentPendingError):
        bench.device.enroll(plan)
    made = (bench.keys / "device.pem").read_bytes()
    bench.server.est.queue.decide(None, approve=True)
    clock.offset_s += 61
    bench.device.enroll(plan)
    assert (bench.keys / "device.pem").read_bytes() == made
    assert bench.device.state.load().endpoint.url == bench.server.url
    bench.require_sound()


def test_enrolling_again_proves_the_new_pair_where_renewals_go(bench, plan) -> None:
    """EST-157, and the port of SRP knows no certificates."""
    bench.device.enroll(plan)
    outcome = bench.device.enroll(replace(plan, again=True, key_uri=f"file:{bench.keys}/other.pem"))
    last = bench.server.log()[-1]
    assert (last["operation"], last["client_serial"]) == ("cacerts", f"{outcome.certificate.serial_number:x}")
    assert bench.key_files() == ["other.pem"]
    bench.require_sound()


def test_what_does_not_go_together(bench, plan) -> None:
    root = Ca.root("a CA")
    pin = (Pin("sha256", bytes(32)),)
    for mixed in (
        {"pins": pin},
        {"implicit": True},
        {"confirm": lambda _: True},
        {"identity": TlsIdentity((root.certificate,), root.key)},
    ):
        with pytest.raises(ConfigurationError):
            replace(plan, **mixed)


def test_the_password_is_in_no_file_and_no_text(bench, plan) -> None:
    bench.device.enroll(plan)
    kept = b"".join(path.read_bytes() for path in bench.device.state.path.rglob("*") if path.is_file())
    assert PASSWORD.encode() not in kept
    assert PASSWORD not in repr(plan)


def test_a_renewal_url_is_for_servers_with_certificates_as_well(bench) -> None:
    """One address to enrol at, another for life."""
    other = bench.server.url.replace("localhost", "127.0.0.1")
    bench.device.enroll(bench.planned(renewal_url=other))
    assert bench.device.state.load().endpoint.url == other
    assert not bench.device.enroll(bench.planned(renewal_url=other)).changed
    bench.device.renew(RenewalPlan())
    bench.require_sound()


class TestCommandLine:
    @pytest.fixture
    def words(self, bench, tmp_path: Path) -> tuple[object, ...]:
        file = tmp_path / "srp-password"
        file.touch(0o600)
        file.write_text(PASSWORD + "\n")
        return (
            "enroll", "--state", bench.device.state.path, "--key", bench.key_uri, "--subject", "CN=router-7",
            "--url", bench.server.srp_url, "--srp-user", USER, "--srp-password-file", file,
        )  # fmt: skip

    @pytest.mark.slow
    def test_enroll_and_renew(self, bench, words, tmp_path: Path) -> None:
        cli = Cli(tmp_path)
        said = cli.fails(2, *words)
        assert "--renew-url" in said
        assert bench.server.log() == []
        done = cli.ok(*words, "--renew-url", bench.server.url)
        assert done.err == ""
        assert isinstance(leaf(bench.device.state.current_file), x509.Certificate)
        # configured once, SRP does not stand in the way of renewals
        environment = {"DEVICE_SDK_EST_SRP_USER": USER, "DEVICE_SDK_RENEWAL_URL": bench.server.url}
        cli.ok("renew", "--state", bench.device.state.path, env=environment)
        assert bench.logged("simplereenroll")[0]["authentication"] == "tls"
        assert "unrecognized" in cli.fails(2, "renew", "--state", bench.device.state.path, "--srp-user", USER)

    @pytest.mark.slow
    def test_json_and_exit_codes(self, bench, words, tmp_path: Path) -> None:
        cli = Cli(tmp_path)
        renew = ("--renew-url", bench.server.url)
        (tmp_path / "srp-password").write_text("a guess")
        done = cli(*words, *renew, "--retry", "--wait", "30", "--json")
        assert (done.code, done.error["code"], done.error["user"]) == (6, "shared-secret", USER)
        assert "a guess" not in done.out + done.err
        assert bench.server.srp.guard.failures()[f"user:{USER}"] == 1
        assert "exclude" in cli.fails(
            2, *words, *renew, "--tls-cert", bench.server.ca_file, "--tls-key", _key(cli, bench)
        )
        assert "--pin and --implicit" in cli.fails(2, *words, *renew, "--implicit")


def _key(cli: Cli, bench) -> str:
    uri = f"file:{bench.keys}/factory.pem"
    cli.ok("keys", "create", uri, "--type", "ec-p256")
    return uri
