"""Every exception of the SDK. Messages say what failed, on which endpoint or key, and what to do.

DeviceSdkError
  ConfigurationError                   an option, a file or a combination the caller gave
    UriError                           a key URI that does not follow its grammar
    MissingDependencyError             an extra that is not installed
  WireError                            bytes that are not what their standard says
    EnvelopeError                      a CMS message that cannot be opened; one text for every reason
  LocalProtocolError                   the caller asked for something the protocol forbids
  RemoteProtocolError                  the peer broke the protocol
    HttpStatusError                    a status that means "no"
      AuthenticationRequiredError      401, no or wrong credentials
      CmcRefusedError                  a signed CMC answer that says no; its subclasses say why
        CmcIdentityError, CmcPopError, CmcTimeError, CmcUnsupportedError, CmcUnavailableError
    RedirectRefusedError               a redirect that must not be followed
    CertificateMismatchError           an issued certificate that is not the one asked for
    ServerKeyError                     a generated key, or its protection, that is not what was asked for
    CsrAttributesError                 /csrattrs contradicts itself, goes below policy, or asks for the impossible
  EnrolmentPendingError                202: accepted, not issued yet
    CmcPendingError                    the same said by CMC; carries what a later query needs
  TransportError                       no connection, or it broke
    TransportTimeoutError
    ProxyRefusedError
    TruncatedResponseError
    ResponseTooLargeError
    TlsError                           the handshake failed for a reason other than the server's identity
    TlsKeyUnavailableError             this Python's TLS library cannot be given a hardware key
    SrpUnavailableError                this Python's TLS library has no SRP
  VerificationError                    checked and found bad
    ServerNotTrustedError              no path to a trust anchor, expired, or not yet valid
    ServerNotAuthorizedError           a trusted certificate, but neither the name nor id-kp-cmcRA fits
    FingerprintMismatchError           no CA certificate with the pinned fingerprint
    CmcUntrustedError                  a CMC answer that nobody trusted signed, or that answers something else
    SharedSecretError                  certificate-less TLS: the two sides do not know the same password
  KeyStoreError                        a token, a TPM or a key file
    TokenNotFoundError, TokenAmbiguousError, TokenRemovedError
    KeyNotFoundError, KeyAmbiguousError, KeyExistsError
    PinRequiredError, PinIncorrectError, PinLockedError, PinRefusedError
    ExtractableKeyError                a key that failed the non-extractable check
    NotExtractableError                somebody asked for the private key's value
    MechanismUnsupportedError          this token or TPM cannot do it
    KeyStoreBusyError                  resources or locks that did not come free in time
    KeyStoreFailedError                the token or TPM answered with a code of its own
    StoreCorruptError                  an object or a file that cannot be read
    KeyMaterialError                   a private key given for import that cannot be used
  StateError                           the state directory
    StateBusyError, StateCorruptError, StateNotWritableError
  ClockError                           this machine's clock cannot be right
  NotForUsError                        CALE: an answer that this key does not open (revoked, unknown, or a decoy)

Facts are attributes, declared with their defaults in each class; `facts()` gives them as data for `--json`.
"""

from __future__ import annotations

from typing import ClassVar, Self


class DeviceSdkError(Exception):
    """Root of all errors of the SDK.

    Attributes:
        code: stable machine-readable name of the kind of error.
        exit_code: what the command line exits with (docs/operations.md).
        hint: what the person on the bench can do about it, or None.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 255
    hint: str | None = None

    def __init__(self, message: str, *, hint: str | None = None, **facts: object) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint
        declared = self._declared()
        for name, value in facts.items():
            if name not in declared:
                raise TypeError(f"{type(self).__name__} has no fact {name!r}")
            setattr(self, name, value)

    @classmethod
    def _declared(cls) -> set[str]:
        names = {name for base in cls.__mro__ for name in getattr(base, "__annotations__", {})}
        return names - {"code", "exit_code", "hint"}

    @property
    def message(self) -> str:
        """What failed, without the hint."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def at(self, url: str) -> Self:
        """This error, naming its endpoint if it came without."""
        if getattr(self, "url", url) is None:
            vars(self)["url"] = url
            self.args = (f"{url}: {self.message}", *self.args[1:])
        return self

    def facts(self) -> dict[str, object]:
        """The error as data: code, message, hint and every fact that is set."""
        values = {name: getattr(self, name, None) for name in sorted(self._declared())}
        return {"code": self.code, "message": self.message, "hint": self.hint} | {
            name: value for name, value in values.items() if value is not None
        }


class ConfigurationError(DeviceSdkError):
    """An option, a file or a combination of them that cannot work."""

    code = "configuration"
    exit_code = 2


class UriError(ConfigurationError):
    """A key URI that does not follow its grammar; `uri` is redacted."""

    code = "bad-uri"
    uri: str | None = None


