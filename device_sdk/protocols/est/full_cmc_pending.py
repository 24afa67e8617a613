"""A CMC request the CA has not decided yet: what has to be kept to ask again (RFC 5272 section 6.13)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from device_sdk.errors import CmcPendingError, ConfigurationError
from device_sdk.protocols.est.server_text import printable
from device_sdk.wire.cmc.status import StatusInfo

MIN_WAIT_S = 1.0
MAX_WAIT_S = 24 * 3600.0
DEFAULT_WAIT_S = 60.0


@dataclass(frozen=True)
class PendingRequest:
    """What names a request that waits, and what its certificate will be checked against.

    Attributes:
        token: the server's pendToken.
        transaction_id: of the first request; all later ones repeat it.
        csr: the PKCS#10 request as it was sent, DER.
        server_nonce: the server's latest senderNonce, or None.
    """

    token: bytes = field(repr=False)
    transaction_id: int
    csr: bytes = field(repr=False)
    server_nonce: bytes | None = field(default=None, repr=False)

    def to_json(self) -> dict[str, str]:
        """The same as text, to be kept in a file until the next query."""
        kept = {"pend_token": self.token.hex(), "transaction_id": f"{self.transaction_id:x}"}
        kept["csr"] = base64.b64encode(self.csr).decode()
        return kept | ({"server_nonce": self.server_nonce.hex()} if self.server_nonce is not None else {})

    @classmethod
    def from_json(cls, kept: Mapping[str, object]) -> PendingRequest:
        """Read what `to_json` wrote.

        Raises:
            ConfigurationError: it is something else.
        """
        try:
            nonce = kept.get("server_nonce")
            csr = base64.b64decode(str(kept["csr"]), validate=True)
            x509.load_der_x509_csr(csr)
            return cls(
                bytes.fromhex(str(kept["pend_token"])),
                int(str(kept["transaction_id"]), 16),
                csr,
                bytes.fromhex(str(nonce)) if nonce is not None else None,
            )
        except (KeyError, ValueError, binascii.Error) as error:
            raise ConfigurationError("this is not what a pending CMC request left behind") from error


def wait_of(info: StatusInfo, now: datetime) -> float:
    """Seconds until the server wants to be asked again, between one and a day; a minute if it does not say."""
    if info.pend_time is None:
        return DEFAULT_WAIT_S
    return min(max((info.pend_time - now).total_seconds(), MIN_WAIT_S), MAX_WAIT_S)


def undecided(url: str, info: StatusInfo, pending: dict[str, str], wait_s: float) -> CmcPendingError:
    """The exception that carries a pending request, as its `to_json` gives it, to the caller."""
    said = f" ({printable(info.text)})" if info.text else ""
    return CmcPendingError(
        f"{url}: the request was accepted and is not decided yet{said}",
        hint=f"ask again in {wait_s:.0f} s",
        url=url,
        retry_after_s=wait_s,
        pending=pending,
    )
