"""The body of an enrolment, made on the connection that carries it (EST-96)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from cryptography import x509

from device_sdk.errors import CsrAttributesError, LocalProtocolError
from device_sdk.model.compatibility import STANDARD, BindingMode, Compatibility
from device_sdk.model.csr import Asked, CsrSpec, NewName
from device_sdk.model.http import ConnectionFacts
from device_sdk.model.keys import PrivateKey
from device_sdk.protocols.est.binding import channel_binding
from device_sdk.wire.csr import build_csr
from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.transfer import encode_body

CsrCheck: TypeAlias = Callable[[x509.CertificateSigningRequest], None]


class CsrBody:
    """A BodyBuilder. The same CSR is sent again as long as the binding is the same.

    That spares the token a signature when a 401 is answered, and servers that know a pending request by its bytes
    recognise it. On a new connection the binding differs, and the CSR is made and signed anew (EST-30, EST-164); unless
    the server has answered 202 to it and the policy is to repeat it as it is.

    Args:
        key: signs the request; the key to be certified.
        spec: what to ask for.
        wishes: what the server asked for by /csrattrs, or None.
        check: looks at each CSR before it is sent, and raises if it must not be.
        compatibility: what to bind to, and what to send again after a 202.
        pending: DER of a request of an earlier run that was answered by 202; sent as it is if that is the policy and it is
            for this key.
        url: the endpoint, for messages.
    """

    def __init__(
        self,
        key: PrivateKey,
        spec: CsrSpec,
        wishes: CsrAttributes | None,
        *,
        check: CsrCheck | None = None,
        compatibility: Compatibility = STANDARD,
        pending: bytes | None = None,
        url: str | None = None,
    ) -> None:
        self._url, self._at = url, f"{url}: " if url else ""
        self._key = key
        self._values = spec.values
        self._missing: dict[Asked, None] = {}
        # A new connection needs a new request, and asks nobody twice.
        self._spec = replace(spec, values=functools.cache(self._value))
        self._wishes = wishes
        self._check = check
        self._compatibility = compatibility
        self._frozen = compatibility.after_202 == "same-csr" and pending is not None and _is_for(pending, key)
        self._der = pending if self._frozen else None
        self._binding: str | None = None

    @property
    def bound(self) -> bool:
        """Whether the last CSR was bound to its connection."""
        return self._der is not None and self._binding is not None

    @property
    def csr(self) -> x509.CertificateSigningRequest:
        """The CSR that was sent last."""
        if self._der is None:
            raise LocalProtocolError("no certificate request was made yet")
        return x509.load_der_x509_csr(self._der)

    @property
    def left_out(self) -> tuple[Asked, ...]:
        """What the server asked for and nobody had a value for."""
        return tuple(self._missing)

    @property
    def chosen_binding(self) -> BindingMode | None:
        """What the request is bound to, if somebody chose it; None for the client's own choice."""
        mode = self._compatibility.binding
        return None if mode == "auto" else mode

    @property
    def has_otp(self) -> bool:
        """Whether somebody gave a one-time password."""
        return self._spec.otp_challenge is not None

    @property
    def pending(self) -> bytes | None:
        """DER of the request that has to be repeated as it is; None while there is none."""
        return self._der if self._frozen else None

    @property
    def new_name(self) -> NewName | None:
        """What the request asks the server to call the device from now on; None for its own subject and SAN."""
        return self._spec.new_name

    def accepted(self) -> None:
        """The server answered 202: from now on the policy for that holds."""
        self._frozen = self._compatibility.after_202 == "same-csr"

    def __call__(self, facts: ConnectionFacts) -> bytes:
        """The encoded CSR for a connection.

        Raises:
            CsrAttributesError: what the server wants cannot be met, or contradicts what was asked for.
            LocalProtocolError: the server wants a binding and this connection has none (EST-92), or not the one chosen.
            KeyStoreError: the key could not sign.
        """
        if self._frozen and self._der is not None:
            return encode_body(self._der)
        mode = self._compatibility.binding
        try:
            binding = channel_binding(facts, mode)
        except LocalProtocolError as error:
            raise LocalProtocolError(f"{self._at}{error.message}", hint=error.hint) from error
        if binding is None and self._wishes is not None and self._wishes.wants_binding:
            why = (
                "the client is told to bind to nothing"
                if mode == "none"
                else f"{facts.tls_version} gives no value for it here"
            )
            raise LocalProtocolError(
                f"{self._at}the server wants the request bound to the connection, and {why}",
                hint="choose a binding (--binding auto)"
                if mode == "none"
                else "limit the connection to TLS 1.2 (--tls-max 1.2)",
            )
        if self._der is None or binding != self._binding:
            der = self._build(binding)
            if self._check:
                self._check(x509.load_der_x509_csr(der))
            self._der, self._binding = der, binding
        return encode_body(self._der)

    def _value(self, asked: Asked) -> bytes | str | None:
        value = self._values(asked) if self._values else None
        if value is None:
            self._missing[asked] = None
        return value

    def _build(self, binding: str | None) -> bytes:
        try:
            return build_csr(self._spec, self._key, wishes=self._wishes, challenge_password=binding)
        except CsrAttributesError as error:
            raise error.at(self._url) if self._url else error  # noqa: B904  # the same error


def _is_for(request: bytes, key: PrivateKey) -> bool:
    try:
        return x509.load_der_x509_csr(request).public_key() == key.public_key()
    except ValueError:
        return False
