"""Run as a program: opens messages and waits, while every file it touches is written down and everything is logged.

Arguments: key URI, directory with messages, file for what was seen.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from pathlib import Path

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_WATCHED = ("open", "os.rename", "os.link", "os.symlink", "tempfile.mkstemp", "tempfile.mkdtemp", "subprocess.Popen")


def main() -> None:
    """See the module."""
    uri, messages, report = sys.argv[1:]
    seen: list[list[str]] = []

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event not in _WATCHED:
            return
        flags = arguments[2] if event == "open" and len(arguments) > 2 else _WRITING
        if isinstance(flags, int) and flags & _WRITING:
            seen.append([event, str(arguments[0])])

    sys.addaudithook(watch)
    logging.basicConfig(level=1, stream=sys.stderr)

    from device_sdk.errors import NotForUsError
    from device_sdk.keystores.registry import open_key
    from device_sdk.protocols.cale.answers import open_answer

    with open_key(uri) as key:
        for path in sorted(Path(messages).iterdir()):
            try:
                content = open_answer(path.read_bytes(), key, f"https://edge.example/{path.name}", json.loads)  # type: ignore[arg-type]
                sys.stdout.write(f"{path.name}: {len(str(content))} characters\n")
                del content
            except NotForUsError:
                # as a crash reporter does it, with the variables of every frame
                kind, error, place = sys.exc_info()
                assert kind is not None
                assert error is not None
                report_lines = traceback.TracebackException(kind, error, place, capture_locals=True).format()
                sys.stderr.write("".join(report_lines))
        Path(report).write_text(json.dumps(seen))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()


if __name__ == "__main__":
    main()
