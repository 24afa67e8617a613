"""The payloads of hello frames (docs/serial-protocol.md section 3.1)."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from device_sdk.errors import WireError
from device_sdk.wire.agent.frames import MAX_PAYLOAD, MIN_PAYLOAD, NO_SESSION
from device_sdk.wire.agent.text import read_object, write_object

DEFAULT_RECEIVE = 256
DEFAULT_KEEPALIVE_S = 5
_MAX_HELLO = 256
_MAX_VERSIONS = 16


@dataclass(frozen=True)
class StationHello:
    """What the station says of itself.

    Attributes:
        versions: of the protocol, that it speaks.
        receive: the largest payload it takes, octets.
    """

    versions: tuple[int, ...]
    receive: int = DEFAULT_RECEIVE

    def to_bytes(self) -> bytes:
        """The payload of H."""
        return write_object({"versions": list(self.versions), "receive": self.receive})

    @classmethod
    def from_bytes(cls, data: bytes) -> StationHello:
        """Read it.

        Raises:
            WireError: it is none.
        """
        found = _object(data)
        return cls(_versions(found), _receive(found))


@dataclass(frozen=True)
class AgentHello:
    """What the agent says of itself.

    Attributes:
        versions: of the protocol, that it speaks.
        version: the one of this session, 0 if there is none in common.
        session: 8 hex digits, NO_SESSION if version is 0.
        boot: 16 hex digits that change when the agent is started anew.
        receive: the largest payload it takes, octets.
        keepalive: seconds between two signs of life.
        sdk: version of its software.
    """

    versions: tuple[int, ...]
    version: int
    session: str
    boot: str
    receive: int = DEFAULT_RECEIVE
    keepalive: int = DEFAULT_KEEPALIVE_S
    sdk: str = ""

    def to_bytes(self) -> bytes:
        """The payload of h."""
        return write_object(asdict(self) | {"versions": list(self.versions)})

    @classmethod
    def from_bytes(cls, data: bytes) -> AgentHello:
        """Read it; of another version's hello, everything but the versions may be missing.

        Raises:
            WireError: it is none.
        """
        found = _object(data)
        versions, version = _versions(found), _number(found, "version", 0, 0, 10**6)
        if version == 0:
            return cls(versions, 0, NO_SESSION, "0" * 16, sdk=_text(found, "sdk", r"[ -~]{0,64}"))
        if version not in versions:
            raise WireError("hello: a version is chosen that is not among its own", what="hello")
        return cls(
            versions,
            version,
            _text(found, "session", r"(?!0{8})[0-9a-f]{8}"),
            _text(found, "boot", r"[0-9a-f]{16}"),
            _receive(found),
            _number(found, "keepalive", DEFAULT_KEEPALIVE_S, 1, 60),
            _text(found, "sdk", r"[ -~]{0,64}"),
        )


def _object(data: bytes) -> dict[str, Any]:
    if len(data) > _MAX_HELLO:
        raise WireError(f"hello: more than {_MAX_HELLO} octets", what="hello")
    return read_object(data)


def _versions(found: dict[str, Any]) -> tuple[int, ...]:
    versions = found.get("versions")
    if not isinstance(versions, list) or not 0 < len(versions) <= _MAX_VERSIONS:
        raise WireError("hello: it names no versions", what="hello")
    if any(type(one) is not int or not 0 < one <= 10**6 for one in versions):
        raise WireError("hello: a version is no number", what="hello")
    return tuple(versions)


def _receive(found: dict[str, Any]) -> int:
    """Within what frames can have, whatever the other side could do with more."""
    return min(max(_number(found, "receive", DEFAULT_RECEIVE, 0, 10**6), MIN_PAYLOAD), MAX_PAYLOAD)


def _number(found: dict[str, Any], name: str, default: int, least: int, most: int) -> int:
    value = found.get(name, default)
    # True is an int to Python
    if type(value) is not int or not least <= value <= most:
        raise WireError(f"hello: {name} is not a number from {least} to {most}", what="hello")
    return value


def _text(found: dict[str, Any], name: str, pattern: str) -> str:
    value = found.get(name, "")
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise WireError(f"hello: {name} is not what it should be", what="hello")
    return value
