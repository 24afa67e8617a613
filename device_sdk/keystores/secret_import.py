"""Storing all keys of a package: looked at before anything is stored, and never half without saying which half."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from device_sdk.errors import KeyExistsError, KeysNotStoredError, KeyStoreError
from device_sdk.keystores.registry import open_store
from device_sdk.keystores.secret_files import require_secret_file_free, store_secret_file
from device_sdk.model.key_uri import KeyUri
from device_sdk.model.secret import SecretProvider
from device_sdk.model.symmetric_keys import SymmetricKey


@dataclass
class StoredKeys:
    """What is stored, in the order of the package.

    Attributes:
        places: identifier of each key, and its URI or file.
    """

    places: dict[str, str] = field(default_factory=dict)


Replacing = bool | Collection[str]
"""Whether keys that are there under the same identifier are replaced; or which of them, by the names that `free` gives."""


def store_keys(
    keys: Sequence[SymmetricKey],
    place: str | KeyUri | Path,
    *,
    replace: bool = False,
    pin: SecretProvider | None = None,
) -> StoredKeys:
    """Store keys in a token, or as files in a directory.

    Args:
        keys: of one package.
        place: URI of a PKCS#11 token, or the directory.
        replace: keys that are there under the same identifier are replaced, each in one step.
        pin: asked for the token's PIN when the URI names none.

    Raises:
        KeyExistsError: one is there already; none was stored.
        UriError, KeyStoreError: the place cannot be used, or has something else under a key's name; none was stored.
        KeysNotStoredError: some are stored and some are not; says which.
    """
    with open_place(place, pin=pin) as opened:
        opened.free(keys, replace=replace)
        return opened.store(keys, replace=replace)


@contextmanager
def open_place(place: str | KeyUri | Path, *, pin: SecretProvider | None = None) -> Iterator[SecretPlace]:
    """Where the keys of a package go, for `store_keys` in two steps; arguments and errors as there."""
    if isinstance(place, Path):
        yield SecretPlace(
            str(place),
            lambda key: require_secret_file_free(place, key),
            lambda key, replace: store_secret_file(place, key, replace=replace),
        )
        return
    with ExitStack() as opened:
        store, uri = open_store(place, pin=pin)
        opened.enter_context(store)
        yield SecretPlace(
            str(uri), lambda key: store.require_secret_free(uri, key), lambda key, _: store.store_secret(uri, key)
        )


@dataclass(frozen=True)
class SecretPlace:
    """A token, TPM or directory, and what can be done there with one key.

    Attributes:
        name: URI without a PIN, or path.
        require_free: raises KeyExistsError.
        put: stores it, in place of another one if that is said; gives its URI or path.
    """

    name: str
    require_free: Callable[[SymmetricKey], None]
    put: Callable[[SymmetricKey, bool], str]

    def free(self, keys: Sequence[SymmetricKey], *, replace: Replacing = False) -> frozenset[str]:
        """The names of those that nothing stands in the way of: SHA-256 of place and identifier, hex.

        Raises:
            KeyExistsError: one is there already, and is not to be replaced.
            UriError, KeyStoreError: the place cannot be used, or has something else under a key's name.
        """
        found = set()
        for key in keys:
            try:
                self.require_free(key)
                found.add(self._name_of(key))
            except KeyExistsError:
                if not self._replaces(key, replace):
                    raise
        return frozenset(found)

    def store(self, keys: Sequence[SymmetricKey], *, replace: Replacing = False) -> StoredKeys:
        """Store them, after `free`.

        Raises:
            KeyStoreError: none was stored.
            KeysNotStoredError: some are stored and some are not; says which.
        """
        done = StoredKeys()
        for key in keys:
            try:
                done.places[key.key_id] = self.put(key, self._replaces(key, replace))
            except KeyStoreError as error:
                if not done.places:
                    raise
                missing = tuple(one.key_id for one in keys if one.key_id not in done.places)
                raise KeysNotStoredError(
                    f"stored: {', '.join(done.places)}; not stored: {', '.join(missing)}: {error.message}",
                    hint=f"{error.hint or 'mend what is wrong'}; then fetch the package again with --replace: the server still has it",
                    stored=tuple(done.places),
                    missing=missing,
                    no_room=error.no_room,
                ) from error
        return done

    def _replaces(self, key: SymmetricKey, replace: Replacing) -> bool:
        return replace if isinstance(replace, bool) else self._name_of(key) in replace

    def _name_of(self, key: SymmetricKey) -> str:
        return hashlib.sha256(f"{self.name}\n{key.key_id}".encode()).hexdigest()
