"""Where keys can be made on this machine, as far as can be said without opening anything."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from device_sdk.model.key_uri import KeyUri
from device_sdk.wire.key_uri import parse_key_uri

KERNEL_TPM = "/dev/tpmrm0"
"""The kernel's resource manager."""

TCTI_VARIABLES = ("DEVICE_SDK_TCTI", "TPM2TOOLS_TCTI", "TPM2OPENSSL_TCTI")
"""Environment variables that say how a TPM is reached, the first one counting most."""


def places_for_keys(configured: str | None) -> tuple[str, ...]:
    """Where keys can be made on this machine, as URIs without an object, the best first: the one that is configured, a TPM, files.

    Nothing is opened: a token counts if the configuration names it, a TPM if it does, too, or if the environment or a
    device of the kernel's is there.

    Args:
        configured: the key URI of the configuration, or None.
    """
    found = [_place_of(parse_key_uri(configured))] if configured else []
    named = any(one.startswith("tpm2:") for one in found)  # it needs not be there a second time
    if not named and (any(os.environ.get(name) for name in TCTI_VARIABLES) or Path(KERNEL_TPM).exists()):
        found.append("tpm2:")
    return tuple(dict.fromkeys((*sorted(found, key=lambda one: one == "file:"), "file:")))


def _place_of(uri: KeyUri) -> str:
    """The token or TPM of a key, without the object."""
    from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri
    from device_sdk.wire.key_uri.tpm2 import Tpm2Uri

    if isinstance(uri, Pkcs11Uri):
        return str(replace(uri, label=None, key_id=None, object_type=None, pin_source=None, pin_value=None))
    if isinstance(uri, Tpm2Uri):
        return str(replace(uri, handle=None, file=None, dir=None, nv=None, pin_source=None))
    return "file:"
