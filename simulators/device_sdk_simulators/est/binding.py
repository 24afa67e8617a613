"""Proof that who signed the CSR is who holds the TLS connection (RFC 7030 section 3.5)."""

from __future__ import annotations

import base64
import hmac

from device_sdk_simulators.http.messages import HttpError, TlsFacts
from device_sdk_simulators.policy import Policy


def check_binding(
    bindings: tuple[str, ...], tls: TlsFacts, policy: Policy, *, registration_authority: bool = False
) -> str | None:
    """Name of the binding that fits this connection, or None if there is none; HttpError 400 (EST-90, EST-107).

    A challengePassword is never taken for a password here: what is not the binding is a failure (EST-109). Only a
    registration authority may bring that of another session, which it has checked itself: "foreign" (EST-101).
    """
    if not bindings:
        if policy.require_binding:
            raise HttpError(400, "linking of identity and proof of possession is required: no challengePassword")
        return None
    expected = {"tls-unique": tls.tls_unique, "tls-exporter": tls.tls_exporter}
    if policy.accept_finished and tls.version == "TLSv1.3":
        expected["finished"] = tls.client_finished
    names = [_which(value, expected) for value in bindings]
    if None in names and registration_authority:
        return "foreign"
    if None in names:
        raise HttpError(400, "challengePassword is not the binding of this TLS connection; linking failed")
    return names[0]


def _which(value: str, expected: dict[str, bytes | None]) -> str | None:
    found = None
    for name, binding in expected.items():
        if binding is not None and hmac.compare_digest(base64.b64encode(binding), value.encode()):
            found = name
    return found
