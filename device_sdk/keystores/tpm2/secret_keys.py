"""Symmetric keys in a TPM: stored as files that only this TPM loads, opened, listed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_unwrap_with_padding
from tpm2_pytss import ESAPI

from device_sdk.errors import KeyNotFoundError, KeyStoreError, StoreCorruptError, UriError, WireError
from device_sdk.keystores.aes_unwrap import unwrap_by_blocks
from device_sdk.keystores.atomic import PRIVATE, list_files, read_file, replace_file
from device_sdk.keystores.secret_files import holds_that_key, require_secret_file_free, secret_file
from device_sdk.keystores.tpm2.auth import auth_for
from device_sdk.keystores.tpm2.context import Tpm
from device_sdk.keystores.tpm2.held import Held
from device_sdk.keystores.tpm2.material import FileMaterial
from device_sdk.keystores.tpm2.scope import Handle
from device_sdk.keystores.tpm2.sealing import decrypted, require_kept, seal, unsealed, wipe_answer
from device_sdk.model.heap import overwriting_what_is_freed
from device_sdk.model.held_key import HeldKey
from device_sdk.model.keys import KeyInfo
from device_sdk.model.secret import SecretProvider
from device_sdk.model.symmetric_keys import KeyUsage, SymmetricKey
from device_sdk.model.wiping import wiping
from device_sdk.wire.key_uri.tpm2 import Tpm2Uri
from device_sdk.wire.tpm_secret import TpmSecret, is_tpm_secret, read_tpm_secret, tpm_secret
from device_sdk.wire.tss2_key import MAX_BYTES

SUFFIX = ".key.pem"
_BLOCK = 16


def directory_of(uri: Tpm2Uri) -> Path:
    """Where keys of a package go.

    Raises:
        UriError: the URI names no directory; the names of such keys are their own.
    """
    if uri.dir is None:
        raise UriError(f"{uri}: names no directory", hint="tpm2:dir=/path", uri=str(uri))
    return Path(uri.dir)


def require_free(uri: Tpm2Uri, key: SymmetricKey) -> None:
    """Make sure that a key's file can be made; arguments and errors as require_secret_file_free and directory_of."""
    require_secret_file_free(directory_of(uri), key, SUFFIX, _key_id_in)


def _key_id_in(content: bytes) -> str | None:
    try:
        return read_tpm_secret(content).key_id
    except WireError:
        return None


def store_in(tpm: Tpm, uri: Tpm2Uri, key: SymmetricKey, deadline_s: float) -> str:
    """Seal a key, and replace its file; gives its URI.

    An authorisation value protects it only if the URI's pin-source names one.

    Raises:
        KeyStoreError: the TPM does not take it, or the file cannot be written, or its name is something else's; what was
            there before is unchanged.
    """
    path = secret_file(directory_of(uri), key, SUFFIX)
    holds_that_key(path, key, _key_id_in)
    named = replace(uri, dir=None, file=str(path))
    auth = auth_for(uri, None)
    secret = auth.reveal() if auth is not None else b""
    blob = tpm.run(
        "seal a key", lambda scope: seal(scope, key, secret, str(named)), where=str(named), deadline_s=deadline_s
    )
    replace_file(path, tpm_secret(key, blob).to_file(), PRIVATE)
    return str(named)


def holds_secret(path: Path) -> bool:
    """Whether a file is a symmetric key's; False if it cannot be read."""
    try:
        return is_tpm_secret(read_file(path, MAX_BYTES)[0])
    except KeyStoreError:
        return False


def read_secret(path: Path, where: str) -> TpmSecret:
    """Read the file of a symmetric key.

    Raises:
        KeyNotFoundError: there is none.
        StoreCorruptError: it is something else, or damaged.
    """
    try:
        return read_tpm_secret(read_file(path, MAX_BYTES)[0])
    except WireError as error:
        raise StoreCorruptError(f"{where}: {error.message}", uri=where) from error


def open_secret(tpm: Tpm, uri: Tpm2Uri, provider: SecretProvider | None, deadline_s: float) -> TpmCipherKey | SealedKey:
    """Open the symmetric key a URI names.

    Raises:
        KeyNotFoundError: it is not there.
        StoreCorruptError: another TPM made it, or it is damaged.
        ExtractableKeyError: it can leave this TPM.
        PinRequiredError, PinIncorrectError: one attempt was made.
    """
    where = str(uri)
    if uri.file is None:
        raise UriError(f"{where}: names no single key", hint="tpm2:file=/path/NAME.key.pem", uri=where)
    found = read_secret(Path(uri.file), where)
    asked = None if found.key.empty_auth else provider
    held = Held(tpm, FileMaterial(found.key), auth_for(uri, asked), where, deadline_s)
    held.use("load the key", lambda esys, handle: require_kept(esys, handle, where))
    key = SealedKey(held, found, where) if found.key.sealed else TpmCipherKey(held, found, where)
    key.try_it()
    return key


