"""Hardware-held device identity: keys in tokens and TPMs, certificates by EST, encrypted answers by CALE.

The public names are imported on first use (PEP 562), so that importing the package costs next to nothing.
"""

from __future__ import annotations

from device_sdk._lazy import on_first_use
from device_sdk._version import __version__

TYPE_CHECKING = False  # what typing.TYPE_CHECKING is, without importing typing
if TYPE_CHECKING:
    from device_sdk.client.cale import (
        FAILURE_SLOTS,
        CaleAdapter,
        CaleApplication,
        CaleAuth,
        CaleClient,
        CaleExchange,
        CalePlan,
        RevocationPolicy,
    )
    from device_sdk.client.cale.negotiation import agreed_policy, negotiating_spec
    from device_sdk.client.device import Device, EnrolmentPlan, RenewalPlan
    from device_sdk.client.device.sync import Deliveries, FirmwareDelivery, KeyDelivery
    from device_sdk.client.est import (
        Clock,
        DecryptionKey,
        Enrolled,
        EstClient,
        Pending,
        RetryPolicy,
        ServerKey,
        SharedKey,
    )
    from device_sdk.client.est.bootstrapping import bootstrap
    from device_sdk.client.est.full_cmc import FullCmc, FullCmcResult, PendingRequest, SharedSecret
    from device_sdk.client.est.key_package_policy import KeyPackagePolicy
    from device_sdk.client.est.patience import Progress
    from device_sdk.client.firmware import (
        CommandInstaller,
        FileInstaller,
        FirmwarePolicy,
        FirmwareRules,
        HardwareModule,
    )
    from device_sdk.errors import BehindEdgeError, DeviceSdkError, NotForUsError
    from device_sdk.keystores.registry import (
        create_key,
        delete_key,
        import_key,
        list_keys,
        load_certificate,
        open_key,
        open_secret,
        probe,
        store_certificate,
    )
    from device_sdk.model.compatibility import Compatibility
    from device_sdk.model.credentials import Credentials
    from device_sdk.model.csr import Asked, CsrSpec, DeviceAttributes, NewName
    from device_sdk.model.decryption import DecryptionPolicy
    from device_sdk.model.keys import KeyType
    from device_sdk.model.secret import Secret
    from device_sdk.model.trust import ServerTrust, TlsIdentity
    from device_sdk.protocols.cale.exchange import open_registration
    from device_sdk.protocols.cale.requests import registration_request
    from device_sdk.protocols.est.server_key_request import ProtectionKey
    from device_sdk.transports.base import Timeouts
    from device_sdk.transports.https import HardwareTlsAdapter, client_ssl_context
    from device_sdk.wire.csr import build_csr
    from device_sdk.wire.fingerprint import parse_pin
    from device_sdk.wire.names import parse_dn, parse_san

