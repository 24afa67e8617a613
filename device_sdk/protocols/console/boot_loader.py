"""What U-Boot says, and what it may be told."""

from __future__ import annotations

import re

from device_sdk.errors import ConfigurationError

_NAME = re.compile(r"[A-Za-z0-9_.#-]{1,64}")
_PLAIN = re.compile(r"[A-Za-z0-9_.:/,=+@ -]*")
_VALUE = re.compile(r"[\x20-\x7e]{0,256}")
_PROMPT = r"\n+([^\n]{0,79}[#$%>]) *$"
REFUSED_BY_BOOT_LOADER = re.compile(r"^Unknown command '[^'\n]{0,80}' - try 'help'\n", re.MULTILINE)
"""What was typed was refused in U-Boot's words, which no shell of a system has."""
BEGINNING = re.compile(
    r"U-Boot (?:[ST]PL )?20\d\d\.\d\d|^DRAM: |^resetting \.\.\.|Hit any key to stop autoboot", re.MULTILINE
)
"""Each is said at a beginning only; together they are hardly all damaged on their way."""


def prompt_after(text: str, name: str) -> str | None:
    """The prompt that came when `printenv NAME` had been answered, without blanks at its end; None if neither came whole.

    Boards have prompts of all kinds, and many are those of shells, too; a shell does not answer this question so.
    """
    answer = rf'(?:^|\n)(?:{re.escape(name)}=[^\n]*|## Error: "{re.escape(name)}" not defined)'
    found = re.search(answer + _PROMPT, text)
    return found[1] if found else None


def is_at(text: str, prompt: str) -> bool:
    """Whether a text ends in a line that is this prompt and nothing else."""
    return text.rpartition("\n")[2].rstrip(" ") == prompt


def variable(text: str, name: str) -> str | None:
    """The value that `printenv NAME` showed, at most 256 printable characters; None if there is none."""
    found = re.search(rf"^{re.escape(name)}=([\x20-\x7e]{{1,256}})$", text, re.MULTILINE)
    return found[1].strip() if found else None


def is_undefined(text: str, name: str) -> bool:
    """Whether `printenv` said that there is no such variable."""
    return f'## Error: "{name}" not defined' in text


def print_command(name: str) -> str:
    """The command that shows a variable; raises ConfigurationError."""
    return f"printenv {_checked(name)}"


def set_command(name: str, value: str) -> str:
    """The command that sets a variable; nothing in the value is expanded.

    Raises:
        ConfigurationError: the name or the value holds what U-Boot's shell would take for something else.
    """
    if not _VALUE.fullmatch(value) or "'" in value:
        raise ConfigurationError(
            f"{name}: {value!r} cannot be a value in U-Boot: printable characters, no quote, at most 256"
        )
    # words are joined by one blank each where nothing is quoted
    quote = "" if _PLAIN.fullmatch(value) and value == " ".join(value.split()) else "'"
    return f"setenv {_checked(name)} {quote}{value}{quote}".rstrip()


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} is no variable of U-Boot's")
    return name
