"""Fuzz targets: packages by RFC 8295, what is kept of them, and paths of certificates."""

from __future__ import annotations

import hashlib
import io
from contextlib import suppress
from datetime import timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.cmc.message import read_message
from device_sdk_simulators.cmc.refusal import CmcRefusedError
from device_sdk_simulators.http.messages import HttpError
from device_sdk_simulators.packages.sealed_returns import opened_by
from pyasn1_alt_modules import rfc7191

from device_sdk.client.device.importing import read_trust_anchor, read_trust_anchors
from device_sdk.errors import (
    ConfigurationError,
    DeviceSdkError,
    FirmwareError,
    StateError,
    TampRefusedError,
    WireError,
)
from device_sdk.model.secret import Secret
from device_sdk.model.shared_key import SharedKey
from device_sdk.protocols.crls import check_crls, read_crls
from device_sdk.protocols.est.urls import EstEndpoint
from device_sdk.protocols.firmware import read_record
from device_sdk.protocols.merge_crls import merge_lists
from device_sdk.protocols.pal import PalWalk, pal_request, plan_of, read_pal_answer
from device_sdk.protocols.pal.concerns import names
from device_sdk.protocols.pal.walk import MAX_ENTRIES
from device_sdk.protocols.symmetric_keys import KeyRules, PackageRules, peel, usable_keys
from device_sdk.protocols.tamp import AnchorStore, HeldAnchor, Role, Trusting, process
from device_sdk.protocols.tamp.signers import TampSigner
from device_sdk.protocols.tamp.updates import apply_updates
from device_sdk.state.generated_keys import read_generated
from device_sdk.state.managed_anchors import read_store
from device_sdk.state.outbox import OutboxMessage
from device_sdk.state.packages import read_editions
from device_sdk.state.processed import ProcessedPackage
from device_sdk.state.sync_journal import SyncJournal
from device_sdk.state.taken_keys import read_taken_keys
from device_sdk.wire import der
from device_sdk.wire.ber import children
from device_sdk.wire.certs_only import usable_certificates
from device_sdk.wire.cms.reader import PlainReader
from device_sdk.wire.cms.signed_data import read_signed_data
from device_sdk.wire.firmware import (
    FirmwareAttributes,
    FirmwarePackage,
    LegacyName,
    read_error,
    read_receipt,
    unpack_package,
    verify_package,
)
from device_sdk.wire.firmware.attributes import read_firmware_attributes
from device_sdk.wire.firmware.oids import LAYERS
from device_sdk.wire.firmware.signers import wrapped_key_of
from device_sdk.wire.key_packages.encrypted import read_encrypted_key_package
from device_sdk.wire.key_packages.receipts import read_receipt_request
from device_sdk.wire.key_packages.symmetric import read_symmetric_key_package
from device_sdk.wire.name_constraints import constraints_problem
from device_sdk.wire.path import find_path
from device_sdk.wire.path_inputs import PathInputs
from device_sdk.wire.policies import policy_problem
from device_sdk.wire.relations import Relations
from device_sdk.wire.revocation import ListsByIssuer
from device_sdk.wire.tamp.anchors import read_anchor
from device_sdk.wire.tamp.apex import ApexUpdate, read_contingency_key
from device_sdk.wire.tamp.certificates import as_certificate
from device_sdk.wire.tamp.contents import read_request
from device_sdk.wire.tamp.envelope import Seen
from device_sdk.wire.tamp.oids import TO_DEVICES
from device_sdk.wire.tamp.query import read_status_response
from device_sdk.wire.tamp.update import Update
from device_sdk.wire.tpm_secret import read_tpm_secret
from tests.fuzz.common import LIMIT, NOW, VECTORS, answered, empty_state, keys


def key_package(data: bytes) -> None:
    """A package of symmetric keys, whatever is around it; the content of its attributes; requests for receipts."""
    rules = PackageRules((), NOW, require_signature=False, require_encryption=False)
    with suppress(DeviceSdkError):
        peel(data, rules, keys())
    with suppress(DeviceSdkError):
        usable_keys(read_symmetric_key_package(data), KeyRules(NOW))
    for read in (read_encrypted_key_package, lambda value: read_receipt_request((value,))):
        with suppress(DeviceSdkError):
            read(data)


