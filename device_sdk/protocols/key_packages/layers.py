"""Taking a package of keys out of what protects it: the nestings of RFC 8295 sections 5.1.2 (K-03) and 8.1 (A-02).

From the outside in. A signature is verified before anything under it is decrypted (S-04), and each has to lead to an anchor
that the caller named for this purpose, whatever was said about needing one (K-05, AMB-20).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from cryptography import x509

from device_sdk.errors import EnvelopeError, KeyPackageRefusedError, KeyPackageUntrustedError, WireError
from device_sdk.model.decryption import KEY_PACKAGES, DecryptionPolicy
from device_sdk.model.http import MAX_RESPONSE_BYTES
from device_sdk.model.wiping import passing
from device_sdk.wire import der
from device_sdk.wire.cms import oids
from device_sdk.wire.cms.armor import remove_armor
from device_sdk.wire.cms.definite import make_definite
from device_sdk.wire.cms.encrypted_data import open_encrypted_data
from device_sdk.wire.cms.envelope import CANNOT_OPEN, Keys, open_typed
from device_sdk.wire.cms.reader import OID, Reader
from device_sdk.wire.cms.signed_data import NoSignature, Signature, SignedData, find_signature, read_signed_data
from device_sdk.wire.content_constraints import CMS_CONTENT_CONSTRAINTS, ConstraintsMode, constraint_problem
from device_sdk.wire.key_packages.encrypted import ENCRYPTED_KEY_PACKAGE, read_encrypted_key_package
from device_sdk.wire.key_packages.error_codes import PackageFault
from device_sdk.wire.key_packages.receipts import RECEIPT_REQUEST, ReceiptRequest, read_receipt_request
from device_sdk.wire.key_packages.symmetric import SYMMETRIC_KEY_PACKAGE
from device_sdk.wire.path_inputs import NO_INPUTS, PathInputs

MAX_LAYERS = 6

_EXPLICIT_0 = 0xA0
_ENVELOPES = (oids.ENVELOPED_DATA, oids.AUTH_ENVELOPED_DATA)
_PROTECTIONS = (oids.SIGNED_DATA, ENCRYPTED_KEY_PACKAGE, oids.ENCRYPTED_DATA, *_ENVELOPES)
_STAGES = {
    NoSignature.CERTIFICATE: PackageFault.MISSING_CERTIFICATE,
    NoSignature.SIGNATURE: PackageFault.SIGNATURE_FAILURE,
    NoSignature.PATH: PackageFault.NO_TRUST_ANCHOR,
}


@dataclass(frozen=True)
class PackageRules:
    """What a package has to be like.

    Attributes:
        anchors: who may vouch for signers of key packages; anchors for other purposes are no anchors here.
        now: the present, with a time zone.
        intermediates: certificates that may lead to an anchor.
        require_signature: refuse a package that nobody signed (K-06).
        require_encryption: refuse a package that nothing but TLS protects (K-06).
        require_addressed: refuse a package if nothing that is signed says for whom it is: whoever had it could have encrypted
            the signed part again, for this device. Means nothing where no signature is required.
        constraints: whether CMS content constraints have to be there (K-12, AMB-19).
        policy: the algorithms that are accepted.
        inputs: initial policies and revocation lists for the paths of signers.
        content_type: of the package itself, dotted.
    """

    anchors: Sequence[x509.Certificate]
    now: datetime
    intermediates: Sequence[x509.Certificate] = ()
    require_signature: bool = True
    require_encryption: bool = True
    require_addressed: bool = True
    constraints: ConstraintsMode = "if-present"
    policy: DecryptionPolicy = KEY_PACKAGES
    inputs: PathInputs = NO_INPUTS
    content_type: str = SYMMETRIC_KEY_PACKAGE


@dataclass(frozen=True)
class Layer:
    """One that was taken off.

    Attributes:
        kind: what it did.
        content_type: its own type, dotted.
        signature: of a signed one.
        certificates: those that a signed one carries; not trusted.
    """

    kind: Literal["signed", "encrypted"]
    content_type: str
    signature: Signature | None = None
    certificates: tuple[x509.Certificate, ...] = ()


@dataclass(frozen=True)
class Peeled:
    """What was inside, and what protected it.

    Attributes:
        content: the package of keys as it stood there, not read yet.
        layers: outermost first.
        requests: the receipt requests of all signatures, outermost first; each counts on its own (KR-10).
    """

    content: bytes = field(repr=False)
    layers: tuple[Layer, ...]
    requests: tuple[ReceiptRequest, ...]

    @property
    def signers(self) -> tuple[x509.Certificate, ...]:
        """Certificates of those who signed, outermost first."""
        return tuple(one.signature.path[0] for one in self.layers if one.signature is not None)

    @property
    def identity(self) -> str:
        """What tells this package from others, SHA-256 in hex: of what the innermost signature is over.

        Not of the message: without its signers anybody can write it in other octets, or take the outer layers off.
        """
        signatures = [one.signature for one in self.layers if one.signature is not None]
        return hashlib.sha256(signatures[-1].signer.signed if signatures else self.content).hexdigest()

    @property
    def addressed(self) -> bool:
        """Whether a signature is around an encryption: then who signed chose who can open it."""
        kinds = [one.kind for one in self.layers]
        return "signed" in kinds and "encrypted" in kinds[kinds.index("signed") :]

    def needs_binding(self, rules: PackageRules) -> bool:
        """Whether the keys themselves have to say that they are for this device, as no layer does.

        Args:
            rules: what it was held to.
        """
        return rules.require_signature and rules.require_addressed and not self.addressed

    @property
    def encrypted(self) -> bool:
        """Whether something beyond TLS protected it."""
        return any(one.kind == "encrypted" for one in self.layers)


@dataclass
class Trace:
    """How far a package was read, for the error that goes back to the server.

    Attributes:
        layers: taken off so far.
        requests: found so far, in signatures that are good.
        fault: what it means if the next step fails.
    """

    layers: list[Layer] = field(default_factory=list)
    requests: list[ReceiptRequest] = field(default_factory=list)
    fault: PackageFault = PackageFault.DECODE_FAILURE

    @property
    def told(self) -> PackageFault:
        """The fault as it may be told: behind a decryption that no signature goes before, they are all one (S-03)."""
        kinds = [one.kind for one in self.layers]
        blind = "encrypted" in kinds and "signed" not in kinds[: kinds.index("encrypted")]
        return PackageFault.DECRYPT_FAILURE if blind else self.fault


def peel(message: bytes, rules: PackageRules, keys: Keys = (), *, trace: Trace | None = None) -> Peeled:
    """Take off all layers, verifying and decrypting, down to the package of keys.

    Args:
        message: a ContentInfo.
        rules: what it has to be like.
        keys: what may decrypt it: private keys, software or hardware, and shared keys.
        trace: filled on the way, also where this raises.

    Raises:
        KeyPackageUntrustedError: a signature that is not by somebody trusted for this, or none where one is demanded.
        KeyPackageRefusedError: not encrypted where that is demanded, several signers, more than MAX_LAYERS layers, or a
            content that belongs elsewhere.
        EnvelopeError: it does not decrypt, for whatever reason; one text.
        WireError: not a message that can be read.
        KeyStoreError: the token or TPM could not be used.
    """
    trace = trace if trace is not None else Trace()
    kind, content = _outermost(message)
    while kind != rules.content_type:
        if len(trace.layers) == MAX_LAYERS:
            raise _refused(f"more than {MAX_LAYERS} layers around the keys", PackageFault.BAD_CONTENT_INFO)
        if kind == oids.SIGNED_DATA:
            kind, content = _signed(content, rules, trace)
        else:
            kind, content = _decrypted(kind, content, rules, keys, trace)
        content = _without_content_info(kind, content)
    _require_protection(trace, rules)
    _require_constraints(trace, rules)
    trace.fault = PackageFault.BAD_KEY_PACKAGE
    return Peeled(content, tuple(trace.layers), tuple(trace.requests))


def _outermost(message: bytes) -> tuple[str, bytes]:
    """Type and content of the outermost layer, which is always a ContentInfo (G-07)."""
    try:
        return _content_info(passing(remove_armor(message, MAX_RESPONSE_BYTES)))
    except ValueError as error:
        raise WireError(f"not a CMS message: {error}", what="ContentInfo") from error


def _content_info(encoded: bytes) -> tuple[str, bytes]:
    """Type and content of a ContentInfo in BER; ValueError for what is none."""
    outer = Reader(passing(make_definite(encoded)))
    info = outer.enter()
    outer.finish()
    kind = info.oid()
    inside = info.enter(_EXPLICIT_0)
    info.finish()
    content = passing(inside.element())
    inside.finish()
    return kind, content


def _without_content_info(kind: str, content: bytes) -> bytes:
    """Some writers put a ContentInfo where the content is to be (AMB-27): the same type once more is passed over."""
    try:
        info = Reader(content).enter()
        if info.next_tag != OID or info.oid() != kind:
            return content
        return passing(info.enter(_EXPLICIT_0).element())
    except ValueError:
        return content


def _signed(content: bytes, rules: PackageRules, trace: Trace) -> tuple[str, bytes]:
    trace.fault = PackageFault.BAD_SIGNED_DATA
    data = read_signed_data(content)
    if len(data.signers) != 1:
        raise _refused("more than one signer", PackageFault.TOO_MANY_SIGNERS)
    signature = _verified(data, rules)
    trace.layers.append(Layer("signed", oids.SIGNED_DATA, signature, data.certificates))
    trace.fault = PackageFault.BAD_SIGNED_ATTRIBUTES
    if RECEIPT_REQUEST in signature.signer.attributes:
        trace.requests.append(read_receipt_request(signature.signer.attributes[RECEIPT_REQUEST]))
    return data.content_type, passing(data.content)


def _verified(data: SignedData, rules: PackageRules) -> Signature:
    found = find_signature(
        data,
        anchors=rules.anchors,
        now=rules.now,
        intermediates=rules.intermediates,
        processed=() if rules.constraints == "off" else (CMS_CONTENT_CONSTRAINTS,),
        inputs=rules.inputs,
    )
    if isinstance(found, NoSignature):
        raise KeyPackageUntrustedError(found.message, fault=_STAGES[found.stage])
    return found


def _decrypted(kind: str, content: bytes, rules: PackageRules, keys: Keys, trace: Trace) -> tuple[str, bytes]:
    trace.fault = PackageFault.DECRYPT_FAILURE
    outer, inner = kind, (rules.content_type, *_PROTECTIONS)
    allowed = (*inner, oids.DATA)
    if kind == ENCRYPTED_KEY_PACKAGE:
        kind, content = read_encrypted_key_package(content)
    if kind == oids.ENCRYPTED_DATA:
        inside = open_encrypted_data(content, keys, content_types=allowed, policy=rules.policy)
    elif kind in _ENVELOPES:
        info = der.sequence(der.oid(kind), der.tlv(_EXPLICIT_0, content))
        inside = open_typed(info, keys, content_types=allowed, policy=rules.policy)
    else:
        what = "symmetric keys" if rules.content_type == SYMMETRIC_KEY_PACKAGE else "asymmetric keys"
        raise _refused(f"content of type {kind}, which is no package of {what}", PackageFault.BAD_CONTENT_INFO)
    trace.layers.append(Layer("encrypted", outer))
    found = _definite(*inside, rules.content_type)
    if found is None or found[0] not in inner:
        raise EnvelopeError(CANNOT_OPEN)
    return found


def _definite(kind: str, plaintext: bytes, innermost: str) -> tuple[str, bytes] | None:
    """A plaintext that is no element opened by accident, which says no more than that it did not open: None.

    What openssl encrypts it calls data, whatever it is; then a ContentInfo says it.
    """
    try:
        if kind == oids.DATA:
            return _content_info(plaintext)
        return kind, plaintext if kind == innermost else passing(make_definite(plaintext))
    except ValueError:
        return None


def _require_protection(trace: Trace, rules: PackageRules) -> None:
    kinds = {one.kind for one in trace.layers}
    if rules.require_signature and "signed" not in kinds:
        raise KeyPackageUntrustedError("nobody signed the package of keys", fault=PackageFault.MISSING_SIGNATURE)
    if rules.require_encryption and "encrypted" not in kinds:
        raise _refused("the package of keys is not encrypted beyond TLS", PackageFault.CONSTRAINT_VIOLATION)


def _require_constraints(trace: Trace, rules: PackageRules) -> None:
    """Each signer's path has to allow key packages, with the attributes of all signatures (RFC 6010 section 1.2).

    The innermost signer is where they originate (S-02).
    """
    signatures = [one.signature for one in trace.layers if one.signature is not None]
    attributes: dict[str, tuple[bytes, ...]] = {}
    for signature in signatures:
        for oid, values in signature.signer.attributes.items():
            attributes[oid] = (*attributes.get(oid, ()), *values)
    for signature in signatures:
        problem = constraint_problem(
            signature.path,
            rules.content_type,
            attributes,
            source=signature is signatures[-1],
            mode=rules.constraints,
        )
        if problem:
            raise KeyPackageUntrustedError(f"the signer of the package: {problem}", fault=PackageFault.NOT_AUTHORIZED)


def unaddressed(what: str) -> KeyPackageRefusedError:
    """The error for a package that is signed inside only, and may have been for anybody.

    Args:
        what: is not bound.
    """
    return KeyPackageRefusedError(
        f"{what}: nothing that is signed says for whom it is, so that anybody who had it could have encrypted it again",
        hint="have the package signed around its encryption, too (symmetric keys: or bound to this device)",
        fault=PackageFault.INCORRECT_TARGET,
    )


def _refused(message: str, fault: PackageFault) -> KeyPackageRefusedError:
    return KeyPackageRefusedError(message, fault=fault)
