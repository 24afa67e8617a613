"""What is fuzzed: one function a reader of what comes from outside. Whatever it is given, nothing but DeviceSdkError may escape;
of the reference server, nothing but its refusals."""

from __future__ import annotations

import http.client
import io
import json
import tomllib
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.cmc.message import read_message
from device_sdk_simulators.cmc.refusal import CmcRefusedError
from device_sdk_simulators.http.messages import HttpError
from device_sdk_simulators.packages.sealed_returns import opened_by
from pyasn1_alt_modules import rfc7191

from device_sdk.client.agent.operations import prepare
from device_sdk.client.bench import Proof
from device_sdk.client.bench.console.plain_facts import parse_plain_facts
from device_sdk.client.bench.plain import facts_from_json, key_from_json, proof_from_json, wish_from_json
from device_sdk.client.bench.refusal import refusal
from device_sdk.client.device.bench import DeviceBench
from device_sdk.client.device.importing import read_trust_anchor
from device_sdk.errors import (
    BenchError,
    ConfigurationError,
    DeviceSaysError,
    DeviceSdkError,
    EnvelopeError,
    FirmwareError,
    LineError,
    TampRefusedError,
    WireError,
    WrongDeviceError,
)
from device_sdk.model.http import ConnectionFacts, HttpResponse
from device_sdk.model.keys import PrivateKey
from device_sdk.model.pkcs12 import Pkcs12Policy
from device_sdk.model.secret import Secret
from device_sdk.model.shared_key import SharedKey
from device_sdk.protocols.agent import AgentLink, Arrived, StationLink
from device_sdk.protocols.cale.answers import read_registration, read_resource, read_whoami
from device_sdk.protocols.cale.documents import Document, read_document
from device_sdk.protocols.console.boot_loader import variable
from device_sdk.protocols.console.program import Answers, read_piece
from device_sdk.protocols.console.prompts import is_garbage, says_incorrect, shown
from device_sdk.protocols.console.terminal import TerminalText
from device_sdk.protocols.est.ca_certificates import spki
from device_sdk.protocols.est.full_cmc import Sent, Trusted, read_fullcmc
from device_sdk.protocols.est.relayed import RelayedIdentity, check_content, check_relayed
from device_sdk.protocols.est.responses import read_cacerts, read_csrattrs, read_enrolment
from device_sdk.protocols.est.saved_answer import as_multipart, read_saved_answer
from device_sdk.protocols.est.server_key_answer import CMS, PKCS12, read_server_key
from device_sdk.protocols.firmware import read_record
from device_sdk.protocols.key_packages.layers import peel as peel_to
from device_sdk.protocols.symmetric_keys import KeyRules, PackageRules, peel, usable_keys
from device_sdk.protocols.tamp import AnchorStore, HeldAnchor, Role, Trusting, process
from device_sdk.protocols.tamp.signers import TampSigner
from device_sdk.protocols.tamp.updates import apply_updates
from device_sdk.station.ledger.content import MAX_FACTS_BYTES, bounded
from device_sdk.station.ledger.entry import canonical
from device_sdk.station.profile.identity import IdentityTable
from device_sdk.station.profile.template import Template
from device_sdk.station.run.checks import check_certificate
from device_sdk.station.run.proof import Trust, check_proof
from device_sdk.transports.https.faults import FOREIGN
from device_sdk.transports.https.head import Response
from device_sdk.wire.agent.frames import Frame
from device_sdk.wire.agent.hello import AgentHello, StationHello
from device_sdk.wire.agent.messages import Request, read_from_agent
from device_sdk.wire.agent.text import read_object, write_object
from device_sdk.wire.ber import children
from device_sdk.wire.binary_http import BINARY_HTTP, MAX_HEAD_BYTES, check_pieces, read_head
from device_sdk.wire.cale import parse_certificate, parse_guid, says_encrypted, split_content_types
from device_sdk.wire.certs_only import usable_certificates
from device_sdk.wire.cmc.pki_response import read_pki_response
from device_sdk.wire.cms import open_envelope, open_stream
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
from device_sdk.wire.key_packages.asymmetric import ASYMMETRIC_KEY_PACKAGE, read_asymmetric_key_package
from device_sdk.wire.key_packages.encrypted import read_encrypted_key_package
from device_sdk.wire.key_packages.receipts import read_receipt_request
from device_sdk.wire.key_packages.symmetric import read_symmetric_key_package
from device_sdk.wire.name_constraints import constraints_problem
from device_sdk.wire.path import find_path
from device_sdk.wire.path_inputs import PathInputs
from device_sdk.wire.pkcs12 import read_pkcs12
from device_sdk.wire.pkcs12.derivation import Derivations
from device_sdk.wire.pkcs12.reader import Bags
from device_sdk.wire.policies import policy_problem
from device_sdk.wire.private_key import read_private_key
from device_sdk.wire.tamp.anchors import read_anchor
from device_sdk.wire.tamp.apex import ApexUpdate, read_contingency_key
from device_sdk.wire.tamp.certificates import as_certificate
from device_sdk.wire.tamp.contents import read_request
from device_sdk.wire.tamp.envelope import Seen
from device_sdk.wire.tamp.oids import TO_DEVICES
from device_sdk.wire.tamp.query import read_status_response
from device_sdk.wire.tamp.update import Update
from device_sdk.wire.tpm_secret import read_tpm_secret

