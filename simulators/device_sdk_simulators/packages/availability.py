"""What is there for one client just now: the entries of its package availability list (RFC 8295 section 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509

from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.est.cms import certs_only
from device_sdk_simulators.est.results import FOR_KEY_ESTABLISHMENT, KEY_ESTABLISHMENT, SIGNATURE, Result, usage_of
from device_sdk_simulators.est.route import Route
from device_sdk_simulators.packages.firmware.shelf import OPERATION as FIRMWARE
from device_sdk_simulators.packages.firmware.shelf import size_of
from device_sdk_simulators.packages.key_returns import KeyReturns
from device_sdk_simulators.packages.pal_forms import Entry
from device_sdk_simulators.packages.shelf import Package, Shelf
from device_sdk_simulators.packages.tamp.book import OPERATION as TAMP
from device_sdk_simulators.policy import Policy

_CA_CERTIFICATES, _LISTS, _RENEW, _NEXT = "0002", "0005", "0010", "0001"
_START_SECOND, _RENEW_SECOND = "0014", "0017"
_RESULTS = {
    ("simpleenroll", SIGNATURE): ("0008", "0009"),
    ("simplereenroll", SIGNATURE): ("0011", "0012"),
    ("simpleenroll", KEY_ESTABLISHMENT): ("0015", "0016"),
    ("simplereenroll", KEY_ESTABLISHMENT): ("0018", "0019"),
}
KEYS = "symmetrickeys"
_KEYS, _KEY_RECEIPT, _GENERATED_RECEIPT = "0024", "0025", "0023"


def entries_for(  # noqa: PLR0913  # what a list is made of
    client: Client,
    route: Route,
    base: str,
    shelf: Shelf,
    policy: Policy,
    now: datetime,
    *,
    crls_size: int,
    messages: Sequence[Package] = (),
    results: Sequence[Result] = (),
    certificates: Sequence[x509.Certificate] = (),
    generated: Sequence[x509.Certificate] = (),
) -> list[Entry]:
    """In the order of section 2.3: CA certificates and CRLs, the client's own certificate, the rest, the new before the old.

    Args:
        client: who asks.
        route: CA and label that were asked.
        base: URL of the service, without a slash at the end.
        shelf: what was published.
        policy: when a certificate is to be renewed.
        now: the present.
        crls_size: bytes of the revocation lists.
        messages: about trust anchors, that the client did not answer, in the order of their numbers.
        results: of enrolments, that the client does not know yet.
        certificates: of the client, the newest first.
        generated: of keys that were made for it here.
    """
    seen = shelf.fetches_of(client)
    bag = certs_only(list(route.site.hierarchy.bag))
    found = [
        Entry(_CA_CERTIFICATES, len(bag), f"{base}/cacerts", date=seen.get("cacerts")),
        Entry(_LISTS, crls_size, f"{base}/crls", date=seen.get("crls")),
    ]
    renews = client.certificate is not None and not client.third_party
    found += [_result(one, base, renews=renews) for one in results if not client.registration_authority]
    found += _renewal(client, base, policy, now)
    found += _second(client, certificates, base, policy, now)
    due = [one for one in generated if one != client.certificate and _is_due(one, policy, now)]
    found += [_named(_RENEW, one) for one in due if one.not_valid_after_utc > now]
    packages = [one for one in shelf.for_client(client, route.label) if one.operation != TAMP] + list(messages)
    # of messages with numbers the first is not overtaken: the later one would be the end of it (RFC 5934 section 6);
    # nor is an earlier version of firmware, which would be refused after the later one; nor are older keys, which would
    # be stored over the newer ones by a device that fetched them and lost power before that
    news = {one.operation for one in packages if one.operation in (TAMP, FIRMWARE, KEYS) and one.place not in seen}
    packages.sort(key=lambda one: (one.place in seen and one.operation not in news, one.published_at))
    return found + [_entry(one, base, seen.get(one.place)) for one in packages]


def receipts_wanted(entries: Sequence[Entry], base: str, returns: KeyReturns, client: Client) -> list[Entry]:
    """Entries of type 0025 and 0023 if a package of keys that the client was sent waits for its receipt (KR-06, AR-01)."""
    fetched = {one.uri.rpartition("/")[2]: one.date for one in entries if one.type == _KEYS and one.date and one.uri}
    found = [Entry(_KEY_RECEIPT, 0, f"{base}/symmetrickeys/return")] if returns.due(fetched, client) else []
    if returns.generated_is_due(client):
        found.append(Entry(_GENERATED_RECEIPT, 0, f"{base}/serverkeygen/return"))
    return found


def page_of(entries: Sequence[Entry], number: int, limit: int, base: str) -> list[Entry] | None:
    """Part of a list, the first is number 1: at most `limit` entries, the last of which leads to the next part (P-12).

    None if there is no such part.
    """
    step = limit - 1
    # the last part may be full, as nothing follows it
    last = max(1, -(-(len(entries) - 1) // step))
    if not 1 <= number <= last:
        return None
    begin = (number - 1) * step
    if number == last:
        return list(entries[begin:])
    return [*entries[begin : begin + step], Entry(_NEXT, 0, f"{base}/pal/{number + 1}")]


def _renewal(client: Client, base: str, policy: Policy, now: datetime) -> list[Entry]:
    """The client's certificate, if it is ours and has run for the share of its life that policy says (P-15)."""
    certificate = client.certificate
    if (
        certificate is None
        or client.third_party
        or client.registration_authority
        or not _is_due(certificate, policy, now)
    ):
        return []
    return [_renewed(_RENEW, certificate, base, policy)]


