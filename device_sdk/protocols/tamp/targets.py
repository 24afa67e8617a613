"""Whether a message is for this store (RFC 5934 section 4.1; T-06)."""

from __future__ import annotations

from device_sdk.protocols.tamp.store import AnchorStore
from device_sdk.wire import der
from device_sdk.wire.hardware_module_name import OID as HARDWARE_MODULE_NAME
from device_sdk.wire.tamp.codes import TampStatus, refused
from device_sdk.wire.tamp.targets import AllModules, Communities, Modules, OtherName, Target, Uri


def require_target(target: Target, store: AnchorStore) -> None:
    """Make sure of it.

    Raises:
        TampRefusedError: it is for others, or names them in a way that is not known here.
    """
    if isinstance(target, OtherName) and target.kind != HARDWARE_MODULE_NAME.dotted_string:
        raise refused(
            TampStatus.UNSUPPORTED_TARGET_IDENTIFIER, f"it names its target by {target.kind}, which is not known here"
        )
    if not _is_meant(target, store):
        raise refused(TampStatus.INCORRECT_TARGET, "it is for another device")


def _is_meant(target: Target, store: AnchorStore) -> bool:
    name = store.name
    if isinstance(target, AllModules):
        return True
    if isinstance(target, Communities):
        return any(one in store.communities for one in target.communities)
    if isinstance(target, Uri):
        return target.uri in name.uris
    if name.hw_type is None or name.serial is None:
        return False
    if isinstance(target, Modules):
        modules = [one for one in target.modules if one.hw_type == name.hw_type]
        return any(entry.has(name.serial) for one in modules for entry in one.entries)
    return target.value == der.sequence(der.oid(name.hw_type), der.tlv(0x04, name.serial))
