"""Which request is done, which is refused, and what is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from device_sdk.client.agent.answers import AnswerBook, digest_of
from device_sdk.client.agent.operations import Call, Operations, command_of, prepare
from device_sdk.errors import DeviceSdkError, WireError
from device_sdk.wire.agent.messages import BAD_MESSAGE, ENROLLED, NOT_ALLOWED, REUSED, UNKNOWN, Refusal, Request, Result

CHANGING = ("configure", "create-key", "request", "install", "enrol")
"""What a device that is enrolled does not do for whoever is on its line."""


class Desk:
    """Answers requests one after the other.

    Args:
        device: what does them.
        book: what was answered before.
        is_enrolled: whether the device has a certificate now.
        allow_enrolled: whether one that has may be provisioned again.
        commands: what `run` may run, word for word.
    """

    def __init__(
        self,
        device: Operations,
        book: AnswerBook,
        is_enrolled: Callable[[], bool],
        *,
        allow_enrolled: bool = False,
        commands: tuple[tuple[str, ...], ...] = (),
    ) -> None:
        self._device, self._book, self._is_enrolled = device, book, is_enrolled
        self._allow_enrolled, self._commands = allow_enrolled, commands
        # the session that found the device without a certificate, and may finish what it does
        self._fresh: str | None = None

    def answer(self, request: Request, session: str) -> Result | Refusal:
        """Do it, unless it was done before or must not be; never raises what an operation can."""
        try:
            known = self._book.find(request)
            if known is not None and known.digest != digest_of(request):
                return Refusal(request.id, REUSED, f"the id {request.id} was another request's")
            if known is not None and known.result is not None:
                return Result(request.id, known.result)
            call = prepare(self._device, request.op, request.params)
            if call is None:
                return Refusal(request.id, UNKNOWN, f"this agent cannot {request.op}")
            refused = self._refused(request, session, begun=known is not None)
        except WireError as error:
            return Refusal(request.id, BAD_MESSAGE, error.message)
        except DeviceSdkError as error:
            return Refusal.of(request.id, error)
        return refused or self._do(request, call)

    def _do(self, request: Request, call: Call) -> Result | Refusal:
        try:
            self._book.begun(request)
            result: dict[str, Any] = call()
            self._book.ended(request, result)
            answer = Result(request.id, result)
            answer.to_bytes()
        except DeviceSdkError as error:
            return Refusal.of(request.id, error)
        except Exception as error:  # noqa: BLE001  # a defect ends one operation, not the agent
            # without its text: nobody has looked whether it holds a secret
            return Refusal(request.id, "defect", f"defect: {type(error).__name__}", 255)
        return answer

    def _refused(self, request: Request, session: str, *, begun: bool) -> Refusal | None:
        if request.op == "run" and command_of(request.params) not in self._commands:
            return Refusal(
                request.id,
                NOT_ALLOWED,
                "this device's configuration does not allow that command",
                hint="agent.commands in its configuration file names those that are allowed",
            )
        if request.op not in CHANGING:
            return None
        if not self._is_enrolled():
            self._fresh = session
            return None
        if self._allow_enrolled or begun or session == self._fresh:
            return None
        return Refusal(
            request.id,
            ENROLLED,
            f"this device is enrolled already: it does not {request.op} for whoever is on its line",
            hint="start its agent with --allow-enrolled",
        )
