"""What became of a message about trust anchors, for people and for scripts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from device_sdk.client.device.delivery import Delivery
from device_sdk.protocols.tamp import HeldAnchor, Processed
from device_sdk.wire.path import name_of
from device_sdk.wire.tamp import oids
from device_sdk.wire.tamp.anchors import TrustAnchor
from device_sdk.wire.tamp.certificates import as_certificate
from device_sdk.wire.tamp.codes import TampStatus
from device_sdk.wire.tamp.update import Add, AnchorUpdate, Remove, Update

_KINDS = {
    oids.STATUS_RESPONSE: "trust anchor status query",
    oids.UPDATE_CONFIRM: "trust anchor update",
    oids.APEX_UPDATE_CONFIRM: "apex trust anchor update",
    oids.COMMUNITY_UPDATE_CONFIRM: "community update",
    oids.SEQUENCE_ADJUST_CONFIRM: "sequence number adjustment",
}


@dataclass(frozen=True)
class ManagedOutcome:
    """A message that was believed.

    Attributes:
        done: what it asked for, who signed it, and what became of it.
        notes: what a person should know: that this server is not trusted any more.
        delivery: whether the server has the answer.
    """

    done: Processed = field(repr=False)
    notes: tuple[str, ...] = ()
    delivery: Delivery = field(default_factory=Delivery)

    @property
    def failed(self) -> bool:
        """Whether a part of it was not done."""
        return any(self.done.results)

    @property
    def lines(self) -> tuple[str, ...]:
        """One for the message, and one for each update in it."""
        return (words_of(self.done), *(f"  {what}: {how}" for what, _, how in _parts(self.done)))

    def to_json(self) -> dict[str, Any]:
        """As data for `--json`."""
        done = self.done
        return {
            "message": _KINDS[done.answer_type],
            "number": done.request.reference.number,
            "signer": described(done.signer.anchor) | {"by_certificate": bool(done.signer.path)},
            "results": [
                {"what": what, "status": int(status), "name": status.words, "detail": how}
                for what, status, how in _parts(done) or ((_KINDS[done.answer_type], done.statuses[0], _how(done, 0)),)
            ],
            "failed": self.failed,
            "notes": list(self.notes),
            "outbox": self.delivery.to_json(),
        }


def words_of(done: Processed) -> str:
    """A message and its outcome in one line."""
    number = done.request.reference.number
    bad = [one for one in done.statuses if one is not TampStatus.SUCCESS]
    outcome = (
        "done" if not bad else f"{len(bad)} of {len(done.statuses)} not done ({', '.join(one.words for one in bad)})"
    )
    return f"{_KINDS[done.answer_type]}, number {number}: {outcome}"


def described(held: HeldAnchor) -> dict[str, Any]:
    """An anchor as data."""
    anchor = held.anchor
    return {
        "role": held.role.value,
        "name": shown_name(anchor),
        "title": anchor.title,
        "key_id": anchor.key_id.hex(),
        "form": anchor.form.value,
        "number": held.number,
        "managed": not held.foreign,
    }


def shown_name(anchor: TrustAnchor) -> str | None:
    """The distinguished name of an anchor, printable; None if it has none."""
    try:
        certificate = as_certificate(anchor)
    except ValueError:
        return "a name that cannot be read"
    return None if certificate is None else name_of(certificate)


def _parts(done: Processed) -> tuple[tuple[str, TampStatus, str], ...]:
    if not isinstance(done.request, Update):
        return ()
    pairs = zip(done.request.updates, done.statuses, strict=True)
    return tuple((_what(update), status, _how(done, place)) for place, (update, status) in enumerate(pairs))


def _how(done: Processed, place: int) -> str:
    problem = done.results[place]
    return "done" if problem is None else problem.message


def _what(update: AnchorUpdate) -> str:
    if isinstance(update, Add):
        return f"add {shown_name(update.anchor) or update.anchor.title or update.anchor.key_id.hex()}"
    from device_sdk.protocols.tamp.store import digest, identity_or_raw

    verb = "remove" if isinstance(update, Remove) else "change"
    return f"{verb} the anchor with the key of SHA-256 {digest(identity_or_raw(update.public_key))[:16]}..."
