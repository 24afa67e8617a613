"""A device's words in the names it is to have: identity.subject and identity.san of a configuration.

These texts have a syntax of their own, in which a comma or a slash begins another part. A registration authority vouches for
what such a text says, so a word is escaped there, or refused where the syntax has no escapes: it stays part of one value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from device_sdk.errors import ConfigurationError, WrongDeviceError
from device_sdk.station.profile.words import PLACE, filled
from device_sdk.wire.names import parse_dn, parse_san

_ANY = "XX"  # stands for a word when a template is looked at: no type of attribute and no hex digits
_ESCAPED_PLACE = re.compile(r"(?<!\\)(?:\\\\)*\\\$\{")
_RFC4514 = re.compile(r'[\\"+,;<>=#]')
_OPENSSL = re.compile(r"[\\/+]")
_ALTERNATIVES = {
    "dns": r"[A-Za-z0-9_-]+",  # within one label: neither another domain nor "*"
    "ip": r"[0-9A-Fa-f.:]+",
    "uri": r"[A-Za-z0-9._~:-]+",
    "email": r"[A-Za-z0-9._-]+",
    "hwmodule": r"[0-9A-Fa-f:]+",
}
"""What a word may consist of, by kind."""


def check_names(subject: object, alternatives: object, source: str) -> None:
    """Whether a template's names are some, whatever a device says.

    Args:
        subject: identity.subject, None for none.
        alternatives: identity.san, None for none.
        source: where they are from, for messages.

    Raises:
        ConfigurationError: one is no name, or a word would be more than a part of one value.
    """
    if not isinstance(subject, str | None):
        raise ConfigurationError(f"{source}: identity.subject is no text")
    if subject:
        _check(subject, "identity.subject", source, parse_dn)
    if alternatives is None:
        return
    if not isinstance(alternatives, list) or not all(isinstance(one, str) for one in alternatives):
        raise ConfigurationError(f"{source}: identity.san is no list of texts")
    for one in alternatives:
        _check(one, "identity.san", source, _alternative)


def in_subject(text: str, words: Mapping[str, str]) -> str:
    """A subject with a device's words in its values; raises as `filled`, and WrongDeviceError for what is no name then."""
    made = _escaped(text, words, slashes=text.strip().startswith("/"))
    return _read(made, parse_dn, "identity.subject")


def in_alternative(text: str, words: Mapping[str, str]) -> str:
    """A subject alternative name with a device's words in it; raises as `in_subject`."""
    kind, _, value = text.strip().partition(":")
    if kind.lower() == "dirname":
        made = f"{kind}:{_escaped(value, words, slashes=value.strip().startswith('/'))}"
    else:
        allowed = re.compile(_ALTERNATIVES.get(kind.lower(), r"(?!)"))

        def checked(word: str) -> str:
            if not allowed.fullmatch(word):
                raise WrongDeviceError(
                    f"what this device says cannot be part of a {kind} name (identity.san): {word!a:.80}"
                )
            return word

        made = filled(text.strip(), words, checked)
    return _read(made, parse_san, "identity.san")


def _check(text: str, key: str, source: str, parse: Callable[[str], object]) -> None:
    if _ESCAPED_PLACE.search(text):
        raise ConfigurationError(
            f"{source}: {key} has a backslash before ${{, which would take away a word's first character"
        )
    try:
        parse(PLACE.sub(lambda found: "$" if found[1] is None else _ANY, text))
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{source}: {key}: {error.message}",
            hint="${name} may stand in values: CN=${serial_number},O=Example",
        ) from error


def _alternative(text: str) -> None:
    """What is known of a name before its words are: its kind, and a distinguished name."""
    kind, separator, value = text.strip().partition(":")
    if kind.lower() == "dirname":
        parse_dn(value)
    elif _ANY not in text:
        parse_san(text)
    elif not separator or kind.lower() not in _ALTERNATIVES:
        raise ConfigurationError(f"{text[:80]!r} is not a subject alternative name: it has to begin with its kind")


def _escaped(text: str, words: Mapping[str, str], *, slashes: bool) -> str:
    special = _OPENSSL if slashes else _RFC4514

    def escaped(word: str) -> str:
        if word != word.strip():
            raise WrongDeviceError(
                f"what this device says begins or ends with a space, which no name can have: {word!a:.80}"
            )
        return special.sub(r"\\\g<0>", word)

    return filled(text, words, escaped)


def _read(made: str, parse: Callable[[str], object], key: str) -> str:
    try:
        parse(made)
    except ConfigurationError as error:
        raise WrongDeviceError(f"with what this device says, {key} is no name: {error.message}") from error
    return made
