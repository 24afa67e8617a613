"""Reading back what a key in a token is: its KeyInfo, and the choice of exactly one key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11.constants import ObjectClass

from device_sdk.errors import ExtractableKeyError, KeyAmbiguousError, KeyNotFoundError
from device_sdk.keystores.pkcs11.access import KeyName, key_object, verified
from device_sdk.keystores.pkcs11.codes import CkError
from device_sdk.keystores.pkcs11.connection import Connection, Worker
from device_sdk.keystores.pkcs11.login import PinOnce
from device_sdk.keystores.pkcs11.objects import CHECKED, TokenObject, flags_of, is_ec, private_keys
from device_sdk.keystores.pkcs11.operations import derive
from device_sdk.keystores.pkcs11.public import certificate_of, curve_of, partners, public_half
from device_sdk.model.keys import KeyInfo, KeyType, PublicKey
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri

ALLOW_EXTRACTABLE = ("x-device-sdk-extractable", "allow")
"""The vendor attribute of a URI that takes a key which could leave its token, wherever it came from."""

ALLOW_IMPORTED = ("x-device-sdk-imported", "allow")
"""The vendor attribute of a URI that takes a key which was put into its token on purpose and cannot leave it any more."""

_CANNOT_LEAVE = ("CKA_SENSITIVE", "CKA_EXTRACTABLE")
# A key that never was extractable was never seen outside, whether or not it was sensitive all the time.
_BORN_HERE = ("CKA_NEVER_EXTRACTABLE", "CKA_LOCAL")
_TO_OPEN = (*_CANNOT_LEAVE, *_BORN_HERE)


@dataclass(frozen=True)
class ReadKey:
    """A private key as it was read back."""

    found: TokenObject
    uri: Pkcs11Uri
    public: PublicKey | None
    info: KeyInfo

    @property
    def name(self) -> KeyName:
        """What finds it again."""
        return KeyName.of(self.found)


def read_key(worker: Worker, found: TokenObject, asked: Pkcs11Uri, connection: Connection) -> ReadKey:
    """Read back one private key."""
    uri = KeyName.of(found).uri(connection.name, asked, connection.module.path)
    public = public_half(worker, found) or _recovered(worker, found)
    flags = flags_of(worker, found.handle)
    info = KeyInfo(
        uri=str(uri),
        keystore="pkcs11",
        key_type=_type_of(public),
        label=found.label,
        key_id=found.key_id.hex() or None,
        spki_sha256=_fingerprint(public),
        hardware=True,
        extractable=flags.get("CKA_EXTRACTABLE") is not False or flags.get("CKA_SENSITIVE") is False,
        attributes=flags,
        certificate=_has_certificate(worker, found, public),
        imported=any(flags.get(name) is not True for name in _BORN_HERE),
    )
    return ReadKey(found, uri, public, info)


def exactly_one(worker: Worker, uri: Pkcs11Uri, connection: Connection) -> TokenObject:
    """The one private key that fits a URI.

    Raises:
        KeyNotFoundError, KeyAmbiguousError: none or several do; the candidates are listed.
    """
    if uri.object_type not in (None, "private"):
        raise KeyNotFoundError(
            f"{uri}: type={uri.object_type} is not a private key", hint="leave type= out", uri=str(uri)
        )
    fitting = private_keys(worker, uri)
    if len(fitting) == 1:
        return fitting[0]
    shown = fitting or private_keys(worker, replace(uri, label=None, key_id=None))
    names = (KeyName.of(found).uri(connection.name, Pkcs11Uri(), "") for found in shown)
    candidates = tuple(str(replace(name, module_path=None)) for name in names)
    listing = "; ".join(candidates) or "none"
    if fitting:
        raise KeyAmbiguousError(
            f"{uri}: {len(fitting)} keys fit: {listing}",
            hint="name one by object= and id=",
            uri=str(uri),
            candidates=candidates,
        )
    raise KeyNotFoundError(
        f"{uri}: no private key fits; private keys on the token: {listing}",
        hint="device-sdk keys create makes one",
        uri=str(uri),
        candidates=candidates,
    )


def failed_checks(info: KeyInfo) -> tuple[str, ...]:
    """The attributes in which a key is not what a key born in the token has to be."""
    return tuple(name for name, (_, wanted) in CHECKED.items() if info.attributes.get(name) is not wanted)


def ways_out(info: KeyInfo) -> tuple[str, ...]:
    """The attributes by which a key can leave its token now, wherever it came from."""
    return tuple(name for name in failed_checks(info) if name in _CANNOT_LEAVE)


def refuse_to_open(info: KeyInfo, asked: Pkcs11Uri, *, allow_imported: bool = False) -> None:
    """Refuse to open a key that can leave its token, or could once, or was not made in it.

    Args:
        info: what was read back.
        asked: the URI, which may allow it.
        allow_imported: the caller allows what `x-device-sdk-imported=allow` in the URI does.

    Raises:
        ExtractableKeyError: CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_NEVER_EXTRACTABLE or CKA_LOCAL is not what it has to be,
            and the URI does not allow it.
    """
    bad = tuple(name for name in failed_checks(info) if name in _TO_OPEN)
    if not (allow_imported and not ways_out(info)):
        _refuse(info, asked, bad)


def refuse_to_reuse(info: KeyInfo, asked: Pkcs11Uri) -> None:
    """Refuse to take a key that is there for one made here: the checks of creation, all of them.

    Raises:
        ExtractableKeyError: an attribute is not what it has to be, and the URI does not allow it.
    """
    _refuse(info, asked, failed_checks(info))


def _refuse(info: KeyInfo, asked: Pkcs11Uri, bad: tuple[str, ...]) -> None:
    if _allows(asked, ALLOW_EXTRACTABLE) or not bad:
        return
    leaves = any(name in _CANNOT_LEAVE for name in bad)
    if not leaves and _allows(asked, ALLOW_IMPORTED):
        return
    problem = "can leave the token" if leaves else "was not made in the token, or could leave it once"
    allow = ALLOW_EXTRACTABLE if leaves else ALLOW_IMPORTED
    raise ExtractableKeyError(
        f"{info.uri}: the private key {problem} ({', '.join(bad)})",
        hint=f"make a new key, or allow this one with {'='.join(allow)} after the ? of its URI"
        + ("" if leaves else " or with --allow-imported"),
        uri=info.uri,
        attributes=bad,
    )


def _allows(asked: Pkcs11Uri, permission: tuple[str, str]) -> bool:
    return asked.vendor_value(permission[0]) == permission[1]


def open_one(connection: Connection, pins: PinOnce, asked: Pkcs11Uri) -> ReadKey:
    """Find exactly one private key and read it back."""
    return connection.run(
        pins, lambda worker: read_key(worker, exactly_one(worker, asked, connection), asked, connection)
    )


def _recovered(worker: Worker, found: TokenObject) -> PublicKey | None:
    """The public half of an EC key that the token does not show, from ECDH with the generator and one signature.

    ECDH of the private key with the curve's base point gives the x coordinate of the public point; which of the two
    points it is, a signature tells.
    """
    curve = curve_of(worker, found) if is_ec(found) else None
    if curve is None:
        return None
    base = ec.derive_private_key(1, curve).public_key()
    try:
        key = key_object(worker, KeyName.of(found))
        x = derive(key, base)
        for sign in (b"\2", b"\3"):
            public = ec.EllipticCurvePublicKey.from_encoded_point(curve, sign + x)
            if verified(key, public):
                return public
    except (CkError, ValueError):
        worker.spoiled = True
    return None


def _has_certificate(worker: Worker, found: TokenObject, public: PublicKey | None) -> bool:
    certificates = (certificate_of(worker, item) for item in partners(worker, found, ObjectClass.CERTIFICATE))
    return any(c is not None and (public is None or c.public_key() == public) for c in certificates)


def _type_of(public: PublicKey | None) -> KeyType | None:
    try:
        return KeyType.of(public) if public is not None else None
    except ValueError:
        return None


def _fingerprint(public: PublicKey | None) -> str | None:
    if public is None:
        return None
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()
