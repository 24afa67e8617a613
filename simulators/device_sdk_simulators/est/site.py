"""One CA of the server: who may ask it, what it issued, what it serves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from device_sdk_simulators.ca.authority import CertificationAuthority
from device_sdk_simulators.ca.hierarchy import Hierarchy
from device_sdk_simulators.database import Database
from device_sdk_simulators.est.authorize import Gatekeeper
from device_sdk_simulators.est.login import HttpLogin
from device_sdk_simulators.est.register import Register
from device_sdk_simulators.est.spoil import Spoiler
from device_sdk_simulators.faults import Faults
from device_sdk_simulators.guessing import Guesses
from device_sdk_simulators.passwords import Users
from device_sdk_simulators.policy import Policy


@dataclass(frozen=True)
class Surroundings:
    """What all sites of a server share."""

    database: Database
    users: Users
    policy: Policy
    clock: Callable[[], datetime]
    faults: Faults
    login: HttpLogin
    guesses: Guesses


class Site:
    """What is behind one label, or behind several (RFC 7030 section 3.2.2).

    Args:
        authority: the CA.
        shared: what all sites share.
        neighbours: issuing CAs of the other sites, whose certificates count for nothing here.

    Attributes:
        authority: the CA.
        gatekeeper: who may ask for what.
        register: what the CA issued.
        spoiler: how it misbehaves.
    """

    def __init__(
        self,
        authority: CertificationAuthority,
        shared: Surroundings,
        neighbours: Callable[[], Sequence[x509.Certificate]],
    ) -> None:
        self.authority = authority
        hierarchy = authority.hierarchy
        self.gatekeeper = Gatekeeper(
            shared.database, shared.login, hierarchy, shared.policy, shared.clock, neighbours=neighbours
        )
        self.register = Register(shared.database, hierarchy, shared.policy, shared.clock, ca=authority.name)
        self.spoiler = Spoiler(shared.faults, hierarchy, shared.clock)

    @property
    def hierarchy(self) -> Hierarchy:
        """The CA as it is now: a rollover changes it while the server works."""
        return self.authority.hierarchy()
