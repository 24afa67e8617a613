"""`device-sdk-sim publish keys`: symmetric keys for one device (RFC 8295 section 5)."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from device_sdk_simulators.database import Database

_NESTINGS = ("a", "a-signed", "b", "c", "d", "d-bare", "e", "e-bare")
_CIPHERS = ("kwp", "cbc", "gcm")


def add_options(publishing: argparse.ArgumentParser) -> None:
    """Describe what it has beyond the other kinds."""
    publishing.add_argument(
        "--nesting",
        choices=_NESTINGS,
        default="c",
        help="keys: what protects them, as in RFC 8295 section 5.1.2 (default: %(default)s)",
    )
    publishing.add_argument(
        "--key-cipher", choices=_CIPHERS, default="kwp", help="keys: of the encryption (default: %(default)s)"
    )
    publishing.add_argument("--receipt", action="store_true", help="keys: ask for a receipt")
    publishing.add_argument(
        "--encrypted-receipt",
        action="store_true",
        help="keys: ask for one that is encrypted to keys-ca/returns.pem in the state directory",
    )


def publish(options: argparse.Namespace, database: Database, address: str, now: datetime) -> str:
    """Make and publish a package; its item name.

    Raises:
        SimulatorError: the file cannot be used, or the address is none of one device.
    """
    from device_sdk_simulators.packages.key_returns import KeyReturns
    from device_sdk_simulators.packages.publishing_keys import recipient_of, seal_keys
    from device_sdk_simulators.packages.shelf import Shelf

    sealed = seal_keys(
        options.file,
        recipient_of(address, database, now),
        options.state,
        now,
        nesting=options.nesting,
        cipher=options.key_cipher,
        receipt=options.receipt,
        encrypted_receipt=options.encrypted_receipt,
    )
    item = Shelf(database).publish(
        "symmetrickeys",
        "0024",
        sealed.message,
        media_type=sealed.media_type,
        address=address,
        label=options.label or "",
        now=now,
    )
    if sealed.package_id:
        KeyReturns(database).expect(item, sealed.package_id)
    return item
