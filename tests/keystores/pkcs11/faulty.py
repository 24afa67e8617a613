"""SoftHSM behind a module that fails, lies and counts as it is told to (faulty_module.c)."""

from __future__ import annotations

import ctypes

from device_sdk_simulators.softhsm import SoftHsm

_FUNCTIONS = {
    "C_Initialize": 0,
    "C_Finalize": 1,
    "C_GetTokenInfo": 6,
    "C_OpenSession": 12,
    "C_CloseSession": 13,
    "C_Login": 18,
    "C_Logout": 19,
    "C_CreateObject": 20,
    "C_DestroyObject": 22,
    "C_FindObjectsInit": 26,
    "C_Decrypt": 34,
    "C_SignInit": 42,
    "C_Sign": 43,
    "C_GenerateKeyPair": 59,
    "C_UnwrapKey": 61,
    "C_DeriveKey": 62,
}
_LIES = {
    "set_flags": 0,
    "clear_flags": 1,
    "cant_lock": 2,
    "leak": 3,
    "refuse_attribute": 4,
    "refuse_mechanism": 5,
    "hide_attribute": 6,
    "max_sessions": 8,
    "token_only": 9,
    "no_private_objects": 11,
}


class FaultyModule:
    """SoftHSM behind a module that fails, lies and counts (faulty_module.c)."""

    def __init__(self, path: str, token: SoftHsm) -> None:
        self.path = path
        self.token = token
        self._library = ctypes.CDLL(path)
        self._library.faulty_fail.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_long, ctypes.c_long)
        self._library.faulty_lie.argtypes = (ctypes.c_int, ctypes.c_ulong)
        self._library.faulty_last_flags.restype = ctypes.c_ulong
        self._library.faulty_last_signed.restype = ctypes.c_ulong
        self._library.faulty_reset()

    @property
    def uri(self) -> str:
        """URI of the token through this module."""
        return self.uri_of()

    def uri_of(self, object_label: str | None = None) -> str:
        """URI of an object through this module."""
        return self.token.uri_of(object_label).replace(self.token.module_path, self.path)

    def fail(self, function: str, code: int, *, after: int = 0, times: int = 1) -> None:
        """Let a function return a code instead of doing its work."""
        self._library.faulty_fail(_FUNCTIONS[function], code, after, times)

    def lie(self, what: str, value: int) -> None:
        """Change what the module says or takes, until the test ends."""
        self._library.faulty_lie(_LIES[what], value)

    def calls(self, function: str) -> int:
        """How often a function was called."""
        return int(self._library.faulty_calls(_FUNCTIONS[function]))

    @property
    def initialize_flags(self) -> int:
        """Flags of the last C_Initialize."""
        return int(self._library.faulty_last_flags())

    @property
    def last_signed(self) -> int:
        """How many bytes C_Sign was last given."""
        return int(self._library.faulty_last_signed())

    @property
    def most_inside(self) -> int:
        """How many threads were inside at once."""
        return int(self._library.faulty_most_inside())

    def reset(self) -> None:
        """Be honest again and count from zero."""
        self._library.faulty_reset()
