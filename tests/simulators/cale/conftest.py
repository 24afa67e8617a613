from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from device_sdk_simulators.cale.pki import make_pki
from device_sdk_simulators.cale.role_server import RoleServer
from device_sdk_simulators.cale.roles import (
    EdgeSettings,
    Remote,
    RolePlace,
    authorization_role,
    edge_role,
    origination_role,
    resource_role,
)
from device_sdk_simulators.cale.rules import CaleRules
from device_sdk_simulators.policy import Policy

from tests.simulators.cale.support import Client, basic


@dataclass
class Site:
    """Four roles on four ports of this process, with real TLS between them."""

    state: Path
    policies: dict[str, Policy]
    roles: dict[str, RoleServer] = field(default_factory=dict)
    documents: dict[str, bytes] = field(default_factory=dict)

    def at(self, role: str, peer: str | None = None) -> Remote:
        return Remote(self.roles[role].url, peer or role)

    def place(self, role: str, *peers: str) -> RolePlace:
        return RolePlace(self.state / role, peers=peers, timeout_s=3)

    @property
    def edge(self) -> RoleServer:
        return self.roles["edge"]

    @property
    def password(self) -> str:
        return (self.state / "edge" / "password").read_text().strip()

    @property
    def authorization(self) -> dict[str, str]:
        return basic("device", self.password)


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Make and start the four roles; rules of all of them as keywords."""
    running: list[RoleServer] = []

    def make(documents=(), settings=None, **rules: object) -> Site:
        policies = {role: Policy(cale=CaleRules(**rules)) for role in ("edge", "authz", "origin", "resource")}
        site = Site(tmp_path / "site", policies)
        make_pki(site.state, datetime.now(UTC))

        def begin(role: str, server: RoleServer) -> None:
            running.append(server.start())
            site.roles[role] = server

        issuer = site.state / "origin" / "issuer.pem"
        begin(
            "resource", resource_role(site.place("resource", "origin"), policies["resource"], issuer, dict(documents))
        )
        begin("authz", authorization_role(site.place("authz", "edge"), policies["authz"]))
        resources = [("/", site.at("resource"))]
        begin("origin", origination_role(site.place("origin", "edge"), policies["origin"], issuer, resources))
        settings = settings or {}
        edge = EdgeSettings(site.at("authz"), site.at("origin"), user="device", **settings)
        begin("edge", edge_role(site.place("edge"), policies["edge"], edge))
        return site

    yield make
    for server in reversed(running):
        server.stop()


@dataclass
class Recorded:
    """An HTTP server that remembers what it was asked for."""

    url: str
    targets: list[str]


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    targets: list[str] = []

    class Remember(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            targets.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Remember) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield Recorded(f"http://127.0.0.1:{server.server_address[1]}", targets)
        server.shutdown()
        thread.join()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


@pytest.fixture
def make_client(tmp_path: Path) -> Iterator[Callable[..., Client]]:
    """Clients of a site's edge device, or of an edge by URL and CA."""
    made: list[Client] = []

    def make(site: Site | None = None, *, url="", ca_file="", **options: object) -> Client:
        directory = tmp_path / f"client{len(made)}"
        directory.mkdir()
        if site is not None:
            url, ca_file = site.edge.url, str(site.edge.facts["ca_file"])
        client = Client(url, ca_file, directory, **options)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def registered(site: Site, make_client: Callable[..., Client]) -> Client:
    """A client of `site` with a registered key."""
    client = make_client(site)
    assert client.register(site.authorization) == 200
    return client
