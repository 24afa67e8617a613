"""A symmetric key goes into the TPM's storage hierarchy: as an AES key that works in there, or else as a sealed value.

Both are fixedTPM and fixedParent, so that nothing moves them to another TPM. They travel there and back in encrypted sessions.
"""

from __future__ import annotations

import hmac
import secrets
from contextlib import suppress
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from tpm2_pytss import ESAPI, TPM2_ALG, TPM2B_PUBLIC, TPMA_OBJECT, TSS2_Exception
from tpm2_pytss.types import ffi

from device_sdk.errors import ExtractableKeyError, KeyStoreFailedError, MechanismUnsupportedError
from device_sdk.keystores.tpm2.errors import Kind, kind_of
from device_sdk.keystores.tpm2.scope import Handle, Scope
from device_sdk.keystores.tpm2.sessions import session_below
from device_sdk.keystores.tpm2.srk import Parent, parent_for_new_key
from device_sdk.keystores.tpm2.templates import cipher_template, sealed_template, sensitive
from device_sdk.model.symmetric_keys import KeyUsage, SymmetricKey
from device_sdk.model.wiping import wiping
from device_sdk.wire.tss2_key import Tss2Key

MAX_SEALED_BYTES = 128
"""What every TPM takes in one sealed object (TPM 2.0 part 2, MAX_SYM_DATA)."""

CHUNK_BYTES = 1024
"""What one TPM2_EncryptDecrypt2 takes (MAX_DIGEST_BUFFER)."""

_BLOCK = 16
_IN_THE_TPM = frozenset({KeyUsage.ENCRYPT, KeyUsage.DECRYPT, KeyUsage.UNWRAP})
_MOVABLE = {"fixedTPM": TPMA_OBJECT.FIXEDTPM, "fixedParent": TPMA_OBJECT.FIXEDPARENT}


def seal(scope: Scope, key: SymmetricKey, auth: bytes, where: str) -> Tss2Key:
    """Make an object of a key, read back what it is, and try it; nothing of it is loaded afterwards.

    An AES key that is for encryption, decryption and unwrapping only becomes one that the TPM uses itself and never gives
    out, if this TPM has TPM2_EncryptDecrypt2 and AES of that length in CBC. Everything else is sealed, and comes back into
    this process's memory for each use.

    Args:
        scope: where.
        key: the key; our copies of its value are overwritten.
        auth: authorisation value, or nothing.
        where: for messages.

    Raises:
        MechanismUnsupportedError: longer than MAX_SEALED_BYTES, or empty.
        ExtractableKeyError: it could be moved to another TPM; it is gone.
        KeyStoreFailedError: what the TPM gives back is another value; it is gone.
    """
    value = bytearray(key.value.reveal())
    with wiping(value):
        if not 1 <= len(value) <= MAX_SEALED_BYTES:
            raise MechanismUnsupportedError(
                f"{where}: a TPM seals up to {MAX_SEALED_BYTES} bytes, and the key has {len(value)}",
                uri=where,
                mechanism="seal",
            )
        parent = parent_for_new_key(scope)
        making = _Making(scope, parent, session_below(scope, parent.handle), auth, where)
        if key.is_aes and key.usages and key.usages <= _IN_THE_TPM:
            made = making.cipher(value, encrypts=KeyUsage.ENCRYPT in key.usages)
            if made is not None:
                return made
        return making.sealed(value)


def decrypts_in_the_tpm(scope: Scope, key_bytes: int) -> bool:
    """Whether this TPM uses AES keys of that length itself; makes one that goes with the scope."""
    value = bytearray(secrets.token_bytes(key_bytes))
    with wiping(value):
        parent = parent_for_new_key(scope)
        making = _Making(scope, parent, session_below(scope, parent.handle), b"", "probe")
        return making.cipher(value, encrypts=False) is not None


