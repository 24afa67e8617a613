"""What is given to path validation besides certificates and the time (RFC 5280 section 6.1.1, RFC 5914 section 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from cryptography import x509

from device_sdk.wire.revocation import ListsByIssuer

ANY_POLICY = "2.5.29.32.0"


@dataclass(frozen=True)
class AnchorControls:
    """What a trust anchor may be used for, as somebody said beside its certificate (RFC 5914, CertPathControls).

    What is given here holds in the place of the anchor certificate's own extension; where it is None, that one holds.

    Attributes:
        policies: policySet, dotted.
        require_explicit_policy: of policyFlags.
        inhibit_policy_mapping: of policyFlags.
        inhibit_any_policy: of policyFlags.
        name_constraints: nameConstr, DER of a NameConstraints (a SEQUENCE).
        path_length: pathLenConstraint.
    """

    policies: frozenset[str] | None = None
    require_explicit_policy: bool | None = None
    inhibit_policy_mapping: bool | None = None
    inhibit_any_policy: bool | None = None
    name_constraints: bytes | None = None
    path_length: int | None = None


NO_CONTROLS = AnchorControls()


@dataclass(frozen=True)
class PathInputs:
    """The initial settings of a validation, and the revocation lists it goes by.

    Attributes:
        policies: user-initial-policy-set, dotted.
        require_explicit_policy: initial-explicit-policy.
        inhibit_policy_mapping: initial-policy-mapping-inhibit.
        inhibit_any_policy: initial-any-policy-inhibit.
        controls: of trust anchors that have some beside their certificate.
        lists: revocation lists that were checked: a certificate of the path that is on one of its issuer's is refused.
        unchecked_lists: others; they count where the CA that issued a certificate of the path signed them.
        lists_required: a certificate whose issuer has no list that was checked, or only stale ones, is refused, too (RFC 5280 section 6.3.3:
            status undetermined).
    """

    policies: frozenset[str] = frozenset({ANY_POLICY})
    require_explicit_policy: bool = False
    inhibit_policy_mapping: bool = False
    inhibit_any_policy: bool = False
    controls: Mapping[x509.Certificate, AnchorControls] = field(default_factory=dict)
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

    def controls_of(self, anchor: x509.Certificate) -> AnchorControls:
        """Those of a trust anchor; without any value if there are none."""
        return self.controls.get(anchor, NO_CONTROLS) if self.controls else NO_CONTROLS


NO_INPUTS = PathInputs()
