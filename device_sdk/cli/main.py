"""Entry point of `device-sdk`: finds the command, runs it, turns errors into one line and an exit code."""

from __future__ import annotations

import sys

from device_sdk._version import __version__

TYPE_CHECKING = (
    False  # what typing.TYPE_CHECKING is, without importing typing: --version takes no longer than Python itself
)
if TYPE_CHECKING:
    import argparse

_COMMANDS = {
    "keys": "create, list, show, delete and probe keys",
    "csr": "make a certificate signing request",
    "est": "speak EST: cacerts, csrattrs, enroll, reenroll",
    "cale": "speak CALE: register, get, whoami, decrypt",
    "enroll": "give this device its certificate",
    "renew": "renew this device's certificate",
    "needs-renewal": "exit 0 if it is time to renew, 1 if not, 2 if missing or unreadable",
    "show": "what this device is: key, certificate, anchors, registrations",
    "doctor": "check everything the device needs and say what is wrong",
    "config": "every setting, its value and where it can be set",
    "completion": "shell completion script for bash or zsh",
}
_MODULES = {"renew": "enroll", "needs-renewal": "enroll"}


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The parser; `only` fills in just that command, which keeps start-up short on a small device."""
    import argparse
    from importlib import import_module

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="data as JSON on stdout")
    common.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help="configuration file")
    common.add_argument("-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help="say what happens")
    parser = argparse.ArgumentParser(
        prog="device-sdk",
        description="A device's identity, with a private key that never leaves its hardware.",
        epilog="exit codes: 0 done, 1 no, 2 usage, 3 keystore, 4 PIN, 5 network, 6 server not trusted, 7 server refused, "
        "8 pending, 9 state directory, 10 cannot decrypt, 11 clock, 130 interrupted, 255 defect",
        parents=[common],
    )
    parser.add_argument("--version", action="version", version=f"device-sdk {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, words in _COMMANDS.items():
        command = commands.add_parser(name, help=words, description=words.capitalize() + ".", parents=[common])
        if only is None or only == name:
            module = import_module(f"device_sdk.cli.commands.{_MODULES.get(name, name)}")
            module.add_arguments(command, name, common)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code (docs/operations.md)."""
    words = sys.argv[1:] if arguments is None else arguments
    if words == ["--version"]:
        print(f"device-sdk {__version__}")
        return 0
    only = next((word for word in words if word in _COMMANDS), None)
    try:
        options = build_parser(only or "").parse_args(words)
    except SystemExit as stop:
        return int(stop.code or 0)
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    import os

    from device_sdk.cli.output import Output, one_line
    from device_sdk.cli.settings import Settings
    from device_sdk.errors import DeviceSdkError

    out = Output(as_json=getattr(options, "json", False), verbose=getattr(options, "verbose", False))
    if out.verbose:
        _log_to_stderr()
    try:
        settings = Settings(options, config=getattr(options, "config", None))
        return int(options.run(options, settings, out) or 0)
    except DeviceSdkError as error:
        out.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:  # the last line of defence: a defect is one line too
        if os.environ.get("DEVICE_SDK_TRACEBACK"):
            raise
        out.say(
            f"device-sdk: defect: {type(error).__name__}: {one_line(str(error))} (DEVICE_SDK_TRACEBACK=1 shows where)"
        )
        return 255


def _log_to_stderr() -> None:
    import logging

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")


if __name__ == "__main__":
    sys.exit(main())
