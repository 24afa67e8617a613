"""A device follows its CA to another key, with nobody at hand (RFC 4210 section 4.4, EST-113, EST-122, EST-124, EST-125)."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.device import Device
from device_sdk.errors import HttpStatusError, ServerNotTrustedError, TransportError
from device_sdk.model.trust import Pin
from device_sdk.wire.fingerprint import parse_pin

pytestmark = pytest.mark.slow

DAY_S = 86400
STAGES = ("publish", "switch", "retire")


def roll(server: ReferenceServer, stage: str, label: str = "") -> None:
    rollover = server.rollover(label)
    step = {"publish": lambda: rollover.publish("ec-p256"), "switch": rollover.switch, "retire": rollover.retire}
    step[stage]()


def root_pin(server: ReferenceServer) -> Pin:
    return parse_pin(f"sha256:{server.ca_sha256}")


def follow(device: Device, how: str) -> None:
    if how == "renew":
        device.renew()
    else:
        device.refresh_anchors()


@pytest.mark.parametrize("trust", ["anchors", "pin"])
@pytest.mark.parametrize("how", ["renew", "refresh"])
def test_est_122_a_device_follows_every_stage(bench, how, trust) -> None:
    """Asked after each stage; one that was bootstrapped by a pin as well as one that was given anchors."""
    plan = bench.plan if trust == "anchors" else bench.planned(anchors=(), pins=(root_pin(bench.server),))
    bench.device.enroll(plan)
    old = bench.server.hierarchy.root.certificate
    for stage in STAGES:
        roll(bench.server, stage)
        new = (bench.server.hierarchy.others[0] if stage == "publish" else bench.server.hierarchy).root.certificate
        if (stage, how) == ("retire", "refresh"):
            # what the old key issued has come to its end: the certificate, too, must be of the new generation by now
            with pytest.raises(HttpStatusError, match="retired"):
                bench.device.renew()
            bench.device.abandon()
            bench.device.refresh_anchors()
        else:
            follow(bench.device, how)
        assert bench.device.anchors == (new, old), stage
        if how == "renew":
            issuer = bench.server.hierarchy.issuing.certificate
            assert bench.device.chain[1] == issuer
            bench.device.certificate.verify_directly_issued_by(issuer)
    bench.require_sound()


@pytest.mark.parametrize("how", ["renew", "refresh"])
def test_est_124_a_device_that_slept_through_the_publish_stage(bench, how) -> None:
    """The server's TLS certificate is of the new generation already: NewWithOld in its chain leads the device there."""
    bench.device.enroll(bench.plan)
    old = bench.server.hierarchy.root.certificate
    roll(bench.server, "publish")
    roll(bench.server, "switch")
    follow(bench.device, how)
    assert bench.device.anchors == (bench.server.hierarchy.root.certificate, old)
    bench.device.renew()
    roll(bench.server, "retire")
    bench.device.renew()
    bench.require_sound()


def test_est_124_case_2_a_new_device_and_what_the_old_key_issued(bench) -> None:
    """It knows only the new root; the server still shows and issues certificates of the old generation."""
    roll(bench.server, "publish")
    new = bench.server.hierarchy.others[0].root.certificate
    bench.device.enroll(bench.planned(anchors=(new,)))
    bench.device.certificate.verify_directly_issued_by(bench.server.hierarchy.issuing.certificate)
    assert bench.device.anchors == (new,), "the old root is not needed: OldWithNew is in the chain"
    assert bench.device.chain[-1] == bench.server.hierarchy.others[0].old_with_new
    roll(bench.server, "switch")
    bench.device.renew()
    assert bench.device.anchors == (new,)
    bench.require_sound()


