"""WWW-Authenticate challenges and the answer to Basic (RFC 9110 section 11.6.1, RFC 7617)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from device_sdk.model.credentials import Credentials

SUPPORTED_SCHEMES = frozenset({"basic"})

_MAX_CHALLENGE_CHARS = 4096
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  # RFC 9110's grammar, not a password
_SPACE = re.compile(r"[ \t,]*")
_PARAMETER = re.compile(rf'({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))[ \t]*(?=,|$)')
_SCHEME = re.compile(rf"({_TOKEN})(?:[ \t]+|(?=,|$))")
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)")


@dataclass(frozen=True)
class Challenge:
    """One challenge.

    Attributes:
        scheme: as the server wrote it ("Basic", "Digest").
        parameters: names in lower case, values without their quotes.
    """

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)


def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """All challenges of a response's WWW-Authenticate headers; what does not follow the grammar ends the reading.

    Several challenges may share one header and a parameter's value may hold commas, so this cannot be a split.
    """
    return tuple(challenge for value in values for challenge in _parse_one(value[:_MAX_CHALLENGE_CHARS]))


def schemes_of(challenges: Iterable[Challenge]) -> tuple[str, ...]:
    """The schemes offered, each once, in the server's order and spelling."""
    return tuple(dict.fromkeys(challenge.scheme for challenge in challenges))


def basic_authorization(credentials: Credentials) -> str:
    """The Authorization value for Basic: base64 of user, colon and password, UTF-8 (RFC 7617 section 2)."""
    pair = credentials.user.encode() + b":" + credentials.password.reveal()
    return "Basic " + base64.b64encode(pair).decode("ascii")


def _parse_one(value: str) -> list[Challenge]:
    found: list[Challenge] = []
    position = _skip(value, 0)
    while position < len(value):
        parameter = _PARAMETER.match(value, position)
        if parameter and found:
            quoted, token = parameter[2], parameter[3]
            text = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else token
            found[-1].parameters.setdefault(parameter[1].lower(), text)
            position = _skip(value, parameter.end())
            continue
        scheme = _SCHEME.match(value, position)
        if scheme is None:
            break
        found.append(Challenge(scheme[1]))
        position = _skip_token68(value, scheme.end())
    return found


def _skip_token68(value: str, position: int) -> int:
    """The place after the scheme, and after the token68 that some schemes have instead of parameters."""
    if not _PARAMETER.match(value, position) and (token := _TOKEN68.match(value, position)):
        position = token.end()
    return _skip(value, position)


def _skip(value: str, position: int) -> int:
    match = _SPACE.match(value, position)
    return match.end() if match else position
