"""`device-sdk enroll`, `renew` and `needs-renewal`: the whole job, with a state directory that survives power cuts."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from device_sdk.cli import inputs
from device_sdk.cli.output import Output
from device_sdk.cli.pem import describe
from device_sdk.cli.secrets import pin_provider
from device_sdk.cli.settings import Settings, add_settings
from device_sdk.errors import DeviceSdkError

if TYPE_CHECKING:
    from device_sdk.client.device import Device, Outcome

_KEY = ("key.uri", "key.type", "key.pin_file", "key.pin_fd")


def add_arguments(parser: argparse.ArgumentParser, name: str, _common: argparse.ArgumentParser) -> None:
    """Describe the command of that name."""
    add_settings(parser, "state_dir", "key.pin_file", "key.pin_fd") if name != "enroll" else add_settings(
        parser, "state_dir", *_KEY
    )
    if name == "enroll":
        add_settings(parser, *inputs.SERVER, *inputs.LOGIN, *inputs.IDENTITY, "est.wait_s")
        parser.add_argument("--reuse", action="store_true", help="certify a key that was there before")
        parser.add_argument("--again", action="store_true", help="enrol anew although there is a valid certificate")
        parser.set_defaults(run=_enroll)
    elif name == "renew":
        add_settings(
            parser, *inputs.LOGIN, "est.wait_s", "est.timeout_s", "est.proxy", "renewal.rekey", "renewal.keep_old"
        )
        parser.add_argument(
            "--new-key", metavar="URI", help="name of the new key; counted up from the first one if not given"
        )
        parser.add_argument("--if-needed", action="store_true", help="do nothing unless it is time")
        add_settings(parser, "renewal.threshold")
        parser.set_defaults(run=_renew)
    else:
        add_settings(parser, "renewal.threshold")
        parser.set_defaults(run=_needs_renewal)


def _device(settings: Settings) -> Device:
    from device_sdk.client.device import Device

    return Device(settings.require("state_dir"), pin=pin_provider(settings))


def _report(outcome: Outcome, device: Device, out: Output, *, verb: str) -> int:
    for note in outcome.notes:
        out.say(f"note: {note}")
    facts = describe(outcome.certificate)
    data = {
        "changed": outcome.changed,
        "key_uri": outcome.key_uri,
        "certificate": facts,
        "certificate_file": str(device.state.current_file),
        "anchors_file": str(device.state.anchors_file),
        "notes": list(outcome.notes),
    }
    done = verb if outcome.changed else "nothing to do:"
    out.data(
        data,
        f"{done} {facts['subject']}, serial {facts['serial']}, until {facts['not_after']}\n{device.state.current_file}",
    )
    return 0


def _enroll(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.client.device import EnrolmentPlan
    from device_sdk.model.keys import KeyType

    kind = settings.text("key.type")
    plan = EnrolmentPlan(
        url=settings.require("est.url"),
        label=settings.text("est.label"),
        key_uri=settings.require("key.uri"),
        key_type=KeyType(kind) if kind else None,
        spec=inputs.csr_spec(settings),
        anchors=inputs.anchors(settings),
        pins=inputs.pins(settings),
        implicit=settings.switch("est.implicit"),
        credentials=inputs.credentials(settings),
        timeouts=inputs.timeouts(settings),
        proxy=settings.text("est.proxy"),
        wait_s=settings.number("est.wait_s") or 0.0,
        reuse_key=options.reuse,
        again=options.again,
    )
    device = _device(settings)
    return _report(device.enroll(plan), device, out, verb="enrolled:")


def _renew(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.client.device import RenewalPlan

    device = _device(settings)
    if options.if_needed:
        decision = device.needs_renewal(threshold=settings.number("renewal.threshold") or 2 / 3)
        if not decision.needed:
            out.data({"changed": False} | decision.to_json(), decision.reason)
            return 0
    plan = RenewalPlan(
        rekey=settings.switch("renewal.rekey"),
        keep_old=settings.switch("renewal.keep_old"),
        key_uri=options.new_key,
        credentials=inputs.credentials(settings),
        timeouts=inputs.timeouts(settings),
        proxy=settings.text("est.proxy"),
        wait_s=settings.number("est.wait_s") or 0.0,
    )
    return _report(device.renew(plan), device, out, verb="renewed:")


def _needs_renewal(_options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """0 renew now, 1 fine, 2 missing or unreadable: what systemd's ExecCondition expects."""
    try:
        decision = _device(settings).needs_renewal(threshold=settings.number("renewal.threshold") or 2 / 3)
    except DeviceSdkError as error:
        out.error(error)
        return 2
    out.data(decision.to_json(), decision.reason)
    return 0 if decision.needed else 1
