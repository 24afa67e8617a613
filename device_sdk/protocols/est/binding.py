"""Binding a CSR to the TLS connection that carries it (RFC 7030 section 3.5, EST-91 to EST-98)."""

from __future__ import annotations

import base64

from device_sdk.errors import LocalProtocolError
from device_sdk.model.compatibility import BindingMode
from device_sdk.model.http import ConnectionFacts


def channel_binding(facts: ConnectionFacts, mode: BindingMode = "auto") -> str | None:
    """The challengePassword value for a connection, or None where there is nothing to bind to.

    TLS 1.2: base64 of tls-unique (RFC 5929). TLS 1.3: base64 of the 32-byte exporter of RFC 9266, as RFC 9148
    section 3 does for EST over CoAP. No line breaks; fits PrintableString.

    Raises:
        LocalProtocolError: a mode that was chosen, and that this connection has no value for.
    """
    if mode == "none":
        return None
    old = facts.tls_version == "TLSv1.2"
    values = {
        "auto": facts.tls_unique if old else facts.tls_exporter,
        "exporter": facts.tls_exporter,
        "finished": facts.tls_unique if old else facts.tls_finished,
        "tls-unique": facts.tls_unique,
    }
    value = values[mode]
    if value:
        return base64.b64encode(value).decode("ascii")
    if mode == "auto":
        return None
    raise LocalProtocolError(
        f"the request is to be bound by {mode}, and this connection ({facts.tls_version}) has no value for it",
        hint="choose another binding, or leave the choice to the client (--binding auto)",
    )
