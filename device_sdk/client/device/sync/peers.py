"""Certificates of peers in one sync: read once, and judged once for what they are judged by."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509

from device_sdk.client.device.context import Context
from device_sdk.client.est import CaCertificates
from device_sdk.errors import StateCorruptError
from device_sdk.protocols.crls import RevocationList
from device_sdk.protocols.eecerts import check_peers
from device_sdk.state import KeptPeer
from device_sdk.wire.path import name_of


class Peers:
    """The peers of a state directory while its lock is held.

    A list may have a thousand entries with peers, and the next one again: what is kept is not judged for each of them.

    Args:
        context: the device.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._kept: tuple[KeptPeer, ...] | None = None
        self._judged_by: object = None
        self._good: set[x509.Certificate] = set()

    def keep(
        self,
        ca: CaCertificates,
        lists: Iterable[RevocationList],
        place: str | None = None,
        new: Iterable[KeptPeer] = (),
    ) -> tuple[str, ...]:
        """Keep the peers that still may be trusted, and the new ones instead of those from the same place.

        Args:
            ca: whom to trust.
            lists: revocation lists that are held.
            place: where the new ones are from.
            new: they; checked against the same.

        Returns:
            What was dropped, and why.

        Raises:
            StateError: they cannot be read or written; nothing was changed.
        """
        notes: list[str] = []
        if self._kept is None:
            try:
                self._kept = self._context.state.packages.peers()
            except StateCorruptError as error:
                self._kept, notes = (), [error.message]
        others, fresh = [one for one in self._kept if one.place != place], tuple(new)
        dropped = self._judge(others, ca, tuple(lists))
        self._good.update(one.certificate for one in fresh)
        # in the same order, so that a run that brings nothing new writes nothing
        before = next((number for number, one in enumerate(self._kept) if one.place == place), len(others))
        every = (*others[:before], *fresh, *others[before:])
        kept = tuple(one for one in every if one.certificate not in dropped or one in fresh)
        if kept != self._kept or notes:
            self._context.state.packages.save_peers(kept)
            self._kept = kept
        return (*notes, *(f"dropped the peer {name_of(one)}: {reason}" for one, reason in dropped.items()))

    def _judge(
        self, kept: Iterable[KeptPeer], ca: CaCertificates, lists: tuple[RevocationList, ...]
    ) -> dict[x509.Certificate, str]:
        """Those that may not be trusted any more; only what was not found good by the same before is looked at."""
        judged_by = (ca.anchors, ca.intermediates, tuple(one.crl for one in lists))
        if judged_by != self._judged_by:
            self._judged_by, self._good = judged_by, set()
        checked = check_peers(
            [one.certificate for one in kept if one.certificate not in self._good],
            anchors=ca.anchors,
            intermediates=ca.intermediates,
            now=self._context.clock.now(),
            lists=lists,
        )
        self._good.update(checked.accepted)
        return dict(checked.rejected)