def firmware(data: bytes) -> None:
    """A firmware package in both passes, as if it had been signed, and reports about one."""
    file = io.BytesIO(data)
    with suppress(FirmwareError):
        verify_package(file, anchors=[], now=NOW, require_signed=False, limit_bytes=LIMIT)
    with suppress(WireError, FirmwareError):
        for signer in read_signed_data(data, limit_bytes=LIMIT).signers:
            wrapped_key_of(signer)
            read_firmware_attributes(signer.attributes)
    said = FirmwareAttributes(LegacyName(b"x"), None, (), decrypt_key=b"key-1")
    opens = (SharedKey(b"key-1", Secret(bytes(32))), SharedKey(b"kek", Secret(bytes(32))))
    for kind in LAYERS:
        package = FirmwarePackage(kind, said, digest_oid="2.16.840.1.101.3.4.2.1", limit_bytes=LIMIT)
        size = 0

        def count(piece: bytes) -> None:
            nonlocal size
            size += len(piece)

        with suppress(FirmwareError):
            unpack_package(file, package, count, keys=opens, limit_bytes=LIMIT)
        if size > LIMIT:
            raise AssertionError("more than the limit")
    for read in (read_receipt, read_error):
        with suppress(WireError):
            read(data)


def kept_file(data: bytes) -> None:
    """Files the SDK wrote itself, and somebody else changed: a symmetric key of a TPM, the records of firmware and keys, and of keys of the server's."""
    for read in (read_tpm_secret, read_record):
        with suppress(WireError):
            read(data)
    with suppress(StateError):
        read_taken_keys(Path("key-packages.json"), data)
    with suppress(StateError):
        read_generated(Path("generated.json"), data)
    with suppress(StateError):
        read_editions(Path("crl-editions.json"), data)


def package_list(data: bytes) -> None:
    """An answer of /pal in either form, what it makes a client do, and an answer that leads to further ones."""
    endpoint, walk = EstEndpoint("https://est.example"), PalWalk(EstEndpoint("https://est.example"))
    with suppress(DeviceSdkError):
        while walk.target is not None:
            pal_request(walk.target)
            walk.feed(read_pal_answer(answered(data, "application/json"), NOW))
    found = plan_of(walk.entries, endpoint)
    if len(found.steps) > MAX_ENTRIES or not all(one.target.startswith("/.well-known/est/") for one in found.steps):
        raise AssertionError("a list leads elsewhere, or further than anybody goes")
    for step in found.steps:
        if step.entry.certificate is not None:
            names(step.entry.certificate, sealed_returns_key().certificate)


def revocation_lists(data: bytes) -> None:
    """An answer of /crls; each of its lists, as if a trusted CA had signed it, beside one that is kept."""
    anchor = sealed_returns_key().certificate
    found: tuple[x509.CertificateRevocationList, ...] = ()
    with suppress(DeviceSdkError):
        found = read_crls(answered(data, "application/pkcs7-mime; smime-type=crls-only"), NOW)
    signed = [again for one in found[:4] if (again := _signed_again(one)) is not None]
    judged = check_crls((*found[:4], *signed), anchors=[anchor], intermediates=(), now=NOW, signers=[anchor])
    held = check_crls(signed, anchors=[anchor], intermediates=(), now=NOW)
    kept = tuple(one.crl for one in merge_lists(held, judged).kept)
    for lists in (kept, found):
        ListsByIssuer(lists).problem((anchor, anchor), NOW)
        ListsByIssuer(lists).signed_problem((anchor, anchor), NOW, Relations(), timedelta(0))


