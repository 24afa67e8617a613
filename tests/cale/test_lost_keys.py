"""Where the key or the policy is the trouble, and not the server, the error says so, and what helps."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.softhsm import SoftHsm

from device_sdk.client.cale import CaleApplication, CaleAuth
from device_sdk.errors import ConfigurationError, KeyNotFoundError, NotForUsError
from device_sdk.keystores.registry import create_key, delete_key
from device_sdk.model.credentials import Credentials
from device_sdk.model.decryption import ALGORITHMS, AUTHENTICATED, EVERYTHING, HARDENED
from device_sdk.model.keys import KeyType
from device_sdk.model.trust import ServerTrust
from tests.cale.parts import ANSWER
from tests.cale.test_application import Bench

AGAIN = "device-sdk cale register --again --application default"


@pytest.fixture
def bench(cale_server: ReferenceServer, trust: ServerTrust, credentials: Credentials, tmp_path: Path) -> Bench:
    bench = Bench(cale_server, trust, credentials, tmp_path)
    bench.application.register(bench.plan)
    return bench


def exchanged(bench: Bench) -> bytes:
    """Another key under the name of ours; gives its file."""
    (bench.keys / "cale.pem").unlink()
    create_key(str(bench.plan.key_uri), "ec-p256").close()
    return (bench.keys / "cale.pem").read_bytes()


def test_a_key_that_is_gone(bench: Bench) -> None:
    """Making one of that name would not help; registering again does."""
    (bench.keys / "cale.pem").unlink()
    with pytest.raises(KeyNotFoundError) as caught:
        bench.read()
    assert AGAIN in str(caught.value.hint)
    assert "keys create" not in str(caught.value)
    with pytest.raises(KeyNotFoundError, match="register --again"):
        CaleAuth.from_state(bench.state)
    bench.application.register(bench.again)
    assert bench.key_files() == ["cale-2.pem"]
    bench.require_sound()


def test_a_token_s_key_that_is_gone(bench: Bench, softhsm_token: SoftHsm) -> None:
    uri = softhsm_token.uri_of("cale")
    CaleApplication(bench.state, "meter").register(replace(bench.plan, key_uri=uri))
    delete_key(uri)
    with pytest.raises(KeyNotFoundError, match="register --again --application meter"):
        bench.read("meter")


def test_a_key_that_was_exchanged(bench: Bench) -> None:
    """The state knows the key's digest: nothing is asked of the server, and nothing is called a revocation."""
    theirs, before = exchanged(bench), len(bench.server.log())
    with pytest.raises(KeyNotFoundError, match="another one has taken its place") as caught:
        bench.read()
    assert AGAIN in str(caught.value.hint)
    assert len(bench.server.log()) == before
    outcome = bench.application.register(bench.again)
    assert "left there" in outcome.notes[0]
    assert (bench.keys / "cale.pem").read_bytes() == theirs
    bench.require_sound()


def test_a_key_that_was_exchanged_is_not_ours_by_being_registered(bench: Bench) -> None:
    """The same name registered again: the key was there before, so giving the registration up leaves it."""
    theirs = exchanged(bench)
    again = bench.application.register(replace(bench.plan, again=True)).registration
    assert again.created_here is False
    assert bench.read() == ANSWER
    gone = bench.application.forget()
    assert gone.destroyed == ()
    assert "was not made for this registration" in gone.notes[0]
    assert (bench.keys / "cale.pem").read_bytes() == theirs


def test_forgetting_says_that_the_key_is_another_one(bench: Bench) -> None:
    theirs = exchanged(bench)
    gone = bench.application.forget()
    assert gone.destroyed == ()
    assert "not proved to be the one made here; it was left there" in gone.notes[0]
    assert (bench.keys / "cale.pem").read_bytes() == theirs


def test_a_registration_without_a_key_that_opens(bench: Bench) -> None:
    file = bench.state.path / "cale" / "default.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"key_uri": ""}))
    with pytest.raises(ConfigurationError, match="names no key"):
        bench.read()


def test_what_the_server_was_told_is_kept(bench: Bench) -> None:
    """SMIMECapabilities in the request (CALE-66): whoever reads later may ask for less, and is told so."""
    assert bench.application.registration.algorithms == AUTHENTICATED.algorithms, "it answered in AES-GCM"
    bench.application.register(replace(bench.again, policy=HARDENED))
    assert bench.application.registration.algorithms == HARDENED.algorithms
    assert bench.read() == ANSWER
    bench.application.register(replace(bench.again, policy=EVERYTHING, negotiate=False))
    assert bench.application.registration.algorithms == ALGORITHMS


def test_a_policy_that_asks_for_what_was_not_registered(bench: Bench) -> None:
    """The server may do what the registration said; nothing is wrong with the registration."""
    bench.application.register(replace(bench.again, key_type=KeyType.RSA_2048, negotiate=False))
    with bench.application.client(bench.trust, policy=HARDENED) as client, pytest.raises(NotForUsError) as caught:
        client.get("/resource")
    assert "what this policy refuses and the registration allowed" in str(caught.value.hint)
    with (
        bench.application.client(bench.trust, policy=HARDENED, told=None) as client,
        pytest.raises(NotForUsError, match="register again if this lasts"),
    ):
        client.get("/resource")
    bench.revoke()
    with bench.application.client(bench.trust) as client, pytest.raises(NotForUsError) as revoked:
        client.get("/resource")
    assert revoked.value.hint == "register again if this lasts"


def test_the_same_for_requests(bench: Bench) -> None:
    bench.application.register(replace(bench.again, key_type=KeyType.RSA_2048, negotiate=False))
    auth = CaleAuth.from_state(bench.state, policy=HARDENED)
    with requests.Session() as session:
        session.trust_env, session.verify = False, os.fspath(bench.server.ca_file)
        with pytest.raises(NotForUsError, match="what this policy refuses and the registration allowed"):
            session.get(bench.server.cale_url + "/resource", auth=auth)
    auth.close()
