"""Certificate policies along a path (RFC 5280 sections 6.1.2 to 6.1.5, in the form of RFC 9618).

The tree of RFC 5280 grows exponentially with hostile mappings (CVE-2023-0464). RFC 9618 has one node for each policy and
depth. Here only the deepest level is kept: each node knows which policies of the anchor's own domain led to it, and that is
all the outcome depends on. So the cost is bounded by the policies and mappings of one certificate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from device_sdk.wire.certificate import extension_value, is_self_issued
from device_sdk.wire.path_inputs import ANY_POLICY, PathInputs

MAX_POLICIES = 128
"""Policies, and mappings, of one certificate: more make the path invalid."""

_ANY = frozenset({ANY_POLICY})
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError)


@dataclass(frozen=True)
class _Node:
    """A policy that is valid so far.

    Attributes:
        expected: policies of the next certificate that continue it.
        origins: policies of the trust anchor's domain it stems from.
    """

    expected: frozenset[str]
    origins: frozenset[str]


_Level: TypeAlias = dict[str, _Node]


class _RefusedError(Exception):
    """Why a path is not valid."""


def policy_problem(path: Sequence[x509.Certificate], inputs: PathInputs) -> str | None:
    """Why the policies of a path are not acceptable; None if they are.

    Args:
        path: the certificate in question first, the trust anchor last.
        inputs: the initial settings.
    """
    try:
        state = _State.start(path[-1], len(path) - 1, inputs)
        for position in range(len(path) - 2, -1, -1):
            state.process(path[position], last=position == 0)
    except _RefusedError as error:
        return str(error)
    except ValueError:
        return "certificate policies that cannot be read"
    return None


@dataclass
class _State:
    """The state variables (section 6.1.2); an empty level is the NULL tree."""

    wanted: frozenset[str]
    explicit: int
    mapping: int
    inhibit_any: int
    level: _Level

    @classmethod
    def start(cls, anchor: x509.Certificate, length: int, inputs: PathInputs) -> _State:
        """Section 6.1.2; a trust anchor's own policies and limits hold from the beginning (RFC 5914 section 2)."""
        require, inhibit, any_policy = _limits(anchor)
        far = length + 1
        state = cls(
            wanted=_common(inputs.policies, _policies(anchor)),
            explicit=_initial(inputs.require_explicit_policy, require, far),
            mapping=_initial(inputs.inhibit_policy_mapping, inhibit, far),
            inhibit_any=_initial(inputs.inhibit_any_policy, any_policy, far),
            level={ANY_POLICY: _Node(_ANY, _ANY)},
        )
        if length and state.explicit == 0 and not state.wanted:
            raise _RefusedError("its trust anchor stands for none of the certificate policies that are asked for")
        return state

    def process(self, certificate: x509.Certificate, *, last: bool) -> None:
        """Sections 6.1.3 (d) to (f), and 6.1.4 or 6.1.5."""
        self._descend(certificate, last=last)
        if self.explicit == 0 and not self.level:
            raise _RefusedError("no certificate policy holds along its whole path, and one is required")
        if last:
            self._wrap_up(certificate)
        else:
            self._map(certificate)
            self._count(certificate)

    def _descend(self, certificate: x509.Certificate, *, last: bool) -> None:
        """Section 6.1.3 (d) and (e)."""
        found = _policies(certificate)
        above, self.level = self.level, {}
        if found is None or not above:
            return
        expecting = _by_expected(above)
        for policy in found - _ANY:
            if policy in expecting:
                self.level[policy] = _Node(frozenset({policy}), expecting[policy])
            elif ANY_POLICY in above:
                self.level[policy] = _Node(frozenset({policy}), frozenset({policy}))
        if ANY_POLICY in found and (self.inhibit_any > 0 or (not last and is_self_issued(certificate))):
            for policy, origins in expecting.items():
                self.level.setdefault(policy, _Node(frozenset({policy}), origins))

    def _map(self, certificate: x509.Certificate) -> None:
        """Section 6.1.4 (a) and (b)."""
        mappings = _mappings(certificate)
        for policy, equivalents in mappings.items():
            if policy == ANY_POLICY or ANY_POLICY in equivalents:
                raise _RefusedError("a policy mapping from or to anyPolicy")
            if self.mapping == 0:
                self.level.pop(policy, None)
            elif policy in self.level:
                self.level[policy] = replace(self.level[policy], expected=equivalents)
            elif ANY_POLICY in self.level:
                # a child of the anyPolicy node above, as any other policy named in this certificate would be
                self.level[policy] = _Node(equivalents, frozenset({policy}))

    def _count(self, certificate: x509.Certificate) -> None:
        """Section 6.1.4 (h) to (j)."""
        if not is_self_issued(certificate):
            self.explicit, self.mapping, self.inhibit_any = (
                max(number - 1, 0) for number in (self.explicit, self.mapping, self.inhibit_any)
            )
        require, inhibit, any_policy = _limits(certificate)
        self.explicit = _least(self.explicit, require)
        self.mapping = _least(self.mapping, inhibit)
        self.inhibit_any = _least(self.inhibit_any, any_policy)

    def _wrap_up(self, certificate: x509.Certificate) -> None:
        """Section 6.1.5 (a), (b) and (g)."""
        self.explicit = max(self.explicit - 1, 0)
        if _limits(certificate)[0] == 0:
            self.explicit = 0
        if self.explicit > 0:
            return
        held = frozenset[str]().union(*(node.origins for node in self.level.values()))
        if not _common(self.wanted, held):
            raise _RefusedError("none of the certificate policies that are asked for holds along its whole path")


