"""A device on a bench, in this process: configured as a station configures it, with a configuration file of its own."""

from __future__ import annotations

import argparse
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from device_sdk_simulators.server import ReferenceServer

from device_sdk.cli.bench_configuration import FileConfiguration
from device_sdk.cli.output import Output
from device_sdk.client.bench.facts import BenchKey, KeyWish
from device_sdk.client.bench.wanted import identity_of
from device_sdk.client.device import Device
from device_sdk.client.device.bench import DeviceBench
from device_sdk.client.est import Clock, EstClient
from device_sdk.client.est.relay import Relayed
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.protocols.est.relayed import RelayedIdentity


class Benched:
    """A device and the station it is provisioned by.

    Args:
        server: asked by the station.
        directory: the device's.
        key: URI; a key file if not given.
        serial: its serial number.
        clock: the device's.
    """

    def __init__(
        self,
        server: ReferenceServer,
        directory: Path,
        key: str | None = None,
        *,
        serial: str = "SN-4711",
        clock: Clock | None = None,
    ) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        self.server, self.directory, self.serial = server, directory, serial
        self.wish = KeyWish(key or f"file:{directory}/device.pem", file_allowed=True)
        options = argparse.Namespace(config=str(directory / "config.toml"), state_dir=str(directory / "state"))
        self.configuration = FileConfiguration(options, Output())
        self.bench = DeviceBench(self.configuration, clock=clock)
        self.device = Device(directory / "state", clock=clock)
        self.anchors = server.ca_file.read_bytes()

    @property
    def config(self) -> bytes:
        """What the station gives it."""
        return (
            f'[est]\nurl = "{self.server.url}"\n[identity]\nsubject = "CN=router,O=Example"\nserial = "value:{self.serial}"\n'
        ).encode()

    def configured(self) -> DeviceBench:
        """The device with configuration and anchors."""
        self.bench.configure(self.config, self.anchors)
        return self.bench

    def identity(self, key: BenchKey) -> RelayedIdentity:
        """What its request may say."""
        return identity_of(self.bench.facts(), key, self.config)

    def enrolled(self) -> Relayed:
        """All steps, one after the other."""
        bench = self.configured()
        key = bench.create_key(self.wish)
        with station(self.server) as client:
            relayed = client.relay.enroll(bench.request(client.relay.csrattrs()), self.identity(key))
        bench.install(relayed.answer, relayed.ca_certificates)
        return relayed


def authority(server: ReferenceServer, name: str = "station-1") -> TlsIdentity:
    """The certificate of a registration authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    return TlsIdentity((server.registration_authority(name, key.public_key()),), key)


def station(server: ReferenceServer, identity: TlsIdentity | None = None, clock: Clock | None = None) -> EstClient:
    """An EST client that is a registration authority."""
    from cryptography import x509

    anchors = tuple(x509.load_pem_x509_certificates(server.ca_file.read_bytes()))
    return EstClient(server.url, ServerTrust(anchors), identity=identity or authority(server), clock=clock)


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS#8, in the clear."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
