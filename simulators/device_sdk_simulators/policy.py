"""What the reference server asks for and allows; every attribute can be changed while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from cryptography import x509

from device_sdk_simulators.cale.rules import CaleRules
from device_sdk_simulators.csr_demand import Demand

MAC_ADDRESS = "1.3.6.1.1.1.1.22"

# RFC 7030 section 3.2.2, RFC 8295 section 2.1; compared without regard to case: RFC 7030 writes CACerts, too
_OPERATIONS = {"cacerts", "simpleenroll", "simplereenroll", "fullcmc", "serverkeygen", "csrattrs"}
_OPERATIONS |= {"pal", "eecerts", "crls", "symmetrickeys", "firmware", "tamp"}


class LabelError(ValueError):
    """A CA label that cannot be one."""


def check_label(label: str) -> None:
    """LabelError for the name of an operation (EST-07) and for what is not one segment of a path."""
    if label.lower() in _OPERATIONS:
        raise LabelError(f"the label {label!r} is the name of an operation (RFC 7030 section 3.2.2)")
    if label in ("", ".", "..") or "/" in label:
        raise LabelError(f"the label {label!r} is not one segment of a path")


@dataclass
class Policy:
    """Defaults are those of a careful CA (EST-143 and the authorization matrix of the EST requirements, section 15).

    Attributes:
        http_auth: how passwords may be shown: "basic", "digest" or both (EST-80).
        digest_algorithms: for Digest, the preferred one first: "SHA-256", "MD5".
        digest_userhash: ask for hashed user names (RFC 7616 section 3.4.4).
        nonce_lifetime: how long a nonce of Digest may be used (EST-88).
        require_password: want a user name and password also from who shows a certificate (EST-80).
        require_approval: answer 202 until somebody approves the request.
        max_waiting: how many requests may wait for approval; what is more gets 503.
        max_waiting_each: how many of one client; what is more gets 429.
        waiting_ends: a request that nobody asked about for so long waits no more, and one that was denied is forgotten.
        dialect: "rfc7030", or "draft-04" for paths and bodies of draft-ietf-pkix-est-04 alone; faults of encodings do
            nothing there.
        redelivery: how long the certificate of an approved request is given again to the same request: the first answer
            may have been lost.
        retry_after_s: what a 202 asks the client to wait.
        require_binding: refuse CSRs that are not bound to their TLS connection (EST-92); also listed in csrattrs.
        accept_finished: accept the client's Finished as binding on TLS 1.3 (EST-98 compatibility mode).
        csrattrs: object identifiers, or DER of whole Attributes, that /csrattrs lists; empty means 204.
        csrattrs_der: the whole /csrattrs body as DER, instead of `csrattrs`.
        demands: what /csrattrs says to clients that one of these concerns, instead of `csrattrs`, and what their CSRs are
            held to; the first that fits counts.
        csrattrs_login: ask for a password before /csrattrs is answered, for demands on users; RFC 7030 section 4.5 would
            rather have servers not ask.
        list_identity_linking: list estIdentityLinking (RFC 7894), too.
        require_otp: refuse CSRs without a one-time password in otpChallenge; also listed in csrattrs (EST-104).
        require_revocation_challenge: refuse CSRs without a revocationChallenge; also listed in csrattrs.
        change_subject_name: who may get another name by ChangeSubjectName: "no" (registration authorities only),
            "third-party" (devices with a certificate of their maker) or "any".
        pending_by_bytes: know a request that waits by its bytes, as some servers do, and not by who asks for which key;
            its binding is then that of the connection it came over first (EST-163).
        labels: CA labels that are served (EST-06) by the main CA; never the name of an operation (EST-07).
        own_cas: CA labels that are served by a CA of their own; certificates of one count for nothing at another.
            The TLS side learns of a new one with the next connection.
        lifetime: validity of issued certificates.
        backdate: how far before now they begin, for clients whose clock is slow.
        rsa_keys: whether RSA keys are accepted.
        min_rsa_bits: smallest RSA key.
        curves: curves accepted, by the names of `cryptography`; "ed25519" and "ed448" count as such.
        allow_sha1: accept CSRs signed with SHA-1 (only for the samples of the standards).
        enroll_with_certificate: what a certificate of this CA may ask for with /simpleenroll: "same-subject", "any" or "no".
        registration_authorities: whether a certificate of this CA with id-kp-cmcRA enrols others, and brings the bindings
            of their sessions (RFC 7030 section 3.7, EST-26, EST-101).
        reenroll_with_password: whether a user without TLS certificate may renew (EST-154).
        forbid_key_reuse: refuse to renew with the same key (EST-156).
        third_party_serials: the IDevIDs that may enrol (None: every one of a known maker), each as (MAKER, SERIAL NUMBER).
            MAKER is the RFC 4514 name of one of `third_party_anchors` that no other of them has, or "sha256:" and its
            fingerprint in hex. A serial number alone counts while there is one such anchor.
        third_party_serial_fields: where makers write them who do not use the subject's serialNumber: object identifier of
            another subject attribute, or of hardwareModuleName (1.3.6.1.5.5.7.8.4; in hex), by the RFC 4514 name of the CA
            that issues the IDevIDs (EST-32).
        third_party_anchors: CAs of makers; certificates of theirs authenticate simpleenroll only (EST-21, EST-155).
            The TLS side learns of a change by `ReferenceServer.use_tls`.
        reenroll_grace: how long after its end a certificate may still be renewed (EST-155).
        extended_key_usages: EKUs a client may ask for.
        copied_extensions: OIDs of further extensions that go into certificates as they are asked for (EST-140).
        own_names: names and addresses nobody gets a certificate for, because they are this server's.
        serverkeygen: how /serverkeygen gives private keys: "clear" (in TLS alone), "secret" (encrypted to a shared secret),
            "certificate" (to the key of a certificate), "pkcs12" (behind a password); empty turns it off, as RFC 7030
            section 6 recommends (EST-190).
        serverkeygen_types: what it generates: the type of the request's own key, if it is one of these, else the first.
        serverkeygen_form: what encrypted keys are packed into: "rfc7030", or one of RFC 8295 section 8.1: "signed" (around
            the envelope, too), "ekp" (an encrypted key package), "signed-ekp"; or "pkcs12" for everybody.
        serverkeygen_announced_form: the same for requests that say that they take encrypted key packages (A-03).
        serverkeygen_label_forms: the same for a label, whatever the request says.
        serverkeygen_bare: answer with the package of RFC 8295 alone, the certificate inside, instead of in two parts (AMB-02).
        serverkeygen_receipts: ask for receipts for packages of RFC 8295 (RFC 7191).
        serverkeygen_encrypted_receipts: ask for encrypted ones; where they are asked for at all.
        serverkeygen_pkcs12_mac: of PKCS#12 files: "hmac-sha256", or "pbmac1" (RFC 9579).
        fullcmc: whether /fullcmc is served (EST-204).
        fullcmc_confirm: answer it with confirmRequired: the client has to accept its certificate (RFC 5272 section 6.14).
        fullcmc_publish_anchors: send the roots along with every certificate (section 6.15).
        packages: whether package lists, peers and revocation lists are served (RFC 8295).
        firmware_registered: reports about firmware come only from devices whose module is known, by a hardwareModuleName in
            the certificate or by `modules register`; otherwise the first report says which module a device is.
        tamp_as_cms: /tamp answers with application/cms, as the appendix of RFC 8295 shows it.
        tamp_unsigned: take back answers about trust anchors that nobody signed, from devices that cannot sign.
        pal_limit: largest number of entries of a package list; more come in a further one (RFC 9152 has 32).
        pal_renewal: share of its life after which a certificate is on its owner's package list to be renewed.
        pal_fullcmc: renewals that package lists ask for are to be asked for by Full CMC.
        key_establishment: the package lists of devices ask them to get a certificate for key establishment, too.
        cale_headers: "draft" (duplicate Content-Type, one line), "draft-folded" (as printed, indented), or "plain".
        cale_aead: use AES-GCM (AuthEnvelopedData) where the TLS suite is an AEAD one.
        cale_hardened: RSA-OAEP instead of PKCS#1 v1.5, and recipients named by subject key identifier.
        cale_certificate_lifetime: validity of the certificates the authorization server makes per request.
        cale: further rules of the CALE roles.
    """

    http_auth: tuple[str, ...] = ("basic",)
    digest_algorithms: tuple[str, ...] = ("SHA-256", "MD5")
    digest_userhash: bool = False
    nonce_lifetime: timedelta = timedelta(minutes=5)
    require_password: bool = False
    require_approval: bool = False
    max_waiting: int = 1000
    max_waiting_each: int = 100
    waiting_ends: timedelta = timedelta(days=30)
    dialect: str = "rfc7030"
    redelivery: timedelta = timedelta(hours=1)
    retry_after_s: int = 1
    require_binding: bool = False
    accept_finished: bool = False
    csrattrs: list[str | bytes] = field(default_factory=lambda: [MAC_ADDRESS])
    csrattrs_der: bytes | None = None
    demands: list[Demand] = field(default_factory=list)
    csrattrs_login: bool = False
    list_identity_linking: bool = False
    require_otp: bool = False
    require_revocation_challenge: bool = False
    change_subject_name: str = "third-party"
    pending_by_bytes: bool = False
    labels: set[str] = field(default_factory=set)
    own_cas: set[str] = field(default_factory=set)
    lifetime: timedelta = timedelta(days=90)
    backdate: timedelta = timedelta(minutes=5)
    rsa_keys: bool = True
    min_rsa_bits: int = 2048
    curves: tuple[str, ...] = ("secp256r1", "secp384r1", "secp521r1")
    allow_sha1: bool = False
    enroll_with_certificate: str = "same-subject"
    registration_authorities: bool = True
    reenroll_with_password: bool = False
    forbid_key_reuse: bool = False
    third_party_serials: set[str | tuple[str, str]] | None = field(default_factory=set)
    third_party_serial_fields: dict[str, str] = field(default_factory=dict)
    third_party_anchors: list[x509.Certificate] = field(default_factory=list)
    reenroll_grace: timedelta = timedelta(0)
    extended_key_usages: set[str] = field(
        default_factory=lambda: {"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.4"}
    )
    serverkeygen: set[str] = field(default_factory=set)
    serverkeygen_types: tuple[str, ...] = ("ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072", "rsa-4096")
    serverkeygen_form: str = "rfc7030"
    serverkeygen_announced_form: str = "signed-ekp"
    serverkeygen_label_forms: dict[str, str] = field(default_factory=dict)
    serverkeygen_bare: bool = False
    serverkeygen_receipts: bool = False
    serverkeygen_encrypted_receipts: bool = False
    serverkeygen_pkcs12_mac: str = "hmac-sha256"
    fullcmc: bool = False
    fullcmc_confirm: bool = False
    fullcmc_publish_anchors: bool = False
    packages: bool = True
    firmware_registered: bool = False
    tamp_as_cms: bool = False
    tamp_unsigned: bool = False
    pal_limit: int = 32
    pal_renewal: float = 2 / 3
    pal_fullcmc: bool = False
    key_establishment: bool = False
    copied_extensions: set[str] = field(default_factory=set)
    own_names: frozenset[str] = frozenset()
    cale_headers: str = "draft"
    cale_aead: bool = False
    cale_hardened: bool = False
    cale_certificate_lifetime: timedelta = timedelta(seconds=10)
    cale: CaleRules = field(default_factory=CaleRules)

    def __setattr__(self, name: str, value: object) -> None:
        if name in ("labels", "own_cas") and isinstance(value, set):
            for label in value:
                check_label(label)
        object.__setattr__(self, name, value)
