"""Answers of which everything was refused."""

from __future__ import annotations

from device_sdk.errors import VerificationError
from device_sdk.protocols.crls import RevocationLists
from device_sdk.protocols.eecerts import OWN, PeerCertificates


def require_usable(found: RevocationLists | PeerCertificates, url: str) -> None:
    """An answer of which nothing can be used is no success; a server that has nothing, or nothing but the client's own, is one (AMB-22).

    Args:
        found: what came of an answer.
        url: where it came from.

    Raises:
        VerificationError: all of it was rejected.
    """
    reasons = dict.fromkeys(reason for _, reason in found.rejected if reason != OWN)
    if found.accepted or not reasons or (isinstance(found, RevocationLists) and found.for_signers):
        return
    what = "revocation list" if isinstance(found, RevocationLists) else "certificate of a peer"
    raise VerificationError(
        f"{url}: no {what} of the answer can be used: {'; '.join(reasons)}",
        hint="look at the server's CA, at the trust anchors, and at this machine's clock",
        url=url,
    )
