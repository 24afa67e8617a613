"""Storing all keys of a package: looked at before anything is stored, and never half without saying which half."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from device_sdk.errors import KeysNotStoredError, KeyStoreError
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
        UriError, KeyStoreError: the place cannot be used; none was stored.
        KeysNotStoredError: some are stored and some are not; says which.
    """
    if isinstance(place, Path):
        return _stored(
            keys,
            lambda key: require_secret_file_free(place, key),
            lambda key: store_secret_file(place, key, replace=replace),
            replace=replace,
        )
    with ExitStack() as opened:
        store, uri = open_store(place, pin=pin)
        opened.enter_context(store)
        return _stored(
            keys,
            lambda key: store.require_secret_free(uri, key),
            lambda key: store.store_secret(uri, key),
            replace=replace,
        )


def _stored(
    keys: Sequence[SymmetricKey],
    require_free: Callable[[SymmetricKey], None],
    store: Callable[[SymmetricKey], str],
    *,
    replace: bool,
) -> StoredKeys:
    if not replace:
        for key in keys:
            require_free(key)
    done = StoredKeys()
    for key in keys:
        try:
            done.places[key.key_id] = store(key)
        except KeyStoreError as error:
            if not done.places:
                raise
            missing = tuple(one.key_id for one in keys if one.key_id not in done.places)
            raise KeysNotStoredError(
                f"stored: {', '.join(done.places)}; not stored: {', '.join(missing)}: {error.message}",
                hint="mend what is wrong, then fetch the package again with --replace; the server still has it",
                stored=tuple(done.places),
                missing=missing,
            ) from error
    return done
