"""Whom to trust where nothing says so: a person at the terminal compares the CA's fingerprint (RFC 7030 section 4.1.1)."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from device_sdk.cli import inputs, waiting
from device_sdk.cli.output import Output, one_line
from device_sdk.cli.pem import describe
from device_sdk.cli.settings import Settings

if TYPE_CHECKING:
    from cryptography import x509

    from device_sdk.client.est import EstClient
    from device_sdk.client.est.bootstrapping import Confirm
    from device_sdk.model.trust import Pin

    Trusted = tuple[tuple[x509.Certificate, ...], tuple[Pin, ...], bool, Confirm | None]
    """Anchors, fingerprints, whether the operating system's store counts, and who is asked."""

_MOST_QUESTIONS = 5
_LONGEST_ANSWER = 4096


def trusted_or_asking(settings: Settings, out: Output) -> Trusted:
    """What `inputs.trusted` says; where no setting says anything, who asks the person at the terminal during bootstrap.

    Nobody is asked without a terminal.

    Raises:
        ConfigurationError: see inputs.trusted.
    """
    if any(settings.get(name) for name in inputs.TRUST) or not _is_terminal():
        return *inputs.trusted(settings), None
    return (), (), False, _asking(settings.require("est.url"), out)


def _asking(url: str, out: Output) -> Confirm:
    asked = 0

    def confirm(certificate: x509.Certificate) -> bool:
        nonlocal asked
        asked += 1
        if asked == 1:
            shown = one_line(url)
            out.say(
                f"Nothing says whom to trust. {shown} shows these CA certificates, and anybody could have made them:"
            )
        if asked > _MOST_QUESTIONS or not _ask(certificate, out):
            return False
        out.say(f"Next time, say --pin sha256:{describe(certificate)['sha256']} instead.")
        return True

    return confirm


def bootstrapped(
    settings: Settings, out: Output, pins: tuple[Pin, ...], confirm: Confirm | None, **common: Any
) -> EstClient:
    """A client that trusts the CA with a pinned fingerprint, or that somebody confirms; what is left of --wait is left to it.

    The unauthenticated connection carries one GET /cacerts. The client's first operation opens another one, on which the
    server has to validate (EST-77): what the command wants is asked on that one, and nothing is asked a third time.

    Args:
        settings: URL and limits.
        out: who is told of waiting.
        pins: fingerprints.
        confirm: asked where there are none.
        common: what the client is made of; see EstClient.

    Raises:
        DeviceSdkError: see device_sdk.client.est.bootstrap_client.
    """
    from device_sdk.client.est import bootstrap_client

    wait_s, began = inputs.wait(settings), time.monotonic()
    client = bootstrap_client(
        settings.require("est.url"), pins, confirm=confirm, wait_s=wait_s, progress=waiting.patience(out), **common
    )
    settings.override("est.wait_s", max(0.0, wait_s - (time.monotonic() - began)))
    if pins:
        out.progress("the CA certificate has the pinned fingerprint")
    return client


def _is_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def _ask(certificate: x509.Certificate, out: Output) -> bool:
    facts = describe(certificate)
    out.say(f"  {one_line(str(facts['subject']))}, valid from {facts['not_before']} to {facts['not_after']}")
    out.say(f"  sha256:{facts['sha256']}")
    # standard output may go to a file
    sys.stderr.write("Is this the fingerprint that the CA's owner gave you by another way? (yes/no): ")
    sys.stderr.flush()
    return sys.stdin.readline(_LONGEST_ANSWER).strip().lower() == "yes"
