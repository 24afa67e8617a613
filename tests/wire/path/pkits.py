"""The tests of NIST's Public Key Interoperability Test Suite (tests/vectors/pkits)."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from cryptography import x509

VECTORS = Path(__file__).parents[2] / "vectors" / "pkits"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
ANCHOR = "TrustAnchorRootCertificate"

# parameters of a DSA key that are left out, which cryptography does not parse
UNREADABLE = {"DSAParametersInheritedCACert", "ValidDSAParameterInheritanceTest5EE"}


@dataclass(frozen=True)
class Case:
    """One test with one set of settings."""

    number: str
    target: str
    valid: bool
    policies: tuple[str, ...]
    flags: frozenset[str]

    @property
    def section(self) -> str:
        """Of the suite's document."""
        return ".".join(self.number.split(".")[:2])


def cases() -> tuple[Case, ...]:
    """All of them, in the order of the document."""
    return tuple(_case(line) for line in (VECTORS / "tests.txt").read_text("ascii").splitlines())


@cache
def files() -> dict[str, bytes]:
    """DER of every certificate and list, by directory and name."""
    with tarfile.open(VECTORS / "pkits.tar.xz") as archive:
        return {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]  # all are files


@cache
def certificates() -> dict[str, x509.Certificate]:
    """All that can be read, by name."""
    encoded = {Path(name).stem: der for name, der in files().items() if name.startswith("certs/")}
    return {name: x509.load_der_x509_certificate(der) for name, der in encoded.items() if name not in UNREADABLE}


@cache
def authorities() -> tuple[x509.Certificate, ...]:
    """All certificates that are not the target of a test."""
    return tuple(one for name, one in certificates().items() if not name.endswith("EE") and name != ANCHOR)


@cache
def lists() -> tuple[x509.CertificateRevocationList, ...]:
    """All revocation lists."""
    return tuple(x509.load_der_x509_crl(der) for name, der in files().items() if name.startswith("crls/"))


def _case(line: str) -> Case:
    number, target, result, policies, *flags = line.split()
    numbers = () if policies == "any" else tuple(policies.split("+"))
    return Case(
        number,
        f"{target}EE",
        result == "valid",
        tuple(f"2.16.840.1.101.3.2.1.48.{one}" for one in numbers),
        frozenset(flags),
    )
