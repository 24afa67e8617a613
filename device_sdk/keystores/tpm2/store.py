"""The keystore behind `tpm2:` URIs."""

from __future__ import annotations

import builtins
import weakref
from dataclasses import replace
from pathlib import Path

from cryptography import x509

from device_sdk.errors import KeyExistsError, KeyStoreError, UriError
from device_sdk.keystores.atomic import PRIVATE, create_file, is_taken, remove_file, status_of
from device_sdk.keystores.base import Announce, KeyStore
from device_sdk.keystores.certificate_file import read_certificate, write_certificate
from device_sdk.keystores.keys import DeviceKey
from device_sdk.keystores.pkcs8 import load_pkcs8
from device_sdk.keystores.tpm2.auth import auth_for
from device_sdk.keystores.tpm2.context import DEADLINE_S, Tpm
from device_sdk.keystores.tpm2.creation import make_key, make_persistent, remove_persistent
from device_sdk.keystores.tpm2.importing import import_into
from device_sdk.keystores.tpm2.inventory import (
    area_in_file,
    key_info,
    list_files_in,
    list_persistent,
    persistent_handles,
)
from device_sdk.keystores.tpm2.nv_counter import TpmCounter
from device_sdk.keystores.tpm2.opening import find_persistent, open_key
from device_sdk.keystores.tpm2.places import (
    OWNER_HANDLES,
    certificate_of_file,
    certificate_of_handle,
    key_files,
    make_certificate_directory,
    read_key_file,
    require_certificate_directory,
)
from device_sdk.keystores.tpm2.process import shared_tpm
from device_sdk.keystores.tpm2.scope import Scope
from device_sdk.keystores.tpm2.secret_keys import (
    holds_secret,
    list_secrets,
    open_secret,
    read_secret,
    require_free,
    secret_info,
    store_in,
)
from device_sdk.keystores.tpm2.tcti import tcti_for
from device_sdk.keystores.tpm2.templates import PublicArea
from device_sdk.model.held_key import HeldKey
from device_sdk.model.keys import KeyInfo, KeyType, Probe, PublicKey
from device_sdk.model.secret import Secret, SecretProvider
from device_sdk.model.symmetric_keys import SymmetricKey
from device_sdk.wire.key_uri.tpm2 import Tpm2Uri
from device_sdk.wire.tss2_key import Tss2Key


