"""Which packages of keys a client takes (RFC 8295 sections 5.1.2 and 8.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from device_sdk.protocols.crls import inputs_with
from device_sdk.protocols.key_packages.layers import PackageRules
from device_sdk.wire.cms.enveloping import require_recipient
from device_sdk.wire.content_constraints import ConstraintsMode
from device_sdk.wire.key_packages.symmetric import SYMMETRIC_KEY_PACKAGE


@dataclass(frozen=True)
class KeyPackagePolicy:
    """Which packages of keys are taken.

    Attributes:
        anchors: who may vouch for those who sign packages. The anchors of the EST service are not: every device below them
            could sign (AMB-20).
        require_signature: refuse a package that nobody signed; a signature that is there always has to be good (K-05, K-06).
        require_encryption: refuse a package that nothing but TLS protects.
        require_addressed: refuse a package that is signed inside its encryption only: whoever had it could have encrypted the
            signed part again, for this device. Symmetric keys that are bound to one of `device_bindings` are taken all the same.
        constraints: CMS content constraints in certificates of signers: "required", "if-present" or "off" (AMB-19).
        device_bindings: identifiers by which keys may be bound to this device; a key bound to another is refused (K-11).
        revocation_lists: lists that are held; those of CAs that have nothing to do with `anchors` mean nothing.
        receipt_recipient: to whom receipts and errors are encrypted where a package asks for that; without it such a
            receipt is not sent (KR-08, AMB-23).
        list_issuers: CA certificates that the lists lead through, where other keys signed them than those of the path.

    Raises:
        ConfigurationError: `receipt_recipient` is not for encryption.
    """

    anchors: Sequence[x509.Certificate]
    require_signature: bool = True
    require_encryption: bool = True
    require_addressed: bool = True
    constraints: ConstraintsMode = "if-present"
    device_bindings: Sequence[str] = ()
    revocation_lists: Iterable[x509.CertificateRevocationList] = ()
    receipt_recipient: x509.Certificate | None = None
    list_issuers: Sequence[x509.Certificate] = ()

    def __post_init__(self) -> None:
        if self.receipt_recipient is not None:
            require_recipient(self.receipt_recipient)

    def rules(self, now: datetime, content_type: str = SYMMETRIC_KEY_PACKAGE) -> PackageRules:
        """What a package is held to.

        Args:
            now: the present.
            content_type: of the package, dotted.

        Raises:
            VerificationError: a revocation list of one of the anchors must not be used.
        """
        return PackageRules(
            self.anchors,
            now,
            require_signature=self.require_signature,
            require_encryption=self.require_encryption,
            require_addressed=self.require_addressed,
            constraints=self.constraints,
            inputs=inputs_with(self.revocation_lists, anchors=self.anchors, now=now, issuers=self.list_issuers),
            content_type=content_type,
        )
