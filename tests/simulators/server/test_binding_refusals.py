"""Bindings that the reference server refuses, each attack carried out over TLS: EST-90 to EST-98, EST-101, EST-107 to EST-109.

After every refusal nothing was issued; with the right binding the same connection is served.
"""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from device_sdk_simulators.server import ReferenceServer
from OpenSSL import SSL
from pyasn1.type import char, univ

from tests.simulators.server.odd_csrs import CHALLENGE_PASSWORD, IDENTITY_LINKING, odd_csr
from tests.simulators.server.support import EST, basic

VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
LABEL = b"EXPORTER-Channel-Binding"


class Wire:
    """One TLS connection of a client that knows its insides."""

    def __init__(self, server: ReferenceServer, version: str, before: Wire | None = None) -> None:
        self.server, self.version = server, version
        self.context = before.context if before else _context(version)
        self._raw = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self._raw.setblocking(True)
        self.tls = SSL.Connection(self.context, self._raw)
        if before is not None:
            self.tls.set_session(before.tls.get_session())
        self.tls.set_connect_state()
        self.tls.do_handshake()

    def exported(self, label: bytes = LABEL, size: int = 32, context: bytes | None = b"") -> bytes:
        return self.tls.export_keying_material(label, size, context)

    @property
    def finished(self) -> bytes:
        """The client's, which is the first of a full handshake."""
        return self.tls.get_finished()

    @property
    def right(self) -> str:
        """The binding this server knows: RFC 5929's, or that of RFC 9266 on TLS 1.3."""
        return text(self.finished if self.version == "1.2" else self.exported())

    def enrol(self, csr: bytes, operation: str = "simpleenroll") -> tuple[int, str]:
        body = base64.b64encode(csr)
        name, value = basic(self.server)
        head = f"POST {EST}{operation} HTTP/1.1\r\nHost: localhost\r\n{name}: {value}\r\n"
        self.tls.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.tls.recv(65536)
        head, _, content = data.decode("latin-1").partition("\r\n\r\n")
        length = int(
            next(line for line in head.lower().split("\r\n") if line.startswith("content-length")).split(":")[1]
        )
        while len(content) < length:
            content += self.tls.recv(65536).decode("latin-1")
        return int(head.split(" ")[1]), content

    def close(self) -> None:
        self._raw.close()


def _context(version: str) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(VERSIONS[version])
    return context


def text(binding: bytes) -> str:
    return base64.b64encode(binding).decode("ascii")


Attributes = list[tuple[str, list[object]]]


def password(value: object) -> Attributes:
    return [(CHALLENGE_PASSWORD, [value])]


def linking(value: object) -> Attributes:
    return [(IDENTITY_LINKING, [value])]


@dataclass(frozen=True)
class Case:
    """One request whose attributes must not be taken.

    Attributes:
        requirement: the EST-nn it breaks.
        name: in words.
        says: part of the answer.
        attributes: what it has, by its own connection and another one of the same client.
        versions: of TLS.
        policy: what is not as it comes.
    """

    requirement: str
    name: str
    says: str
    attributes: Callable[[Wire, Wire], Attributes]
    versions: tuple[str, ...] = ("1.2", "1.3")
    policy: dict[str, object] = field(default_factory=dict)


