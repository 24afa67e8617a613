"""`device-sdk provision ledger`: making a ledger, and looking at it. Nothing here changes one that is there."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk.cli.output import Output, one_line
from device_sdk.cli.settings import Settings, add_settings
from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from device_sdk.station.ledger import Entry, Head, Ledger

_MAX_HEAD_BYTES = 4096
_LINES_AT_ONCE = 200


def add_arguments(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    """Describe the verbs."""
    verbs = parser.add_subparsers(dest="ledger_verb", required=True, metavar="VERB")
    for name, words, run in (
        ("verify", "check that no entry was changed, taken out or cut off", _verify),
        ("show", "show entries, or what is known of a device", _show),
        ("export", "print entries for other programs", _export),
        ("make", "make it, if it is not there: in PostgreSQL by whoever is to own its tables", _make),
        ("head", "print number and hash of the last entry, to be kept elsewhere", _head),
    ):
        verb = verbs.add_parser(name, help=words, description=words[:1].upper() + words[1:] + ".", parents=[common])
        add_settings(verb, "station.ledger")
        verb.set_defaults(run=run)
        if name == "verify":
            verb.add_argument(
                "--head", metavar="HEAD|FILE", help="what `head` printed earlier, or a file that holds it"
            )
        if name == "make":
            verb.add_argument(
                "--from",
                metavar="FILE|URL",
                dest="source",
                help="with the entries of this ledger, up to the first that is wrong; it must not be there yet",
            )
        if name in ("show", "export"):
            verb.add_argument("--run", metavar="ID", dest="run_id", help="only this run")
            verb.add_argument("--device", metavar="SERIAL", help="only this device")
        if name == "show":
            verb.add_argument(
                "--last", metavar="N", type=int, default=50, help="so many entries (default: %(default)s)"
            )
        if name == "export":
            verb.add_argument("--format", choices=("csv", "jsonl"), default="jsonl", help="default: %(default)s")


def opened(settings: Settings) -> Ledger:
    """The ledger that the settings name, for looking at.

    Raises:
        LedgerError: it is not there, or cannot be read.
    """
    from device_sdk.station.ledger import Ledger

    return Ledger.open(settings.require("station.ledger"), read_only=True)


def place_to_make(settings: Settings) -> str:
    """Where the ledger is, or is to be; the directory of a file is made if it is not there.

    Raises:
        ConfigurationError: no place is named.
        StateNotWritableError: the directory cannot be made.
    """
    from device_sdk.state.files import make_directory

    place = settings.require("station.ledger")
    if "://" not in place:
        make_directory(Path(place).parent)
    return place


def _make(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.station.ledger import Ledger

    if options.source is not None:
        return _copy(options.source, place_to_make(settings), out)
    with Ledger.open(place_to_make(settings)) as ledger:
        out.data({"ledger": ledger.id}, f"ledger {ledger.id} is there")
    return 0


def _copy(source: str, place: str, out: Output) -> int:
    from device_sdk.station.ledger import copy_ledger

    copied = copy_ledger(source, place)
    head = copied.head
    data = _about(head) | {"left_out": copied.left, "reason": copied.reason}
    words = f"ledger {head.ledger} is there, with {head.number} entries of the other one\n{head}"
    wrong = "" if copied.reason is None else "\n" + one_line(f"left out: {copied.left}, as {copied.reason}")
    out.data(data, words + wrong)
    return 0


def _verify(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    from device_sdk.station.ledger import parse_head

    kept = None if options.head is None else parse_head(_head_text(options.head))
    with opened(settings) as ledger:
        verdict = ledger.verify(kept)
    head = verdict.head
    data = _about(head) | {"first": verdict.first, "last": verdict.last}
    between = f", {verdict.first} to {verdict.last}" if head.number else ""
    words = "the kept head is in it" if kept else "whether its end was cut off shows only against a head that was kept"
    out.data(data, f"whole: {head.number} entries{between}\n{head}\n{words}")
    return 0


def _about(head: Head) -> dict[str, object]:
    return {"ledger": head.ledger, "entries": head.number, "hash": head.hash}


def _head_text(given: str) -> str:
    if ":" in given and not Path(given).exists():
        return given
    from device_sdk.cli.files import read_file

    return read_file(given, limit_bytes=_MAX_HEAD_BYTES).decode("utf-8", "replace")


def _show(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    if not 0 < options.last <= 100_000:
        raise ConfigurationError("--last has to be 1 to 100000")
    with opened(settings) as ledger:
        found = ledger.newest(options.last, device=options.device, run=options.run_id)[::-1]
        record = ledger.device(options.device) if options.device else None
    if options.device and record is None:
        raise ConfigurationError(f"the ledger knows no device {options.device}", hint="check the serial number")
    lines = [line_of(entry) for entry in found]
    data: dict[str, object] = {"entries": [entry.to_json() for entry in found]}
    if record is not None:
        data["device"] = record.to_json()
        state = f"{record.serial_number}: {record.state}" + (f": {record.reason}" if record.reason else "")
        lines.append(one_line(state))
    out.data(data, "\n".join(lines) or "no entries")
    return 0


def line_of(entry: Entry) -> str:
    """An entry on one line, for people."""
    words = [entry.device, entry.line, entry.run, entry.step, entry.outcome, entry.facts.get("reason")]
    said = "  ".join(str(word) for word in words if word)
    return one_line(f"{entry.number:6}  {entry.time}  {entry.kind:11}  {said}")


def _export(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    with opened(settings) as ledger:
        stream = _Standard(out)
        ledger.export(options.format, stream, run=options.run_id, device=options.device)
        stream.flush()
    return 0


class _Standard:
    """Standard output, with its errors as Output reports them."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._waiting: list[str] = []

    def write(self, text: str) -> None:
        """Some of it."""
        self._waiting.append(text)
        if len(self._waiting) >= _LINES_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """What has not gone out yet."""
        self._out.content("".join(self._waiting).encode())
        self._waiting.clear()


def _head(_options: argparse.Namespace, settings: Settings, out: Output) -> int:
    with opened(settings) as ledger:
        head = ledger.head()
    out.data({"ledger": head.ledger, "number": head.number, "hash": head.hash, "head": str(head)}, str(head))
    return 0
