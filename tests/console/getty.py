"""A getty, login and shell on standard input, as on a device's console: `getty.py NAME USER PASSWORD_FILE SHELL...`.

PASSWORD_FILE may be missing: then nobody is asked for one. What the countdown of a boot loader needs is not here.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path

IGNORED = (signal.SIGTTOU, signal.SIGTTIN, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)


def read_line() -> str:
    data = b""
    while not data.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            sys.exit(0)
        data += byte
    return data.decode("utf-8", "replace").strip()


def say(text: str) -> None:
    os.write(1, text.encode())


def read_password() -> str:
    settings = termios.tcgetattr(0)
    silent = termios.tcgetattr(0)
    silent[3] &= ~termios.ECHO
    say("Password: ")
    termios.tcsetattr(0, termios.TCSAFLUSH, silent)
    try:
        return read_line()
    finally:
        termios.tcsetattr(0, termios.TCSANOW, settings)
        say("\n")


def in_foreground() -> None:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    for one in IGNORED:
        signal.signal(one, signal.SIG_DFL)


def main(name: str, user: str, password_file: Path, shell: list[str]) -> None:
    sane = termios.tcgetattr(0)
    while True:
        termios.tcsetattr(0, termios.TCSANOW, sane)
        say(f"\nTest OS 1.0 {name} ttyS0\n\n{name} login: ")
        who = read_line()
        if not who:
            continue
        typed = read_password() if password_file.exists() else None
        if who != user or (typed is not None and typed != password_file.read_text(encoding="utf-8").strip()):
            with password_file.with_suffix(".refused").open("a", encoding="utf-8") as log:
                log.write(f"{who}\n")
            say("\nLogin incorrect\n")
            continue
        say("\nLast login: Sat Nov 21 13:00:00 on ttyS0\nWelcome.\n")
        subprocess.Popen(shell, preexec_fn=in_foreground).wait()  # noqa: PLW1509 - no threads here
        os.tcsetpgrp(0, os.getpgrp())


if __name__ == "__main__":
    for one in IGNORED:
        signal.signal(one, signal.SIG_IGN)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
