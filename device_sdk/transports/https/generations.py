"""Trust anchors of one name and different keys, as there are while a CA rolls over (RFC 4210 section 4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cryptography import x509

from device_sdk.model.trust import ServerTrust

SIGNATURE_FAILURE = 7
"""OpenSSL's code for a certificate that was not signed by the key of the issuer it settled on."""

_MOST = 4


def generations(trust: ServerTrust) -> tuple[ServerTrust, ...]:
    """The same trust with one Explicit anchor a name, in every generation; empty if no name is there twice.

    OpenSSL settles on one issuer by its name and key identifier before it looks at the signature, and does not come back
    to the other one. Where the certificates have no key identifiers (EST-122), the generations are tried one by one.
    """
    by_name: dict[bytes, list[x509.Certificate]] = {}
    for anchor in trust.explicit:
        by_name.setdefault(anchor.subject.public_bytes(), []).append(anchor)
    depth = min(max((len(anchors) for anchors in by_name.values()), default=1), _MOST)
    if depth == 1:
        return ()
    return tuple(replace(trust, explicit=_generation(list(by_name.values()), number)) for number in range(depth))


def _generation(names: Sequence[Sequence[x509.Certificate]], number: int) -> tuple[x509.Certificate, ...]:
    return tuple(anchors[min(number, len(anchors) - 1)] for anchors in names)
