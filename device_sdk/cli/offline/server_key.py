"""`est serverkeygen` by file."""

from __future__ import annotations

import argparse
from contextlib import ExitStack

from device_sdk.cli import inputs
from device_sdk.cli.commands.est_serverkeygen import Generated, obtained
from device_sdk.cli.files import OutputFile
from device_sdk.cli.key_output import KeyOutput
from device_sdk.cli.offline.parts import anchors_of, answer_of, deliver_request, est_of, spec_of, wishes_of
from device_sdk.cli.output import Output
from device_sdk.cli.server_key_options import check, forms, protection
from device_sdk.cli.settings import Settings, Source
from device_sdk.errors import ConfigurationError


def write_server_key(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """Write POST /serverkeygen; where the key is to go is looked at already, if it is named."""
    from device_sdk.model.keys import KeyType

    check(options)
    _refuse_network(options)
    kind = settings.text("key.type")
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.offline_out))
        if options.key_out:
            opened.enter_context(KeyOutput(options.key_out, options.rescue, settings))
        decrypt, signer = protection(options, settings, opened), None
        if not options.cert and settings.source("key.uri") is Source.FLAG:
            signer = inputs.open_key(settings.require("key.uri"), settings, opened)
        request = est_of(settings).server_key_request(
            spec_of(options, settings),
            signer,
            decrypt=decrypt,
            allow_clear=options.allow_clear,
            key_type=KeyType(kind) if kind else None,
            forms=forms(options, settings),
            wishes=wishes_of(options, settings),
        )
        if options.allow_clear:
            out.say("note: whoever carries the answer can read the private key in it")
        return deliver_request(file, request, out)


def read_server_key(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """Put the key and the certificate of the answer where they belong, as `est serverkeygen` does."""
    _refuse_network(options)
    return obtained(_generated, options, settings, out)


def _refuse_network(options: argparse.Namespace) -> None:
    if options.place:
        raise ConfigurationError("--place is for the network: by file the operation's own place is asked")


def _generated(options: argparse.Namespace, settings: Settings, opened: ExitStack, out: Output) -> Generated:
    anchors = anchors_of(settings)
    answer, est = answer_of(options), est_of(settings)
    generated = est.read_server_key(
        answer,
        spec_of(options, settings),
        anchors=anchors,
        decrypt=protection(options, settings, opened),
        allow_clear=options.allow_clear,
        allow_other_name=options.allow_other_name,
        forms=forms(options, settings),
        wishes=wishes_of(options, settings),
    )
    if options.allow_clear:
        out.say(f"note: {options.offline_in} has the private key in the clear, too: delete it")
    if any(one.wanted for one in generated.requests):
        out.say("note: a receipt is asked for, and from a file none is sent")
    return Generated(generated)
