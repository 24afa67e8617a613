"""A Full CMC transaction whose messages are carried by hand: what has to be kept between them (RFC 5272 section 6.6)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.errors import ConfigurationError
from device_sdk.protocols.est.full_cmc import Sent


@dataclass(frozen=True)
class CarriedTransaction:
    """One transaction: a message that waits for its answer, or what the next message is made of.

    It is what a PendingRequest is, and goes on from one: over the network or by hand.

    Attributes:
        transaction_id: of all its messages.
        csr: the PKCS#10 request as it was sent, DER; None for a revocation.
        request: the message that waits for its answer, base64 text, or None. A revocation by shared secret has that in
            it; nothing else here is secret.
        sender_nonce: of that message, or None.
        server_nonce: the server's latest senderNonce, or None.
        token: the server's pendToken, or None.
        issued: the certificate, with its chain, that the server wants to be confirmed; empty if there is none.
        revokes: SHA-256 of the certificate to revoke, hex, or None.
        renews: the certificate that is to be replaced, or None; no answer to the request.
    """

    transaction_id: int
    csr: bytes | None = field(default=None, repr=False)
    request: bytes | None = field(default=None, repr=False)
    sender_nonce: bytes | None = field(default=None, repr=False)
    server_nonce: bytes | None = field(default=None, repr=False)
    token: bytes | None = field(default=None, repr=False)
    issued: tuple[x509.Certificate, ...] = ()
    revokes: str | None = None
    renews: x509.Certificate | None = None

    @property
    def sent(self) -> Sent:
        """What the answer has to repeat.

        Raises:
            ConfigurationError: no message waits for one.
        """
        if self.sender_nonce is None or self.request is None:
            raise ConfigurationError(
                "no request of this transaction waits for an answer", hint="make the next one first"
            )
        return Sent(self.transaction_id, self.sender_nonce)

    def to_json(self) -> dict[str, str]:
        """The same as text, to be kept in a file until the answer is there."""
        known = {
            "pend_token": _hex(self.token),
            "transaction_id": f"{self.transaction_id:x}",
            "csr": base64.b64encode(self.csr).decode() if self.csr is not None else None,
            "server_nonce": _hex(self.server_nonce),
            "sender_nonce": _hex(self.sender_nonce),
            "request": self.request.decode("ascii") if self.request is not None else None,
            "issued": _pem(self.issued) or None,
            "revokes": self.revokes,
            "renews": _pem((self.renews,)) if self.renews is not None else None,
        }
        return {name: value for name, value in known.items() if value is not None}

    @classmethod
    def from_json(cls, kept: Mapping[str, object]) -> CarriedTransaction:
        """Read what `to_json` of this class or of PendingRequest wrote.

        Raises:
            ConfigurationError: it is something else.
        """
        try:
            texts = {name: value for name, value in kept.items() if isinstance(value, str)}
            csr = texts.get("csr")
            der = base64.b64decode(csr, validate=True) if csr is not None else None
            if der is not None:
                x509.load_der_x509_csr(der)
            elif "revokes" not in texts:
                raise ValueError("neither a request nor a revocation")
            request, issued, renews = texts.get("request"), texts.get("issued"), texts.get("renews")
            return cls(
                int(texts["transaction_id"], 16),
                der,
                request.encode("ascii") if request is not None else None,
                _bytes(texts.get("sender_nonce")),
                _bytes(texts.get("server_nonce")),
                _bytes(texts.get("pend_token")),
                tuple(x509.load_pem_x509_certificates(issued.encode("ascii"))) if issued else (),
                texts.get("revokes"),
                x509.load_pem_x509_certificate(renews.encode("ascii")) if renews is not None else None,
            )
        except (KeyError, ValueError, binascii.Error) as error:
            raise ConfigurationError("this is not what a CMC transaction left behind") from error


def _pem(certificates: Iterable[x509.Certificate]) -> str:
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in certificates)


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)
