"""The Publish Trust Anchors control (RFC 5272 section 6.15)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from device_sdk.errors import WireError
from device_sdk.wire.cmc import oids
from device_sdk.wire.cms.definite import make_definite
from device_sdk.wire.cms.reader import Reader

MAX_ANCHORS = 100

# Not SHA-1: what a hash stands for here is whom to trust from now on.
_HASHES: dict[str, hashes.HashAlgorithm] = {
    oids.SHA256: hashes.SHA256(),
    oids.SHA384: hashes.SHA384(),
    oids.SHA512: hashes.SHA512(),
}


@dataclass(frozen=True)
class PublishedAnchors:
    """What a CA would like to be trusted; by itself it means nothing (EST-75).

    Attributes:
        sequence: rises with every publication.
        certificates: those of the message that the control names.
        missing: hashes, hex, of those that did not come along.
    """

    sequence: int
    certificates: tuple[x509.Certificate, ...]
    missing: tuple[str, ...] = ()


def read_published_anchors(value: bytes, certificates: Iterable[x509.Certificate]) -> PublishedAnchors:
    """Read a PublishTrustAnchors and find the certificates it names.

    Args:
        value: DER or BER of the control's value.
        certificates: those of the SignedData around it.

    Raises:
        WireError: not such a structure, too many hashes, or an algorithm that is not accepted.
    """
    try:
        reader = Reader(make_definite(value)).enter()
        sequence = reader.integer()
        name = reader.enter().oid()
        listed = reader.enter()
        reader.finish()
        wanted: list[bytes] = []
        while listed.next_tag is not None:
            if len(wanted) == MAX_ANCHORS:
                raise ValueError("too many of them")
            wanted.append(listed.octets())
    except ValueError as error:
        raise WireError(f"the published trust anchors cannot be read: {error}", what="PublishTrustAnchors") from error
    if name not in _HASHES:
        raise WireError(f"trust anchors named by the hash {name}, which is not accepted", what="PublishTrustAnchors")
    known = {certificate.fingerprint(_HASHES[name]): certificate for certificate in certificates}
    found = tuple(known[digest] for digest in dict.fromkeys(wanted) if digest in known)
    return PublishedAnchors(sequence, found, tuple(digest.hex() for digest in wanted if digest not in known))
