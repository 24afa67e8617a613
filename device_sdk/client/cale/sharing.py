"""Whether somebody else in the state directory needs a key: told by the key itself, as one key has many URIs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, unique

from device_sdk.client.device.context import Context
from device_sdk.client.device.provenance import delete_own, listed_sha256, replaced_sha256
from device_sdk.errors import DeviceSdkError


@unique
class Fate(Enum):
    """What became of a key that one application does not need any more."""

    GONE = "gone"
    """Nothing of that name is left."""
    NEEDED = "needed"
    """The device or another application uses it."""
    UNCLEAR = "unclear"
    """Another application uses a key that cannot be looked at now; it may be this one, so nothing was destroyed."""
    UNREADABLE = "unreadable"
    """The file of another application is damaged; it may name this key, so nothing was destroyed."""
    FOREIGN = "foreign"
    """A key of that name is there that is not proved to be ours."""

    def words(self, uri: str) -> str:
        """What a person should know about it."""
        return {
            Fate.GONE: f"{uri}: destroyed",
            Fate.NEEDED: f"{uri}: the key was left there, as the device or another application uses it",
            Fate.UNCLEAR: f"{uri}: the key was left there, as another application's cannot be looked at and may be it",
            Fate.UNREADABLE: f"{uri}: the key was left there, as a damaged registration may name it (device-sdk cale list)",
            Fate.FOREIGN: f"{uri}: a key of that name is not proved to be the one made here; it was left there",
        }[self]


@dataclass(frozen=True)
class Others:
    """The keys of the device and of the other applications.

    Attributes:
        uris: their names.
        digests: SHA-256 of their SubjectPublicKeyInfo, hex.
        unknown: keystores, by the scheme of their URIs, with keys among them that cannot be looked at.
    """

    uris: frozenset[str]
    digests: frozenset[str]
    unknown: frozenset[str]

    @classmethod
    def of(cls, context: Context, name: str) -> Others:
        """Everybody but the application of that name.

        Raises:
            StateError: the state directory cannot be read.
        """
        uris, digests, unknown = set(), set(), set()
        for uri, sha256 in _users(context, name):
            uris.add(uri)
            found = {sha256} if sha256 is not None else digests_of(context, uri)
            digests |= found or set()
            if found is None:
                unknown.add(_scheme(uri))
        return cls(frozenset(uris), frozenset(digests), frozenset(unknown))


def destroy(context: Context, name: str, uri: str, *, sha256: str | None, key_id: str | None = None) -> Fate:
    """Destroy a key of an application, if it is proved to be the SDK's own (see delete_own) and nobody else needs it.

    Args:
        context: state and keystores; the state's lock must be held.
        name: of the application.
        uri: of the key.
        sha256: of its SubjectPublicKeyInfo, hex; None if it is not known.
        key_id: random identifier it was made with, hex, or None.

    Raises:
        KeyStoreError: the keystore cannot be asked, or the key not be destroyed.
        StateError: the state directory cannot be read.
    """
    others = Others.of(context, name)
    if uri in others.uris:
        return Fate.NEEDED
    found = {sha256} if sha256 is not None else _opening(context, uri)
    if found & others.digests:
        return Fate.NEEDED
    if _scheme(uri) in others.unknown:
        return Fate.UNCLEAR
    if any(other != name for other in context.state.cale_damage()):
        return Fate.UNREADABLE
    return Fate.GONE if delete_own(context, uri, sha256=sha256, key_id=key_id) else Fate.FOREIGN


def digests_of(context: Context, uri: str) -> set[str] | None:
    """SHA-256 of the SubjectPublicKeyInfo of every key of that name, hex; None if one of them cannot be looked at."""
    if not uri:
        return set()  # of a key that no keystore opens again
    try:
        found = {listed_sha256(context, uri, info) for info in context.keys(uri)}
    except DeviceSdkError:
        return None
    return None if None in found else {digest for digest in found if digest is not None}


def _opening(context: Context, uri: str) -> set[str]:
    """The same of those keys that open: one that does not is registered by nobody."""
    found = (listed_sha256(context, uri, info) for info in context.keys(uri))
    return {digest for digest in found if digest is not None}


def _users(context: Context, name: str) -> Iterator[tuple[str, str | None]]:
    """URI and, where it is known, SHA-256 of every key that is in use or about to be."""
    state = context.state
    for kept in (state.cale_registrations(), state.cale_journals()):
        yield from ((one.key_uri, one.key_sha256) for application, one in kept.items() if application != name)
    device, journal = state.load(), state.journal()
    for record in (device.current, *device.previous):
        if record is not None:
            yield record.key_uri, replaced_sha256(context, record)
    if journal is not None:
        yield journal.key_uri, journal.key_sha256
        if journal.replaces is not None:
            yield journal.replaces.key_uri, journal.replaces_sha256


def _scheme(uri: str) -> str:
    """The keystore: what one opens no other can destroy."""
    return uri.partition(":")[0]
