"""Whom a client trusts, and what it shows of itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509

from device_sdk.model.keys import PrivateKey


@dataclass(frozen=True)
class ServerTrust:
    """The two trust anchor databases of RFC 7030 section 3.3.1, kept apart.

    Attributes:
        explicit: Explicit trust anchors; may hold intermediates.
        implicit: whether the operating system's store (the Implicit database) may anchor the server; off unless asked for.
        announce: name the Explicit anchors in the ClientHello, for servers with several certificates (EST-58); whoever
            listens on the line then knows which CA this is.
        lists: revocation lists that were checked when they came; whoever is on one of its issuer is not trusted, be it
            the server, a CA above it, or what it issues.
    """

    explicit: tuple[x509.Certificate, ...] = ()
    implicit: bool = False
    announce: bool = False
    lists: tuple[x509.CertificateRevocationList, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class TlsIdentity:
    """A certificate chain, leaf first, and the key of its leaf; the key may live in a token or TPM."""

    chain: tuple[x509.Certificate, ...]
    key: PrivateKey = field(repr=False)


@dataclass(frozen=True)
class Pin:
    """A fingerprint of a CA: SHA-256 or SHA-512 of its DER certificate or of its SubjectPublicKeyInfo (EST-76).

    Attributes:
        algorithm: "sha256" or "sha512".
        digest: 32 or 64 bytes.
    """

    algorithm: str
    digest: bytes

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.digest.hex()}"
