"""The EST server as the station meets it: as a registration authority that speaks for devices without a network."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from device_sdk.client.bench import BenchKey, DeviceFacts
from device_sdk.client.bench.wanted import identity_of
from device_sdk.client.est import EstClient, bootstrap_client
from device_sdk.client.est.relay import Relay, Relayed, RelayRecord, Remember
from device_sdk.errors import ConfigurationError
from device_sdk.keystores import registry
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.protocols.est.ca_certificates import CaCertificates
from device_sdk.station.profile import Profile
from device_sdk.station.run.proof import Trust
from device_sdk.transports.base import Timeouts

if TYPE_CHECKING:
    from device_sdk.model.secret import Secret


@dataclass(frozen=True)
class Request:
    """A device's request, and what the station knows of the device.

    Attributes:
        csr: DER.
        facts: what the device said.
        key: the key it made.
        config: the configuration it was given, b"" for none.
        pending: what a request that the server had not decided left behind.
    """

    csr: bytes
    facts: DeviceFacts
    key: BenchKey
    config: bytes = b""
    pending: Mapping[str, object] | None = None


class RelayServer:
    """One EST service. Threads share it.

    Args:
        client: with the station's TLS identity; without one there is only `trust`.
        profile: what is asked of requests.
        opened: closed with it.
    """

    def __init__(self, client: EstClient, profile: Profile, opened: ExitStack) -> None:
        self._client, self._profile, self._opened = client, profile, opened
        self._relay: Relay | None = client.relay if client.identity is not None else None
        self._turn = threading.Lock()
        self._ca: CaCertificates | None = None
        self._csrattrs: bytes | None = None

    def trust(self) -> Trust:
        """What certificates that it issues lead to; asked for once. Raises as EstClient.cacerts."""
        with self._turn:
            if self._ca is None:
                self._ca = self._client.cacerts(wait_s=self._profile.est.wait_s)
            return Trust(self._ca.anchors, self._ca.intermediates)

    def csrattrs(self) -> bytes:
        """DER of what it wants in requests, b"" for nothing; asked for once. Raises as EstClient.csrattrs."""
        with self._turn:
            if self._csrattrs is None:
                self._csrattrs = self._authority.csrattrs(wait_s=self._profile.est.wait_s)
            return self._csrattrs

    def enrol(self, request: Request, remember: Remember) -> Relayed:
        """Check a request, post it, and check the answer; the same one may be posted again. Raises as Relay.enroll."""
        self.csrattrs()
        profile = self._profile
        identity = identity_of(
            request.facts,
            request.key,
            request.config,
            key_types=(profile.key.type,),
            in_certificate=profile.identity.in_certificate,
        )
        record = RelayRecord.from_json(request.pending) if request.pending else None
        return self._authority.enroll(
            request.csr, identity, record=record, remember=remember, wait_s=profile.est.wait_s or None
        )

    @property
    def _authority(self) -> Relay:
        if self._relay is None:
            raise ConfigurationError("this profile has no certificate for the station")
        return self._relay

    def close(self) -> None:
        """End the connections, and let go of the key."""
        self._client.close()
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def open_server(profile: Profile) -> RelayServer | None:
    """The server of a profile; None where the station does not speak to one.

    In mode "self" it is asked for its CA certificates, if the profile names it, and for nothing else.

    Raises:
        ConfigurationError: the station's certificate cannot be read, is for another key, or not one of a registration authority.
        KeyStoreError: its key cannot be opened.
        DeviceSdkError: pins are given, and the server cannot be reached or shows no such CA.
    """
    est = profile.est
    if est.url is None or profile.mode == "configure":
        return None
    with ExitStack() as opened:
        identity = _identity(profile, opened) if profile.mode == "relay" else None
        common: dict[str, Any] = {
            "label": est.label,
            "identity": identity,
            "timeouts": Timeouts(min(10.0, est.timeout_s), min(30.0, est.timeout_s), est.timeout_s),
        }
        if est.pins:
            client = bootstrap_client(est.url or "", est.pins, **common)
        else:
            client = EstClient(est.url or "", ServerTrust(explicit=profile.anchors()), **common)
        return RelayServer(client, profile, opened.pop_all())


def _identity(profile: Profile, opened: ExitStack) -> TlsIdentity:
    est = profile.est

    def pin(_what: str) -> Secret | None:
        return est.ra_pin.read() if est.ra_pin else None

    chain = profile.ra_chain()
    key: Any = opened.enter_context(registry.open_key(est.ra_key or "", pin=pin))
    if not chain or chain[0].public_key() != key.public_key():
        raise ConfigurationError(
            f"the certificate in {est.ra_certificate} is not for the station's key",
            hint="its own comes first in the file",
        )
    return TlsIdentity(chain, key)
