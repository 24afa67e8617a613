"""`device-sdk enroll`, `renew`, `abandon` and `needs-renewal`: the whole job, with a state directory that survives power cuts."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from device_sdk.cli import inputs, waiting
from device_sdk.cli.certificate_less import SRP, srp_credentials, srp_trust
from device_sdk.cli.first_trust import trusted_or_asking
from device_sdk.cli.output import Output
from device_sdk.cli.pem import describe
from device_sdk.cli.secrets import one_time_password, pin_provider, revocation_password
from device_sdk.cli.settings import Settings, add_settings
from device_sdk.errors import ConfigurationError, DeviceSdkError, StateError

if TYPE_CHECKING:
    from device_sdk.cli.first_trust import Trusted
    from device_sdk.client.device import Device, EnrolmentPlan, Outcome
    from device_sdk.model.credentials import Credentials
    from device_sdk.model.csr import NewName
    from device_sdk.model.trust import TlsIdentity

_NOTHING = 1
_SIGNATURE, _KEY_ESTABLISHMENT = "signature", "key-establishment"
_COMMON = ("state_dir", "key.pin_file", "key.pin_fd", "key.allow_imported", "certificates_dir")


def add_arguments(parser: argparse.ArgumentParser, name: str, _common: argparse.ArgumentParser) -> None:
    """Describe the command of that name."""
    add_settings(parser, *_COMMON)
    describe_command = {"enroll": _add_enroll, "renew": _add_renew, "abandon": _add_abandon}
    describe_command.get(name, _add_needs_renewal)(parser)


def _add_enroll(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, "key.uri", "key.type", *inputs.SERVER, *inputs.LOGIN, *inputs.IDENTITY, *waiting.WAITING)
    add_settings(parser, *inputs.COMPATIBILITY, *inputs.CHALLENGES, *SRP, "renewal.url")
    parser.add_argument("--reuse", action="store_true", help="certify a key that was there before")
    parser.add_argument("--again", action="store_true", help="enrol anew although there is a valid certificate")
    parser.add_argument(
        "--result",
        nargs="?",
        const="",
        metavar="TARGET",
        help="only fetch what became of the request of an earlier run (RFC 8295 section 9); nothing is asked again. TARGET: "
        "`where` of the entry of type 0008 or 0009, if it is not /simpleenroll",
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="certificate for TLS, the one of the factory for example")
    parser.add_argument("--tls-key", metavar="URI", help="the key of --tls-cert")
    parser.set_defaults(run=_enroll)


def _add_renew(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, *inputs.LOGIN, *waiting.WAITING, "est.timeout_s", "est.proxy", *inputs.COMPATIBILITY)
    add_settings(parser, "renewal.rekey", "renewal.keep_old", "renewal.threshold")
    add_settings(parser, "identity.subject", "identity.san", "identity.mac", "identity.attributes")
    add_settings(parser, *inputs.CHALLENGES)
    parser.add_argument(
        "--new-key", metavar="URI", help="name of the new key; counted up from the first one if not given"
    )
    parser.add_argument(
        "--change-name",
        action="store_true",
        help="ask for a certificate of another name, that of --subject and --san; what they do not say stays as it is",
    )
    parser.add_argument(
        "--implicit",
        action=argparse.BooleanOptionalAction,
        help="from now on also trust the operating system's anchors for the server, or the device's own only, and name "
        "those to the server (RFC 7030 section 4.1.3); left as it is if not given",
    )
    parser.add_argument(
        "--if-needed", action="store_true", help="do what is due: renew, fetch the CA certificates again, or nothing"
    )
    _add_use(parser)
    parser.set_defaults(run=_renew)


def _add_abandon(parser: argparse.ArgumentParser) -> None:
    _add_use(parser)
    parser.set_defaults(run=_abandon)


def _add_needs_renewal(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, "renewal.threshold")
    _add_use(parser)
    parser.set_defaults(run=_needs_renewal)


def _add_use(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--use",
        choices=(_SIGNATURE, _KEY_ESTABLISHMENT),
        default=_SIGNATURE,
        help="which certificate of the device: the one for signatures (default), or the one for key establishment that sync got",
    )


def device_of(settings: Settings, out: Output) -> Device:
    """The device of the state directory."""
    from device_sdk.client.device import Device

    return Device(
        settings.require("state_dir"),
        pin=pin_provider(settings),
        clock=waiting.clock(out),
        allow_imported=settings.switch("key.allow_imported"),
    )


def _report(outcome: Outcome, device: Device, out: Output, *, verb: str, second: bool = False) -> int:
    for note in outcome.notes:
        out.say(f"note: {note}")
    facts = describe(outcome.certificate)
    file = (device.state.key_establishment if second else device.state).current_file
    data = {
        "changed": outcome.changed,
        "key_uri": outcome.key_uri,
        "certificate": facts,
        "certificate_file": str(file),
        "anchors_file": str(device.state.anchors_file),
        "notes": list(outcome.notes),
    }
    done = verb if outcome.changed else "nothing to do:"
    out.data(
        data,
        f"{done} {facts['subject']}, serial {facts['serial']}, until {facts['not_after']}\n{file}",
    )
    return 0


def _enroll(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    if bool(options.tls_cert) != bool(options.tls_key):
        raise ConfigurationError("--tls-cert and --tls-key go together")
    # what excludes each other is said before files are looked into
    srp = srp_credentials(settings, identified=bool(options.tls_cert))
    device = device_of(settings, out)
    with ExitStack() as opened:
        identity = None
        if options.tls_cert:
            identity = inputs.tls_identity(options.tls_cert, options.tls_key, settings, opened)
        plan = _plan(options, settings, identity, srp, out)
        if options.result is None:
            return _report(device.enroll(plan), device, out, verb="enrolled:")
        require_directory(device)
        outcome = device.enrolment_result(plan, options.result or None)
        if outcome is None:
            out.data({"changed": False}, "the server has no result of a request that was sent from here: enrol again")
            return _NOTHING
        return _report(outcome, device, out, verb="enrolled:")


def plan_without_questions(settings: Settings, out: Output) -> EnrolmentPlan:
    """The plan of an enrolment that only the settings say anything about.

    Raises:
        ConfigurationError: they do not say enough.
    """
    options = argparse.Namespace(reuse=False, again=False)
    return _plan(options, settings, None, srp_credentials(settings, identified=False), out)


def _plan(
    options: argparse.Namespace,
    settings: Settings,
    identity: TlsIdentity | None,
    srp: Credentials | None,
    out: Output,
) -> EnrolmentPlan:
    from device_sdk.client.device import EnrolmentPlan
    from device_sdk.model.keys import KeyType

    kind = settings.text("key.type")
    if srp is None:
        inputs.use_configured_anchors(settings)
    anchors, pins, implicit, confirm = trusted_or_asking(settings, out) if srp is None else _srp_anchors(settings)
    return EnrolmentPlan(
        url=settings.require("est.url"),
        label=settings.text("est.label"),
        key_uri=settings.require("key.uri"),
        key_type=KeyType(kind) if kind else None,
        spec=inputs.with_challenges(inputs.csr_spec(settings), settings),
        anchors=anchors,
        pins=pins,
        confirm=confirm,
        implicit=implicit,
        srp=srp,
        renewal_url=settings.text("renewal.url"),
        identity=identity,
        credentials=inputs.credentials(settings, needed=identity is None),
        timeouts=inputs.timeouts(settings),
        proxy=settings.text("est.proxy"),
        **patient(settings, out),
        reuse_key=options.reuse,
        again=options.again,
        compatibility=inputs.compatibility(settings),
    )


def _srp_anchors(settings: Settings) -> Trusted:
    return srp_trust(settings).explicit, (), False, None


def patient(settings: Settings, out: Output) -> dict[str, Any]:
    """What all plans have about servers that are slow, overloaded, away or moved."""
    return {
        "wait_s": inputs.wait(settings),
        "retry": waiting.retry(settings),
        "redirects": waiting.redirects(settings, out),
        "progress": waiting.patience(out),
    }


def _renew(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.client.device import RenewalPlan

    device = device_of(settings, out)
    require_directory(device)
    anchors_only, second = False, options.use == _KEY_ESTABLISHMENT
    if second and (options.new_key or options.change_name):
        raise ConfigurationError("--new-key and --change-name are for the certificate for signatures")
    if options.if_needed:
        decision = device.needs_renewal(threshold=inputs.threshold(settings), key_establishment=second)
        if not decision.needed:
            out.data({"changed": False} | decision.to_json(), decision.reason)
            return 0
        anchors_only = decision.anchors_only
    plan = RenewalPlan(
        rekey=settings.switch("renewal.rekey"),
        keep_old=settings.switch("renewal.keep_old"),
        key_uri=options.new_key,
        mac_address=inputs.mac_address(settings),
        values=inputs.values(settings),
        new_name=_new_name(options, settings, device),
        otp_challenge=one_time_password(settings),
        revocation_challenge=revocation_password(settings),
        credentials=inputs.credentials(settings, needed=False),
        timeouts=inputs.timeouts(settings),
        proxy=settings.text("est.proxy"),
        **patient(settings, out),
        implicit=options.implicit,
        compatibility=inputs.compatibility(settings),
    )
    if anchors_only:
        return _report(device.refresh_anchors(plan), device, out, verb="CA certificates followed, same certificate:")
    return _report(device.renew(plan, key_establishment=second), device, out, verb="renewed:", second=second)


def _new_name(options: argparse.Namespace, settings: Settings, device: Device) -> NewName | None:
    """What --change-name asks for; without it the flags may say no more than the certificate does."""
    chain = device.state.snapshot()[1]
    if not chain:  # a renewal says so itself
        return None
    if options.change_name:
        return inputs.new_name(settings, chain[0])
    inputs.require_same_names(settings, chain[0])
    return None


def require_directory(device: Device) -> None:
    """Taking the lock would make it, under a name that was perhaps mistyped.

    Raises:
        StateError: there is none.
    """
    if not device.state.path.exists():
        raise StateError(
            f"{device.state.path}: there is no such state directory",
            hint="name it with --state, or enrol first: device-sdk enroll",
            path=str(device.state.path),
        )


def _abandon(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    device = device_of(settings, out)
    second = options.use == _KEY_ESTABLISHMENT
    abandoned = device.state.path.exists() and device.abandon(key_establishment=second)
    out.data({"abandoned": abandoned}, "abandoned" if abandoned else "nothing was under way")
    return 0


def _needs_renewal(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """0 renew now, 1 fine, 2 missing or unreadable: what systemd's ExecCondition expects."""
    try:
        second = options.use == _KEY_ESTABLISHMENT
        decision = device_of(settings, out).needs_renewal(
            threshold=inputs.threshold(settings), key_establishment=second
        )
    except DeviceSdkError as error:
        out.error(error)
        return 2
    out.data(decision.to_json(), decision.reason)
    return 0 if decision.needed else 1
