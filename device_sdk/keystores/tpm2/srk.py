"""The parent of a key: the standard ECC storage root key, persistent at 0x81000001 or made anew from its template.

Both are the same key as long as the owner's seed is: a primary key follows from seed and template alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from tpm2_pytss import ESYS_TR, TPM2_ALG, TPM2B_PRIVATE, TPM2B_PUBLIC, TSS2_Exception

from device_sdk.errors import KeyStoreError, StoreCorruptError
from device_sdk.keystores.tpm2.errors import BAD_AUTH, HANDLE, INTEGRITY, base_code
from device_sdk.keystores.tpm2.scope import Handle, Scope
from device_sdk.keystores.tpm2.templates import is_standard_storage_key, sensitive, storage_template
from device_sdk.wire.tss2_key import OWNER_HIERARCHY, Tss2Key

SRK_HANDLE = 0x81000001
"""Where the TCG's registry of reserved handles keeps the storage root key."""

_HIERARCHIES = {
    OWNER_HIERARCHY: ESYS_TR.OWNER,
    0x40000007: ESYS_TR.NULL,
    0x4000000B: ESYS_TR.ENDORSEMENT,
    0x4000000C: ESYS_TR.PLATFORM,
}
_PROVISION = (
    "have the owner put the storage key in its place once: tpm2_createprimary -C o -P OWNERAUTH -G ecc -g sha256 "
    '-a "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt" -c srk.ctx, then '
    "tpm2_evictcontrol -C o -P OWNERAUTH -c srk.ctx 0x81000001"
)


@dataclass(frozen=True)
class Parent:
    """A loaded parent and the value that names it in a TSS2 PRIVATE KEY file."""

    handle: Handle
    value: int


def persistent_srk(scope: Scope) -> Handle | None:
    """The key at 0x81000001 if it follows the standard template."""
    try:
        handle = scope.persistent(SRK_HANDLE)
    except TSS2_Exception as error:
        if base_code(error.rc) != HANDLE:
            raise
        return None
    public, _, _ = scope.esys.read_public(handle)
    return handle if is_standard_storage_key(public) else None


def is_below_root(scope: Scope, name: bytes, qualified_name: bytes) -> bool:
    """Whether a key's parent is the standard storage root key, which nothing moves out of the TPM.

    The qualified name of a key is the hash of its parent's and its own name (TPM 2.0 part 1, 16.2).

    Args:
        scope: where to look.
        name: the key's name, as the TPM says it: hash algorithm and digest.
        qualified_name: the same.
    """

    def is_parent(storage: Handle) -> bool:
        _, _, above = scope.esys.read_public(storage)
        return qualified_name == name[:2] + hashlib.sha256(bytes(above) + name).digest()

    if name[:2] != int(TPM2_ALG.SHA256).to_bytes(2, "big"):
        return False
    persistent = persistent_srk(scope)
    if persistent is not None and is_parent(persistent):
        return True
    made = _primary(scope, OWNER_HIERARCHY)
    if made is None:
        return False
    try:
        return is_parent(made)
    finally:
        scope.flush(made)  # one slot of three


def parent_for_new_key(scope: Scope) -> Parent:
    """The parent a new key is made under.

    The primary key comes first: a file that names the owner hierarchy is understood by every tool, and still loads
    when the persistent copy is gone. The persistent one serves where the owner has set an authorisation.

    Raises:
        KeyStoreError: neither can be had; the hint says how the owner helps.
    """
    made = _primary(scope, OWNER_HIERARCHY)
    if made is not None:
        return Parent(made, OWNER_HIERARCHY)
    persistent = persistent_srk(scope)
    if persistent is None:
        raise _no_parent()
    return Parent(persistent, SRK_HANDLE)


def load_key(scope: Scope, key: Tss2Key) -> Handle:
    """Load a key below its parent.

    Raises:
        TSS2_Exception: the TPM refused; INTEGRITY if no parent fits.
        KeyStoreError: the parent is not there.
        StoreCorruptError: the key's areas cannot be read.
    """
    try:
        public, _ = TPM2B_PUBLIC.unmarshal(key.public)
        private, _ = TPM2B_PRIVATE.unmarshal(key.private)
    except TSS2_Exception as error:
        raise StoreCorruptError("the public or private area of the key is damaged") from error

    def below(parent: Handle) -> Handle:
        return scope.add(lambda: scope.esys.load(parent, private, public))

    if key.parent >> 24 == 0x81:
        return below(_persistent_parent(scope, key.parent))
    if key.parent not in _HIERARCHIES:
        raise KeyStoreError(f"the key file names 0x{key.parent:08x} as its parent, which is no hierarchy of a TPM")
    return _below_hierarchy(scope, key, below)


def _persistent_parent(scope: Scope, handle: int) -> Handle:
    try:
        return scope.persistent(handle)
    except TSS2_Exception as error:
        if base_code(error.rc) != HANDLE:
            raise
        made = _primary(scope, OWNER_HIERARCHY) if handle == SRK_HANDLE else None
        if made is None:
            where = f"the key's parent is expected at 0x{handle:08x}, where this TPM has nothing"
            raise KeyStoreError(where, return_code=int(error.rc)) from error
        return made


def _below_hierarchy(scope: Scope, key: Tss2Key, below: Callable[[Handle], Handle]) -> Handle:
    refused: TSS2_Exception | None = None
    if key.parent == OWNER_HIERARCHY and not key.rsa_parent:
        persistent = persistent_srk(scope)
        if persistent is not None:
            try:
                return below(persistent)
            except TSS2_Exception as error:
                # the template leaves room in `unique`: the same template need not be the same key
                if base_code(error.rc) != INTEGRITY:
                    raise
                refused = error
    made = _primary(scope, key.parent, rsa_key=key.rsa_parent)
    if made is None:
        raise refused or _no_parent()
    return below(made)


def _primary(scope: Scope, hierarchy: int, *, rsa_key: bool = False) -> Handle | None:
    """The standard primary key of a hierarchy, made anew; None if the hierarchy wants an authorisation."""

    def make() -> Handle:
        template = storage_template(rsa_key=rsa_key)
        return scope.esys.create_primary(sensitive(b""), template, _HIERARCHIES[hierarchy])[0]

    try:
        return scope.add(make)
    except TSS2_Exception as error:
        if base_code(error.rc) == BAD_AUTH:
            return None
        raise


def _no_parent() -> KeyStoreError:
    return KeyStoreError(
        "the TPM's owner hierarchy is protected by an authorisation value, and no standard ECC storage key is at "
        f"0x{SRK_HANDLE:08x}",
        hint=_PROVISION,
    )
