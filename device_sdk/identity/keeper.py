"""A program of its own that starts a command and ends it, with all that it started, when whoever asked for it is gone.

`python -I -S keeper.py STATUS NOT-PASSED-ON COMMAND...`, started by `KeptCommand`. Standard input is a pipe to whoever asked: its
end without an octet before it kills everything, an octet says that what runs in the background by now may stay. STATUS is the number
of a file descriptor for the exit status, or "e" and the errno of what could not be started.

Linux gives the children of processes that ended to this one (PR_SET_CHILD_SUBREAPER), also from sessions of their own, so that
nothing has got away as long as there is a child. Where Python cannot ask it for that (no ctypes), orphans in other sessions get away.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_PATIENCE_S = 10.0
_PAUSE_S = 0.01
_IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_CHANGED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def main(arguments: list[str]) -> None:
    """Start the command, tell how it ended, and stay until whoever asked has heard of it or is gone."""
    status, unwanted, command = int(arguments[0]), arguments[1], arguments[2:]
    os.set_inheritable(status, False)
    os.environ.pop(unwanted, None)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    woken = _wake_at_ends()
    adopts = _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        command_pid = os.fork()
    except OSError as error:
        _tell(status, b"e%d\n" % (error.errno or 0))
        return
    if command_pid == 0:
        _become(command, status)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for output in (1, 2):  # else its output would not end before this process
        os.dup2(nowhere, output)
    while True:
        readable, _, _ = select.select([0, woken], [], [])
        if woken in readable:
            os.read(woken, 4096)
            ended = _reaped().get(command_pid) if adopts else _looked_at(command_pid)
            if ended is not None:
                _tell(status, b"%d\n" % ended)
        if 0 in readable:
            if not os.read(0, 1):
                _end_all(None if adopts else command_pid)
            return


def _tell(status: int, words: bytes) -> None:
    with suppress(OSError):  # whoever asked is gone, and standard input says so, too
        os.write(status, words)
    os.close(status)


def _wake_at_ends() -> int:
    """A pipe that becomes readable when a child has ended."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    return reader


def _become(command: list[str], status: int) -> None:
    """In the new process: be the command."""
    try:
        for number in (*_IGNORED, *_CHANGED_BY_PYTHON, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.execvp(command[0], command)  # noqa: S606  # no shell is wanted
    except OSError as error:
        _tell(status, b"e%d\n" % (error.errno or 0))
    finally:
        os._exit(127)


def _prctl(option: int, value: int) -> bool:
    """Ask Linux for something; whether it could be asked, and did it."""
    try:
        import ctypes  # not everywhere a part of Python

        return int(ctypes.CDLL(None).prctl(option, value, 0, 0, 0)) == 0
    except (ImportError, OSError, AttributeError):
        return False


def _reaped() -> dict[int, int]:
    """Children that have ended, with their exit statuses."""
    found: dict[int, int] = {}
    try:
        while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            found[ended[0]] = os.waitstatus_to_exitcode(ended[1])
    except ChildProcessError:
        pass
    return found


def _looked_at(child: int) -> int | None:
    """The exit status of a child, if it has ended; it keeps its number, and that of its group, until it is waited for."""
    ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def _end_all(group: int | None) -> None:
    """Kill what is below this process until nothing is; what may not be killed, another user's, is left after a while.

    Args:
        group: a process group with all that is known where orphans go elsewhere; its leader was not waited for.
    """
    if group is not None:
        with suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        for process in _below(os.getpid()):
            with suppress(OSError):  # it has ended, or is another user's
                os.kill(process, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            return
        time.sleep(_PAUSE_S)


def _below(parent: int) -> list[int]:
    """Children of a process, and theirs."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208  # what Path needs would take half of the start
        with suppress(OSError, IndexError, ValueError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
            children.setdefault(int(file.read().rpartition(b")")[2].split()[1]), []).append(int(name))
    found = list(children.get(parent, ()))
    for process in found:  # grows meanwhile
        found += children.get(process, ())
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
