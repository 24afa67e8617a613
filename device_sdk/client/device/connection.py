"""How one run reaches the server, and how long it lets itself be made to wait."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from cryptography import x509

from device_sdk.client.device.plan import EnrolmentPlan, RenewalPlan
from device_sdk.client.est import Clock, EstClient, bootstrap_client
from device_sdk.client.est.patience import Patience
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.state import Endpoint


@dataclass(frozen=True)
class Connection:
    """Makes the EST clients of one run; all of them share one deadline.

    Attributes:
        plan: credentials, limits, proxy, and whom to ask.
        clock: the time.
        patience: the deadline; begins with the run.
        lists: revocation lists that are kept: whoever is on them is not trusted.
    """

    plan: EnrolmentPlan | RenewalPlan
    clock: Clock
    patience: Patience
    lists: tuple[x509.CertificateRevocationList, ...] = ()

    @classmethod
    def of(
        cls, plan: EnrolmentPlan | RenewalPlan, clock: Clock, lists: tuple[x509.CertificateRevocationList, ...] = ()
    ) -> Connection:
        """The connection of a run that begins now."""
        return cls(plan, clock, Patience(clock, plan.wait_s, plan.progress), lists)

    @property
    def waiting(self) -> dict[str, Any]:
        """What is left of the deadline, and who is told: arguments of the operations of EstClient."""
        return {"wait_s": self.patience.left_s(), "progress": self.plan.progress}

    def client(self, endpoint: Endpoint, trust: ServerTrust, identity: TlsIdentity | None = None) -> EstClient:
        """A client for an endpoint; whether it names its anchors there (EST-58) is the endpoint's affair."""
        trust = replace(trust, announce=endpoint.announce, lists=self.lists)
        return EstClient(endpoint.url, trust, label=endpoint.label, identity=identity, **self._common)

    def first(self, trust: ServerTrust) -> EstClient:
        """A client for an enrolment: by certificates, or by user name and password (SRP)."""
        plan = self._enrolment
        trust = replace(trust, lists=self.lists)
        return EstClient(plan.url, trust, label=plan.label, identity=plan.identity, srp=plan.srp, **self._common)

    def bootstrapped(self) -> EstClient:
        """A client that trusts the CA of the plan's fingerprints, or the one that somebody confirmed."""
        plan = self._enrolment
        return bootstrap_client(
            plan.url,
            plan.pins,
            label=plan.label,
            identity=plan.identity,
            confirm=plan.confirm,
            **self.waiting,
            **self._common,
        )

    @property
    def _enrolment(self) -> EnrolmentPlan:
        if not isinstance(self.plan, EnrolmentPlan):
            raise TypeError("a renewal has its trust from the state directory")
        return self.plan

    @property
    def _common(self) -> dict[str, Any]:
        plan = self.plan
        return {
            "credentials": plan.credentials,
            "timeouts": plan.timeouts,
            "proxy": plan.proxy,
            "compatibility": plan.compatibility,
            "clock": self.clock,
            "redirects": plan.redirects,
            "retry": plan.retry,
        }
