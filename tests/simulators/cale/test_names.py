"""Names of owners arrive as they were proven, or are refused; a name that makes no certificate poisons nothing."""

from __future__ import annotations

import json
import socket
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from device_sdk_simulators.ca.hierarchy import make_authority
from device_sdk_simulators.ca.keys import new_key, pem, write_key
from device_sdk_simulators.cale import headers
from device_sdk_simulators.cale.authorization import AuthorizationServer
from device_sdk_simulators.cale.records import CsrRecord, MemoryRecords
from device_sdk_simulators.cale.roles import EdgeSettings, RolePlace, edge_role
from device_sdk_simulators.cale.rules import CaleRules
from device_sdk_simulators.http.messages import Request
from device_sdk_simulators.http.parser import Limits, RequestReader
from device_sdk_simulators.policy import Policy

from tests.simulators.cale.support import KEYS, csr_pem
from tests.simulators.server.test_decoys import kind_of

LONG = "ü" * 40
"""40 characters, 80 bytes: a certificate takes 64 bytes."""
REFUSED = ["alice ", " alice", "\talice", "al\x00ice", "alice\x7f", "alice\u00a0", "alice\u200b", "\u202ealice"]
REFUSED += ["Zoe\u0308", LONG, "n" * 65]
"""What trimming, hiding or Unicode normalisation makes another name of."""


@pytest.fixture
def standalone(tmp_path):
    """An edge device with everything inside, in front of nothing."""
    tokens = {"bob": "bob", "long": LONG}
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        settings = EdgeSettings(upstream=f"http://127.0.0.1:{nobody.getsockname()[1]}", tokens=tokens)
        with edge_role(RolePlace(tmp_path / "edge"), Policy(cale=CaleRules()), settings) as edge:
            yield edge


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def statuses(client, count: int = 12) -> set[int]:
    """Of strangers, on both kinds of path."""
    return {client.get(path, guid=str(uuid.uuid4()))[0] for _ in range(count) for path in ("/x", "/whoami")}


@pytest.mark.slow
def test_a_name_that_makes_no_certificate_leaves_no_record(standalone, make_client):
    """64 characters are not 64 bytes; strangers stay as they are after it (CALE-36, CALE-46)."""
    client = make_client(url=standalone.url, ca_file=standalone.facts["ca_file"], key=KEYS["p256"])
    assert client.register(bearer("long")) == 403
    assert statuses(client) == {200}
    assert client.register(bearer("bob")) == 200
    assert statuses(client) | {client.get("/x")[0], client.get("/whoami")[0]} == {200}
    assert [row["identity"] for row in standalone.database.rows("SELECT identity FROM registrations")] == ["bob"]


@pytest.mark.slow
def test_records_of_earlier_versions_that_make_no_certificate_hurt_nobody(standalone, make_client):
    """Strangers go on to the next record that works, so that they are of the kinds of those who are registered."""
    client = make_client(url=standalone.url, ca_file=standalone.facts["ca_file"], key=KEYS["p256"])
    assert client.register(bearer("bob")) == 200
    csr = standalone.database.rows("SELECT csr FROM registrations")[0]["csr"]
    for first in "0123456789abcdef" * 4:
        guid = first + str(uuid.uuid4())[1:]
        standalone.database.execute(
            "INSERT INTO registrations (guid, identity, created_at, csr) VALUES (?, ?, ?, ?)",
            guid,
            LONG,
            datetime.now(UTC).isoformat(),
            csr,
        )
    assert statuses(client) == {200}
    assert client.get("/x", guid=guid)[0] == 200
    real = kind_of(client.get("/x")[2])
    assert {str(kind_of(client.get("/x", guid=str(uuid.uuid4()))[2])) for _ in range(8)} == {str(real)}


