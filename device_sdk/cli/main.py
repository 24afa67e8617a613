"""Entry point of `device-sdk`: finds the command, runs it, turns errors into one line and an exit code."""

from __future__ import annotations

import sys

from device_sdk._version import __version__

TYPE_CHECKING = (
    False  # what typing.TYPE_CHECKING is, without importing typing: --version takes no longer than Python itself
)
if TYPE_CHECKING:
    import argparse

    from device_sdk.cli.output import Output

_COMMANDS = {
    "keys": "create, list, show, delete and probe keys",
    "csr": "make a certificate signing request",
    "est": "speak EST: cacerts, csrattrs, enroll, reenroll, serverkeygen, fullcmc, pal, crls, eecerts, symmetrickeys, firmware, tamp",
    "cale": "speak CALE: register, get, whoami, list, forget, decrypt",
    "enroll": "give this device its certificate",
    "renew": "renew this device's certificate",
    "sync": "ask the server what it has for this device, and do what it asks for",
    "outbox": "receipts, confirms and errors that the server has not taken yet: list, send",
    "provision": "a station with devices on serial lines: run, ledger, label, report",
    "anchors": "who may manage this device's trust anchors, firmware and keys: import, list, export, remove",
    "abandon": "give up an enrolment or renewal that was interrupted; the key made for it is destroyed",
    "needs-renewal": "exit 0 if it is time to renew, 1 if not, 2 if missing or unreadable",
    "show": "what this device is: key, certificate, anchors, registrations",
    "bench": "for a provisioning station on a line: facts, configure, create-key, request, install, enrol, prove",
    "agent": "serve a provisioning station on a serial line",
    "doctor": "check everything the device needs and say what is wrong",
    "config": "every setting, its value and where it can be set",
    "completion": "shell completion script for bash or zsh",
}
_MODULES = {"renew": "enroll", "abandon": "enroll", "needs-renewal": "enroll"}


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The parser; `only` fills in just that command, which keeps start-up short on a small device."""
    import argparse
    from importlib import import_module

    from device_sdk.cli.parser import Parser

    common = Parser(add_help=False)
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="data as JSON on stdout")
    common.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help="configuration file")
    common.add_argument("-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help="say what happens")
    parser = Parser(
        prog="device-sdk",
        description="A device's identity, with a private key that never leaves its hardware.",
        epilog="exit codes: 0 done, 1 no, 2 usage, 3 keystore, 4 PIN, 5 network, 6 server not trusted, 7 server refused, "
        "8 pending, 9 state directory, 10 cannot decrypt, 11 clock, 12 device or line, 13 ledger, 130 interrupted, 141 closed pipe, 255 defect",
        parents=[common],
    )
    parser.add_argument("--version", action="version", version=f"device-sdk {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, words in _COMMANDS.items():
        command = commands.add_parser(
            name, help=words, description=words[:1].upper() + words[1:] + ".", parents=[common]
        )
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
    from device_sdk.cli import interrupt
    from device_sdk.cli.output import Output, abandon

    if arguments is None:
        interrupt.never_lose()
    out = Output(as_json="--json" in words)
    try:
        return _run(words, out)
    except SystemExit as stop:  # --help and --version
        return int(stop.code or 0)
    except KeyboardInterrupt:
        if arguments is None:
            interrupt.arrived()
        out.failure("interrupted", {"code": "interrupted", "message": "interrupted", "hint": None})
        return 130
    except BrokenPipeError:
        abandon(sys.stdout)
        return 141
    except Exception as error:  # the last line of defence: a defect is one line too
        if _wants_traceback():
            raise
        message = f"defect: {type(error).__name__}: {error}"
        hint = "DEVICE_SDK_TRACEBACK=1 shows where"
        out.failure(f"{message} ({hint})", {"code": "defect", "message": message, "hint": hint})
        return 255


def _run(words: list[str], out: Output) -> int:
    from device_sdk.errors import DeviceSdkError

    try:
        options = build_parser(_command_of(words)).parse_args(words)
        out.as_json, out.verbose = getattr(options, "json", False), getattr(options, "verbose", False)
        _log_to_stderr(verbose=out.verbose, as_json=out.as_json)
        from device_sdk.cli.arguments import refuse_secrets
        from device_sdk.cli.certificates_dir import given_environment, tell_keystores
        from device_sdk.cli.settings import Settings

        refuse_secrets(options)
        config = getattr(options, "config", None)
        if getattr(options, "mends_config", False):  # a broken file is no reason for such a command to fail
            config = "/dev/null"
        settings = Settings(options, given_environment(), config=config)
        tell_keystores(settings)
        return int(options.run(options, settings, out) or 0)
    except DeviceSdkError as error:
        out.error(error)
        return error.exit_code
    except ModuleNotFoundError as error:
        if (error.name or "device_sdk").startswith("device_sdk"):
            raise
        from device_sdk.errors import ConfigurationError

        missing = ConfigurationError(
            f"the Python package {error.name} is not installed",
            hint="install device-sdk with what it depends on, as pip does",
        )
        out.error(missing)
        return missing.exit_code


def _command_of(words: list[str]) -> str:
    """The command among the arguments; "" if there is none."""
    before = ""
    for word in words:
        if word in _COMMANDS and before != "--config":
            return word
        before = word
    return ""


def _wants_traceback() -> bool:
    import os

    return bool(os.environ.get("DEVICE_SDK_TRACEBACK"))


def _log_to_stderr(*, verbose: bool, as_json: bool) -> None:
    """What the SDK logs goes to stderr; what other libraries log does not, as nobody has checked it for secrets.

    With --json a line about an exchange with a server is a JSON object (device_sdk/transports/https/log.py).
    """
    import logging
    import warnings

    class Formatter(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            exchange = getattr(record, "exchange", None)
            if exchange is None or not as_json:
                return super().format(record)
            from json import dumps

            return dumps({"exchange": exchange})

    handler = logging.StreamHandler()
    handler.setFormatter(Formatter("device-sdk: %(message)s"))
    logger = logging.getLogger("device_sdk")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    logger.propagate = False
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


if __name__ == "__main__":
    sys.exit(main())
