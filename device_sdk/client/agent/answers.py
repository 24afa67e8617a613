"""What an agent has answered: the same question again gets the same answer, after a power cut, too."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_sdk.errors import StateCorruptError
from device_sdk.state import StateDirectory, files
from device_sdk.wire.agent.messages import Request

_MOST = 16
_MOST_OCTETS = 1024 * 1024
_LOCK_WAIT_S = 30.0
JOURNALED = ("create-key", "install", "enrol")
"""Operations that are written down before they begin: after a reset they are known."""
_FILE = "agent.json"


@dataclass(frozen=True)
class Known:
    """A request that was begun; `result` is None if nobody knows how it ended."""

    digest: str
    result: dict[str, Any] | None


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

    def begun(self, request: Request) -> None:
        """It begins now; written down before, if it is one of JOURNALED.

        Raises:
            StateError: it cannot be written down; then it must not begin.
        """
        if request.op in JOURNALED:
            self._write(request.id, Known(digest_of(request), None))

    def ended(self, request: Request, result: dict[str, Any]) -> None:
        """It has a result.

        Raises:
            StateError: it cannot be written down.
        """
        known = Known(digest_of(request), result)
        if request.op in JOURNALED:
            self._write(request.id, known)
        self._memory[request.id] = known
        self._memory.move_to_end(request.id)
        while len(self._memory) > 1 and (len(self._memory) > _MOST or self._octets() > _MOST_OCTETS):
            self._memory.popitem(last=False)

    def _octets(self) -> int:
        return sum(len(json.dumps(known.result)) for known in self._memory.values())

    def _write(self, name: str, known: Known) -> None:
        directory = self._state_dir()
        with StateDirectory(directory).exclusive(_LOCK_WAIT_S):
            entries = self._read(directory)
            entries.pop(name, None)
            kept = [*entries.items(), (name, known)][-_MOST:]
            data = {"requests": [{"id": one, "digest": k.digest, "result": k.result} for one, k in kept]}
            files.write(directory / _FILE, json.dumps(data).encode())

    @staticmethod
    def _read(directory: Path) -> dict[str, Known]:
        data = files.read(directory / _FILE)
        if data is None:
            return {}
        try:
            entries = json.loads(data)["requests"]
            found = {str(one["id"]): Known(str(one["digest"]), one["result"]) for one in entries}
        except (ValueError, KeyError, TypeError, RecursionError) as exc:
            raise _damaged(directory) from exc
        if any(not isinstance(one.result, dict | None) for one in found.values()):
            raise _damaged(directory)
        return found


def _damaged(directory: Path) -> StateCorruptError:
    path = directory / _FILE
    return StateCorruptError(
        f"{path}: cannot be understood",
        hint="remove it: it only says what a station was answered; a key under way is in journal.json",
        path=str(path),
    )
