"""CaleClient against the reference server over real TLS."""

from __future__ import annotations

import base64
import itertools
import json
import uuid
from dataclasses import replace

import pytest
import requests
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from device_sdk_simulators.server import ReferenceServer
from pyasn1.codec.der.decoder import decode
from pyasn1_alt_modules import rfc5083, rfc5652

from device_sdk.client.cale import CaleClient
from device_sdk.client.est import EstClient
from device_sdk.errors import (
    AuthenticationRequiredError,
    BehindEdgeError,
    ConfigurationError,
    HttpStatusError,
    LocalProtocolError,
    NotForUsError,
    ResponseTooLargeError,
    ServerNotTrustedError,
)
from device_sdk.model.credentials import Credentials
from device_sdk.model.keys import PrivateKey
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust, TlsIdentity
from tests.cale.parts import ANSWER, SPEC

Keys = dict[str, PrivateKey]


@pytest.mark.parametrize("key_type", ["rsa-2048", "ec-p256", "ec-p384"])
@pytest.mark.parametrize(("hardened", "aead"), list(itertools.product((False, True), repeat=2)))
@pytest.mark.parametrize("headers", ["draft", "draft-folded", "plain"])
def test_register_get_whoami(
    cale_server: ReferenceServer,
    trust: ServerTrust,
    credentials: Credentials,
    keys: Keys,
    key_type: str,
    hardened: bool,
    aead: bool,
    headers: str,
) -> None:
    """CALE-02 to CALE-05, CALE-09, CALE-11, CALE-12, CALE-66: all forms the answers may have."""
    cale_server.policy.cale_hardened, cale_server.policy.cale_aead = hardened, aead
    cale_server.policy.cale_headers = headers
    with CaleClient(cale_server.cale_url, trust, keys[key_type], credentials=credentials) as client:
        registration = client.register(SPEC)
        assert uuid.UUID(registration.guid).version == 4
        assert (registration.origin, registration.key_uri) == (cale_server.cale_url, "")
        assert client.get("/resource", check=json.loads).content == ANSWER
        certificate = client.whoami()
    public = keys[key_type].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == public
    assert cale_server.connections == 1


RSA_ENCRYPTION, RSAES_OAEP = "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.7"


@pytest.mark.parametrize("negotiate", [True, False])
@pytest.mark.parametrize("hardened", [True, False])
def test_cale_66_cale_68_what_an_answer_shows_of_its_recipient(
    cale_server: ReferenceServer,
    trust: ServerTrust,
    credentials: Credentials,
    keys: Keys,
    hardened: bool,
    negotiate: bool,
) -> None:
    """Hardened: OAEP and the name of the key, whatever else the client reads; else as in the draft's samples."""
    cale_server.policy.cale_hardened = hardened
    key, url = keys["rsa-2048"], cale_server.cale_url
    with CaleClient(url, trust, key, credentials=credentials, negotiate=negotiate) as client:
        guid = client.register(SPEC).guid
        assert client.get("/resource").content == ANSWER
    expected = (RSAES_OAEP, "subjectKeyIdentifier") if hardened else (RSA_ENCRYPTION, "issuerAndSerialNumber")
    for path in ("/resource", "/whoami"):
        raw = requests.get(url + path, headers={"CALE-GUID": guid}, verify=str(cale_server.ca_file), timeout=20)
        content = decode(base64.b64decode(raw.content), asn1Spec=rfc5652.ContentInfo())[0]
        # whole responses, which are asked for by who negotiates, are in AES-GCM whatever the suite is
        authenticated = content["contentType"] == rfc5083.id_ct_authEnvelopedData
        assert authenticated == negotiate
        spec = rfc5083.AuthEnvelopedData() if authenticated else rfc5652.EnvelopedData()
        (info,) = decode(content["content"], asn1Spec=spec)[0]["recipientInfos"]
        shown = str(info["ktri"]["keyEncryptionAlgorithm"]["algorithm"]), info["ktri"]["rid"].getName()
        assert shown == expected, path


def test_cale_02_the_proof_of_identity_is_in_the_first_request_only(
    cale_server: ReferenceServer, client: CaleClient
) -> None:
    client.get("/resource")
    first, second = cale_server.log()
    assert (first["path"], first["status"], first["authentication"]) == ("/registration", 200, "basic")
    assert (second["path"], second["status"]) == ("/resource", 200)


def test_a_registration_made_before_is_used(
    cale_server: ReferenceServer, trust: ServerTrust, keys: Keys, client: CaleClient
) -> None:
    with CaleClient(cale_server.cale_url, trust, keys["rsa-2048"], guid=client.guid) as later:
        assert later.get("/resource").content == ANSWER


def test_cale_39_decoys_are_reported_as_what_they_are(
    cale_server: ReferenceServer, trust: ServerTrust, keys: Keys, client: CaleClient
) -> None:
    """Unknown, revoked, another's key: one error with one text, in /whoami too."""
    guid = client.guid
    assert guid is not None
    unknown, other = str(uuid.uuid4()), keys["ec-p256"]
    key = keys["rsa-2048"]
    texts = set()
    for case_key, case_guid, revoke in ((key, unknown, False), (other, guid, False), (key, guid, True)):
        if revoke:
            assert cale_server.cale.authorization.revoke(guid)
        with CaleClient(cale_server.cale_url, trust, case_key, guid=case_guid) as stranger:
            for read in (lambda: stranger.get("/resource"), lambda: stranger.whoami()):  # noqa: PLW0108
                with pytest.raises(NotForUsError) as caught:
                    read()
                assert caught.value.__cause__ is None
                assert caught.value.__context__ is None
                texts.add(caught.value.message.replace("/whoami", "/resource"))
    assert len(texts) == 1


