"""`device-sdk bench` on a simulated console: a script that hands its words to this process, and the same verbs here."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from device_sdk_simulators.serial.board import Board
from device_sdk_simulators.serial.operations import perform
from device_sdk_simulators.serial.refusal import RefusalError

_SCRIPT = """#!/bin/sh
# hands the words and what `-` stands for to the simulator, and gives back what it says
r=$(mktemp -d "$SIMULATOR/r.XXXXXX") || exit 1
n=0
for word; do
  printf '%s\\n' "$word"
  if [ "$word" = - ]; then n=$((n + 1)); fi
done > "$r/words"
while [ "$n" -gt 0 ]; do
  while IFS= read -r line && [ -n "$line" ]; do printf '%s\\n' "$line"; done
  echo
  n=$((n - 1))
done > "$r/input"
pwd > "$r/directory"
mkfifo "$r/done"
echo "${r##*/}" > "$SIMULATOR/requests"
read -r code < "$r/done"
cat "$r/output"
cat "$r/errors" >&2
rm -r "$r"
exit "$code"
"""
_REBOOT = """#!/bin/sh
echo reboot > "$SIMULATOR/requests"
sleep 60
"""
_NAME = re.compile(r"r\.[A-Za-z0-9]{6}")
_MOST_INPUT = 1 << 20
_VALUES = ("--config", "--state", "--key", "--type", "--file", "--trust", "--csrattrs", "--answer", "--ca-certificates",
           "--nonce", "--key-pin-file", "--key-pin-fd")  # fmt: skip
_FLAGS = ("--json", "--allow-file", "--again", "--allow-imported", "--no-allow-imported", "-v", "--verbose")
_RETRY_S = 0.002
# what verbs call otherwise than the serial protocol does
_NAMES = {("install", "certificate"): "certificate_sha256", ("enrol", "certificate"): "certificate_sha256"}
Performed = tuple[int, str, str]
"""Exit code, output, errors."""


class BenchCommand:
    """The verbs of one board, for shells whose PATH begins with `tools` and that have `SIMULATOR` in their environment.

    Args:
        board: the device.
        directory: for the script and what is handed over; made anew.
        around: called with verb and a function that does it; says what the verb is to answer, or None for nothing at all.
        reboot: called for `reboot`.
    """

    def __init__(
        self,
        board: Board,
        directory: Path,
        around: Callable[[str, Callable[[], Performed]], Any],
        reboot: Callable[[], None],
    ) -> None:
        self._board, self._around, self._reboot = board, around, reboot
        self._directory = directory
        shutil.rmtree(directory, ignore_errors=True)
        self.tools = directory / "tools"
        self.tools.mkdir(parents=True, mode=0o700)
        for name, text in (("device-sdk", _SCRIPT), ("reboot", _REBOOT)):
            (self.tools / name).write_text(text)
            (self.tools / name).chmod(0o755)
        os.mkfifo(directory / "requests", 0o600)
        # for reading and writing, so that there is no end between two writers
        self._requests = os.open(directory / "requests", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._tasks: set[asyncio.Task[None]] = set()
        asyncio.get_running_loop().add_reader(self._requests, self._readable)

    def close(self) -> None:
        """Stop listening."""
        asyncio.get_running_loop().remove_reader(self._requests)
        os.close(self._requests)
        for task in self._tasks:
            task.cancel()

    def _readable(self) -> None:
        with suppress(BlockingIOError):
            for name in os.read(self._requests, 4096).decode("ascii", "replace").split():
                if name == "reboot":
                    self._reboot()
                elif _NAME.fullmatch(name):
                    task = asyncio.get_running_loop().create_task(self._serve(self._directory / name))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)

    async def _serve(self, place: Path) -> None:
        words = (place / "words").read_text(errors="replace").splitlines()
        inputs = _blocks((place / "input").read_text(errors="replace")[:_MOST_INPUT])
        where = Path((place / "directory").read_text().rstrip("\n"))
        performed = await self._around(words[1] if words[1:] else "", lambda: self.perform(words, inputs, where))
        if performed is None:
            return
        code, output, errors = performed
        (place / "output").write_text(output)
        (place / "errors").write_text(errors)
        while True:
            try:
                done = os.open(place / "done", os.O_WRONLY | os.O_NONBLOCK)
            except FileNotFoundError:
                return
            except OSError:
                # the script is not there yet
                await asyncio.sleep(_RETRY_S)
                continue
            os.write(done, f"{code}\n".encode())
            os.close(done)
            return

    def perform(self, words: list[str], inputs: list[str], where: Path) -> Performed:
        """What `device-sdk WORDS` answers.

        Args:
            words: after the command's name.
            inputs: what was read for each `-`.
            where: the directory that paths are from.
        """
        as_json = "--json" in words
        try:
            verb, given = _parse(words)
            params = _params(verb, given, list(inputs), where)
            result = perform(self._board, verb, params)
        except RefusalError as error:
            text = "".join(char if char.isprintable() else "?" for char in str(error))
            output = (
                json.dumps({"error": {"code": error.code, "message": text, "hint": None}}) + "\n" if as_json else ""
            )
            return error.exit_code, output, f"device-sdk: {text}\n"
        result = {_NAMES.get((verb, name), name): value for name, value in result.items()} or {"configured": True}
        if as_json:
            return 0, json.dumps(result) + "\n", ""
        return 0, "".join(f"{name}: {value}\n" for name, value in result.items()), ""


def _blocks(text: str) -> list[str]:
    """What was read for each `-`: lines up to an empty one."""
    blocks = [""]
    for line in text.splitlines():
        if line:
            blocks[-1] += line
        else:
            blocks.append("")
    return blocks


def _parse(words: list[str]) -> tuple[str, dict[str, str]]:
    if words[:1] != ["bench"] or words[1:2] not in [[verb] for verb in _PARAMS]:
        raise _usage(f"this device knows device-sdk bench {'|'.join(_PARAMS)}")
    given: dict[str, str] = {}
    rest = iter(words[2:])
    for word in rest:
        name, equals, value = word.partition("=")
        if name in _VALUES:
            given[name] = value if equals else next(rest, "")
        elif name in _FLAGS:
            given[name] = ""
        else:
            raise _usage(f"unrecognized arguments: {word[:80]}")
    return words[1], given


def _usage(text: str) -> RefusalError:
    return RefusalError("configuration", text, 2)


def _content(given: dict[str, str], name: str, inputs: list[str], where: Path) -> bytes:
    value = given.get(name)
    if value is None:
        return b""
    try:
        if value == "-":
            return base64.b64decode("".join((inputs.pop(0) if inputs else "").split()), validate=True)
        with (where / value).open("rb") as file:
            return file.read(_MOST_INPUT)
    except OSError as error:
        raise _usage(f"cannot read {value[:200]}: {error.strerror}") from error
    except ValueError as error:
        raise _usage("standard input is not base64") from error


def _needed(given: dict[str, str], name: str) -> None:
    if name not in given:
        raise _usage(f"the following arguments are required: {name}")


def _configure(given: dict[str, str], inputs: list[str], where: Path) -> dict[str, Any]:
    _needed(given, "--file")
    return {"config": _content(given, "--file", inputs, where), "anchors": _content(given, "--trust", inputs, where)}


def _create_key(given: dict[str, str], _inputs: list[str], _where: Path) -> dict[str, Any]:
    return {
        "uri": given.get("--key", "tpm2:"),
        "type": given.get("--type", "ec-p256"),
        "file_allowed": "--allow-file" in given,
        "again": "--again" in given,
    }


def _install(given: dict[str, str], inputs: list[str], where: Path) -> dict[str, Any]:
    _needed(given, "--answer")
    _needed(given, "--ca-certificates")
    return {
        "answer": _content(given, "--answer", inputs, where),
        "ca_certificates": _content(given, "--ca-certificates", inputs, where),
    }


def _prove(given: dict[str, str], _inputs: list[str], _where: Path) -> dict[str, Any]:
    _needed(given, "--nonce")
    try:
        return {"nonce": bytes.fromhex(given["--nonce"])}
    except ValueError as error:
        raise _usage("--nonce: not hex digits") from error


def _nothing(_given: dict[str, str], _inputs: list[str], _where: Path) -> dict[str, Any]:
    return {}


_PARAMS: dict[str, Callable[[dict[str, str], list[str], Path], dict[str, Any]]] = {
    "facts": _nothing,
    "configure": _configure,
    "create-key": _create_key,
    "request": lambda given, inputs, where: {"csrattrs": _content(given, "--csrattrs", inputs, where)},
    "install": _install,
    "enrol": _nothing,
    "prove": _prove,
}


def _params(verb: str, given: dict[str, str], inputs: list[str], where: Path) -> dict[str, Any]:
    return _PARAMS[verb](given, inputs, where)