_HOMES = {
    "Asked": "device_sdk.model.csr",
    "BehindEdgeError": "device_sdk.errors",
    "CaleAdapter": "device_sdk.client.cale",
    "CaleApplication": "device_sdk.client.cale",
    "CaleAuth": "device_sdk.client.cale",
    "CaleClient": "device_sdk.client.cale",
    "CaleExchange": "device_sdk.client.cale",
    "FAILURE_SLOTS": "device_sdk.client.cale",
    "CalePlan": "device_sdk.client.cale",
    "Clock": "device_sdk.client.est",
    "CommandInstaller": "device_sdk.client.firmware",
    "Compatibility": "device_sdk.model.compatibility",
    "Credentials": "device_sdk.model.credentials",
    "CsrSpec": "device_sdk.model.csr",
    "DecryptionKey": "device_sdk.client.est",
    "DecryptionPolicy": "device_sdk.model.decryption",
    "Deliveries": "device_sdk.client.device.sync",
    "Device": "device_sdk.client.device",
    "DeviceAttributes": "device_sdk.model.csr",
    "DeviceSdkError": "device_sdk.errors",
    "Enrolled": "device_sdk.client.est",
    "EnrolmentPlan": "device_sdk.client.device",
    "EstClient": "device_sdk.client.est",
    "FileInstaller": "device_sdk.client.firmware",
    "FirmwareDelivery": "device_sdk.client.device.sync",
    "FirmwarePolicy": "device_sdk.client.firmware",
    "FirmwareRules": "device_sdk.client.firmware",
    "FullCmc": "device_sdk.client.est.full_cmc",
    "FullCmcResult": "device_sdk.client.est.full_cmc",
    "HardwareModule": "device_sdk.client.firmware",
    "HardwareTlsAdapter": "device_sdk.transports.https",
    "KeyDelivery": "device_sdk.client.device.sync",
    "KeyPackagePolicy": "device_sdk.client.est.key_package_policy",
    "KeyType": "device_sdk.model.keys",
    "NewName": "device_sdk.model.csr",
    "NotForUsError": "device_sdk.errors",
    "Pending": "device_sdk.client.est",
    "PendingRequest": "device_sdk.client.est.full_cmc",
    "Progress": "device_sdk.client.est.patience",
    "ProtectionKey": "device_sdk.protocols.est.server_key_request",
    "RenewalPlan": "device_sdk.client.device",
    "RetryPolicy": "device_sdk.client.est",
    "RevocationPolicy": "device_sdk.client.cale",
    "Secret": "device_sdk.model.secret",
    "ServerKey": "device_sdk.client.est",
    "ServerTrust": "device_sdk.model.trust",
    "SharedKey": "device_sdk.client.est",
    "SharedSecret": "device_sdk.client.est.full_cmc",
    "Timeouts": "device_sdk.transports.base",
    "TlsIdentity": "device_sdk.model.trust",
    "agreed_policy": "device_sdk.client.cale.negotiation",
    "bootstrap": "device_sdk.client.est.bootstrapping",
    "build_csr": "device_sdk.wire.csr",
    "client_ssl_context": "device_sdk.transports.https",
    "create_key": "device_sdk.keystores.registry",
    "delete_key": "device_sdk.keystores.registry",
    "import_key": "device_sdk.keystores.registry",
    "list_keys": "device_sdk.keystores.registry",
    "load_certificate": "device_sdk.keystores.registry",
    "negotiating_spec": "device_sdk.client.cale.negotiation",
    "open_key": "device_sdk.keystores.registry",
    "open_registration": "device_sdk.protocols.cale.exchange",
    "open_secret": "device_sdk.keystores.registry",
    "parse_dn": "device_sdk.wire.names",
    "parse_pin": "device_sdk.wire.fingerprint",
    "parse_san": "device_sdk.wire.names",
    "probe": "device_sdk.keystores.registry",
    "registration_request": "device_sdk.protocols.cale.requests",
    "store_certificate": "device_sdk.keystores.registry",
}

__all__ = [
    "FAILURE_SLOTS",
    "Asked",
    "BehindEdgeError",
    "CaleAdapter",
    "CaleApplication",
    "CaleAuth",
    "CaleClient",
    "CaleExchange",
    "CalePlan",
    "Clock",
    "CommandInstaller",
    "Compatibility",
    "Credentials",
    "CsrSpec",
    "DecryptionKey",
    "DecryptionPolicy",
    "Deliveries",
    "Device",
    "DeviceAttributes",
    "DeviceSdkError",
    "Enrolled",
    "EnrolmentPlan",
    "EstClient",
    "FileInstaller",
    "FirmwareDelivery",
    "FirmwarePolicy",
    "FirmwareRules",
    "FullCmc",
    "FullCmcResult",
    "HardwareModule",
    "HardwareTlsAdapter",
    "KeyDelivery",
    "KeyPackagePolicy",
    "KeyType",
    "NewName",
    "NotForUsError",
    "Pending",
    "PendingRequest",
    "Progress",
    "ProtectionKey",
    "RenewalPlan",
    "RetryPolicy",
    "RevocationPolicy",
    "Secret",
    "ServerKey",
    "ServerTrust",
    "SharedKey",
    "SharedSecret",
    "Timeouts",
    "TlsIdentity",
    "__version__",
    "agreed_policy",
    "bootstrap",
    "build_csr",
    "client_ssl_context",
    "create_key",
    "delete_key",
    "import_key",
    "list_keys",
    "load_certificate",
    "negotiating_spec",
    "open_key",
    "open_registration",
    "open_secret",
    "parse_dn",
    "parse_pin",
    "parse_san",
    "probe",
    "registration_request",
    "store_certificate",
]

__getattr__ = on_first_use(__name__, _HOMES)


def __dir__() -> list[str]:
    """What completion offers: the public names, too, before their first use."""
    return sorted({*globals(), *__all__})
