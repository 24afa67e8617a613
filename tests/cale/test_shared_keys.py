"""A key that two applications share, spelt differently by each, stays as long as one of them needs it (CALE-13)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.softhsm import SoftHsm

from device_sdk.client.cale import CaleApplication, CaleClient
from device_sdk.errors import AuthenticationRequiredError
from device_sdk.keystores.registry import create_key, list_keys, open_key
from device_sdk.model.credentials import Credentials
from device_sdk.model.keys import KeyType
from device_sdk.model.trust import ServerTrust
from device_sdk.state import DeviceState, IdentityRecord, Journal, Operation, Phase
from tests.cale.parts import ANSWER, SPEC
from tests.cale.test_application import Bench


@pytest.fixture
def bench(cale_server: ReferenceServer, trust: ServerTrust, credentials: Credentials, tmp_path: Path) -> Bench:
    return Bench(cale_server, trust, credentials, tmp_path)


def dotted(bench: Bench) -> str:
    return f"file:{bench.keys}/../keys/cale.pem"


def linked(bench: Bench) -> str:
    link = bench.keys.with_name("linked")
    if not link.exists():
        link.symlink_to(bench.keys)
    return f"file:{link}/cale.pem"


def of_a_type(hsm: SoftHsm) -> str:
    return hsm.uri_of("cale").replace("?", ";type=private?")


def with_another_pin_source(hsm: SoftHsm) -> str:
    copy = hsm.pin_file.with_name("copy")
    shutil.copy(hsm.pin_file, copy)
    return hsm.uri_of("cale").replace(str(hsm.pin_file), str(copy))


def shared(bench: Bench, uri: str) -> CaleApplication:
    """A second application with the key of the first."""
    other = CaleApplication(bench.state, "other")
    other.register(replace(bench.plan, key_uri=uri, key_type=None))
    return other


def again(bench: Bench) -> None:
    bench.application.register(bench.again)


def forget(bench: Bench) -> None:
    assert bench.application.forget().destroyed == ()


def again_and_forget(bench: Bench) -> None:
    again(bench)
    bench.application.forget()


ACTS = [again, forget, again_and_forget]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("spelling", [dotted, linked])
def test_cale_13_one_file_by_two_names(
    bench: Bench, spelling: Callable[[Bench], str], act: Callable[[Bench], None]
) -> None:
    bench.application.register(bench.plan)
    shared(bench, spelling(bench))
    act(bench)
    assert bench.read("other") == ANSWER
    assert "cale.pem" in bench.key_files()


@pytest.mark.slow
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("spelling", [of_a_type, with_another_pin_source])
def test_cale_13_one_token_key_by_two_names(
    bench: Bench, softhsm_token: SoftHsm, spelling: Callable[[SoftHsm], str], act: Callable[[Bench], None]
) -> None:
    bench.plan = replace(bench.plan, key_uri=softhsm_token.uri_of("cale"))
    bench.application.register(bench.plan)
    shared(bench, spelling(softhsm_token))
    act(bench)
    assert bench.read("other") == ANSWER


def test_the_last_one_may_destroy_it(bench: Bench) -> None:
    bench.application.register(bench.plan)
    shared(bench, linked(bench)).forget()
    assert bench.key_files() == ["cale.pem"], "it was made for the first one"
    assert bench.application.forget().destroyed == (bench.plan.key_uri,)
    assert bench.key_files() == []


def test_registered_again_by_another_name(bench: Bench) -> None:
    """The replaced key is the registered one; it stays, and stays the SDK's own."""
    bench.application.register(bench.plan)
    outcome = bench.application.register(replace(bench.plan, key_uri=linked(bench), key_type=None, again=True))
    assert outcome.registration.created_here
    bench.require_sound()
    again(bench)
    assert bench.key_files() == ["cale-2.pem"]


def test_undone_by_another_name(bench: Bench) -> None:
    """What was begun for the key in use is given up; the key is not."""
    bench.application.register(bench.plan)
    refused = replace(bench.plan, key_uri=linked(bench), key_type=None, again=True, credentials=None)
    with pytest.raises(AuthenticationRequiredError):
        bench.application.register(refused)
    assert bench.read() == ANSWER
    again(bench)
    assert bench.key_files() == ["cale.pem"], "it goes on with what was begun"
    again(bench)
    assert bench.key_files() == ["cale-2.pem"]
    bench.require_sound()


def test_begun_by_one_and_taken_by_another(bench: Bench) -> None:
    """The first one's registration was interrupted after its key was made; the second one has registered that key."""
    with pytest.raises(AuthenticationRequiredError):
        bench.application.register(replace(bench.plan, credentials=None))
    shared(bench, linked(bench))
    bench.application.forget()
    assert bench.read("other") == ANSWER
    assert bench.state.cale_journals().keys() == set()


def identity_of(bench: Bench, uri: str) -> IdentityRecord:
    """A certificate for a key of ours in the state directory."""
    key: Any
    with open_key(uri) as key:
        name, now = x509.Name([]), datetime.now(UTC)
        builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
        return IdentityRecord(uri, bench.state.add_certificate([builder.sign(key, hashes.SHA256())]))


@pytest.mark.parametrize("use", ["current", "previous", "pending"])
def test_the_device_s_own_key(bench: Bench, use: str) -> None:
    bench.application.register(bench.plan)
    uri = linked(bench)
    with bench.state.exclusive():
        if use == "pending":
            now = datetime.now(UTC)
            journal = Journal(Operation.RENEW, Phase.PENDING, uri, uri, False, "https://est.example", None, now)
            bench.state.write_journal(journal)
        else:
            record = identity_of(bench, uri)
            bench.state.save(DeviceState(current=record) if use == "current" else DeviceState(previous=(record,)))
    assert bench.application.forget().destroyed == ()
    assert bench.key_files() == ["cale.pem"]


def test_a_note_about_the_device_s_own_key(bench: Bench) -> None:
    bench.application.register(bench.plan)
    with bench.state.exclusive():
        bench.state.save(DeviceState(current=identity_of(bench, linked(bench))))
    outcome = bench.application.register(replace(bench.plan, key_type=None, again=True))
    assert "a renewal with a new key takes it away" in outcome.notes[1]


def test_in_doubt_it_stays(bench: Bench) -> None:
    """Another application's file wants a PIN, and its registration, an old one, does not say which key it is."""
    bench.application.register(bench.plan)
    registration = shared(bench, linked(bench)).registration
    locked = f"file:{bench.keys.with_name('locked.pem')}"
    pin = bench.keys.with_name("pin")
    pin.write_text("1234")
    pin.chmod(0o600)
    create_key(f"{locked}?pin-source=file:{pin}", KeyType.EC_P256).close()
    old = replace(registration, key_uri=locked, key_sha256=None)
    bench.state.save_cale_registration("other", old)
    notes = bench.application.register(bench.again).notes
    assert "may be it" in notes[0]
    assert bench.key_files() == ["cale-2.pem", "cale.pem"]
    bench.state.save_cale_registration("other", replace(old, key_uri=linked(bench)))
    bench.application.register(replace(bench.plan, key_type=None, again=True))
    assert bench.application.forget().destroyed == (), "looked at, as the registration does not say"


def test_a_registration_by_hand_says_which_key_it_is(bench: Bench) -> None:
    key: Any
    with create_key(f"file:{bench.keys}/own.pem", KeyType.EC_P256) as key:
        with CaleClient(bench.server.cale_url, bench.trust, key, credentials=bench.plan.credentials) as client:
            registration = client.register(SPEC)
        assert registration.key_sha256 == key.info.spki_sha256 == list_keys(key.info.uri)[0].spki_sha256
