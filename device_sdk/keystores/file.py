"""The keystore behind `file:` URIs: PKCS#8 files, for development and for devices without hardware."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from device_sdk.errors import (
    KeyExistsError,
    KeyNotFoundError,
    KeyStoreError,
    MechanismUnsupportedError,
    PinIncorrectError,
    PinRequiredError,
    StoreCorruptError,
)
from device_sdk.keystores.atomic import (
    PRIVATE,
    create_file,
    is_directory,
    is_taken,
    list_files,
    read_file,
    remove_file,
    status_of,
)
from device_sdk.keystores.base import Announce, KeyStore
from device_sdk.keystores.certificate_file import (
    certificate_path,
    has_certificate,
    read_certificate,
    spki_of,
    write_certificate,
)
from device_sdk.keystores.file_keys import FileEcKey, FileRsaKey
from device_sdk.keystores.pin_source import resolve_pin
from device_sdk.keystores.pkcs8 import load_pkcs8
from device_sdk.keystores.trial import prove
from device_sdk.model.keys import KeyInfo, KeyType, PrivateKey, Probe, PublicKey
from device_sdk.model.secret import NewKey, Secret
from device_sdk.wire.key_uri.file import FileUri

MAX_BYTES = 64 * 1024
"""The largest key file that is read."""


class FileKeyStore(KeyStore[FileUri]):
    """PKCS#8 PEM files of mode 0600, encrypted if the URI's pin-source or the caller gives a passphrase.

    Whoever can read the file has the key: `info.hardware` is false and `info.extractable` true. The certificate beside
    `key.pem` is `key.crt`.
    """

    def create(
        self, uri: FileUri, key_type: KeyType, *, reuse: bool = False, announce: Announce | None = None
    ) -> FileEcKey | FileRsaKey:
        """Generate a key with the operating system's randomness and write it; see KeyStore.create."""
        path = Path(uri.path)
        if is_taken(path):
            return self._existing(uri, key_type, reuse=reuse)
        passphrase = resolve_pin(uri, self._pin, NewKey(f"key file {uri.path}"))
        key: PrivateKey
        if key_type.is_ec:
            key = ec.generate_private_key(key_type.curve)
        else:
            key = rsa.generate_private_key(public_exponent=65537, key_size=key_type.key_bits)
        if announce is not None:
            announce(key.public_key())
        try:
            _write(path, key, passphrase)
        except KeyExistsError:
            return self._existing(uri, key_type, reuse=reuse)
        return self.open(replace(uri, pin_value=passphrase))

    def import_key(self, uri: FileUri, pkcs8: Secret, *, reuse: bool = False) -> FileEcKey | FileRsaKey:
        """Write a key to its file, encrypted if the URI or the caller has a passphrase; see KeyStore.import_key."""
        key, key_type = load_pkcs8(pkcs8, str(uri))
        path, public = Path(uri.path), key.public_key()
        if is_taken(path):
            return self._the_same(uri, key_type, public, reuse=reuse)
        passphrase = resolve_pin(uri, self._pin, NewKey(f"key file {uri.path}"))
        try:
            _write(path, key, passphrase)
        except KeyExistsError:
            return self._the_same(uri, key_type, public, reuse=reuse)
        try:
            written = self.open(replace(uri, pin_value=passphrase))
            prove(written, public)
        except BaseException:
            remove_file(path)
            raise
        return written

    def _the_same(self, uri: FileUri, key_type: KeyType, public: PublicKey, *, reuse: bool) -> FileEcKey | FileRsaKey:
        key = self._existing(uri, key_type, reuse=reuse)
        if key.public_key() != public:
            raise KeyExistsError(f"{uri}: there is another key of this name", uri=str(uri))
        return key

    def _existing(self, uri: FileUri, key_type: KeyType, *, reuse: bool) -> FileEcKey | FileRsaKey:
        if not reuse:
            raise KeyExistsError(f"{uri}: there is a file of this name", hint="--reuse takes it", uri=str(uri))
        key = self.open(uri)
        if key.info.key_type is not key_type:
            found = key.info.key_type.value if key.info.key_type else "another"
            raise KeyExistsError(f"{uri}: there is a key of this name, of type {found}", uri=str(uri))
        return key

    def open(self, uri: FileUri, *, allow_imported: bool = False) -> FileEcKey | FileRsaKey:
        """Open a key file; PKCS#8, and the older PEM forms of OpenSSL. Where its key came from is not asked.

        Raises:
            KeyNotFoundError: no such file.
            KeyStoreError: others than its owner may read the file.
            StoreCorruptError: not a private key.
            MechanismUnsupportedError: a key of a type or size that is not handled.
            PinRequiredError, PinIncorrectError: the passphrase is missing or wrong.
        """
        found = _read(uri)
        key, info = self._decrypted(uri, found), _info(uri, found)
        public = key.public_key()
        try:
            info = _with_public(info, public)
        except ValueError as error:
            raise MechanismUnsupportedError(f"{uri}: {error}", uri=str(uri), mechanism="key type") from error
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return FileEcKey(key, info)
        return FileRsaKey(key, info)

    def _decrypted(self, uri: FileUri, found: _KeyFile) -> PrivateKey:
        passphrase: Secret | None = None
        if found.encrypted:
            passphrase = resolve_pin(uri, self._pin, f"key file {uri.path}")
            if not passphrase:
                raise PinRequiredError(
                    f"{uri}: the key file is encrypted", hint="add pin-source=file:PATH to the URI", uri=str(uri)
                )
        try:
            key = serialization.load_pem_private_key(found.data, passphrase.reveal() if passphrase else None)
        except UnsupportedAlgorithm as error:
            raise MechanismUnsupportedError(f"{uri}: {error}", uri=str(uri), mechanism="key file") from error
        except (ValueError, TypeError) as error:
            # OpenSSL cannot tell a wrong passphrase from a damaged file: the padding is wrong either way
            if passphrase and "-----BEGIN" in found.data.decode("ascii", "replace"):
                raise PinIncorrectError(
                    f"{uri}: the passphrase is wrong, or the file is damaged", uri=str(uri)
                ) from error
            raise StoreCorruptError(f"{uri}: not a private key in PKCS#8 PEM", uri=str(uri)) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise MechanismUnsupportedError(
                f"{uri}: neither an elliptic curve nor an RSA key", uri=str(uri), mechanism=type(key).__name__
            )
        return key

    def list(self, uri: FileUri) -> tuple[KeyInfo, ...]:
        """The key files of a directory, or one key file; encrypted ones without their public key, unless the URI has a pin-source."""
        path = Path(uri.path)
        if is_directory(path):
            found = []
            for file in list_files(path):
                info = self._listed(replace(uri, path=str(file)))
                found += [info] if info is not None else []
            return tuple(found)
        if status_of(path) is None:
            return ()
        info = self._listed(uri)
        return (info,) if info is not None else ()

    def _listed(self, uri: FileUri) -> KeyInfo | None:
        try:
            found = _read(uri, strict=False)
        except KeyStoreError:
            return None
        info = _info(uri, found)
        if found.encrypted and uri.pin_source is None:
            return info
        try:
            return _with_public(info, self._decrypted(uri, found).public_key())
        except ValueError:
            return info
        except (PinIncorrectError, PinRequiredError):
            return info
        except KeyStoreError:
            return None

    def delete(self, uri: FileUri) -> KeyInfo:
        """Remove the certificate, then the key file; no passphrase is needed."""
        info = self._listed(uri)
        if info is None:
            _read(uri, strict=False)  # says what is wrong, if that is it
            raise StoreCorruptError(f"{uri}: not a private key; the file is left alone", uri=str(uri))
        path = Path(uri.path)
        remove_file(certificate_path(path))
        remove_file(path)
        return info

    def store_certificate(self, uri: FileUri, certificate: x509.Certificate) -> None:
        """Keep a certificate as `.crt` beside the key file."""
        with self.open(uri) as key:
            write_certificate(certificate_path(Path(uri.path)), certificate, key.public_key(), str(uri))

    def load_certificate(self, uri: FileUri) -> x509.Certificate | None:
        """The certificate beside the key file, without asking for a passphrase.

        One for another key is passed over, as far as the key's public half can be read.
        """
        found = _read(uri)
        public = None if found.encrypted else self._decrypted(uri, found).public_key()
        return read_certificate(certificate_path(Path(uri.path)), public, str(uri))

    def probe(self, uri: FileUri) -> Probe:
        """Try all operations in software; writes nothing."""
        from device_sdk.keystores.file_probe import probe_files

        return probe_files(Path(uri.path))


