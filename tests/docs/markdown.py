"""What the tests read out of the documents."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "simulators" / "README.md",
    ROOT / "hw" / "README.md",
    *sorted((ROOT / "examples").rglob("*.md")),
)
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block; `language` is "" where none is named."""

    language: str
    text: str


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a document."""
    return [Block(match[2], match[3]) for match in _FENCE.finditer(text)]


def spans(text: str) -> list[str]:
    """The `code` in running text."""
    return re.findall(r"`([^`\n]+)`", _FENCE.sub("", text))


def commands(block: str) -> Iterator[list[str]]:
    """The simple commands of a shell block, without assignments before them and redirections after them."""
    for line in block.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for token in [*lexer, ";"]:
            if set(token) <= set("();<>|&"):
                if words:
                    yield words
                # what follows a redirection is a file's name, and begins no command
                words = ["(redirected)"] if set(token) & set("<>") else []
            elif words or not re.fullmatch(r"\w+=.*", token):
                words.append(token)


def words_of_program(text: str, program: str) -> list[list[str]]:
    """The arguments of every call of a program in the shell blocks of a document."""
    shell = [block.text for block in blocks(text) if block.language in ("", "sh", "bash", "shell")]
    return [words[1:] for block in shell for words in commands(block) if words[0] == program]


def links(text: str) -> list[str]:
    """Targets of links that stay inside the repository."""
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
