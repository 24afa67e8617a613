"""The JSON form of a package availability list (RFC 8295 section 2.1.3)."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from device_sdk.errors import WireError
from device_sdk.wire.pal.entry import MAX_ENTRIES, PalEntry, make_entry

_MEMBERS = {"type", "date", "size", "info"}


def read_json(body: bytes) -> tuple[PalEntry, ...]:
    """The entries, in the order of the list.

    Members of other names are refused in `info`, where one of them would be a second choice, and skipped elsewhere.

    Args:
        body: UTF-8, of bounded length.

    Raises:
        WireError: not such a list; members twice, numbers that are none, more than MAX_ENTRIES entries.
    """
    try:
        found = json.loads(body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise _error("the package list is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise _error("the package list is not JSON") from error
    if not isinstance(found, list):
        raise _error("the package list is not a JSON array")
    if len(found) > MAX_ENTRIES:
        raise _error(f"the package list has more than {MAX_ENTRIES} entries")
    return tuple(_entry(one) for one in found)


def _entry(found: object) -> PalEntry:
    if not isinstance(found, dict):
        raise _error("the package list has an entry that is no object")
    if missing := _MEMBERS - {"date"} - set(found):
        raise _error(f"the package list has an entry without {sorted(missing)[0]}")
    return make_entry(found["type"], found["size"], _info(found["info"]), found.get("date"))


def _info(found: object) -> tuple[str, object]:
    if not isinstance(found, dict) or len(found) != 1:
        raise _error("the package list has an info that is not exactly one of dn, ski, iasn and uri")
    ((name, value),) = found.items()
    if name != "iasn":
        return name, value
    if not isinstance(value, dict) or set(value) != {"issuer", "serial"}:
        raise _error("the package list has an iasn that is not issuer and serial")
    return name, (value["issuer"], value["serial"])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A member that is there twice would mean one thing here and another elsewhere."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member twice")
    return found


def _no_number(_: str) -> NoReturn:
    raise ValueError("not a number")


def _error(message: str) -> WireError:
    return WireError(message, what="pal")
