"""From a key URI to its keystore; the only place that knows all of them, and it imports none before it is asked."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from cryptography import x509

from device_sdk.errors import MissingDependencyError
from device_sdk.keystores.base import KeyStore
from device_sdk.keystores.keys import DeviceKey
from device_sdk.model.counter import MonotonicCounter
from device_sdk.model.held_key import HeldKey
from device_sdk.model.key_uri import KeyUri
from device_sdk.model.keys import KeyInfo, KeyType, Probe
from device_sdk.model.secret import Secret, SecretProvider
from device_sdk.wire.key_uri import parse_key_uri

_STORES = {
    "pkcs11": ("device_sdk.keystores.pkcs11", "Pkcs11KeyStore", "pkcs11"),
    "tpm2": ("device_sdk.keystores.tpm2", "Tpm2KeyStore", "tpm"),
    "file": ("device_sdk.keystores.file", "FileKeyStore", ""),
}


def open_store(uri: str | KeyUri, *, pin: SecretProvider | None = None) -> tuple[KeyStore[Any], KeyUri]:
    """The keystore a URI belongs to, and the parsed URI.

    Raises:
        UriError: the URI does not follow its grammar.
        MissingDependencyError: the keystore's extra is not installed.
    """
    parsed = uri if isinstance(uri, KeyUri) else parse_key_uri(uri)
    module_name, class_name, extra = _STORES[parsed.scheme]
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if not extra or (error.name or "").startswith("device_sdk"):
            raise
        raise MissingDependencyError(
            f"{parsed.scheme}: keys need an optional part of the SDK that is not installed ({error.name})",
            hint=f"pip install 'device-sdk[{extra}]'",
            extra=extra,
        ) from error
    store: KeyStore[Any] = getattr(module, class_name)(pin=pin)
    return store, parsed


def open_key(uri: str | KeyUri, *, pin: SecretProvider | None = None, allow_imported: bool = False) -> DeviceKey:
    """Open exactly one key; see KeyStore.open."""
    store, parsed = open_store(uri, pin=pin)
    return store.open(parsed, allow_imported=allow_imported)


def open_secret(uri: str | KeyUri, *, pin: SecretProvider | None = None) -> HeldKey:
    """Open exactly one symmetric key in a token or TPM; see KeyStore.open_secret."""
    store, parsed = open_store(uri, pin=pin)
    return store.open_secret(parsed)


def open_counter(uri: str | KeyUri, *, pin: SecretProvider | None = None) -> MonotonicCounter:
    """The monotonic counter a URI names (`tpm2:nv=0x01800100`); the TPM is asked when it is used.

    Raises:
        UriError: it names none. PKCS#11 has such objects (CKH_MONOTONIC_COUNTER), too, and the tokens met so far have none.
        KeyStoreError: its authorisation value cannot be had.
        MissingDependencyError: the extra for TPMs is not installed.
    """
    store, parsed = open_store(uri, pin=pin)
    with store:
        return store.counter(parsed)


def holds_secret(uri: str | KeyUri) -> bool:
    """Whether a URI names a symmetric key rather than a key pair; see KeyStore.holds_secret."""
    store, parsed = open_store(uri)
    with store:
        return store.holds_secret(parsed)


def import_key(
    uri: str | KeyUri, pkcs8: Secret, *, reuse: bool = False, pin: SecretProvider | None = None
) -> DeviceKey:
    """Put a private key that was made elsewhere where the URI says; see KeyStore.import_key."""
    store, parsed = open_store(uri, pin=pin)
    return store.import_key(parsed, pkcs8, reuse=reuse)


def create_key(
    uri: str | KeyUri, key_type: KeyType | str, *, reuse: bool = False, pin: SecretProvider | None = None
) -> DeviceKey:
    """Generate a key where the URI says; see KeyStore.create. `key_type` may be given by name ("ec-p256")."""
    store, parsed = open_store(uri, pin=pin)
    return store.create(parsed, KeyType(key_type), reuse=reuse)


def list_keys(uri: str | KeyUri, *, pin: SecretProvider | None = None) -> tuple[KeyInfo, ...]:
    """Every key that fits the URI; see KeyStore.list."""
    store, parsed = open_store(uri, pin=pin)
    with store:
        return store.list(parsed)


def delete_key(uri: str | KeyUri, *, pin: SecretProvider | None = None) -> KeyInfo:
    """Destroy exactly one key; see KeyStore.delete."""
    store, parsed = open_store(uri, pin=pin)
    with store:
        return store.delete(parsed)


def probe(uri: str | KeyUri, *, pin: SecretProvider | None = None) -> Probe:
    """Try what a token or TPM can do; see KeyStore.probe."""
    store, parsed = open_store(uri, pin=pin)
    with store:
        return store.probe(parsed)


def require_certificate_place(uri: str | KeyUri) -> None:
    """Make sure that a certificate could be kept beside a key; see KeyStore.require_certificate_place."""
    store, parsed = open_store(uri)
    with store:
        store.require_certificate_place(parsed)


def store_certificate(uri: str | KeyUri, certificate: x509.Certificate, *, pin: SecretProvider | None = None) -> None:
    """Keep a certificate beside its key; see KeyStore.store_certificate."""
    store, parsed = open_store(uri, pin=pin)
    with store:
        store.store_certificate(parsed, certificate)


def load_certificate(uri: str | KeyUri, *, pin: SecretProvider | None = None) -> x509.Certificate | None:
    """The certificate beside a key; see KeyStore.load_certificate."""
    store, parsed = open_store(uri, pin=pin)
    with store:
        return store.load_certificate(parsed)
