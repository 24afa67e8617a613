"""The trust anchors that messages manage (RFC 5934), and what goes with them: one file, replaced in one step."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from device_sdk.errors import StateCorruptError
from device_sdk.state import files
from device_sdk.state.fields import Fields, dump
from device_sdk.state.single_file import SingleFile

if TYPE_CHECKING:
    from device_sdk.protocols.tamp.store import AnchorStore, HeldAnchor

RETURN_PATH = "tamp/return"


class ManagedAnchors(SingleFile):
    """The file tamp.json of a state directory; `StateDirectory.managed`.

    Anchors, their sequence numbers, communities: a message changes all of it at once or nothing. The identity anchors in it
    are trusted for servers beside those of the EST service, which stay where they are; apex and management anchors are not.
    """

    NAME = "tamp.json"

    @property
    def exists(self) -> bool:
        """Whether this device's anchors are managed."""
        return self._content() is not None

    def load(self) -> AnchorStore:
        """The store, without the anchors of the EST service; an empty one if nothing is managed.

        Raises:
            StateCorruptError: it cannot be understood.
            StateError: somebody else may write to the directory, it cannot be read, or a newer version wrote it.
        """
        from device_sdk.protocols.tamp.store import AnchorStore

        data = self._content()
        return AnchorStore() if data is None else read_store(self.file, data)

    def save(self, store: AnchorStore) -> None:
        """Make this the store, then point the stable path of the anchors to what is trusted now.

        Raises:
            StateNotWritableError: what was there before is unchanged.
        """
        with self._directory.exclusive():
            files.write(self.file, _encoded(store))
            self._directory.point()

    def explicit(self, anchors: tuple[x509.Certificate, ...]) -> tuple[x509.Certificate, ...]:
        """Whom to trust for servers, given the anchors of the EST service; raises as `load`."""
        return self.load().explicit(anchors) if self.exists else anchors

    def unmanaged(self, anchors: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
        """Those in whose place no anchor of a message is: the rest is kept here, whatever the EST service says. Raises as `load`."""
        return self.load().unmanaged(anchors) if self.exists else tuple(anchors)

    def forgive(self, anchors: Iterable[x509.Certificate]) -> None:
        """Forget that messages removed these: the device's owner names them anew. Raises as `load` and `save`."""
        from device_sdk.protocols.tamp.store import identity_of_certificate

        if not self.exists:
            return
        store = self.load()
        forgiving = store.forgiving(map(identity_of_certificate, anchors))
        if forgiving != store:
            self.save(replace(forgiving, generation=store.generation + 1))

    def managers(self) -> tuple[x509.Certificate, ...]:
        """Who may sign what is for this device, firmware and keys for example: the apex, and the anchors for management.

        What each of them may sign is in its content constraints, as far as it has some. Those below which there are no
        certificates are not among them. Raises as `load`.
        """
        from device_sdk.protocols.tamp.store import Role

        return self.load().certificates(Role.APEX, Role.MANAGEMENT)

    def event(self, store: AnchorStore) -> str:
        """What tells this store from others: for an answer that is held until it is kept (Outbox.put)."""
        return hashlib.sha256(_encoded(store)).hexdigest()

    def settle(self) -> None:
        """Release the answers whose change was made, and forget the others: the power failed between the two.

        Raises:
            StateNotWritableError: it is left to the next run.
        """
        held = self._directory.outbox.held(RETURN_PATH)
        if not held:
            return
        event = hashlib.sha256(self._content() or b"").hexdigest()
        for message in held:
            if message.event == event:
                self._directory.processed.finish({event})
                self._directory.outbox.release(message.id)
            else:
                # it says that something was done which was not; the message itself comes again
                self._directory.outbox.delivered(message.id)


def _encoded(store: AnchorStore) -> bytes:
    name = store.name
    return dump(
        {
            "generation": store.generation,
            "hw_type": name.hw_type,
            "hw_serial": name.serial.hex() if name.serial is not None else None,
            "uris": name.uris,
            "communities": store.communities,
            "anchors": [
                {
                    "role": one.role.value,
                    "number": one.number,
                    "displaces": one.displaces,
                    "anchor": b64encode(one.anchor.encoded).decode(),
                }
                for one in store.anchors
                if not one.foreign
            ],
            "delegates": [{"key": key, "number": number} for key, number in store.delegates.items()],
            "removed": store.removed,
            "spent": store.spent,
        }
    )


def read_store(path: Path, data: bytes) -> AnchorStore:
    """Read the file.

    Raises:
        StateCorruptError: it cannot be understood.
        StateError: a newer version wrote it.
    """
    from device_sdk.protocols.tamp.store import AnchorStore, StoreName

    fields = Fields.parse(path, data)
    serial = fields.optional_text("hw_serial")
    try:
        return AnchorStore(
            tuple(_held(one) for one in fields.objects("anchors")),
            StoreName(
                fields.optional_text("hw_type"),
                None if serial is None else bytes.fromhex(serial),
                fields.optional_texts("uris") or (),
            ),
            fields.optional_texts("communities") or (),
            {one.digest("key"): _number(one, "number") for one in fields.objects("delegates")},
            fields.optional_texts("removed") or (),
            _number(fields, "generation"),
            fields.optional_texts("spent") or (),
        )
    except ValueError as error:
        raise StateCorruptError(
            f"{path}: cannot be understood: {error}",
            hint="restore it from a backup; without it this device believes nobody who manages its trust anchors",
            path=str(path),
        ) from error


def _held(fields: Fields) -> HeldAnchor:
    from device_sdk.protocols.tamp.store import HeldAnchor, Role
    from device_sdk.wire.cms.reader import PlainReader
    from device_sdk.wire.tamp.anchors import read_anchor

    encoded = PlainReader(b64decode(fields.text("anchor"), validate=True))
    anchor = read_anchor(encoded)
    encoded.finish()
    number = None if fields.take("number") is None else _number(fields, "number")
    displaces = fields.take("displaces") is not False  # older versions wrote none of that
    return HeldAnchor(anchor, Role(fields.text("role")), number, displaces=displaces)


def _number(fields: Fields, name: str) -> int:
    value = fields.take(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError(f"{name} is not a number that can be")
    return value
