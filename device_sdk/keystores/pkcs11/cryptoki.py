"""The PKCS#11 functions that python-pkcs11 does not offer, or not safely, called through ctypes.

python-pkcs11 0.10 initialises a module without locking although it calls it from several threads at once (SoftHSM
crashes), loses a session with every failed login, cannot log in separately from opening a session, and stops a whole
search at one broken object. Here are only those functions; everything with a key in it stays with python-pkcs11.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping
from ctypes import POINTER, Structure, byref, c_char, c_ubyte, c_ulong, c_void_p
from dataclasses import dataclass
from typing import Any

from device_sdk.keystores.pkcs11 import codes
from device_sdk.keystores.pkcs11.codes import CkError
from device_sdk.model.secret import Secret

CKF_OS_LOCKING_OK = 0x2
CKU_USER = 1
_UNAVAILABLE = c_ulong(-1).value
_MAX_ATTRIBUTE_BYTES = 1 << 20
_BATCH = 64

# CK_FUNCTION_LIST is CK_VERSION and then pointers in the order of PKCS#11 v2.40, section 3.6.
_PLACES = {
    "C_Initialize": 0,
    "C_Finalize": 1,
    "C_GetInfo": 2,
    "C_GetTokenInfo": 6,
    "C_CloseSession": 13,
    "C_Login": 18,
    "C_Logout": 19,
    "C_CreateObject": 20,
    "C_DestroyObject": 22,
    "C_GetAttributeValue": 24,
    "C_FindObjectsInit": 26,
    "C_FindObjects": 27,
    "C_FindObjectsFinal": 28,
    "C_DecryptInit": 33,
    "C_Decrypt": 34,
    "C_UnwrapKey": 61,
}


class _Version(Structure):
    _fields_ = (("major", c_ubyte), ("minor", c_ubyte))


class _FunctionList(Structure):
    _fields_ = (("version", _Version), ("functions", c_void_p * (max(_PLACES.values()) + 1)))


class _InitializeArgs(Structure):
    _fields_ = (("mutex_functions", c_void_p * 4), ("flags", c_ulong), ("reserved", c_void_p))


class _Info(Structure):
    _fields_ = (
        ("cryptoki_version", _Version),
        ("manufacturer", c_char * 32),
        ("flags", c_ulong),
        ("description", c_char * 32),
        ("library_version", _Version),
    )


class _TokenInfo(Structure):
    _fields_ = (
        ("texts", c_char * 96),
        ("flags", c_ulong),
        ("max_sessions", c_ulong),
        ("sessions", c_ulong),
        ("max_rw_sessions", c_ulong),
        ("rw_sessions", c_ulong),
        ("max_pin_length", c_ulong),
        ("min_pin_length", c_ulong),
        ("memory", c_ulong * 4),
        ("hardware_version", _Version),
        ("firmware_version", _Version),
        ("utc_time", c_char * 16),
    )


class _Attribute(Structure):
    _fields_ = (("type", c_ulong), ("value", c_void_p), ("length", c_ulong))


@dataclass(frozen=True)
class LibraryInfo:
    """What a module says of itself (CK_INFO)."""

    manufacturer: str
    description: str
    version: tuple[int, int]


@dataclass(frozen=True)
class TokenStatus:
    """The parts of CK_TOKEN_INFO that change.

    Attributes:
        flags: the CKF_ bits.
        sessions: open sessions of this process; None where the module does not tell.
        max_sessions: how many there may be; None where unlimited or unknown.
        firmware: version of the token's firmware.
    """

    flags: int
    sessions: int | None
    max_sessions: int | None
    firmware: tuple[int, int]


class Cryptoki:
    """One module's function list.

    Args:
        path: the shared library.

    Raises:
        OSError: it cannot be loaded.
        CkError: it gives no function list.
    """

    def __init__(self, path: str) -> None:
        # Kept for the life of the process: unloading a module while OpenSSL's exit handlers still point into it crashes.
        self._library = ctypes.CDLL(path)
        try:
            get_list = self._library.C_GetFunctionList
        except AttributeError as error:
            raise OSError("it has no C_GetFunctionList, so it is not a PKCS#11 module") from error
        get_list.restype, get_list.argtypes = c_ulong, (c_void_p,)
        pointer = POINTER(_FunctionList)()
        if (code := get_list(byref(pointer))) != codes.OK:
            raise CkError(code, "C_GetFunctionList")
        self._pointers = {name: pointer.contents.functions[place] for name, place in _PLACES.items()}
        self._functions: dict[str, Any] = {}

    def _call(self, name: str, *arguments: object) -> None:
        if (code := self._result(name, *arguments)) != codes.OK:
            raise CkError(code, name)

    def _result(self, name: str, *arguments: object) -> int:
        function = self._functions.get(name)
        if function is None:
            if not self._pointers[name]:
                return codes.FUNCTION_NOT_SUPPORTED
            # Integer arguments are CK_ULONG or pointers: both as wide as c_void_p on Linux.
            prototype = ctypes.CFUNCTYPE(c_ulong, *[c_void_p] * len(arguments))
            function = self._functions[name] = prototype(self._pointers[name])
        return int(function(*arguments))

    def initialize(self) -> bool:
        """C_Initialize with CKF_OS_LOCKING_OK; False if this process has initialised the module already.

        Raises:
            CkError: CANT_LOCK if the module knows no threads; then `initialize_single_threaded` is the way.
        """
        return self._initialized(byref(_InitializeArgs(flags=CKF_OS_LOCKING_OK)))

    def initialize_single_threaded(self) -> bool:
        """C_Initialize for a module that refuses to lock; the caller has to let only one thread in at a time."""
        return self._initialized(None)

    def _initialized(self, arguments: object) -> bool:
        code = self._result("C_Initialize", arguments)
        if code not in (codes.OK, codes.CRYPTOKI_ALREADY_INITIALIZED):
            raise CkError(code, "C_Initialize")
        return code == codes.OK

    def finalize(self) -> None:
        """C_Finalize; not being initialised is not an error."""
        code = self._result("C_Finalize", None)
        if code not in (codes.OK, codes.CRYPTOKI_NOT_INITIALIZED):
            raise CkError(code, "C_Finalize")

    def library_info(self) -> LibraryInfo:
        """C_GetInfo."""
        info = _Info()
        self._call("C_GetInfo", byref(info))
        version = (info.library_version.major, info.library_version.minor)
        return LibraryInfo(_text(info.manufacturer), _text(info.description), version)

    def token_status(self, slot_id: int) -> TokenStatus:
        """C_GetTokenInfo."""
        info = _TokenInfo()
        self._call("C_GetTokenInfo", slot_id, byref(info))
        sessions = None if info.sessions == _UNAVAILABLE else info.sessions
        limit = None if info.max_sessions in (0, _UNAVAILABLE) else info.max_sessions
        return TokenStatus(info.flags, sessions, limit, (info.firmware_version.major, info.firmware_version.minor))

    def login(self, session: int, pin: Secret | None) -> None:
        """C_Login as user; None is for a token with its own PIN pad."""
        value = pin.reveal() if pin is not None else None
        self._call("C_Login", session, CKU_USER, value, len(value) if value is not None else 0)

    def logout(self, session: int) -> None:
        """C_Logout."""
        self._call("C_Logout", session)

    def close_session(self, session: int) -> None:
        """C_CloseSession."""
        self._call("C_CloseSession", session)

    def find(self, session: int, template: Mapping[int, bytes], limit: int = 10_000) -> list[int]:
        """Handles of the objects that have all these attributes, the search read to its end.

        Raises:
            CkError: the module's error, or more than `limit` objects.
        """
        array, _alive = _template(template)
        self._call("C_FindObjectsInit", session, array, len(template))
        found: list[int] = []
        handles, count = (c_ulong * _BATCH)(), c_ulong(1)
        try:
            while count.value:
                self._call("C_FindObjects", session, handles, _BATCH, byref(count))
                found += handles[: count.value]
                if len(found) > limit:
                    raise CkError(None, "C_FindObjects", f"more than {limit} objects on the token")
        finally:
            self._result("C_FindObjectsFinal", session)
        return found

    def attribute(self, session: int, handle: int, kind: int) -> bytes | None:
        """One attribute of an object, or None if it has none of that kind or does not show it."""
        attribute = _Attribute(kind, None, 0)
        for _ in range(2):
            code = self._result("C_GetAttributeValue", session, handle, byref(attribute), 1)
            if code in (codes.ATTRIBUTE_TYPE_INVALID, codes.ATTRIBUTE_SENSITIVE, codes.ATTRIBUTE_VALUE_INVALID):
                return None
            if code != codes.OK:
                raise CkError(code, "C_GetAttributeValue")
            if attribute.length == _UNAVAILABLE or attribute.length > _MAX_ATTRIBUTE_BYTES:
                return None
            if attribute.value is None:
                buffer = ctypes.create_string_buffer(max(attribute.length, 1))
                attribute.value = ctypes.addressof(buffer)
        return _taken(buffer, attribute.length)

    def attributes(self, session: int, handle: int, kinds: Iterable[int]) -> dict[int, bytes]:
        """Those of the wanted attributes that the object has and shows; asked one by one, as modules differ on lists."""
        values = {kind: self.attribute(session, handle, kind) for kind in kinds}
        return {kind: value for kind, value in values.items() if value is not None}

    def create_object(self, session: int, template: Mapping[int, bytes | bytearray]) -> int:
        """C_CreateObject; the new object's handle. Our copies of the values are overwritten afterwards."""
        handle = c_ulong()
        array, buffers = _template(template)
        try:
            self._call("C_CreateObject", session, array, len(template), byref(handle))
        finally:
            for buffer in buffers:
                ctypes.memset(buffer, 0, len(buffer))
        return handle.value

    def unwrap(
        self,
        session: int,
        mechanism: tuple[int, bytes],
        key: int,
        wrapped: bytes,
        template: Mapping[int, bytes | bytearray],
    ) -> int:
        """C_UnwrapKey; the new object's handle.

        Args:
            session: the session.
            mechanism: its number and its parameter, empty if it has none.
            key: handle of the key that unwraps.
            wrapped: what was wrapped.
            template: attributes of the new key.
        """
        handle = c_ulong()
        used, _held = _mechanism(*mechanism)
        array, _alive = _template(template)
        arguments = (key, wrapped, len(wrapped), array, len(template), byref(handle))
        self._call("C_UnwrapKey", session, byref(used), *arguments)
        return handle.value

    def decrypt(self, session: int, mechanism: tuple[int, bytes], key: int, ciphertext: bytes) -> bytes:
        """C_Decrypt of everything at once; the plaintext is no longer than the ciphertext."""
        used, _held = _mechanism(*mechanism)
        out, length = (c_ubyte * max(len(ciphertext), 1))(), c_ulong(len(ciphertext))
        self._call("C_DecryptInit", session, byref(used), key)
        self._call("C_Decrypt", session, ciphertext, len(ciphertext), out, byref(length))
        return _taken(out, length.value)

    def destroy(self, session: int, handle: int) -> None:
        """C_DestroyObject."""
        self._call("C_DestroyObject", session, handle)


