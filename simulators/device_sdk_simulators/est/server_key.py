"""/serverkeygen (RFC 7030 section 4.4, RFC 8295 section 8): an enrolment whose key the server makes. Off by default (EST-190)."""

from __future__ import annotations

import secrets
from dataclasses import replace

from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.ca.keys import CaKey
from device_sdk_simulators.est.answers import key_and_certificate
from device_sdk_simulators.est.attributes import read_attributes
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.est.csr import CertificationRequest
from device_sdk_simulators.est.enrolment import Enrolment, Granted
from device_sdk_simulators.est.key_generator import KeyGenerator, kind_for
from device_sdk_simulators.est.key_strength import require_strength
from device_sdk_simulators.est.keyless_csr import read_keyless_csr
from device_sdk_simulators.est.queue import ApprovalQueue
from device_sdk_simulators.est.requirements import Requirements
from device_sdk_simulators.est.route import Route
from device_sdk_simulators.est.server_key_forms import PKCS12, RFC_7030, asks_for_pkcs12, form_for, packed
from device_sdk_simulators.est.server_key_package import asymmetric_package, envelope, key_encipherment, signed_package
from device_sdk_simulators.est.server_key_pkcs12 import Pkcs12Generation
from device_sdk_simulators.est.server_key_wish import Recipient, Recipients
from device_sdk_simulators.est.shared_secrets import SharedSecrets
from device_sdk_simulators.est.site import Surroundings
from device_sdk_simulators.est.spoil_server_key import ServerKeySpoiler
from device_sdk_simulators.http.messages import Request, Response
from device_sdk_simulators.packages.key_returns import KeyReturns
from device_sdk_simulators.packages.publishing_keys import receipt_request
from device_sdk_simulators.packages.sealed_returns import package_authority, returns_authority


class ServerKeyGeneration(Enrolment):
    """The operation. Keys are made when they are given away, and not kept.

    Args:
        queue: where requests wait for a person.
        requirements: what requests are held to.
        shared: memory, policy, clock, faults.

    Attributes:
        secrets: keys shared with clients beforehand; `secrets.add(IDENTIFIER, KEY)`.
        pkcs12_passwords: of PKCS#12 files, UTF-8, by the name of the user they are for; "" for everybody else.
        returns: receipts and errors for packages.
    """

    def __init__(self, queue: ApprovalQueue, requirements: Requirements, shared: Surroundings) -> None:
        super().__init__(queue, requirements, shared.policy, shared.clock)
        self.secrets = SharedSecrets(shared.database)
        self._generator = KeyGenerator()
        self._recipients = Recipients(shared.database, self.secrets, shared.policy, shared.clock)
        self._spoiler = ServerKeySpoiler(shared.faults, shared.clock)
        self._state = shared.database.path.parent
        self._signer: Authority | None = None
        self._pkcs12 = Pkcs12Generation(queue, requirements, shared, self._generator)
        self.pkcs12_passwords = self._pkcs12.passwords
        self.returns = KeyReturns(shared.database)

    def answer(self, request: Request, route: Route) -> Response:
        """As every enrolment; in PKCS#12 where Accept, the label or the policy says so (AMB-03)."""
        by_policy = self._policy.serverkeygen_label_forms.get(route.label, self._policy.serverkeygen_form) == PKCS12
        if by_policy or asks_for_pkcs12(request):
            return self._pkcs12.answer(request, route)
        return super().answer(request, route)

    def answer_as(self, kind: str, request: Request, route: Route) -> Response:
        """The same, in what an entry of a package list says: type 0022 is PKCS#12, the others are not (section 2.1.1)."""
        return (self._pkcs12.answer if kind == "0022" else super().answer)(request, route)

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
        types = self._policy.serverkeygen_types
        if recipient is None:
            require_strength(request.tls.cipher, kind_for(granted.csr, types))
        key, csr = self._generator.generate_for(granted.csr, types)
        key = self._spoiler.key(key)
        form = form_for(self._policy, route.label, read_attributes(granted.csr.csr))
        if recipient is None or self._spoiler.clear():
            part = self._spoiler.clear_part(key)
        elif form != RFC_7030:
            return self._packed(route, replace(granted, csr=csr), key, recipient, form)
        else:
            hierarchy = route.site.hierarchy
            signer = self._generator.signer(hierarchy.issuing, self._clock())
            package = self._spoiler.package(key, hierarchy) or signed_package(
                key, signer, (signer.certificate, *hierarchy.chain), self._clock()
            )
            part = "application/pkcs7-mime; smime-type=server-generated-key", envelope(package, recipient)
        certificate = self._issue(route, granted, csr)
        granted.facts["private_key"] = "clear" if recipient is None else "encrypted"
        response = key_and_certificate(part, route.site.spoiler.issued(route.operation, certificate), granted.facts)
        return self._spoiler.parts(response)

    def _packed(self, route: Route, granted: Granted, key: CaKey, recipient: Recipient, form: str) -> Response:
        """A package of RFC 8295 section 8.1, beside the certificate or around it (AMB-02)."""
        certificate = self._issue(route, granted, granted.csr)
        now, package_id = self._clock(), secrets.token_bytes(16)
        encrypted = self._policy.serverkeygen_encrypted_receipts
        receipt = receipt_request(package_id, encrypted=encrypted) if self._policy.serverkeygen_receipts else None
        if receipt is not None and encrypted:
            returns_authority(self._state, now)
        if receipt is not None:
            self.returns.expect_of(granted.client, f"{certificate.serial_number:x}", package_id, now)
        if self._signer is None or self._signer.certificate.not_valid_after_utc <= now:
            self._signer = package_authority(self._state, now).signer("Reference Package Signer", now)
        bare = self._policy.serverkeygen_bare
        content = asymmetric_package(key, certificate=certificate if bare else None)
        part = packed(content, form, recipient, self._signer, receipt)
        granted.facts["private_key"] = form
        if bare:
            return Response(200, [("Content-Type", part[0])], part[1], facts=granted.facts)
        return key_and_certificate(part, route.site.spoiler.issued(route.operation, certificate), granted.facts)

    def _recipient(self, route: Route, client: Client, csr: CertificationRequest) -> Recipient | None:
        return self._recipients.find(read_attributes(csr.csr), client, route)
