"""Binding a CSR to the TLS connection that carries it (RFC 7030 section 3.5, EST-91 to EST-98)."""

from __future__ import annotations

import base64

from device_sdk.model.http import ConnectionFacts


def channel_binding(facts: ConnectionFacts) -> str | None:
    """The challengePassword value for a connection, or None where there is nothing to bind to.

    TLS 1.2: base64 of tls-unique (RFC 5929). TLS 1.3: base64 of the 32-byte exporter of RFC 9266, as RFC 9148
    section 3 does for EST over CoAP. No line breaks; fits PrintableString.
    """
    value = facts.tls_unique if facts.tls_version == "TLSv1.2" else facts.tls_exporter
    return base64.b64encode(value).decode("ascii") if value else None