def _taken(buffer: ctypes.Array[Any], length: int) -> bytes:
    """What a module put there; our buffer is overwritten, as it may have been a key."""
    value = ctypes.string_at(buffer, length)
    ctypes.memset(buffer, 0, len(buffer))
    return value


def _mechanism(kind: int, parameter: bytes) -> tuple[_Attribute, object]:
    """The CK_MECHANISM, and what has to stay alive as long as it is used."""
    held = ctypes.create_string_buffer(parameter, max(len(parameter), 1))
    # it has the same parts as CK_ATTRIBUTE
    return _Attribute(kind, ctypes.addressof(held) if parameter else None, len(parameter)), held


def _template(values: Mapping[int, bytes | bytearray]) -> tuple[Any, list[ctypes.Array[c_ubyte]]]:
    """The CK_ATTRIBUTE array, and what has to stay alive as long as it is used: copies of the values."""
    array = (_Attribute * max(len(values), 1))()
    buffers = [(c_ubyte * max(len(value), 1))(*value) for value in values.values()]
    for entry, (kind, value), buffer in zip(array, values.items(), buffers, strict=False):
        entry.type, entry.value, entry.length = kind, ctypes.addressof(buffer), len(value)
    return array, buffers


def _text(padded: bytes) -> str:
    return padded.decode("utf-8", "replace").rstrip(" \0")
