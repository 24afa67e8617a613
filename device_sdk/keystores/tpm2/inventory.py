"""What keys there are: persistent ones, and TSS2 PRIVATE KEY files of a directory."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from tpm2_pytss import TPM2_CAP, TPM2B_PUBLIC, TSS2_Exception

from device_sdk.errors import KeyStoreError, StoreCorruptError
from device_sdk.keystores.certificate_file import has_certificate, spki_of
from device_sdk.keystores.tpm2.context import Tpm
from device_sdk.keystores.tpm2.creation import read_area
from device_sdk.keystores.tpm2.errors import HANDLE, base_code
from device_sdk.keystores.tpm2.places import OWNER_HANDLES, certificate_of_file, certificate_of_handle
from device_sdk.keystores.tpm2.scope import Scope
from device_sdk.keystores.tpm2.srk import load_key
from device_sdk.keystores.tpm2.templates import PublicArea, describe
from device_sdk.model.keys import KeyInfo
from device_sdk.wire.key_uri.tpm2 import Tpm2Uri
from device_sdk.wire.tss2_key import Tss2Key

_AT_MOST = 254


def key_info(uri: Tpm2Uri, area: PublicArea) -> KeyInfo:
    """What is known about one key; `uri` names its file or handle."""
    if uri.handle is not None:
        label, certificate = f"0x{uri.handle:08x}", certificate_of_handle(uri.handle, area.public_key)
    else:
        label, certificate = Path(uri.file or "").name, certificate_of_file(uri.file or "")
    return KeyInfo(
        uri=str(uri),
        keystore="tpm2",
        key_type=area.key_type,
        label=label,
        key_id=None,
        spki_sha256=hashlib.sha256(spki_of(area.public_key)).hexdigest(),
        hardware=True,
        extractable=bool(area.ways_out),
        attributes=dict(area.attributes),
        certificate=has_certificate(certificate),
        imported=bool(area.failed_proof),
    )


def persistent_handles(scope: Scope) -> tuple[int, ...]:
    """The persistent handles of the owner's range that are in use."""
    _, data = scope.esys.get_capability(TPM2_CAP.HANDLES, OWNER_HANDLES.start, _AT_MOST)
    return tuple(int(handle) for handle in data.data.handles if int(handle) in OWNER_HANDLES)


def area_at(scope: Scope, handle: int) -> tuple[PublicArea, bytes] | None:
    """Public area and name of the key under a handle; None if there is none, or not a key pair.

    Raises:
        TSS2_Exception: the TPM refused for another reason.
    """
    scope.forget_persistent(handle)  # it may be another key than a moment ago
    try:
        found = scope.persistent(handle)
        return read_area(scope, found), bytes(scope.esys.tr_get_name(found))
    except ValueError:
        return None
    except TSS2_Exception as error:
        if base_code(error.rc) != HANDLE:
            raise
        return None


def list_persistent(tpm: Tpm, template: Tpm2Uri, handles: tuple[int, ...] | None = None) -> tuple[KeyInfo, ...]:
    """Persistent device keys; storage and attestation keys are left out, they cannot be opened.

    Args:
        tpm: where.
        template: gives the TCTI and pin-source of the keys' URIs.
        handles: look only at these; all in use if None.
    """

    def read(scope: Scope) -> dict[int, PublicArea]:
        found = {handle: area_at(scope, handle) for handle in handles or persistent_handles(scope)}
        return {handle: area[0] for handle, area in found.items() if area is not None and area[0].is_device_key}

    areas = tpm.run("list persistent keys", read, where=str(template))
    return tuple(key_info(replace(template, handle=handle, file=None), area) for handle, area in areas.items())


def list_files_in(tpm: Tpm, template: Tpm2Uri, files: dict[Path, Tss2Key]) -> tuple[KeyInfo, ...]:
    """Key files, each loaded to see whether this TPM takes it; `loadable` is false among the attributes if not."""
    found = []
    for path, key in files.items():
        uri = replace(template, file=str(path), dir=None)
        try:
            written = area_in_file(key, str(uri))
        except StoreCorruptError:
            continue
        loaded = _loaded(tpm, key, str(uri))
        info = key_info(uri, loaded or written)
        found.append(replace(info, attributes=info.attributes | {"loadable": loaded is not None}))
    return tuple(found)


def _loaded(tpm: Tpm, key: Tss2Key, where: str) -> PublicArea | None:
    """What the TPM says about the key in a file; None if it does not take it."""
    try:
        return tpm.run("load the key", lambda scope: read_area(scope, load_key(scope, key)), where=where)
    except StoreCorruptError:
        return None
    except KeyStoreError as error:
        if error.return_code is None:  # the TPM itself is not there
            raise
        return None


def area_in_file(key: Tss2Key, where: str) -> PublicArea:
    """The public area as the file has it; what the TPM says counts when the key is opened.

    Raises:
        StoreCorruptError: it cannot be read, or is not a key pair.
    """
    try:
        public, _ = TPM2B_PUBLIC.unmarshal(key.public)
        return describe(public)
    except (TSS2_Exception, ValueError) as error:
        raise StoreCorruptError(f"{where}: the public area cannot be read: {error}", uri=where) from error
