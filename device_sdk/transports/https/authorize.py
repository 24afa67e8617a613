"""Is this trusted server the one we want? (RFC 7030 section 3.6, RFC 9525 section 6; EST-61 to EST-67)."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from device_sdk.errors import ServerNotAuthorizedError, ServerNotTrustedError
from device_sdk.transports.https.origin import ip_of
from device_sdk.wire.name_constraints import constraints_problem
from device_sdk.wire.path_inputs import PathInputs
from device_sdk.wire.policies import policy_problem

ID_KP_CMC_RA = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.28")


def refuse_path(chain: Sequence[bytes], inputs: PathInputs) -> None:
    """Check what OpenSSL leaves out of path validation, or does otherwise than the rest of the SDK (RFC 5280 section 6).

    Args:
        chain: the verified path, DER, leaf first, trust anchor last.
        inputs: the revocation lists.

    Raises:
        ServerNotTrustedError: it breaks a rule; nothing may be sent to this server.
    """
    try:
        path = [x509.load_der_x509_certificate(der) for der in chain]
        problems = {
            "certificate revoked": inputs.by_issuer.problem(path),
            "name constraints": constraints_problem(path),
            "certificate policies": policy_problem(path, inputs),
        }
    except (ValueError, x509.DuplicateExtension) as exc:
        problems = {"unreadable certificate": f"it cannot be read: {exc}"}
    for reason, problem in problems.items():
        if problem:
            raise ServerNotTrustedError(
                f"the server's certificate is not trusted: {problem}",
                hint="the server needs a new certificate: tell its operator",
                reason=reason,
            )


def authorize(chain: Sequence[bytes], host: str, explicit: frozenset[bytes]) -> None:
    """Check a verified path's leaf: a fitting name, or id-kp-cmcRA under an Explicit trust anchor.

    Args:
        chain: the verified path, DER, leaf first, trust anchor last.
        host: host name or IP literal of the URL; its port plays no part (EST-67).
        explicit: DER of the Explicit trust anchors.

    Raises:
        ServerNotAuthorizedError: neither holds; nothing may be sent to this server.
    """
    try:
        path = [x509.load_der_x509_certificate(der) for der in chain]
        below_anchor = [c for c, der in zip(path[1:], chain[1:], strict=True) if der not in explicit]
        leaf, names = path[0], _names(path[0])
        if not _signs_handshakes(leaf):
            raise _refusal(host, names, "its key usage is not for TLS servers")
        if any(_fits(name, host) for name in names):
            if _allows(leaf, below_anchor, ExtendedKeyUsageOID.SERVER_AUTH):
                return
            reason = "its extended key usage does not include serverAuth"
        else:
            reason = f"it is for {', '.join(str(name.value) for name in names) or 'no host at all'}"
        if any(der in explicit for der in chain) and _is_registration_authority(leaf, below_anchor):
            return
    except (ValueError, x509.DuplicateExtension) as exc:
        raise _refusal(host, (), f"it cannot be read: {exc}") from exc
    raise _refusal(host, names, reason)


def _refusal(host: str, names: Sequence[x509.DNSName | x509.IPAddress], reason: str) -> ServerNotAuthorizedError:
    return ServerNotAuthorizedError(
        f"the server's certificate is trusted, but is not one for {host}: {reason}",
        hint="use the name in the certificate, or have the server's certificate issued for this name",
        names=tuple(str(name.value) for name in names),
    )


def _names(leaf: x509.Certificate) -> tuple[x509.DNSName | x509.IPAddress, ...]:
    """The SAN's dNSName and iPAddress; the subject's common name is never looked at."""
    try:
        san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(name for name in san if isinstance(name, x509.DNSName | x509.IPAddress))


def _fits(name: x509.DNSName | x509.IPAddress, host: str) -> bool:
    address = ip_of(host)
    if isinstance(name, x509.IPAddress):
        return address is not None and name.value == address
    return address is None and dns_name_fits(name.value, host)


def dns_name_fits(presented: str, host: str) -> bool:
    """RFC 9525 section 6.3: equal without regard to case, or "*" as the whole leftmost label of a deeper name."""
    presented, host = presented.lower().removesuffix("."), host.lower().removesuffix(".")
    if "*" not in presented:
        return bool(host) and presented == host
    star, _, rest = presented.partition(".")
    label, _, parent = host.partition(".")
    return star == "*" and "*" not in rest and "." in rest and bool(label) and parent == rest


def _extended_key_usage(certificate: x509.Certificate) -> set[x509.ObjectIdentifier] | None:
    try:
        return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return None


def _signs_handshakes(leaf: x509.Certificate) -> bool:
    try:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return True
    # RFC 5246 section 7.4.2, RFC 8446 section 4.4.2.2: every suite we offer has the server sign
    return usage.digital_signature


def _allows(leaf: x509.Certificate, issuers: Sequence[x509.Certificate], purpose: x509.ObjectIdentifier) -> bool:
    """No extended key usage anywhere, or the purpose named; anyExtendedKeyUsage does not name it."""
    usages = [_extended_key_usage(certificate) for certificate in (leaf, *issuers)]
    return all(usage is None or purpose in usage for usage in usages)


def _is_registration_authority(leaf: x509.Certificate, issuers: Sequence[x509.Certificate]) -> bool:
    """RFC 6402 section 2.10: id-kp-cmcRA is named in the leaf, and no CA on the path is limited to other purposes."""
    return ID_KP_CMC_RA in (_extended_key_usage(leaf) or ()) and _issuers_allow_ra(issuers)


def _issuers_allow_ra(issuers: Sequence[x509.Certificate]) -> bool:
    usages = [_extended_key_usage(certificate) for certificate in issuers]
    good = {ID_KP_CMC_RA, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    return all(usage is None or usage & good for usage in usages)
