"""Receipts and errors that devices send for packages of keys (RFC 7191), and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from cryptography import x509
from pyasn1.codec.der.decoder import decode
from pyasn1_alt_modules import rfc7191

from device_sdk_simulators.cmc.message import Message, read_message
from device_sdk_simulators.cmc.refusal import CmcRefusedError
from device_sdk_simulators.database import Database
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.http.messages import HttpError
from device_sdk_simulators.packages.addresses import addresses_of
from device_sdk_simulators.packages.own_keys import is_signed_by
from device_sdk_simulators.packages.returned import (
    Return,
    add_column,
    add_digests,
    make_room,
    require_short,
    still_waiting,
)
from device_sdk_simulators.unreadable import UNREADABLE

_SCHEMA = """
CREATE TABLE IF NOT EXISTS key_packages (item TEXT PRIMARY KEY, package_id BLOB NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS key_returns (
  id INTEGER PRIMARY KEY, item TEXT, address TEXT NOT NULL, kind TEXT NOT NULL, code INTEGER, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS generated_keys (package_id BLOB PRIMARY KEY, serial TEXT NOT NULL, address TEXT NOT NULL)
"""
_RETURNS = "key_returns"
_RECEIPT, _ERROR = str(rfc7191.id_ct_KP_keyPackageReceipt), str(rfc7191.id_ct_KP_keyPackageError)


GENERATED = "serverkeygen:"
"""In front of a serial number: the item of a package with a generated key; alone: of one nobody knows which."""


@dataclass(frozen=True)
class KeyReturn:
    """What a device says of a package.

    Attributes:
        kind: "receipt" or "error".
        package_id: of the package; None for an error of a package that could not be read.
        code: of an error, or None.
        digest: of what was signed.
    """

    kind: str
    package_id: bytes | None
    code: int | None = None
    digest: bytes = field(default=b"", repr=False)


class KeyReturns:
    """The book of packages of keys that have an identifier, and of what devices said of them.

    Packages of symmetric keys are on the shelf; those of generated keys are known by the serial number of the certificate
    (`serverkeygen:SERIAL` in the place of the item).

    Args:
        database: the server's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.transaction() as connection:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            add_digests(connection, _RETURNS)
            add_column(connection, "generated_keys", "at", "TEXT NOT NULL DEFAULT '1970-01-01T00:00:00+00:00'")

    def expect(self, item: str, package_id: bytes) -> None:
        """A package asks for a receipt."""
        self._database.execute("INSERT INTO key_packages VALUES (?, ?)", item, package_id)

    def expect_of(self, client: Client, serial: str, package_id: bytes, now: datetime) -> None:
        """A package with a generated key, whose certificate has this serial number, asks the client for a receipt."""
        # the narrowest: another device of the same user is another one
        address = addresses_of(client)[1]
        statement = "INSERT INTO generated_keys (package_id, serial, address, at) VALUES (?, ?, ?, ?)"
        self._database.execute(statement, package_id, serial, address, now.isoformat())

    def note(self, client: Client, said: KeyReturn, now: datetime, operation: str = "symmetrickeys") -> None:
        """Write it down; one that came before is the latest from now on.

        Args:
            client: who sent it.
            said: what.
            now: the present.
            operation: whose return path it came by.

        Raises:
            HttpError: 404 for a package that was not published for this client.
        """
        item = GENERATED if operation == "serverkeygen" else None
        if said.package_id is not None:
            find = self._generated if operation == "serverkeygen" else self._published
            item = find(said.package_id, client)
            if item is None:
                raise HttpError(404, "no package of this identifier was given to this client")
        about = Return(_sender(client), item, said.digest)
        with self._database.transaction() as connection:
            make_room(connection, _RETURNS, about)
            connection.execute(
                "INSERT INTO key_returns (item, address, kind, code, at, digest) VALUES (?, ?, ?, ?, ?, ?)",
                (about.item, about.address, said.kind, said.code, now.isoformat(), about.digest),
            )

    def _published(self, package_id: bytes, client: Client) -> str | None:
        row = self._database.row(
            "SELECT packages.item AS item, address FROM key_packages"
            " JOIN packages ON packages.item = key_packages.item WHERE package_id = ?",
            package_id,
        )
        return row["item"] if row is not None and row["address"] in addresses_of(client) else None

    def _generated(self, package_id: bytes, client: Client) -> str | None:
        """Whoever asked for the key, or who shows its certificate."""
        row = self._database.row("SELECT serial, address FROM generated_keys WHERE package_id = ?", package_id)
        own = f"{client.certificate.serial_number:x}" if client.certificate is not None else ""
        if row is None or (row["address"] not in addresses_of(client)[1:] and row["serial"] != own):
            return None
        return f"{GENERATED}{row['serial']}"

    def generated_is_due(self, client: Client) -> bool:
        """Whether a generated key was sent to this client with a request for a receipt, and nothing may be about it yet."""
        own = f"{client.certificate.serial_number:x}" if client.certificate is not None else ""
        rows = self._database.rows(
            "SELECT serial, generated_keys.address AS address, generated_keys.at AS at FROM generated_keys LEFT JOIN key_returns"
            " ON item = ? || serial WHERE key_returns.id IS NULL",
            GENERATED,
        )
        addresses = addresses_of(client)[1:]
        silent = {
            row["serial"]: datetime.fromisoformat(row["at"])
            for row in rows
            if row["address"] in addresses or row["serial"] == own
        }
        return bool(still_waiting(silent, self._nameless(client, GENERATED)))

    def due(self, fetched: Mapping[str, datetime], client: Client) -> set[str]:
        """Items that asked for a receipt and that nothing came back about, nor may be about.

        Args:
            fetched: when the client fetched each.
            client: who.
        """
        asked = {row["item"] for row in self._database.rows("SELECT item FROM key_packages")}
        told = {row["item"] for row in self._database.rows("SELECT DISTINCT item FROM key_returns")}
        silent = {item: at for item, at in fetched.items() if item in asked - told}
        return still_waiting(silent, self._nameless(client, None)) if silent else set()

    def _nameless(self, client: Client, item: str | None) -> list[datetime]:
        """When errors about no package came from this client (RFC 7191 section 5: it could not be read)."""
        query = "SELECT at FROM key_returns WHERE item IS ? AND address = ?"
        return [datetime.fromisoformat(row["at"]) for row in self._database.rows(query, item, _sender(client))]

    def overview(self) -> list[dict[str, object]]:
        """Everything that came back, oldest first."""
        rows = self._database.rows("SELECT item, address AS sent_by, kind, code, at FROM key_returns ORDER BY id")
        return [dict(row) for row in rows]


def read_return(body: bytes, client: Client, own: Sequence[x509.Certificate]) -> KeyReturn:
    """Read a receipt or an error, which has to be signed by a key of the client (KR-05).

    Args:
        body: as it came.
        client: who sends it.
        own: certificates of the client, that it shows or had before.

    Raises:
        HttpError: 400 for what is none, 403 for another's signature, or none; 413 for what is too long.
    """
    require_short(body)
    if client.certificate is None:
        raise HttpError(403, "receipts and errors come from devices with a certificate")
    try:
        message = read_message(body, content_types=(_RECEIPT, _ERROR))
    except CmcRefusedError as error:
        raise HttpError(400, str(error)) from error
    if not is_signed_by(message, own):
        raise HttpError(403, "not signed by the key of this client's certificate")
    try:
        said, name = _parse(message)
    except UNREADABLE as error:
        raise HttpError(400, "not a receipt and not an error for a key package") from error
    if name != client.certificate.subject.public_bytes():
        raise HttpError(403, "in the name of somebody else")
    return replace(said, digest=message.digest)


def _sender(client: Client) -> str:
    addresses = addresses_of(client)
    return addresses[1] if len(addresses) > 1 else client.identity


def _parse(message: Message) -> tuple[KeyReturn, bytes]:
    is_receipt = message.content_type == _RECEIPT
    spec = rfc7191.KeyPackageReceipt() if is_receipt else rfc7191.KeyPackageError()
    found, rest = decode(message.content, asn1Spec=spec)
    if rest or int(found["version"]) != 2:
        raise ValueError("another version, or more than one")
    if is_receipt:
        return KeyReturn("receipt", _package_id(found["receiptOf"])), bytes(found["receivedBy"]["sirenValue"])
    code = int(found["errorCode"]["enum"]) if found["errorCode"].getName() == "enum" else None
    package_id = _package_id(found["errorOf"]) if found["errorOf"].isValue else None
    return KeyReturn("error", package_id, code), bytes(found["errorBy"]["sirenValue"])


def _package_id(identifier: Any) -> bytes:
    if identifier.getName() != "pkgID":
        raise ValueError("identified by an attribute")
    return bytes(identifier["pkgID"])
