"""What an application's registration is to be, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from device_sdk.model.credentials import Credentials
from device_sdk.model.csr import CsrSpec
from device_sdk.model.decryption import EVERYTHING, DecryptionPolicy
from device_sdk.model.key_uri import KeyUri
from device_sdk.model.keys import KeyType
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.state import CaleRegistration
from device_sdk.transports.base import Timeouts

DEFAULT_NAME = "default"
"""The application whose name nobody gave."""


@dataclass(frozen=True)
class CalePlan:
    """What the owner of a device wants for one application.

    Attributes:
        edge_url: the edge device, "https://HOST" or "https://HOST:PORT".
        trust: whom to trust.
        spec: subject and names of the CSR.
        key_uri: the key to register. None for the next key of a registration that is there already: its name is derived
            from that of the first one ("cale" becomes "cale-2"). A key that is there is used and never deleted; the registered
            one stays registered, with a note.
        key_type: what to make if there is no key of that name. None makes none for a first registration; later the type
            of the present key.
        again: register a key although the application is registered: its registration is lost, or its key is to go.
        identity: TLS client certificate and its key, as proof of identity.
        credentials: user name and password, as proof of identity.
        bearer: a token instead of credentials.
        timeouts: limits of one exchange.
        proxy: proxy URL, "" for none, None for what the environment says.
        policy: the algorithms that are accepted.
        negotiate: whether the request says so (SMIMECapabilities); False for servers that refuse requests with extensions.
    """

    edge_url: str
    trust: ServerTrust
    spec: CsrSpec
    key_uri: str | KeyUri | None = None
    key_type: KeyType | None = None
    again: bool = False
    identity: TlsIdentity | None = field(default=None, repr=False)
    credentials: Credentials | None = field(default=None, repr=False)
    bearer: Secret | None = field(default=None, repr=False)
    timeouts: Timeouts = field(default_factory=Timeouts)
    proxy: str | None = None
    policy: DecryptionPolicy = EVERYTHING
    negotiate: bool = True


@dataclass(frozen=True)
class CaleOutcome:
    """A registration that is in use.

    Attributes:
        registration: what the state directory has.
        notes: what a person should know: what could not be cleaned up, what lasts shorter than it may seem.
    """

    registration: CaleRegistration
    notes: tuple[str, ...] = ()
