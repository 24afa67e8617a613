"""The four server roles as servers of their own, each with what is in its state directory."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509

from device_sdk_simulators.ca.directory import single_authority
from device_sdk_simulators.ca.keys import UnusableFileError, write_file
from device_sdk_simulators.cale.aggregation import Aggregation
from device_sdk_simulators.cale.authorization import AuthorizationServer
from device_sdk_simulators.cale.certificates import AUTHORITY_NAME
from device_sdk_simulators.cale.cipher_lists import SameList
from device_sdk_simulators.cale.client_lists import ClientLists, ListsUnusableError
from device_sdk_simulators.cale.decoy import Decoys
from device_sdk_simulators.cale.edge import EdgeDevice
from device_sdk_simulators.cale.hops import Hop, local_hop
from device_sdk_simulators.cale.identity import Proofs, Tokens
from device_sdk_simulators.cale.origination import OriginationServer
from device_sdk_simulators.cale.peers import Peers
from device_sdk_simulators.cale.pki import KeyFiles, make_public
from device_sdk_simulators.cale.records import DatabaseRecords
from device_sdk_simulators.cale.remote import HopSettings, RemoteHop
from device_sdk_simulators.cale.replay import ReplayWindow
from device_sdk_simulators.cale.resource import ResourceServer
from device_sdk_simulators.cale.role_server import (
    INNER_LIMITS,
    RoleServer,
    by_listed_peers,
    hop_tls,
    read_certificates,
    read_pair,
)
from device_sdk_simulators.cale.upstream import Upstream
from device_sdk_simulators.est.login import HttpLogin
from device_sdk_simulators.guessing import Guesses
from device_sdk_simulators.http.tls import TlsSettings
from device_sdk_simulators.passwords import Users
from device_sdk_simulators.policy import Policy


@dataclass(frozen=True)
class RolePlace:
    """Where a role is and whom it knows.

    Attributes:
        state: its directory.
        host: address to listen on.
        port: 0 picks a free one.
        peers: who may call, by name or fingerprint.
        hop: certificate, key and anchors for other roles; None for those in `state`/hop.
        timeout_s: how long it waits for other roles.
        clock: its time; None for the machine's.
    """

    state: Path
    host: str = "127.0.0.1"
    port: int = 0
    peers: tuple[str, ...] = ()
    hop: KeyFiles | None = None
    timeout_s: float = 5.0
    clock: Callable[[], datetime] | None = None

    @property
    def hop_files(self) -> KeyFiles:
        """Certificate, key and anchors for other roles."""
        return self.hop or KeyFiles.below(self.state / "hop")


@dataclass(frozen=True)
class Remote:
    """A role elsewhere: its URL, and its name or fingerprint."""

    url: str
    peer: str


@dataclass(frozen=True)
class EdgeSettings:
    """What an edge device has beside the rules.

    Attributes:
        authorization: the authorization server; None for one of its own.
        origination: the origination server; None for one of its own, in front of `upstream`.
        upstream: base URL of an HTTP server that knows nothing of CALE.
        owner_header: field in which the upstream reads whose request it is.
        public: certificate, key and anchors for clients; None for those in `state`/tls, made if missing.
        names: names and addresses of a certificate that is made.
        user: who may register with a password.
        password: of that user; a random one if there is none yet.
        tokens: bearer tokens and whose they are.
        client_anchors: CAs whose TLS client certificates prove an identity.
        client_lists: file of their revocation lists; None if nobody looks whether a certificate is revoked.
        issuer: certificate of the authorization server's CA, where that is elsewhere and the origination server is not.
        body_bytes: the largest answer of the upstream.
        organization: domain in certificates of an authorization server of its own.
    """

    authorization: Remote | None = None
    origination: Remote | None = None
    upstream: str = ""
    owner_header: str = ""
    public: KeyFiles | None = None
    names: tuple[str, ...] = ()
    user: str | None = None
    password: str | None = None
    tokens: Mapping[str, str] = field(default_factory=dict)
    client_anchors: Sequence[x509.Certificate] = ()
    client_lists: Path | None = None
    issuer: Path | None = None
    body_bytes: int = 1024 * 1024
    organization: str = "reference.example"


def authorization_role(place: RolePlace, policy: Policy, organization: str = "reference.example") -> RoleServer:
    """An authorization server on a port of its own."""
    server = RoleServer("authz", place.state, place.clock)
    try:
        authority = single_authority(server.state / "cale", AUTHORITY_NAME, "ec-p256", server.now())
        peers = Peers(place.peers)
        role = AuthorizationServer(
            authority, DatabaseRecords(server.database), policy, server.now, peers.entries, organization
        )
        server.listen(by_listed_peers(role, peers), hop_tls(place.hop_files), place.host, place.port, INNER_LIMITS)
    except BaseException:
        server.stop()
        raise
    return server


def resource_role(
    place: RolePlace, policy: Policy, issuer: Path, documents: Mapping[str, bytes] | None = None
) -> RoleServer:
    """A resource server on a port of its own; without documents it has that of the samples."""
    server = RoleServer("resource", place.state, place.clock)
    try:
        peers = Peers(place.peers)
        role = ResourceServer(_issuer(issuer), server.now, peers.entries, policy.cale)
        role.documents.update(documents or {})
        server.listen(by_listed_peers(role, peers), hop_tls(place.hop_files), place.host, place.port, INNER_LIMITS)
    except BaseException:
        server.stop()
        raise
    return server


def origination_role(
    place: RolePlace, policy: Policy, issuer: Path, resources: Sequence[tuple[str, Remote]]
) -> RoleServer:
    """An origination server on a port of its own, in front of resource servers by path."""
    server = RoleServer("origin", place.state, place.clock)
    try:
        servers = [(below, _hop(server, place, remote)) for below, remote in resources]
        aggregation = Aggregation(servers)
        server.opened.callback(aggregation.close)
        replay = ReplayWindow(server.state / "replay.sqlite")
        server.opened.callback(replay.close)
        peers = Peers(place.peers)
        role = OriginationServer(_issuer(issuer), aggregation, policy, server.now, peers.entries, replay)
        server.listen(by_listed_peers(role, peers), hop_tls(place.hop_files), place.host, place.port, INNER_LIMITS)
    except BaseException:
        server.stop()
        raise
    return server


def edge_role(place: RolePlace, policy: Policy, settings: EdgeSettings) -> RoleServer:
    """An edge device on a port of its own, with what of the others is not elsewhere."""
    server = RoleServer("edge", place.state, place.clock)
    try:
        files = settings.public or KeyFiles.below(server.state / "tls")
        if settings.public is None and not files.complete():
            make_public(server.state, server.now(), settings.names)
        users = Users(server.database)
        facts = _with_user(server, users, settings) | {"ca_file": str(files.anchors)}
        guesses = Guesses(server.database, server.now)
        login = HttpLogin(users, policy, server.now, guesses)
        lists = _client_lists(settings)
        proofs = Proofs(login, Tokens(dict(settings.tokens)), settings.client_anchors, server.now, guesses, lists)
        authorization, origination = _inner_hops(server, place, policy, settings)
        role = EdgeDevice(
            authorization,
            origination,
            proofs.identify,
            policy,
            Decoys(server.database, policy, server.now),
            challenge=proofs.challenges,
        )
        server.opened.callback(role.close)
        chain, key = read_pair(files)
        tls = TlsSettings(
            chain,
            key,
            settings.client_anchors,
            suites=policy.cale.suites,
        )
        server.listen(role.handle, tls, place.host, place.port)
        server.facts = {"cale_url": server.url} | facts
    except BaseException:
        server.stop()
        raise
    return server


def _client_lists(settings: EdgeSettings) -> ClientLists | None:
    if settings.client_lists is None:
        return None
    try:
        return ClientLists(settings.client_lists, settings.client_anchors)
    except ListsUnusableError as error:
        raise UnusableFileError(str(error)) from error


def _with_user(server: RoleServer, users: Users, settings: EdgeSettings) -> dict[str, object]:
    if settings.user is None:
        return {}
    path = server.state / "password"
    kept = path.read_text().rstrip("\n") if path.exists() else None
    chosen = settings.password or kept
    password = chosen or secrets.token_urlsafe(12)
    users.add(settings.user, password, drawn=chosen is None)
    write_file(path, password.encode() + b"\n")
    return {"user": settings.user, "password_file": str(path)}


def _inner_hops(server: RoleServer, place: RolePlace, policy: Policy, settings: EdgeSettings) -> tuple[Hop, Hop]:
    if settings.authorization is not None:
        authorization: Hop = _compared(server, place, policy, settings.authorization, "authz")
    else:
        authority = single_authority(server.state / "cale", AUTHORITY_NAME, "ec-p256", server.now())
        records = DatabaseRecords(server.database)
        own_server = AuthorizationServer(authority, records, policy, server.now, organization=settings.organization)
        authorization = local_hop(own_server, "edge")
    if settings.origination is not None:
        return authorization, _compared(server, place, policy, settings.origination, "origin")
    own = server.state / "cale" / "root.pem"
    issuer = own if settings.authorization is None else settings.issuer or server.state / "issuer.pem"
    upstream = Upstream(settings.upstream, owner_header=settings.owner_header, body_bytes=settings.body_bytes)
    server.waits.append(upstream.close)
    replay = ReplayWindow(server.state / "replay.sqlite")
    server.opened.callback(replay.close)
    origin = OriginationServer(_issuer(issuer), upstream, policy, server.now, replay=replay, paths={})
    return authorization, local_hop(origin, "edge")


def _compared(server: RoleServer, place: RolePlace, policy: Policy, remote: Remote, role: str) -> Hop:
    hop = SameList(_hop(server, place, remote), policy, remote.url, role)
    hop.check_now()
    return hop


def _hop(server: RoleServer, place: RolePlace, remote: Remote) -> RemoteHop:
    files = place.hop_files
    hop_tls(files)  # read here, each file is named in what is wrong with it
    settings = HopSettings(remote.url, remote.peer, files.certificate, files.key, files.anchors, place.timeout_s)
    try:
        hop = RemoteHop(settings)
    except ssl.SSLError as error:
        raise UnusableFileError(
            f"{files.certificate}, {files.key} or {files.anchors} cannot be used for TLS: {error.reason}"
        ) from error
    server.waits.append(hop.close)
    return hop


def _issuer(path: Path) -> x509.Certificate:
    certificates = read_certificates(path)
    if len(certificates) != 1:
        raise UnusableFileError(f"{path} holds more than the one certificate of the authorization server")
    return certificates[0]
