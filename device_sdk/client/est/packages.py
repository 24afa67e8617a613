"""What a server has for its clients beyond their own certificates (RFC 8295): the package list, peers, revocation lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cryptography import x509

from device_sdk.client.est.full_cmc_transaction import Service
from device_sdk.client.est.key_returns import KeyReturns, Returned
from device_sdk.client.est.patience import Patience, Progress
from device_sdk.client.est.result import LostRequest, fetch_result
from device_sdk.client.est.returns import ReturnMessage, Returns, give_back
from device_sdk.client.est.symmetric_keys import KeyPackage, KeyPackagePolicy, SymmetricKeyService
from device_sdk.errors import ConfigurationError, DeviceSdkError, KeyStoreError, VerificationError
from device_sdk.protocols.crls import RevocationLists, check_crls, crls_request, read_crls
from device_sdk.protocols.eecerts import PeerCertificates, check_peers, eecerts_request, read_eecerts
from device_sdk.protocols.est.issued import Enrolled
from device_sdk.protocols.est.urls import Operation
from device_sdk.protocols.pal import PalWalk, SyncPlan, pal_request, plan_of, read_pal_answer
from device_sdk.protocols.tamp.exchange import read_tamp, tamp_request
from device_sdk.wire.cms.recipients import OpeningKey
from device_sdk.wire.key_packages.error_codes import PackageFault

if TYPE_CHECKING:
    from device_sdk.client.est.server_key import ServerKeyForms
    from device_sdk.client.firmware import Firmware
    from device_sdk.model.csr import CsrSpec
    from device_sdk.model.keys import KeyType
    from device_sdk.protocols.est.ca_certificates import CaCertificates
    from device_sdk.protocols.est.server_key import ServerKey
    from device_sdk.protocols.est.server_key_request import ProtectionKey


class Packages:
    """The operations of RFC 8295 that give; `EstClient.packages`.

    Args:
        service: the EST service.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def returning(self, returns: Returns) -> Packages:
        """The same, with receipts and errors given to somebody who keeps them until the server has them."""
        return Packages(replace(self._service, returns=returns))

    @property
    def firmware(self) -> Firmware:
        """Firmware packages, and reports about them (section 6)."""
        from device_sdk.client.firmware import Firmware

        return Firmware(self._service)

    def list(self, *, wait_s: float | None = None, progress: Progress | None = None) -> SyncPlan:
        """Ask which packages there are, and put them into the order in which they are worked off (section 2).

        Further lists are followed. Nothing is fetched; what leads to another server, or to something else than its type
        says, is skipped and told (P-21).

        Args:
            wait_s: total seconds to wait while the server answers "later" (202, 429, 503); None does not wait.
            progress: told before each wait.

        Raises:
            AuthenticationRequiredError: 401 without credentials, or they were refused.
            EnrolmentPendingError: 202, and `wait_s` is not set or too short.
            HttpStatusError: the server refused.
            RemoteProtocolError: no package list, or lists without an end.
        """
        service = self._service
        patience = Patience(service.clock, wait_s, progress)
        walk = PalWalk(service.endpoint)
        while walk.target is not None:
            response = service.exchanges.send(pal_request(walk.target), patience, may_pend=True)
            walk.feed(read_pal_answer(response, service.clock.now()))
        return plan_of(walk.entries, service.endpoint)

    def crls(
        self,
        target: str | None = None,
        *,
        intermediates: Iterable[x509.Certificate] = (),
        signers: Sequence[x509.Certificate] = (),
        wait_s: float | None = None,
        progress: Progress | None = None,
    ) -> RevocationLists:
        """Fetch the revocation lists and check each (section 4). What is accepted may be `stale`.

        Args:
            target: the request target a step of `list` has; by default what the server gives without a name.
            intermediates: CA certificates that are known, besides those of /cacerts; not trusted.
            signers: anchors of those who sign packages, which are seldom those of the EST server.
            wait_s: as for `list`.
            progress: as for `list`.

        Raises:
            EnrolmentPendingError: 202, and `wait_s` is not set or too short.
            HttpStatusError: the server refused.
            RemoteProtocolError: not a crls-only message.
            ConfigurationError: a target that is not of this operation.
        """
        service, patience = self._service, Patience(self._service.clock, wait_s, progress)
        request = crls_request(self._target(Operation.CRLS, target, "revocation lists"))
        ca = _with(service.ca(patience), intermediates)
        response = service.exchanges.send(request, patience, may_pend=True)
        now = service.clock.now()
        return check_crls(
            read_crls(response, now),
            anchors=ca.anchors,
            intermediates=ca.intermediates,
            now=now,
            signers=signers,
            below_signers=[one.certificate for one in ca.ignored],
        )

    def peers(
        self,
        target: str | None = None,
        *,
        lists: Iterable[x509.CertificateRevocationList] = (),
        intermediates: Iterable[x509.Certificate] = (),
        wait_s: float | None = None,
        progress: Progress | None = None,
    ) -> PeerCertificates:
        """Fetch certificates of peers and check each (section 3).

        Args:
            target: the request target a step of `list` has; by default what the server gives without a name.
            lists: revocation lists that are held; they are checked, too, and who is on them is rejected.
            intermediates: CA certificates that are known, besides those of /cacerts; not trusted.
            wait_s: as for `list`.
            progress: as for `list`.

        Raises:
            AuthenticationRequiredError: 401 without credentials, or they were refused.
            EnrolmentPendingError: 202, and `wait_s` is not set or too short.
            HttpStatusError: the server refused.
            RemoteProtocolError: not a certs-only message.
            VerificationError: one of `lists` must not be used.
            ConfigurationError: a target that is not of this operation.
        """
        service, patience = self._service, Patience(self._service.clock, wait_s, progress)
        request = eecerts_request(self._target(Operation.EECERTS, target, "certificates of peers"))
        ca = _with(service.ca(patience), intermediates)
        now = service.clock.now()
        held = check_crls(lists, anchors=ca.anchors, intermediates=ca.intermediates, now=now, held=True)
        for issuer, reason in held.rejected:
            raise VerificationError(f"the revocation list of {issuer}: {reason}", hint="fetch it again (est crls)")
        response = service.exchanges.send(request, patience, may_pend=True)
        now = service.clock.now()
        return check_peers(
            read_eecerts(response, now),
            anchors=ca.anchors,
            intermediates=ca.intermediates,
            now=now,
            lists=held.accepted,
            own=service.identity.chain[0] if service.identity else None,
        )

    def anchor_message(
        self, target: str | None = None, *, wait_s: float | None = None, progress: Progress | None = None
    ) -> tuple[bytes, bytes | None] | None:
        """Fetch a message about trust anchors, as it comes (section 7); `protocols.tamp.process` finds out what it is worth.

        Args:
            target: the request target a step of `list` has; by default what the server gives without a name.
            wait_s: as for `list`.
            progress: as for `list`.

        Returns:
            The message, and DER of the certificate of the server that had it; None if there is none.

        Raises:
            AuthenticationRequiredError: 401 without credentials, or they were refused.
            HttpStatusError: the server refused.
            ConfigurationError: a target that is not of this operation.
        """
        service, patience = self._service, Patience(self._service.clock, wait_s, progress)
        request = tamp_request(self._target(Operation.TAMP, target, "messages about trust anchors"))
        response = service.exchanges.send(request, patience, may_pend=True)
        body = read_tamp(response, service.clock.now())
        return None if body is None else (body, response.connection.server_certificate)

    def _target(self, operation: Operation, target: str | None, what: str) -> str:
        usual = self._service.endpoint.target(operation)
        if target is None or target.partition("?")[0] == usual or target.startswith(f"{usual}/"):
            return target or usual
        raise ConfigurationError(f"{target[:200]}: {what} are at {usual}")

    def symmetric_keys(
        self,
        policy: KeyPackagePolicy,
        target: str | None = None,
        *,
        decrypt: OpeningKey | Sequence[OpeningKey] | None = None,
        report: bool = True,
        wanted: Callable[[bytes], bool] | None = None,
        wait_s: float | None = None,
        progress: Progress | None = None,
    ) -> KeyPackage | None:
        """Fetch a package of symmetric keys, verify, decrypt and check it (section 5.1); None if there is none.

        The keys are in memory then, and nothing else of the package: `device_sdk.keystores.secret_import.store_keys` puts them
        where they cannot leave any more, and `KeyPackage.wipe` overwrites them here.

        Args:
            policy: which packages are taken.
            target: the request target a step of `list` has; by default what the server gives without a name.
            decrypt: what may open it: private keys, in hardware or not, and shared keys; by default the key of the identity.
            report: tell the server, signed by the identity's key, if the package is refused (section 5.2).
            wanted: told the SHA-256 of what came; False leaves it alone, and None is given.
            wait_s: as for `list`.
            progress: as for `list`.

        Raises:
            KeyPackageUntrustedError: nobody signed it who may.
            KeyPackageRefusedError: the package, or a key in it, must not be used.
            EnvelopeError: it does not decrypt; one text for every reason.
            WireError: it cannot be read.
            KeyStoreError: the key that should open it cannot be used.
            EnrolmentPendingError: 202, and `wait_s` is not set or too short.
            AuthenticationRequiredError: 401 without credentials, or they were refused.
            HttpStatusError: the server refused.
            VerificationError: one of the policy's revocation lists must not be used.
            ConfigurationError: a target that is not of this operation.
        """
        patience = Patience(self._service.clock, wait_s, progress)
        return SymmetricKeyService(self._service, patience, target).fetch(policy, decrypt, report=report, wanted=wanted)

    def generated_key(
        self,
        spec: CsrSpec,
        forms: ServerKeyForms,
        *,
        decrypt: ProtectionKey | None = None,
        allow_clear: bool = False,
        key_type: KeyType | None = None,
        wait_s: float | None = None,
        progress: Progress | None = None,
    ) -> ServerKey:
        """EstClient.serverkeygen, with errors that go where those about other packages go; see there.

        Args:
            spec: as there.
            forms: as there.
            decrypt: as there.
            allow_clear: as there.
            key_type: as there.
            wait_s: as for `list`.
            progress: as for `list`.

        Raises:
            DeviceSdkError: as there.
        """
        from device_sdk.client.est.server_key import ServerKeyGeneration, require_protection

        require_protection(decrypt, allow_clear=allow_clear, pkcs12=forms.pkcs12)
        patience = Patience(self._service.clock, wait_s, progress)
        return ServerKeyGeneration(self._service, decrypt, forms).request(spec, None, key_type, "fetch", patience)

    def return_receipts(
        self,
        package: KeyPackage | ServerKey,
        *,
        event: str = "",
        recipient: x509.Certificate | None = None,
        wait_s: float | None = None,
        progress: Progress | None = None,
    ) -> Returned:
        """Confirm that a package was stored, where that is asked for (sections 5.2 and 8.2, RFC 7191 section 4).

        One receipt for each request in the package, signed by the key of the identity.

        Args:
            package: as `symmetric_keys` or EstClient.serverkeygen gave it.
            event: with `returning`: names what is still to happen, see Returns.
            recipient: to whom receipts are encrypted that are to be (KR-08); the policy's `receipt_recipient`.
            wait_s: as for `list`.
            progress: as for `list`.

        Raises:
            HttpStatusError: the server refused a receipt.
            RemoteProtocolError: it answered with content.
            KeyStoreError: the key could not sign.
        """
        patience = Patience(self._service.clock, wait_s, progress)
        return KeyReturns(self._service, patience, _operation_of(package), recipient).receipts(package.requests, event)

    def return_key_error(
        self,
        package: KeyPackage | ServerKey,
        error: DeviceSdkError | None = None,
        *,
        recipient: x509.Certificate | None = None,
        wait_s: float | None = None,
        progress: Progress | None = None,
    ) -> bool:
        """Tell the server that the keys of a package could not be stored (RFC 7191 section 5); False if it cannot be told.

        Args:
            package: as `symmetric_keys` or EstClient.serverkeygen gave it.
            error: why.
            recipient: as for `return_receipts`.
            wait_s: as for `list`.
            progress: as for `list`.
        """
        patience = Patience(self._service.clock, wait_s, progress)
        returns = KeyReturns(self._service, patience, _operation_of(package), recipient)
        full = isinstance(error, KeyStoreError) and error.no_room
        return returns.report(PackageFault.INSUFFICIENT_MEMORY if full else PackageFault.OTHER, package.requests)

    def result(
        self,
        asked: LostRequest,
        target: str | None = None,
        *,
        wait_s: float | None = None,
        progress: Progress | None = None,
    ) -> Enrolled | None:
        """Ask what became of a request whose answer was lost (section 9): GET instead of POST.

        The answer is checked as that of EstClient.enroll and reenroll, against a request as it would be made now.

        Args:
            asked: what was asked for.
            target: the request target a step of `list` has; by default /simpleenroll, or /simplereenroll; or that of
                /fullcmc, where the answer may be a PKI Response, signed as those to requests are.
            wait_s: as for `list`.
            progress: as for `list`.

        Returns:
            The certificate; None if the server has no result for this client (AMB-24).

        Raises:
            EnrolmentPendingError: not decided yet, and `wait_s` is not set or too short.
            HttpStatusError: the request was refused, and this is why.
            CertificateMismatchError: the certificate is not for that key or leads to no Explicit anchor.
            ClockError: the certificate is not valid yet, according to this machine's clock.
            ConfigurationError: a target that is not of this operation.
        """
        return fetch_result(self._service, asked, target, Patience(self._service.clock, wait_s, progress))

    def send_return(
        self,
        path: str,
        media_type: str,
        body: bytes,
        *,
        wait_s: float | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Give the server a receipt, a confirm or an error that is ready (sections 5.2, 6.2, 7.2 and 8.2).

        Args:
            path: the operation, "firmware/return".
            media_type: value of Content-Type.
            body: DER, signed where that is asked for.
            wait_s: as for `list`.
            progress: as for `list`.

        Raises:
            HttpStatusError: the server refused it.
            RemoteProtocolError: it took it, and answered with content.
            TransportError: it could not be sent, or nobody knows.
        """
        patience = Patience(self._service.clock, wait_s, progress)
        give_back(replace(self._service, returns=None), ReturnMessage(path, media_type, body, path), patience)


def _with(ca: CaCertificates, intermediates: Iterable[x509.Certificate]) -> CaCertificates:
    return replace(ca, intermediates=tuple(dict.fromkeys((*intermediates, *ca.intermediates))))


def _operation_of(package: KeyPackage | ServerKey) -> Operation:
    return Operation.SYMMETRIC_KEYS if isinstance(package, KeyPackage) else Operation.SERVERKEYGEN