def kept_state(data: bytes) -> None:
    """Files of a state directory that somebody changed: tamp.json, of outbox/ and processed/, sync.json, lists and peers."""
    place = hashlib.sha256(b"https://est.example/k-1").hexdigest()
    for read, name in (
        (read_store, "tamp.json"),
        (OutboxMessage.from_bytes, f"{1:012}-{0:032}.json"),
        (ProcessedPackage.from_bytes, f"{place}.json"),
        (SyncJournal.from_bytes, "sync.json"),
    ):
        with suppress(StateError):
            found = read(Path(name), data)
            if not isinstance(found, AnchorStore) and type(found).from_bytes(Path(name), found.to_bytes()) != found:
                raise AssertionError("what is read is not what is written")
    packages = empty_state().packages
    for read_kept, name in (
        (packages.lists, "crls.pem"),
        (packages.issuers, "crl-issuers.pem"),
        (packages.peers, "peers.pem"),
    ):
        (empty_state().path / name).write_bytes(data)
        with suppress(StateError):
            read_kept()


def path(data: bytes) -> None:
    """Certificates, the one in question first: the search of a path to the last one, and the rules on all of them as if their
    signatures were good."""
    try:
        found = usable_certificates(element for _, element, _ in children(data))
    except (ValueError, DeviceSdkError):
        return
    if not found:
        return
    inputs = PathInputs(policies=frozenset({"2.16.840.1.101.3.2.1.48.1"}), require_explicit_policy=True)
    for judge in (constraints_problem, lambda chain: policy_problem(chain, inputs)):
        judge(found)
    with suppress(DeviceSdkError):
        find_path(found[0], intermediates=found, anchors=found[-1:], now=NOW, inputs=inputs)


def tamp(data: bytes) -> None:
    """A message about trust anchors: its envelope, as if it had been signed, and its content; an anchor, or several, in a file."""
    store, seen = AnchorStore(), Seen()
    with suppress(TampRefusedError):
        process(data, store, Trusting(NOW), seen)
    kind, content = TO_DEVICES[data[0] % len(TO_DEVICES)] if data else TO_DEVICES[0], data[1:]
    with suppress(ValueError, TampRefusedError):
        request = read_request(kind, content)
        signer = TampSigner(_apex(), key=b"apex")
        if isinstance(request, Update):
            apply_updates(request, AnchorStore((_apex(),)), signer)
        elif isinstance(request, ApexUpdate):
            with suppress(ValueError):
                read_contingency_key(request.anchor.effective[1])
    for one in (data, content):
        with suppress(ConfigurationError):
            as_certificate(read_trust_anchor(one, "a file"))
        with suppress(ConfigurationError):
            for listed in read_trust_anchors(one, "a list"):
                as_certificate(listed)
        with suppress(ValueError, TampRefusedError):
            read_status_response(one)


def sealed_return(data: bytes) -> None:
    """A receipt or an error as the reference server takes it, encrypted or not."""
    with suppress(HttpError, CmcRefusedError):
        message = opened_by(data, sealed_returns_key)
        content_types = (str(rfc7191.id_ct_KP_keyPackageReceipt), str(rfc7191.id_ct_KP_keyPackageError))
        read_message(message, content_types=content_types)


def _signed_again(found: x509.CertificateRevocationList) -> x509.CertificateRevocationList | None:
    """The same list with a signature of the CA whose key everybody knows; None if that is no list."""
    signature = keys()[1].sign(found.tbs_certlist_bytes, ec.ECDSA(hashes.SHA256()))  # type: ignore[arg-type,call-arg,union-attr]  # an elliptic curve key
    algorithm = der.sequence(der.oid("1.2.840.10045.4.3.2"))
    try:
        again = x509.load_der_x509_crl(der.sequence(found.tbs_certlist_bytes, algorithm, der.tlv(3, b"\0" + signature)))
        _ = again.issuer, again.last_update_utc, again.next_update_utc, again.extensions, len(again)
    except (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return None
    return again


@cache
def sealed_returns_key() -> Authority:
    """To whom they are encrypted here: the elliptic curve key that everybody knows, and a certificate of it."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Returns")])
    key = keys()[1]
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=3650))  # type: ignore[arg-type]  # as above
    return Authority(builder.sign(key, hashes.SHA256()), key)  # type: ignore[arg-type]  # as above


@cache
def _apex() -> HeldAnchor:
    certificate = x509.load_pem_x509_certificate((VECTORS / "validation-response.cert.pem").read_bytes())
    return HeldAnchor(read_anchor(PlainReader(certificate.public_bytes(Encoding.DER))), Role.APEX)
