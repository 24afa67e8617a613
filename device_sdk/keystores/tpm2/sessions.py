"""Sessions that encrypt what goes to the TPM and what comes back, so that nobody sees it between this process and the TPM.

An HMAC session salted to the storage root key: whoever only listens on the bus learns neither the authorisation value nor
the first parameter of a command or an answer (TPM 2.0 part 1, 19.6 and 21). Who answers in the TPM's place is another matter.
"""

from __future__ import annotations

from tpm2_pytss import (
    ESYS_TR,
    TPM2_ALG,
    TPM2_SE,
    TPMA_SESSION,
    TPMT_SYM_DEF,
    TPMU_SYM_KEY_BITS,
    TPMU_SYM_MODE,
)

from device_sdk.keystores.tpm2.scope import Handle, Scope
from device_sdk.keystores.tpm2.srk import SRK_HANDLE, parent_for_new_key


def session_below(scope: Scope, storage: Handle) -> Handle:
    """A session salted to a storage key; it ends with the scope."""
    cipher = TPMT_SYM_DEF(
        algorithm=TPM2_ALG.AES, keyBits=TPMU_SYM_KEY_BITS(aes=128), mode=TPMU_SYM_MODE(aes=TPM2_ALG.CFB)
    )

    def start() -> Handle:
        return scope.esys.start_auth_session(storage, ESYS_TR.NONE, TPM2_SE.HMAC, cipher, TPM2_ALG.SHA256)

    session = scope.add(start)
    scope.esys.trsess_set_attributes(
        session, TPMA_SESSION.CONTINUESESSION | TPMA_SESSION.DECRYPT | TPMA_SESSION.ENCRYPT
    )
    return session


def own_session(scope: Scope) -> Handle:
    """The same, with a storage root key that gives its slot back at once."""
    parent = parent_for_new_key(scope)
    session = session_below(scope, parent.handle)
    if parent.value != SRK_HANDLE:
        scope.flush(parent.handle)
    return session