class Recorder(MemoryRecords):
    """Says what was kept."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[CsrRecord] = []

    def add(self, record: CsrRecord) -> None:
        self.kept.append(record)
        super().add(record)


def authorization(records: MemoryRecords, **rules: object) -> AuthorizationServer:
    authority = make_authority("CALE Authorization Server", new_key("ec-p256"), datetime.now(UTC))
    return AuthorizationServer(authority, records, Policy(**rules), lambda: datetime.now(UTC))


def registration(identity: str) -> Request:
    fields = [headers.identity_header(identity), ("Cipher", "ECDHE-RSA-AES256-SHA")]
    return Request("POST", "/registration", fields, csr_pem(KEYS["p256"]))


def test_what_cannot_be_answered_is_not_kept_cale_46():
    """Whatever the reason: here no certificate ends before it begins."""
    records = Recorder()
    with pytest.raises(ValueError, match="after"):
        authorization(records, cale_certificate_lifetime=timedelta(hours=-1)).handle(registration("bob"), "edge")
    assert records.kept == []
    assert authorization(records).handle(registration("bob"), "edge").status == 200
    assert len(records.kept) == 1


def test_a_damaged_record_is_a_stranger_and_hurts_none():
    """Records kept elsewhere may be damaged, too (CALE-81)."""
    records, now = MemoryRecords(), datetime.now(UTC)
    guids = [f"{first}0000000-0000-4000-8000-000000000000" for first in "048c"]
    for guid, identity, csr in zip(guids, ["", LONG, "bob", "\udcff"], [b"", b"", b"\x30", b"\x30\x80"], strict=True):
        records.add(CsrRecord(guid, identity, csr, now))
    server = authorization(records)
    for guid in (*guids, *(str(uuid.uuid4()) for _ in range(12))):
        assert server.handle(Request("GET", "/validate", [("CALE-GUID", guid)]), "edge").status == 403


@pytest.mark.parametrize("name", REFUSED, ids=ascii)
def test_names_that_become_others_are_refused_by_every_role_cale_31(make_site, make_client, name):
    site = make_site(settings={"tokens": {"t": name}})
    assert make_client(site).register(bearer("t")) == 403
    assert site.roles["authz"].log()[-1]["path"] == "/ciphers", "the edge device does not hand it on"
    records = Recorder()
    assert authorization(records).handle(registration(name), "edge").status == 403
    assert records.kept == []


@pytest.mark.parametrize(
    "name", [*REFUSED, "Zoë 100%", "a%6cice", "x=y,CN=z", "a;b", "a, b", '"q"', "\\2C", "\u4eba" * 21]
)
def test_a_name_is_the_same_behind_a_parser_cale_31(name):
    """Every server takes white space from the ends of a value (RFC 9110 section 5.5); percent-encoded there is none."""
    field, value = headers.identity_header(name)
    assert not set(value) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~@%")
    data = [f"POST /registration HTTP/1.1\r\nHost: a\r\n{field}: {value}\r\nContent-Length: 0\r\n\r\n".encode()]
    request = RequestReader(data.pop, lambda _data: None, Limits()).next_request()
    assert headers.identity_of(request) == name


def test_an_identity_that_is_no_utf_8_is_none():
    assert headers.identity_of(Request("POST", "/registration", [("CALE-Identity", "a%ff")])) is None


@pytest.mark.slow
def test_letter_case_is_part_of_a_name_and_signs_are_no_syntax(make_site, make_client):
    """Who is called like an owner in other letters, or like a piece of a name, has none of its scopes (CALE-56)."""
    names = {"a": "alice", "b": "Alice", "c": "alice,OU=admin", "d": "OU=admin+CN=alice", "e": "alice\\20"}
    site = make_site(settings={"tokens": names}, grants={"alice": ("admin",), "": ("read",)})
    for token, name in names.items():
        client = make_client(site)
        assert client.register(bearer(token)) == 200
        said = json.loads(client.read("/identity"))
        assert (said["owner"], said["scopes"]) == (name, ["admin"] if token == "a" else ["read"])


def shown(directory: Path, authority, *attributes: tuple[x509.ObjectIdentifier, str]) -> tuple[Path, Path]:
    """A TLS client certificate with this subject, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(authority.certificate.not_valid_before_utc)
        .not_valid_after(now.replace(year=now.year + 1, day=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    (directory / "c.pem").write_bytes(pem(certificate))
    write_key(directory / "c.key", key)
    return directory / "c.pem", directory / "c.key"


@pytest.mark.parametrize(
    "subject",
    [
        [(NameOID.COMMON_NAME, "alice ")],
        [(NameOID.COMMON_NAME, "alice\u200b")],
        [(NameOID.COMMON_NAME, "mallory"), (NameOID.COMMON_NAME, "alice")],
        [(NameOID.COMMON_NAME, "alice"), (NameOID.COMMON_NAME, "mallory")],
        [(NameOID.ORGANIZATION_NAME, "alice")],
        [],
    ],
    ids=ascii,
)
def test_a_certificate_whose_name_is_not_clear_proves_none_cale_02(make_site, make_client, tmp_path, subject):
    """Trimmed, "alice " would have alice's scopes; and the text of a subject without CN can be the CN of another one."""
    authority = make_authority("Device CA", new_key("ec-p256"), datetime.now(UTC))
    site = make_site(settings={"client_anchors": [authority.certificate]}, grants={"alice": ("admin",)})
    client = make_client(site, certificate=shown(tmp_path, authority, *subject))
    assert client.register({}) == 403
