"""A device that asks for packages and says what became of them, over TLS, with a raw client."""

from __future__ import annotations

import http.client
import json
import ssl
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.ca.keys import new_key, pem, write_file, write_key
from device_sdk_simulators.packages.signing import PLAIN, Oddities, signed_message
from device_sdk_simulators.packages.tamp.kinds import BY_CONTENT_TYPE, ERROR, ERROR_MEDIA, Kind
from device_sdk_simulators.server import ReferenceServer
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc5652, rfc5934

from tests.simulators.server.support import PKCS10, certificates_in, client_context, make_csr, name, post


@dataclass
class Device:
    """One with a certificate of the server."""

    server: ReferenceServer
    certificate: x509.Certificate
    key: Any
    context: ssl.SSLContext = field(init=False)

    def __post_init__(self) -> None:
        pair = self.server.state.parent / f"{self.serial}.pem"
        self.write_pair(pair)
        self.context = client_context(self.server, certificate=pair)

    def write_pair(self, path: Path) -> None:
        """Key and certificate."""
        write_key(path, self.key)
        write_file(path, path.read_bytes() + pem(self.certificate))

    @property
    def serial(self) -> str:
        return f"{self.certificate.serial_number:x}"

    @property
    def signer(self) -> Authority:
        return Authority(self.certificate, self.key)

    def get(self, path: str, accept: str = "*/*") -> tuple[int, str, bytes]:
        return ask(self.server, self.context, "GET", path, accept=accept)

    def post(self, body: bytes, media: str, path: str = "tamp/return") -> tuple[int, str, bytes]:
        return ask(self.server, self.context, "POST", path, body, media=media)

    def entries(self) -> list[dict[str, Any]]:
        """Of the package list, from 0028 on."""
        found: list[dict[str, Any]] = json.loads(self.get("pal", "application/json")[2])
        return [one for one in found if one["type"] >= "0028"]

    def types(self) -> list[str]:
        return [one["type"] for one in self.entries()]

    def signed(self, content_type: str, content: bytes, odd: Oddities = PLAIN, **more: Any) -> bytes:
        options = {"certificates": [self.certificate]} | more
        return signed_message(content, content_type, self.signer, odd=odd, **options)


def ask(
    server: ReferenceServer, context: ssl.SSLContext, method: str, path: str, body=None, *, media="", accept="*/*"
) -> tuple[int, str, bytes]:
    """Status, Content-Type and body."""
    with closing(http.client.HTTPSConnection("localhost", server.port, context=context, timeout=30)) as connection:
        headers = {"Accept": accept} | ({"Content-Type": media} if media else {})
        connection.request(method, f"/.well-known/est/{path}", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Content-Type", ""), answer.read()


def enrolled(server: ReferenceServer, text: str, *extensions: x509.ExtensionType) -> Device:
    key = new_key("ec-p256")
    csr = make_csr(key, name(text), extensions=[(one, False) for one in extensions])
    (certificate,) = certificates_in(post(server, csr))
    return Device(server, certificate, key)


def renewed(device: Device) -> Device:
    """The same one with another key."""
    key = new_key("ec-p256")
    csr = make_csr(key, device.certificate.subject)
    (certificate,) = certificates_in(
        post(device.server, csr, operation="simplereenroll", client=device.certificate, headers=[PKCS10])
    )
    return Device(device.server, certificate, key)


def opened(message: bytes) -> tuple[Kind, Any]:
    """What a message says, read without a look at its signature."""
    info = decode(message, asn1Spec=rfc5652.ContentInfo())[0]
    data = decode(bytes(info["content"]), asn1Spec=rfc5652.SignedData())[0]
    kind = BY_CONTENT_TYPE[str(data["encapContentInfo"]["eContentType"])]
    spec = {
        "query": rfc5934.TAMPStatusQuery, "update": rfc5934.TAMPUpdate, "apex-update": rfc5934.TAMPApexUpdate,
        "community-update": rfc5934.TAMPCommunityUpdate, "sequence-adjust": rfc5934.SequenceNumberAdjust,
    }[kind.name]  # fmt: skip
    content = bytes(data["encapContentInfo"]["eContent"])
    return kind, decode(content, asn1Spec=spec())[0]


def reference_of(message: bytes) -> Any:
    kind, found = opened(message)
    return found["query" if kind.name == "query" else "msgRef"]


def confirm(message: bytes, *statuses: int, reference: Any = None) -> tuple[str, str, bytes]:
    """Content type, media type and DER of the terse answer to a message."""
    kind, _ = opened(message)
    answer = kind.answer_structure()
    field_name = {"query": "query", "apex-update": "apexReplace", "sequence-adjust": "adjust"}.get(kind.name, "update")
    answer[field_name] = reference_of(message) if reference is None else reference
    if kind.name == "query":
        answer["response"]["terseResponse"]["taKeyIds"].extend([b"\x01" * 20, b"\x02" * 20])
        answer["response"]["terseResponse"]["communities"].append("1.2.3")
    elif kind.name == "update":
        answer["confirm"]["terseConfirm"].extend(statuses)
    elif kind.name == "sequence-adjust":
        answer["status"] = statuses[0]
    else:
        choice = {
            "apex-update": ("apexConfirm", "terseApexConfirm"),
            "community-update": ("commConfirm", "terseCommConfirm"),
        }
        outer, inner = choice[kind.name]
        answer[outer][inner] = statuses[0]
    return kind.answer, kind.answer_media, bytes(encode(answer))


def error(kind: Kind | str, status: int, reference: Any = None) -> tuple[str, str, bytes]:
    """The same for TAMPError."""
    found = rfc5934.TAMPError()
    found["msgType"] = kind if isinstance(kind, str) else kind.content_type
    found["status"] = status
    if reference is not None:
        found["msgRef"] = reference
    return ERROR, ERROR_MEDIA, bytes(encode(found))
