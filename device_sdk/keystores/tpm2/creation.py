"""A key is born: made by the TPM, read back, tested, and only then given its name."""

from __future__ import annotations

from dataclasses import replace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from tpm2_pytss import ESAPI, ESYS_TR, TPM2_ALG, TPMT_PUBLIC_PARMS, TSS2_Exception

from device_sdk.errors import (
    ExtractableKeyError,
    KeyExistsError,
    KeyNotFoundError,
    KeyStoreFailedError,
    MechanismUnsupportedError,
)
from device_sdk.keystores.tpm2.errors import HANDLE, NV_DEFINED, Kind, base_code, kind_of
from device_sdk.keystores.tpm2.held import no_ticket, signature_scheme
from device_sdk.keystores.tpm2.scope import Handle, Scope
from device_sdk.keystores.tpm2.srk import is_below_root, load_key, parent_for_new_key
from device_sdk.keystores.tpm2.templates import PublicArea, describe, key_template, sensitive
from device_sdk.model.keys import KeyType
from device_sdk.wire.tss2_key import Tss2Key

_DIGEST = bytes(range(32))


def supported(esys: ESAPI, key_type: KeyType) -> bool:
    """Whether the TPM says that it can make such a key (TPM2_TestParms)."""
    template = key_template(key_type)  # tpm2-pytss: must outlive its parts
    area = template.publicArea
    try:
        esys.test_parms(TPMT_PUBLIC_PARMS(type=area.type, parameters=area.parameters))
    except TSS2_Exception as error:
        if kind_of(error.rc) is not Kind.FINAL:
            raise
        return False
    return True


def make_key(scope: Scope, key_type: KeyType, auth: bytes, where: str) -> Tss2Key:
    """Make a key, prove it and test it; nothing of it is in the TPM afterwards.

    Raises:
        MechanismUnsupportedError: the TPM cannot; the message lists what it can make.
        ExtractableKeyError: what the TPM made could leave it; it is gone.
        KeyStoreFailedError: it does not sign.
    """
    refuse_unsupported(scope, key_type, where, "make")
    parent = parent_for_new_key(scope)
    private, public, *_ = scope.esys.create(parent.handle, sensitive(auth), key_template(key_type))
    key = Tss2Key(
        public=bytes(public.marshal()), private=bytes(private.marshal()), parent=parent.value, empty_auth=not auth
    )
    handle = scope.add(lambda: scope.esys.load(parent.handle, private, public))
    prove_key(scope, handle, key_type, auth, where)
    return key


def refuse_unsupported(scope: Scope, key_type: KeyType, where: str, verb: str) -> None:
    """Refuse a type of key that the TPM has not; `verb` says what it was to do with it.

    Raises:
        MechanismUnsupportedError: the message lists what it has.
    """
    if supported(scope.esys, key_type):
        return
    able = ", ".join(kind.value for kind in KeyType if supported(scope.esys, kind))
    raise MechanismUnsupportedError(
        f"{where}: this TPM cannot {verb} {key_type.value} keys; it can {verb} {able}",
        uri=where,
        mechanism=key_type.value,
    )


def prove_key(
    scope: Scope, handle: Handle, key_type: KeyType, auth: bytes, where: str, *, imported: bool = False
) -> PublicArea:
    """Read back what a new key is, and have it sign.

    Args:
        scope: where it is loaded.
        handle: the key.
        key_type: what it has to be.
        auth: its authorisation value.
        where: redacted URI, for messages.
        imported: it came from outside; it must not be able to leave again.

    Raises:
        ExtractableKeyError: it could leave the TPM.
        KeyStoreFailedError: another type, or it does not sign what its public half verifies.
    """
    area = read_area(scope, handle)
    bad = area.ways_out if imported else area.failed_proof
    if bad:
        made = "the imported key could leave the TPM by its" if imported else "the TPM made a key without"
        raise ExtractableKeyError(f"{where}: {made} {', '.join(bad)}; it was destroyed", uri=where, attributes=bad)
    scope.esys.tr_set_auth(handle, auth)
    if area.key_type is not key_type or not _signs(scope.esys, handle, area):
        raise KeyStoreFailedError(f"{where}: the new key failed its test", uri=where, operation="test the new key")
    return area


def read_area(scope: Scope, handle: Handle) -> PublicArea:
    """The public area the TPM reports for a loaded key; of one that was not born here, also whether its parent is fixed.

    Raises:
        ValueError: not an elliptic curve or RSA key.
    """
    public, name, qualified_name = scope.esys.read_public(handle)
    area = describe(public)
    if not area.failed_proof:
        return area
    return replace(area, below_root=is_below_root(scope, bytes(name), bytes(qualified_name)))


def _signs(esys: ESAPI, handle: Handle, area: PublicArea) -> bool:
    """One signature by the TPM, checked by software."""
    key, prehashed = area.public_key, Prehashed(hashes.SHA256())
    scheme = TPM2_ALG.ECDSA if isinstance(key, ec.EllipticCurvePublicKey) else TPM2_ALG.RSASSA
    signature = bytes(esys.sign(handle, _DIGEST, signature_scheme(scheme, TPM2_ALG.SHA256), no_ticket()))
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, _DIGEST, ec.ECDSA(prehashed))
        else:
            key.verify(signature, _DIGEST, padding.PKCS1v15(), prehashed)
    except InvalidSignature:
        return False
    return True


def make_persistent(scope: Scope, key: Tss2Key, handle: int, where: str) -> None:
    """Put a key under a persistent handle; done already counts as done.

    Raises:
        KeyExistsError: another key is there.
    """
    loaded = load_key(scope, key)
    try:
        scope.persistent(handle)
    except TSS2_Exception as error:
        if base_code(error.rc) != HANDLE:
            raise
    else:
        # after a lost answer the first attempt may have succeeded
        same = bytes(scope.esys.tr_get_name(scope.persistent(handle))) == bytes(scope.esys.tr_get_name(loaded))
        scope.forget_persistent(handle)
        if not same:
            raise KeyExistsError(f"{where}: the handle is taken", uri=where)
        return
    try:
        scope.esys.tr_close(scope.esys.evict_control(ESYS_TR.OWNER, loaded, handle))
    except TSS2_Exception as error:
        if base_code(error.rc) != NV_DEFINED:
            raise
        raise KeyExistsError(f"{where}: the handle was taken a moment ago", uri=where) from error


def remove_persistent(scope: Scope, handle: int, where: str) -> None:
    """Take a key away from its persistent handle.

    Raises:
        KeyNotFoundError: nothing is there.
    """
    scope.forget_persistent(handle)
    try:
        found = scope.persistent(handle)
    except TSS2_Exception as error:
        if base_code(error.rc) != HANDLE:
            raise
        raise KeyNotFoundError(f"{where}: nothing is under this handle", uri=where) from error
    try:
        scope.esys.evict_control(ESYS_TR.OWNER, found, handle)
    finally:
        scope.forget_persistent(handle)
