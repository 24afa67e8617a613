"""Symmetric keys from the server, and what goes back to it (RFC 8295 section 5)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cryptography import x509

from device_sdk.client.est.full_cmc_transaction import Service
from device_sdk.client.est.key_package_policy import KeyPackagePolicy
from device_sdk.client.est.key_returns import KeyReturns, Returned
from device_sdk.client.est.patience import Patience
from device_sdk.errors import ConfigurationError, KeyPackageRefusedError, KeyPackageUntrustedError, WireError
from device_sdk.model.http import HttpResponse
from device_sdk.model.symmetric_keys import SymmetricKey
from device_sdk.model.wiping import Passing, sweeping
from device_sdk.protocols.est.urls import Operation
from device_sdk.protocols.symmetric_keys import KeyRules, PackageRules, Trace, peel, usable_keys
from device_sdk.protocols.symmetric_keys.exchange import read_symmetric_keys, symmetric_keys_request
from device_sdk.protocols.symmetric_keys.layers import PeeledPackage
from device_sdk.wire.cms.recipients import OpeningKey
from device_sdk.wire.key_packages.error_codes import PackageFault
from device_sdk.wire.key_packages.receipts import ReceiptRequest

__all__ = ["KeyPackage", "KeyPackagePolicy", "Returned", "SymmetricKeyService"]

_REFUSALS = (KeyPackageRefusedError, KeyPackageUntrustedError, WireError)


@dataclass(frozen=True)
class KeyPackage:
    """Keys of one package, ready to be stored.

    Attributes:
        keys: all of them.
        signers: certificates of those who signed, outermost first.
        encrypted: whether something beyond TLS protected it.
        requests: the identifiers of the package, and whether receipts are wanted.
        digest: SHA-256 of the package as it came, hex.
        identity: SHA-256 of what was signed, hex: the same package in other octets has the same.
    """

    keys: tuple[SymmetricKey, ...]
    signers: tuple[x509.Certificate, ...]
    encrypted: bool
    requests: tuple[ReceiptRequest, ...] = ()
    digest: str = ""
    identity: str = ""

    def wipe(self) -> None:
        """Overwrite the keys with zeros, when they are where they are to be; nothing else of the package is in memory then."""
        for one in self.keys:
            one.value.wipe()


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
        self,
        policy: KeyPackagePolicy,
        decrypt: OpeningKey | Sequence[OpeningKey] | None,
        *,
        report: bool,
        wanted: Callable[[bytes], bool] | None = None,
    ) -> KeyPackage | None:
        """See Packages.symmetric_keys."""
        rules = policy.rules(self._service.clock.now())
        with sweeping() as section:
            # in a call of its own, so that whatever it holds is freed when the section ends
            return self._fetched(rules, policy, decrypt, section, report=report, wanted=wanted)

    def _fetched(
        self,
        rules: PackageRules,
        policy: KeyPackagePolicy,
        decrypt: OpeningKey | Sequence[OpeningKey] | None,
        section: Passing,
        *,
        report: bool,
        wanted: Callable[[bytes], bool] | None,
    ) -> KeyPackage | None:
        request = symmetric_keys_request(self._target)
        response = self._service.exchanges.send(request, self._patience, may_pend=True)
        now = self._service.clock.now()
        message = read_symmetric_keys(response, now)
        if message is None:
            return None
        digest = hashlib.sha256(message)
        if wanted and not wanted(digest.digest()):
            return None
        section.keep(message)  # of the transport
        identity = self._service.identity
        keys = decrypt if decrypt is not None else identity.key if identity else ()
        rules, trace = replace(rules, now=now), Trace()
        try:
            peeled = peel(message, rules, keys, trace=trace)
            trace.fault = PackageFault.BAD_ATTRIBUTES
            bound = peeled.needs_binding(rules)
            found = usable_keys(peeled.package, KeyRules(now, policy.device_bindings, require_binding=bound))
            package = replace(_package(peeled, found, response), digest=digest.hexdigest())
        except _REFUSALS as error:
            if report:
                to = policy.receipt_recipient
                KeyReturns(self._service, self._patience, Operation.SYMMETRIC_KEYS, to).refused(error, trace)
            raise error.at(response.url)  # noqa: B904  # the same error
        for one in package.keys:
            section.keep(one.value.reveal())
        return package


def _package(peeled: PeeledPackage, keys: tuple[SymmetricKey, ...], response: HttpResponse) -> KeyPackage:
    cipher = response.connection.cipher
    longest = max(len(one.value.reveal()) for one in keys)
    if not peeled.encrypted and "128" in cipher and longest > 16:  # G-04
        raise KeyPackageRefusedError(
            f"a key of {8 * longest} bits came over {cipher}, which is weaker, and nothing else protects it",
            fault=PackageFault.CONSTRAINT_VIOLATION,
        )
    return KeyPackage(keys, peeled.signers, peeled.encrypted, peeled.requests, identity=peeled.identity)
