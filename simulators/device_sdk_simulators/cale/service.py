"""The roles put together in one process, with the edge outside and in-process hops between the others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.cale.authorization import AuthorizationServer
from device_sdk_simulators.cale.decoy import Decoys
from device_sdk_simulators.cale.edge import EdgeDevice
from device_sdk_simulators.cale.hops import local_hop
from device_sdk_simulators.cale.identity import Tokens, with_tokens
from device_sdk_simulators.cale.origination import OriginationServer
from device_sdk_simulators.cale.records import DatabaseRecords
from device_sdk_simulators.cale.resource import ResourceServer
from device_sdk_simulators.database import Database
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.guessing import Guesses
from device_sdk_simulators.http.messages import Request
from device_sdk_simulators.policy import Policy


class CaleService:
    """All roles of one installation.

    Args:
        authority: CA of the authorization server.
        database: memory of the authorization server and of the edge.
        policy: for all roles.
        clock: for all roles.
        identify: who a client of the edge device is.
        guesses: what wrong tokens cost; wrong passwords are the affair of `identify`.

    Attributes:
        tokens: bearer tokens that prove an identity, too.
    """

    def __init__(
        self,
        authority: Authority,
        database: Database,
        policy: Policy,
        clock: Callable[[], datetime],
        identify: Callable[[Request], Client],
        guesses: Guesses,
    ) -> None:
        self.tokens = Tokens()
        self.authorization = AuthorizationServer(authority, DatabaseRecords(database), policy, clock)
        self.resource = ResourceServer(authority.certificate, clock, rules=policy.cale)
        self.origination = OriginationServer(
            authority.certificate, local_hop(self.resource, "origination"), policy, clock
        )
        decoys = Decoys(database, policy, clock)
        self.edge = EdgeDevice(
            local_hop(self.authorization, "edge"),
            local_hop(self.origination, "edge"),
            with_tokens(self.tokens, identify, guesses),
            policy,
            decoys,
        )
