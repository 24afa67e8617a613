"""The keystore for `pkcs11:` URIs."""

from __future__ import annotations

import builtins
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11.constants import ObjectClass

from device_sdk.errors import MechanismUnsupportedError
from device_sdk.keystores.base import Announce, KeyStore
from device_sdk.keystores.pkcs8 import load_pkcs8
from device_sdk.keystores.pkcs11 import certificates
from device_sdk.keystores.pkcs11.access import Access
from device_sdk.keystores.pkcs11.connection import Connection, Worker
from device_sdk.keystores.pkcs11.connections import Lease, connect
from device_sdk.keystores.pkcs11.creation import create_key
from device_sdk.keystores.pkcs11.failures import reporting
from device_sdk.keystores.pkcs11.held_secret import TokenSecretKey, list_secrets, open_secret, remove_secret
from device_sdk.keystores.pkcs11.importing import import_key
from device_sdk.keystores.pkcs11.keys import Pkcs11EcKey, Pkcs11RsaKey
from device_sdk.keystores.pkcs11.login import PinOnce
from device_sdk.keystores.pkcs11.objects import private_keys
from device_sdk.keystores.pkcs11.probing import about_token, probe_token
from device_sdk.keystores.pkcs11.public import certificate_of, partners, read_public
from device_sdk.keystores.pkcs11.reading import ReadKey, exactly_one, open_one, read_key, refuse_to_open
from device_sdk.keystores.pkcs11.secret_keys import require_secret_key_free, store_secret_key
from device_sdk.keystores.runtime import exclusively
from device_sdk.model.keys import KeyInfo, KeyType, Probe
from device_sdk.model.secret import Secret, SecretProvider
from device_sdk.model.symmetric_keys import SymmetricKey
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri

CHANGE_TIMEOUT_S = 300.0
"""How long to wait for another process that is changing the token; a smart card may take minutes for a large RSA key."""

Pkcs11Key = Pkcs11EcKey | Pkcs11RsaKey


