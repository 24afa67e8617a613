"""A lab: a reference server with a registration authority, boards, a ledger, and a station that is run in this process."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from device_sdk_simulators.ca.tls import CMC_RA
from device_sdk_simulators.serial.board import Board
from device_sdk_simulators.server import ReferenceServer

from device_sdk.station.ledger import Ledger
from device_sdk.station.profile import load_profile
from device_sdk.station.run.connect import opener
from device_sdk.station.run.events import Event, EventStream
from device_sdk.station.run.relay import open_server
from device_sdk.station.run.station import Limits, Station
from tests.station.direct import Rack, Socket


def _authority(server: ReferenceServer, directory: Path) -> None:
    """The station's own certificate: of a registration authority, by the CA of the server."""
    issuer, key = server.hierarchy.issuing, ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, x509.ObjectIdentifier(CMC_RA)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "station")]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )
    chain = (certificate, issuer.certificate)
    (directory / "station.pem").write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in chain))
    path = directory / "station.key"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)


@dataclass
class Shop:
    """What all tests share.

    Attributes:
        server: the EST server.
        directory: the station's certificate and key.
    """

    server: ReferenceServer
    directory: Path

    def profile(  # the parts of a profile
        self, mode: str, more: str = "", *, lines: str = "", limits: str = "", talk: str = "", asks: float = 3600
    ) -> str:
        """The text of a profile for this server."""
        relay = f'ra_certificate = "{self.directory}/station.pem"\nra_key = "file:{self.directory}/station.key"\n'
        return f"""
[profile]
name = "board"
version = "1"
mode = "{mode}"
[lines]
poll_s = 0.05
ask_s = {asks}
{lines}
[talk]
{talk}
[key]
uri = "tpm2:"
[key.attested]
fixed_tpm = true
[est]
url = "{self.server.url}"
anchors = "{self.server.ca_file}"
{relay if mode == "relay" else ""}
[device]
config = '''
[identity]
subject = "CN=${{serial_number}}"
[est]
url = "{self.server.url}"
user = "{self.server.user}"
[key]
uri = "${{key_uri}}"
'''
[limits]
backoff_s = 0.01
retries = 2
{limits}
{more}
"""


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    directory = tmp_path_factory.mktemp("shop")
    with ReferenceServer(directory / "server") as server:
        _authority(server, directory)
        yield Shop(server, directory)


@dataclass
class Lab:
    """One test's: a directory, a profile, lines, and what the runs told.

    Attributes:
        events: what all runs told.
        real_lines: whether lines are opened; otherwise boards are asked in this process.
    """

    shop: Shop
    directory: Path
    rack: Rack = field(default_factory=Rack)
    events: list[Event] = field(default_factory=list)
    mode: str = "relay"
    known: str = "skip"
    more: str = ""
    lines_text: str = ""
    limits: str = ""
    talk: str = ""
    real_lines: bool = False
    asks: float = 3600
    observer: list[Event] | None = None
    numbers: int = 0
    running: Station | None = None

    @property
    def ledger_file(self) -> Path:
        return self.directory / "ledger.sqlite"

    def board(self, serial: str | None = None, **more: object) -> Board:
        """A board fresh from the factory."""
        self.numbers += 1
        serial = serial or f"SN-{secrets.token_hex(4)}"
        macs = more.pop("macs", (f"02:00:5e:10:00:{self.numbers:02x}",))
        return Board(serial, macs, password=self.shop.server.password, **more)

    def plug(self, line: str, board: Board | None = None) -> Socket:
        return self.rack.plug(line, board or self.board())

    def station(
        self, ledger: Ledger, *, name: str = "bench-1", profile: str | None = None, **limits: object
    ) -> Station:
        file = self.directory / "profile.toml"
        file.write_text(
            profile
            or self.shop.profile(
                self.mode, self.more, lines=self.lines_text, limits=self.limits, talk=self.talk, asks=self.asks
            )
        )
        loaded = load_profile(file)
        return Station(
            loaded,
            ledger=ledger,
            directory=self.directory / name,
            events=EventStream((self.events if self.observer is None else self.observer).append),
            opener=opener(loaded) if self.real_lines else self.rack.open,
            server=open_server(loaded),
            name=name,
            operator="eva",
            limits=Limits(tuple(self.rack.sockets), **limits),
        )

    def run(self, **named: object):
        """One run with one device on each line; its tally."""
        with Ledger.open(self.ledger_file) as ledger:
            station = self.running = self.station(ledger, **named)
            try:
                return station.run()
            finally:
                if station.server is not None:
                    station.server.close()

    def told(self, kind: str) -> list[Event]:
        return [one for one in self.events if one.kind == kind]

    def record(self, board: Board):
        """What the ledger knows of a board; the ledger is sound."""
        with Ledger.open(self.ledger_file) as ledger:
            ledger.verify()
        return self.record_of(board.serial_number)

    def record_of(self, serial_number: str):
        with Ledger.open(self.ledger_file) as ledger:
            return ledger.device(serial_number)

    def entries(self, **wanted: object) -> list:
        with Ledger.open(self.ledger_file) as ledger:
            return list(ledger.entries(**wanted))

    def ledger_text(self) -> str:
        return "".join(str(one.to_json()) for one in self.entries())

    def failure(self) -> dict:
        """Facts of the one entry "failed"."""
        (entry,) = self.entries(kind="failed")
        return dict(entry.facts)

    def issued(self, board: Board) -> int:
        """How many certificates the server gave this board."""
        return self.issued_to(board.serial_number)

    def issued_to(self, serial_number: str) -> int:
        return sum(serial_number in str(row["subject"]) for row in self.shop.server.est.register.entries())


@pytest.fixture
def lab(shop: Shop, tmp_path: Path) -> Iterator[Lab]:
    before = threading.active_count()
    yield Lab(shop, tmp_path)
    end = time.monotonic() + 30  # timers that were cancelled end by themselves
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() <= before, [one.name for one in threading.enumerate()]