class MissingDependencyError(ConfigurationError):
    """An optional part of the SDK is not installed; `extra` names it."""

    code = "missing-dependency"
    extra: str | None = None


class WireError(DeviceSdkError):
    """Bytes that are not what their standard says; `what` names the structure."""

    code = "malformed"
    exit_code = 7
    what: str | None = None


class EnvelopeError(WireError):
    """A CMS message that cannot be opened. One message for every reason: anything more would be an oracle."""

    code = "cannot-decrypt"
    exit_code = 10


class LocalProtocolError(DeviceSdkError):
    """The caller asked for something the protocol forbids."""

    code = "local-protocol"
    exit_code = 2


class RemoteProtocolError(DeviceSdkError):
    """The peer broke the protocol; `url` is the endpoint, `status_code` what it answered."""

    code = "remote-protocol"
    exit_code = 7
    url: str | None = None
    status_code: int | None = None


class HttpStatusError(RemoteProtocolError):
    """The server refused; `server_text` is what it said (bounded, printable), `retry_after_s` when it asked to wait."""

    code = "http-status"
    server_text: str | None = None
    retry_after_s: float | None = None


class AuthenticationRequiredError(HttpStatusError):
    """401: no credentials, or they were refused; `schemes` are the ones offered."""

    code = "authentication-required"
    schemes: tuple[str, ...] | None = None


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


class RedirectRefusedError(RemoteProtocolError):
    """A redirect that must not be followed; `location` is where it pointed."""

    code = "redirect-refused"
    location: str | None = None


class CertificateMismatchError(RemoteProtocolError):
    """The issued certificate is not one for the key or the trust anchors of this request."""

    code = "certificate-mismatch"


class ServerKeyError(RemoteProtocolError):
    """A key the server generated, or the way it is protected, is not what was asked for; the key was not kept."""

    code = "server-key"


class CsrAttributesError(RemoteProtocolError):
    """What /csrattrs asks for contradicts itself, is below the local policy, or cannot be made; `asked` are its words."""

    code = "csr-attributes"
    asked: tuple[str, ...] | None = None


class EnrolmentPendingError(DeviceSdkError):
    """202: the request was accepted and is not decided; ask again after `retry_after_s` seconds."""

    code = "pending"
    exit_code = 8
    url: str | None = None
    retry_after_s: float | None = None


class CmcPendingError(EnrolmentPendingError):
    """Pending or partial (RFC 5272 section 6.13); `pending` is what a query needs, as text that fits JSON and holds no secret."""

    pending: dict[str, str] | None = None


class TransportError(DeviceSdkError):
    """No connection, or it broke; `url` is the endpoint; `request_sent` is False if nothing of the request was sent."""

    code = "transport"
    exit_code = 5
    url: str | None = None
    request_sent: bool | None = None


class TransportTimeoutError(TransportError):
    """Nothing came in time; `timeout_s` is the limit that was reached."""

    code = "timeout"
    timeout_s: float | None = None


class ProxyRefusedError(TransportError):
    """The proxy opened no tunnel; `proxy` is its address, `status_code` what it answered (407: it wants a password)."""

    code = "proxy-refused"
    proxy: str | None = None
    status_code: int | None = None


class TruncatedResponseError(TransportError):
    """The response ended before it was complete."""

    code = "truncated"


class ResponseTooLargeError(TransportError):
    """The response is larger than `limit_bytes`."""

    code = "too-large"
    limit_bytes: int | None = None


class TlsError(TransportError):
    """The handshake failed for a reason other than the server's identity."""

    code = "tls"


class TlsKeyUnavailableError(TlsError):
    """This Python's TLS library cannot be given a hardware key."""

    code = "tls-key-unavailable"


class SrpUnavailableError(TlsError):
    """This Python's TLS library has no certificate-less TLS (SRP), or does not let it be reached."""

    code = "srp-unavailable"


class VerificationError(DeviceSdkError):
    """Checked and found bad; `url` is the endpoint where there is one."""

    code = "verification"
    exit_code = 6
    url: str | None = None


class ServerNotTrustedError(VerificationError):
    """The server's certificate has no valid path to a trust anchor; `reason` is the TLS library's word for it."""

    code = "server-not-trusted"
    reason: str | None = None


class ServerNotAuthorizedError(VerificationError):
    """A trusted certificate, but neither the name fits the URL nor may id-kp-cmcRA stand in for it."""

    code = "server-not-authorized"
    names: tuple[str, ...] | None = None


class FingerprintMismatchError(VerificationError):
    """No CA certificate the server showed has a pinned fingerprint; `seen` are the SHA-256 values it showed."""

    code = "fingerprint-mismatch"
    seen: tuple[str, ...] | None = None


