"""A message for devices, signed (RFC 5934 section 2)."""

from __future__ import annotations

from collections.abc import Sequence

from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5652

from device_sdk_simulators.packages.signing import PLAIN, Oddities, signed_message
from device_sdk_simulators.packages.tamp.authority import Signer


def make_message(
    content: bytes,
    content_type: str,
    signer: Signer | None,
    *,
    attributes: Sequence[rfc5652.Attribute] = (),
    odd: Oddities = PLAIN,
) -> bytes:
    """DER of a ContentInfo.

    Args:
        content: one of `messages`.
        content_type: of it.
        signer: None for a message that nobody signed.
        attributes: that are signed, beside content type and digest.
        odd: what is wrong with it.
    """
    if signer is None:
        return unsigned_message(content, content_type)
    return signed_message(
        content,
        content_type,
        signer.authority,
        attributes,
        certificates=signer.certificates,
        unsigned=signer.unsigned,
        odd=odd,
    )


def unsigned_message(content: bytes, content_type: str, *, as_octets: bool = False) -> bytes:
    """A message that nobody signed: itself in a ContentInfo, or in an OCTET STRING there (AMB-14)."""
    info = rfc5652.ContentInfo()
    info["contentType"] = content_type
    info["content"] = encode(univ.OctetString(content)) if as_octets else content
    return bytes(encode(info))
