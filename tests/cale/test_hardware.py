"""Registered with a key that never leaves its token or TPM, read by it, in CaleClient and under requests."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.cale import CaleApplication, CaleAuth, CaleClient, CalePlan
from device_sdk.errors import KeyNotFoundError, NotForUsError
from device_sdk.keystores.registry import create_key, open_key
from device_sdk.model.credentials import Credentials
from device_sdk.model.keys import KeyType
from device_sdk.model.trust import ServerTrust
from device_sdk.state import StateDirectory
from device_sdk.transports.https.adapter import HardwareTlsAdapter
from tests.cale.parts import ANSWER, SPEC


@pytest.mark.slow
@pytest.mark.parametrize("key_type", ["rsa-2048", "ec-p256"])
@pytest.mark.parametrize("keystore", ["pkcs11", "tpm2"])
@pytest.mark.parametrize("modern", [False, True], ids=["draft", "hardened"])
def test_a_key_born_in_hardware_reads_cale_answers(
    request: pytest.FixtureRequest,
    cale_server: ReferenceServer,
    trust: ServerTrust,
    credentials: Credentials,
    tmp_path: Path,
    keystore: str,
    key_type: str,
    modern: bool,
) -> None:
    fixture = request.getfixturevalue("softhsm_token" if keystore == "pkcs11" else "swtpm")
    uri = fixture.uri_of("cale") if keystore == "pkcs11" else "tpm2:handle=0x81000021"
    cale_server.policy.cale_hardened = cale_server.policy.cale_aead = modern
    state = StateDirectory(tmp_path / "state")
    create_key(uri, key_type).close()
    with (
        open_key(uri) as key,
        CaleClient(cale_server.cale_url, trust, key, credentials=credentials) as client,  # type: ignore[arg-type]
    ):
        registration = client.register(SPEC)
        assert registration.key_uri == key.info.uri
        assert client.get("/resource", check=json.loads).content == ANSWER
        assert client.whoami().subject is not None
        state.save_cale_registration("default", registration)
    with requests.Session() as session:
        session.mount(cale_server.cale_url, HardwareTlsAdapter(trust))
        session.auth = auth = CaleAuth.from_state(state)
        assert session.get(f"{cale_server.cale_url}/resource").json() == {"foo": "bar"}
        cale_server.cale.authorization.revoke(registration.guid)
        with pytest.raises(NotForUsError):
            session.get(f"{cale_server.cale_url}/resource")
    auth.close()


@pytest.mark.slow
@pytest.mark.parametrize("keystore", ["pkcs11", "file"])
@pytest.mark.parametrize("stream", [False, True])
def test_cale_14_registered_again_while_a_request_is_under_way(
    request: pytest.FixtureRequest,
    cale_server: ReferenceServer,
    trust: ServerTrust,
    credentials: Credentials,
    tmp_path: Path,
    keystore: str,
    stream: bool,
) -> None:
    """A key in a file was read before; one in a token is gone for everybody, and the error says what to do."""
    key_uri = request.getfixturevalue("softhsm_token").uri_of("cale") if keystore == "pkcs11" else f"file:{tmp_path}/k"
    plan = CalePlan(
        cale_server.cale_url, trust, SPEC, key_uri=key_uri, key_type=KeyType.EC_P256, credentials=credentials
    )
    application = CaleApplication(tmp_path / "state")
    application.register(plan)
    url = f"{cale_server.cale_url}/resource"

    def again() -> None:
        application.register(replace(plan, key_uri=None, again=True))

    def read_after(act: Callable[[], None]) -> None:
        with application.client(trust) as client:
            act()
            client.get("/resource")

    class Slow(HardwareTlsAdapter):
        again = True

        def send(self, *args: Any, **options: Any) -> requests.Response:
            response = super().send(*args, **options)
            if self.again:
                again()
            return response

    slow = Slow(trust)
    with requests.Session() as session:
        session.mount(cale_server.cale_url, slow)
        session.auth = auth = CaleAuth.from_state(tmp_path / "state")
        if keystore == "file":
            assert session.get(url, stream=stream).content == ANSWER
        else:
            with pytest.raises(KeyNotFoundError, match="registered again while") as caught:
                session.get(url, stream=stream)
            assert "send the request again" in str(caught.value.hint)
            assert not auth.suspects_revocation
            with pytest.raises(KeyNotFoundError, match="send the request again"):
                read_after(again)
        slow.again = False
        assert session.get(url, stream=stream).content == ANSWER
        auth.close()
