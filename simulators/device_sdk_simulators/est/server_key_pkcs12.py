"""/serverkeygen that answers with PKCS#12 (RFC 8295 section 8.3): key and certificate in one file behind a password."""

from __future__ import annotations

from device_sdk_simulators.est.answers import base64_body
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.est.bodies import encode_body
from device_sdk_simulators.est.csr import CertificationRequest
from device_sdk_simulators.est.enrolment import Enrolment, Granted
from device_sdk_simulators.est.key_generator import KeyGenerator
from device_sdk_simulators.est.keyless_csr import read_keyless_csr
from device_sdk_simulators.est.pfx import make_pfx
from device_sdk_simulators.est.queue import ApprovalQueue
from device_sdk_simulators.est.requirements import Requirements
from device_sdk_simulators.est.route import Route
from device_sdk_simulators.est.server_key_forms import PKCS12, PKCS12_TYPE
from device_sdk_simulators.est.site import Surroundings
from device_sdk_simulators.est.spoil_server_key import ServerKeySpoiler
from device_sdk_simulators.http.messages import HttpError, Request, Response


class Pkcs12Generation(Enrolment):
    """The operation where the answer is to be PKCS#12. Attributes that name a key to encrypt to mean nothing to it (B-04).

    Args:
        queue: where requests wait for a person.
        requirements: what requests are held to.
        shared: memory, policy, clock, faults.
        generator: makes the keys.

    Attributes:
        passwords: of the files, UTF-8, by the name of the user they are for; "" for everybody else.
    """

    def __init__(
        self, queue: ApprovalQueue, requirements: Requirements, shared: Surroundings, generator: KeyGenerator
    ) -> None:
        super().__init__(queue, requirements, shared.policy, shared.clock)
        self.passwords: dict[str, bytes] = {}
        self._generator = generator
        self._spoiler = ServerKeySpoiler(shared.faults, shared.clock)

    def _checked(self, der: bytes) -> CertificationRequest:
        return read_keyless_csr(der, self._policy)

    def _authorize(self, route: Route, client: Client, csr: CertificationRequest) -> None:
        super()._authorize(route, client, csr)
        # before anybody is asked to approve
        self._password(client)

    def _password(self, client: Client) -> bytes:
        """HttpError 406 where there is none: this server cannot make such a file then."""
        names = (client.user, client.holder, client.srp_user, "")
        found = next((self.passwords[name] for name in names if name is not None and name in self.passwords), None)
        if found is None or PKCS12 not in self._policy.serverkeygen:
            raise HttpError(406, "this server makes no PKCS#12 files for this client")
        return found

    def _deliver(self, request: Request, route: Route, granted: Granted) -> Response:
        password = self._password(granted.client)
        key, csr = self._generator.generate_for(granted.csr, self._policy.serverkeygen_types)
        certificate = self._issue(route, granted, csr)
        made = make_pfx(
            self._spoiler.key(key),
            certificate,
            route.site.hierarchy.chain,
            password,
            mac=self._policy.serverkeygen_pkcs12_mac,
        )
        granted.facts["private_key"] = PKCS12
        response = base64_body(200, PKCS12_TYPE, encode_body(made, user_agent=request.header("User-Agent")))
        response.facts = granted.facts
        return response
