"""Whom to trust where nothing says so: a person at the terminal compares the CA's fingerprint (RFC 7030 section 4.1.1)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from device_sdk.cli import inputs
from device_sdk.cli.output import Output, one_line
from device_sdk.cli.pem import describe
from device_sdk.cli.settings import Settings

if TYPE_CHECKING:
    from cryptography import x509

    from device_sdk.model.trust import Pin

_MOST_QUESTIONS = 5
_LONGEST_ANSWER = 4096


def trusted_or_asked(settings: Settings, out: Output) -> tuple[tuple[x509.Certificate, ...], tuple[Pin, ...], bool]:
    """The same as `inputs.trusted`; where no setting says anything, the anchors that a person at the terminal accepts.

    Nobody is asked without a terminal, and nothing is connected to.

    Raises:
        ConfigurationError: see inputs.trusted.
        FingerprintMismatchError: the person did not accept any CA certificate the server showed.
        DeviceSdkError: see device_sdk.client.est.bootstrap.
    """
    if any(settings.get(name) for name in inputs.TRUST) or not _is_terminal():
        return inputs.trusted(settings)
    from device_sdk.client.est import bootstrap

    url = settings.require("est.url")
    out.say(
        f"Nothing says whom to trust. {one_line(url)} shows these CA certificates, and anybody could have made them:"
    )
    asked = 0

    def confirm(certificate: x509.Certificate) -> bool:
        nonlocal asked
        asked += 1
        return asked <= _MOST_QUESTIONS and _ask(certificate, out)

    found = bootstrap(
        url,
        (),
        label=settings.text("est.label"),
        timeouts=inputs.timeouts(settings),
        proxy=settings.text("est.proxy"),
        confirm=confirm,
    )
    pins = " ".join(f"--pin sha256:{describe(anchor)['sha256']}" for anchor in found.anchors)
    out.say(f"Next time, say {pins} instead.")
    return found.anchors, (), False


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
