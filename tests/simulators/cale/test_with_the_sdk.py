"""The SDK's client against the roles on ports of their own, in every form their answers can have."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.client.cale import CaleClient
from device_sdk.errors import NotForUsError
from device_sdk.model.credentials import Credentials
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust
from device_sdk.protocols.cale.revocation import RevocationPolicy
from tests.cale.parts import SPEC
from tests.simulators.cale.support import KEYS, STRANGER


@pytest.mark.slow
@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize(("hardened", "aead"), list(itertools.product((False, True), repeat=2)))
@pytest.mark.parametrize("form", ["draft", "draft-folded", "plain"])
def test_filled_answers_are_read_as_they_were_cale_37(make_site, kind, hardened, aead, form):
    site = make_site({"/text": b"twelve bytes"}, padding=512)
    for policy in site.policies.values():
        policy.cale_hardened, policy.cale_aead, policy.cale_headers = hardened, aead, form
    trust = ServerTrust(tuple(x509.load_pem_x509_certificates((site.state / "edge/tls/anchors.pem").read_bytes())))
    key = KEYS[kind]
    with CaleClient(site.edge.url, trust, key, credentials=Credentials("device", Secret(site.password))) as client:
        client.register(SPEC)
        assert client.get("/resource", check=json.loads).content.rstrip() == b'{"foo": "bar"}'
        # of a type that nobody may fill
        assert client.get("/text").content == b"twelve bytes"
        der = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert client.whoami().public_key().public_bytes(*der) == key.public_key().public_bytes(*der)
    with CaleClient(site.edge.url, trust, key, guid=STRANGER) as stranger:
        for read in (lambda: stranger.get("/resource"), stranger.whoami):
            with pytest.raises(NotForUsError):
                read()


@pytest.fixture
def client(site) -> Iterator[CaleClient]:
    """A registered client that asks /whoami before it believes in a revocation."""
    trust = ServerTrust(tuple(x509.load_pem_x509_certificates((site.state / "edge/tls/anchors.pem").read_bytes())))
    login, policy = Credentials("device", Secret(site.password)), RevocationPolicy(whoami=True)
    with CaleClient(site.edge.url, trust, KEYS["p256"], credentials=login, revocation=policy) as one:
        one.register(SPEC)
        yield one


def test_neighbours_behind_one_address_fake_no_revocation_cale_32(site, client, make_client):
    """GUIDs of nobody, as many as a neighbour likes: the owner reads on."""
    site.policies["edge"].cale.rate = 6
    neighbour = make_client(site)
    for _ in range(20):
        neighbour.get("/resource", guid=str(uuid.uuid4()))
    for _ in range(4):
        assert client.get("/resource").content.rstrip() == b'{"foo": "bar"}'
    assert not client.suspects_revocation


def test_who_asks_too_often_is_not_revoked_for_it_cale_14(site, client):
    """Decoys make a client suspect, and /whoami, which has a budget of its own, clears it up: no new registration."""
    site.policies["edge"].cale.rate = 3
    for _ in range(3):
        client.get("/resource")
    for _ in range(3):
        with pytest.raises(NotForUsError):
            client.get("/resource")
    assert client.suspects_revocation
    assert not client.is_revoked()
    assert not client.suspects_revocation
