"""Whether two distinguished names are the same one (RFC 5280 section 7.1)."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache

from asn1crypto import x509 as asn1
from cryptography import x509

_MAX_PREPARED_BYTES = 2048
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)


def same_name(one: x509.Name, other: x509.Name) -> bool:
    """Whether two names are equal: kinds of string, case, surrounding and repeated spaces mean nothing."""
    return one == other or canonical_name(one) == canonical_name(other)


def canonical_name(name: x509.Name) -> Hashable:
    """Something that is equal for equal names.

    Strings are prepared as in RFC 4518. Names that cannot be, and such as nobody has (over 2048 octets, whose preparation
    takes longer than a signature), are compared octet by octet.
    """
    der = name.public_bytes()
    return _prepared(der) if len(der) <= _MAX_PREPARED_BYTES else der


def prepared_rdns(name: asn1.Name) -> tuple[frozenset[tuple[str, str]], ...]:
    """RDNs that are equal where RFC 5280 section 7.1 says so: prepared as in RFC 4518, their order in a set left out."""
    return tuple(frozenset((pair["type"].dotted, pair.prepped_value) for pair in rdn) for rdn in name.chosen)


@lru_cache(maxsize=256)
def _prepared(der: bytes) -> Hashable:
    try:
        return prepared_rdns(asn1.Name.load(der))
    except _UNREADABLE:
        return der
