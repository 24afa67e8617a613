"""One credential an application in the state directory: registered, registered again with a new key, given up."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.cale import CaleApplication, CalePlan
from device_sdk.errors import (
    AuthenticationRequiredError,
    ConfigurationError,
    KeyExistsError,
    KeyNotFoundError,
    NotForUsError,
    TransportError,
)
from device_sdk.keystores.registry import create_key, list_keys
from device_sdk.model.credentials import Credentials
from device_sdk.model.decryption import AUTHENTICATED
from device_sdk.model.keys import KeyType
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust
from device_sdk.state import CaleJournal, Phase, StateDirectory
from tests.cale.parts import ANSWER, SPEC
from tests.cale.scripted import ScriptedServer, answer, envelope_answer
from tests.cms.messages import encrypt, write_certificate


class Bench:
    """A device with file keys, and the reference server."""

    def __init__(self, server: ReferenceServer, trust: ServerTrust, credentials: Credentials, directory: Path) -> None:
        self.server = server
        self.trust = trust
        self.state = StateDirectory(directory / "state")
        self.keys = directory / "keys"
        self.keys.mkdir(mode=0o700)
        self.plan = CalePlan(
            server.cale_url,
            trust,
            SPEC,
            key_uri=f"file:{self.keys}/cale.pem",
            key_type=KeyType.EC_P256,
            credentials=credentials,
        )
        self.again = replace(self.plan, key_uri=None, key_type=None, again=True)
        self.application = CaleApplication(self.state)

    def key_files(self) -> list[str]:
        return sorted(path.name for path in self.keys.glob("*.pem"))

    def read(self, name: str = "default") -> bytes:
        with CaleApplication(self.state, name).client(self.trust) as client:
            return client.get("/resource", check=json.loads).content

    def revoke(self) -> None:
        assert self.server.cale.authorization.revoke(self.application.registration.guid)

    def require_sound(self) -> None:
        assert self.state.check() == ()
        assert self.state.cale_journals() == {}
        assert self.read() == ANSWER


@pytest.fixture
def bench(cale_server: ReferenceServer, trust: ServerTrust, credentials: Credentials, tmp_path: Path) -> Bench:
    return Bench(cale_server, trust, credentials, tmp_path)


def test_cale_13_registered_and_kept(bench: Bench) -> None:
    outcome = bench.application.register(bench.plan)
    file = bench.state.path / "cale" / "default.json"
    kept = json.loads(file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600
    assert kept["version"] == 1
    assert kept["guid"] == outcome.registration.guid == bench.application.registration.guid
    assert (kept["key_uri"], kept["origin"]) == (bench.plan.key_uri, bench.server.cale_url)
    assert kept["created_here"] is True
    assert outcome.registration.guid not in repr(outcome)
    bench.require_sound()


def test_cale_09_the_registration_is_proved_by_whoami(bench: Bench) -> None:
    """Section 21 item 13: an edge that bound our identity to another key is found out before its GUID is used."""
    bench.application.register(bench.plan)
    assert [entry["path"] for entry in bench.server.log()] == ["/registration", "/whoami"]


@pytest.mark.slow
def test_cale_14_a_new_key_after_revocation(bench: Bench) -> None:
    first = bench.application.register(bench.plan).registration
    bench.revoke()
    with pytest.raises(NotForUsError):
        bench.read()
    second = bench.application.register(bench.again)
    assert bench.key_files() == ["cale-2.pem"]
    assert second.registration.key_uri.endswith("cale-2.pem")
    assert second.registration.guid != first.guid
    assert list_keys(second.registration.key_uri)[0].key_type is KeyType.EC_P256, "the type of the old key"
    assert second.notes == ()
    bench.require_sound()
    bench.application.register(replace(bench.again, key_type=KeyType.RSA_2048))
    assert bench.key_files() == ["cale-3.pem"]
    bench.require_sound()


def test_registered_already(bench: Bench) -> None:
    bench.application.register(bench.plan)
    with pytest.raises(ConfigurationError, match="registered already"):
        bench.application.register(bench.plan)
    bench.require_sound()


@pytest.mark.slow
def test_a_key_that_was_there_is_used_and_never_deleted(bench: Bench) -> None:
    create_key(str(bench.plan.key_uri), "rsa-2048").close()
    registration = bench.application.register(replace(bench.plan, key_type=None)).registration
    assert registration.created_here is False
    bench.application.register(bench.again)
    assert bench.key_files() == ["cale-2.pem", "cale.pem"]
    assert bench.application.forget().destroyed == (f"file:{bench.keys}/cale-2.pem",)
    assert bench.key_files() == ["cale.pem"]


def test_again_with_the_same_key(bench: Bench) -> None:
    bench.application.register(bench.plan)
    bench.revoke()
    outcome = bench.application.register(replace(bench.plan, again=True))
    assert outcome.registration.created_here, "still the SDK's own"
    assert outcome.notes == (f"the key is the one that was registered before: {bench.plan.key_uri}",)
    assert bench.key_files() == ["cale.pem"]
    bench.require_sound()
    bench.application.register(bench.again)
    assert bench.key_files() == ["cale-2.pem"]


def test_one_credential_an_application(bench: Bench) -> None:
    """CALE-13: applications share neither GUID nor key, and giving one up leaves the others alone."""
    bench.application.register(bench.plan)
    other = CaleApplication(bench.state, "meter.v2")
    other.register(replace(bench.plan, key_uri=f"file:{bench.keys}/meter.pem"))
    found = bench.state.cale_registrations()
    assert set(found) == {"default", "meter.v2"}
    assert len({registration.guid for registration in found.values()}) == 2
    assert len({registration.key_sha256 for registration in found.values()}) == 2
    bench.application.forget()
    assert bench.key_files() == ["meter.pem"]
    assert bench.read("meter.v2") == ANSWER


def test_a_key_two_applications_share_stays_as_long_as_one_needs_it(bench: Bench) -> None:
    bench.application.register(bench.plan)
    other = CaleApplication(bench.state, "other")
    other.register(replace(bench.plan, key_type=None))
    bench.application.register(bench.again)
    assert bench.key_files() == ["cale-2.pem", "cale.pem"]
    assert bench.read("other") == ANSWER
    bench.application.forget()
    assert bench.key_files() == ["cale.pem"]


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 65, "new\nline", "-option"])
def test_names_that_cannot_be(bench: Bench, name: str) -> None:
    for act in (lambda a: a.register(bench.plan), lambda a: a.registration, lambda a: a.forget()):
        with pytest.raises(ConfigurationError, match="cannot name"):
            act(CaleApplication(bench.state, name))
    assert bench.server.log() == []


def test_no_key_is_made_that_nobody_asked_for(bench: Bench) -> None:
    with pytest.raises(KeyNotFoundError, match="no such key"):
        bench.application.register(replace(bench.plan, key_type=None))
    with pytest.raises(ConfigurationError, match="no key to register"):
        bench.application.register(replace(bench.plan, key_uri=None))
    assert bench.key_files() == []
    assert bench.state.cale_journals() == {}


def test_a_refused_proof_leaves_everything_and_the_next_run_goes_on(bench: Bench) -> None:
    bench.application.register(bench.plan)
    assert bench.plan.credentials is not None
    wrong = replace(bench.again, credentials=replace(bench.plan.credentials, password=Secret("wrong")))
    with pytest.raises(AuthenticationRequiredError):
        bench.application.register(wrong)
    assert bench.read() == ANSWER, "the old registration stays in use"
    made = (bench.keys / "cale-2.pem").read_bytes()
    bench.application.register(bench.again)
    assert (bench.keys / "cale-2.pem").read_bytes() == made, "the same key"
    assert bench.key_files() == ["cale-2.pem"]
    bench.require_sound()


def test_a_refused_first_registration_is_given_up(bench: Bench) -> None:
    with pytest.raises(AuthenticationRequiredError):
        bench.application.register(replace(bench.plan, credentials=None))
    assert bench.state.cale_journal("default") is not None
    bench.application.forget()
    assert bench.key_files() == []
    assert bench.state.cale_journals() == {}


def test_a_refusal_for_a_key_that_was_there_leaves_nothing_behind(bench: Bench) -> None:
    create_key(str(bench.plan.key_uri), "rsa-2048").close()
    with pytest.raises(AuthenticationRequiredError):
        bench.application.register(replace(bench.plan, credentials=None))
    assert bench.state.cale_journals() == {}
    assert bench.key_files() == ["cale.pem"]


def test_another_plan_undoes_what_was_begun(bench: Bench) -> None:
    with pytest.raises(AuthenticationRequiredError):
        bench.application.register(replace(bench.plan, credentials=None))
    assert bench.key_files() == ["cale.pem"]
    bench.application.register(replace(bench.plan, key_uri=f"file:{bench.keys}/other.pem"))
    assert bench.key_files() == ["other.pem"]
    bench.require_sound()


def test_a_stranger_s_key_under_our_name_is_left_alone(bench: Bench) -> None:
    """Begun and killed before the key was made; then somebody else made one of that name."""
    with pytest.raises(AuthenticationRequiredError):
        bench.application.register(replace(bench.plan, credentials=None))
    (bench.keys / "cale.pem").unlink()
    create_key(str(bench.plan.key_uri), "ec-p256").close()
    theirs = (bench.keys / "cale.pem").read_bytes()
    with pytest.raises(KeyExistsError) as caught:
        bench.application.register(bench.plan)
    assert caught.value.hint == "it was left as it is: name another key (--key)"
    bench.application.forget()
    assert (bench.keys / "cale.pem").read_bytes() == theirs


@pytest.mark.parametrize("shown", ["noise", "a decoy", "a certificate for another key"])
def test_cale_09_a_registration_that_whoami_does_not_know_is_given_up(bench: Bench, tmp_path: Path, shown: str) -> None:
    """Section 21 item 13: the GUID opens, but who answers /whoami has no certificate for our key; what was there stays."""
    bench.application.register(bench.plan)
    with ScriptedServer(tmp_path) as edge:

        def whoami(_request: object) -> bytes:
            others = rsa.generate_private_key(65537, 2048).public_key()
            certificate = write_certificate(tmp_path, others, "others")
            if shown == "a decoy":
                return envelope_answer(encrypt(b"x" * 900, certificate))
            return envelope_answer(encrypt(certificate.read_bytes(), tmp_path / "recipient.pem"))

        edge.answers["/registration"] = lambda request: answer(sealed_guid(request.body, tmp_path))
        edge.answers["/whoami"] = answer(b"TUlJQg==\n") if shown == "noise" else whoami
        trust = ServerTrust(_certificates(edge.ca_file))
        with pytest.raises(NotForUsError) as caught:
            bench.application.register(replace(bench.again, edge_url=edge.url, trust=trust, credentials=None))
        assert "given up" in str(caught.value.hint)
        assert [request.target for request in edge.received] == ["/registration", "/whoami"]
    assert bench.key_files() == ["cale.pem"]
    bench.require_sound()


def test_a_proof_that_did_not_come_about_is_made_later(bench: Bench, tmp_path: Path) -> None:
    """Registered, then the network went: the next run asks /whoami and nothing else."""
    with ScriptedServer(tmp_path) as edge:
        edge.answers["/registration"] = lambda request: answer(sealed_guid(request.body, tmp_path))
        edge.answers["/whoami"] = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nMII"
        plan = replace(
            bench.plan, edge_url=edge.url, trust=ServerTrust(_certificates(edge.ca_file)), key_type=KeyType.RSA_2048
        )
        with pytest.raises(TransportError):
            bench.application.register(plan)
        journal = bench.state.cale_journal("default")
        assert journal is not None
        assert journal.phase is Phase.ISSUED
        with pytest.raises(ConfigurationError, match="interrupted"):
            bench.application.registration  # noqa: B018
        before = len(edge.received)
        with pytest.raises(TransportError):
            bench.application.register(plan)
        assert [request.target for request in edge.received[before:]][:1] == ["/whoami"]


def test_files_of_older_versions_are_read(bench: Bench) -> None:
    bench.application.register(bench.plan)
    file = bench.state.path / "cale" / "default.json"
    kept = json.loads(file.read_text())
    for name in ("created_here", "key_sha256", "base_key_uri"):
        del kept[name]
    file.write_text(json.dumps(kept))
    assert bench.application.registration.created_here is False
    bench.application.register(bench.again)
    assert bench.key_files() == ["cale-2.pem", "cale.pem"], "nobody knows who made the old one, so it stays"


def _certificates(path: Path):  # type: ignore[no-untyped-def]
    from cryptography import x509

    return tuple(x509.load_pem_x509_certificates(path.read_bytes()))


def sealed_guid(csr: bytes, directory: Path) -> bytes:
    """A GUID encrypted to the key of a request, by openssl."""
    import base64

    from cryptography import x509

    public = x509.load_pem_x509_csr(csr).public_key()
    message = encrypt(f"{uuid.uuid4()}\n".encode(), write_certificate(directory, public))  # type: ignore[arg-type]
    return base64.encodebytes(message)


def begun(bench: Bench, phase: Phase, **more: object) -> CaleJournal:
    """What a killed run left behind."""
    journal = CaleJournal(
        application="default",
        phase=phase,
        key_uri=str(bench.plan.key_uri),
        base_key_uri=str(bench.plan.key_uri),
        created_here=True,
        origin=bench.server.cale_url,
        since=datetime.now(UTC),
        **more,  # type: ignore[arg-type]
    )
    bench.state.write_journal(journal)
    return journal


def test_a_key_of_somebody_who_was_quicker_is_used_as_theirs(bench: Bench) -> None:
    """Killed before the key was made; what has its name now was there before as far as the next run is concerned."""
    begun(bench, Phase.REQUEST)
    create_key(str(bench.plan.key_uri), "rsa-2048").close()
    registration = bench.application.register(bench.plan).registration
    assert registration.created_here is False
    bench.application.forget()
    assert bench.key_files() == ["cale.pem"]


def test_another_key_than_was_registered_is_not_used(bench: Bench) -> None:
    """Registered, killed, and the key replaced by somebody: its GUID is of no use, and the key not ours."""
    create_key(str(bench.plan.key_uri), "ec-p256").close()
    begun(bench, Phase.ISSUED, guid=str(uuid.uuid4()), key_sha256="00" * 32)
    with pytest.raises(KeyExistsError, match="nothing proves"):
        bench.application.register(bench.plan)
    assert bench.server.log() == []
    bench.application.forget()
    assert bench.key_files() == ["cale.pem"]


def test_forgetting_leaves_a_key_that_another_application_needs(bench: Bench) -> None:
    bench.application.register(bench.plan)
    CaleApplication(bench.state, "other").register(replace(bench.plan, key_type=None))
    assert bench.application.forget().destroyed == ()
    assert bench.key_files() == ["cale.pem"]
    assert bench.read("other") == ANSWER


@pytest.mark.slow
@pytest.mark.parametrize("key_type", [KeyType.RSA_2048, KeyType.EC_P256])
def test_cale_66_the_request_says_what_is_accepted(bench: Bench, key_type: KeyType) -> None:
    """SMIMECapabilities (RFC 8551 section 2.5.2): a server that would use AES-CBC does not, as the policy forbids it."""
    plan = replace(bench.plan, key_type=key_type, policy=AUTHENTICATED)
    guid = bench.application.register(plan).registration.guid
    with bench.application.client(bench.trust, policy=AUTHENTICATED) as client:
        assert client.get("/resource").content == ANSWER
    assert guid
    bench.application.forget()
    with pytest.raises(NotForUsError):
        bench.application.register(replace(plan, negotiate=False))
    assert bench.application.register(replace(bench.plan, negotiate=False)).registration
