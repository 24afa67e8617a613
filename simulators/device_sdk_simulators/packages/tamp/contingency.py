"""The second key of an apex: its public key is with the devices, encrypted, until it is needed (RFC 5934 sections 1.2.1, 9)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5652, rfc5934

from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.packages.signing import attribute
from device_sdk_simulators.packages.tamp.anchors import public_key

_KEY_WRAP_WITH_PADDING = {16: "2.16.840.1.101.3.4.1.8", 24: "2.16.840.1.101.3.4.1.28", 32: "2.16.840.1.101.3.4.1.48"}


def new_wrapping_key() -> bytes:
    """An AES key."""
    return os.urandom(32)


def locked_key(apex: x509.Certificate) -> bytes | None:
    """DER of what an apex says of its contingency key, or None."""
    name = str(rfc5934.id_pe_wrappedApexContinKey)
    return next((one.value.public_bytes() for one in apex.extensions if one.oid.dotted_string == name), None)


@dataclass(frozen=True)
class Contingency:
    """One of them.

    Attributes:
        authority: the key; its certificate is for nobody.
        wrapping_key: AES.
    """

    authority: Authority
    wrapping_key: bytes = field(repr=False)

    def extension(self) -> x509.UnrecognizedExtension:
        """What the apex says of it: id-pe-wrappedApexContinKey."""
        value = rfc5934.ApexContingencyKey()
        value["wrapAlgorithm"]["algorithm"] = _KEY_WRAP_WITH_PADDING[len(self.wrapping_key)]
        value["wrappedContinPubKey"] = aes_key_wrap_with_padding(
            self.wrapping_key, public_key(self.authority.certificate)
        )
        name = x509.ObjectIdentifier(str(rfc5934.id_pe_wrappedApexContinKey))
        return x509.UnrecognizedExtension(name, bytes(encode(value)))

    def disclosed(self) -> rfc5652.Attribute:
        """The unsigned attribute that opens it (section 2.2.4.1)."""
        return attribute(rfc5934.id_aa_TAMP_contingencyPublicKeyDecryptKey, univ.OctetString(self.wrapping_key))
