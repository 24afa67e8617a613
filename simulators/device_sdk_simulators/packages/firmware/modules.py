"""Which hardware module a device is: type and serial number, by its certificate, by a person, or by its first report (FR-07)."""

from __future__ import annotations

from cryptography import x509
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.error import PyAsn1Error
from pyasn1_alt_modules import rfc4108

from device_sdk_simulators.database import Database
from device_sdk_simulators.http.messages import HttpError
from device_sdk_simulators.softhsm import SimulatorError

_NAME = str(rfc4108.id_on_hardwareModuleName)
_SCHEMA = "CREATE TABLE IF NOT EXISTS modules (address TEXT PRIMARY KEY, hardware TEXT NOT NULL UNIQUE)"


class Modules:
    """The modules that were registered.

    Args:
        database: the server's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.transaction() as connection:
            connection.execute(_SCHEMA)

    def register(self, address: str, hardware: str) -> None:
        """A person says which module a device is.

        Args:
            address: of one device, see `addresses`.
            hardware: type and serial number, "1.2.3 00ff".

        Raises:
            SimulatorError: another device is that module.
        """
        with self._database.transaction() as connection:
            other = connection.execute(
                "SELECT address FROM modules WHERE hardware = ? AND address != ?", (hardware, address)
            ).fetchone()
            if other is not None:
                raise SimulatorError(f"{other['address']} is the module {hardware}: `modules forget` it first")
            connection.execute("INSERT OR REPLACE INTO modules VALUES (?, ?)", (address, hardware))

    def forget(self, address: str) -> bool:
        """Nobody said so; False if nobody did."""
        return self._database.execute("DELETE FROM modules WHERE address = ?", address) == 1

    def registered(self) -> dict[str, str]:
        """Modules by addresses."""
        return {
            row["address"]: row["hardware"] for row in self._database.rows("SELECT * FROM modules ORDER BY address")
        }

    def check(
        self,
        address: str,
        certificate: x509.Certificate,
        reported: str | None,
        hardware: str,
        *,
        registered_only: bool,
        reported_elsewhere: bool,
    ) -> None:
        """A report about a module comes from that module.

        Args:
            address: of the device.
            certificate: the one it shows; a hardwareModuleName in it counts more than everything else.
            reported: the module its first report was about, or None.
            hardware: the module this report is about.
            registered_only: whether a first report is believed.
            reported_elsewhere: whether another device has reported about this module.

        Raises:
            HttpError: 403 for every other module.
        """
        registered = self.registered()
        known = module_of(certificate) or registered.get(address)
        if known is None and registered_only:
            raise HttpError(403, "this server does not know which module this client is")
        if (known or reported or hardware) != hardware:
            raise HttpError(403, "the report is about another module than the one that sends it")
        if known is not None:
            return
        taken = hardware in registered.values() or (reported is None and reported_elsewhere)
        if taken or self._is_certified_elsewhere(address, hardware):
            raise HttpError(403, "the report is about the module of another client")

    def _is_certified_elsewhere(self, address: str, hardware: str) -> bool:
        """Whether a certificate of another device that was not revoked says that it is this module."""
        oid, _, serial = hardware.partition(" ")
        name = rfc4108.HardwareModuleName()
        name["hwType"], name["hwSerialNum"] = oid, bytes.fromhex(serial)
        rows = self._database.rows(
            "SELECT lineage, serial, der FROM certificates WHERE revoked_at IS NULL AND instr(der, ?) > 0", encode(name)
        )
        return any(
            f"cert:{row['lineage'] or row['serial']}" != address
            and module_of(x509.load_der_x509_certificate(row["der"])) == hardware
            for row in rows
        )


def module_of(certificate: x509.Certificate) -> str | None:
    """Type and serial number out of a hardwareModuleName; None if there is none that can be read."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        for one in names.get_values_for_type(x509.OtherName):
            if one.type_id.dotted_string == _NAME:
                found = decode(one.value, asn1Spec=rfc4108.HardwareModuleName())[0]
                return f"{found['hwType']} {bytes(found['hwSerialNum']).hex()}"
    except (x509.ExtensionNotFound, PyAsn1Error):
        pass
    return None
