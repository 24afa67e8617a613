"""What became of an enrolment, for clients that lost the answer: kept until it is fetched (RFC 8295 section 9; N-03, N-05, AMB-24)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from device_sdk_simulators.database import Database
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.est.route import Route
from device_sdk_simulators.policy import Policy

_SCHEMA = """
CREATE TABLE IF NOT EXISTS results (
  identity TEXT NOT NULL, label TEXT NOT NULL, operation TEXT NOT NULL, usage TEXT NOT NULL, serial TEXT, request INTEGER,
  at TEXT NOT NULL, fetched_at TEXT, PRIMARY KEY (identity, label, operation, usage))
"""
SIGNATURE, KEY_ESTABLISHMENT = "DS", "KE"
FOR_KEY_ESTABLISHMENT = "use=KE"
"""Query of the place of such a result: a client may have one of each."""
USAGES = (SIGNATURE, KEY_ESTABLISHMENT)
OPERATIONS = ("simpleenroll", "simplereenroll", "fullcmc")


@dataclass(frozen=True)
class Result:
    """What there is for one client.

    Attributes:
        operation: "simpleenroll", "simplereenroll" or "fullcmc".
        usage: DS or KE: what the certificate is for.
        state: "waiting", "approved", "denied" or "issued".
        request: number in the queue, or None.
        serial: of the certificate that was issued, or None.
        fetched_at: when it was fetched, or None.
        at: when it was issued, or None.
    """

    operation: str
    usage: str
    state: str
    request: int | None = None
    serial: str | None = None
    fetched_at: datetime | None = None
    at: datetime | None = None


class Results:
    """The results of the enrolments of all clients.

    Args:
        database: the server's.
        policy: how long a result is there once it was fetched.
    """

    def __init__(self, database: Database, policy: Policy) -> None:
        self._database, self._policy = database, policy
        database.execute(_SCHEMA)

    def note(self, identity: str, route: Route, certificate: x509.Certificate, now: datetime) -> None:
        """A certificate was issued; whether the client got it is not known."""
        statement = (
            "INSERT OR REPLACE INTO results (identity, label, operation, usage, serial, at) VALUES (?, ?, ?, ?, ?, ?)"
        )
        key = (identity, route.label, route.operation, usage_of(certificate))
        self._database.execute(statement, *key, f"{certificate.serial_number:x}", now.isoformat())

    def note_fetched(self, client: Client, label: str, result: Result, now: datetime) -> None:
        """The client was told; it is told again for a while."""
        self._database.execute(
            "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " serial = excluded.serial, request = excluded.request, fetched_at = coalesce(fetched_at, excluded.fetched_at)",
            client.identity,
            label,
            result.operation,
            result.usage,
            result.serial,
            result.request,
            now.isoformat(),
            now.isoformat(),
        )

    def of(self, client: Client, label: str, operation: str, now: datetime, usage: str = SIGNATURE) -> Result | None:
        """What there is to say; None if there is nothing, or it was said long ago."""
        undecided = self._database.rows(
            "SELECT id, state, csr, created_at FROM requests WHERE identity = ? AND label = ? AND operation = ?"
            " AND state IN ('waiting', 'approved', 'denied') ORDER BY id DESC",
            client.identity,
            label,
            operation,
        )
        waiting = next((one for one in undecided if usage_of(x509.load_der_x509_csr(bytes(one["csr"]))) == usage), None)
        kept = self._database.row(
            "SELECT results.*, revoked_at FROM results LEFT JOIN certificates USING (serial)"
            " WHERE identity = ? AND results.label = ? AND operation = ? AND usage = ?",
            client.identity,
            label,
            operation,
            usage,
        )
        fetched = datetime.fromisoformat(kept["fetched_at"]) if kept is not None and kept["fetched_at"] else None
        over = fetched is not None and now - fetched > self._policy.redelivery
        later = waiting is not None and kept is not None and kept["serial"] and kept["at"] > waiting["created_at"]
        if waiting is not None and not (waiting["state"] == "denied" and later):
            told = waiting["state"] == "denied" and kept is not None and kept["request"] == waiting["id"]
            if told and over:
                return None
            return Result(operation, usage, waiting["state"], waiting["id"], None, fetched if told else None)
        if kept is None or kept["serial"] is None or kept["revoked_at"] is not None or over:
            return None
        return Result(
            operation, kept["usage"], "issued", None, kept["serial"], fetched, datetime.fromisoformat(kept["at"])
        )

    def open(self, client: Client, label: str, now: datetime) -> list[Result]:
        """What the client does not know yet: decided, not fetched, and not shown by the client itself.

        A certificate for key establishment is never shown: it is told of for as long as `redelivery`.
        """
        found = (self.of(client, label, operation, now, usage) for operation in OPERATIONS for usage in USAGES)
        shown = None if client.certificate is None else f"{client.certificate.serial_number:x}"
        return [
            one
            for one in found
            if one is not None
            and one.state != "waiting"
            and one.fetched_at is None
            and (shown is None or one.serial != shown)
            and not (one.usage == KEY_ESTABLISHMENT and one.at and now - one.at > self._policy.redelivery)
        ]

    def request(self, number: int) -> bytes | None:
        """DER of the CSR that waits under that number."""
        row = self._database.row("SELECT csr FROM requests WHERE id = ?", number)
        return None if row is None else bytes(row["csr"])

    def certificate(self, serial: str) -> x509.Certificate | None:
        """The certificate of that serial number."""
        row = self._database.row("SELECT der FROM certificates WHERE serial = ?", serial)
        return None if row is None else x509.load_der_x509_certificate(row["der"])


def usage_of(certificate: x509.Certificate | x509.CertificateSigningRequest) -> str:
    """KE for a certificate or request that is for key establishment alone, else DS (section 2.1.1)."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return SIGNATURE
    exchanging = usage.key_agreement or usage.key_encipherment
    return KEY_ESTABLISHMENT if exchanging and not usage.digital_signature else SIGNATURE
