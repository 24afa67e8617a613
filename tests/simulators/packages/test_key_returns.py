"""Packages of keys from the reference server, and what it takes back for them (RFC 8295 section 5; KR-04, KR-05)."""

from __future__ import annotations

import hashlib
import json
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk_simulators.database import Database
from device_sdk_simulators.packages.key_package import keys_from
from device_sdk_simulators.packages.publishing_keys import recipient_of
from device_sdk_simulators.softhsm import SimulatorError
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import tag, univ
from pyasn1_alt_modules import rfc5280, rfc5652, rfc7191

from tests.simulators.packages.conftest import curl, publish, sim
from tests.simulators.server.support import PKCS10, certificates_in, make_csr, name, post

JSON = ("-H", "Accept: application/json")
RECEIPT, ERROR = rfc7191.id_ct_KP_keyPackageReceipt, rfc7191.id_ct_KP_keyPackageError
MEDIA = "application/cms; encapsulatingContent=signedData; innerContent=keyPackageReceipt"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps([{"id": "k", "algorithm": "AES", "value": "00" * 16}]))
    path.chmod(0o600)
    return path


def statement(name: x509.Name, package_id: bytes | None, *, code: int | None = None) -> tuple[object, bytes]:
    value = rfc7191.KeyPackageReceipt() if code is None else rfc7191.KeyPackageError()
    if package_id is not None:
        value["receiptOf" if code is None else "errorOf"]["pkgID"] = package_id
    entity = value["receivedBy" if code is None else "errorBy"]
    entity["sirenType"], entity["sirenValue"] = rfc7191.id_dn, name.public_bytes()
    if code is not None:
        value["errorCode"]["enum"] = code
    return (RECEIPT if code is None else ERROR), bytes(encode(value))


