"""To whom a package is published: names that a device cannot give itself.

Subjects are what clients ask for, so they name nobody here. A certificate is known by its first ancestor, and keeps what
was published for it when it is renewed.
"""

from __future__ import annotations

from device_sdk_simulators.database import Database
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.softhsm import SimulatorError

EVERYBODY = "*"


def addresses_of(client: Client) -> tuple[str, ...]:
    """Every name that packages for this client may have."""
    names = [EVERYBODY]
    if client.lineage:
        names.append(f"cert:{client.lineage}")
    names += [f"user:{user}" for user in (client.user, client.srp_user, client.holder) if user is not None]
    return tuple(dict.fromkeys(names))


def address_for(device: str, database: Database) -> str:
    """From what a person writes: `*`, a certificate's serial number in hex, or the name of a user.

    Raises:
        SimulatorError: no certificate and no user of that name.
    """
    if device == EVERYBODY:
        return EVERYBODY
    serial = device.lower().replace(":", "").lstrip("0")
    row = database.row("SELECT lineage, serial FROM certificates WHERE serial = ?", serial)
    if row is not None:
        return f"cert:{row['lineage'] or row['serial']}"
    if database.row("SELECT name FROM users WHERE name = ?", device) is not None:
        return f"user:{device}"
    raise SimulatorError(
        f"no device {device}: give the serial number of a certificate (`list` shows them), the name of a user, or *"
    )
