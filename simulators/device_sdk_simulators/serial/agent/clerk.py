"""What an agent does with requests: one at a time, each id once (docs/serial-protocol.md section 5)."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from device_sdk_simulators.serial.agent.messages import BadMessageError, Request, read_request
from device_sdk_simulators.serial.board import Board
from device_sdk_simulators.serial.operations import changes, read_params
from device_sdk_simulators.serial.refusal import RefusalError

_KEPT = 16
_WRITTEN_DOWN = ("create-key", "install", "enrol")
_ENROLLING = ("install", "enrol")
Answer = dict[str, Any]
Doing = Callable[[Request, dict[str, Any]], None]


class Clerk:
    """Takes requests of one agent between two resets.

    Args:
        board: the device; its `done_ids` outlive resets.
        begin: starts an operation that is new; `finish` is called when it is done.
        answer: takes answers for the station.
    """

    def __init__(self, board: Board, begin: Doing, answer: Callable[[Answer], None]) -> None:
        self._board, self._begin, self._answer = board, begin, answer
        self._kept: OrderedDict[str, tuple[str, Answer]] = OrderedDict()
        self.running: tuple[Request, str] | None = None

    def take(self, message: bytes) -> None:
        """A message of the station."""
        try:
            request = read_request(message)
        except BadMessageError as error:
            self._answer(error_answer(error.id, RefusalError("bad-message", str(error), 12)))
            return
        try:
            known = self._known(request)
            if known is not None:
                self._answer(known)
            elif self.running is None:
                self._new(request)
        except RefusalError as error:
            self._answer(error_answer(request.id, error))

    def _known(self, request: Request) -> Answer | None:
        """The answer to a request that came before; RefusalError if the id is another's, or another one is at work."""
        digest = digest_of(request)
        running = self.running
        before = self._kept.get(request.id, (None, {}))[0]
        if running is not None and running[0].id == request.id:
            before = running[1]
        before = before or self._board.done_ids.get(request.id, (None, None))[0]
        if before not in (None, digest):
            raise RefusalError("id-reused", "this id belongs to another request", 12)
        if request.id in self._kept:
            return self._kept[request.id][1]
        if running is not None and running[0].id != request.id:
            raise RefusalError("busy", f"{running[0].operation} is running", 12)
        _digest, result = self._board.done_ids.get(request.id, ("", None))
        return {"id": request.id, "result": result} if result is not None else None

    def _new(self, request: Request) -> None:
        params = read_params(request.operation, request.params)
        if changes(request.operation) and self._board.enrolled and not self._board.allow_enrolled:
            # no enrolment of this board is ever half done: whatever was begun, and has no result, is over
            raise RefusalError("device-enrolled", "this device has a certificate", 12)
        digest = digest_of(request)
        if request.operation in _WRITTEN_DOWN:
            self._board.done_ids[request.id] = (digest, None)
        self.running = (request, digest)
        self._begin(request, params)

    def write_down(self, request: Request, result: Answer) -> None:
        """The operation is done: what has to outlive a reset is written down, before anything is said."""
        done = self._board.done_ids
        if request.operation in _ENROLLING:
            for other in [one for one, (_digest, known) in done.items() if known is None]:
                del done[other]
        if request.operation in _WRITTEN_DOWN:
            done[request.id] = (digest_of(request), result)

    def finish(self, request: Request, answer: Answer) -> None:
        """The operation is over; its answer is kept and said."""
        digest = digest_of(request)
        self.running = None
        if "result" in answer:
            self._kept[request.id] = (digest, answer)
        elif self._board.done_ids.get(request.id, ("", answer))[1] is None:
            del self._board.done_ids[request.id]
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        self._answer(answer)


def digest_of(request: Request) -> str:
    """What makes two requests the same: operation and params."""
    return hashlib.sha256(json.dumps([request.operation, request.params], sort_keys=True).encode()).hexdigest()


def error_answer(request_id: str, error: RefusalError) -> Answer:
    """An answer that says no."""
    text = "".join(char if char.isprintable() else "?" for char in str(error))[:1000]
    return {"id": request_id, "error": {"code": error.code, "message": text, "exit_code": error.exit_code}}