def signed(content: tuple[object, bytes], key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> bytes:
    kind, inside = content
    info = rfc5652.SignerInfo()
    info["version"] = 1
    sid = info["sid"]["issuerAndSerialNumber"]
    sid["issuer"] = decode(certificate.issuer.public_bytes(), asn1Spec=rfc5280.Name())[0]
    sid["serialNumber"] = certificate.serial_number
    info["digestAlgorithm"]["algorithm"] = "2.16.840.1.101.3.4.2.1"
    values = (
        (rfc5652.id_contentType, kind),
        (rfc5652.id_messageDigest, univ.OctetString(hashlib.sha256(inside).digest())),
    )
    for position, (oid, value) in enumerate(values):
        info["signedAttrs"][position]["attrType"] = oid
        info["signedAttrs"][position]["attrValues"][0] = encode(value)
    info["signatureAlgorithm"]["algorithm"] = "1.2.840.10045.4.3.2"
    covered = b"\x31" + bytes(encode(info["signedAttrs"]))[1:]
    info["signature"] = key.sign(covered, ec.ECDSA(hashes.SHA256()))
    data = rfc5652.SignedData()
    data["version"] = 3
    data["digestAlgorithms"][0]["algorithm"] = "2.16.840.1.101.3.4.2.1"
    data["encapContentInfo"]["eContentType"] = kind
    data["encapContentInfo"]["eContent"] = univ.OctetString(inside).subtype(
        explicitTag=tag.Tag(tag.tagClassContext, tag.tagFormatSimple, 0)
    )
    data["signerInfos"][0] = info
    return content_info(rfc5652.id_signedData, bytes(encode(data)))


def content_info(kind: object, content: bytes) -> bytes:
    info = rfc5652.ContentInfo()
    info["contentType"], info["content"] = kind, content
    return bytes(encode(info))


@pytest.fixture
def back(tmp_path: Path):
    def send(device, body: bytes, media: str = MEDIA) -> tuple[int, bytes]:
        file = tmp_path / "body"
        file.write_bytes(body)
        words = ("-X", "POST", "-H", f"Content-Type: {media}", "--data-binary", f"@{file}")
        status, _, text = device.get("symmetrickeys/return", *words)
        return status, text

    return send


def package_id_of(server) -> bytes:
    row = server.est.packages.shelf._database.row("SELECT package_id FROM key_packages")
    return bytes(row["package_id"])


def returns(server) -> list[dict[str, object]]:
    found: list[dict[str, object]] = server.est.packages.key_returns.overview()
    return found


def types(device) -> list[str]:
    return [entry["type"] for entry in json.loads(device.get("pal", *JSON)[2])]


@pytest.mark.slow
def test_k_02_kr_04_kr_06_a_package_its_receipt_and_the_list(server, enrol, keys, back):
    device, other = enrol("dev-1"), enrol("dev-1")
    item = publish(server, "keys", keys, device.serial, "--receipt")
    assert types(device) == ["0002", "0005", "0024"]
    status, media, body = device.get(f"symmetrickeys/{item}")
    assert (status, body[:1]) == (200, b"\x30"), "AMB-01: DER, not base64"
    assert media == (
        'application/cms; encapsulatingContent="signedData, envelopedData, signedData"; innerContent=sKeyPackage'
    )
    assert other.get(f"symmetrickeys/{item}")[0] == 404
    assert curl(server, "symmetrickeys")[0] == 401
    assert types(device) == ["0002", "0005", "0024", "0025"]
    receipt = signed(statement(device.certificate.subject, package_id_of(server)), device.key, device.certificate)
    assert back(device, receipt) == (204, b"")
    assert types(device) == ["0002", "0005", "0024"]
    assert [(one["item"], one["kind"]) for one in returns(server)] == [(item, "receipt")]
    assert "receipts and errors for keys: 1" in sim("packages", "--state", server.state).stdout


@pytest.mark.slow
def test_kr_05_what_is_not_taken_back(server, enrol, keys, back):
    """Unsigned, signed by another device, in another's name, for another's package, in another form."""
    device, other = enrol("dev-1"), enrol("dev-2")
    publish(server, "keys", keys, device.serial, "--receipt")
    package_id = package_id_of(server)
    mine = statement(device.certificate.subject, package_id)
    good = signed(mine, device.key, device.certificate)
    assert back(device, content_info(*mine))[0] == 400
    assert back(device, signed(mine, other.key, device.certificate))[0] == 403
    assert back(device, signed(mine, other.key, other.certificate))[0] == 403
    others = statement(other.certificate.subject, package_id)
    assert back(device, signed(others, device.key, device.certificate))[0] == 403
    assert back(other, signed(others, other.key, other.certificate))[0] == 404, "not given to this client"
    unknown = statement(device.certificate.subject, b"never published")
    assert back(device, signed(unknown, device.key, device.certificate))[0] == 404
    assert back(device, good, "application/pkcs7-mime")[0] == 415
    assert back(device, b"hello")[0] == 400
    assert back(device, signed((RECEIPT, b"\x30\x00"), device.key, device.certificate))[0] == 400
    assert device.get("symmetrickeys/return")[0] == 405
    assert returns(server) == []
    assert back(device, good)[0] == 204


@pytest.mark.slow
def test_kr_05_signed_before_the_renewal(server, enrol, keys, back):
    """A receipt may have waited while the certificate was renewed."""
    device = enrol("dev-1")
    publish(server, "keys", keys, device.serial, "--receipt")
    receipt = signed(statement(device.certificate.subject, package_id_of(server)), device.key, device.certificate)
    fresh = ec.generate_private_key(ec.SECP256R1())
    csr = make_csr(fresh, device.certificate.subject)
    answer = post(server, csr, operation="simplereenroll", client=device.certificate, headers=[PKCS10])
    later = replace(device, certificate=certificates_in(answer)[0], key=fresh)
    assert back(later, receipt)[0] == 204


@pytest.mark.slow
def test_kr_03_an_error_with_and_without_an_identifier(server, enrol, keys, back):
    device = enrol("dev-1")
    publish(server, "keys", keys, device.serial, "--receipt")
    for package_id in (package_id_of(server), None):
        error = statement(device.certificate.subject, package_id, code=71)
        assert back(device, signed(error, device.key, device.certificate))[0] == 204
    assert [(one["kind"], one["code"], one["item"] is not None) for one in returns(server)] == [
        ("error", 71, True),
        ("error", 71, False),
    ]


@pytest.mark.slow
def test_openssl_verifies_the_package(server, enrol, keys, tmp_path):
    device = enrol("dev-1")
    publish(server, "keys", keys, device.serial, "--key-cipher", "cbc")
    (tmp_path / "package").write_bytes(device.get("symmetrickeys")[2])
    command = ["openssl", "cms", "-verify", "-inform", "DER", "-binary", "-purpose", "any", "-in", "package"]
    command += ["-CAfile", str(server.state / "keys-ca" / "root.pem"), "-out", "inner"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_algorithm_that_no_device_would_know(tmp_path):
    written = [{"id": "k", "algorithm": "2.16.840.1.101.3.4.1.2", "value": "00" * 16}]
    with pytest.raises(SimulatorError, match="RFC 6030, not object identifiers"):
        keys_from(json.dumps(written).encode(), "keys.json")


def test_k_02_keys_are_encrypted_to_the_key_the_device_enrolled_itself(server, enrol):
    """Its newest certificate is for a key of the server's making, which opens no packages."""
    device = enrol("dev-1")
    server.policy.serverkeygen = {"clear"}
    answer = post(server, make_csr(device.key, name("dev-1")), operation="serverkeygen", client=device.certificate)
    assert answer.status == 200, answer.body
    assert len(server.est.register.entries()) == 2
    with closing(Database(server.state / "server.sqlite")) as database:
        assert recipient_of(f"cert:{device.serial}", database, server.clock()) == device.certificate


@pytest.mark.slow
def test_keys_stay_in_the_order_they_were_published_while_some_were_not_fetched(server, enrol, keys):
    """A device that fetched the first and stored nothing would store them over the second."""
    device = enrol("dev-1")
    items = [publish(server, "keys", keys, device.serial) for _ in range(2)]
    assert device.get(f"symmetrickeys/{items[0]}")[0] == 200
    assert [uri.rpartition("/")[2] for uri, _ in offered(device, "0024")] == items


@pytest.mark.slow
def test_amb_08_what_did_not_arrive_was_not_fetched(server, enrol, keys, tmp_path):
    """Half an answer, or none: there is no date, and nobody is asked for a receipt of what he does not have."""
    device = enrol("dev-1")
    item = publish(server, "keys", keys, device.serial, "--receipt")
    (tmp_path / "image").write_bytes(b"image")
    firmware = publish(server, "firmware", tmp_path / "image", device.serial, *FIRMWARE)
    places = ("0024", f"symmetrickeys/{item}"), ("0026", f"firmware/{firmware}"), ("0005", "crls")
    for fault in ("truncate", "reset"):
        for kind, place in places:
            server.faults.parse(f"{fault}*1@{place.partition('/')[0]}")
            with pytest.raises(subprocess.CalledProcessError):
                device.get(place)
            assert [date for _, date in offered(device, kind)] == [None]
    assert offered(device, "0025") == offered(device, "0027") == []
    for kind, place in places:
        assert device.get(place)[0] == 200
        assert None not in [date for _, date in offered(device, kind)]
    assert len(offered(device, "0025")) == len(offered(device, "0027")) == 1


FIRMWARE = ("--package", "1.3.6.1.4.1.32473.7", "--hw-type", "1.3.6.1.4.1.32473.1")


def offered(device, kind: str) -> list[tuple[str, str | None]]:
    listed = json.loads(device.get("pal", "-H", "Accept: application/json")[2])
    return [(one["info"]["uri"], one.get("date")) for one in listed if one["type"] == kind]