class Pkcs11KeyStore(KeyStore[Pkcs11Uri]):
    """Keys in PKCS#11 tokens.

    All stores and keys of a process share one login per token; it ends when the last of them is closed. Sessions are
    taken for one operation and reopened once when the token lost them. A child process made by fork logs in anew.

    Args:
        pin: asked for a PIN when the URI names none.
    """

    def __init__(self, *, pin: SecretProvider | None = None) -> None:
        super().__init__(pin=pin)
        self._leases: dict[Connection, Lease] = {}
        self._keys: weakref.WeakSet[Pkcs11Key] = weakref.WeakSet()

    def create(
        self, uri: Pkcs11Uri, key_type: KeyType, *, reuse: bool = False, announce: Announce | None = None
    ) -> Pkcs11Key:
        """Generate a key pair in the token, read its attributes back, have it sign, and open it; `announce` is not called.

        `object=` or `id=` names it; without `id=` CKA_ID is 16 random bytes. See KeyStore.create.
        """
        with self._connected(uri) as (connection, pins):
            with _changing(connection):
                read = create_key(connection, pins, uri, key_type, reuse=reuse)
            return self._key(connection, uri, read)

    def import_key(self, uri: Pkcs11Uri, pkcs8: Secret, *, reuse: bool = False) -> Pkcs11Key:
        """Put a key pair on the token by C_CreateObject, or by C_UnwrapKey if the token takes no private key in the clear.

        Without `id=` CKA_ID follows from the key. See KeyStore.import_key.
        """
        material = load_pkcs8(pkcs8, str(uri))
        with self._connected(uri) as (connection, pins):
            with _changing(connection):
                read = import_key(connection, pins, uri, material, reuse=reuse)
            return self._key(connection, uri, read, allow_imported=True)

    def require_secret_free(self, uri: Pkcs11Uri, key: SymmetricKey) -> None:
        """See KeyStore.require_secret_free."""
        with self._connected(uri) as (connection, pins):
            require_secret_key_free(connection, pins, uri, key)

    def store_secret(self, uri: Pkcs11Uri, key: SymmetricKey) -> str:
        """Put a CKO_SECRET_KEY on the token and read its attributes back. See KeyStore.store_secret."""
        with self._connected(uri) as (connection, pins), _changing(connection):
            return store_secret_key(connection, pins, uri, key)

    def holds_secret(self, uri: Pkcs11Uri) -> bool:
        """Whether the URI says type=secret-key."""
        return uri.object_type == "secret-key"

    def open_secret(self, uri: Pkcs11Uri) -> TokenSecretKey:
        """Open a symmetric key, which unwraps and decrypts in the token. See KeyStore.open_secret."""
        with self._connected(uri) as (connection, pins):
            found = open_secret(connection, pins, uri)
            return TokenSecretKey(self._leases[connection].share(), found, uri, self._pin)

    def open(self, uri: Pkcs11Uri, *, allow_imported: bool = False) -> Pkcs11Key:
        """Open exactly one private key; one that could leave the token or was not made in it is refused. See KeyStore.open.

        Raises:
            ExtractableKeyError: CKA_EXTRACTABLE or not CKA_SENSITIVE, and no `x-device-sdk-extractable=allow`; not
                CKA_LOCAL or not CKA_NEVER_EXTRACTABLE, and neither `x-device-sdk-imported=allow` nor `allow_imported`.
            MechanismUnsupportedError: a kind of key the SDK does not handle.
        """
        with self._connected(uri) as (connection, pins):
            return self._key(connection, uri, open_one(connection, pins, uri), allow_imported=allow_imported)

    def list(self, uri: Pkcs11Uri) -> tuple[KeyInfo, ...]:
        """Every private key that fits the URI; every symmetric one if it says type=secret-key. See KeyStore.list."""

        def read(worker: Worker) -> tuple[KeyInfo, ...]:
            return tuple(read_key(worker, found, uri, connection).info for found in private_keys(worker, uri))

        with self._connected(uri) as (connection, pins):
            if self.holds_secret(uri):
                return list_secrets(connection, pins, uri)
            return connection.run(pins, read)

    def delete(self, uri: Pkcs11Uri) -> KeyInfo:
        """Destroy one private key, its public half and its certificates, or one symmetric key. See KeyStore.delete.

        The private key goes last: after a power cut the same call finishes the job.
        """

        def destroy(worker: Worker) -> KeyInfo:
            key = read_key(worker, exactly_one(worker, uri, connection), uri, connection)
            for found in (*_own_certificates(worker, key), *_own_public_keys(worker, key), key.found.handle):
                worker.cryptoki.destroy(worker.handle, found)
            return key.info

        with self._connected(uri) as (connection, pins), _changing(connection):
            if self.holds_secret(uri):
                return remove_secret(connection, pins, uri)
            return connection.run(pins, destroy, writable=True)

    def store_certificate(self, uri: Pkcs11Uri, certificate: x509.Certificate) -> None:
        """Keep a certificate beside its key. See KeyStore.store_certificate."""

        def store(worker: Worker) -> None:
            key = read_key(worker, exactly_one(worker, uri, connection), uri, connection)
            certificates.store(worker, key, certificate)

        with self._connected(uri) as (connection, pins), _changing(connection):
            connection.run(pins, store, writable=True)

    def load_certificate(self, uri: Pkcs11Uri) -> x509.Certificate | None:
        """The certificate beside the key, or None. See KeyStore.load_certificate.

        Without a PIN in the URI, or with type=cert, certificates are looked for by their own label and id, with no
        login: they are public objects.
        """

        def load(worker: Worker) -> x509.Certificate | None:
            return certificates.load(worker, read_key(worker, exactly_one(worker, uri, connection), uri, connection))

        has_pin = uri.pin_source is not None or uri.pin_value is not None
        with self._connected(uri) as (connection, pins):
            if has_pin and uri.object_type != "cert":
                return connection.run(pins, load)
            return connection.run(pins, lambda worker: certificates.load_without_login(worker, uri), login=False)

    def about(self, uri: Pkcs11Uri) -> dict[str, str | builtins.list[str]]:
        """Label, manufacturer, model, serial number and firmware of the token, prefixed "token_". See KeyStore.about."""
        with self._connected(uri) as (connection, pins):
            return {f"token_{name}": value for name, value in about_token(connection, pins).items()}

    def probe(self, uri: Pkcs11Uri) -> Probe:
        """Try what the token can do with keys that live as long as a session. See KeyStore.probe."""
        with self._connected(uri) as (connection, pins):
            return probe_token(connection, pins)

    def close(self) -> None:
        """Close the keys opened from this store and let go of its tokens; the last to do so logs out."""
        for key in list(self._keys):
            key.close()
        leases, self._leases = self._leases, {}
        for lease in leases.values():
            lease.close()

    @contextmanager
    def _connected(self, uri: Pkcs11Uri) -> Iterator[tuple[Connection, PinOnce]]:
        with reporting(str(uri)):
            lease = connect(uri)
            held = self._leases.setdefault(lease.connection, lease)
            if held is not lease:
                lease.close()
            yield lease.connection, PinOnce(uri, self._pin)

    def _key(
        self, connection: Connection, asked: Pkcs11Uri, read: ReadKey, *, allow_imported: bool = False
    ) -> Pkcs11Key:
        refuse_to_open(read.info, asked, allow_imported=allow_imported)
        if read.public is None or read.info.key_type is None:
            raise MechanismUnsupportedError(
                f"{read.info.uri}: the key is of a kind that is not supported, or the token does not show its public half",
                hint="P-256, P-384, P-521 and RSA 2048, 3072, 4096 are supported",
                uri=read.info.uri,
            )
        access = Access(
            self._leases[connection].share(),
            read.uri,
            self._pin,
            read.name,
            always_authenticate=read.info.attributes.get("CKA_ALWAYS_AUTHENTICATE") is True,
        )
        key: Pkcs11Key
        if isinstance(read.public, ec.EllipticCurvePublicKey):
            key = Pkcs11EcKey(access, read.info, read.public)
        else:
            key = Pkcs11RsaKey(access, read.info, read.public)
        self._keys.add(key)
        return key


def _changing(connection: Connection) -> AbstractContextManager[None]:
    """One at a time may look for what is there and change it; tokens have no such thing as a transaction."""
    return exclusively(f"{connection.module.path} {connection.name.identity}", CHANGE_TIMEOUT_S)


def _own_certificates(worker: Worker, key: ReadKey) -> Iterator[int]:
    for found in partners(worker, key.found, ObjectClass.CERTIFICATE):
        certificate = certificate_of(worker, found)
        if certificate is not None and key.public in (None, certificate.public_key()):
            yield found.handle


def _own_public_keys(worker: Worker, key: ReadKey) -> Iterator[int]:
    for found in partners(worker, key.found, ObjectClass.PUBLIC_KEY):
        if key.public is None or read_public(worker, found) in (None, key.public):
            yield found.handle
