"""What is given to path validation besides certificates and the time (RFC 5280 section 6.1.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from cryptography import x509

from device_sdk.wire.revocation import ListsByIssuer

ANY_POLICY = "2.5.29.32.0"


@dataclass(frozen=True)
class PathInputs:
    """The initial settings of a validation, and the revocation lists it goes by.

    The trust anchor's own limits are taken from the extensions of its certificate, or of the one that stands for it.

    Attributes:
        policies: user-initial-policy-set, dotted.
        require_explicit_policy: initial-explicit-policy.
        inhibit_policy_mapping: initial-policy-mapping-inhibit.
        inhibit_any_policy: initial-any-policy-inhibit.
        lists: revocation lists that were checked: a certificate of the path that is on one of its issuer's is refused.
        unchecked_lists: others; they count where the CA that issued a certificate of the path signed them.
        lists_required: a certificate whose issuer has no list that was checked, or only stale ones, is refused, too (RFC 5280 section 6.3.3:
            status undetermined).
    """

    policies: frozenset[str] = frozenset({ANY_POLICY})
    require_explicit_policy: bool = False
    inhibit_policy_mapping: bool = False
    inhibit_any_policy: bool = False
    lists: tuple[x509.CertificateRevocationList, ...] = field(default=(), repr=False)
    unchecked_lists: tuple[x509.CertificateRevocationList, ...] = field(default=(), repr=False)
    lists_required: bool = False

    @cached_property
    def by_issuer(self) -> ListsByIssuer:
        """The lists, ready to be looked up."""
        return ListsByIssuer(self.lists)

    @cached_property
    def unchecked_by_issuer(self) -> ListsByIssuer:
        """The unchecked lists, ready to be looked up."""
        return ListsByIssuer(self.unchecked_lists)


NO_INPUTS = PathInputs()