FAILED, REQUIRED = "linking failed", "linking of identity and proof of possession is required"
STRICT = {"require_binding": True}
CASES = [
    Case("EST-90", "the binding of another connection", FAILED, lambda _mine, other: password(other.right)),
    Case("EST-90", "that of another connection in the linking attribute", FAILED, lambda _mine, other: linking(other.right)),
    Case("EST-90", "a byte less", FAILED, lambda mine, _: password(mine.right[:-4])),
    Case("EST-90", "twice the right one", FAILED, lambda mine, _: password(mine.right * 2)),
    Case("EST-92", "none where it is required", REQUIRED, lambda _mine, _: [], policy=STRICT),
    Case("EST-93", "hexadecimal digits", FAILED, lambda mine, _: password(mine.finished.hex()), ("1.2",)),
    Case("EST-93", "a line break at the end", FAILED, lambda mine, _: password(mine.right + "\n")),
    Case("EST-93", "the Finished of the server", FAILED, lambda mine, _: password(text(mine.tls.get_peer_finished())), ("1.2",)),
    Case("EST-94", "an empty one where it is required", REQUIRED, lambda _mine, _: password(""), policy=STRICT),
    Case("EST-97", "the Finished message of TLS 1.3", FAILED, lambda mine, _: password(text(mine.finished)), ("1.3",)),
    Case("EST-98", "an exporter of another label", FAILED, lambda mine, _: password(text(mine.exported(b"EXPORTER-other")))),
    Case("EST-98", "an exporter of 31 bytes", FAILED, lambda mine, _: password(text(mine.exported(size=31)))),
    Case("EST-98", "an exporter with a context", FAILED, lambda mine, _: password(text(mine.exported(context=b"x")))),
    Case("EST-98", "an exporter without a context, which TLS 1.2 tells apart", FAILED,
         lambda mine, _: password(text(mine.exported(context=None))), ("1.2",)),
    Case("EST-98", "an exporter without padding", FAILED, lambda mine, _: password(text(mine.exported()).rstrip("="))),
    Case("EST-107", "a right password and a wrong linking", FAILED,
         lambda mine, other: password(mine.right) + linking(other.right)),
    Case("EST-107", "a right linking and a wrong password", FAILED,
         lambda mine, other: linking(mine.right) + password(other.right)),
    Case("EST-107", "a right one and an empty one of the same type", "twice",
         lambda mine, _: password(mine.right) + password("")),
    Case("EST-107", "a right value and a wrong one", "one value",
         lambda mine, other: [(CHALLENGE_PASSWORD, [mine.right, other.right])]),
    Case("EST-107", "the right binding and a one-time password nobody gave out", "not a one-time password",
         lambda mine, _: [*password(mine.right), ("1.2.840.113549.1.9.16.2.56", ["otp"])]),
    Case("EST-108", "an OCTET STRING", "not a DirectoryString", lambda mine, _: password(univ.OctetString(mine.right.encode()))),
    Case("EST-108", "UTF-8 that is none", "not a DirectoryString",
         lambda _mine, _: password(univ.Any(b"\x0c\x02\xff\xff"))),
    Case("EST-108", "letters that no binding has", FAILED, lambda _mine, _: password("\u20ac")),
    Case("EST-108", "more than 255 characters", "at most 255", lambda _mine, _: password("a" * 256)),
    Case("EST-109", "the user's own password", FAILED, lambda mine, _: password(mine.server.password)),
    Case("EST-109", "a revocation password", FAILED, lambda _mine, _: password(char.PrintableString("revoke me"))),
]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReferenceServer]:
    with ReferenceServer(tmp_path_factory.mktemp("bindings") / "server") as running:
        yield running


@pytest.fixture
def open_wire(server: ReferenceServer) -> Iterator[Callable[..., Wire]]:
    opened: list[Wire] = []
    policy = dict(vars(server.policy))

    def opener(version: str, before: Wire | None = None) -> Wire:
        opened.append(Wire(server, version, before))
        return opened[-1]

    yield opener
    for wire in opened:
        wire.close()
    for key, value in policy.items():
        setattr(server.policy, key, value)


@pytest.mark.parametrize(
    ("case", "version"),
    [
        pytest.param(case, version, id=f"{case.requirement}: {case.name}, TLS {version}")
        for case in CASES
        for version in case.versions
    ],
)
def test_refused_over_tls(server, open_wire, case, version):
    for key, value in case.policy.items():
        setattr(server.policy, key, value)
    mine, other = open_wire(version), open_wire(version)
    before = server.est.register.entries()
    status, said = mine.enrol(odd_csr(case.attributes(mine, other)))
    assert (status, case.says in said) == (400, True), said
    assert server.est.register.entries() == before
    assert mine.enrol(odd_csr(password(mine.right)))[0] == 200, "the connection and its binding are as they were"


@pytest.mark.parametrize("operation", ["simplereenroll", "serverkeygen"])
@pytest.mark.parametrize("version", VERSIONS)
def test_est_90_every_operation_checks_it(server, open_wire, version, operation):
    server.policy.reenroll_with_password, server.policy.serverkeygen = True, {"clear"}
    mine, other = open_wire(version), open_wire(version)
    assert mine.enrol(odd_csr(password(mine.right)))[0] == 200
    before = server.est.register.entries()
    status, said = mine.enrol(odd_csr(password(other.right)), operation)
    assert (status, FAILED in said) == (400, True), said
    assert server.est.register.entries() == before
    assert mine.enrol(odd_csr(password(mine.right)), operation)[0] == 200


@pytest.mark.parametrize("version", VERSIONS)
def test_est_93_a_resumed_session_has_a_binding_of_its_own(server, open_wire, version):
    """What was signed for the connection before is worth nothing on the one that resumes its session."""
    first = open_wire(version)
    old = first.right
    assert first.enrol(odd_csr(password(old)))[0] == 200
    second = open_wire(version, first)
    status, said = second.enrol(odd_csr(password(old)))
    assert (status, FAILED in said) == (400, True), said
    assert server.log()[-1]["resumed"] is True
