"""Sends an answer in ways HTTP does not foresee; what is sent is decided by the names in `Response.wire`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from device_sdk_simulators.http.messages import Headers, Response
from device_sdk_simulators.http.parser import ConnectionEnded
from device_sdk_simulators.http.writer import framed_headers, head

_ENDS = {"truncate", "truncate_quietly", "hang_up", "close", "no_length", "no_length_no_notify", "http10"}


def ends_at_once(wire: Mapping[str, str]) -> bool:
    """Whether the end of the connection follows the last byte of the answer, in the same TCP segment.

    Otherwise a client that is quicker than the end would sometimes find a connection to use again, sometimes not.
    """
    return bool(wire.keys() & _ENDS) and not wire.keys() & {"drip", "drip_head", "split", "delay"}


def send_spoilt(
    response: Response, now: datetime, send: Callable[[bytes], None], sleep: Callable[[float], object]
) -> None:
    """Send the answer as its `wire` faults say; ConnectionEnded where the fault ends the connection abruptly."""
    wire = response.wire
    if "delay" in wire:
        sleep(float(wire["delay"]))
    if "reset" in wire:
        raise ConnectionEnded
    if "not_http" in wire:
        send(b"\x16\x03SSH-2.0-this is not HTTP\r\n\r\n")
        raise ConnectionEnded
    if "interim" in wire:
        send(b"HTTP/1.1 100 Continue\r\n\r\n")
    response.close = response.close or "close" in wire
    headers, body = _framing(response, now)
    start = head(response.status, headers, "HTTP/1.0" if "http10" in wire else "HTTP/1.1")
    if "truncate" in wire or "truncate_quietly" in wire:
        body = body[: len(body) // 2]
    elif response.sent is not None:
        response.sent()
    if wire.keys() & {"split", "drip", "drip_head"}:
        _drip(start, float(wire["drip_head"]) if "drip_head" in wire else 0, send, sleep)
        _drip(body, float(wire["drip"]) if "drip" in wire else 0, send, sleep)
    else:
        send(start + body)
    if wire.keys() & {"truncate", "hang_up", "no_length_no_notify"}:
        raise ConnectionEnded
    response.close = response.close or bool(wire.keys() & {"truncate_quietly", "no_length", "http10"})


def _framing(response: Response, now: datetime) -> tuple[Headers, bytes]:
    wire, body = response.wire, response.body
    headers = framed_headers(response, now)
    if wire.keys() & {"chunked", "no_length", "no_length_no_notify"}:
        headers = [(name, value) for name, value in headers if name != "Content-Length"]
    if "chunked" in wire:
        headers.append(("Transfer-Encoding", "chunked"))
        half = len(body) // 2
        pieces = [piece for piece in (body[:half], body[half:]) if piece]
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    if "length" in wire:
        wrong = wire["length"] if wire["length"] != "yes" else str(2 * len(body))
        headers = [(name, wrong if name == "Content-Length" else value) for name, value in headers]
    if "big_header" in wire:
        headers.append(("X-Big", "x" * int(wire["big_header"])))
    headers += [(f"X-{number}", "x") for number in range(int(wire.get("many_headers", "0")))]
    if "lower_case" in wire:
        headers = [(name.lower(), value) for name, value in headers]
    return headers, body


def _drip(body: bytes, seconds: float, send: Callable[[bytes], None], sleep: Callable[[float], object]) -> None:
    if not seconds:
        send(body)
        return
    for position in range(len(body)):
        send(body[position : position + 1])
        sleep(seconds)


DEFAULTS = {"drip": "0.05", "drip_head": "0.05", "delay": "1", "big_header": "100000", "many_headers": "1000"}
"""Values of the faults that need one."""
