"""Keys in a TPM 2.0 (`tpm2:` URIs), through tpm2-pytss and the TSS's ESAPI."""

from __future__ import annotations

import os

from device_sdk.errors import MissingDependencyError

# The TSS reads this once, when it logs for the first time; unset, every expected refusal is a line on stderr.
os.environ.setdefault("TSS2_LOG", "all+NONE")

try:
    import tpm2_pytss  # noqa: F401  # the one place where a missing library is told from a missing package
except ModuleNotFoundError:
    raise
except ImportError as error:
    raise MissingDependencyError(
        f"the TPM software stack cannot be loaded: {error}",
        hint="apt-get install libtss2-esys-3.0.2-0 libtss2-tctildr0 libtss2-tcti-device0 libtss2-fapi1",
        extra="tpm",
    ) from error

from device_sdk.keystores.tpm2.store import Tpm2KeyStore

__all__ = ["Tpm2KeyStore"]
