"""A key is born: made by the TPM, read back, tested, and only then given its name."""

from __future__ import annotations

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
from device_sdk.keystores.tpm2.srk import load_key, parent_for_new_key
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
    if not supported(scope.esys, key_type):
        able = ", ".join(kind.value for kind in KeyType if supported(scope.esys, kind))
        raise MechanismUnsupportedError(
            f"{where}: this TPM cannot make {key_type.value} keys; it can make {able}",
            uri=where,
            mechanism=key_type.value,
        )
    parent = parent_for_new_key(scope)
    private, public, *_ = scope.esys.create(parent.handle, sensitive(auth), key_template(key_type))
    key = Tss2Key(
        public=bytes(public.marshal()), private=bytes(private.marshal()), parent=parent.value, empty_auth=not auth
    )
    handle = scope.add(lambda: scope.esys.load(parent.handle, private, public))
    _prove(scope, handle, key_type, auth, where)
    return key


def _prove(scope: Scope, handle: Handle, key_type: KeyType, auth: bytes, where: str) -> None:
    area = read_area(scope, handle)
    if area.failed_proof:
        raise ExtractableKeyError(
            f"{where}: the TPM made a key without {', '.join(area.failed_proof)}; it was destroyed",
            uri=where,
            attributes=area.failed_proof,
        )
    scope.esys.tr_set_auth(handle, auth)
    if area.key_type is not key_type or not _signs(scope.esys, handle, area):
        raise KeyStoreFailedError(f"{where}: the new key failed its test", uri=where, operation="test the new key")


def read_area(scope: Scope, handle: Handle) -> PublicArea:
    """The public area the TPM reports for a loaded key.

    Raises:
        ValueError: not an elliptic curve or RSA key.
    """
    public, _, _ = scope.esys.read_public(handle)
    return describe(public)


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
