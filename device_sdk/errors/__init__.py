"""Every exception of the SDK. Messages say what failed, on which endpoint or key, and what to do.

DeviceSdkError
  ConfigurationError                   an option, a file or a combination the caller gave
    UriError                           a key URI that does not follow its grammar
    MissingDependencyError             an extra that is not installed
  WireError                            bytes that are not what their standard says
    EnvelopeError                      a CMS message that cannot be opened; one text for every reason
      Pkcs12PasswordError              a PKCS#12 file that this password does not open
  LocalProtocolError                   the caller asked for something the protocol forbids
  RemoteProtocolError                  the peer broke the protocol
    HttpStatusError                    a status that means "no"
      AuthenticationRequiredError      401, no or wrong credentials
      BehindEdgeError                  CALE: an error that came encrypted, of a server behind the edge device
      CmcRefusedError                  a signed CMC answer that says no; its subclasses say why
        CmcIdentityError, CmcPopError, CmcTimeError, CmcUnsupportedError, CmcUnavailableError
    RedirectRefusedError               a redirect that must not be followed
    CertificateMismatchError           an issued certificate that is not the one asked for
    ServerKeyError                     a generated key, or its protection, that is not what was asked for
    KeyPackageRefusedError             a package of keys that must not be used
    CsrAttributesError                 /csrattrs contradicts itself, goes below policy, or asks for the impossible
  EnrolmentPendingError                202: accepted, not issued yet
    CmcPendingError                    the same said by CMC; carries what a later query needs
  TransportError                       no connection, or it broke
    TransportTimeoutError
    ProxyRefusedError
    TruncatedResponseError
    ResponseTooLargeError
    TlsError                           the handshake failed for a reason other than the server's identity
      ClientCertificateRefusedError    the server said that it is the client certificate
    TlsKeyUnavailableError             this Python's TLS library cannot be given a hardware key
    SrpUnavailableError                this Python's TLS library has no SRP
  VerificationError                    checked and found bad
    ServerNotTrustedError              no path to a trust anchor, expired, or not yet valid
    ServerNotAuthorizedError           a trusted certificate, but neither the name nor id-kp-cmcRA fits
    FingerprintMismatchError           no CA certificate with the pinned fingerprint
    KeyPackageUntrustedError           a package of keys that nobody signed who may
    CmcUntrustedError                  a CMC answer that nobody trusted signed, or that answers something else
    SharedSecretError                  certificate-less TLS: the two sides do not know the same password
    TampRefusedError                   a message about trust anchors that is refused; carries RFC 5934's number for the reason
    FirmwareError                      a firmware package that is not loaded; carries RFC 4108's number for the reason
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
    KeysNotStoredError                 a package of symmetric keys of which some could not be stored
  StateError                           the state directory
    StateBusyError, StateCorruptError, StateNotWritableError, RolledBackError
  ClockError                           this machine's clock cannot be right
  BenchError                           a device on a serial line
    LineError                          the line itself
      LineInUseError, LineSilentError
    LoginRefusedError, BootLoaderMissedError, AgentVersionError
    WrongDeviceError
      DeviceClaimedError, ClaimLostError, DeviceProvisionedError
    DeviceRequestError                 a device's certificate request that is not vouched for
    DeviceSaysError                    the device refused, and says why
  LedgerError                          the station's ledger
  NotForUsError                        CALE: an answer that this key does not open (revoked, unknown, or a decoy)

Facts are attributes, declared with their defaults in each class; `facts()` gives them as data for `--json`.
"""

