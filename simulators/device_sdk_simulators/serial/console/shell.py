"""A real shell in a pseudo terminal of its own, behind a line editor where it is to be like busybox's."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import termios
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from device_sdk_simulators.serial.console.editor import Editor
from device_sdk_simulators.softhsm import SimulatorError

SHELLS = ("busybox", "sh", "bash")
"""Like busybox's: dash behind a line editor that asks where the cursor is; dash alone; bash with its brackets around pastes."""
_MARK = b"\x1e"
_PROMPTS = {b"1": b"~ # ", b"2": b"> "}
_PIECE = 65536


class Shell:
    """One session; killed with everything it started when it is closed.

    Args:
        kind: one of SHELLS.
        home: the directory it begins in.
        environment: all of its environment.
        say: takes output.
        ended: called when the shell has ended by itself.
    """

    def __init__(
        self,
        kind: str,
        home: Path,
        environment: dict[str, str],
        say: Callable[[bytes], None],
        ended: Callable[[], None],
    ) -> None:
        self._say, self._ended = say, ended
        self._editor = Editor() if kind == "busybox" else None
        self._editing = False
        self._swallow = b""
        self._held = b""
        self._keys = b""
        self._outgoing = bytearray()
        self._master, slave = os.openpty()
        os.set_blocking(self._master, False)
        words, prompts = _command(kind)
        try:
            # setsid makes the terminal the session's own, so that Ctrl-C reaches what runs in it
            self._process = subprocess.Popen(
                ["setsid", "-c", *words],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                cwd=home,
                env=environment | prompts,
            )
        except OSError as error:
            os.close(self._master)
            raise SimulatorError(f"no shell for a simulated console: {error}") from error
        finally:
            os.close(slave)
        asyncio.get_running_loop().add_reader(self._master, self._readable)

    def hear(self, data: bytes) -> None:
        """Keys of the station."""
        self._keys += data
        self._type()

    def _type(self) -> None:
        while self._keys:
            if self._editor is None or not self._editing:
                self._write(self._keys)
                self._keys = b""
                return
            echo, self._keys = self._editor.feed(self._keys)
            self._say(echo)
            if self._editor.line is not None:
                self._editing = False
                line = self._editor.line + b"\n"
                # the terminal echoes what the editor has echoed already
                self._swallow = line.replace(b"\n", b"\r\n") if self._echoes() else b""
                self._write(line)

    def _echoes(self) -> bool:
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    def _write(self, data: bytes) -> None:
        self._outgoing += data
        self._flush()

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            del self._outgoing[: os.write(self._master, self._outgoing)]
        except BlockingIOError:
            pass
        except OSError:
            self._outgoing.clear()
        if self._outgoing:
            loop.add_writer(self._master, self._flush)
        else:
            loop.remove_writer(self._master)

    def _readable(self) -> None:
        try:
            data = os.read(self._master, _PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            self._ended()
            return
        if self._editor is None:
            self._say(data)
        else:
            self._show(data)

    def _show(self, data: bytes) -> None:
        """Output of a shell whose prompts are marks; the editor begins where one is."""
        data, self._held = self._held + self._without_echo(data), b""
        while data:
            text, mark, rest = data.partition(_MARK)
            self._say(text)
            if not mark:
                return
            if len(rest) < 2:
                self._held = mark + rest
                return
            self._prompt(_PROMPTS.get(rest[:1], b""))
            data = rest[2:]

    def _without_echo(self, data: bytes) -> bytes:
        while self._swallow and data and data[0] == self._swallow[0]:
            self._swallow, data = self._swallow[1:], data[1:]
        if data:
            self._swallow = b""
        return data

    def _prompt(self, text: bytes) -> None:
        if self._editor is None:
            return
        # who switches echo off switches the editor off, too
        self._editing = self._echoes()
        self._say(self._editor.prompt(text) if self._editing else text)
        if self._keys:
            asyncio.get_running_loop().call_soon(self._type)

    def close(self) -> None:
        """End the shell and all that it started in its terminal."""
        if self._master < 0:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._master)
        loop.remove_writer(self._master)
        os.close(self._master)
        self._master = -1
        for process in [*_session(self._process.pid), self._process.pid]:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        self._process.wait()


def _session(leader: int) -> list[int]:
    """The processes of a session, also those in the background, which no signal of the terminal reaches."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            # the name in brackets may have spaces in it
            fields = place.read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == leader:
                found.append(int(place.parent.name))
    return found


def _command(kind: str) -> tuple[list[str], dict[str, str]]:
    """The words that start a shell, and its prompts."""
    if kind == "bash":
        return ["bash", "--norc", "--noprofile", "-i"], {"PS1": "\\h:\\w# "}
    shell = shutil.which("dash") or "sh"
    if kind == "sh":
        return [shell, "-i"], {"PS1": "# "}
    marks = {f"PS{number}": f"{_MARK.decode()}{number}{_MARK.decode()}" for number in (1, 2)}
    return [shell, "-i"], marks
