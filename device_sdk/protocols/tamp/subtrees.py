"""Name constraints of two put together: both hold (RFC 5934 section 7, RFC 5280 section 6.1.4 (g))."""

from __future__ import annotations

from device_sdk.wire import der
from device_sdk.wire.cms.reader import PlainReader
from device_sdk.wire.tamp.codes import TampStatus, refused, refusing

MAX_SUBTREES = 256

_PERMITTED, _EXCLUDED = 0xA0, 0xA1
_DNS, _DIRECTORY = 0x82, 0xA4


def united(names: bytes | None, limit: bytes) -> bytes:
    """The constraints with what the limit excludes excluded, too.

    Args:
        names: DER of NameConstraints, or None.
        limit: DER of NameConstraints.

    Raises:
        TampRefusedError: they cannot be read.
    """
    permitted, excluded = _read(names)
    return _encoded(permitted, [*excluded, *(one for one in _read(limit)[1] if one not in excluded)])


def intersected(names: bytes | None, limit: bytes) -> bytes | None:
    """The constraints with nothing permitted that the limit does not permit.

    For every form of name, each subtree stays if it lies in one of the limit's, or gives way to one that lies in it. Whether
    it does is known for directory and DNS names; of others only the same subtree does.

    Args:
        names: DER of NameConstraints, or None.
        limit: DER of NameConstraints.

    Raises:
        TampRefusedError: nothing would be left of a form, or they cannot be read.
    """
    own, excluded = _read(names)
    found = list(own)
    for form in dict.fromkeys(one[0] for one in map(_base, _read(limit)[0])):
        limits = [one for one in _read(limit)[0] if _base(one)[0] == form]
        mine = [one for one in own if _base(one)[0] == form]
        found = [one for one in found if one not in mine]
        if not mine:
            found += limits
            continue
        narrower = [one for one in mine if any(_within(one, other) for other in limits)]
        narrower += [other for other in limits if other not in narrower and any(_within(other, one) for one in mine)]
        if not narrower:
            raise refused(TampStatus.NOT_AUTHORIZED, "it permits no names that its manager permits, of one form")
        found += narrower
    return _encoded(found, excluded) if found or excluded else None


def same_subtrees(one: bytes | None, other: bytes | None) -> bool:
    """Whether two NameConstraints permit and exclude the same subtrees, in whatever order.

    Raises:
        TampRefusedError: they cannot be read.
    """
    return [set(subtrees) for subtrees in _read(one)] == [set(subtrees) for subtrees in _read(other)]


def _within(one: bytes, other: bytes) -> bool:
    (form, name), (_, limit) = _base(one), _base(other)
    if name == limit:
        return True
    if form == _DNS:
        host, base = name.lower(), limit.lower()
        return not base or host == base or host.endswith(b"." + base.lstrip(b"."))
    if form == _DIRECTORY:
        return _rdns(name)[: len(_rdns(limit))] == _rdns(limit)
    return False


def _rdns(name: bytes) -> list[bytes]:
    members, found = PlainReader(name).enter(), []
    while members.next_tag is not None:
        found.append(members.element())
    return found


def _read(names: bytes | None) -> tuple[list[bytes], list[bytes]]:
    """Permitted and excluded subtrees, each as it is encoded."""
    if names is None:
        return [], []
    with refusing(TampStatus.NOT_AUTHORIZED, "name constraints"):
        outer = PlainReader(names)
        data = outer.enter()
        outer.finish()
        found: list[list[bytes]] = []
        for tag in (_PERMITTED, _EXCLUDED):
            members = data.enter(tag) if data.next_tag == tag else PlainReader(b"")
            found.append([])
            while members.next_tag is not None:
                found[-1].append(members.element(0x30))
                _base(found[-1][-1])
        data.finish()
        if sum(map(len, found)) > MAX_SUBTREES:
            raise ValueError("too many subtrees")
        return found[0], found[1]


def _base(subtree: bytes) -> tuple[int, bytes]:
    """Form and value of the one name in a GeneralSubtree; minimum and maximum are not for the Internet."""
    inner = PlainReader(subtree).enter()
    form = inner.next_tag or 0
    value = inner.contents()
    inner.finish()
    return form, value


def _encoded(permitted: list[bytes], excluded: list[bytes]) -> bytes:
    return der.sequence(
        der.tlv(_PERMITTED, b"".join(permitted)) if permitted else b"",
        der.tlv(_EXCLUDED, b"".join(excluded)) if excluded else b"",
    )
