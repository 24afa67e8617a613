"""Whether a CSR is what /csrattrs asked for (RFC 7030 section 4.5.2: the server may refuse what it did not get)."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography import x509
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.error import PyAsn1Error
from pyasn1_alt_modules import rfc5280

from device_sdk_simulators.csr_demand import Demand, DemandedExtension
from device_sdk_simulators.est.csr import CertificationRequest, key_name
from device_sdk_simulators.http.messages import HttpError

_SAN = "2.5.29.17"
_HASHES = {"2.16.840.1.101.3.4.2.1": "sha256", "2.16.840.1.101.3.4.2.2": "sha384", "2.16.840.1.101.3.4.2.3": "sha512"}


def check_demand(demand: Demand, request: CertificationRequest, *, renewal: bool) -> None:
    """HttpError 400 that names everything the request lacks.

    Args:
        demand: what was asked for.
        request: the CSR.
        renewal: subject and SAN are those of the certificate, whatever is demanded (EST-150).
    """
    missing = [
        *_key_and_signature(demand, request),
        *_subject(demand, request, renewal),
        *_rest(demand, request, renewal),
    ]
    if missing:
        raise HttpError(400, f"the request is not what csrattrs asks for: {'; '.join(missing)}")


def _key_and_signature(demand: Demand, request: CertificationRequest) -> Iterator[str]:
    key = request.public_key
    found = key_name(key)
    if demand.key is not None and found != demand.key:
        yield f"the key is {found}, not {demand.key}"
    if demand.signature is not None and demand.form != "rfc9908":
        digest = request.csr.signature_hash_algorithm
        given = (request.csr.signature_algorithm_oid.dotted_string, digest.name if digest else "")
        if demand.signature != given[0] and _HASHES.get(demand.signature) != given[1]:
            yield f"the signature algorithm is {given[0]}, not {demand.signature}"


def _subject(demand: Demand, request: CertificationRequest, renewal: bool) -> Iterator[str]:
    if renewal:
        return
    template = demand.form in ("rfc9908", "both")
    there = [(one.oid.dotted_string, str(one.value)) for one in request.csr.subject]
    for oid, text in demand.subject:
        fits = [one for one in there if one[0] == oid and (text is None or not template or one[1] == text)]
        if not fits:
            yield f"subject attribute {oid} is missing" + (f" or not {text!r}" if text and template else "")
        else:
            there.remove(fits[0])


def _rest(demand: Demand, request: CertificationRequest, renewal: bool) -> Iterator[str]:
    open_ones = demand.form in ("rfc9908", "both")
    for wanted in demand.extensions:
        if (wanted.oid == _SAN and renewal) or (wanted.value is None and not open_ones) or demand.form == "draft-04":
            continue
        yield from _extension(wanted, request)
    present = {attribute.oid.dotted_string for attribute in request.csr.attributes}
    for oid in demand.attributes:
        if oid not in present:
            yield f"attribute {oid} is missing"
    if demand.mac_address and request.mac_address is None:
        yield "the macAddress is missing"


def _extension(wanted: DemandedExtension, request: CertificationRequest) -> Iterator[str]:
    found = next((one for one in request.extensions if one.oid.dotted_string == wanted.oid), None)
    if found is None:
        yield f"extension {wanted.oid} is missing"
        return
    if found.critical != wanted.critical and not (wanted.oid == _SAN and not list(request.csr.subject)):
        yield f"extension {wanted.oid} is {'' if found.critical else 'not '}critical"
    if wanted.value is not None and not _same(wanted, found.value):
        yield f"extension {wanted.oid} has another value"


def _same(wanted: DemandedExtension, value: x509.ExtensionType) -> bool:
    given, expected = value.public_bytes(), wanted.value or b""
    return _names_fit(given, expected) if wanted.oid == _SAN else given == expected


def _names_fit(given: bytes, expected: bytes) -> bool:
    """Every fixed name, and for each placeholder some name of its kind."""
    try:
        names = [(one.getName(), bytes(encode(one.getComponent()))) for one in _general_names(given)]
        wanted = [(one.getName(), bytes(encode(one.getComponent()))) for one in _general_names(expected)]
    except PyAsn1Error:
        return False
    for kind, encoded in wanted:
        # an empty address, and a name of no parts
        is_open = encoded[1:2] == b"\x00" or (kind == "directoryName" and encoded[-2:] == b"\x30\x00")
        if not any(kind == one[0] and (is_open or encoded == one[1]) for one in names):
            return False
    return True


def _general_names(der: bytes) -> rfc5280.GeneralNames:
    return decode(der, asn1Spec=rfc5280.GeneralNames())[0]
