"""The SDK's client against the roles on ports of their own, in every form their answers can have."""

from __future__ import annotations

import itertools
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.client.cale import CaleClient
from device_sdk.errors import NotForUsError
from device_sdk.model.credentials import Credentials
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust
from tests.cale.parts import SPEC
from tests.simulators.cale.support import KEYS, STRANGER


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
