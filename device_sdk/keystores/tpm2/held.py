"""A key's way into the TPM: load, authorise, one operation, flush."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tpm2_pytss import ESAPI, TPM2_ALG, TPM2_RH, TPM2_ST, TPMT_SIG_SCHEME, TPMT_TK_HASHCHECK, TSS2_Exception

from device_sdk.errors import KeyStoreError, PinIncorrectError, PinRefusedError, PinRequiredError
from device_sdk.keystores.tpm2.context import DEADLINE_S, Tpm
from device_sdk.keystores.tpm2.errors import SIZE, VALUE, base_code
from device_sdk.keystores.tpm2.material import Material
from device_sdk.keystores.tpm2.scope import Handle, Scope
from device_sdk.keystores.tpm2.sessions import own_session
from device_sdk.model.secret import Secret

T = TypeVar("T")

HASHES = {"sha1": TPM2_ALG.SHA1, "sha256": TPM2_ALG.SHA256, "sha384": TPM2_ALG.SHA384, "sha512": TPM2_ALG.SHA512}
"""The hashes a TPM may know, by cryptography's names."""

_AFTER_AUTHORISATION = {SIZE, VALUE, 0x082, 0x083, 0x08A, 0x092, 0x09C}  # ATTRIBUTES, HASH, TYPE, SCHEME, KEY


class Held:
    """A key's way into the TPM, shared by all threads that use the key.

    Args:
        tpm: where it lives.
        material: how it is loaded.
        auth: its authorisation value, or None for an empty one.
        where: redacted URI.
        deadline_s: how long one operation is patient.
    """

    def __init__(
        self, tpm: Tpm, material: Material, auth: Secret | None, where: str, deadline_s: float = DEADLINE_S
    ) -> None:
        self._tpm, self._material, self._auth, self.where = tpm, material, auth, where
        self._deadline_s = deadline_s
        self._refused = False
        self._closed = False

    def use(self, operation: str, work: Callable[[ESAPI, Handle], T]) -> T:
        """Load the key, authorise, do one thing with it, and flush it.

        Raises:
            PinRequiredError, PinIncorrectError: the authorisation was refused; it was tried once.
            PinRefusedError: it was refused before and is not tried again: under dictionary-attack protection every try
                counts.
            KeyStoreError: anything else; see Tpm.run.
        """
        return self._run(operation, lambda scope: work(scope.esys, self._loaded(scope)))

    def use_encrypted(self, operation: str, work: Callable[[ESAPI, Handle, Handle], T]) -> T:
        """The same with a session that authorises and encrypts; see sessions. `work` gets it as its third argument."""

        def encrypted(scope: Scope) -> T:
            session = own_session(scope)
            return work(scope.esys, self._loaded(scope), session)

        return self._run(operation, encrypted)

    def _loaded(self, scope: Scope) -> Handle:
        handle = self._material.load(scope)
        scope.esys.tr_set_auth(handle, self._auth.reveal() if self._auth is not None else b"")
        return handle

    def _run(self, operation: str, authorised: Callable[[Scope], T]) -> T:
        if self._closed:
            raise KeyStoreError(f"{self.where}: the key is closed", uri=self.where)
        if self._refused:
            raise PinRefusedError(f"{self.where}: the authorisation value was refused before", uri=self.where)
        try:
            return self._tpm.run(operation, authorised, where=self.where, deadline_s=self._deadline_s)
        except PinIncorrectError as error:
            self._refused = True
            if self._auth is not None:
                raise
            raise PinRequiredError(
                f"{self.where}: the key wants an authorisation value and none was given",
                hint="add pin-source=file:PATH to the URI",
                uri=self.where,
                return_code=error.return_code,
            ) from error

    def close(self) -> None:
        """Nothing is loaded between uses: only stop."""
        self._closed = True


def check_auth(esys: ESAPI, handle: Handle) -> None:
    """Find out whether the authorisation is right, in one command and without an RSA or ECC operation.

    The authorisation is checked before the parameters (TPM 2.0 part 1, command processing), and no hash has one byte.

    Raises:
        TSS2_Exception: the authorisation is wrong, or the TPM is gone or busy.
    """
    try:
        esys.sign(handle, b"\0", signature_scheme(TPM2_ALG.ECDSA, TPM2_ALG.SHA256), no_ticket())
    except TSS2_Exception as error:
        if base_code(error.rc) not in _AFTER_AUTHORISATION:
            raise


def signature_scheme(scheme: int, hash_algorithm: int) -> TPMT_SIG_SCHEME:
    """What TPM2_Sign is asked for."""
    value = TPMT_SIG_SCHEME(scheme=scheme)
    value.details.any.hashAlg = hash_algorithm
    return value


def no_ticket() -> TPMT_TK_HASHCHECK:
    """The ticket that says the digest did not come from the TPM: unrestricted keys need none."""
    return TPMT_TK_HASHCHECK(tag=TPM2_ST.HASHCHECK, hierarchy=TPM2_RH.NULL)
