"""/serverkeygen (RFC 7030 section 4.4): an enrolment whose key the server makes. Off by default (EST-190)."""

from __future__ import annotations

from dataclasses import replace

from device_sdk_simulators.est.answers import key_and_certificate
from device_sdk_simulators.est.attributes import read_attributes
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.est.csr import CertificationRequest, key_name, spki_sha256
from device_sdk_simulators.est.enrolment import Enrolment, Granted
from device_sdk_simulators.est.key_generator import KeyGenerator
from device_sdk_simulators.est.key_strength import require_strength
from device_sdk_simulators.est.keyless_csr import read_keyless_csr
from device_sdk_simulators.est.queue import ApprovalQueue
from device_sdk_simulators.est.requirements import Requirements
from device_sdk_simulators.est.route import Route
from device_sdk_simulators.est.server_key_package import envelope, key_encipherment, signed_package
from device_sdk_simulators.est.server_key_wish import Recipient, Recipients
from device_sdk_simulators.est.shared_secrets import SharedSecrets
from device_sdk_simulators.est.site import Surroundings
from device_sdk_simulators.est.spoil_server_key import ServerKeySpoiler
from device_sdk_simulators.http.messages import Request, Response


class ServerKeyGeneration(Enrolment):
    """The operation. Keys are made when they are given away, and not kept.

    Args:
        queue: where requests wait for a person.
        requirements: what requests are held to.
        shared: memory, policy, clock, faults.

    Attributes:
        secrets: keys shared with clients beforehand; `secrets.add(IDENTIFIER, KEY)`.
    """

    def __init__(self, queue: ApprovalQueue, requirements: Requirements, shared: Surroundings) -> None:
        super().__init__(queue, requirements, shared.policy, shared.clock)
        self.secrets = SharedSecrets(shared.database)
        self._generator = KeyGenerator()
        self._recipients = Recipients(shared.database, self.secrets, shared.policy, shared.clock)
        self._spoiler = ServerKeySpoiler(shared.faults, shared.clock)

    def _checked(self, der: bytes) -> CertificationRequest:
        return read_keyless_csr(der, self._policy)

    def _authorize(self, route: Route, client: Client, csr: CertificationRequest) -> None:
        super()._authorize(route, client, csr)
        # before anybody is asked to approve: without a key to encrypt to there will be none (EST-193)
        recipient = self._recipient(route, client, csr)
        if recipient is not None:
            key_encipherment(recipient)

    def _deliver(self, request: Request, route: Route, granted: Granted) -> Response:
        recipient = self._recipient(route, granted.client, granted.csr)
        kind = key_name(granted.csr.public_key)
        types = self._policy.serverkeygen_types
        kind = kind if kind in types else types[0]
        if recipient is None:
            require_strength(request.tls.cipher, kind)
        key = self._generator.generate(kind)
        public_key = key.public_key()
        csr = replace(granted.csr, public_key=public_key, spki_sha256=spki_sha256(public_key))
        given = self._spoiler.key(key)
        if recipient is None or self._spoiler.clear():
            part = self._spoiler.clear_part(given)
        else:
            hierarchy = route.site.hierarchy
            signer = self._generator.signer(hierarchy.issuing, self._clock())
            package = self._spoiler.package(given, hierarchy) or signed_package(
                given, signer, (signer.certificate, *hierarchy.chain), self._clock()
            )
            part = "application/pkcs7-mime; smime-type=server-generated-key", envelope(package, recipient)
        certificate = self._issue(route, granted, csr)
        granted.facts["private_key"] = "clear" if recipient is None else "encrypted"
        response = key_and_certificate(part, route.site.spoiler.issued(route.operation, certificate), granted.facts)
        return self._spoiler.parts(response)

    def _recipient(self, route: Route, client: Client, csr: CertificationRequest) -> Recipient | None:
        return self._recipients.find(read_attributes(csr.csr), client, route)
