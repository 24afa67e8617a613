"""What /csrattrs tells the client to put into its CSR (RFC 8951 section 4)."""

from __future__ import annotations

from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc8951

from device_sdk_simulators.est.attributes import CHALLENGE_PASSWORD
from device_sdk_simulators.policy import Policy


def csr_attributes(policy: Policy) -> bytes | None:
    """DER of CsrAttrs, or None where there is nothing to say."""
    if policy.csrattrs_der is not None:
        return policy.csrattrs_der
    items = list(policy.csrattrs)
    # EST-92: what is required must be listed
    if policy.require_binding and CHALLENGE_PASSWORD not in items:
        items.append(CHALLENGE_PASSWORD)
    if not items:
        return None
    listing = rfc8951.CsrAttrs()
    for position, item in enumerate(items):
        if isinstance(item, str):
            listing[position]["oid"] = item
        else:
            listing[position]["attribute"] = decode(item, asn1Spec=rfc8951.Attribute())[0]
    return bytes(encode(listing))
