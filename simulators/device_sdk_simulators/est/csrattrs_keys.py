"""What /csrattrs says about keys because of the policy's key rules (RFC 7030 section 4.5.2, EST-173)."""

from __future__ import annotations

from collections.abc import Iterable

from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5280

from device_sdk_simulators.policy import Policy

EC_PUBLIC_KEY, RSA_ENCRYPTION = "1.2.840.10045.2.1", "1.2.840.113549.1.1.1"
_CURVES = {"secp256r1": "1.2.840.10045.3.1.7", "secp384r1": "1.3.132.0.34", "secp521r1": "1.3.132.0.35"}
_EDWARDS = {"ed25519": "1.3.101.112", "ed448": "1.3.101.113"}
_ANY_CLIENTS_RSA_BITS = 2048


def insisted_key(policy: Policy) -> str | bytes | None:
    """An object identifier or the DER of an Attribute for the one kind of key that is accepted.

    None where there is a choice of kinds: entries of the list add up, so that two of them would ask for both.
    """
    curves = set(policy.curves)
    if policy.rsa_keys:
        return None if curves else _rsa(policy.min_rsa_bits)
    if curves <= _CURVES.keys():
        return (
            _attribute(EC_PUBLIC_KEY, univ.ObjectIdentifier(_CURVES[curves.pop()]))
            if len(curves) == 1
            else EC_PUBLIC_KEY
        )
    return _EDWARDS.get(curves.pop()) if len(curves) == 1 else None


def names_a_key(items: Iterable[str | bytes]) -> bool:
    """Whether somebody has written down by hand which key is wanted."""
    return any(_oid(item) in (EC_PUBLIC_KEY, RSA_ENCRYPTION, *_CURVES.values(), *_EDWARDS.values()) for item in items)


def _rsa(bits: int) -> str | bytes:
    return RSA_ENCRYPTION if bits <= _ANY_CLIENTS_RSA_BITS else _attribute(RSA_ENCRYPTION, univ.Integer(bits))


def _attribute(oid: str, value: univ.ObjectIdentifier | univ.Integer) -> bytes:
    attribute = rfc5280.Attribute()
    attribute["type"] = oid
    attribute["values"][0] = encode(value)
    return bytes(encode(attribute))


def _oid(item: str | bytes) -> str:
    return item if isinstance(item, str) else str(decode(item, asn1Spec=rfc5280.Attribute())[0]["type"])