def _by_expected(level: _Level) -> dict[str, frozenset[str]]:
    """For each policy that some node expects, the origins of all nodes that do."""
    found: dict[str, frozenset[str]] = {}
    for node in level.values():
        for policy in node.expected:
            found[policy] = found.get(policy, frozenset()) | node.origins
    return found


def _common(wanted: frozenset[str], held: frozenset[str] | None) -> frozenset[str]:
    """The policies in both sets, where anyPolicy, or no set at all, stands for every one."""
    if held is None or ANY_POLICY in held:
        return wanted
    return held if ANY_POLICY in wanted else wanted & held


def _initial(asked: bool, anchors_own: int | None, far: int) -> int:
    return 0 if asked else _least(far, anchors_own)


def _least(number: int, limit: int | None) -> int:
    return number if limit is None else min(number, limit)


def _policies(certificate: x509.Certificate) -> frozenset[str] | None:
    value = extension_value(certificate, x509.CertificatePolicies)
    if value is None:
        return None
    if len(value) > MAX_POLICIES:
        raise _RefusedError(f"more than {MAX_POLICIES} certificate policies")
    return frozenset(one.policy_identifier.dotted_string for one in value)


def _limits(certificate: x509.Certificate) -> tuple[int | None, int | None, int | None]:
    """requireExplicitPolicy, inhibitPolicyMapping, inhibitAnyPolicy."""
    constraints = extension_value(certificate, x509.PolicyConstraints)
    inhibit_any = extension_value(certificate, x509.InhibitAnyPolicy)
    return (
        None if constraints is None else constraints.require_explicit_policy,
        None if constraints is None else constraints.inhibit_policy_mapping,
        None if inhibit_any is None else inhibit_any.skip_certs,
    )


def _mappings(certificate: x509.Certificate) -> dict[str, frozenset[str]]:
    """Each policy that is mapped, and what it is mapped to."""
    try:
        extension = certificate.extensions.get_extension_for_oid(ExtensionOID.POLICY_MAPPINGS).value
    except x509.ExtensionNotFound:
        return {}
    try:
        pairs = asn1.PolicyMappings.load(extension.public_bytes(), strict=True)
        if len(pairs) > MAX_POLICIES:
            raise _RefusedError(f"more than {MAX_POLICIES} policy mappings")
        found: dict[str, set[str]] = {}
        for pair in pairs:
            found.setdefault(pair["issuer_domain_policy"].dotted, set()).add(pair["subject_domain_policy"].dotted)
    except _UNREADABLE as error:
        raise _RefusedError("policy mappings that cannot be read") from error
    return {policy: frozenset(equivalents) for policy, equivalents in found.items()}