NOW = datetime(2026, 11, 1, tzinfo=UTC)
_TEMPLATE = Template.parse('subject = "CN=${serial_number}"\nlast = true', "fuzz")
URL = "https://edge.example/resource"
LIMIT = 64 * 1024

EXPECTED = RelayedIdentity("SN-4711", b"", macs=("00:00:5e:00:53:01",), also=("2.5.29.9", "2.5.4.3", "1.2.3.4"))
"""What the station knows of the device whose request is fuzzed."""

_VECTORS = Path(__file__).parents[1] / "vectors" / "cale"
_CONNECTION = ConnectionFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384")


@cache
def keys() -> tuple[PrivateKey, ...]:
    """The key of the draft's appendix B.1, and an elliptic curve key that everybody knows."""
    draft = load_pem_private_key((_VECTORS / "privkey.enc.pem").read_bytes(), b"password")
    return draft, ec.derive_private_key(0xFACADE, ec.SECP256R1())  # type: ignore[return-value]  # it is an RSA key


def envelope(data: bytes) -> None:
    """An encrypted message, for a key of each kind; one error with one text."""
    with suppress(EnvelopeError):
        open_envelope(data, keys()[1] if data[:1] == b"\x30" else keys(), limit_bytes=LIMIT)


def stream(data: bytes) -> None:
    """The same in pieces; the first byte says how large. What opens so opens in one to the same."""
    size, message = 1 + (data[0] if data else 0), data[1:]
    whole: bytes | None = None
    with suppress(EnvelopeError):
        whole = open_envelope(message, keys()[1], limit_bytes=LIMIT)
    pieces = (message[at : at + size] for at in range(0, len(message), size))
    with suppress(EnvelopeError):
        found = b"".join(open_stream(pieces, keys()[1], io.BytesIO(), limit_bytes=LIMIT))
        if found != whole:
            raise AssertionError("two readers, two plaintexts")


def cale_answer(data: bytes) -> None:
    """An answer of an edge device, from its first octet: status, header fields in all their forms, body."""
    response = _over_http(data)
    if response is None:
        return
    for value in split_content_types(response.header_values("Content-Type")):
        says_encrypted(value)
    for read in (read_registration, read_resource, read_whoami):
        with suppress(DeviceSdkError):
            read(response, keys()[1])


def cale_plaintext(data: bytes) -> None:
    """What was decrypted: a GUID, a certificate; a whole response, which says the same in one piece and in several."""
    for parse in (parse_guid, parse_certificate):
        with suppress(WireError):
            parse(data)
    whole: Document | None = None
    with suppress(WireError):
        whole = read_document(BINARY_HTTP, data)
    with suppress(WireError):
        head = read_head(data[:MAX_HEAD_BYTES])
        if check_pieces(head, (data[at : at + 100] for at in range(0, len(data), 100))) != (whole is not None):
            raise AssertionError("two readers, two answers")


def http_head(data: bytes) -> None:
    """An HTTP response from its first octet."""
    _over_http(data)


def csrattrs(data: bytes) -> None:
    """An answer of /csrattrs, and what is made of it."""
    with suppress(DeviceSdkError):
        wishes = read_csrattrs(_response(data, "application/csrattrs"), NOW)
        _ = wishes.required_key_types
        with suppress(DeviceSdkError):
            wishes.signature()


def certs_only(data: bytes) -> None:
    """Answers of /cacerts and /simpleenroll."""
    response = _response(data, "application/pkcs7-mime; smime-type=certs-only")
    for read in (read_cacerts, read_enrolment):
        with suppress(DeviceSdkError):
            read(response, NOW)


def multipart(data: bytes) -> None:
    """An answer of /serverkeygen; the first line is the Content-Type."""
    content_type, _, body = data.partition(b"\n")
    with suppress(DeviceSdkError):
        read_server_key(_response(body, content_type.decode("latin-1")), NOW)


