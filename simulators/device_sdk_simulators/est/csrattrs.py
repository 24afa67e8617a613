"""What /csrattrs tells the client to put into its CSR (RFC 8951 section 4, RFC 9908, RFC 7894 section 4)."""

from __future__ import annotations

from device_sdk_simulators.csr_demand import Demand
from device_sdk_simulators.est.attributes import CHALLENGE_PASSWORD, EST_IDENTITY_LINKING
from device_sdk_simulators.est.challenges import OTP_CHALLENGE, REVOCATION_CHALLENGE
from device_sdk_simulators.est.csrattrs_forms import csr_attrs, listed, template
from device_sdk_simulators.est.csrattrs_keys import insisted_key, names_a_key
from device_sdk_simulators.policy import Policy


def csr_attributes(policy: Policy, demand: Demand | None = None) -> bytes | None:
    """DER of CsrAttrs, or None where there is nothing to say.

    Args:
        policy: what everybody is told.
        demand: what this client is told instead of `Policy.csrattrs`.
    """
    if demand is None and policy.csrattrs_der is not None:
        return policy.csrattrs_der
    challenges = _challenges(policy)
    if demand is None:
        items = list(policy.csrattrs)
        items.extend(oid for oid in challenges if oid not in items)
        key = None if names_a_key(items) else insisted_key(policy)
        items.extend([] if key is None else [key])
        return csr_attrs(items) if items else None
    items = [] if demand.form == "rfc9908" else listed(demand, challenges)
    if demand.form in ("rfc9908", "both"):
        items.append(template(demand, challenges))
    return csr_attrs(items)


def _challenges(policy: Policy) -> list[str]:
    """EST-92, EST-104: what is required is listed in every answer; the linking attribute beside the older one."""
    listing = {
        CHALLENGE_PASSWORD: policy.require_binding,
        EST_IDENTITY_LINKING: policy.list_identity_linking,
        OTP_CHALLENGE: policy.require_otp,
        REVOCATION_CHALLENGE: policy.require_revocation_challenge,
    }
    return [oid for oid, wanted in listing.items() if wanted]
