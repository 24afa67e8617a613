"""Every example of the documents reads as the README beside the files says: its tables are gone through row by row."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pyasn1.codec.der import decoder
from pyasn1_alt_modules import rfc5280, rfc8951, rfc9908

from device_sdk.wire.certs_only import read_certs_only
from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.multipart import read_multipart
from device_sdk.wire.private_key import read_private_key
from device_sdk.wire.transfer import decode_body
from tests.wire.judges import VECTORS, csr_by_pyasn1

CHALLENGE = "1.2.840.113549.1.9.7"


def tables() -> Iterator[tuple[str, list[str]]]:
    """Each row of the README's tables: the heading of its first column, and its cells."""
    heading = ""
    for line in (VECTORS / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            heading = ""
        elif not heading:
            heading = cells[0]
        elif set(cells[0]) != {"-"}:
            yield heading, cells


ROWS = list(tables())


def rows(heading: str) -> list[Any]:
    return [pytest.param(cells, id="-".join(cells[:3])) for found, cells in ROWS if found == heading]


def forms(name: str) -> list[bytes]:
    """The files of one example (`.b64`, `.pem`, `.der`): all of them hold the same bytes."""
    found = [
        path for path in (VECTORS / name).parent.glob(f"{Path(name).name}.*") if path.suffix in (".b64", ".pem", ".der")
    ]
    assert found, name
    return [path.read_bytes() for path in sorted(found)]


def decoded(name: str) -> bytes:
    bodies = {decode_body(body, labels=("CERTIFICATE REQUEST",)) for body in forms(name)}
    assert len(bodies) == 1
    return bodies.pop()


def certificates(name: str) -> tuple[x509.Certificate, ...]:
    bags = {read_certs_only(body) for body in forms(name)}
    assert len(bags) == 1
    return bags.pop()


def verify(key: object, signature: bytes, data: bytes) -> None:
    """SHA-1 with RSA, which cryptography does not call valid any more by itself."""
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(signature, data, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303  # what the documents used


def spki(holder: Any) -> bytes:
    encoded: bytes = holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def test_every_file_has_a_row_and_every_row_a_file() -> None:
    named = {cells[0] for _, cells in ROWS}
    files = {str(path.relative_to(VECTORS)) for path in VECTORS.rglob("*") if path.is_file()} - {"README.md"}
    without = {file for file in files if file not in named and file.rpartition(".")[0] not in named}
    assert not without
    assert not [name for name in named if name not in files and not list(VECTORS.glob(f"{name}.*"))]


@pytest.mark.parametrize("row", rows("certificates"))
def test_certificates(row: list[str]) -> None:
    name, count, subject, serial, not_before, signer = row
    bag = certificates(name)
    assert len(bag) == int(count)
    (found,) = [one for one in bag if one.subject.rfc4514_string() == subject]
    assert found.serial_number == int(serial, 16)
    begin = datetime.fromisoformat(not_before).replace(tzinfo=UTC)
    assert (found.not_valid_before_utc, found.not_valid_after_utc) == (begin, begin + timedelta(days=365))
    file, _, position = signer.partition(" ")
    verify(certificates(file)[int(position)].public_key(), found.signature, found.tbs_certificate_bytes)


@pytest.mark.parametrize("row", rows("request"))
def test_requests(row: list[str]) -> None:
    name, subject, binding, certificate = row
    der = decoded(name)
    csr = x509.load_der_x509_csr(der)
    assert csr.subject.rfc4514_string() == subject
    verify(csr.public_key(), csr.signature, csr.tbs_certrequest_bytes)
    attributes, _ = csr_by_pyasn1(der)
    assert base64.b64decode(attributes[CHALLENGE][2:] if binding else b"") == bytes.fromhex(binding)
    assert (CHALLENGE in attributes) is bool(binding)
    if binding:
        assert attributes[CHALLENGE][:1] == b"\x13"
    if certificate:
        assert spki(certificates(certificate)[0]) == spki(csr)


@pytest.mark.parametrize("row", rows("CSR attributes"))
def test_csr_attributes(row: list[str]) -> None:
    """By the SDK and by pyasn1-alt-modules; templates by its rfc9908, except the one with the misprinted identifier's name."""
    name, entries = row
    der = decoded(name)
    elements = CsrAttributes.from_bytes(der).elements
    assert " ".join(one.oid + ("" if one.bare else f"{{{len(one.values)}}}") for one in elements) == entries
    listing, rest = decoder.decode(der, asn1Spec=rfc8951.CsrAttrs())
    assert not rest
    assert len(listing) == len(elements)
    for element in elements:
        if element.oid == str(rfc9908.id_aa_certificationRequestInfoTemplate):
            template, rest = decoder.decode(element.values[0], asn1Spec=rfc9908.CertificationRequestInfoTemplate())
            assert not rest
            assert int(template["version"]) == 0


@pytest.mark.parametrize("row", [one for one in rows("other file") if "multipart.body.txt" in one.values[0][0]])
def test_server_generated_keys(row: list[str]) -> None:
    """The size of the trace; key and certificate belong together, and neither is the request's."""
    name, size, _ = row
    body = (VECTORS / name).read_bytes()
    assert len(body) == int(size)
    boundary = body[body.index(b"\n--") + 3 :].split(b"\n")[0].strip().decode()
    parts = read_multipart(body, f"multipart/mixed ; boundary={boundary}")
    assert len(parts) == 2
    key = read_private_key(parts[0].body)
    (certificate,) = read_certs_only(parts[1].body)
    assert spki(key) == spki(certificate)
    stem = name.replace("multipart.body.txt", "response-cert.p7")
    assert certificate == certificates(stem)[0]
    request = x509.load_der_x509_csr(
        decoded(name.replace("-multipart.body.txt", "-csr.csr" if "draft" in name else ".csr"))
    )
    assert spki(request) != spki(certificate)


def test_the_certificate_request_of_tls() -> None:
    """65 bytes: three types and two names, and no signature algorithms, so it is not one of TLS 1.2."""
    message = (VECTORS / "draft-04/a2-tls-certificate-request.bin").read_bytes()
    assert len(message) == 65
    body = message[4:] if message[0] == 13 else message
    types, rest = body[1 : 1 + body[0]], body[1 + body[0] :]
    assert list(types) == [1, 2, 64]
    assert int.from_bytes(rest[:2], "big") == len(rest) - 2, "a list of names follows at once"
    names, rest = [], rest[2:]
    while rest:
        end = 2 + int.from_bytes(rest[:2], "big")
        decoder.decode(rest[2:end], asn1Spec=rfc5280.Name())
        names.append(x509.Name.from_bytes(rest[2:end]).rfc4514_string())
        rest = rest[end:]
    assert names == ["CN=estEXTERNALCA", "CN=estExampleCA"]


def test_the_digest_values() -> None:
    """MD5 by hand, as RFC 7616 section 3.4.1 has it: two verify, and the one RFC 7030 prints does not."""
    for vector in json.loads((VECTORS / "digest-auth.json").read_text())["vectors"]:
        a1 = md5(f"{vector['username']}:{vector['realm']}:{vector['password']}")
        a2 = md5(f"{vector['method']}:{vector['uri']}")
        response = md5(f"{a1}:{vector['nonce']}:{vector['nc']}:{vector['cnonce']}:{vector['qop']}:{a2}")
        assert (response == vector["response"]) is vector["verifies"]
        assert response == vector.get("correct_response_for_printed_uri", vector["response"])


def md5(text: str) -> str:
    digest = hashes.Hash(hashes.MD5())  # noqa: S303  # what the documents used
    digest.update(text.encode())
    return digest.finalize().hex()
