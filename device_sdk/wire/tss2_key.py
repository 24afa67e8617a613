"""TSS2 PRIVATE KEY: a TPM key wrapped by its parent, in a file that tpm2-openssl and tpm2-tools use too.

The format is "ASN.1 Specification for TPM 2.0 Key Files" (draft-bottomley-tpm2-keys); OID 2.23.133.10.1.3, and
2.23.133.10.1.5 for sealed data.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import ClassVar

from asn1crypto import core

from device_sdk.errors import WireError
from device_sdk.wire.ber import is_one_sequence
from device_sdk.wire.modest import ASN1CRYPTO_ERRORS, require_modest

OWNER_HIERARCHY = 0x40000001
"""Parent value of a key below the primary key that the standard template makes in the owner hierarchy."""

MAX_BYTES = 64 * 1024
"""The largest file that is read."""

_WHAT = "TSS2 PRIVATE KEY"
_LOADABLE, _SEALED = "2.23.133.10.1.3", "2.23.133.10.1.5"
_OTHER_KINDS = {"2.23.133.10.1.4": "a key to import", _SEALED: "sealed data"}
_PEM = re.compile(rb"-----BEGIN TSS2 PRIVATE KEY-----([A-Za-z0-9+/=\s]*)-----END TSS2 PRIVATE KEY-----")


class _Policy(core.Sequence):  # type: ignore[misc]  # asn1crypto is untyped
    _fields: ClassVar = [
        ("command_code", core.Integer, {"explicit": 0}),
        ("command_policy", core.OctetString, {"explicit": 1}),
    ]


class _Policies(core.SequenceOf):  # type: ignore[misc]  # asn1crypto is untyped
    _child_spec = _Policy


class _AuthPolicy(core.Sequence):  # type: ignore[misc]  # asn1crypto is untyped
    _fields: ClassVar = [
        ("name", core.UTF8String, {"explicit": 0, "optional": True}),
        ("policy", _Policies, {"explicit": 1}),
    ]


class _AuthPolicies(core.SequenceOf):  # type: ignore[misc]  # asn1crypto is untyped
    _child_spec = _AuthPolicy


class _TpmKey(core.Sequence):  # type: ignore[misc]  # asn1crypto is untyped
    _fields: ClassVar = [
        ("type", core.ObjectIdentifier),
        ("empty_auth", core.Boolean, {"explicit": 0, "optional": True}),
        ("policy", _Policies, {"explicit": 1, "optional": True}),
        ("secret", core.OctetString, {"explicit": 2, "optional": True}),
        ("auth_policy", _AuthPolicies, {"explicit": 3, "optional": True}),
        ("description", core.UTF8String, {"explicit": 4, "optional": True}),
        ("rsa_parent", core.Boolean, {"explicit": 5, "optional": True}),
        ("parent", core.Integer),
        ("public", core.OctetString),
        ("private", core.OctetString),
    ]


@dataclass(frozen=True)
class Tss2Key:
    """One loadable key.

    Attributes:
        public: TPM2B_PUBLIC, marshalled (TPM 2.0 part 2, 12.2.5).
        private: TPM2B_PRIVATE, marshalled; encrypted by the parent.
        parent: a persistent handle, or a hierarchy whose standard primary key is the parent.
        empty_auth: the key is used without an authorisation value.
        rsa_parent: the hierarchy's standard primary key is the RSA one.
        policy: the file names policy commands that must be satisfied.
        sealed: no key pair, but a value that TPM2_Unseal gives out.
    """

    public: bytes
    private: bytes
    parent: int = OWNER_HIERARCHY
    empty_auth: bool = False
    rsa_parent: bool = False
    policy: bool = False
    sealed: bool = False

    def to_pem(self) -> bytes:
        """The file: DER in PEM, lines of 64 characters."""
        kind = _SEALED if self.sealed else _LOADABLE
        values = {"type": kind, "parent": self.parent, "public": self.public, "private": self.private}
        # DER would leave a false emptyAuth out; readers in the field differ on its default, so it is always written
        values["empty_auth"] = self.empty_auth
        if self.rsa_parent:
            values["rsa_parent"] = True
        text = base64.b64encode(_TpmKey(values).dump())
        lines = [text[start : start + 64] for start in range(0, len(text), 64)]
        return b"\n".join([b"-----BEGIN TSS2 PRIVATE KEY-----", *lines, b"-----END TSS2 PRIVATE KEY-----", b""])

    @classmethod
    def parse(cls, data: bytes, *, sealed: bool = False) -> Tss2Key:
        """Read a file, PEM (text around it is ignored) or DER.

        Parents are read in every spelling met in the field: 0 or absent hierarchy bits mean the owner hierarchy, and
        handles that overflowed a signed 32-bit integer are brought back.

        Args:
            data: the file.
            sealed: sealed data is taken, too.

        Raises:
            WireError: not such a file, larger than MAX_BYTES, or one that holds something else than a loadable key.
        """
        if len(data) > MAX_BYTES:
            raise WireError(f"larger than {MAX_BYTES} bytes", what=_WHAT)
        der = data if is_one_sequence(data) else _unarmour(data)
        require_modest(der, _WHAT)
        try:
            structure = _TpmKey.load(der, strict=True)
            values = structure.native
        except ASN1CRYPTO_ERRORS as error:
            raise WireError(f"not a {_WHAT}: {error}".splitlines()[0], what=_WHAT) from error
        kind = values["type"]
        if kind != _LOADABLE and not (sealed and kind == _SEALED):
            raise WireError(f"the file holds {_OTHER_KINDS.get(kind, kind)}, not a loadable key", what=_WHAT)
        return cls(
            public=_sized(values["public"], "public area"),
            private=_sized(values["private"], "private area"),
            parent=_parent(values["parent"]),
            empty_auth=bool(values["empty_auth"]),
            rsa_parent=bool(values["rsa_parent"]),
            policy=bool(values["policy"] or values["auth_policy"]),
            sealed=kind == _SEALED,
        )


def _unarmour(data: bytes) -> bytes:
    match = _PEM.search(data)
    if match is None:
        raise WireError(f"no -----BEGIN {_WHAT}----- and no DER", what=_WHAT)
    try:
        der = base64.b64decode(b"".join(match[1].split()), validate=True)
    except binascii.Error as error:
        raise WireError("the base64 text is damaged", what=_WHAT) from error
    if not is_one_sequence(der):
        raise WireError("the content is damaged or incomplete", what=_WHAT)
    return der


def _sized(value: bytes, what: str) -> bytes:
    """A TPM2B structure: two bytes of length, then so many bytes."""
    if len(value) < 4 or int.from_bytes(value[:2], "big") != len(value) - 2:
        raise WireError(f"the {what} has a wrong length", what=_WHAT)
    return value


def _parent(value: int) -> int:
    if -(1 << 31) <= value < 0:
        value &= 0xFFFFFFFF
    if value == 0:
        return OWNER_HIERARCHY
    if value >> 24 not in (0x40, 0x81) or value >= 1 << 32:
        raise WireError("the parent is neither a hierarchy nor a persistent handle", what=_WHAT)
    return value
