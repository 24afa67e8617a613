"""Who may call a role, and whom a role calls: peers listed by name or by fingerprint (CALE-59)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives import hashes

_FINGERPRINT = re.compile(r"sha256:([0-9a-f]{64})")


class Peers:
    """A list of peers.

    A certificate of the right CA is not enough: what the CA issues to others is refused.

    Args:
        listed: names as in the certificates' subjectAltName, in any letter case, or "sha256:" and the hex digits of the
            SHA-256 of the certificate, with or without colons; ValueError for anything else.
    """

    def __init__(self, listed: Iterable[str]) -> None:
        self._listed = {normal_peer(one) for one in listed}

    def name_of(self, certificate: x509.Certificate | None) -> str | None:
        """What a listed peer is called here (the entry that names it), None for strangers."""
        if certificate is None:
            return None
        known = {f"sha256:{fingerprint(certificate)}", *(name.lower() for name in names_of(certificate))}
        return next(iter(sorted(known & self._listed)), None)

    @property
    def entries(self) -> tuple[str, ...]:
        """The list, in order and in its one form."""
        return tuple(sorted(self._listed))

    def __str__(self) -> str:
        return ", ".join(sorted(self._listed)) or "nobody"


def normal_peer(text: str) -> str:
    """An entry of a list of peers in its one form; ValueError."""
    lowered = text.strip().lower()
    if lowered.startswith("sha256:"):
        lowered = "sha256:" + lowered.removeprefix("sha256:").replace(":", "")
        if not _FINGERPRINT.fullmatch(lowered):
            raise ValueError(f"{text!r} is not sha256: and 64 hex digits")
        return lowered
    try:
        # the same rules as for the certificates' names
        x509.DNSName(lowered)
    except ValueError:
        lowered = ""
    if not lowered or "*" in lowered or " " in lowered:
        raise ValueError(f"{text!r} is neither a name nor sha256: and a fingerprint")
    return lowered


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate, in hex."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def names_of(certificate: x509.Certificate) -> list[str]:
    """DNS names in the subjectAltName; a subject's common name does not count (RFC 9525 section 2)."""
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return alternatives.get_values_for_type(x509.DNSName)
