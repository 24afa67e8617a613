"""From one list to the next, bounded (RFC 8295 section 2.1.1, 0001; P-12, P-13, P-22)."""

from __future__ import annotations

from device_sdk.errors import RemoteProtocolError
from device_sdk.protocols.est.urls import EstEndpoint, Operation
from device_sdk.protocols.pal.places import target_of
from device_sdk.protocols.pal.types import PACKAGE_TYPES
from device_sdk.wire.pal import PalEntry

MAX_LISTS = 16
MAX_ENTRIES = 1024
_NEXT = "0001"


class PalWalk:
    """Feed it each list; `target` is the next one to get, or None at the end.

    Args:
        endpoint: the service.
    """

    def __init__(self, endpoint: EstEndpoint) -> None:
        self._endpoint = endpoint
        self._target: str | None = endpoint.target(Operation.PAL)
        self._seen = {self._target}
        self._entries: list[PalEntry] = []

    @property
    def target(self) -> str | None:
        """The request target of the list to get now."""
        return self._target

    @property
    def entries(self) -> tuple[PalEntry, ...]:
        """Everything so far but the entries that led to further lists."""
        return tuple(self._entries)

    def feed(self, found: tuple[PalEntry, ...]) -> None:
        """Take the entries of the list at `target`; what comes after an entry 0001 does not count.

        Raises:
            RemoteProtocolError: 0001 alone, a list that was here already, elsewhere, or more than anybody needs.
        """
        self._target = None
        for position, entry in enumerate(found):
            if entry.type == _NEXT:
                self._target = self._follow(entry, alone=position == 0)
                break
            self._entries.append(entry)
        if len(self._entries) > MAX_ENTRIES:
            raise self._broken(f"package lists with more than {MAX_ENTRIES} entries in all")

    def _follow(self, entry: PalEntry, *, alone: bool) -> str:
        if alone:
            raise self._broken("a package list with nothing in it but where the next one is")
        if entry.uri is None:
            raise self._broken("a package list that does not say where the next one is")
        target = target_of(entry.uri, PACKAGE_TYPES[_NEXT], self._endpoint)
        if target in self._seen:
            raise self._broken("package lists that lead in a circle")
        if len(self._seen) >= MAX_LISTS:
            raise self._broken(f"more than {MAX_LISTS} package lists in a row")
        self._seen.add(target)
        return target

    def _broken(self, why: str) -> RemoteProtocolError:
        url = self._endpoint.url(Operation.PAL)
        return RemoteProtocolError(f"{url}: {why}", hint="tell the operator of the EST server", url=url)
