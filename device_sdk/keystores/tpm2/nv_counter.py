"""A counter in the TPM's NV memory (TPM 2.0 part 3, 31): it never goes back, not even if the owner removes it and makes it anew."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from tpm2_pytss import (
    ESYS_TR,
    TPM2_ALG,
    TPM2_NT,
    TPM2B_NV_PUBLIC,
    TPM2B_PUBLIC,
    TPMA_NV,
    TPMS_NV_PUBLIC,
    TSS2_Exception,
)

from device_sdk.errors import KeyExistsError, KeyStoreError, StoreCorruptError, UriError, WireError
from device_sdk.keystores.tpm2.auth import auth_for
from device_sdk.keystores.tpm2.context import DEADLINE_S
from device_sdk.keystores.tpm2.errors import AUTH_FAIL, BAD_AUTH, HANDLE, base_code
from device_sdk.keystores.tpm2.process import shared_tpm
from device_sdk.keystores.tpm2.scope import Handle, Scope
from device_sdk.keystores.tpm2.sessions import own_session
from device_sdk.keystores.tpm2.srk import load_key, parent_for_new_key
from device_sdk.keystores.tpm2.tcti import tcti_for
from device_sdk.keystores.tpm2.templates import PROOF_BITS, mac_template, sensitive
from device_sdk.model.counter import MonotonicCounter
from device_sdk.model.secret import SecretProvider
from device_sdk.wire.key_uri.tpm2 import Tpm2Uri
from device_sdk.wire.tss2_key import Tss2Key

_SIZE = 8
_REHEARSAL = TPMA_NV.AUTHWRITE | TPMA_NV.AUTHREAD | TPMA_NV.NO_DA | (TPM2_NT.COUNTER << TPMA_NV.TPM2_NT_SHIFT)
_FINAL = _REHEARSAL | TPMA_NV.OWNERREAD
_OURS = int(_FINAL)


@dataclass(frozen=True)
class _Index:
    handle: Handle
    rehearsal: bool
    written: bool


class TpmCounter(MonotonicCounter):
    """An NV index of type counter, which counts with its own authorisation value: the PIN of the URI, or none.

    Nothing sets it: not its holder, and not the owner, who can remove it (TPM2_NV_UndefineSpace) and make it anew, whereupon
    it starts above every value that any counter of this TPM ever had. Only TPM2_Clear begins again.

    Args:
        uri: `tpm2:nv=0x01800100`.
        provider: asked for the authorisation value where the URI names none.
        deadline_s: how long one operation is patient.

    Raises:
        UriError: the URI names no NV index.
    """

    def __init__(self, uri: Tpm2Uri, provider: SecretProvider | None = None, deadline_s: float = DEADLINE_S) -> None:
        if uri.nv is None:
            raise UriError(f"{uri}: names no counter", hint="tpm2:nv=0x01800100", uri=str(uri))
        self.uri, self._nv, self._deadline_s = str(uri), uri.nv, deadline_s
        self._tpm = shared_tpm(tcti_for(uri))
        auth = auth_for(uri, provider) if uri.pin_source or uri.pin_value else None
        self._auth = auth.reveal() if auth is not None else b""

    def value(self) -> int | None:
        """See MonotonicCounter."""

        def read(scope: Scope) -> int | None:
            index = self._index(scope)
            if index is None or index.rehearsal:
                return None
            return self._read(scope, index.handle, self._session(scope)) if index.written else 0

        return self._tpm.run("read the counter", read, where=self.uri, deadline_s=self._deadline_s)

    def prepare(self) -> int:
        """See MonotonicCounter.

        The first value follows from what other counters had: a counter of the same index is made, counts, and goes, before
        the real one is made, which starts one above. A cut in between is seen by the rehearsal's attributes. Where the owner
        has an authorisation value, and so made the index himself, it counts once now instead.
        """
        return self._tpm.run("make the counter", self._prepared, where=self.uri, deadline_s=self._deadline_s)

    def advance(self, to: int) -> int:
        """See MonotonicCounter."""

        def count(scope: Scope) -> int:
            index = self._index(scope)
            if index is None or index.rehearsal:
                raise KeyStoreError(f"{self.uri}: the counter is gone", uri=self.uri)
            session = self._session(scope)
            now = self._read(scope, index.handle, session) if index.written else 0
            if index.written and now != to - 1:
                return now
            scope.esys.nv_increment(index.handle, session1=session)
            return self._read(scope, index.handle, session)

        return self._tpm.run("count", count, where=self.uri, deadline_s=self._deadline_s)

    def new_key(self) -> str:
        """See MonotonicCounter: a TSS2 PRIVATE KEY."""

        def make(scope: Scope) -> Tss2Key:
            parent, session = parent_for_new_key(scope), self._session(scope)
            private, public, *_ = scope.esys.create(
                parent.handle, sensitive(self._auth), mac_template(), session1=session
            )
            blob = bytes(public.marshal()), bytes(private.marshal())
            return Tss2Key(*blob, parent.value, empty_auth=not self._auth)

        return self._tpm.run("make a key", make, where=self.uri, deadline_s=self._deadline_s).to_pem().decode()

    def mac(self, key: str, data: bytes) -> bytes:
        """See MonotonicCounter. The data is hashed here: a TPM takes a kibibyte."""
        try:
            blob = Tss2Key.parse(key.encode())
        except (WireError, UnicodeError) as error:
            raise StoreCorruptError(f"{self.uri}: not a key of a TPM", uri=self.uri) from error

        def make(scope: Scope) -> bytes:
            session = self._session(scope)
            handle = load_key(scope, blob)
            public, _, _ = scope.esys.read_public(handle)
            if not _is_born_here(public):
                raise StoreCorruptError(f"{self.uri}: the key of the MAC was not born in this TPM", uri=self.uri)
            scope.esys.tr_set_auth(handle, self._auth)
            return bytes(scope.esys.hmac(handle, hashlib.sha256(data).digest(), TPM2_ALG.SHA256, session1=session))

        return self._tpm.run("make a MAC", make, where=self.uri, deadline_s=self._deadline_s)

    def _prepared(self, scope: Scope) -> int:
        session, index = self._session(scope), self._index(scope)
        if index is not None and index.written and not index.rehearsal:
            raise KeyExistsError(f"{self.uri}: the counter is in use", uri=self.uri)
        if index is not None and not self._removed(scope, index.handle, session):
            scope.esys.nv_increment(index.handle, session1=session)
            return self._read(scope, index.handle, session) + 1
        rehearsal = self._defined(scope, _REHEARSAL, session)
        scope.esys.nv_increment(rehearsal, session1=session)
        last = self._read(scope, rehearsal, session)
        scope.esys.nv_undefine_space(rehearsal, session1=session)
        scope.esys.tr_close(self._defined(scope, _FINAL, session))
        return last + 1

    def _index(self, scope: Scope) -> _Index | None:
        try:
            handle = scope.esys.tr_from_tpmpublic(self._nv)
        except TSS2_Exception as error:
            if base_code(error.rc) != HANDLE:
                raise
            return None
        public, _ = scope.esys.nv_read_public(handle)
        said = int(public.nvPublic.attributes)
        kind = said & ~int(TPMA_NV.WRITTEN)
        if kind not in (_OURS, int(_REHEARSAL)):
            raise KeyExistsError(
                f"{self.uri}: something else than such a counter is there (attributes 0x{said:08x})",
                hint=f"name another index; by hand: {self._by_hand}",
                uri=self.uri,
            )
        scope.esys.tr_set_auth(handle, self._auth)
        return _Index(handle, kind != _OURS, bool(said & int(TPMA_NV.WRITTEN)))

    def _defined(self, scope: Scope, attributes: int, session: Handle) -> Handle:
        public = TPM2B_NV_PUBLIC(
            nvPublic=TPMS_NV_PUBLIC(
                nvIndex=self._nv, nameAlg=TPM2_ALG.SHA256, attributes=attributes, authPolicy=b"", dataSize=_SIZE
            )
        )
        try:
            handle = scope.esys.nv_define_space(self._auth, public, session1=session)
        except TSS2_Exception as error:
            if base_code(error.rc) not in (AUTH_FAIL, BAD_AUTH):
                raise
            raise KeyStoreError(
                f"{self.uri}: there is no counter, and the TPM's owner hierarchy has an authorisation value",
                hint=f"have the owner make it once: {self._by_hand}",
                uri=self.uri,
            ) from error
        scope.esys.tr_set_auth(handle, self._auth)
        return handle

    @property
    def _by_hand(self) -> str:
        auth = " -p INDEXAUTH" if self._auth else ""
        return (
            f"tpm2_nvdefine 0x{self._nv:08x} -C o -P OWNERAUTH{auth} -s {_SIZE} "
            '-a "nt=counter|authwrite|authread|ownerread|no_da"'
        )

    @staticmethod
    def _removed(scope: Scope, handle: Handle, session: Handle) -> bool:
        """Whether an index that never counted, or a rehearsal's, could be removed; not if the owner has an authorisation."""
        try:
            scope.esys.nv_undefine_space(handle, session1=session)
        except TSS2_Exception as error:
            if base_code(error.rc) not in (AUTH_FAIL, BAD_AUTH):
                raise
            return False
        return True

    def _session(self, scope: Scope) -> Handle:
        """Without an authorisation value there is nothing to be hidden on the way."""
        return own_session(scope) if self._auth else ESYS_TR.PASSWORD

    @staticmethod
    def _read(scope: Scope, handle: Handle, session: Handle) -> int:
        return int.from_bytes(bytes(scope.esys.nv_read(handle, _SIZE, session1=session)), "big")


def _is_born_here(public: TPM2B_PUBLIC) -> bool:
    said = int(public.publicArea.objectAttributes)
    return int(public.publicArea.type) == int(TPM2_ALG.KEYEDHASH) and said & PROOF_BITS == PROOF_BITS