def test_cale_10_no_second_request_after_a_failure(cale_server: ReferenceServer, client: CaleClient) -> None:
    cale_server.cale.authorization.revoke(client.guid or "")
    before = len(cale_server.log())
    with pytest.raises(NotForUsError):
        client.get("/resource")
    assert len(cale_server.log()) == before + 1


def test_cale_14_register_again_after_revocation(cale_server: ReferenceServer, client: CaleClient) -> None:
    cale_server.cale.authorization.revoke(client.guid or "")
    client.register(SPEC)
    assert client.get("/resource").content == ANSWER


def test_cale_09_the_content_check_decides(cale_server: ReferenceServer, client: CaleClient) -> None:
    cale_server.cale.resource.documents["/aggregate"] = b"<html>no json"
    assert client.get("/resource").content.startswith(b"<html>")
    with pytest.raises(NotForUsError):
        client.get("/resource", check=json.loads)


def test_registration_without_proof_or_with_a_wrong_one(
    cale_server: ReferenceServer, trust: ServerTrust, credentials: Credentials, keys: Keys
) -> None:
    key = keys["rsa-2048"]
    wrong = replace(credentials, password=Secret("wrong"))
    for options in ({}, {"credentials": wrong}, {"bearer": Secret("some-token")}):
        with (
            CaleClient(cale_server.cale_url, trust, key, **options) as client,
            pytest.raises(AuthenticationRequiredError) as caught,
        ):
            client.register(SPEC)
        assert caught.value.status_code == 401
        assert "wrong" not in str(caught.value)


def test_what_is_refused_before_anything_is_sent(cale_server: ReferenceServer, trust: ServerTrust, keys: Keys) -> None:
    key, url = keys["rsa-2048"], cale_server.cale_url
    both = {"credentials": Credentials("a", Secret("b")), "bearer": Secret("c")}
    for bad_url in (url.replace("https", "http"), url + "/base", "ftp://localhost", "https://"):
        with pytest.raises(ConfigurationError):
            CaleClient(bad_url, trust, key)
    with pytest.raises(ConfigurationError, match="both"):
        CaleClient(url, trust, key, **both)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="token"):
        CaleClient(url, trust, key, bearer=Secret("two words"))
    with CaleClient(url, trust, key) as client:
        with pytest.raises(LocalProtocolError, match="GUID"):
            client.get("/resource")
        with pytest.raises(LocalProtocolError, match="GUID"):
            client.whoami()
    with CaleClient(url, trust, key, guid="no-guid\r\nX: y") as client, pytest.raises(LocalProtocolError, match="GUID"):
        client.get("/resource")
    with CaleClient(url, trust, key, guid=str(uuid.uuid4())) as client:
        for path in ("", "resource", "//other.example/resource", "https://other.example/"):
            with pytest.raises(LocalProtocolError, match="path"):
                client.get(path)
    assert cale_server.connections == 0


def test_paths_are_percent_encoded(cale_server: ReferenceServer, client: CaleClient) -> None:
    with pytest.raises(BehindEdgeError):  # no such document
        client.get("/a b/ü?q=ä&x=%41")
    assert cale_server.log()[-1]["path"] == "/a%20b/%C3%BC?q=%C3%A4&x=%41"
    # one line, and a path that this edge device refuses
    with pytest.raises(HttpStatusError):
        client.get("/a\r\nX: y")
    assert cale_server.log()[-1]["path"] == "/a%0D%0AX:%20y"


def test_an_answer_that_is_too_large(cale_server: ReferenceServer, client: CaleClient) -> None:
    cale_server.cale.resource.documents["/aggregate"] = bytes(200_000)
    assert client.get("/resource").content == bytes(200_000)
    with pytest.raises(ResponseTooLargeError):
        client.get("/resource", limit_bytes=100_000)


def test_cale_07_a_server_that_is_not_trusted_gets_nothing(cale_server: ReferenceServer, keys: Keys) -> None:
    own = cale_server.cale.authorization._authority.certificate
    with (
        CaleClient(cale_server.cale_url, ServerTrust((own,)), keys["rsa-2048"], guid=str(uuid.uuid4())) as client,
        pytest.raises(ServerNotTrustedError),
    ):
        client.get("/resource")
    assert cale_server.log() == []


def test_cale_02_a_client_certificate_proves_identity(
    cale_server: ReferenceServer, trust: ServerTrust, credentials: Credentials, keys: Keys
) -> None:
    """Enrolled by EST with one key, registered with another: the TLS certificate says who registers."""
    with EstClient(cale_server.url, trust, credentials=credentials) as est:
        enrolled = est.enroll(keys["ec-p256"], SPEC)
    identity = TlsIdentity(enrolled.chain, keys["ec-p256"])
    with CaleClient(cale_server.cale_url, trust, keys["rsa-2048"], identity=identity) as client:
        client.register(SPEC)
        assert client.get("/resource").content == ANSWER
    entry = next(entry for entry in cale_server.log() if entry["path"] == "/registration")
    assert (entry["status"], entry["authentication"]) == (200, "tls")