def saved_answer(data: bytes) -> None:
    """What somebody saved of an answer: with its head, with several, or without one."""
    for read in (read_cacerts, read_csrattrs, read_enrolment, read_server_key):
        with suppress(DeviceSdkError):
            read(as_multipart(read_saved_answer(data, URL)), NOW)


def private_key(data: bytes) -> None:
    """A private key as a server sends it."""
    with suppress(DeviceSdkError):
        read_private_key(data)


def generated_key(data: bytes) -> None:
    """What RFC 8295 lets /serverkeygen answer: packages of a key, PKCS#12 files, and what is behind the MAC of those."""
    rules = PackageRules(
        (), NOW, require_signature=False, require_encryption=False, content_type=ASYMMETRIC_KEY_PACKAGE
    )
    policy = Pkcs12Policy(Secret("password"), allow_legacy=True, max_iterations=2000)
    with suppress(DeviceSdkError):
        read_server_key(_response(data, CMS), NOW, accepted=(CMS, PKCS12))
    with suppress(DeviceSdkError):
        read_asymmetric_key_package(peel_to(data, rules, keys()).content)
    for read in (read_asymmetric_key_package, lambda value: read_pkcs12(value, policy)):
        with suppress(DeviceSdkError):
            read(data)
    with suppress(ValueError, DeviceSdkError):
        Bags(Derivations(policy)).take_safes(data)


def cmc_response(data: bytes) -> None:
    """An answer of /fullcmc; its content; and the SignedData around it."""
    for read in (read_signed_data, read_pki_response):
        with suppress(DeviceSdkError):
            read(data)
    response = _response(data, "application/pkcs7-mime; smime-type=CMC-response")
    with suppress(DeviceSdkError):
        read_fullcmc(response, Sent(1, b"nonce"), _trusted(), NOW)


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
    """Files the SDK wrote itself, and somebody else changed: a symmetric key of a TPM, the record of installed firmware."""
    for read in (read_tpm_secret, read_record):
        with suppress(WireError):
            read(data)


def device_answer(data: bytes) -> None:
    """What a device on a line says to its station: facts, keys and proofs, which go into the ledger as well; and its request
    for a certificate, as if it were signed."""
    with suppress(ValueError, RecursionError):
        value = json.loads(data)
        for read in (facts_from_json, key_from_json, proof_from_json, wish_from_json):
            with suppress(LineError):
                read(value)
        text = canonical(bounded({"said": value, "text": data.decode("latin-1")}))
        if len(text) > MAX_FACTS_BYTES or not text.isprintable():
            raise AssertionError("a device makes an entry of the ledger large or unreadable")
    with suppress(BenchError):
        check_relayed(data, EXPECTED)
    _device_words(data.decode("utf-8", "replace"))
    _device_certificate(data)
    try:
        csr = x509.load_der_x509_csr(data)
        _ = csr.subject, csr.extensions, list(csr.attributes), csr.public_key()
    except Exception:  # noqa: BLE001  # cryptography's own, which check_relayed has seen, too
        return
    with suppress(BenchError):
        check_content(csr, replace(EXPECTED, public_key=spki(csr)))


def _device_words(said: str) -> None:
    """What a device says becomes a part of a string in its configuration, or nothing."""
    with suppress(WrongDeviceError):
        if tomllib.loads(_TEMPLATE.render({"serial_number": said}).decode()) != {"subject": f"CN={said}", "last": True}:
            raise AssertionError("a device's words became more than a part of a string")