class SharedSecretError(VerificationError):
    """Certificate-less TLS failed: this side or the server does not know `user`'s password; which one cannot be told."""

    code = "shared-secret"
    user: str | None = None


class CmcUntrustedError(VerificationError):
    """A CMC answer that cannot be believed; `reason` is "unsigned", "signature", "nonce", "transaction" or "anchors"."""

    code = "cmc-untrusted"
    reason: str | None = None


class KeyStoreError(DeviceSdkError):
    """A token, a TPM or a key file. `uri` is redacted; `return_code` is the module's or TPM's own number."""

    code = "keystore"
    exit_code = 3
    uri: str | None = None
    return_code: int | None = None


class TokenNotFoundError(KeyStoreError):
    """No token, TPM or module fits the URI; `candidates` are those present."""

    code = "token-not-found"
    candidates: tuple[str, ...] | None = None


class TokenAmbiguousError(TokenNotFoundError):
    """Several tokens fit the URI; `candidates` tells them apart."""

    code = "token-ambiguous"


class TokenRemovedError(KeyStoreError):
    """The token or TPM went away and did not come back."""

    code = "token-removed"


class KeyNotFoundError(KeyStoreError):
    """No key fits the URI; `candidates` are those there."""

    code = "key-not-found"
    candidates: tuple[str, ...] | None = None


class KeyAmbiguousError(KeyNotFoundError):
    """Several keys fit the URI; `candidates` tells them apart."""

    code = "key-ambiguous"


class KeyExistsError(KeyStoreError):
    """A key of that name is there already."""

    code = "key-exists"


class PinRequiredError(KeyStoreError):
    """The token or key wants a PIN and none was given."""

    code = "pin-required"
    exit_code = 4


class PinIncorrectError(KeyStoreError):
    """The PIN was tried once and refused; `attempts_remaining` where the token tells."""

    code = "pin-incorrect"
    exit_code = 4
    attempts_remaining: int | None = None


class PinLockedError(KeyStoreError):
    """The token or TPM accepts no PIN any more; `recover_after_s` where it tells."""

    code = "pin-locked"
    exit_code = 4
    recover_after_s: int | None = None


class PinRefusedError(KeyStoreError):
    """This PIN was wrong before and was not tried again, so that a restart loop cannot lock the token."""

    code = "pin-refused"
    exit_code = 4


class ExtractableKeyError(KeyStoreError):
    """A key that could leave the hardware; `attributes` are those that failed the check."""

    code = "extractable-key"
    attributes: tuple[str, ...] | None = None


class NotExtractableError(KeyStoreError, TypeError):
    """The private key's value was asked for; it does not leave its keystore."""

    code = "not-extractable"


class MechanismUnsupportedError(KeyStoreError):
    """This token or TPM, or this key, cannot do `mechanism`."""

    code = "mechanism-unsupported"
    mechanism: str | None = None


class KeyStoreBusyError(KeyStoreError):
    """Sessions, object slots or a lock did not come free in time."""

    code = "keystore-busy"


class KeyStoreFailedError(KeyStoreError):
    """The token or TPM answered with an error of its own; `operation` is what was asked of it."""

    code = "keystore-failed"
    operation: str | None = None


class StoreCorruptError(KeyStoreError):
    """An object or a file of the keystore cannot be read."""

    code = "store-corrupt"


class KeyMaterialError(KeyStoreError):
    """A private key that was given for import is not the PKCS#8 structure it has to be, or its two halves do not fit."""

    code = "key-material"


class StateError(DeviceSdkError):
    """The state directory; `path` is the file or directory."""

    code = "state"
    exit_code = 9
    path: str | None = None


class StateBusyError(StateError):
    """Another process is changing this state directory."""

    code = "state-busy"


class StateCorruptError(StateError):
    """A file of the state directory cannot be read."""

    code = "state-corrupt"


class StateNotWritableError(StateError):
    """Disk full, read-only, or no permission; what was there before is unchanged."""

    code = "state-not-writable"


class ClockError(DeviceSdkError):
    """This machine's clock is before a time it must be after; `now` and `not_before` are RFC 3339.

    `pem` is an issued certificate with its chain that passed every check but this one: it is worth keeping. So is
    `private_key`, a `model.secret.Secret` with DER PrivateKeyInfo, where the server made the key, too; `facts` leaves it out.
    """

    code = "clock"
    exit_code = 11
    now: str | None = None
    not_before: str | None = None
    pem: str | None = None
    private_key: object = None

    def facts(self) -> dict[str, object]:
        """See DeviceSdkError.facts; without the private key."""
        return {name: value for name, value in super().facts().items() if name != "private_key"}


class NotForUsError(DeviceSdkError):
    """CALE: the answer is not for this key: revoked, unknown, or a decoy. The protocol does not let them be told apart."""

    code = "not-for-us"
    exit_code = 10
    url: str | None = None
