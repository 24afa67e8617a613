"""Keys the server generates (RFC 7030 section 4.4, RFC 8295 section 8). A device that can make its own needs none of this."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from device_sdk.client.est.csr_body import CsrBody
from device_sdk.client.est.full_cmc_transaction import Service, Wishes
from device_sdk.client.est.key_package_policy import KeyPackagePolicy
from device_sdk.client.est.key_returns import KeyReturns
from device_sdk.client.est.patience import Patience
from device_sdk.client.est.refused import explained
from device_sdk.errors import (
    CertificateMismatchError,
    ConfigurationError,
    CsrAttributesError,
    DeviceSdkError,
    KeyPackageRefusedError,
    ServerKeyError,
    VerificationError,
    WireError,
)
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import KeyType, PrivateKey
from device_sdk.model.pkcs12 import Pkcs12Policy
from device_sdk.protocols.est.full_cmc_pending import PendingRequest
from device_sdk.protocols.est.requests import result_request
from device_sdk.protocols.est.server_key import (
    DecryptionKey,
    Judgement,
    ProtectionKey,
    ServerKey,
    SharedKey,
    check_server_key,
    serverkeygen_request,
)
from device_sdk.protocols.est.server_key_answer import CMS, PKCS12, ServerKeyAnswer, read_server_key
from device_sdk.protocols.est.server_key_request import TAKES_ENCRYPTED_KEY_PACKAGES, protection_attributes
from device_sdk.protocols.est.urls import Operation
from device_sdk.protocols.key_packages.layers import PackageRules, Trace
from device_sdk.wire.certs_only import read_certs_only
from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.key_packages.asymmetric import ASYMMETRIC_KEY_PACKAGE

__all__ = [
    "RFC_7030",
    "DecryptionKey",
    "ProtectionKey",
    "ServerKey",
    "ServerKeyForms",
    "ServerKeyGeneration",
    "SharedKey",
]

_REFUSALS = (KeyPackageRefusedError, VerificationError, WireError, ServerKeyError, CertificateMismatchError)


@dataclass(frozen=True)
class ServerKeyForms:
    """What a server may answer with beyond the forms of RFC 7030, and where it is asked.

    Attributes:
        packages: who may sign packages of keys (RFC 8295 section 8.1); None takes none.
        announce: say in the request that an encrypted key package is understood (A-03); needs `packages`.
        pkcs12: ask for PKCS#12 (section 8.3), and take nothing else; its password is the protection, so neither a key to
            decrypt with nor `allow_clear` goes with it (B-04).
        target: the request target that an entry of the package list has; None for the operation's own. At /fullcmc the key is
            asked for by Full CMC.
        pending: what an earlier run asked for there and is not decided yet, or None.
        report: tell the server, signed by the identity's key, why a package is refused (section 8.2).

    Raises:
        ConfigurationError: `announce` without `packages`, or both forms at once.
    """

    packages: KeyPackagePolicy | None = None
    announce: bool = False
    pkcs12: Pkcs12Policy | None = None
    target: str | None = None
    pending: PendingRequest | None = None
    report: bool = True

    def __post_init__(self) -> None:
        if self.announce and self.packages is None:
            raise ConfigurationError(
                "encrypted key packages are announced, and nothing says who may sign packages of keys",
                hint="give the anchors of those who do; those of the server do not count for this",
            )
        if self.packages is not None and self.pkcs12 is not None:
            raise ConfigurationError("PKCS#12 and packages of keys are asked for at once", hint="ask for one of them")

    def rules(self, now: datetime) -> PackageRules | None:
        """What packages are held to; None if none are taken. Raises as KeyPackagePolicy.rules."""
        return self.packages.rules(now, ASYMMETRIC_KEY_PACKAGE) if self.packages else None

    @property
    def media_types(self) -> frozenset[str]:
        """Of RFC 8295, those that are taken."""
        return frozenset(({CMS} if self.packages else set()) | ({PKCS12} if self.pkcs12 else set()))


RFC_7030 = ServerKeyForms()
"""Nothing beyond the forms of RFC 7030."""


class ServerKeyGeneration:
    """The /serverkeygen operation of one EST service; `EstClient.serverkeygen` uses it.

    Args:
        service: what it uses of the client.
        protection: the key the private key is encrypted to, inside of TLS; None to take it in the clear, or as PKCS#12.
        forms: what else the server may answer with.

    Raises:
        ConfigurationError: a target that is not of this operation.
    """

    def __init__(self, service: Service, protection: ProtectionKey | None, forms: ServerKeyForms = RFC_7030) -> None:
        self._service = service
        self._protection = protection
        self._forms = forms
        usual = service.endpoint.target(Operation.SERVERKEYGEN)
        place = usual if forms.target is None else forms.target
        self._by_cmc = service.endpoint.is_at(Operation.FULLCMC, place)
        if not self._by_cmc and not service.endpoint.is_at(Operation.SERVERKEYGEN, place):
            raise ConfigurationError(f"{place[:200]}: keys that the server generates are at {usual}")

    def request(
        self, spec: CsrSpec, signer: PrivateKey | None, key_type: KeyType | None, wishes: Wishes, patience: Patience
    ) -> ServerKey:
        """Ask for a key and check what came; see EstClient.serverkeygen (EST-190: no Implicit anchors)."""
        service, forms = self._service, self._forms
        if service.implicit:
            raise ConfigurationError(
                f"{service.endpoint.origin}: a private key is not taken from a server that the operating system's anchors "
                "may vouch for",
                hint="give the trust anchors of its CA, and no implicit trust",
            )
        rules = forms.rules(service.clock.now())
        asked = service.wishes(wishes, patience)
        url = service.endpoint.url(Operation.SERVERKEYGEN)
        key, spec, asked = keyless(
            spec, signer, key_type, asked, protection=self._protection, url=url, announce=forms.announce
        )
        body = CsrBody(key, spec, asked, compatibility=service.compatibility, url=url)
        with service.exchanges.one_use(body), explained(body, _about(self._protection)):
            answer, csr = self._ask_by_cmc(body, patience) if self._by_cmc else self._ask(body, patience)
        ca, now, trace = service.ca(patience), service.clock.now(), Trace()
        judgement = Judgement(
            ca.anchors,
            ca.intermediates,
            now,
            url,
            service.lists,
            ca.ignored,
            # they may lead from a signer to an anchor, and vouch for nobody
            packages=replace(rules, now=now, intermediates=ca.intermediates) if rules else None,
            pkcs12=forms.pkcs12,
            key_type=key_type,
        )
        try:
            try:
                return check_server_key(answer, csr, self._protection, judgement, trace)
            except ServerKeyError as error:
                known = self._issued(patience) if error.certificate_missing else ()
                if not known:
                    raise
                return check_server_key(answer, csr, self._protection, replace(judgement, known=known), Trace())
        except _REFUSALS as error:
            if answer.packaged is not None and rules is not None and forms.report:
                to = forms.packages.receipt_recipient if forms.packages else None
                KeyReturns(service, patience, Operation.SERVERKEYGEN, to).refused(error, trace)
            raise

    def _ask(self, body: CsrBody, patience: Patience) -> tuple[ServerKeyAnswer, x509.CertificateSigningRequest]:
        service, forms = self._service, self._forms
        request = serverkeygen_request(service.endpoint, body, target=forms.target, pkcs12=forms.pkcs12 is not None)
        response = service.exchanges.send(request, patience, may_pend=True, accepted=body.accepted)
        return read_server_key(response, service.clock.now(), accepted=forms.media_types), body.csr

    def _ask_by_cmc(self, body: CsrBody, patience: Patience) -> tuple[ServerKeyAnswer, x509.CertificateSigningRequest]:
        from device_sdk.client.est.server_key_by_cmc import CmcGeneration

        forms = self._forms
        target = str(forms.target)
        return CmcGeneration(self._service, target, patience, forms.media_types, forms.pending).ask(body)

    def _issued(self, patience: Patience) -> tuple[x509.Certificate, ...]:
        """What the server issued to this client last (RFC 8295 section 9), for a key that came without certificate (AMB-02)."""
        service = self._service
        target = service.endpoint.target(Operation.SIMPLE_ENROLL)
        with suppress(DeviceSdkError):  # the answer that came is what is wrong
            response = service.exchanges.send(result_request(target, Operation.SIMPLE_ENROLL), patience)
            if response.status_code == 200:
                return read_certs_only(response.body)
        return ()


def keyless(
    spec: CsrSpec,
    signer: PrivateKey | None,
    key_type: KeyType | None,
    asked: CsrAttributes | None,
    *,
    protection: ProtectionKey | None,
    url: str,
    announce: bool = False,
) -> tuple[PrivateKey, CsrSpec, CsrAttributes | None]:
    """What a request for a key is made of: the key that signs it, what to ask for, and the wishes that count.

    Args:
        spec: what the caller asks for.
        signer: signs the request; None for a key made for that.
        key_type: hint at what the server should generate.
        asked: the server's wishes.
        protection: the key that the answer is to be encrypted to.
        url: the endpoint, for messages.
        announce: say that an encrypted key package is understood.

    Raises:
        CsrAttributesError: the wishes cannot be met.
    """
    if protection is not None:
        spec = replace(spec, attributes=(*spec.attributes, *protection_attributes(protection)))
    if announce:
        spec = replace(spec, attributes=(*spec.attributes, TAKES_ENCRYPTED_KEY_PACKAGES))
    try:
        key = signer or throwaway_key(key_type, asked)
    except CsrAttributesError as error:
        raise error.at(url)  # noqa: B904  # the same error
    if asked is not None and (signer is not None or key_type is not None):
        asked = asked.without_key_wishes()  # the server ignores the request's key and signature (EST-191)
    return key, spec, asked


def require_protection(
    protection: ProtectionKey | None, *, allow_clear: bool, pkcs12: Pkcs12Policy | None = None
) -> None:
    """Make sure that somebody decided how the key travels, before anything is asked for.

    Raises:
        ConfigurationError: neither a key to encrypt to nor a password of PKCS#12 nor permission to do without, or several.
    """
    if protection is None and pkcs12 is None and not allow_clear:
        raise ConfigurationError(
            "nothing says how the server's private key is to be protected beyond TLS",
            hint="name a key to encrypt it to, or allow it to come in the clear",
        )
    if protection is not None and allow_clear:
        raise ConfigurationError(
            "an encrypted key and a clear one are asked for at once",
            hint="an encrypted key is never taken in the clear",
        )
    if pkcs12 is not None and (protection is not None or allow_clear):
        raise ConfigurationError(
            "PKCS#12 and another protection of the key are asked for at once",
            hint="what is in PKCS#12 is protected by its password alone",
        )


def _about(protection: ProtectionKey | None) -> str:
    """What to look at where the server does not protect the key as it was asked to."""
    if isinstance(protection, SharedKey):
        return "check --decrypt-id and --decrypt-secret-file against what the server's operator gave"
    if protection is not None:
        return "the server has to know --decrypt-cert, which the key is to be encrypted to: give one that its CA issued to this device"
    return (
        "the server may want to encrypt the key: give --decrypt-key or --decrypt-secret-file instead of --allow-clear"
    )


def throwaway_key(key_type: KeyType | None, wishes: CsrAttributes | None) -> PrivateKey:
    """A software key that signs one request and is forgotten; its type is the only hint at what the server should make.

    Args:
        key_type: the type wished for; None for what the server asks for by /csrattrs, else EC P-256.
        wishes: the answer of /csrattrs, or None.

    Raises:
        CsrAttributesError: the server's wishes cannot be met.
    """
    required = wishes.required_key_types() if wishes is not None and key_type is None else None
    chosen = key_type or (required[0] if required else KeyType.EC_P256)
    if chosen.is_ec:
        return ec.generate_private_key(chosen.curve)
    return rsa.generate_private_key(65537, chosen.key_bits)