def test_est_122_the_old_anchor_is_kept_to_its_end_and_no_longer(bench, clock) -> None:
    bench.device.enroll(bench.plan)
    old = bench.server.hierarchy.root.certificate
    roll(bench.server, "publish")
    roll(bench.server, "switch")
    bench.device.refresh_anchors()
    new = bench.server.hierarchy.root.certificate
    # the TLS library goes by the machine's clock, for which all of them stay valid
    clock.offset_s = (old.not_valid_after_utc - clock.now()).total_seconds() - DAY_S / 2
    bench.device.refresh_anchors()
    assert bench.device.anchors == (new, old)
    clock.offset_s += DAY_S
    bench.device.refresh_anchors()
    assert bench.device.anchors == (new,)


def test_est_125_slept_through_all_of_it(bench, clock) -> None:
    """Nothing leads to the server any more: the error says what to do, and that is what helps."""
    bench.device.enroll(bench.plan)
    before = bench.device.anchors
    for stage in STAGES:
        roll(bench.server, stage)
    for call in (bench.device.renew, bench.device.refresh_anchors):
        with pytest.raises(ServerNotTrustedError, match=r"enroll --again --pin"):
            call()
        bench.device.abandon()
    assert bench.device.anchors == before
    again = bench.planned(
        anchors=(), pins=(root_pin(bench.server),), again=True, key_uri=f"file:{bench.keys}/again.pem"
    )
    bench.device.enroll(again)
    assert bench.device.anchors == (bench.server.hierarchy.root.certificate,)
    bench.require_sound()


def test_est_125_the_pin_of_before_is_refused_after_the_end_of_the_old_key(bench) -> None:
    from device_sdk.errors import FingerprintMismatchError

    pinned = bench.planned(anchors=(), pins=(root_pin(bench.server),))
    roll(bench.server, "publish")
    roll(bench.server, "switch")
    bench.device.enroll(pinned)
    assert len(bench.device.anchors) == 2
    roll(bench.server, "retire")
    with pytest.raises(FingerprintMismatchError):
        bench.device.enroll(replace(pinned, again=True, key_uri=f"file:{bench.keys}/again.pem"))
    bench.device.abandon()
    assert len(bench.device.anchors) == 2


def test_est_113_the_ca_certificates_are_due_after_two_thirds_of_the_shortest_life(bench, clock) -> None:
    bench.server.policy.lifetime = timedelta(days=36500)
    bench.device.enroll(bench.plan)
    issuing = bench.server.hierarchy.issuing.certificate
    start = clock.now()
    shortest = issuing.not_valid_after_utc - start
    before, after = (start + shortest * share for share in (0.66, 0.67))
    assert not bench.device.needs_renewal(now=before, threshold=1.0).needed
    decision = bench.device.needs_renewal(now=after, threshold=1.0)
    assert (decision.needed, decision.anchors_only) == (True, True)
    assert "CA certificates" in decision.reason
    assert not bench.device.needs_renewal(now=after, threshold=0.1).anchors_only, "a renewal fetches them anyway"
    clock.offset_s = (after - start).total_seconds()
    bench.server.clock = clock.now
    key = bench.key_files()
    outcome = bench.device.refresh_anchors()
    assert (outcome.changed, bench.key_files()) == (False, key)
    assert not bench.device.needs_renewal(threshold=1.0).needed, "from now on two thirds of the rest"
    assert bench.device.needs_renewal(now=after + (start + shortest - after) * 0.67, threshold=1.0).anchors_only


def test_est_113_a_refresh_that_fails_changes_nothing(bench) -> None:
    bench.device.enroll(bench.plan)
    before = bench.device.state.load(), bench.device.anchors
    for fault, error in (("status", HttpStatusError), ("truncate", TransportError)):
        setattr(bench.server.faults, fault, True)
        with pytest.raises(error):
            bench.device.refresh_anchors()
        bench.server.faults.clear()
        assert (bench.device.state.load(), bench.device.anchors) == before
    assert len(list((bench.device.state.path / "trust").iterdir())) == 1


def test_est_45_a_root_nobody_vouches_for_is_named_and_not_trusted(bench) -> None:
    bench.device.enroll(bench.plan)
    before = bench.device.anchors
    bench.server.faults.set("extra_roots", "3", operation="cacerts")
    outcome = bench.device.refresh_anchors()
    assert bench.device.anchors == before
    assert sum("a root that no trusted anchor vouches for" in note for note in outcome.notes) == 3


