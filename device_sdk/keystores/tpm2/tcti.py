"""How a TPM is reached, and why not."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import Any

from device_sdk.errors import KeyStoreBusyError, KeyStoreError, TokenNotFoundError, TokenRemovedError, UriError
from device_sdk.keystores.places import KERNEL_TPM, TCTI_VARIABLES
from device_sdk.wire.key_uri.tpm2 import Tpm2Uri, checked_tcti

DEFAULT = f"device:{KERNEL_TPM}"
"""The kernel's resource manager."""


def tcti_for(uri: Tpm2Uri) -> str:
    """The TCTI of a URI: its own, else DEVICE_SDK_TCTI, TPM2TOOLS_TCTI, TPM2OPENSSL_TCTI, else /dev/tpmrm0.

    Raises:
        KeyStoreError: an environment variable names a TCTI that is not one of device, swtpm, mssim and tabrmd.
    """
    if uri.tcti is not None:
        return _complete(uri.tcti)
    for name in TCTI_VARIABLES:
        value = os.environ.get(name)
        if value:
            try:
                return _complete(checked_tcti(value))
            except UriError as error:
                raise KeyStoreError(f"{name}: {error.message}", hint=error.hint) from error
    return DEFAULT


def _complete(tcti: str) -> str:
    return DEFAULT if tcti == "device" else tcti


def has_resource_manager(tcti: str) -> bool:
    """Whether several processes may have objects loaded at the same time: the kernel's /dev/tpmrm*, or tpm2-abrmd."""
    name, _, conf = tcti.partition(":")
    return name == "tabrmd" or (name == "device" and os.path.basename(conf).startswith("tpmrm"))  # noqa: PTH119  # text


def is_exclusive(tcti: str) -> bool:
    """Whether an open connection keeps every other process out: /dev/tpm0, and a simulator with one connection."""
    return tcti.startswith(("device:", "mssim")) and not has_resource_manager(tcti)


def unreachable(tcti: str, place: str, return_code: int, *, answered_before: bool) -> KeyStoreError:
    """Why there is no connection, in words for the person on the bench."""
    name, _, conf = tcti.partition(":")
    facts: dict[str, Any] = {"uri": place, "return_code": return_code}
    if name == "device":
        reason = _device_errno(conf)
        if reason == errno.EBUSY:
            return KeyStoreBusyError(f"{place}: another process has {conf} open", hint="use /dev/tpmrm0", **facts)
        if reason in (errno.EACCES, errno.EPERM):
            return TokenNotFoundError(
                f"{place}: no permission to open {conf}", hint="add the user to the group tss and log in anew", **facts
            )
    if answered_before:
        return TokenRemovedError(f"{place}: the TPM went away", **facts)
    hint = {
        "device": "ls -l /dev/tpm*: the kernel needs a driver for this TPM (tpm_tis, tpm_crb, tpm_tis_spi)",
        "swtpm": "is swtpm running, and is the path (or host and port) its own?",
        "tabrmd": "is tpm2-abrmd running, and libtss2-tcti-tabrmd0 installed?",
    }.get(name)
    return TokenNotFoundError(f"{place}: no TPM answers at {tcti}", hint=hint, **facts)


def _device_errno(path: str) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return error.errno
    with suppress(OSError):
        os.close(descriptor)
    return None
