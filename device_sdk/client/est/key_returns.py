"""Receipts and errors for packages of keys, symmetric or asymmetric (RFC 8295 sections 5.2 and 8.2, RFC 7191)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from cryptography import x509

from device_sdk.client.est.full_cmc_transaction import Service
from device_sdk.client.est.patience import Patience
from device_sdk.client.est.returns import ReturnMessage, give_back
from device_sdk.errors import ConfigurationError, DeviceSdkError
from device_sdk.protocols.est.returns import return_path
from device_sdk.protocols.est.urls import Operation
from device_sdk.protocols.key_packages.layers import Trace
from device_sdk.protocols.key_packages.returning import encrypted_return, return_media_type, signed_return
from device_sdk.wire.key_packages.error_codes import PackageFault
from device_sdk.wire.key_packages.receipts import (
    KEY_PACKAGE_ERROR,
    KEY_PACKAGE_RECEIPT,
    ReceiptRequest,
    key_package_error,
    key_package_receipt,
)


@dataclass(frozen=True)
class Returned:
    """What became of the receipts of a package.

    Attributes:
        sent: identifiers of the package for which the server took a receipt.
        withheld: identifiers for which none was sent although one was asked for, and why.
    """

    sent: tuple[bytes, ...] = ()
    withheld: tuple[tuple[bytes, str], ...] = field(default=())


class KeyReturns:
    """What goes back to one EST service for the packages of one of its operations.

    Args:
        service: the EST service.
        patience: how long to wait.
        operation: the one that gave the package.
        recipient: to whom is encrypted what is to be encrypted.
    """

    def __init__(
        self,
        service: Service,
        patience: Patience,
        operation: Operation,
        recipient: x509.Certificate | None = None,
    ) -> None:
        self._service, self._patience, self._operation = service, patience, operation
        self._recipient = recipient

    def receipts(self, requests: Iterable[ReceiptRequest], event: str = "") -> Returned:
        """One receipt for each request that concerns us; see Packages.return_receipts.

        Who keeps messages gets those, too, that nobody asked for in the package: a list may (KR-06).
        """
        identity = self._service.identity
        sent: list[bytes] = []
        withheld: list[tuple[bytes, str]] = []
        for request in requests:
            if not request.wanted:
                self._unasked(request, event)
                continue
            reason = "there is no certificate whose key could sign it" if identity is None else None
            if identity is not None and not request.asks(identity.chain[0].subject.public_bytes()):
                reason = "receipts are asked of others"
            if request.encrypt and self._recipient is None:
                reason = reason or "it is to be encrypted, and nobody says to whom"  # AMB-23
            if reason is None and identity is not None:
                content = key_package_receipt(request.package_id, identity.chain[0].subject.public_bytes())
                about = f"receipt for package {request.package_id.hex()[:64]}"
                self._post(content, KEY_PACKAGE_RECEIPT, about, event, encrypt=request.encrypt)
                sent.append(request.package_id)
            else:
                withheld.append((request.package_id, reason or ""))
        return Returned(tuple(sent), tuple(withheld))

    def refused(self, error: DeviceSdkError, trace: Trace) -> bool:
        """Tell the server that a package was not taken, as far as that may be told (S-03); see `report`.

        Args:
            error: why.
            trace: how far it was read.
        """
        fault = getattr(error, "fault", None)
        trace.fault = PackageFault(fault) if fault is not None else trace.fault
        return self.report(trace.told, trace.requests)

    def report(self, fault: PackageFault, requests: Sequence[ReceiptRequest] = ()) -> bool:
        """Tell the server why a package was not taken; False if it cannot be told: the package's own error comes first.

        Encrypted where the package asks for that and there is somebody to encrypt to; RFC 7191 asks it of receipts only, so
        an error that cannot be encrypted is sent all the same.
        """
        identity = self._service.identity
        if identity is None:
            return False
        name = identity.chain[0].subject.public_bytes()
        with suppress(DeviceSdkError):
            for request in requests or (None,):
                package_id = request.package_id if request else None
                encrypt = request is not None and request.encrypt
                about = f"error {int(fault)} about package {package_id.hex()[:64] if package_id else 'without a readable name'}"
                self._post(key_package_error(package_id, name, fault), KEY_PACKAGE_ERROR, about, encrypt=encrypt)
            return True
        return False

    def _unasked(self, request: ReceiptRequest, event: str) -> None:
        identity = self._service.identity
        if self._service.returns is not None and identity is not None:
            content = key_package_receipt(request.package_id, identity.chain[0].subject.public_bytes())
            about = f"receipt for package {request.package_id.hex()[:64]}"
            self._post(content, KEY_PACKAGE_RECEIPT, about, event, asked=False)

    def _post(
        self,
        content: bytes,
        content_type: str,
        about: str,
        event: str = "",
        *,
        asked: bool = True,
        encrypt: bool = False,
    ) -> None:
        identity, now = self._service.identity, self._service.clock.now()
        if identity is None:
            raise ConfigurationError("a receipt needs a certificate and its key", hint="give the TLS identity")
        message = signed_return(content, content_type, identity, now)
        recipient = self._recipient if encrypt else None
        message = encrypted_return(message, recipient) if recipient is not None else message
        path = return_path(self._operation)
        media_type = return_media_type(content_type, encrypted=recipient is not None)
        give_back(self._service, ReturnMessage(path, media_type, message, about, event, asked), self._patience)