def test_est_113_a_state_of_an_earlier_version_has_no_time_of_the_last_refresh(bench) -> None:
    bench.device.enroll(bench.plan)
    state = bench.device.state
    state.save(replace(state.load(), anchors_checked=None))
    assert not bench.device.needs_renewal().needed
    assert bench.device.needs_renewal(now=bench.device.chain[1].not_valid_after_utc).needed


def test_a_refresh_killed_anywhere_leaves_the_anchors_of_before_or_after(bench, runner) -> None:
    """No journal is needed: the set of anchors in use changes in one step."""
    bench.device.enroll(bench.plan)
    spec = {
        "state": str(bench.device.state.path), "url": bench.server.url, "key_uri": bench.key_uri, "name": "router-7",
        "anchors": str(bench.server.ca_file), "user": bench.server.user, "password": bench.server.password,
    }  # fmt: skip
    roll(bench.server, "publish")
    enrolled, before = bench.device.state.load(), bench.device.anchors
    after = (bench.server.hierarchy.others[0].root.certificate, *before)
    total = runner.counted("refresh", spec)
    assert total > 20
    seen = set()
    for kill_at in range(1, total + 1):
        with bench.device.state.exclusive():
            bench.device.state.add_anchors(before)
            bench.device.state.save(enrolled)
        runner.run("refresh", spec, kill_at)
        device = Device(bench.device.state.path)
        assert device.anchors in (before, after), kill_at
        seen.add(device.anchors)
        device.refresh_anchors()
        assert device.anchors == after
        text = device.state.anchors_file.read_bytes()
        assert text == b"".join(anchor.public_bytes(Encoding.PEM) for anchor in after)
        bench.require_sound()
    assert seen == {before, after}


def cli(*words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "device_sdk.cli.main", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout or done.stderr


def test_est_113_the_timer_refreshes_without_renewing(bench) -> None:
    """`needs-renewal` and `renew --if-needed`, as systemd and cron run them, after years without a look at /cacerts."""
    device = Device(bench.device.state.path)
    device.enroll(bench.plan)
    place = ("--state", str(device.state.path))
    assert cli("needs-renewal", *place)[0] == 1
    roll(bench.server, "publish")
    state = device.state.load()
    device.state.save(replace(state, anchors_checked=datetime(2000, 1, 1, tzinfo=UTC)))
    code, text = cli("needs-renewal", "--json", *place)
    assert (code, json.loads(text)["anchors_only"]) == (0, True)
    before, keys = device.certificate, bench.key_files()
    code, text = cli("renew", "--if-needed", "--json", *place)
    answer = json.loads(text)
    assert (code, answer["changed"]) == (0, True)
    assert any("new trust anchor" in note for note in answer["notes"])
    assert (device.certificate, bench.key_files(), len(device.anchors)) == (before, keys, 2)
    assert cli("needs-renewal", *place)[0] == 1
    assert cli("renew", "--if-needed", *place)[0] == 0
    assert device.certificate == before
    assert [entry["operation"] for entry in bench.server.log()].count("simplereenroll") == 0


def test_est_06_a_device_of_a_label_follows_the_ca_of_its_label(tmp_path, bench) -> None:
    bench.server.policy.own_cas = {"red"}
    anchors = tuple(root.certificate for root in bench.server.sites.at("red").hierarchy.roots)
    # the TLS server is certified by the main CA
    main = bench.plan.anchors
    bench.device.enroll(bench.planned(label="red", anchors=(*main, *anchors)))
    for stage in STAGES[:2]:
        roll(bench.server, stage, "red")
        bench.device.renew()
    hierarchy = bench.server.sites.at("red").hierarchy
    assert hierarchy.root.certificate in bench.device.anchors
    assert set(main) < set(bench.device.anchors)
    bench.device.certificate.verify_directly_issued_by(hierarchy.issuing.certificate)
    bench.require_sound()
