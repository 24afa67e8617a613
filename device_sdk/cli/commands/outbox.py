"""`device-sdk outbox`: what the server still has to be told, and telling it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from device_sdk.cli import waiting
from device_sdk.cli.commands import enroll
from device_sdk.cli.commands.sync import CONNECTION, connection_plan
from device_sdk.cli.output import Output, one_line
from device_sdk.cli.settings import Settings, add_settings

if TYPE_CHECKING:
    from device_sdk.state import OutboxMessage

_NOT_ALL = 1


def add_arguments(parser: argparse.ArgumentParser, _name: str, common: argparse.ArgumentParser) -> None:
    """Describe the verbs."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, words, settings, run in (
        ("list", "show what waits", ("state_dir",), _list),
        ("send", "send all of it now, as sync does", CONNECTION, _send),
    ):
        verb = verbs.add_parser(name, help=words, description=words[:1].upper() + words[1:] + ".", parents=[common])
        add_settings(verb, *settings)
        verb.set_defaults(run=run)


def _list(_options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.client.device.delivery import message_data
    from device_sdk.state import StateDirectory

    outbox = StateDirectory(settings.require("state_dir")).outbox
    for error in outbox.damage():
        out.say(f"note: {error}")
    waiting_now, dropped = (*outbox.pending(), *outbox.held()), outbox.dropped()
    lines = [f"{_line(one)}: {_state(one)}" for one in waiting_now]
    lines += [one_line(f"given up: {one.about}: {one.why}") for one in dropped]
    data = {"waiting": [message_data(one) for one in waiting_now], "dropped": [vars(one) for one in dropped]}
    out.data(data, "\n".join(lines) or "nothing waits")
    return 0


def _send(_options: argparse.Namespace, settings: Settings, out: Output) -> int:
    device = enroll.device_of(settings, out)
    enroll.require_directory(device)
    try:
        delivery = device.deliver(connection_plan(settings, out))
    finally:
        waiting.erase_line()
    for words in delivery.words:
        out.say(f"note: {words}")
    lines = [f"{_line(one)}: delivered" for one in delivery.sent]
    lines += [f"{_line(one)}: still waits" for one, _ in delivery.waiting]
    out.data(delivery.to_json(), "\n".join(lines) or "nothing waits")
    device.state.outbox.forget_dropped()
    return _NOT_ALL if delivery.waiting or delivery.dropped or device.state.outbox.damage() else 0


def _line(message: OutboxMessage) -> str:
    return one_line(f"{message.made_at:%Y-%m-%dT%H:%M:%SZ}  {message.path}  {message.about}")


def _state(message: OutboxMessage) -> str:
    if message.held:
        return "held until it is known whether it happened"
    return f"waits, tried {message.tries} times" if message.tries else "waits"
