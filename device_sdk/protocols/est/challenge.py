"""WWW-Authenticate challenges and the answer to Basic (RFC 9110 section 11.6.1, RFC 7617)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import islice

from device_sdk.model.credentials import Credentials

_MAX_CHALLENGE_CHARS = 4096
_MAX_CHALLENGES = 16
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
        parameters: names in lower case, values without their quotes; of a repeated one the first value.
        repeated: a parameter was there twice, which RFC 9110 section 11.2 forbids.
    """

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)
    repeated: bool = False


def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """The challenges of a response's WWW-Authenticate headers, at most 16; what is not of the grammar ends the reading.

    Several challenges may share one header and a parameter's value may hold commas, so this cannot be a split. A header
    of more than 4096 characters is not read: half a nonce is not a nonce.
    """
    found = (challenge for value in values if len(value) <= _MAX_CHALLENGE_CHARS for challenge in _parse_one(value))
    return tuple(islice(found, _MAX_CHALLENGES))


def parse_parameters(value: str) -> dict[str, str] | None:
    """The parameters of a header without a scheme, Authentication-Info (RFC 7615); None if one is repeated.

    What is not of the grammar ends the reading, as in challenges; other schemes put other things there.
    """
    found = _parse_one(f"Info {value[:_MAX_CHALLENGE_CHARS]}")
    return None if found[0].repeated else found[0].parameters


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
            name = parameter[1].lower()
            if name in found[-1].parameters:
                found[-1] = replace(found[-1], repeated=True)
            else:
                found[-1].parameters[name] = text
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
