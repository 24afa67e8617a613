"""PKIData, taken apart (RFC 5272 section 3.2.1)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import base, char, univ
from pyasn1_alt_modules import rfc6402

from device_sdk_simulators.cmc.refusal import BAD_REQUEST, NO_SUPPORT, CmcRefusedError
from device_sdk_simulators.unreadable import UNREADABLE

KNOWN = {
    rfc6402.id_cmc_transactionId: univ.Integer(),
    rfc6402.id_cmc_senderNonce: univ.OctetString(),
    rfc6402.id_cmc_recipientNonce: univ.OctetString(),
    rfc6402.id_cmc_identification: char.UTF8String(),
    rfc6402.id_cmc_identityProofV2: rfc6402.IdentifyProofV2(),
    rfc6402.id_cmc_popLinkRandom: univ.OctetString(),
    rfc6402.id_cmc_queryPending: univ.OctetString(),
    rfc6402.id_cmc_revokeRequest: rfc6402.RevokeRequest(),
    rfc6402.id_cmc_confirmCertAcceptance: rfc6402.CMCCertId(),
    rfc6402.id_cmc_statusInfoV2: rfc6402.CMCStatusInfoV2(),
    rfc6402.id_cmc_dataReturn: univ.OctetString(),
    rfc6402.id_cmc_lraPOPWitness: rfc6402.LraPopWitness(),
}
"""Controls this server processes, and what their values are."""

_MAX_CONTROLS = 50
_MAX_OCTETS = 64
# what is kept beyond the answer: nobody needs more than a hash's length of it
_KEPT = (rfc6402.id_cmc_senderNonce, rfc6402.id_cmc_recipientNonce, rfc6402.id_cmc_transactionId)


@dataclass(frozen=True)
class Control:
    """One control: its body part identifier and its value, decoded."""

    body_part: int
    value: base.Asn1Item


@dataclass(frozen=True)
class CertificationRequestPart:
    """A PKCS#10 request of the reqSequence."""

    body_part: int
    der: bytes = field(repr=False)


@dataclass(frozen=True)
class FullRequest:
    """What the client wants.

    Attributes:
        controls: by object identifier; each at most once.
        request: the PKCS#10 request, or None.
        requests_der: the reqSequence exactly as it came, which the identity proof is over.
    """

    controls: dict[univ.ObjectIdentifier, Control]
    request: CertificationRequestPart | None
    requests_der: bytes = field(repr=False)

    def octets(self, oid: univ.ObjectIdentifier) -> bytes | None:
        """The value of a control that is an OCTET STRING, or None."""
        control = self.controls.get(oid)
        return None if control is None else bytes(control.value)

    @property
    def transaction_id(self) -> int | None:
        """The transaction, if the client names one."""
        control = self.controls.get(rfc6402.id_cmc_transactionId)
        return None if control is None else int(control.value)

    def body_part(self, oid: univ.ObjectIdentifier) -> int:
        """Body part identifier of a control; 0 if it is not there."""
        control = self.controls.get(oid)
        return 0 if control is None else control.body_part


def read_pki_data(content: bytes) -> FullRequest:
    """DER of a PKIData; CmcRefusedError for anything this server does not do."""
    try:
        data, rest = decode(content, asn1Spec=rfc6402.PKIData())
        _controls_der, requests_der, *_others = elements(content)
        if rest:
            raise CmcRefusedError(BAD_REQUEST, "bytes after the PKIData")
        return FullRequest(_controls(data), _request(data, requests_der), requests_der)
    except UNREADABLE as error:
        raise CmcRefusedError(BAD_REQUEST, "the content is not a PKIData") from error


def read_echo(content: bytes) -> tuple[int | None, bytes | None]:
    """TransactionId and senderNonce as far as they can be read: an answer repeats them, also to a request that is wrong."""
    found: dict[univ.ObjectIdentifier, base.Asn1Item] = {}
    with suppress(*UNREADABLE):
        data, _rest = decode(content, asn1Spec=rfc6402.PKIData())
        for tagged in data["controlSequence"]:
            oid = tagged["attrType"]
            if oid in (rfc6402.id_cmc_transactionId, rfc6402.id_cmc_senderNonce):
                found.setdefault(oid, decode(bytes(tagged["attrValues"][0]), asn1Spec=KNOWN[oid])[0])
    number, nonce = found.get(rfc6402.id_cmc_transactionId), found.get(rfc6402.id_cmc_senderNonce)
    return None if number is None else int(number), None if nonce is None else bytes(nonce)


def elements(der: bytes) -> list[bytes]:
    """The elements inside an element, exactly as they are encoded."""
    size = der[1]
    rest = der[2:] if size < 0x80 else der[2 + (size & 0x7F) :]
    found = []
    while rest:
        _value, behind = decode(rest, asn1Spec=univ.Any())
        found.append(rest[: len(rest) - len(behind)])
        rest = behind
    return found


def _controls(data: rfc6402.PKIData) -> dict[univ.ObjectIdentifier, Control]:
    """RFC 5272 section 3.2.1.1: one control that is not recognised, and the whole request fails."""
    found: dict[univ.ObjectIdentifier, Control] = {}
    numbers: set[int] = set()
    for tagged in data["controlSequence"]:
        number, oid, values = int(tagged["bodyPartID"]), tagged["attrType"], list(tagged["attrValues"])
        if number in numbers or number == 0 or len(numbers) == _MAX_CONTROLS:
            raise CmcRefusedError(
                BAD_REQUEST, "a body part identifier twice, or too many of them", body_parts=(number,)
            )
        numbers.add(number)
        if oid not in KNOWN or oid in found or len(values) != 1:
            raise CmcRefusedError(BAD_REQUEST, f"control {oid} is not recognised, or not once", body_parts=(number,))
        value, rest = decode(bytes(values[0]), asn1Spec=KNOWN[oid])
        if rest:
            raise CmcRefusedError(BAD_REQUEST, f"control {oid} has bytes behind its value", body_parts=(number,))
        if oid in _KEPT and len(encode(value)) > _MAX_OCTETS + 2:
            text = f"control {oid} is longer than {_MAX_OCTETS} octets"
            raise CmcRefusedError(BAD_REQUEST, text, body_parts=(number,))
        found[oid] = Control(number, value)
    return found


def _request(data: rfc6402.PKIData, requests_der: bytes) -> CertificationRequestPart | None:
    """The one PKCS#10 request; CRMF and others are no part of this server (EST-208)."""
    requests = list(data["reqSequence"])
    if not requests:
        return None
    if len(requests) > 1:
        raise CmcRefusedError(BAD_REQUEST, "one certification request a message, please")
    if requests[0].getName() != "tcr":
        number = int(requests[0].getComponent()["bodyPartID"]) if requests[0].getName() == "orm" else 0
        raise CmcRefusedError(None, "certification requests are PKCS#10 here", body_parts=(number,), status=NO_SUPPORT)
    number = int(requests[0]["tcr"]["bodyPartID"])
    if number in {int(tagged["bodyPartID"]) for tagged in data["controlSequence"]}:
        raise CmcRefusedError(BAD_REQUEST, "a body part identifier twice", body_parts=(number,))
    return CertificationRequestPart(number, elements(elements(requests_der)[0])[1])
