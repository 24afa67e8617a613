"""A key is opened: found, read back, checked, authorised."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from device_sdk.errors import (
    ExtractableKeyError,
    KeyNotFoundError,
    MechanismUnsupportedError,
    PinIncorrectError,
    PinRefusedError,
    PinRequiredError,
    StoreCorruptError,
)
from device_sdk.keystores.certificate_file import spki_of
from device_sdk.keystores.pin_guard import PinGuard
from device_sdk.keystores.tpm2.auth import auth_for
from device_sdk.keystores.tpm2.context import Tpm
from device_sdk.keystores.tpm2.creation import read_area
from device_sdk.keystores.tpm2.ec_key import TpmEcKey
from device_sdk.keystores.tpm2.held import Held, check_auth
from device_sdk.keystores.tpm2.inventory import area_at, key_info, persistent_handles
from device_sdk.keystores.tpm2.material import FileMaterial, Material, PersistentMaterial
from device_sdk.keystores.tpm2.places import read_key_file
from device_sdk.keystores.tpm2.rsa_key import TpmRsaKey
from device_sdk.keystores.tpm2.scope import Scope
from device_sdk.keystores.tpm2.templates import PublicArea
from device_sdk.model.secret import Secret, SecretProvider
from device_sdk.wire.key_uri.tpm2 import Tpm2Uri


def open_key(
    tpm: Tpm, uri: Tpm2Uri, provider: SecretProvider | None, deadline_s: float, *, allow_imported: bool = False
) -> TpmEcKey | TpmRsaKey:
    """Open the key a URI names.

    Args:
        tpm: where it is.
        uri: names it.
        provider: asked for the authorisation value.
        deadline_s: how long to be patient.
        allow_imported: also take a key that came from outside, if nothing can take it out again.

    Raises:
        KeyNotFoundError: there is none; the persistent handles in use are listed.
        ExtractableKeyError: it may be moved; or it was imported, and `allow_imported` is false.
        MechanismUnsupportedError: a storage or attestation key, or one that needs a policy.
        PinRequiredError, PinIncorrectError, PinLockedError: as the TPM says; one attempt was made.
    """
    where = str(uri)
    material: Material
    if uri.handle is not None:
        area, name = find_persistent(tpm, uri, uri.handle, deadline_s)
        material, empty = PersistentMaterial(uri.handle, name, where), False
    else:
        material, area, empty = _in_file(tpm, uri, deadline_s)
    _check_usable(area, where, allow_imported=allow_imported)
    opening = _Opening(tpm, material, area, uri, deadline_s)
    held = _authorised(opening, provider, empty_first=empty or opening.no_da)
    info = key_info(uri, area)
    if area.key_type is not None and area.key_type.is_ec:
        return TpmEcKey(held, area, info)
    return TpmRsaKey(held, area, info)


def find_persistent(tpm: Tpm, uri: Tpm2Uri, handle: int, deadline_s: float) -> tuple[PublicArea, bytes]:
    """Public area and name of the key under a handle.

    Raises:
        KeyNotFoundError: nothing, or not a key pair; the other handles in use are listed.
    """
    where = str(uri)
    found = tpm.run("read the key", lambda scope: area_at(scope, handle), where=where, deadline_s=deadline_s)
    if found is None:
        others = tpm.run("list persistent keys", persistent_handles, where=where, deadline_s=deadline_s)
        what = "what is under this handle is not a key pair" if handle in others else "nothing is under this handle"
        raise KeyNotFoundError(
            f"{where}: {what}",
            uri=where,
            candidates=tuple(str(replace(uri, handle=other)) for other in others if other != handle),
        )
    return found


def _in_file(tpm: Tpm, uri: Tpm2Uri, deadline_s: float) -> tuple[Material, PublicArea, bool]:
    where = str(uri)
    key = read_key_file(uri.file or "", where)
    if key.policy:
        raise MechanismUnsupportedError(f"{where}: keys with a policy are not supported", uri=where, mechanism="policy")
    material = FileMaterial(key)

    def read(scope: Scope) -> PublicArea | None:
        try:
            return read_area(scope, material.load(scope))
        except ValueError:
            return None

    area = tpm.run("load the key", read, where=where, deadline_s=deadline_s)
    if area is None:
        raise StoreCorruptError(f"{where}: neither an elliptic curve nor an RSA key", uri=where)
    return material, area, key.empty_auth


def _check_origin(area: PublicArea, where: str, *, allow_imported: bool) -> None:
    if not area.failed_proof or (allow_imported and not area.ways_out):
        return
    if not allow_imported:
        raise ExtractableKeyError(
            f"{where}: the key was not born in this TPM or may leave it: {', '.join(area.failed_proof)} is not set",
            hint=None if area.ways_out else "make a new key, or allow this imported one (--allow-imported)",
            uri=where,
            attributes=area.failed_proof,
        )
    raise ExtractableKeyError(
        f"{where}: the imported key can leave this TPM by its {' and '.join(area.ways_out)}",
        hint="imported keys have to lie below the storage root key and have no policy",
        uri=where,
        attributes=area.ways_out,
    )


def _check_usable(area: PublicArea, where: str, *, allow_imported: bool) -> None:
    _check_origin(area, where, allow_imported=allow_imported)
    if not area.is_device_key:
        raise MechanismUnsupportedError(
            f"{where}: a storage or attestation key, not one to sign or decrypt with", uri=where, mechanism="restricted"
        )
    if not area.attributes["userWithAuth"]:
        raise MechanismUnsupportedError(f"{where}: keys with a policy are not supported", uri=where, mechanism="policy")
    if area.key_type is None:
        raise MechanismUnsupportedError(f"{where}: a key of a size that is not supported", uri=where, mechanism="size")


def _authorised(opening: _Opening, provider: SecretProvider | None, *, empty_first: bool) -> Held:
    """The way to the key, with an authorisation that was tried.

    A PIN in the URI counts. Without one the empty authorisation is tried first where the file says that it is empty, and
    outside dictionary-attack protection, where that costs nothing; otherwise whoever may know is asked first, because
    every attempt counts. What a file says is not relied upon: tpm2_encodeobject 5.4 writes emptyAuth the wrong way round.
    """
    uri = opening.uri
    if empty_first and uri.pin_source is None and uri.pin_value is None:
        try:
            return opening.tried(None)
        except PinRequiredError:
            auth = auth_for(uri, provider)
            if auth is None:
                raise
            return opening.tried(auth)
    return opening.tried(auth_for(uri, provider))


@dataclass(frozen=True)
class _Opening:
    tpm: Tpm
    material: Material
    area: PublicArea
    uri: Tpm2Uri
    deadline_s: float

    @property
    def no_da(self) -> bool:
        return bool(self.area.attributes["noDA"])

    def held(self, auth: Secret | None) -> Held:
        return Held(self.tpm, self.material, auth, str(self.uri), self.deadline_s)

    def tried(self, auth: Secret | None) -> Held:
        held = self.held(auth)
        if self.no_da:
            held.use("authorise", check_auth)
        else:
            self._try_once(held, auth or Secret(b""))
        return held

    def _try_once(self, held: Held, auth: Secret) -> None:
        """Under dictionary-attack protection a program that is restarted for ever must not lock the TPM."""
        guard, identity = PinGuard(), "tpm2 key " + hashlib.sha256(spki_of(self.area.public_key)).hexdigest()
        try:
            guard.check(identity, auth, str(self.uri))
        except PinRefusedError as error:
            if auth:
                raise
            raise PinRequiredError(f"{self.uri}: the key wants an authorisation value", uri=str(self.uri)) from error
        try:
            held.use("authorise", check_auth)
        except (PinIncorrectError, PinRequiredError):
            guard.refuse(identity, auth)
            raise
        guard.clear(identity)