def _second(
    client: Client, certificates: Sequence[x509.Certificate], base: str, policy: Policy, now: datetime
) -> list[Entry]:
    """The client's certificate for key establishment if it is due; where policy says so, one to begin with (N-01)."""
    if client.certificate is None or client.third_party or client.registration_authority:
        return []
    if usage_of(client.certificate) == KEY_ESTABLISHMENT:
        return []
    own = (one for one in certificates if usage_of(one) == KEY_ESTABLISHMENT and one.not_valid_after_utc > now)
    newest = next(own, None)
    if newest is None:
        return [Entry(_START_SECOND, 0, f"{base}/simpleenroll")] if policy.key_establishment else []
    if not _is_due(newest, policy, now):
        return []
    return [_renewed(_RENEW_SECOND, newest, base, policy)]


def _renewed(kind: str, certificate: x509.Certificate, base: str, policy: Policy) -> Entry:
    """An entry has a place or a certificate (section 2.1): of a place, the certificate is that of the use."""
    if policy.pal_fullcmc:
        return Entry(kind, 0, f"{base}/fullcmc")
    return _named(kind, certificate)


def _named(kind: str, certificate: x509.Certificate) -> Entry:
    return Entry(kind, 0, iasn=(certificate.issuer.rfc4514_string(), certificate.serial_number))


def _result(result: Result, base: str, *, renews: bool) -> Entry:
    """One entry that leads to what became of an enrolment (N-03); by Full CMC, whoever has a certificate renews it."""
    plain = "simplereenroll" if renews else "simpleenroll"
    success, failure = _RESULTS[plain if result.operation == "fullcmc" else result.operation, result.usage]
    query = f"?{FOR_KEY_ESTABLISHMENT}" if result.usage == KEY_ESTABLISHMENT else ""
    return Entry(failure if result.state == "denied" else success, 0, f"{base}/{result.operation}{query}")


def _is_due(certificate: x509.Certificate, policy: Policy, now: datetime) -> bool:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now - begin >= (end - begin) * policy.pal_renewal


def _entry(package: Package, base: str, date: datetime | None) -> Entry:
    return Entry(package.type, size_of(package), f"{base}/{package.place}", date=date)
