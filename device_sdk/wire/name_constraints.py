"""Name constraints of CA certificates (RFC 5280 sections 4.2.1.10 and 6.1.3 (b), (c); EST-117).

What a CA may not name, it cannot certify, however far below. Names that this file cannot compare are refused where a
constraint is about their form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.wire.same_name import prepared_rdns, same_name

MAX_COMPARISONS = 20_000
_EMAIL = "1.2.840.113549.1.9.1"
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError, LookupError)


@dataclass(frozen=True)
class _Named:
    """One name: its form ("dns_name", "other_name 1.3..." ...), its octets, and its RDNs if it is a directory name."""

    form: str
    octets: bytes
    rdns: tuple[object, ...] = ()


@dataclass(frozen=True)
class _Constraints:
    """The subtrees of one certificate."""

    permitted: tuple[_Named, ...]
    excluded: tuple[_Named, ...]


class _UnusableError(Exception):
    """Why a constraint or a name cannot be judged."""


def constraints_problem(path: Sequence[x509.Certificate]) -> str | None:
    """Why the names of a path are not those its CAs may certify; None if they are.

    Checked for every certificate below the constraint but self-issued CA certificates (rollover); a constraint in the trust
    anchor counts, too.

    Args:
        path: the end entity first, the trust anchor last.
    """
    try:
        return _problem(path)
    except _UnusableError as error:
        return str(error)
    except _UNREADABLE:
        return "name constraints or names that cannot be read"


def _problem(path: Sequence[x509.Certificate]) -> str | None:
    budget = MAX_COMPARISONS
    for depth, issuer in enumerate(path):
        constraints = _constraints_of(issuer) if depth else None
        if constraints is None:
            continue
        for position, certificate in enumerate(path[:depth]):
            if position and same_name(certificate.subject, certificate.issuer):
                continue
            names = _names_of(certificate)
            budget -= len(names) * (len(constraints.permitted) + len(constraints.excluded))
            if budget < 0:
                return "more names and name constraints than anybody needs"
            for name in names:
                if problem := _violation(name, constraints):
                    return problem
    return None


def _violation(name: _Named, constraints: _Constraints) -> str | None:
    of_this_form = [subtree for subtree in constraints.permitted if subtree.form == name.form]
    if of_this_form and not any(_within(name, subtree) for subtree in of_this_form):
        return f"outside the names its CA may certify: {_shown(name)}"
    excluded = [subtree for subtree in constraints.excluded if subtree.form == name.form]
    if any(_within(name, subtree) or _may_reach(name, subtree) for subtree in excluded):
        return f"among the names its CA must not certify: {_shown(name)}"
    return None


def _within(name: _Named, subtree: _Named) -> bool:
    judge = _JUDGES.get(name.form)
    if judge is None:
        raise _UnusableError(f"a name constraint of a form that is not processed here ({name.form})")
    return judge(name, subtree)


def _may_reach(name: _Named, subtree: _Named) -> bool:
    """A wildcard stands for hosts, one of which may be the excluded one, without being within its domain itself."""
    if name.form != "dns_name" or not name.octets.startswith(b"*."):
        return False
    label, _, parent = subtree.octets.lower().partition(b".")
    return bool(label) and name.octets[2:].lower() == parent


def _directory(name: _Named, subtree: _Named) -> bool:
    return name.rdns[: len(subtree.rdns)] == subtree.rdns


def _dns(name: _Named, subtree: _Named) -> bool:
    return _host_within(name.octets, subtree.octets, subdomains=True)


def _email(name: _Named, subtree: _Named) -> bool:
    """A mailbox, a host, or, with a leading dot, every host below a domain."""
    mailbox, at, host = name.octets.rpartition(b"@")
    if not at or not mailbox or not host or b"@" in mailbox:
        raise _UnusableError(f"an e-mail address that is none, under a name constraint: {_shown(name)}")
    wanted_mailbox, wanted_at, wanted_host = subtree.octets.rpartition(b"@")
    if b"@" in wanted_mailbox:
        raise _UnusableError(f"a name constraint that is no e-mail address: {_shown(subtree)}")
    if wanted_at and wanted_mailbox:
        return mailbox == wanted_mailbox and host.lower() == wanted_host.lower()
    return _host_within(host, wanted_host, subdomains=False)


def _uri(name: _Named, subtree: _Named) -> bool:
    """The host of the URI; RFC 5280 refuses URIs without a host name where hosts are constrained."""
    _, separator, rest = name.octets.partition(b"://")
    authority = rest
    for end in b"/?#":
        authority = authority.split(bytes([end]), 1)[0]
    host = authority.rpartition(b"@")[2].partition(b":")[0]
    if not separator or not host or host.startswith(b"[") or host.rpartition(b".")[2].isdigit():
        raise _UnusableError(f"a URI without a host name, under a name constraint: {_shown(name)}")
    return _host_within(host, subtree.octets, subdomains=False)


def _address(name: _Named, subtree: _Named) -> bool:
    size = len(name.octets)
    if len(subtree.octets) not in (8, 32) or size not in (4, 16):
        raise _UnusableError("an IP address, or a constraint on them, of a strange length")
    if len(subtree.octets) != 2 * size:
        return False
    network, mask = subtree.octets[:size], subtree.octets[size:]
    return all(one & bits == other & bits for one, other, bits in zip(name.octets, network, mask, strict=True))


_JUDGES: dict[str, Callable[[_Named, _Named], bool]] = {
    "directory_name": _directory,
    "dns_name": _dns,
    "rfc822_name": _email,
    "uniform_resource_identifier": _uri,
    "ip_address": _address,
}


def _host_within(host: bytes, base: bytes, *, subdomains: bool) -> bool:
    """Whether a host is the one named or, for a base with a leading dot or where all `subdomains` count, below it."""
    host, base = host.lower(), base.lower()
    if b"" in host.split(b".") or (base and (b"" in base.removeprefix(b".").split(b".") or b"*" in base)):
        raise _UnusableError("a host name that is none, or a constraint on them, under a name constraint")
    if base == b"":
        return True
    if base.startswith(b"."):
        return host.endswith(base) and host != base
    return host == base or (subdomains and host.endswith(b"." + base))


def _shown(name: _Named) -> str:
    text = name.octets.hex() if name.form in ("ip_address", "directory_name") else name.octets.decode("latin-1")
    return "".join(char if char.isprintable() else "?" for char in f"{name.form} {text}")[:120]


def _constraints_of(certificate: x509.Certificate) -> _Constraints | None:
    # the certificate itself is read only where there is such an extension, which is rare
    if not any(ext.oid == x509.NameConstraints.oid for ext in certificate.extensions):
        return None
    value = _parsed(certificate).name_constraints_value
    permitted, excluded = (tuple(_subtrees(value[field])) for field in ("permitted_subtrees", "excluded_subtrees"))
    return _Constraints(permitted, excluded)


def _subtrees(field: Iterable[asn1.GeneralSubtree]) -> Iterator[_Named]:
    for subtree in field or ():
        # RFC 5280 section 4.2.1.10: minimum is always zero, maximum is absent
        if subtree["minimum"].native != 0 or subtree["maximum"].native is not None:
            raise _UnusableError("a name constraint with minimum or maximum")
        yield _read(subtree["base"])


def _names_of(certificate: x509.Certificate) -> list[_Named]:
    """The subject, e-mail addresses in it, and the subject alternative names."""
    parsed = _parsed(certificate)
    subject = parsed.subject
    names = [_Named("directory_name", subject.dump(), prepared_rdns(subject))] if len(subject.chosen) else []
    for rdn in subject.chosen:
        names += [_Named("rfc822_name", pair["value"].contents) for pair in rdn if pair["type"].dotted == _EMAIL]
    return names + [_read(name) for name in parsed.subject_alt_name_value or ()]


def _read(name: asn1.GeneralName) -> _Named:
    chosen = name.chosen
    if name.name == "directory_name":
        return _Named(name.name, chosen.dump(), prepared_rdns(chosen))
    if name.name == "other_name":
        return _Named(f"other_name {chosen['type_id'].dotted}", b"")
    return _Named(name.name, bytes(chosen.contents))


def _parsed(certificate: x509.Certificate) -> asn1.Certificate:
    return asn1.Certificate.load(certificate.public_bytes(Encoding.DER))
