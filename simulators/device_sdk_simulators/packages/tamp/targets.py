"""For whom a message is: the five kinds of RFC 5934 section 4.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyasn1.codec.der.decoder import decode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5934

from device_sdk_simulators.packages.firmware.notes import Serials, fill_serials


def all_modules() -> Any:
    """Whoever considers the signer authorized."""
    target = rfc5934.TargetIdentifier()
    target["allModules"] = ""
    return target


def modules(types: Sequence[tuple[str, Sequence[Serials]]]) -> Any:
    """Types of hardware, each with its serial numbers: one, the first and the last of a block, or None for all."""
    target = rfc5934.TargetIdentifier()
    for position, (kind, serials) in enumerate(types):
        entry = target["hwModules"][position]
        entry["hwType"] = kind
        for number, one in enumerate(serials):
            fill_serials(entry["hwSerialEntries"][number], one)
    return target


def communities(names: Sequence[str]) -> Any:
    """Members of any of these; there may be none."""
    target = rfc5934.TargetIdentifier()
    target["communities"].clear()
    target["communities"].extend(names)
    return target


def uri(text: str) -> Any:
    """The trust anchor store of this name."""
    target = rfc5934.TargetIdentifier()
    target["uri"] = text
    return target


def other_name(kind: str, value: bytes) -> Any:
    """A name of another kind; `value` is DER."""
    target = rfc5934.TargetIdentifier()
    target["otherName"]["type-id"] = kind
    target["otherName"]["value"] = univ.Any(value)
    return target


def reference(target: Any, number: int) -> Any:
    """TAMPMsgRef; any number, those that no message may have included."""
    found = rfc5934.TAMPMsgRef()
    found["target"] = target
    found.setComponentByName("seqNum", univ.Integer(number), verifyConstraints=False, matchConstraints=False)
    return found


def text_of(target: Any) -> str:
    """For people."""
    kind = target.getName()
    chosen = target.getComponent()
    if kind == "hwModules":
        return "modules " + ", ".join(str(one["hwType"]) for one in chosen)
    if kind == "communities":
        return "communities " + ", ".join(map(str, chosen))
    if kind == "uri":
        return str(chosen)
    return "all modules" if kind == "allModules" else f"name of type {chosen['type-id']}"


def decoded_reference(der: bytes) -> Any:
    """The other way; PyAsn1Error for what is none."""
    return decode(der, asn1Spec=rfc5934.TAMPMsgRef())[0]
