"""A demand in each of the forms /csrattrs had: lists (RFC 7030 section 4.5.2, RFC 8951 section 4), templates (RFC 9908)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import char, tag, univ
from pyasn1_alt_modules import rfc8951, rfc9908

from device_sdk_simulators.csr_demand import Demand, DemandedExtension
from device_sdk_simulators.policy import MAC_ADDRESS

EXTENSION_REQUEST = "1.2.840.113549.1.9.14"
SUBJECT_DIRECTORY_ATTRIBUTES = "2.5.29.9"
EC_PUBLIC_KEY, RSA_ENCRYPTION = "1.2.840.10045.2.1", "1.2.840.113549.1.1.1"
_PUBLIC_KEY = tag.Tag(tag.tagClassContext, tag.tagFormatConstructed, 0)
_ATTRIBUTES = tag.Tag(tag.tagClassContext, tag.tagFormatConstructed, 1)
CURVES = {"ec-p256": "1.2.840.10045.3.1.7", "ec-p384": "1.3.132.0.34", "ec-p521": "1.3.132.0.35"}


def csr_attrs(items: Iterable[str | bytes]) -> bytes:
    """DER of CsrAttrs out of object identifiers and DER of Attributes."""
    listing = rfc8951.CsrAttrs()
    listing.clear()
    for position, item in enumerate(items):
        if isinstance(item, str):
            listing[position]["oid"] = item
        else:
            listing[position]["attribute"] = decode(item, asn1Spec=rfc8951.Attribute())[0]
    return bytes(encode(listing))


def listed(demand: Demand, challenges: Sequence[str]) -> list[str | bytes]:
    """The older forms; what they cannot say is left out."""
    items: list[str | bytes] = [*challenges, *_key(demand)]
    extensions = [_extension(one) for one in demand.extensions if one.value is not None]
    if demand.mac_address and demand.form == "rfc7030" and not extensions:
        # RFC 7030's own example; RFC 9908 section 5.2 calls it NOT CORRECT (EST-177)
        items.append(_attribute(EXTENSION_REQUEST, encode(univ.ObjectIdentifier(MAC_ADDRESS))))
    elif demand.mac_address:
        items.append(MAC_ADDRESS)
    if extensions and demand.form != "draft-04":
        items.append(_attribute(EXTENSION_REQUEST, _sequence(extensions)))
    items.extend(oid for oid, _text in demand.subject)
    items.extend(demand.attributes)
    return [*items, demand.signature] if demand.signature else items


def template(demand: Demand, challenges: Sequence[str]) -> bytes:
    """DER of the Attribute id-aa-certificationRequestInfoTemplate (RFC 9908 section 3.4)."""
    members = [encode(univ.Integer(0))]
    if demand.subject:
        members.append(_template_subject(demand))
    if demand.key is not None:
        members.append(_template_key(demand.key))
    attributes = [*(_attribute(oid) for oid in (*challenges, *demand.attributes)), *_template_extensions(demand)]
    # by hand: pyasn1-alt-modules wants at least one attribute, where PKCS#10 has none, too
    members.append(encode(_members(univ.SetOf(componentType=univ.Any()).subtype(implicitTag=_ATTRIBUTES), attributes)))
    return _attribute(str(rfc9908.id_aa_certificationRequestInfoTemplate), _sequence(members))


def _template_subject(demand: Demand) -> bytes:
    name = rfc9908.NameTemplate()
    for position, (oid, text) in enumerate(demand.subject):
        part = name["rdnSequence"][position][0]
        part["type"] = oid
        if text is not None:
            part["value"] = encode(char.UTF8String(text))
    return bytes(encode(name))


def _key(demand: Demand) -> list[str | bytes]:
    if demand.key is None:
        return []
    if demand.key in CURVES:
        curve = CURVES[demand.key]
        return (
            [curve] if demand.form == "draft-04" else [_attribute(EC_PUBLIC_KEY, encode(univ.ObjectIdentifier(curve)))]
        )
    bits = int(demand.key.removeprefix("rsa-"))
    return [RSA_ENCRYPTION] if demand.form == "draft-04" else [_attribute(RSA_ENCRYPTION, encode(univ.Integer(bits)))]


def _template_key(key: str) -> bytes:
    info = rfc9908.SubjectPublicKeyInfoTemplate().subtype(implicitTag=_PUBLIC_KEY)
    algorithm = info["algorithm"]
    if key in CURVES:
        algorithm["algorithm"] = EC_PUBLIC_KEY
        algorithm["parameters"] = univ.Any(encode(univ.ObjectIdentifier(CURVES[key])))
        return bytes(encode(info))
    algorithm["algorithm"] = RSA_ENCRYPTION
    algorithm["parameters"] = univ.Any(encode(univ.Null("")))
    placeholder = univ.Sequence()
    placeholder[0] = univ.Integer((1 << int(key.removeprefix("rsa-"))) - 1)
    placeholder[1] = univ.Integer(65537)
    info["subjectPublicKey"] = univ.BitString(hexValue=encode(placeholder).hex())
    return bytes(encode(info))


def _template_extensions(demand: Demand) -> list[bytes]:
    """One extensionRequest, or one extensionReqTemplate where a value is left open; never both (RFC 9908 section 3.4)."""
    found = list(demand.extensions)
    if demand.mac_address:
        # RFC 9908 section 5.2: the attribute without a value, which the client fills in
        found.append(DemandedExtension(SUBJECT_DIRECTORY_ATTRIBUTES, value=_sequence([_attribute(MAC_ADDRESS)])))
    if not found:
        return []
    is_open = any(one.value is None for one in found)
    oid = str(rfc9908.id_aa_extensionReqTemplate) if is_open else EXTENSION_REQUEST
    return [_attribute(oid, _sequence([_extension(one) for one in found]))]


def _extension(wanted: DemandedExtension) -> bytes:
    extension = rfc9908.ExtensionTemplate()
    extension["extnID"] = wanted.oid
    if wanted.critical:
        extension["critical"] = True
    if wanted.value is not None:
        extension["extnValue"] = wanted.value
    return bytes(encode(extension))


def _attribute(oid: str, *values: bytes) -> bytes:
    """An Attribute; with an empty set of values if there are none (EST-175)."""
    attribute = univ.Sequence()
    attribute[0] = univ.ObjectIdentifier(oid)
    attribute[1] = _members(univ.SetOf(componentType=univ.Any()), values)
    return bytes(encode(attribute))


def _sequence(members: Sequence[bytes]) -> bytes:
    return bytes(encode(_members(univ.SequenceOf(componentType=univ.Any()), members)))


def _members(holder: univ.SetOf | univ.SequenceOf, members: Sequence[bytes]) -> univ.SetOf | univ.SequenceOf:
    """Fill it with elements that are encoded already; it may stay empty."""
    holder.clear()
    for position, member in enumerate(members):
        holder[position] = univ.Any(member)
    return holder
