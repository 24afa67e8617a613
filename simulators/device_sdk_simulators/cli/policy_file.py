"""`--policy FILE`: every switch of the server that has a plain value, by its name, in TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_sdk_simulators.cli.speaking import UsageError

if TYPE_CHECKING:
    from device_sdk_simulators.policy import Policy

_LONGEST_BYTES = 1024 * 1024
_LONGEST_S = 100 * 365 * 86400

ELSEWHERE = {
    "third_party_anchors": "--client-anchors",
    "demands": "--demands",
    "csrattrs": "--csrattr",
    "csrattrs_der": "--demands",
    "cale": "the options of `device-sdk-sim cale`",
    "own_names": "--name",
}
"""What is no plain value, and what sets it."""

_FORMS = {"rfc7030", "signed", "ekp", "signed-ekp", "pkcs12"}
_WORDS = {
    "dialect": {"rfc7030", "draft-04"},
    "change_subject_name": {"no", "third-party", "any"},
    "enroll_with_certificate": {"same-subject", "any", "no"},
    "cale_headers": {"draft", "draft-folded", "plain"},
    "http_auth": {"basic", "digest"},
    "digest_algorithms": {"SHA-256", "MD5"},
    "serverkeygen": {"clear", "secret", "certificate", "pkcs12"},
    "serverkeygen_form": _FORMS,
    "serverkeygen_announced_form": _FORMS,
    "serverkeygen_label_forms": _FORMS,
    "serverkeygen_pkcs12_mac": {"hmac-sha256", "pbmac1"},
    "serverkeygen_types": {"ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072", "rsa-4096"},
    "curves": {"secp256r1", "secp384r1", "secp521r1", "ed25519", "ed448"},
}


def apply(policy: Policy, file: Path) -> None:
    """Set what the file says; it counts more than options.

    Raises:
        UsageError: the file cannot be read, or has a name or a value that is none.
    """
    for name, value in _read(file).items():
        if name in ELSEWHERE:
            raise UsageError(f"--policy {file}: {name} is not set there, but by {ELSEWHERE[name]}")
        if name not in type(policy).__annotations__:
            raise UsageError(f"--policy {file}: there is no switch {name}; simulators/README.md lists them")
        try:
            setattr(policy, name, _value(name, value, getattr(policy, name)))
        except ValueError as error:
            raise UsageError(f"--policy {file}: {name}: {error}") from error


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            content = stream.read(_LONGEST_BYTES + 1)
        if len(content) > _LONGEST_BYTES:
            raise UsageError(f"--policy {file} is larger than {_LONGEST_BYTES} bytes")
        return tomllib.loads(content.decode())
    except OSError as error:
        raise UsageError(f"--policy {file}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"--policy {file} is not TOML: {error}") from error


def _value(name: str, value: object, present: object) -> object:
    """The value in the type that the switch has; ValueError for another."""
    if name == "third_party_serials":
        return _serials(value)
    if isinstance(present, dict):
        return {key: _word(name, word) for key, word in _table(value).items()}
    for kind, convert in _CONVERTERS:
        if isinstance(present, kind):
            return convert(name, value)
    raise ValueError("a switch of an unknown type")


def _flag(_: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false is wanted")
    return value


def _number(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 31:
        raise ValueError("a whole number above 0 is wanted")
    if name == "pal_limit" and value < 2:
        raise ValueError("2 or more is wanted")
    return value


def _share(_: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError("a number from 0 to 1 is wanted")
    return float(value)


def _seconds(_: str, value: object) -> timedelta:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _LONGEST_S:
        raise ValueError("a number of seconds is wanted")
    return timedelta(seconds=value)


def _word(name: str, value: object) -> str:
    if value not in _WORDS.get(name, {value}) or not isinstance(value, str):
        raise ValueError(f"one of {', '.join(sorted(_WORDS.get(name, ())))} is wanted")
    return value


def _words(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError("an array of texts is wanted")
    return tuple(_word(name, one) for one in value)


def _serials(value: object) -> set[str | tuple[str, str]]:
    """Serial numbers, or pairs of maker and serial number."""
    if not isinstance(value, list):
        raise ValueError('an array is wanted: "SERIAL", or ["MAKER", "SERIAL"]')
    found: set[str | tuple[str, str]] = set()
    for one in value:
        if isinstance(one, str):
            found.add(one)
        elif isinstance(one, list) and len(one) == 2 and all(isinstance(part, str) for part in one):
            found.add((one[0], one[1]))
        else:
            raise ValueError('each is to be "SERIAL" or ["MAKER", "SERIAL"]')
    return found


def _table(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise ValueError("a table of texts is wanted")
    return dict(value)


# in this order: a truth value is a number, too
_CONVERTERS: tuple[tuple[type, Callable[[str, object], object]], ...] = (
    (bool, _flag),
    (int, _number),
    (float, _share),
    (str, _word),
    (timedelta, _seconds),
    (tuple, _words),
    (set, lambda name, value: set(_words(name, value))),
)
