"""The one interface of all keystores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Generic, Self, TypeVar

from cryptography import x509

from device_sdk.keystores.keys import DeviceKey
from device_sdk.model.key_uri import KeyUri
from device_sdk.model.keys import KeyInfo, KeyType, Probe
from device_sdk.model.secret import SecretProvider

UriT = TypeVar("UriT", bound=KeyUri)


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
    def create(self, uri: UriT, key_type: KeyType, *, reuse: bool = False) -> DeviceKey:
        """Generate a key inside the keystore, read its attributes back, test it, and open it.

        Args:
            uri: names the new key completely (token and object, handle or file).
            key_type: what to generate.
            reuse: open a key of that name and type if it is there already.

        Raises:
            UriError: the URI names no key, but a token, a TPM, a directory, or something else than a private key.
            KeyExistsError: the name is taken and `reuse` is false, or the key there is of another type.
            ExtractableKeyError: the key failed the non-extractable check and was destroyed; one that was there before
                and is to be reused is left alone.
            MechanismUnsupportedError: the hardware cannot make such a key.
        """

    @abstractmethod
    def open(self, uri: UriT) -> DeviceKey:
        """Open exactly one key.

        Raises:
            UriError: the URI can never name a single key (tpm2: without a handle or file).
            ExtractableKeyError: the key may leave the hardware, or was not made in it.
            KeyNotFoundError, KeyAmbiguousError: none or several fit; the candidates are listed.
        """

    @abstractmethod
    def list(self, uri: UriT) -> tuple[KeyInfo, ...]:
        """Every key that fits the URI; an empty tuple if none does."""

    @abstractmethod
    def delete(self, uri: UriT) -> KeyInfo:
        """Destroy exactly one key, its public half and the certificate beside it; says what it was."""

    @abstractmethod
    def store_certificate(self, uri: UriT, certificate: x509.Certificate) -> None:
        """Keep a certificate beside its key, replacing an older one; the new one is there before the old one goes.

        Raises:
            KeyStoreError: the certificate is for another key.
        """

    @abstractmethod
    def load_certificate(self, uri: UriT) -> x509.Certificate | None:
        """The certificate beside the key, or None."""

    @abstractmethod
    def probe(self, uri: UriT) -> Probe:
        """Try what the token or TPM can do; leaves nothing behind."""

    def close(self) -> None:  # stores that hold nothing need not override it
        """Release sessions and connections; keys opened from this store stop working."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