from device_sdk.errors.base import (
    ClockError,
    ConfigurationError,
    DeviceSdkError,
    EnvelopeError,
    LocalProtocolError,
    MissingDependencyError,
    NotForUsError,
    UriError,
    WireError,
)
from device_sdk.errors.bench import (
    AgentVersionError,
    BenchError,
    BootLoaderMissedError,
    ClaimLostError,
    DeviceClaimedError,
    DeviceProvisionedError,
    DeviceRequestError,
    DeviceSaysError,
    LedgerError,
    LineError,
    LineInUseError,
    LineSilentError,
    LoginRefusedError,
    WrongDeviceError,
)
from device_sdk.errors.cmc import (
    CmcIdentityError,
    CmcPendingError,
    CmcPopError,
    CmcRefusedError,
    CmcTimeError,
    CmcUnavailableError,
    CmcUnsupportedError,
    CmcUntrustedError,
)
from device_sdk.errors.key_packages import (
    KeyPackageRefusedError,
    KeyPackageUntrustedError,
    KeysNotStoredError,
    Pkcs12PasswordError,
)
from device_sdk.errors.keystore import (
    ExtractableKeyError,
    KeyAmbiguousError,
    KeyExistsError,
    KeyMaterialError,
    KeyNotFoundError,
    KeyStoreBusyError,
    KeyStoreError,
    KeyStoreFailedError,
    MechanismUnsupportedError,
    NotExtractableError,
    PinIncorrectError,
    PinLockedError,
    PinRefusedError,
    PinRequiredError,
    StoreCorruptError,
    TokenAmbiguousError,
    TokenNotFoundError,
    TokenRemovedError,
)
from device_sdk.errors.protocol import (
    AuthenticationRequiredError,
    BehindEdgeError,
    CertificateMismatchError,
    CsrAttributesError,
    EnrolmentPendingError,
    HttpStatusError,
    RedirectRefusedError,
    RemoteProtocolError,
    ServerKeyError,
)
from device_sdk.errors.state import (
    RolledBackError,
    StateBusyError,
    StateCorruptError,
    StateError,
    StateNotWritableError,
)
from device_sdk.errors.tamp import TampRefusedError
from device_sdk.errors.transport import (
    ClientCertificateRefusedError,
    ProxyRefusedError,
    ResponseTooLargeError,
    SrpUnavailableError,
    TlsError,
    TlsKeyUnavailableError,
    TransportError,
    TransportTimeoutError,
    TruncatedResponseError,
)
from device_sdk.errors.verification import (
    FingerprintMismatchError,
    FirmwareError,
    ServerNotAuthorizedError,
    ServerNotTrustedError,
    SharedSecretError,
    VerificationError,
)

__all__ = [
    "AgentVersionError",
    "AuthenticationRequiredError",
    "BehindEdgeError",
    "BenchError",
    "BootLoaderMissedError",
    "CertificateMismatchError",
    "ClaimLostError",
    "ClientCertificateRefusedError",
    "ClockError",
    "CmcIdentityError",
    "CmcPendingError",
    "CmcPopError",
    "CmcRefusedError",
    "CmcTimeError",
    "CmcUnavailableError",
    "CmcUnsupportedError",
    "CmcUntrustedError",
    "ConfigurationError",
    "CsrAttributesError",
    "DeviceClaimedError",
    "DeviceProvisionedError",
    "DeviceRequestError",
    "DeviceSaysError",
    "DeviceSdkError",
    "EnrolmentPendingError",
    "EnvelopeError",
    "ExtractableKeyError",
    "FingerprintMismatchError",
    "FirmwareError",
    "HttpStatusError",
    "KeyAmbiguousError",
    "KeyExistsError",
    "KeyMaterialError",
    "KeyNotFoundError",
    "KeyPackageRefusedError",
    "KeyPackageUntrustedError",
    "KeyStoreBusyError",
    "KeyStoreError",
    "KeyStoreFailedError",
    "KeysNotStoredError",
    "LedgerError",
    "LineError",
    "LineInUseError",
    "LineSilentError",
    "LocalProtocolError",
    "LoginRefusedError",
    "MechanismUnsupportedError",
    "MissingDependencyError",
    "NotExtractableError",
    "NotForUsError",
    "PinIncorrectError",
    "PinLockedError",
    "PinRefusedError",
    "PinRequiredError",
    "Pkcs12PasswordError",
    "ProxyRefusedError",
    "RedirectRefusedError",
    "RemoteProtocolError",
    "ResponseTooLargeError",
    "RolledBackError",
    "ServerKeyError",
    "ServerNotAuthorizedError",
    "ServerNotTrustedError",
    "SharedSecretError",
    "SrpUnavailableError",
    "StateBusyError",
    "StateCorruptError",
    "StateError",
    "StateNotWritableError",
    "StoreCorruptError",
    "TampRefusedError",
    "TlsError",
    "TlsKeyUnavailableError",
    "TokenAmbiguousError",
    "TokenNotFoundError",
    "TokenRemovedError",
    "TransportError",
    "TransportTimeoutError",
    "TruncatedResponseError",
    "UriError",
    "VerificationError",
    "WireError",
    "WrongDeviceError",
]
