"""What Full CMC says (RFC 5272 section 6.1)."""

from __future__ import annotations

from device_sdk.errors.protocol import EnrolmentPendingError, HttpStatusError
from device_sdk.errors.verification import VerificationError


class CmcRefusedError(HttpStatusError):
    """A CMC answer, signed by somebody who may, that says no (RFC 5272 section 6.1).

    Raised itself for the reasons that have no class of their own: badMessageCheck, badRequest, badCertId,
    mustArchiveKeys, noKeyReuse, and private ones. `cmc_status` and `fail_info` are the RFC's words ("failed",
    "badRequest") or numbers, `body_parts` what of the request they are about (0 is the whole), `transaction_id` the
    number both sides know it by.
    """

    code = "cmc-refused"
    cmc_status: str | None = None
    fail_info: str | None = None
    body_parts: tuple[int, ...] | None = None
    transaction_id: str | None = None


class CmcIdentityError(CmcRefusedError):
    """badIdentity, authDataFail: the shared secret, its name or the certificate that signed does not count."""

    code = "cmc-identity"


class CmcPopError(CmcRefusedError):
    """popRequired, popFailed: possession of the key, or its link to this connection, was not proved."""

    code = "cmc-pop"


class CmcTimeError(CmcRefusedError):
    """badTime: the signing time is too far from the server's clock."""

    code = "cmc-time"


class CmcUnsupportedError(CmcRefusedError):
    """noSupport, badAlg, unsupportedExt: the server cannot do what was asked."""

    code = "cmc-unsupported"


class CmcUnavailableError(CmcRefusedError):
    """tryLater, internalCAError: not now."""

    code = "cmc-unavailable"


class CmcPendingError(EnrolmentPendingError):
    """Pending or partial (RFC 5272 section 6.13); `pending` is what a query needs, as text that fits JSON and holds no secret."""

    pending: dict[str, str] | None = None


class CmcUntrustedError(VerificationError):
    """A CMC answer that cannot be believed; `reason` is "unsigned", "signature", "nonce", "transaction" or "anchors"."""

    code = "cmc-untrusted"
    reason: str | None = None
