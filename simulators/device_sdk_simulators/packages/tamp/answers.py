"""What devices send back, read: responses, confirms and errors (RFC 5934 sections 4.2 to 4.11)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5280, rfc5652, rfc5934

from device_sdk_simulators.cmc.message import Message, read_message
from device_sdk_simulators.cmc.refusal import CmcRefusedError
from device_sdk_simulators.packages.signing import key_identifier
from device_sdk_simulators.packages.tamp.kinds import BY_ANSWER, ERROR, QUERY
from device_sdk_simulators.unreadable import UNREADABLE

_TYPES = (*BY_ANSWER, ERROR)
_KNOWN = frozenset(rfc5934.StatusCode.namedValues.values())
_REFERENCES = ("query", "update", "apexReplace", "adjust", "msgRef")
_CHOICES = ("response", "confirm", "apexConfirm", "commConfirm")
_VERSION = 2


class BadAnswerError(ValueError):
    """Bytes that are no answer to a message."""


@dataclass(frozen=True)
class Reading:
    """An answer as it was read; nobody has verified it yet.

    Attributes:
        content_type: of the answer.
        about: content type of the message it is about, as it says.
        reference: DER of the TAMPMsgRef it repeats; None for an error that has none.
        statuses: in their order; empty for a response.
        holds: what a verbose one, or a terse response, says of the store.
        signed: the signature; None for none.
        digest: of what was signed, or of all of it.
    """

    content_type: str
    about: str
    reference: bytes | None
    statuses: tuple[int, ...]
    holds: dict[str, object] | None
    signed: Message | None = field(repr=False)
    digest: bytes = field(repr=False)

    @property
    def word(self) -> str:
        """What it is."""
        if self.content_type == ERROR:
            return "error"
        return "response" if self.about == QUERY.content_type else "confirm"


def read_answer(body: bytes) -> Reading:
    """Read one; BadAnswerError for what is none."""
    try:
        content_type, content, signed = _opened(body)
        structure: Any = rfc5934.TAMPError() if content_type == ERROR else BY_ANSWER[content_type].answer_structure()
        found, rest = decode(content, asn1Spec=structure)
        if rest or encode(found) != content:
            raise BadAnswerError("not DER, or something is behind it (RFC 5934 section 1.4)")
        digest = signed.digest if signed else hashlib.sha256(body).digest()
        return _read(content_type, found, signed, digest)
    except CmcRefusedError as error:
        raise BadAnswerError(str(error)) from error
    except UNREADABLE as error:
        raise BadAnswerError(str(error) or "not an answer of a trust anchor store") from error


def _opened(body: bytes) -> tuple[str, bytes, Message | None]:
    info, rest = decode(body, asn1Spec=rfc5652.ContentInfo())
    if rest:
        raise BadAnswerError("something is behind it")
    if info["contentType"] == rfc5652.id_signedData:
        message = read_message(body, content_types=_TYPES)
        return message.content_type, message.content, message
    content_type, content = str(info["contentType"]), bytes(info["content"])
    if content_type not in _TYPES:
        raise BadAnswerError(f"{content_type} is no answer of a trust anchor store")
    if content[:1] == b"\x04":
        # AMB-14
        content = bytes(decode(content, asn1Spec=univ.OctetString())[0])
    return content_type, content, None


def _read(content_type: str, found: Any, signed: Message | None, digest: bytes) -> Reading:
    if int(found["version"]) != _VERSION:
        raise BadAnswerError(f"version {int(found['version'])} of the protocol")
    name = next(one for one in _REFERENCES if one in found)
    reference = bytes(encode(found[name])) if found[name].isValue else None
    if content_type == ERROR:
        statuses = _statuses(found["status"])
        if statuses == (0,):
            raise BadAnswerError("an error that says success (RFC 5934 section 4.11)")
        return Reading(content_type, str(found["msgType"]), reference, statuses, None, signed, digest)
    said = next((found[one].getComponent() for one in _CHOICES if one in found), None)
    if said is None:
        statuses = _statuses(found["status"])
    elif isinstance(said, univ.Sequence):
        statuses = _statuses(said["status"]) if "status" in said else ()
    else:
        statuses = _statuses(said)
    return Reading(
        content_type, BY_ANSWER[content_type].content_type, reference, statuses, _holds(said, found), signed, digest
    )


def _statuses(value: Any) -> tuple[int, ...]:
    listed = value if isinstance(value, univ.SequenceOf) else [value]
    found = tuple(int(one) for one in listed)
    if not _KNOWN.issuperset(found):
        raise BadAnswerError(f"a status that RFC 5934 section 5 does not have, in {found}")
    return found


def _holds(said: Any, found: Any) -> dict[str, object] | None:
    """What a store says that it holds."""
    if not isinstance(said, univ.Sequence):
        return None
    holds: dict[str, object] = {}
    if "taKeyIds" in said:
        holds["anchors"] = [bytes(one).hex() for one in said["taKeyIds"]]
    elif "taInfo" in said:
        holds["anchors"] = [_identifier(one) for one in said["taInfo"]]
    if "anchors" in holds:
        # an apex is the first, unless the store has none
        where = next((one for one in (said, found) if "usesApex" in one), None)
        holds["apex"] = where is None or bool(where["usesApex"])
    if "communities" in said:
        holds["communities"] = [str(one) for one in said["communities"]] if said["communities"].isValue else []
    if "tampSeqNumbers" in said and said["tampSeqNumbers"].isValue:
        holds["numbers"] = {bytes(one["keyId"]).hex(): int(one["seqNumber"]) for one in said["tampSeqNumbers"]}
    return holds


def _identifier(choice: Any) -> str:
    if choice.getName() == "taInfo":
        return bytes(choice["taInfo"]["keyId"]).hex()
    if choice.getName() == "certificate":
        return key_identifier(x509.load_der_x509_certificate(bytes(encode(choice["certificate"])))).hex()
    extensions = choice["tbsCert"]["extensions"]
    found = (
        [one for one in extensions if one["extnID"] == rfc5280.id_ce_subjectKeyIdentifier] if extensions.isValue else []
    )
    return bytes(decode(bytes(found[0]["extnValue"]), asn1Spec=univ.OctetString())[0]).hex() if found else ""