def _write(path: Path, key: PrivateKey, passphrase: Secret | None) -> None:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase.reveal())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    create_file(path, pem, PRIVATE)


@dataclass(frozen=True)
class _KeyFile:
    data: bytes
    encrypted: bool
    mode: int


def _read(uri: FileUri, *, strict: bool = True) -> _KeyFile:
    """The file and what can be said without its passphrase; `strict` refuses one that others may read."""
    path = Path(uri.path)
    try:
        data, status = read_file(path, MAX_BYTES)
    except KeyNotFoundError as error:
        hint = "device-sdk keys create makes one"
        raise KeyNotFoundError(f"{uri}: no such file", hint=hint, uri=str(uri)) from error
    mode = stat.S_IMODE(status.st_mode)
    if strict:
        _refuse_strangers(uri, path, status)
    if strict and mode & 0o077:
        raise KeyStoreError(
            f"{uri}: others may read or change this key (mode {mode:04o})", hint=f"chmod 600 {path}", uri=str(uri)
        )
    if b"PRIVATE KEY-----" not in data:
        raise StoreCorruptError(f"{uri}: not a private key in PKCS#8 PEM", uri=str(uri))
    return _KeyFile(data, encrypted=b"ENCRYPTED" in data, mode=mode)


def _refuse_strangers(uri: FileUri, path: Path, status: os.stat_result) -> None:
    """Whoever owns the file, or the link to it, decides which key it is; root would not notice otherwise."""
    link = status_of(path, follow=False)
    known = (0, os.geteuid())
    if link is not None and stat.S_ISLNK(link.st_mode) and link.st_uid not in known:
        raise KeyStoreError(
            f"{uri}: {path} is a symbolic link of another user (uid {link.st_uid}), who may lead it anywhere",
            hint="name the file itself",
            uri=str(uri),
        )
    if status.st_uid not in known:
        raise KeyStoreError(
            f"{uri}: belongs to another user (uid {status.st_uid}), who may put another key there",
            hint=f"run as that user; or look whether it is your key, then chown {os.geteuid()} {path}",
            uri=str(uri),
        )


def _info(uri: FileUri, found: _KeyFile) -> KeyInfo:
    path = Path(uri.path)
    return KeyInfo(
        uri=str(replace(uri, pin_value=None)),
        keystore="file",
        key_type=None,
        label=path.name,
        key_id=None,
        spki_sha256=None,
        hardware=False,
        extractable=True,
        attributes={"encrypted": found.encrypted, "mode": f"{found.mode:04o}"},
        certificate=has_certificate(certificate_path(path)),
    )


def _with_public(info: KeyInfo, public_key: PublicKey) -> KeyInfo:
    """The same with what the public key says; ValueError for a type that is not handled."""
    return replace(info, key_type=KeyType.of(public_key), spki_sha256=hashlib.sha256(spki_of(public_key)).hexdigest())
