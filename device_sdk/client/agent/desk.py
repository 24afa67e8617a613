"""Which request is done, which is refused, and what is answered."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from device_sdk.client.agent.answers import JOURNALED, AnswerBook, Known, digest_of
from device_sdk.client.agent.operations import Call, Operations, command_of, prepare
from device_sdk.client.agent.standing import Standing
from device_sdk.errors import DeviceSdkError, WireError
from device_sdk.wire.agent.messages import BAD_MESSAGE, ENROLLED, NOT_ALLOWED, REUSED, UNKNOWN, Refusal, Request, Result

CHANGING = ("configure", "create-key", "request", "install", "enrol")
"""What a device that is enrolled does not do for whoever is on its line."""


class Desk:
    """Answers requests one after the other. Who asks, and in which session, does not count: nobody on a line is known.

    Args:
        device: what does them.
        book: what was answered before.
        standing: how the device stands now.
        allow_enrolled: whether one that has a certificate may be provisioned again.
        commands: what `run` may run, word for word.
    """

    def __init__(
        self,
        device: Operations,
        book: AnswerBook,
        standing: Callable[[], Standing],
        *,
        allow_enrolled: bool = False,
        commands: tuple[tuple[str, ...], ...] = (),
    ) -> None:
        self._device, self._book, self._standing = device, book, standing
        self._allow_enrolled, self._commands = allow_enrolled, commands

    def answer(self, request: Request) -> Result | Refusal:
        """Do it, unless it was done before or must not be; never raises what an operation can."""
        try:
            known = self._book.find(request)
            if known is not None and known.digest != digest_of(request):
                return Refusal(request.id, REUSED, f"the id {request.id} was another request's")
            if known is not None and known.result is not None and not self._is_stale(request):
                return Result(request.id, known.result)
            call = prepare(self._device, request.op, request.params)
            if call is None:
                return Refusal(request.id, UNKNOWN, f"this agent cannot {request.op}")
            instead = self._instead(request, known)
        except WireError as error:
            return Refusal(request.id, BAD_MESSAGE, error.message)
        except DeviceSdkError as error:
            return Refusal.of(request.id, error)
        return instead or self._do(request, call)

    def _do(self, request: Request, call: Call) -> Result | Refusal:
        try:
            self._book.begun(request, self._standing().certificate if request.op in JOURNALED else None)
            result = self._called(request, call)
            self._book.ended(request, result)
            answer = Result(request.id, result)
            answer.to_bytes()
        except DeviceSdkError as error:
            return Refusal.of(request.id, error)
        except Exception as error:  # noqa: BLE001  # a defect ends one operation, not the agent
            # without its text: nobody has looked whether it holds a secret
            return Refusal(request.id, "defect", f"defect: {type(error).__name__}", 255)
        return answer

    def _called(self, request: Request, call: Call) -> dict[str, Any]:
        try:
            return call()
        except Exception:
            # where it cannot be taken back it finishes nothing either: `_instead` looks for itself
            with suppress(DeviceSdkError):
                if request.op in JOURNALED and not self._standing().enrolling:
                    self._book.failed(request)
            raise

    def _is_stale(self, request: Request) -> bool:
        """Whether it was about a key that was given up since: nothing is under way, and nothing was enrolled with it."""
        return request.op == "create-key" and self._standing() == Standing()

    def _instead(self, request: Request, known: Known | None) -> Result | Refusal | None:
        """What is answered without doing it; None if it is to be done."""
        if request.op == "run" and command_of(request.params) not in self._commands:
            return Refusal(
                request.id,
                NOT_ALLOWED,
                "this device's configuration does not allow that command",
                hint="agent.commands in its configuration file names those that are allowed",
            )
        if request.op not in CHANGING or self._allow_enrolled:
            return None
        now = self._standing()
        if now.certificate is None:
            return None
        # what it began is still under way, and is no later enrolment, which somebody else began
        if known is not None and now.enrolling and known.before == now.replaces:
            return None
        if known is not None and _led_to(request, now.certificate):
            # the power was cut between the certificate and its answer
            result = {"certificate": now.certificate}
            self._book.ended(request, result)
            return Result(request.id, result)
        return Refusal(
            request.id,
            ENROLLED,
            f"this device is enrolled already: it does not {request.op} for whoever is on its line",
            hint="start its agent with --allow-enrolled",
        )


def _led_to(request: Request, certificate: str) -> bool:
    """Whether a request that was begun asks for what the device has."""
    if request.op != "install":
        return request.op == "enrol"
    from device_sdk.state.pem import fingerprint
    from device_sdk.wire.certs_only import parse_certs_only

    answer = base64.b64decode(request.params["answer"], validate=True)
    return certificate in {fingerprint(one) for one in parse_certs_only(answer)}
