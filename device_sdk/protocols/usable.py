"""Answers of which everything was refused."""

from __future__ import annotations

from device_sdk.errors import VerificationError
from device_sdk.protocols.crls import RevocationLists
from device_sdk.protocols.eecerts import PeerCertificates


def require_usable(found: RevocationLists | PeerCertificates, url: str) -> None:
    """An answer of which nothing can be used is no success; a server that has nothing is one (AMB-22).

    Args:
        found: what came of an answer.
        url: where it came from.

    Raises:
        VerificationError: all of it was rejected.
    """
    if found.accepted or not found.rejected:
        return
    what = "revocation list" if isinstance(found, RevocationLists) else "certificate of a peer"
    reasons = dict.fromkeys(reason for _, reason in found.rejected)
    raise VerificationError(
        f"{url}: no {what} of the answer can be used: {'; '.join(reasons)}",
        hint="look at the server's CA, at the trust anchors, and at this machine's clock",
        url=url,
    )