class _TpmSecretKey(HeldKey):
    def __init__(self, held: Held, found: TpmSecret, where: str) -> None:
        super().__init__(where, found.key_id.encode(), found.bits // 8, found.usages, is_aes=found.is_aes)
        self._held = held
        self.facts = found.facts()

    def close(self) -> None:
        """Stop using the key."""
        self._held.close()


class TpmCipherKey(_TpmSecretKey):
    """An AES key that the TPM uses itself; a kibibyte a command, so it is for keys and small contents."""

    def try_it(self) -> None:
        """Find out whether the authorisation is right."""
        self._decrypted(bytes(_BLOCK), bytes(_BLOCK))

    def _decrypt_cbc(self, vector: bytes, ciphertext: bytes) -> bytes:
        return self._decrypted(vector, ciphertext)

    def _unwrap(self, wrapped: bytes, *, padded: bool) -> bytes | None:
        def unwrap(esys: ESAPI, handle: Handle, session: Handle) -> bytearray | None:
            # one block of CBC with a vector of zeros is the bare cipher
            try:
                return unwrap_by_blocks(
                    wrapped, lambda block: decrypted(esys, handle, session, bytes(_BLOCK), block), padded=padded
                )
            finally:
                wipe_answer(esys)

        plain = self._held.use_encrypted("unwrap a key", unwrap)
        with wiping(plain or bytearray()):
            return None if plain is None else bytes(plain)

    def _decrypted(self, vector: bytes, ciphertext: bytes) -> bytes:
        def decrypt(esys: ESAPI, handle: Handle, session: Handle) -> bytes:
            try:
                return decrypted(esys, handle, session, vector, ciphertext)
            finally:
                wipe_answer(esys)

        return self._held.use_encrypted("decrypt", decrypt)


class SealedKey(_TpmSecretKey):
    """A value that is unsealed for each use, passes through this process's memory, and is overwritten there."""

    def try_it(self) -> None:
        """Find out whether the authorisation is right, and the value as long as the file says."""
        with self._value() as value:
            if len(value) != self.key_bytes:
                raise StoreCorruptError(f"{self.uri}: the value has another length than the file says", uri=self.uri)

    @contextmanager
    def value(self, usage: KeyUsage) -> Iterator[bytearray]:
        """The value, for an application that uses it itself; overwritten with zeros at the end. Keep no copy.

        Args:
            usage: what it is about to be used for.

        Raises:
            MechanismUnsupportedError: it is not for that.
            KeyStoreError: the TPM could not be used.
        """
        self.require(usage, f"be used for {usage.value}")
        with self._value() as value:
            yield value

    @contextmanager
    def _value(self) -> Iterator[bytearray]:
        with overwriting_what_is_freed():  # by the TSS, and by what uses the value
            value = self._held.use_encrypted("unseal a key", unsealed)
            with wiping(value):
                yield value

    def _decrypt_cbc(self, vector: bytes, ciphertext: bytes) -> bytes:
        with self._value() as value:
            plain = Cipher(algorithms.AES(value), modes.CBC(vector)).decryptor()
            return plain.update(ciphertext) + plain.finalize()

    def _unwrap(self, wrapped: bytes, *, padded: bool) -> bytes | None:
        with self._value() as value:
            try:
                # bytes-like is enough for it, and makes no copy that would stay
                return (aes_key_unwrap_with_padding if padded else aes_key_unwrap)(cast("bytes", value), wrapped)
            except (InvalidUnwrap, ValueError):
                return None


def secret_info(uri: Tpm2Uri, found: TpmSecret) -> KeyInfo:
    """What its file says of a key. The value of a sealed one comes out when it is used."""
    facts = found.facts()
    return KeyInfo(
        uri=str(uri),
        keystore="tpm2",
        key_type=None,
        label=found.label or Path(uri.file or "").name,
        key_id=found.key_id.encode().hex(),
        spki_sha256=None,
        hardware=True,
        extractable=found.key.sealed,
        attributes={
            "secret": found.algorithm,
            "bits": found.bits,
            "usages": ", ".join(facts["usages"]),
            "kept": facts["kept"],
        },
        imported=True,
    )


def list_secrets(uri: Tpm2Uri) -> tuple[KeyInfo, ...]:
    """The symmetric keys of a directory, or the one in a file; damaged files are passed over."""
    paths = list_files(Path(uri.dir)) if uri.dir is not None else (Path(uri.file or ""),)
    found = []
    for path in paths:
        try:
            one = read_secret(path, str(uri))
        except (KeyNotFoundError, StoreCorruptError):
            continue
        found.append(secret_info(replace(uri, dir=None, file=str(path)), one))
    return tuple(found)
