"""How a key is brought back into the TPM for each use: from its file, or from its persistent handle."""

from __future__ import annotations

from abc import ABC, abstractmethod

from tpm2_pytss import TPMS_CONTEXT, TSS2_Exception

from device_sdk.errors import KeyNotFoundError
from device_sdk.keystores.tpm2.errors import Kind, base_code, kind_of
from device_sdk.keystores.tpm2.scope import Handle, Scope
from device_sdk.keystores.tpm2.srk import load_key
from device_sdk.wire.tss2_key import Tss2Key

_FIRST_FORMAT_ONE = 0x080


class Material(ABC):
    """What it takes to use a key once more."""

    @abstractmethod
    def load(self, scope: Scope) -> Handle:
        """The key, usable until the scope ends.

        Raises:
            TSS2_Exception: the TPM refused.
            KeyStoreError: parent or key are not there.
        """


class FileMaterial(Material):
    """A key from a TSS2 PRIVATE KEY file.

    After the first load the TPM's own saved context (encrypted by the TPM, good until its next reset) brings the key
    back in one command instead of three, without its parent and with one slot instead of two.

    Args:
        key: the file.
    """

    def __init__(self, key: Tss2Key) -> None:
        self._key = key
        self._saved: TPMS_CONTEXT | None = None

    def load(self, scope: Scope) -> Handle:
        """The key, from the saved context if that is still good."""
        saved = self._saved
        if saved is not None:
            try:
                return scope.add(lambda: scope.esys.context_load(saved))
            except TSS2_Exception as error:
                if kind_of(error.rc) is not Kind.FINAL or base_code(error.rc) < _FIRST_FORMAT_ONE:
                    raise
                self._saved = None
        handle = load_key(scope, self._key)
        self._saved = scope.esys.context_save(handle)
        return handle


class PersistentMaterial(Material):
    """A key under a persistent handle.

    Args:
        handle: 0x81000000 and above.
        name: the key's TPM name (nameAlg || hash of its public area) when it was opened.
        where: redacted URI for messages.
    """

    def __init__(self, handle: int, name: bytes, where: str) -> None:
        self._handle = handle
        self._name = name
        self._where = where
        self._known: Handle | None = None

    def load(self, scope: Scope) -> Handle:
        """The key, unless somebody put another one under its handle."""
        handle = scope.persistent(self._handle)
        # ESAPI computes the name from what it read when it made this object; again and again that takes most of its time
        if handle is not self._known and bytes(scope.esys.tr_get_name(handle)) != self._name:
            scope.forget_persistent(self._handle)
            raise KeyNotFoundError(f"{self._where}: another key is under this handle now", uri=self._where)
        self._known = handle
        return handle
