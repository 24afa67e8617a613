"""What a request must have beyond a good signature: the binding, the challenges, what /csrattrs asked for, a name it may have."""

from __future__ import annotations

from device_sdk_simulators.csr_demand import Demand
from device_sdk_simulators.database import Database
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.est.binding import check_binding
from device_sdk_simulators.est.challenges import Challenges
from device_sdk_simulators.est.change_name import ChangedName, changed_name
from device_sdk_simulators.est.csr import CertificationRequest
from device_sdk_simulators.est.csr_extensions import check_names
from device_sdk_simulators.est.csrattrs_check import check_demand
from device_sdk_simulators.est.device_serial import serial_numbers
from device_sdk_simulators.est.route import Route
from device_sdk_simulators.http.messages import HttpError, TlsFacts
from device_sdk_simulators.policy import Policy


def demand_for(policy: Policy, label: str, client: Client) -> Demand | None:
    """The first demand that concerns a client; None where the general list holds."""
    fields, certificate = policy.third_party_serial_fields, client.certificate
    devices = serial_numbers(certificate, fields) if certificate is not None else []
    device = devices[0] if devices else None
    return next((one for one in policy.demands if one.concerns(label, client.user, device)), None)


class Requirements:
    """Holds requests to what was asked for.

    Attributes:
        challenges: one-time and revocation passwords.
    """

    def __init__(self, database: Database, policy: Policy) -> None:
        self._policy = policy
        self.challenges = Challenges(database, policy)

    def check(
        self, route: Route, client: Client, request: CertificationRequest, tls: TlsFacts, *, known: bool
    ) -> tuple[str | None, ChangedName | None]:
        """The binding that fits, and the name the certificate is to have instead of the request's; HttpError 400 or 403.

        Args:
            route: where the request came in.
            client: who sent it; what it may have is checked already.
            request: the CSR.
            tls: the connection.
            known: these very bytes were accepted by 202 before, with the binding of the connection they came over then.
        """
        ra = client.registration_authority
        binding = "earlier" if known else check_binding(request.bindings, tls, self._policy, registration_authority=ra)
        demand = demand_for(self._policy, route.label, client)
        if demand is not None and demand.enforce:
            check_demand(demand, request, renewal=route.operation == "simplereenroll")
        name = changed_name(request.csr)
        if name is not None:
            self._may_change_name(client)
            # what holds for the request's own names holds for those it is to get instead
            check_names(name.subject, [] if name.san is None else [name.san], self._policy)
        # last, because it uses up the one-time password
        self.challenges.check(request)
        return binding, name

    def _may_change_name(self, client: Client) -> None:
        if client.certificate is None:
            raise HttpError(400, "ChangeSubjectName needs a certificate whose name is to change")
        allowed = {"no": False, "third-party": client.third_party, "any": True}[self._policy.change_subject_name]
        if not allowed and not client.registration_authority:
            raise HttpError(403, "this server does not give you another name")
