"""Forks programs from a process that has imported what they need: what a process is, without its first third of a second.

One packet on the control socket is one program: what to run, and its descriptors. The program is a child like any other, with
directory, environment and descriptors of its own, and ends as Python ends; only its imports are there before it begins.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import io
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pkgutil import walk_packages
from typing import Any, NoReturn

MAX_PACKET_BYTES = 256 * 1024
_MAX_FDS = 32
_BEYOND = 500  # no descriptor of a program is above, unless it is passed by that number


class Start(Exception):  # noqa: N818  # it leads out of the loop, in the child
    """A child, which is to become this program."""

    def __init__(self, program: dict[str, Any], descriptors: list[int]) -> None:
        super().__init__()
        self.program, self.descriptors = program, descriptors


def serve(control: socket.socket) -> None:
    """Start programs until the other side is gone; leaves by `Start` in each child."""
    running: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as ready:
        ready.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fileobj is not control:
                    pid, answer = running.pop(key.fd)
                    ready.unregister(key.fd)
                    os.close(key.fd)
                    _tell(answer, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                    answer.close()
                    continue
                packet, descriptors, _, _ = socket.recv_fds(control, MAX_PACKET_BYTES, _MAX_FDS)
                if not packet:
                    return
                pid = os.fork()
                if pid == 0:
                    raise Start(json.loads(packet), descriptors)
                answer = socket.socket(fileno=descriptors[0])
                for one in descriptors[1:]:
                    os.close(one)
                _tell(answer, pid)
                watched = os.pidfd_open(pid)
                running[watched] = pid, answer
                ready.register(watched, selectors.EVENT_READ)


def _tell(answer: socket.socket, number: int) -> None:
    with suppress(OSError):  # whoever asked is gone
        answer.send(b"%d" % number)


def become(program: dict[str, Any], descriptors: list[int]) -> None:
    """Be the program; returns or raises as it does."""
    beyond = max(_BEYOND, *(one + 1 for one in program["pass_fds"]), 0)
    received = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, beyond) for one in descriptors[1:]]
    os.closerange(3, beyond)
    for number, one in zip((0, 1, 2, *program["pass_fds"]), received, strict=True):
        os.dup2(one, number)
        os.close(one)
    os.closerange(beyond, beyond + 4 * _MAX_FDS)
    os.chdir(program["cwd"])
    os.environ.clear()
    os.environ.update(program["env"])
    for name, descriptor in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        new = _like(getattr(sys, name), descriptor)
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
    signal.set_wakeup_fd(-1)
    words = program["words"]
    if words[0] == "-m":
        sys.modules.pop(words[1], None)
        sys.argv = words[1:]
        sys.path[0] = program["cwd"]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        sys.path[0] = os.path.dirname(words[0])  # noqa: PTH120
        runpy.run_path(words[0], run_name="__main__")


def _like(old: io.TextIOWrapper, descriptor: int) -> io.TextIOWrapper:
    """As Python makes its standard streams; the old one knows what it was told."""
    unbuffered = old.write_through and descriptor != 0
    binary = open(descriptor, "wb" if descriptor else "rb", 0 if unbuffered else -1, closefd=False)  # noqa: SIM115
    return io.TextIOWrapper(
        binary, old.encoding, old.errors, line_buffering=old.line_buffering, write_through=old.write_through
    )


def leave(work: Callable[[], None]) -> NoReturn:
    """Do it and end as Python does, but for taking modules apart: that would copy each page that is shared."""
    code = 0
    try:
        work()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if code and not isinstance(stop.code, int):
            sys.stderr.write(f"{stop.code}\n")
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # noqa: BLE001  # said, as Python says it
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if not stream.closed:
                stream.flush()
        except OSError:
            code = 120
    os._exit(code)


def import_all(package: str) -> None:
    """Everything in it, and thereby what it uses; not what only runs as a program, and not what is for pytest."""
    for one in walk_packages(import_module(package).__path__, f"{package}."):
        if not one.name.endswith((".main", "__main__", ".pytest_plugin")):
            import_module(one.name)


def main() -> None:
    """`server.py CONTROL PACKAGE`: the control socket's descriptor, and what to import first."""
    control = socket.socket(fileno=int(sys.argv[1]))
    before = set(os.environ)
    import_all(sys.argv[2])
    defaults = {name: value for name, value in os.environ.items() if name not in before}
    gc.collect()
    gc.freeze()  # what does not change stays shared with the children
    try:
        serve(control)
    except Start as start:
        control.detach()
        program, descriptors = start.program, start.descriptors
        program["env"] = defaults | program["env"]  # an import may set what is not set
    else:
        return
    leave(lambda: become(program, descriptors))


if __name__ == "__main__":
    main()
