"""Sending what waits in the outbox of a state directory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from device_sdk.client.est import EstClient
from device_sdk.errors import DeviceSdkError, RemoteProtocolError
from device_sdk.protocols.est.returns import is_final, is_taken
from device_sdk.state import DroppedMessage, OutboxMessage, StateDirectory


@dataclass(frozen=True)
class Delivery:
    """What became of the messages.

    Attributes:
        sent: what the server took.
        waiting: what stays, and why; without why if nothing was tried.
        dropped: what was given up, also by earlier runs that nobody heard of.
        notes: what else a person should know.
    """

    sent: tuple[OutboxMessage, ...] = ()
    waiting: tuple[tuple[OutboxMessage, DeviceSdkError | None], ...] = ()
    dropped: tuple[DroppedMessage, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """As data for `--json`."""
        return {
            "sent": [message_data(one) for one in self.sent],
            "waiting": [message_data(one) | {"error": error and error.facts()} for one, error in self.waiting],
            "dropped": [vars(one) for one in self.dropped],
        }

    @property
    def words(self) -> tuple[str, ...]:
        """What to tell a person about all that did not go well."""
        waiting = (f"not delivered yet: {one.about}: {error.message}" for one, error in self.waiting if error)
        return (*waiting, *(f"given up: {one.about}: {one.why}" for one in self.dropped), *self.notes)


def message_data(message: OutboxMessage) -> dict[str, object]:
    """A message as data, without its body."""
    return {name: value for name, value in vars(message).items() if name not in ("body", "event")} | {
        "bytes": len(message.body)
    }


def deliver(state: StateDirectory, client: EstClient, **waiting: Any) -> Delivery:
    """Send all that is pending, oldest first; what cannot be delivered now stays (section 13 of the profile).

    A message that the server refuses for good, with a status of 400 to 499 that is about the message, is given up, and so is
    one for another server; 403, 404 and 405 are often about something else, and count when they were said for a day. After a 2xx it is gone, unless the power fails right then.

    Args:
        state: of the device: its outbox, and its ledger, which counts what the server took.
        client: for the service the device is enrolled at, with the device's certificate.
        waiting: `wait_s` and `progress`, as for the operations of EstClient.

    Raises:
        StateError: the outbox cannot be read or changed.
    """
    outbox = state.outbox
    sent, left, notes = [], [], [error.message for error in outbox.damage()]
    away: DeviceSdkError | None = None
    for message in outbox.pending():
        if message.server not in (None, client.endpoint.origin):
            outbox.drop(message.id, f"it is for {message.server}, where this device is not enrolled any more")
            continue
        problem = away or _send(client, message, waiting)
        if problem is None or (isinstance(problem, RemoteProtocolError) and is_taken(problem)):
            outbox.delivered(message.id)
            state.processed.count(message.path, message.body)
            sent.append(message)
            notes += [] if problem is None else [problem.message]
        elif isinstance(problem, RemoteProtocolError) and is_final(problem, message.tries):
            outbox.drop(message.id, problem.message)
            state.processed.count(message.path, message.body)
        else:
            if away is None:
                outbox.failed(message.id)
            away = None if isinstance(problem, RemoteProtocolError) else problem
            left.append((message, problem))
    return Delivery(tuple(sent), tuple(left), outbox.dropped(), tuple(notes))


def _send(client: EstClient, message: OutboxMessage, waiting: dict[str, Any]) -> DeviceSdkError | None:
    try:
        client.packages.send_return(message.path, message.media_type, message.body, **waiting)
    except DeviceSdkError as error:
        return error
    return None
