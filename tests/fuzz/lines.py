"""Fuzz targets: what devices say on serial lines."""

from __future__ import annotations

import json
import tomllib
import zlib
from contextlib import suppress
from dataclasses import replace

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from device_sdk.client.agent.operations import prepare
from device_sdk.client.bench import Proof
from device_sdk.client.bench.console.plain_facts import parse_plain_facts
from device_sdk.client.bench.plain import facts_from_json, key_from_json, proof_from_json, wish_from_json
from device_sdk.client.bench.refusal import refusal
from device_sdk.client.device.bench import DeviceBench
from device_sdk.errors import (
    BenchError,
    DeviceSaysError,
    DeviceSdkError,
    LineError,
    WireError,
    WrongDeviceError,
)
from device_sdk.protocols.agent import AgentLink, Arrived, StationLink
from device_sdk.protocols.console.boot_loader import is_at, prompt_after, variable
from device_sdk.protocols.console.program import Answers, read_piece
from device_sdk.protocols.console.prompts import is_garbage, says_incorrect, shown
from device_sdk.protocols.console.terminal import TerminalText
from device_sdk.protocols.est.ca_certificates import spki
from device_sdk.protocols.est.relayed import RelayedIdentity, check_content, check_relayed
from device_sdk.station.ledger.content import MAX_FACTS_BYTES, bounded
from device_sdk.station.ledger.entry import canonical
from device_sdk.station.profile.identity import IdentityTable
from device_sdk.station.profile.template import Template
from device_sdk.station.run.checks import check_certificate
from device_sdk.station.run.proof import Trust, check_proof
from device_sdk.wire.agent.frames import Frame
from device_sdk.wire.agent.hello import AgentHello, StationHello
from device_sdk.wire.agent.messages import Request, read_from_agent
from device_sdk.wire.agent.text import read_object, write_object
from device_sdk.wire.names import parse_dn, parse_san
from tests.fuzz.common import NOW

_TEMPLATE = Template.parse('subject = "CN=${serial_number}"\nlast = true', "fuzz")
_NAMES = tuple(
    Template.parse(f'[identity]\nsubject = "{subject}"\nsan = ["dirName:{subject}"]', "fuzz")
    for subject in ("OU=u,CN=x ${serial_number} y,O=o", "/O=o/CN=x ${serial_number} y/OU=u")
)

EXPECTED = RelayedIdentity("SN-4711", b"", macs=("00:00:5e:00:53:01",), also=("2.5.29.9", "2.5.4.3", "1.2.3.4"))
"""What the station knows of the device whose request is fuzzed."""


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
    for template in _NAMES:
        with suppress(WrongDeviceError):
            identity = tomllib.loads(template.render({"serial_number": said}).decode())["identity"]
            for name in (parse_dn(identity["subject"]), parse_san(identity["san"][0]).value):
                if [part.value for part in name] != ["o", f"x {said} y", "u"]:
                    raise AssertionError("a device's words became more than a part of one value of a name")


def _device_certificate(data: bytes) -> None:
    """What it proves itself with: the proof, and the names as if the proof were good."""
    with suppress(BenchError, DeviceSdkError):
        check_proof(Proof(data, b""), bytes(32), Trust(()), NOW)
    with suppress(ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        certificate = x509.load_der_x509_certificate(data)
        with suppress(WrongDeviceError):
            check_certificate(certificate, "SN-1", IdentityTable())


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


def console(data: bytes) -> None:
    """What a console shows, from its bytes to what is taken for an answer."""
    terminal, answers = TerminalText(), Answers("0123456789abcdef")
    text = "".join(terminal.feed(data[at : at + 7]) for at in range(0, len(data), 7))
    assert all(one.isprintable() or one in "\n\t" for one in text)
    shown(text)
    says_incorrect(text)
    is_garbage(data)
    variable(text, "ethaddr")
    is_at(text, prompt_after(text, "ethaddr") or "")
    for found in answers.piece().finditer(text):
        read_piece(found, 1, 0)
    with suppress(DeviceSaysError):
        parse_plain_facts(text)
    refusal({"message": text, "code": text, "hint": None}, "fuzz")
