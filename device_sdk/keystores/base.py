"""The one interface of all keystores."""

from __future__ import annotations

import builtins
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Generic, NoReturn, Self, TypeVar

from cryptography import x509

from device_sdk.errors import MechanismUnsupportedError, UriError
from device_sdk.keystores.keys import DeviceKey
from device_sdk.model.counter import MonotonicCounter
from device_sdk.model.held_key import HeldKey
from device_sdk.model.key_uri import KeyUri
from device_sdk.model.keys import KeyInfo, KeyType, Probe, PublicKey
from device_sdk.model.secret import Secret, SecretProvider
from device_sdk.model.symmetric_keys import SymmetricKey

UriT = TypeVar("UriT", bound=KeyUri)

Announce = Callable[[PublicKey], None]
"""Told the public half of a key that is about to get its name."""


class KeyStore(ABC, Generic[UriT]):
    """Keys behind one kind of URI. A store is cheap to make; the hardware is reached by the first operation.

    Every operation raises KeyStoreError or one of its subclasses, or UriError for a URI that names no key where one is
    needed, and nothing else.

    Args:
        pin: asked for a PIN when the URI names none; never asked twice for the same operation.
    """

    def __init__(self, *, pin: SecretProvider | None = None) -> None:
        self._pin = pin

    @abstractmethod
    def create(
        self, uri: UriT, key_type: KeyType, *, reuse: bool = False, announce: Announce | None = None
    ) -> DeviceKey:
        """Generate a key inside the keystore, read its attributes back, test it, and open it.

        Args:
            uri: names the new key completely (token and object, handle or file).
            key_type: what to generate.
            reuse: open a key of that name and type if it is there already.
            announce: told the public half of the new key before the key gets its name, so that the caller can write
                down which one is his; what it raises ends the creation, and nothing is left of the key. Not called for
                a key that was there, nor by `pkcs11:`, whose keys have their name from birth: there the caller chooses
                `id=`.

        Raises:
            UriError: the URI names no key, but a token, a TPM, a directory, or something else than a private key.
            KeyExistsError: the name is taken and `reuse` is false, or the key there is of another type.
            ExtractableKeyError: the key failed the non-extractable check and was destroyed; one that was there before
                and is to be reused is left alone.
            MechanismUnsupportedError: the hardware cannot make such a key.
        """

    @abstractmethod
    def import_key(self, uri: UriT, pkcs8: Secret, *, reuse: bool = False) -> DeviceKey:
        """Put a private key that was made elsewhere into the keystore, prove it, and open it.

        The key has its name only when it is complete; it is asked for a signature that its public half in the PKCS#8
        verifies, its attributes are read back, and it is destroyed again if one of that fails. Afterwards it is opened
        with `allow_imported`. Such a key was outside: whoever had it before may still have it (EST-202).

        Args:
            uri: names the new key completely (token and object, handle or file).
            pkcs8: DER PrivateKeyInfo or OneAsymmetricKey (RFC 5958), not encrypted; EC P-256, P-384, P-521 or RSA 2048,
                3072, 4096. The caller wipes what it came from.
            reuse: open the key of that name if it is this very key, which finishes an import that was interrupted.

        Raises:
            UriError: the URI names no key, but a token, a TPM, a directory, or something else than a private key.
            KeyMaterialError: not such a structure, or its private and public halves do not fit each other.
            KeyExistsError: the name is taken and `reuse` is false, or the key there is another one.
            MechanismUnsupportedError: a curve or size that the SDK or the hardware has not, or hardware that takes no
                private key from outside.
            ExtractableKeyError: the hardware does not say of the key that it cannot leave any more; it was destroyed.
            KeyStoreFailedError: the key does not sign what its public half verifies; it was destroyed.
        """

    def require_secret_free(self, uri: UriT, key: SymmetricKey) -> None:
        """Make sure that a symmetric key could be stored: the place answers, and the key's name is free.

        Raises:
            MechanismUnsupportedError: this kind of keystore takes no symmetric keys.
            KeyExistsError: there is a key of that identifier.
            UriError: the URI names an object; the names of such keys are their own.
        """
        self._no_secrets(uri)

    def store_secret(self, uri: UriT, key: SymmetricKey) -> str:
        """Store a symmetric key so that it cannot leave any more and can be used for its usages only; gives its URI.

        What had its identifier before is removed when the new one is complete and checked.

        Raises:
            MechanismUnsupportedError: this kind of keystore takes no symmetric keys.
            ExtractableKeyError, KeyStoreFailedError: the key was not what it has to be, and was destroyed.
        """
        self._no_secrets(uri)

    def holds_secret(self, uri: UriT) -> bool:  # the usual answer of a keystore
        """Whether the URI names a symmetric key; nothing is opened."""
        del uri
        return False

    def open_secret(self, uri: UriT) -> HeldKey:
        """Open exactly one symmetric key that `store_secret` put there.

        Raises:
            MechanismUnsupportedError: this kind of keystore holds no symmetric keys.
            KeyNotFoundError, KeyAmbiguousError: none or several fit.
        """
        self._no_secrets(uri)

    def counter(self, uri: UriT) -> MonotonicCounter:
        """The monotonic counter a URI names.

        Raises:
            UriError: it names none, or this kind of keystore has none.
        """
        raise UriError(f"{uri}: names no counter", hint="tpm2:nv=0x01800100", uri=str(uri))

    def _no_secrets(self, uri: UriT) -> NoReturn:
        raise MechanismUnsupportedError(
            f"{uri}: this kind of keystore takes no symmetric keys",
            hint="name a PKCS#11 token, tpm2:dir=DIR, or a directory for files",
            uri=str(uri),
            mechanism="import",
        )

    @abstractmethod
    def open(self, uri: UriT, *, allow_imported: bool = False) -> DeviceKey:
        """Open exactly one key.

        Args:
            uri: names it.
            allow_imported: take a key that was put into the hardware from outside, if it cannot leave any more;
                `info.imported` tells. Key files are opened either way.

        Raises:
            UriError: the URI can never name a single key (tpm2: without a handle or file).
            ExtractableKeyError: the key may leave the hardware; or it was not made in it, and `allow_imported` is false.
            KeyNotFoundError, KeyAmbiguousError: none or several fit; the candidates are listed.
        """

    @abstractmethod
    def list(self, uri: UriT) -> tuple[KeyInfo, ...]:
        """Every key that fits the URI; an empty tuple if none does."""

    @abstractmethod
    def delete(self, uri: UriT) -> KeyInfo:
        """Destroy exactly one key, its public half and the certificate beside it; says what it was."""

    def require_certificate_place(self, uri: UriT) -> None:  # most keep it where the key is
        """Make sure that a certificate could be kept for a key, there already or not, before anybody issues it; nothing is written.

        Raises:
            KeyStoreError: its place cannot be written to.
        """
        del uri

    @abstractmethod
    def store_certificate(self, uri: UriT, certificate: x509.Certificate) -> None:
        """Keep a certificate beside its key, replacing an older one; the new one is there before the old one goes.

        Raises:
            KeyStoreError: the certificate is for another key.
        """

    @abstractmethod
    def load_certificate(self, uri: UriT) -> x509.Certificate | None:
        """The certificate beside the key, or None."""

    def about(self, uri: UriT) -> dict[str, str | builtins.list[str]]:  # what has no hardware says nothing
        """What the token or TPM says of itself (manufacturer, model, serial, firmware), by name; nothing is tried."""
        del uri
        return {}

    @abstractmethod
    def probe(self, uri: UriT) -> Probe:
        """Try what the token or TPM can do; leaves nothing behind."""

    def close(self) -> None:  # stores that hold nothing need not override it
        """Release sessions and connections; keys opened from this store stop working."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
