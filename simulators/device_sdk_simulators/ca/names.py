"""Comparison of names as RFC 5280 section 7.1 wants it: strongSwan writes PrintableString where OpenSSL writes UTF8String."""

from __future__ import annotations

import unicodedata

from cryptography import x509


def same_name(left: x509.Name, right: x509.Name) -> bool:
    """Whether two distinguished names match: order of RDNs matters; case, width and runs of spaces do not."""
    return left == right or _normal_name(left) == _normal_name(right)


def _normal_name(name: x509.Name) -> list[set[tuple[str, str | bytes]]]:
    return [{(attribute.oid.dotted_string, _normal_value(attribute.value)) for attribute in rdn} for rdn in name.rdns]


def _normal_value(value: str | bytes) -> str | bytes:
    if isinstance(value, bytes):
        return value
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())


def same_alternative_names(left: x509.Extensions, right: x509.Extensions) -> bool:
    """Whether two SANs hold the same set of names; both absent counts as the same (EST-150)."""
    return alternative_names(left) == alternative_names(right)


def alternative_names(extensions: x509.Extensions) -> set[tuple[str, object]]:
    """The SAN as a set that can be compared; empty without SAN."""
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {_comparable(name) for name in names}


def _comparable(name: x509.GeneralName) -> tuple[str, object]:
    kind = type(name).__name__
    if isinstance(name, x509.DNSName):
        return kind, name.value.lower()
    if isinstance(name, x509.DirectoryName):
        return kind, tuple(frozenset(rdn) for rdn in _normal_name(name.value))
    if isinstance(name, x509.OtherName):
        return kind, (name.type_id.dotted_string, name.value)
    return kind, name.value
