"""Asks several resource servers and makes one answer of theirs (draft section 4.2, CALE-58)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from decimal import Decimal

from device_sdk_simulators.cale.hops import Hop, HopError, HopTimeoutError
from device_sdk_simulators.cale.padding import JSON
from device_sdk_simulators.http.messages import Request, Response


class Aggregation:
    """A hop to all resource servers that know a path.

    One of them answers as it is. Of several, JSON objects become one with the members of all; a part that is missing because a
    server failed, or a member with two values, spoils the whole: half an answer must not pass for one.

    Args:
        servers: path below which a server is asked ("/" for every path), and the hop to it.
    """

    def __init__(self, servers: Sequence[tuple[str, Hop]]) -> None:
        self._servers = servers
        self._pool = ThreadPoolExecutor(max_workers=8 * max(1, len(servers)), thread_name_prefix="cale-resource")

    def __call__(self, request: Request) -> Response:
        """Ask, and merge; 404 if nobody knows the path."""
        asked = [hop for below, hop in self._servers if _is_below(request.path, below)]
        if len(asked) == 1:
            return _answer(asked[0], request)
        # what belongs to this work belongs to its parts: when it ends, and its share of the memory
        parts = [self._pool.submit(copy_context().run, _answer, hop, request) for hop in asked]
        answers = [part.result() for part in parts]
        found = [answer for answer in answers if answer.status != 404]
        bad = next((answer for answer in found if not 200 <= answer.status < 300), None)
        if bad is not None or len(found) < 2:
            return bad or (found[0] if found else Response(404))
        return _merged(found)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _is_below(path: str, above: str) -> bool:
    return path == above or path.startswith(above.rstrip("/") + "/")


def _answer(hop: Hop, request: Request) -> Response:
    try:
        return hop(request)
    except HopError as error:
        return Response(504 if isinstance(error, HopTimeoutError) else 502, facts={"reason": str(error)})


def _merged(answers: Sequence[Response]) -> Response:
    whole: dict[str, object] = {}
    written: dict[str, str] = {}
    for answer in answers:
        try:
            part = json.loads(answer.body, parse_float=_number, parse_constant=_no_json, object_pairs_hook=_members)
            texts = {name: json.dumps(value, sort_keys=True, allow_nan=False) for name, value in part.items()}
        except (AttributeError, ValueError, RecursionError):
            return Response(502, facts={"reason": "an answer is no JSON object and cannot be merged"})
        # compared as texts: for Python true is 1
        if any(written.setdefault(name, text) != text for name, text in texts.items()):
            return Response(502, facts={"reason": "two resource servers disagree"})
        whole |= part
    return Response(200, [("Content-Type", JSON)], json.dumps(whole).encode() + b"\n")


def _number(text: str) -> float:
    """A number that is the same after it was read and written; ValueError for another."""
    found = float(text)
    if not math.isfinite(found) or Decimal(repr(found)) != Decimal(text):
        raise ValueError("a number that cannot be passed on as it is")
    return found


def _no_json(text: str) -> object:
    raise ValueError(f"{text} is no JSON")


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a member with two values")
    return dict(pairs)