class Tpm2KeyStore(KeyStore[Tpm2Uri]):
    """Keys in a TPM 2.0: TSS2 PRIVATE KEY files that only this TPM can load, or persistent handles.

    Keys are made under the standard ECC storage root key, without dictionary-attack protection (noDA), with the PIN of
    the URI's pin-source as their authorisation value, or an empty one. A key is loaded for each use and flushed after it.

    The certificate beside a file `key.pem` is `key.crt`; the one beside a handle is a file too, in
    DEVICE_SDK_CERTIFICATES, /var/lib/device-sdk/tpm2-certificates (root) or $XDG_DATA_HOME/device-sdk/tpm2-certificates.

    Args:
        pin: asked for an authorisation value when the key wants one and the URI names none.
        deadline_s: how long one operation waits for locks, slots and a busy TPM, in seconds.
    """

    def __init__(self, *, pin: SecretProvider | None = None, deadline_s: float = DEADLINE_S) -> None:
        super().__init__(pin=pin)
        self._deadline_s = deadline_s
        self._opened: weakref.WeakSet[DeviceKey] = weakref.WeakSet()
        self._tpm_in_use: Tpm | None = None

    def create(
        self, uri: Tpm2Uri, key_type: KeyType, *, reuse: bool = False, announce: Announce | None = None
    ) -> DeviceKey:
        """Make a key in the TPM; see KeyStore.create."""
        where = _new_key(uri)
        if self._taken(uri):
            return self._existing(uri, key_type, reuse=reuse)
        auth = auth_for(uri, self._pin, making=True)
        secret = auth.reveal() if auth is not None else b""
        key = self._tpm(uri).run(
            f"make a {key_type.value} key",
            lambda scope: make_key(scope, key_type, secret, where),
            where=where,
            deadline_s=self._deadline_s,
        )
        if announce is not None:
            announce(area_in_file(key, where).public_key)
        try:
            self._name(uri, key)
        except KeyExistsError:
            if not reuse:
                raise
            return self._existing(uri, key_type, reuse=reuse)
        return self.open(replace(uri, pin_value=auth))

    def import_key(self, uri: Tpm2Uri, pkcs8: Secret, *, reuse: bool = False) -> DeviceKey:
        """Import a key below the storage root key, encrypted to it on the way; see importing, and KeyStore.import_key."""
        where = _new_key(uri)
        key, key_type = load_pkcs8(pkcs8, where)
        if self._taken(uri):
            return self._the_same(uri, key_type, key.public_key(), reuse=reuse)
        auth = auth_for(uri, self._pin, making=True)
        secret = auth.reveal() if auth is not None else b""
        imported = self._tpm(uri).run(
            f"import a {key_type.value} key",
            lambda scope: import_into(scope, key, key_type, secret, where),
            where=where,
            deadline_s=self._deadline_s,
        )
        try:
            self._name(uri, imported)
        except KeyExistsError:
            if not reuse:
                raise
            return self._the_same(uri, key_type, key.public_key(), reuse=reuse)
        return self.open(replace(uri, pin_value=auth), allow_imported=True)

    def require_secret_free(self, uri: Tpm2Uri, key: SymmetricKey) -> None:
        """See KeyStore.require_secret_free; `uri` names a directory."""
        require_free(uri, key)
        self._tpm(uri).run(
            "answer", lambda scope: scope.esys.get_random(1), where=str(uri), deadline_s=self._deadline_s
        )

    def store_secret(self, uri: Tpm2Uri, key: SymmetricKey) -> str:
        """Seal a key, or make it an AES key that the TPM uses itself; see sealing, and KeyStore.store_secret."""
        return store_in(self._tpm(uri), uri, key, self._deadline_s)

    def holds_secret(self, uri: Tpm2Uri) -> bool:
        """Whether the file is a symmetric key's."""
        return uri.file is not None and holds_secret(Path(uri.file))

    def open_secret(self, uri: Tpm2Uri) -> HeldKey:
        """Open a symmetric key. See KeyStore.open_secret."""
        return open_secret(self._tpm(uri), uri, self._pin, self._deadline_s)

    def counter(self, uri: Tpm2Uri) -> TpmCounter:
        """A counter in NV memory. See KeyStore.counter."""
        return TpmCounter(uri, self._pin, self._deadline_s)

    def _name(self, uri: Tpm2Uri, key: Tss2Key) -> None:
        """Give a key that is complete its name: until here a crash leaves nothing."""
        where, handle = str(uri), uri.handle
        if uri.file is not None:
            create_file(Path(uri.file), key.to_pem(), PRIVATE)
        elif handle is not None:
            self._tpm(uri).run(
                "make the key persistent",
                lambda scope: make_persistent(scope, key, handle, where),
                where=where,
                deadline_s=self._deadline_s,
            )

    def _taken(self, uri: Tpm2Uri) -> bool:
        if uri.file is not None:
            return is_taken(Path(uri.file))
        return uri.handle in self._tpm(uri).run("list persistent keys", persistent_handles, where=str(uri))

    def _the_same(self, uri: Tpm2Uri, key_type: KeyType, public: PublicKey, *, reuse: bool) -> DeviceKey:
        key = self._existing(uri, key_type, reuse=reuse, allow_imported=True)
        if key.public_key() != public:  # type: ignore[attr-defined]  # every DeviceKey is also one of cryptography's keys
            raise KeyExistsError(f"{uri}: there is another key of this name", uri=str(uri))
        return key

    def _existing(self, uri: Tpm2Uri, key_type: KeyType, *, reuse: bool, allow_imported: bool = False) -> DeviceKey:
        if not reuse:
            raise KeyExistsError(f"{uri}: there is a key of this name", hint="--reuse takes it", uri=str(uri))
        key = self.open(uri, allow_imported=allow_imported)
        if key.info.key_type is not key_type:
            found = key.info.key_type.value if key.info.key_type else "another"
            raise KeyExistsError(f"{uri}: there is a key of this name, of type {found}", uri=str(uri))
        return key

    def open(self, uri: Tpm2Uri, *, allow_imported: bool = False) -> DeviceKey:
        """Open a key; see opening.open_key for what is checked, and KeyStore.open."""
        _one_key(uri)
        key = open_key(self._tpm(uri), uri, self._pin, self._deadline_s, allow_imported=allow_imported)
        self._opened.add(key)
        return key

    def list(self, uri: Tpm2Uri) -> tuple[KeyInfo, ...]:
        """One key, the key files of a directory (of symmetric keys, too), or all persistent device keys of the TPM; no PIN is needed."""
        if uri.nv is not None:
            _one_key(uri)
        tpm = self._tpm(uri)
        if uri.dir is not None:
            return list_files_in(tpm, uri, key_files(uri.dir)) + list_secrets(uri)
        if uri.file is not None:
            if status_of(Path(uri.file)) is None:
                return ()
            if self.holds_secret(uri):
                return list_secrets(uri)
            return list_files_in(tpm, uri, {Path(uri.file): read_key_file(uri.file, str(uri))})
        return list_persistent(tpm, uri, None if uri.handle is None else (uri.handle,))

    def delete(self, uri: Tpm2Uri) -> KeyInfo:
        """Remove the certificate, then the file or the persistent key; no PIN is needed.

        A copy of a key file made before still loads in this TPM: files are only as deleted as their copies.
        """
        where = _one_key(uri)
        if uri.file is not None and self.holds_secret(uri):
            info = secret_info(uri, read_secret(Path(uri.file), where))
            remove_file(Path(uri.file))
            return info
        if uri.file is not None:
            info = key_info(uri, area_in_file(read_key_file(uri.file, where), where))
            remove_file(certificate_of_file(uri.file))
            remove_file(Path(uri.file))
            return info
        handle, (area, _) = self._persistent(uri)
        info = key_info(uri, area)
        remove_file(certificate_of_handle(handle, area.public_key))
        self._tpm(uri).run(
            "delete the key",
            lambda scope: remove_persistent(scope, handle, where),
            where=where,
            deadline_s=self._deadline_s,
        )
        return info

    def require_certificate_place(self, uri: Tpm2Uri) -> None:
        """Where the key is a persistent one, whose certificate is elsewhere. See KeyStore.require_certificate_place."""
        if uri.handle is not None:
            require_certificate_directory(str(uri))

    def store_certificate(self, uri: Tpm2Uri, certificate: x509.Certificate) -> None:
        """Keep a certificate in its file beside the key."""
        path, public_key = self._certificate(uri)
        if uri.handle is not None:
            make_certificate_directory(str(uri))
        write_certificate(path, certificate, public_key, str(uri))

    def load_certificate(self, uri: Tpm2Uri) -> x509.Certificate | None:
        """The certificate from its file beside the key."""
        path, public_key = self._certificate(uri)
        return read_certificate(path, public_key, str(uri))

    def about(self, uri: Tpm2Uri) -> dict[str, str | builtins.list[str]]:
        """Manufacturer, vendor and firmware of the TPM, and its endorsement certificates. See KeyStore.about."""
        from device_sdk.keystores.tpm2.endorsement import endorsement_certificates
        from device_sdk.keystores.tpm2.probing import about_tpm

        def ask(scope: Scope) -> dict[str, str | builtins.list[str]]:
            said = {f"tpm_{name}": value for name, value in about_tpm(scope).items()}
            return {**said, "ek_certificate_sha256": endorsement_certificates(scope)}

        return self._tpm(uri).run("tell about itself", ask, where=str(uri), deadline_s=self._deadline_s)

    def probe(self, uri: Tpm2Uri) -> Probe:
        """Make and try keys of every type in the TPM; leaves nothing behind."""
        from device_sdk.keystores.tpm2.probing import probe_tpm

        return probe_tpm(self._tpm(uri), str(uri), self._deadline_s)

    def close(self) -> None:
        """Keys opened from this store stop working; the connection closes when no store and key needs it."""
        for key in builtins.list(self._opened):
            key.close()

    def _tpm(self, uri: Tpm2Uri) -> Tpm:
        tcti = tcti_for(uri)
        if self._tpm_in_use is None or self._tpm_in_use.tcti != tcti:
            self._tpm_in_use = shared_tpm(tcti)
        return self._tpm_in_use

    def _persistent(self, uri: Tpm2Uri) -> tuple[int, tuple[PublicArea, bytes]]:
        handle = uri.handle if uri.handle is not None else 0
        return handle, find_persistent(self._tpm(uri), uri, handle, self._deadline_s)

    def _certificate(self, uri: Tpm2Uri) -> tuple[Path, PublicKey]:
        where = _one_key(uri)
        if uri.file is not None:
            area = area_in_file(read_key_file(uri.file, where), where)
            return certificate_of_file(uri.file), area.public_key
        handle, (area, _) = self._persistent(uri)
        return certificate_of_handle(handle, area.public_key), area.public_key


def _new_key(uri: Tpm2Uri) -> str:
    """The redacted URI of one key that may be made.

    Raises:
        UriError: as _one_key.
        KeyStoreError: the handle is not one of the owner's.
    """
    where = _one_key(uri)
    if uri.handle is not None and uri.handle not in OWNER_HANDLES:
        raise KeyStoreError(f"{where}: the owner's handles are 0x81000000 to 0x817fffff", uri=where)
    return where


def _one_key(uri: Tpm2Uri) -> str:
    """The redacted URI of one key.

    Raises:
        UriError: the URI names a directory, a counter or a whole TPM.
    """
    if uri.handle is None and uri.file is None:
        raise UriError(
            f"{str(uri).removesuffix(':')}: names no single key",
            hint="tpm2:handle=0x81000010 or tpm2:file=/path/key.pem",
            uri=str(uri),
        )
    return str(uri)
