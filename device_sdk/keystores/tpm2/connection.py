"""The connection to one TPM: an ESAPI context on a TCTI, made at need and dropped when it broke."""

from __future__ import annotations

import time
from contextlib import suppress

from tpm2_pytss import ESAPI, TSS2_Exception
from tpm2_pytss.TCTILdr import TCTILdr

from device_sdk.errors import KeyStoreBusyError
from device_sdk.keystores.tpm2.scope import Handle
from device_sdk.keystores.tpm2.tcti import unreachable

_WAIT_S = 0.1


class Connection:
    """Not safe from several threads: Tpm serialises.

    Args:
        tcti: the TPM.

    Attributes:
        persistent: ESAPI's names of persistent objects, good for this connection.
        answered: whether this TPM ever worked.
    """

    def __init__(self, tcti: str) -> None:
        self._tcti = tcti
        self._esys: ESAPI | None = None
        self._transport: TCTILdr | None = None
        self.persistent: dict[int, Handle] = {}
        self.answered = False

    def esys(self, place: str, deadline: float) -> ESAPI:
        """The ESAPI context.

        Raises:
            TokenNotFoundError, TokenRemovedError: no TPM answers; the second if it did before.
            KeyStoreBusyError: another process kept the device open until the deadline.
        """
        name, _, conf = self._tcti.partition(":")
        while self._esys is None:
            try:
                self._transport = TCTILdr(name, conf or None)
                self._esys = ESAPI(self._transport)
            except TSS2_Exception as error:
                self.close()
                reason = unreachable(self._tcti, place, int(error.rc), answered_before=self.answered)
                if not isinstance(reason, KeyStoreBusyError) or time.monotonic() >= deadline:
                    raise reason from error
                time.sleep(_WAIT_S)
        return self._esys

    @property
    def current(self) -> ESAPI | None:
        """The ESAPI context if there is one."""
        return self._esys

    def close(self) -> None:
        """Drop the connection; the next use makes a new one."""
        self.persistent.clear()
        esys, transport = self.inherited()
        with suppress(TSS2_Exception):
            if esys is not None:
                esys.close()
        if transport is not None:
            transport.close()

    def inherited(self) -> tuple[ESAPI | None, TCTILdr | None]:
        """Let go of the connection without a word to the TPM."""
        held = (self._esys, self._transport)
        self._esys, self._transport = None, None
        self.persistent.clear()
        return held
