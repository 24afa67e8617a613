"""The endorsement key's certificates in a TPM's NV memory (TCG EK Credential Profile 2.5, section 2.2.1.4)."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from cryptography import x509
from tpm2_pytss import TPM2_CAP, TSS2_Exception

from device_sdk.keystores.tpm2.scope import Handle, Scope

FIRST, LAST = 0x01C00002, 0x01C0001F
"""Where makers put them: RSA 2048 at 0x01c00002, P-256 at 0x01c0000a, other kinds from 0x01c00012 on."""

_AT_MOST = 64
_MAX_BYTES = 8192
_CHUNK = 512  # every TPM reads that much at once


def endorsement_certificates(scope: Scope) -> list[str]:
    """SHA-256 of each, hex, in the order of their places; what is no certificate, or cannot be read, is left out.

    Nonces and templates of endorsement keys are in the same range.
    """
    _, data = scope.esys.get_capability(TPM2_CAP.HANDLES, FIRST, _AT_MOST)
    places = sorted(int(handle) for handle in data.data.handles if FIRST <= int(handle) <= LAST)
    found = []
    for place in places:
        with suppress(TSS2_Exception, ValueError):
            found.append(hashlib.sha256(_certificate(_read(scope, place))).hexdigest())
    return found


def _read(scope: Scope, place: int) -> bytes:
    index: Handle = scope.esys.tr_from_tpmpublic(place)
    try:
        public, _ = scope.esys.nv_read_public(index)
        size = min(int(public.nvPublic.dataSize), _MAX_BYTES)
        content = bytearray()
        while len(content) < size:
            content += bytes(scope.esys.nv_read(index, min(_CHUNK, size - len(content)), offset=len(content)))
        return bytes(content)
    finally:
        with suppress(TSS2_Exception):
            scope.esys.tr_close(index)


def _certificate(content: bytes) -> bytes:
    """DER without what fills up its place; ValueError if it is none."""
    if content[:2] != b"\x30\x82" or len(content) < 4:
        raise ValueError("not a certificate")
    der = content[: 4 + int.from_bytes(content[2:4], "big")]
    x509.load_der_x509_certificate(der)
    return der
