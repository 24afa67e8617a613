"""The TPMs this process talks to: one Tpm per TCTI, shared by all stores and keys, and kept right over a fork."""

from __future__ import annotations

import os
import threading
import weakref

from device_sdk.keystores.tpm2.context import Tpm

_tpms: weakref.WeakValueDictionary[str, Tpm] = weakref.WeakValueDictionary()
_lock = threading.Lock()
_held: list[Tpm] = []
_inherited: list[object] = []  # a child never finalises the parent's connections: that would talk to the TPM


def shared_tpm(tcti: str) -> Tpm:
    """The one Tpm of this TCTI in this process; its connection closes when the last store and key are gone."""
    with _lock:
        tpm = _tpms.get(tcti)
        if tpm is None:
            tpm = _tpms[tcti] = Tpm(tcti)
            weakref.finalize(tpm, tpm.connection.close)
        return tpm


def _before_fork() -> None:
    _lock.acquire()
    _held.extend(_tpms.values())
    for tpm in _held:
        tpm.before_fork()


def _after_in_parent() -> None:
    for tpm in _held:
        tpm.after_fork_in_parent()
    _held.clear()
    _lock.release()


def _after_in_child() -> None:
    for tpm in _held:
        _inherited.append(tpm.after_fork_in_child())
    _held.clear()
    _lock.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
