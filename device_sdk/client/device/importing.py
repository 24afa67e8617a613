"""Who may manage a device's trust anchors, as its factory or its owner says it: nobody, until then."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from device_sdk.errors import ConfigurationError, TampRefusedError, WireError
from device_sdk.protocols.tamp import AnchorStore, HeldAnchor, Role, StoreName
from device_sdk.protocols.tamp.store import MAX_COMMUNITIES
from device_sdk.protocols.tamp.updates import require_room, require_storable
from device_sdk.state import StateDirectory
from device_sdk.wire.certs_only import usable_certificates
from device_sdk.wire.cms.reader import PlainReader
from device_sdk.wire.cms.strict import require_der
from device_sdk.wire.hardware_module_name import object_identifier
from device_sdk.wire.tamp.anchors import AnchorFormat, TrustAnchor, choices_of, read_anchor


@dataclass(frozen=True)
class NameGiven:
    """What the store is called from now on; None leaves it as it is.

    Attributes:
        hw_type: of the hardware module, dotted.
        serial: its serial number.
        uris: names of it.
        communities: those it is in, dotted.
    """

    hw_type: str | None = None
    serial: bytes | None = None
    uris: tuple[str, ...] | None = None
    communities: tuple[str, ...] | None = None

    def applied_to(self, store: AnchorStore) -> AnchorStore:
        """The store with it.

        Raises:
            ConfigurationError: not an object identifier; or a serial number without a type.
        """
        name, given = store.name, self.communities
        hw_type = name.hw_type if self.hw_type is None else object_identifier(self.hw_type)
        serial = name.serial if self.serial is None else self.serial
        if serial is not None and hw_type is None:
            raise ConfigurationError("a serial number needs the type of the hardware (--hw-type)")
        communities = store.communities if given is None else tuple(dict.fromkeys(map(object_identifier, given)))
        if len(communities) > MAX_COMMUNITIES:
            raise ConfigurationError(f"more than {MAX_COMMUNITIES} communities")
        uris = name.uris if self.uris is None else self.uris
        return replace(store, name=StoreName(hw_type, serial, uris), communities=communities)


def read_trust_anchor(encoded: bytes, source: str) -> TrustAnchor:
    """A trust anchor out of a file: DER of a Certificate or of a TrustAnchorInfo as RFC 5914 has it, [2] around it or not.

    Raises:
        ConfigurationError: it is none, or of a kind that is not used here.
    """
    try:
        require_der(encoded)
        anchor = read_anchor(PlainReader(encoded))
        if anchor.form is AnchorFormat.CERTIFICATE:
            usable_certificates([encoded])
        require_storable(anchor)
    except (ValueError, WireError, TampRefusedError) as error:
        raise ConfigurationError(
            f"{source}: no trust anchor that can be kept: {getattr(error, 'message', error)}",
            hint="a certificate (PEM or DER), or DER of a TrustAnchorInfo or of a list of them",
        ) from error
    return anchor


def read_trust_anchors(encoded: bytes, source: str) -> tuple[TrustAnchor, ...]:
    """Those of a TrustAnchorList (RFC 5914), bare or in a ContentInfo, each as if it came alone; none of what is no list.

    Raises:
        ConfigurationError: one of them is none, or of a kind that is not used here; or there are too many.
    """
    try:
        choices = choices_of(encoded)
    except ValueError as error:
        raise ConfigurationError(f"{source}: {error}") from error
    return tuple(read_trust_anchor(one, f"{source}, anchor {number}") for number, one in enumerate(choices, 1))


def import_anchors(
    state: StateDirectory, anchors: Iterable[TrustAnchor], role: Role, name: NameGiven
) -> tuple[HeldAnchor, ...]:
    """Take anchors into the store. The lock of the directory must be held.

    Args:
        state: of the device.
        anchors: read from files whose origin somebody vouches for.
        role: what they are for.
        name: what the store is called.

    Returns:
        Those that were not there already.

    Raises:
        ConfigurationError: a second apex, or an anchor that is there for something else, also for servers.
        StateNotWritableError: nothing was changed.
    """
    before = state.managed.load()
    store = name.applied_to(before)
    loaded = state.load()
    servers = before.with_explicit(state.own_anchors(loaded.anchors)) if loaded.anchors else before
    new = []
    for anchor in anchors:
        held = HeldAnchor(anchor, role)
        present = store.find(held.identity) or (servers.find(held.identity) if role is not Role.IDENTITY else None)
        if present is not None:
            if present.role is not role or present.anchor.encoded != anchor.encoded:
                raise ConfigurationError(
                    f"an anchor of the key {anchor.key_id.hex()} is there already, for {present.role.value}",
                    hint="a key has one purpose (RFC 5934 section 1.3.2)",
                )
            continue
        if role is Role.APEX and store.apex is not None:
            raise ConfigurationError(
                "there is an apex already, and there can be only one",
                hint="it is replaced by a message that it signs, or here after device-sdk anchors remove",
            )
        store = store.with_anchor(held).forgiving([held.identity])
        new.append(held)
    try:
        require_room(store)
    except TampRefusedError as error:
        raise ConfigurationError(error.message) from error
    if store != before:
        state.managed.save(replace(store, generation=before.generation + 1))
    return tuple(new)


def forget_anchor(state: StateDirectory, key_id: bytes) -> tuple[HeldAnchor, ...]:
    """Take anchors out of the store, by key identifier. The lock of the directory must be held.

    Raises:
        ConfigurationError: there is none.
        StateNotWritableError: nothing was changed.
    """
    store = state.managed.load()
    gone = tuple(one for one in store.anchors if one.anchor.key_id == key_id)
    if not gone:
        raise ConfigurationError(
            f"no anchor here has the key identifier {key_id.hex()}", hint="device-sdk anchors list shows them"
        )
    anchors = tuple(one for one in store.anchors if one not in gone)
    state.managed.save(replace(store, anchors=anchors, generation=store.generation + 1))
    return gone
