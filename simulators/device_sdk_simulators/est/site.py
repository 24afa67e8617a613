"""One CA of the server: who may ask it, what it issued, what it serves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from device_sdk_simulators.ca.hierarchy import Hierarchy
from device_sdk_simulators.database import Database
from device_sdk_simulators.est.authorize import Gatekeeper
from device_sdk_simulators.est.register import Register
from device_sdk_simulators.est.spoil import Spoiler
from device_sdk_simulators.faults import Faults
from device_sdk_simulators.passwords import Users
from device_sdk_simulators.policy import Policy


class Site:
    """What is behind one label, or behind several (RFC 7030 section 3.2.2).

    Attributes:
        hierarchy: the CA.
        gatekeeper: who may ask for what.
        register: what the CA issued.
        spoiler: how it misbehaves.
    """

    def __init__(
        self,
        hierarchy: Hierarchy,
        database: Database,
        users: Users,
        policy: Policy,
        clock: Callable[[], datetime],
        faults: Faults,
    ) -> None:
        self.hierarchy = hierarchy
        self.gatekeeper = Gatekeeper(database, users, hierarchy.issuing, policy, clock)
        self.register = Register(database, hierarchy.issuing, policy, clock)
        self.spoiler = Spoiler(faults, hierarchy, clock)