def _device_certificate(data: bytes) -> None:
    """What it proves itself with: the proof, and the names as if the proof were good."""
    with suppress(BenchError, DeviceSdkError):
        check_proof(Proof(data, b""), bytes(32), Trust(()), NOW)
    with suppress(ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        certificate = x509.load_der_x509_certificate(data)
        with suppress(WrongDeviceError):
            check_certificate(certificate, "SN-1", IdentityTable())


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
    """A message about trust anchors: its envelope, as if it had been signed, and its content; an anchor in a file."""
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
        with suppress(ValueError, TampRefusedError):
            read_status_response(one)


def serial_line(data: bytes) -> None:
    """What comes over a serial line, to both ends of the link: as it is, and with the sums put right so that more gets in."""
    summed = b"~".join(_summed(piece) for piece in data.split(b"~"))
    for link in (AgentLink(token=_token), StationLink(token=_token)):
        _greet(link)
        for number, line in enumerate((data, summed, data[:7], summed[3:])):
            with suppress(DeviceSdkError):
                for event in link.receive(line, number):
                    if isinstance(event, Arrived) and len(event.data) > len(data):
                        raise AssertionError("more than was sent")
            if sum(map(len, link.outgoing(number))) > 10_000 + 40 * len(data):
                raise AssertionError("it answers more than it is asked")


def serial_message(data: bytes) -> None:
    """A message of a station or an agent, and what is made of it."""
    for read in (StationHello.from_bytes, AgentHello.from_bytes, read_from_agent):
        with suppress(WireError):
            read(data)
    with suppress(WireError):
        request = Request.from_bytes(data)
        prepare(DeviceBench(None), request.op, request.params)  # type: ignore[arg-type]  # nothing of it is called
    with suppress(WireError):
        content = read_object(data)
        write_object(content)
        for understand in (facts_from_json, key_from_json, proof_from_json, wish_from_json):
            for value in (content, content.get("result")):
                with suppress(LineError):
                    understand(value)


def _summed(piece: bytes) -> bytes:
    body = piece.replace(b"}^", b"~").replace(b"}]", b"}")[:-8]
    return (body + b"%08x" % zlib.crc32(body)).replace(b"}", b"}]").replace(b"~", b"}^")


def _token(size: int) -> str:
    return "0123456789abcdef"[: 2 * size]


def _greet(link: AgentLink | StationLink) -> None:
    """A session, of this name, whoever the other end is."""
    said = (
        Frame("H", _token(4), payload=StationHello((1,)).to_bytes())
        if isinstance(link, AgentLink)
        else Frame("h", _token(4), payload=AgentHello((1,), 1, _token(4), _token(8)).to_bytes())
    )
    link.outgoing(0)
    link.receive(said.to_bytes(), 0)
    link.send(b"x" * 300)


def sealed_return(data: bytes) -> None:
    """A receipt or an error as the reference server takes it, encrypted or not."""
    with suppress(HttpError, CmcRefusedError):
        message = opened_by(data, sealed_returns_key)
        content_types = (str(rfc7191.id_ct_KP_keyPackageReceipt), str(rfc7191.id_ct_KP_keyPackageError))
        read_message(message, content_types=content_types)


@cache
def sealed_returns_key() -> Authority:
    """To whom they are encrypted here: the elliptic curve key that everybody knows, and a certificate of it."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Returns")])
    key = keys()[1]
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=3650))  # type: ignore[arg-type]  # as above
    return Authority(builder.sign(key, hashes.SHA256()), key)  # type: ignore[arg-type]  # as above


@cache
def _apex() -> HeldAnchor:
    certificate = x509.load_pem_x509_certificate((_VECTORS / "validation-response.cert.pem").read_bytes())
    return HeldAnchor(read_anchor(PlainReader(certificate.public_bytes(Encoding.DER))), Role.APEX)


def console(data: bytes) -> None:
    """What a console shows, from its bytes to what is taken for an answer."""
    terminal, answers = TerminalText(), Answers("0123456789abcdef")
    text = "".join(terminal.feed(data[at : at + 7]) for at in range(0, len(data), 7))
    assert all(one.isprintable() or one in "\n\t" for one in text)
    shown(text)
    says_incorrect(text)
    is_garbage(data)
    variable(text, "ethaddr")
    for found in answers.piece().finditer(text):
        read_piece(found, 1, 0)
    with suppress(DeviceSaysError):
        parse_plain_facts(text)
    refusal({"message": text, "code": text, "hint": None}, "fuzz")


TARGETS: dict[str, Callable[[bytes], None]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        envelope,
        stream,
        cale_answer,
        cale_plaintext,
        http_head,
        csrattrs,
        certs_only,
        multipart,
        saved_answer,
        private_key,
        generated_key,
        cmc_response,
        key_package,
        firmware,
        path,
        kept_file,
        device_answer,
        tamp,
        serial_line,
        serial_message,
        sealed_return,
        console,
    )
}


@cache
def _trusted() -> Trusted:
    certificate = x509.load_pem_x509_certificate((_VECTORS / "validation-response.cert.pem").read_bytes())
    return Trusted((certificate,), (certificate,))


def _response(body: bytes, content_type: str) -> HttpResponse:
    return HttpResponse(200, (("Content-Type", content_type),), body, URL, _CONNECTION)


class _Wire:
    """A connection over which these bytes come, and then nothing."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: object, **__: object) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(self._data))  # type: ignore[arg-type]  # it is one for this purpose


def _over_http(data: bytes) -> HttpResponse | None:
    """The response as the transport sees it; None if there is none."""
    try:
        response = Response(_Wire(data), method="GET")
        response.begin()
        body = b"".join(_body(response))
        return HttpResponse(response.status, response.fields, body, URL, _CONNECTION)
    except (DeviceSdkError, *FOREIGN):
        return None


def _body(response: http.client.HTTPResponse) -> Iterator[bytes]:
    size = 0
    while size <= LIMIT and (piece := response.read(8192)):
        size += len(piece)
        yield piece
