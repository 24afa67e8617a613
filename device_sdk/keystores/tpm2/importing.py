"""A key that was made elsewhere goes into the TPM: TPM2_Import below the storage root key, and nothing takes it out again.

An imported key cannot be fixedTPM and fixedParent. What would move it, TPM2_Duplicate, needs the authorisation of a policy
with TPM2_PolicyCommandCode (TPM 2.0 part 3, 13.1), and no policy session matches an empty authPolicy. As its parent cannot
be moved either, the key stays where it is.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from tpm2_pytss import (
    TPM2_ALG,
    TPM2B_DATA,
    TPM2B_PUBLIC,
    TPM2B_SENSITIVE,
    TPMT_SENSITIVE,
    TPMT_SYM_DEF_OBJECT,
    TSS2_Exception,
)
from tpm2_pytss.utils import wrap

from device_sdk.errors import KeyStoreFailedError, MechanismUnsupportedError
from device_sdk.keystores.tpm2.creation import prove_key, refuse_unsupported
from device_sdk.keystores.tpm2.errors import Kind, kind_of
from device_sdk.keystores.tpm2.scope import Scope
from device_sdk.keystores.tpm2.srk import Parent, parent_for_new_key
from device_sdk.keystores.tpm2.templates import import_template
from device_sdk.model.keys import KeyType, PrivateKey
from device_sdk.wire.tss2_key import Tss2Key

_DEFAULT_EXPONENT = 65537


def import_into(scope: Scope, key: PrivateKey, key_type: KeyType, auth: bytes, where: str) -> Tss2Key:
    """Import a key, prove it and test it; nothing of it is in the TPM afterwards.

    On its way to the TPM it is encrypted to the storage root key (the outer wrapper of TPM 2.0 part 1, 23.3), so that
    nobody between this process and the TPM sees it.

    Raises:
        MechanismUnsupportedError: the TPM takes no such key.
        ExtractableKeyError: the TPM could let it out; it is gone.
        KeyStoreFailedError: it does not sign what its public half verifies.
    """
    refuse_unsupported(scope, key_type, where, "take")
    public_key = key.public_key()
    if isinstance(public_key, rsa.RSAPublicKey) and public_key.public_numbers().e != _DEFAULT_EXPONENT:
        raise MechanismUnsupportedError(
            f"{where}: TPMs take RSA keys with the exponent {_DEFAULT_EXPONENT} only", uri=where, mechanism="exponent"
        )
    parent, public = parent_for_new_key(scope), import_template(key_type, public_key)
    private = _imported(scope, parent, public, _sensitive(key, auth), where)
    handle = scope.add(lambda: scope.esys.load(parent.handle, private, public))
    area = prove_key(scope, handle, key_type, auth, where, imported=True)
    if area.public_key != public_key:
        raise KeyStoreFailedError(f"{where}: the TPM has another key than was imported", uri=where, operation="import")
    return Tss2Key(
        public=bytes(public.marshal()), private=bytes(private.marshal()), parent=parent.value, empty_auth=not auth
    )


def _imported(scope: Scope, parent: Parent, public: TPM2B_PUBLIC, secret: TPM2B_SENSITIVE, where: str) -> Any:
    storage, _, _ = scope.esys.read_public(parent.handle)
    _, duplicate, seed = wrap(storage.publicArea, public, secret)
    no_inner_wrapper = TPMT_SYM_DEF_OBJECT(algorithm=TPM2_ALG.NULL)
    try:
        return scope.esys.import_(parent.handle, TPM2B_DATA(), public, duplicate, seed, no_inner_wrapper)
    except TSS2_Exception as error:
        if kind_of(error.rc) is not Kind.FINAL:
            raise
        raise MechanismUnsupportedError(
            f"{where}: the TPM does not take this key (TPM2_Import: code 0x{int(error.rc):x})",
            uri=where,
            mechanism="import",
            return_code=int(error.rc),
        ) from error


def _sensitive(key: PrivateKey, auth: bytes) -> TPM2B_SENSITIVE:
    """The secret half: authorisation value, and the scalar or one prime (TPM 2.0 part 2, 12.3.2.4)."""
    if isinstance(key, rsa.RSAPrivateKey):
        kind, number, size = TPM2_ALG.RSA, key.private_numbers().p, (key.key_size + 15) // 16
    else:
        kind, number, size = TPM2_ALG.ECC, key.private_numbers().private_value, (key.key_size + 7) // 8
    value = TPM2B_SENSITIVE(sensitiveArea=TPMT_SENSITIVE(sensitiveType=kind))
    area = value.sensitiveArea
    if auth:
        area.authValue = auth
    setattr(area.sensitive, "rsa" if kind == TPM2_ALG.RSA else "ecc", number.to_bytes(size, "big"))
    return value
