"""The package types of RFC 8295 section 2.1.1: what each leads to, and what the client does there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique

from device_sdk.protocols.est.urls import Operation


@unique
class Action(Enum):
    """What an entry asks of the client."""

    CONTINUE = "read the next list"
    FETCH = "fetch"
    ENROL = "enrol"
    REENROL = "re-enrol"
    PICK_UP = "pick up the result"
    GENERATE = "have a key generated"
    RETURN = "return a receipt"


@dataclass(frozen=True)
class PackageType:
    """One row of Table 1.

    Attributes:
        number: four digits.
        meaning: for people.
        action: what is to be done.
        operations: where an entry of this type may lead.
        tier: what is done first has the lowest (RFC 8295 section 2.3); what the server only wants to know of a package
            comes after everything of its tier.
    """

    number: str
    meaning: str
    action: Action
    operations: tuple[Operation, ...]
    tier: int


_FIRST, _ATTRIBUTES, _CERTIFICATES, _REST = 1, 2, 3, 4

_ENROL = (Operation.SIMPLE_ENROLL,)
_RESULT = (Operation.SIMPLE_ENROLL, Operation.FULLCMC)
_REENROL = (Operation.SIMPLE_REENROLL, Operation.FULLCMC)
_GENERATE = (Operation.SERVERKEYGEN, Operation.FULLCMC)


def _enrolments(first: int, usage: str) -> tuple[PackageType, ...]:
    """The seven types that exist for signature certificates and for key establishment certificates."""
    rows = (
        (
            f"start enrolment ({usage}) with the server's CSR attributes",
            Action.ENROL,
            (Operation.CSRATTRS,),
            _ATTRIBUTES,
        ),
        (f"start enrolment ({usage})", Action.ENROL, _ENROL, _CERTIFICATES),
        (f"enrolment ({usage}): success", Action.PICK_UP, _RESULT, _CERTIFICATES),
        (f"enrolment ({usage}): failure", Action.PICK_UP, _RESULT, _CERTIFICATES),
        (f"start re-enrolment ({usage})", Action.REENROL, _REENROL, _CERTIFICATES),
        (f"re-enrolment ({usage}): success", Action.PICK_UP, _REENROL, _CERTIFICATES),
        (f"re-enrolment ({usage}): failure", Action.PICK_UP, _REENROL, _CERTIFICATES),
    )
    return tuple(PackageType(f"{first + number:04}", *row) for number, row in enumerate(rows))


def _tamp(first: int, meaning: str) -> tuple[PackageType, ...]:
    return (
        PackageType(f"{first:04}", meaning, Action.FETCH, (Operation.TAMP,), _REST),
        PackageType(f"{first + 1:04}", f"{meaning}: answer or error wanted", Action.RETURN, (Operation.TAMP,), _REST),
    )


def _returned(number: str, meaning: str, operation: Operation, tier: int = _REST) -> PackageType:
    return PackageType(number, f"{meaning}: receipt or error wanted", Action.RETURN, (operation,), tier)


_TYPES = (
    PackageType("0001", "another list", Action.CONTINUE, (Operation.PAL,), _REST),
    PackageType("0002", "CA certificates", Action.FETCH, (Operation.CACERTS,), _FIRST),
    PackageType("0003", "certificates of peers", Action.FETCH, (Operation.EECERTS,), _REST),
    PackageType("0004", "revocation lists of authorities", Action.FETCH, (Operation.CRLS,), _FIRST),
    PackageType("0005", "revocation lists", Action.FETCH, (Operation.CRLS,), _FIRST),
    *_enrolments(6, "digital signature"),
    *_enrolments(13, "key establishment"),
    PackageType("0020", "private key, PKCS #8", Action.GENERATE, _GENERATE, _CERTIFICATES),
    PackageType("0021", "private key, CMS", Action.GENERATE, _GENERATE, _CERTIFICATES),
    PackageType("0022", "private key, PKCS #12", Action.GENERATE, _GENERATE, _CERTIFICATES),
    _returned("0023", "private key", Operation.SERVERKEYGEN, _CERTIFICATES),
    PackageType("0024", "symmetric keys", Action.FETCH, (Operation.SYMMETRIC_KEYS,), _REST),
    _returned("0025", "symmetric keys", Operation.SYMMETRIC_KEYS),
    PackageType("0026", "firmware", Action.FETCH, (Operation.FIRMWARE,), _REST),
    _returned("0027", "firmware", Operation.FIRMWARE),
    *_tamp(28, "trust anchor status query"),
    *_tamp(30, "trust anchor update"),
    *_tamp(32, "apex trust anchor update"),
    *_tamp(34, "community update"),
    *_tamp(36, "sequence number adjustment"),
)

PACKAGE_TYPES = {one.number: one for one in _TYPES}
"""All that are defined, by number; 0000 is reserved and not among them."""