class _Making:
    def __init__(self, scope: Scope, parent: Parent, session: Handle, auth: bytes, where: str) -> None:
        self._scope, self._parent, self._session, self._auth, self._where = scope, parent, session, auth, where

    def cipher(self, value: bytearray, *, encrypts: bool) -> Tss2Key | None:
        """An object that decrypts, and encrypts if it may; None if this TPM has no such thing."""
        template = cipher_template(len(value), encrypts=encrypts, decrypts=True)
        try:
            key, handle = self._made(template, value, sealed=False)
            works = self._decrypts(handle, value)
        except TSS2_Exception as error:
            if kind_of(error.rc) is not Kind.FINAL:
                raise
            return None
        return key if works else None

    def sealed(self, value: bytearray) -> Tss2Key:
        key, handle = self._made(sealed_template(), value, sealed=True)
        given = unsealed(self._scope.esys, handle, self._session)
        with wiping(given):
            if not hmac.compare_digest(given, value):
                raise KeyStoreFailedError(
                    f"{self._where}: the TPM gives back another value than was sealed",
                    uri=self._where,
                    operation="seal",
                )
        return key

    def _made(self, template: TPM2B_PUBLIC, value: bytearray, *, sealed: bool) -> tuple[Tss2Key, Handle]:
        esys, secret = self._scope.esys, sensitive(self._auth, value)
        try:
            private, public, *_ = esys.create(self._parent.handle, secret, template, session1=self._session)
        finally:
            wipe(secret)
        key = Tss2Key(
            bytes(public.marshal()),
            bytes(private.marshal()),
            self._parent.value,
            empty_auth=not self._auth,
            sealed=sealed,
        )
        handle = self._scope.add(lambda: esys.load(self._parent.handle, private, public))
        require_kept(esys, handle, self._where)
        esys.tr_set_auth(handle, self._auth)
        return key, handle

    def _decrypts(self, handle: Handle, value: bytearray) -> bool:
        block, vector = secrets.token_bytes(2 * _BLOCK), secrets.token_bytes(_BLOCK)
        plain = Cipher(algorithms.AES(value), modes.CBC(vector)).decryptor()
        return (
            decrypted(self._scope.esys, handle, self._session, vector, block) == plain.update(block) + plain.finalize()
        )


def require_kept(esys: ESAPI, handle: Handle, where: str) -> None:
    """Make sure that an object cannot leave this TPM.

    Raises:
        ExtractableKeyError: it can.
    """
    public, _, _ = esys.read_public(handle)
    said = int(public.publicArea.objectAttributes)
    bad = tuple(name for name, bit in _MOVABLE.items() if not said & int(bit))
    if bad:
        raise ExtractableKeyError(f"{where}: it can leave this TPM: not {', '.join(bad)}", uri=where, attributes=bad)


def unsealed(esys: ESAPI, handle: Handle, session: Handle) -> bytearray:
    """TPM2_Unseal; the library's own copy is overwritten."""
    given = esys.unseal(handle, session1=session)
    value = bytearray(given.buffer)
    wipe(given)
    wipe_answer(esys)
    return value


def decrypted(esys: ESAPI, handle: Handle, session: Handle, vector: bytes, ciphertext: bytes) -> bytes:
    """AES-CBC by TPM2_EncryptDecrypt2, whole blocks; in pieces, each of which needs the block before it. See `wipe_answer`."""
    out = []
    for at in range(0, len(ciphertext), CHUNK_BYTES):
        piece = ciphertext[at : at + CHUNK_BYTES]
        plain, _ = esys.encrypt_decrypt_2(handle, True, TPM2_ALG.CBC, vector, piece, session1=session)  # of tpm2-pytss
        out.append(bytes(plain))
        wipe(plain)
        vector = piece[-_BLOCK:]
    return b"".join(out)


def wipe_answer(esys: ESAPI) -> None:
    """Overwrite the last answer, which the TSS keeps in the clear until the next command is as long: with that of a hash."""
    with suppress(TSS2_Exception):  # what is left is a matter of this process's memory, and no reason to fail
        esys.hash(bytes(CHUNK_BYTES), TPM2_ALG.SHA256)


def wipe(structure: Any) -> None:
    """Overwrite what a structure of the TSS holds."""
    memory = ffi.buffer(structure._cdata)  # tpm2-pytss has no other way
    memory[:] = bytes(len(memory))
