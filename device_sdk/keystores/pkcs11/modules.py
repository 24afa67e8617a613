"""Modules that this process has loaded: one object per file, initialised with locking, restarted when needed, fork-safe."""

from __future__ import annotations

import atexit
import os
import threading
from pathlib import Path
from typing import Any

from pkcs11 import _pkcs11

from device_sdk.errors import KeyStoreBusyError, KeyStoreFailedError, TokenNotFoundError
from device_sdk.keystores.pkcs11 import codes
from device_sdk.keystores.pkcs11.codes import CkError, calling, describe
from device_sdk.keystores.pkcs11.cryptoki import Cryptoki
from device_sdk.keystores.pkcs11.gate import Gate
from device_sdk.keystores.pkcs11.places import module_file
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri

RESTART_TIMEOUT_S = 30.0
_FORK_TIMEOUT_S = 10.0
_EXIT_TIMEOUT_S = 1.0

# What known modules read at C_Initialize; after a change the module has to be initialised again to notice.
_CONFIGURATION = ("SOFTHSM2_CONF", "TPM2_PKCS11_STORE", "TPM2_PKCS11_TCTI")


class Module:
    """One loaded module.

    Attributes:
        path: its file.
        cryptoki: its function list, for what python-pkcs11 does not do.
        gate: held shared around every call into the module.
        generation: grows with every C_Initialize, and with `shut_down`; sessions of an older generation are gone.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.cryptoki = Cryptoki(path)
        # Without __init__, which would call C_Initialize(NULL): no locking. The rest of the object works as usual, and
        # as it does not know that the module is initialised, it will not finalise it when it is collected either.
        with calling("load"):
            library: Any = _pkcs11.lib
            self.library: Any = library.__new__(library, path)
        self.gate = Gate()
        self.generation = 0
        self._lock = threading.RLock()
        self._configuration: tuple[str | None, ...] = ()
        self._initialized = False
        self._owned = False
        self._forked = False

    def ready(self) -> None:
        """Initialise the module if that has not happened in this process, or its configuration was changed.

        Raises:
            CkError: C_Initialize failed.
        """
        if self._initialized and self._configuration == _configuration():
            return
        with self._lock:
            if not self._initialized:
                self._initialize()
            elif self._configuration != _configuration():
                self.restart(self.generation)

    def restart(self, generation: int) -> None:
        """C_Finalize and C_Initialize, unless somebody has done it since `generation`.

        Raises:
            CkError: the module does not come back.
            KeyStoreBusyError: another thread does not come back from the module.
        """
        with self._lock:
            if self.generation != generation:
                return
            with self.gate.exclusive(RESTART_TIMEOUT_S) as alone:
                if not alone:
                    raise KeyStoreBusyError(f"{self.path} cannot be restarted: an operation on the token does not end")
                self._initialized = False
                self.cryptoki.finalize()
                self._initialize()

    def _initialize(self) -> None:
        configuration = _configuration()
        try:
            fresh = self.cryptoki.initialize()
        except CkError as error:
            if error.code != codes.CANT_LOCK:
                raise
            self.gate.serialize()
            fresh = self.cryptoki.initialize_single_threaded()
        if not fresh and self._forked:
            # The module believes it is still in the parent; a child has to start over (PKCS#11 v2.40, section 6.7.1).
            self.cryptoki.finalize()
            fresh = self.cryptoki.initialize()
        self._owned, self._forked = fresh or self._owned, False
        self._initialized, self._configuration = True, configuration
        self.generation += 1

    def forget_parent(self) -> None:
        """In a child process: nothing that belongs to the parent may be used, not even its locks."""
        self._lock = threading.RLock()
        single, self.gate = self.gate.serial, Gate()
        if single:
            self.gate.serialize()
        self._forked = self._forked or self._initialized
        self._initialized = self._owned = False

    def shut_down(self, timeout_s: float) -> None:
        """C_Finalize, if it was this SDK that initialised the module and no thread is inside."""
        with self._lock, self.gate.exclusive(timeout_s) as alone:
            if alone and self._initialized and self._owned:
                self._initialized = self._owned = False
                self.generation += 1  # a forgotten session that is collected later must not touch another's handle
                self.cryptoki.finalize()


_modules: dict[str, Module] = {}
_modules_lock = threading.Lock()
_closed_for_fork: list[Gate] = []


def load(uri: Pkcs11Uri) -> Module:
    """The module that serves a URI, loaded and initialised.

    Raises:
        TokenNotFoundError: there is no such file, or it is not a PKCS#11 module.
        KeyStoreFailedError: it does not initialise.
    """
    path = str(Path(module_file(uri)).resolve())
    with _modules_lock:
        module = _modules.get(path)
        try:
            if module is None:
                path.encode()  # a name that is not UTF-8 could not be part of the key's URI
                module = _modules[path] = Module(path)
        except (OSError, ValueError, CkError) as error:
            raise TokenNotFoundError(
                f"{path!a} is not a PKCS#11 module that can be loaded: {error}",
                hint="check module-path, and that the library is built for this machine",
                uri=str(uri),
            ) from error
    try:
        module.ready()
    except CkError as error:
        raise KeyStoreFailedError(
            f"the PKCS#11 module {path} does not initialise: {describe(error.code)}",
            hint="check the module's own configuration and its environment variables",
            uri=str(uri),
            return_code=error.code,
            operation=error.operation,
        ) from error
    return module


def forget_modules() -> None:
    """C_Finalize every module this SDK initialised; the next use initialises it anew. For tests."""
    for module in list(_modules.values()):
        module.shut_down(RESTART_TIMEOUT_S)


def _configuration() -> tuple[str | None, ...]:
    return tuple(os.environ.get(name) for name in _CONFIGURATION)


def _before_fork() -> None:
    _closed_for_fork[:] = [module.gate for module in list(_modules.values()) if module.gate.close(_FORK_TIMEOUT_S)]


def _after_fork_in_parent() -> None:
    for gate in _closed_for_fork:
        gate.reopen()
    _closed_for_fork.clear()


def _after_fork_in_child() -> None:
    global _modules_lock  # noqa: PLW0603  # another thread of the parent may have held it
    _modules_lock = threading.Lock()
    _closed_for_fork.clear()
    for module in _modules.values():
        module.forget_parent()


def _at_exit() -> None:
    for module in list(_modules.values()):
        module.shut_down(_EXIT_TIMEOUT_S)


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
