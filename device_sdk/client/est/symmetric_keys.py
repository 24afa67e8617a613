"""Symmetric keys from the server, and what goes back to it (RFC 8295 section 5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from cryptography import x509

from device_sdk.client.est.full_cmc_transaction import Service
from device_sdk.client.est.patience import Patience
from device_sdk.errors import (
    ConfigurationError,
    DeviceSdkError,
    KeyPackageRefusedError,
    KeyPackageUntrustedError,
    VerificationError,
    WireError,
)
from device_sdk.model.http import HttpResponse
from device_sdk.model.symmetric_keys import SymmetricKey
from device_sdk.protocols.crls import check_crls
from device_sdk.protocols.est.urls import Operation
from device_sdk.protocols.symmetric_keys import KeyRules, PackageRules, Trace, peel, usable_keys
from device_sdk.protocols.symmetric_keys.exchange import (
    check_returned,
    read_symmetric_keys,
    return_request,
    signed_return,
    symmetric_keys_request,
)
from device_sdk.protocols.symmetric_keys.layers import PathProblem, PeeledPackage
from device_sdk.wire.cms.recipients import OpeningKey
from device_sdk.wire.content_constraints import ConstraintsMode
from device_sdk.wire.key_packages.error_codes import PackageFault
from device_sdk.wire.key_packages.receipts import (
    KEY_PACKAGE_ERROR,
    KEY_PACKAGE_RECEIPT,
    ReceiptRequest,
    key_package_error,
    key_package_receipt,
)
from device_sdk.wire.revocation import revocation_problem

_REFUSALS = (KeyPackageRefusedError, KeyPackageUntrustedError, WireError)


@dataclass(frozen=True)
class KeyPackagePolicy:
    """Which packages of keys are taken.

    Attributes:
        anchors: who may vouch for those who sign packages. The anchors of the EST service are not: every device below them
            could sign (AMB-20).
        require_signature: refuse a package that nobody signed; a signature that is there always has to be good (K-05, K-06).
        require_encryption: refuse a package that nothing but TLS protects.
        constraints: CMS content constraints in certificates of signers: "required", "if-present" or "off" (AMB-19).
        device_bindings: identifiers by which keys may be bound to this device; a key bound to another is refused (K-11).
        revocation_lists: lists that are held; each has to be one of a CA below `anchors`.
    """

    anchors: Sequence[x509.Certificate]
    require_signature: bool = True
    require_encryption: bool = True
    constraints: ConstraintsMode = "if-present"
    device_bindings: Sequence[str] = ()
    revocation_lists: Iterable[x509.CertificateRevocationList] = ()


@dataclass(frozen=True)
class KeyPackage:
    """Keys of one package, ready to be stored.

    Attributes:
        keys: all of them.
        signers: certificates of those who signed, outermost first.
        encrypted: whether something beyond TLS protected it.
        requests: the identifiers of the package, and whether receipts are wanted.
    """

    keys: tuple[SymmetricKey, ...]
    signers: tuple[x509.Certificate, ...]
    encrypted: bool
    requests: tuple[ReceiptRequest, ...] = ()


@dataclass(frozen=True)
class Returned:
    """What became of the receipts of a package.

    Attributes:
        sent: identifiers of the package for which the server took a receipt.
        withheld: identifiers for which none was sent although one was asked for, and why.
    """

    sent: tuple[bytes, ...] = ()
    withheld: tuple[tuple[bytes, str], ...] = field(default=())


class SymmetricKeyService:
    """The operation, for one EST service.

    Args:
        service: the EST service.
        patience: how long to wait.
        target: the request target; None for what the server gives without a name.

    Raises:
        ConfigurationError: a target that is not of this operation.
    """

    def __init__(self, service: Service, patience: Patience, target: str | None = None) -> None:
        self._service, self._patience = service, patience
        self._usual = service.endpoint.target(Operation.SYMMETRIC_KEYS)
        self._target = target or self._usual
        if self._target != self._usual and not self._target.startswith(f"{self._usual}/"):
            raise ConfigurationError(f"{self._target[:200]}: symmetric keys are at {self._usual}")

    def fetch(
        self, policy: KeyPackagePolicy, decrypt: OpeningKey | Sequence[OpeningKey] | None, *, report: bool
    ) -> KeyPackage | None:
        """See Packages.symmetric_keys."""
        revoked = self._path_problem(policy)
        response = self._service.exchanges.send(symmetric_keys_request(self._target), self._patience)
        now = self._service.clock.now()
        message = read_symmetric_keys(response, now)
        if message is None:
            return None
        identity = self._service.identity
        keys = decrypt if decrypt is not None else identity.key if identity else ()
        rules = PackageRules(
            policy.anchors,
            now,
            require_signature=policy.require_signature,
            require_encryption=policy.require_encryption,
            constraints=policy.constraints,
            path_problem=revoked,
        )
        trace = Trace()
        try:
            peeled = peel(message, rules, keys, trace=trace)
            trace.fault = PackageFault.BAD_ATTRIBUTES
            found = usable_keys(peeled.package, KeyRules(now, policy.device_bindings))
            return _package(peeled, found, response)
        except _REFUSALS as error:
            told = getattr(error, "fault", None)
            trace.fault = PackageFault(told) if told is not None else trace.fault
            if report:
                self.report(trace.told, tuple(one.package_id for one in trace.requests))
            raise error.at(response.url)  # noqa: B904  # the same error

    def receipts(self, requests: Iterable[ReceiptRequest]) -> Returned:
        """See Packages.return_receipts."""
        identity = self._service.identity
        sent: list[bytes] = []
        withheld: list[tuple[bytes, str]] = []
        for request in requests:
            if not request.wanted:
                continue
            reason = "there is no certificate whose key could sign it" if identity is None else None
            if identity is not None and not request.asks(identity.chain[0].subject.public_bytes()):
                reason = "receipts are asked of others"
            if request.encrypt:
                reason = reason or "it is to be encrypted, and nobody says to whom"  # AMB-23
            if reason is None and identity is not None:
                content = key_package_receipt(request.package_id, identity.chain[0].subject.public_bytes())
                self._post(content, KEY_PACKAGE_RECEIPT)
                sent.append(request.package_id)
            else:
                withheld.append((request.package_id, reason or ""))
        return Returned(tuple(sent), tuple(withheld))

    def report(self, fault: PackageFault, package_ids: Sequence[bytes] = ()) -> bool:
        """Tell the server why a package was not taken; False if it cannot be told: the package's own error comes first."""
        identity = self._service.identity
        if identity is None:
            return False
        name = identity.chain[0].subject.public_bytes()
        with suppress(DeviceSdkError):
            for package_id in package_ids or (None,):
                self._post(key_package_error(package_id, name, fault), KEY_PACKAGE_ERROR)
            return True
        return False

    def _post(self, content: bytes, content_type: str) -> None:
        identity, now = self._service.identity, self._service.clock.now()
        if identity is None:
            raise ConfigurationError("a receipt needs a certificate and its key", hint="give the TLS identity")
        message = signed_return(content, content_type, identity, now)
        request = return_request(self._usual, message, content_type)
        check_returned(self._service.exchanges.send(request, self._patience), now)

    def _path_problem(self, policy: KeyPackagePolicy) -> PathProblem:
        lists = check_crls(
            policy.revocation_lists, anchors=policy.anchors, intermediates=(), now=self._service.clock.now()
        )
        for issuer, reason in lists.rejected:
            raise VerificationError(f"the revocation list of {issuer}: {reason}", hint="fetch it again (est crls)")

        return lambda path: revocation_problem(path, (one.crl for one in lists.accepted))


def _package(peeled: PeeledPackage, keys: tuple[SymmetricKey, ...], response: HttpResponse) -> KeyPackage:
    encrypted = any(one.kind == "encrypted" for one in peeled.layers)
    cipher = response.connection.cipher
    longest = max(len(one.value.reveal()) for one in keys)
    if not encrypted and "128" in cipher and longest > 16:  # G-04
        raise KeyPackageRefusedError(
            f"a key of {8 * longest} bits came over {cipher}, which is weaker, and nothing else protects it",
            fault=PackageFault.CONSTRAINT_VIOLATION,
        )
    return KeyPackage(keys, peeled.signers, encrypted, peeled.requests)
