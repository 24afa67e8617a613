"""What an agent has answered: the same question again gets the same answer, after a power cut, too."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_sdk.state import StateDirectory, files
from device_sdk.wire.agent.messages import Request

_LOG = logging.getLogger("device_sdk.agent")
_MOST = 16
_MOST_OCTETS = 1024 * 1024
_LOCK_WAIT_S = 30.0
JOURNALED = ("create-key", "install", "enrol")
"""Operations that are written down before they begin: after a reset they are known."""
_ENROLLING = ("install", "enrol")
_FILE = "agent.json"


@dataclass(frozen=True)
class Known:
    """A request that was begun.

    Attributes:
        digest: see digest_of.
        result: None if nobody knows how it ended.
        before: SHA-256 of the certificate that the device had when it began, or None.
    """

    digest: str
    result: dict[str, Any] | None
    before: str | None = None


def digest_of(request: Request) -> str:
    """What a request is about, apart from its id."""
    said = json.dumps([request.op, request.params], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


class AnswerBook:
    """The last 16 requests that were begun and did not fail; those of JOURNALED on disk, too.

    Args:
        state_dir: where the device's state directory is now; asked each time, as a configuration may say another.
    """

    def __init__(self, state_dir: Callable[[], Path]) -> None:
        self._state_dir = state_dir
        self._memory: OrderedDict[str, Known] = OrderedDict()

    def find(self, request: Request) -> Known | None:
        """What is known of the request with this id.

        Raises:
            StateError: the file cannot be read.
        """
        if request.id in self._memory:
            return self._memory[request.id]
        return self._read(self._state_dir()).get(request.id) if request.op in JOURNALED else None

    def begun(self, request: Request, before: str | None = None) -> None:
        """It begins now, or once more; written down before, if it is one of JOURNALED.

        Args:
            request: the request.
            before: see Known; what was written down when it began for the first time counts.

        Raises:
            StateError: it cannot be written down; then it must not begin.
        """
        self._memory.pop(request.id, None)
        if request.op in JOURNALED:
            self._write(lambda known: _begin(known, request.id, Known(digest_of(request), None, before)))

    def failed(self, request: Request) -> None:
        """It ended with an error, and left nothing behind: as if it had never begun.

        Raises:
            StateError: it cannot be written down.
        """
        if request.op in JOURNALED:
            self._write(lambda known: known.pop(request.id, None))

    def ended(self, request: Request, result: dict[str, Any]) -> None:
        """It has a result. With a certificate, what others began and did not finish is over, too.

        Raises:
            StateError: it cannot be written down.
        """
        known = Known(digest_of(request), result)
        if request.op in JOURNALED:
            self._write(lambda entries: _finish(entries, request, known))
        self._memory[request.id] = known
        self._memory.move_to_end(request.id)
        while len(self._memory) > 1 and (len(self._memory) > _MOST or self._octets() > _MOST_OCTETS):
            self._memory.popitem(last=False)

    def _octets(self) -> int:
        return sum(len(json.dumps(known.result)) for known in self._memory.values())

    def _write(self, change: Callable[[dict[str, Known]], object]) -> None:
        directory = self._state_dir()
        with StateDirectory(directory).exclusive(_LOCK_WAIT_S):
            entries = self._read(directory)
            change(entries)
            kept = [*entries.items()][-_MOST:]
            data = {
                "requests": [{"id": one, "digest": k.digest, "result": k.result, "before": k.before} for one, k in kept]
            }
            files.write(directory / _FILE, json.dumps(data).encode())

    @staticmethod
    def _read(directory: Path) -> dict[str, Known]:
        data = files.read(directory / _FILE)
        if data is None:
            return {}
        try:
            entries = json.loads(data)["requests"]
            return {str(one["id"]): _known(one) for one in entries}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            # what was begun is in the journal, too, and whoever is on the line could not remove the file
            _LOG.warning("%s: cannot be understood, and counts as empty", directory / _FILE)
            return {}


def _known(one: dict[str, Any]) -> Known:
    result, before = one["result"], one.get("before")
    if not isinstance(result, dict | None) or not isinstance(before, str | None):
        raise TypeError
    return Known(str(one["digest"]), result, before)


def _begin(entries: dict[str, Known], name: str, fresh: Known) -> None:
    there = entries.get(name)
    _put(entries, name, there if there is not None and there.result is None else fresh)


def _put(entries: dict[str, Known], name: str, known: Known) -> None:
    entries.pop(name, None)
    entries[name] = known


def _finish(entries: dict[str, Known], request: Request, known: Known) -> None:
    if request.op in _ENROLLING:
        for name in [one for one, entry in entries.items() if entry.result is None]:
            del entries[name]
    _put(entries, request.id, known)
