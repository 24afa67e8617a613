"""The device's side of a bench: an enrolment in steps, each of which may be repeated, and none of which believes the line."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.bench.facts import PROOF_CONTEXT
from device_sdk.client.device import EnrolmentPlan
from device_sdk.client.device.bench import DeviceBench
from device_sdk.errors import (
    CertificateMismatchError,
    ClockError,
    ConfigurationError,
    DeviceSdkError,
    KeyExistsError,
    RemoteProtocolError,
    StateError,
    VerificationError,
)
from device_sdk.identity import Roots
from device_sdk.keystores import registry
from device_sdk.model.credentials import Credentials
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import KeyType
from device_sdk.model.secret import Secret
from device_sdk.state.pem import fingerprint
from tests.device.benched import Benched, station
from tests.device.conftest import SlowTime
from tests.est.pki import Ca, certs_only

NONCE = bytes(range(32))


@pytest.fixture
def benched(est_server: ReferenceServer, tmp_path: Path) -> Benched:
    return Benched(est_server, tmp_path / "device")


def csr_key(request: bytes) -> object:
    return x509.load_der_x509_csr(request).public_key()


@pytest.mark.slow
def test_every_step_may_be_repeated(benched: Benched) -> None:
    bench = benched.configured()
    key = bench.create_key(benched.wish)
    assert (bench.configure(benched.config, b""), bench.create_key(benched.wish)) == (None, key)
    assert bench.facts().extra["under_way"] == "enroll request"
    first, second = bench.request(), bench.request()
    assert csr_key(first) == csr_key(second)
    with station(benched.server) as client:
        relayed = client.relay.enroll(first, benched.identity(key))
    done = bench.install(relayed.answer, relayed.ca_certificates)
    assert (
        bench.install(relayed.answer, relayed.ca_certificates)
        == done
        == relayed.certificate.fingerprint(hashes.SHA256())
    )
    facts = bench.facts()
    assert (facts.enrolled, "under_way" in facts.extra) == (done.hex(), False)
    assert bench.create_key(benched.wish) == key
    assert benched.device.state.check() == ()
    assert [path.name for path in (benched.directory / "state/certificates").iterdir()] == [f"{done.hex()}.pem"]


def test_the_key_of_the_first_step_is_the_one_that_enroll_goes_on_with(benched: Benched) -> None:
    """A device that gets a network after all: one journal, one key."""
    key = benched.configured().create_key(benched.wish)
    plan = EnrolmentPlan(
        url=benched.server.url,
        key_uri=benched.wish.uri,
        spec=CsrSpec(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "router-7")])),
        anchors=tuple(x509.load_pem_x509_certificates(benched.anchors)),
        credentials=Credentials(benched.server.user or "", Secret(benched.server.password)),
    )
    certificate = benched.device.enroll(plan).certificate
    assert (
        x509.load_der_x509_certificate(certificate.public_bytes(Encoding.DER)).public_key() == certificate.public_key()
    )
    assert bench_key(certificate) == key.public_key


def test_what_was_begun_can_be_abandoned(benched: Benched) -> None:
    key = benched.configured().create_key(benched.wish)
    assert benched.device.abandon() is True
    assert registry.list_keys(benched.wish.uri) == ()
    with pytest.raises(StateError, match="no key was made"):
        benched.bench.request()
    assert benched.bench.create_key(benched.wish).public_key != key.public_key


def bench_key(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.slow
def test_another_certificate_for_the_same_key_and_for_another_one(benched: Benched) -> None:
    """No server can be asked about a pair that replaces one: the old one stays, unless the key is the same."""
    first = benched.enrolled()
    benched.bench.request()
    assert benched.bench.install(first.answer, first.ca_certificates).hex() == fingerprint(first.certificate)
    assert "under_way" in benched.bench.facts().extra, "the old answer once more is not the one that is waited for"
    second = benched.enrolled()
    assert bench_key(first.certificate) == bench_key(second.certificate)
    assert benched.device.state.load().previous == ()
    other = f"file:{benched.directory}/other.pem"
    with pytest.raises(ConfigurationError, match="enrolled already"):
        benched.bench.create_key(dataclasses.replace(benched.wish, uri=other))
    benched.wish = dataclasses.replace(benched.wish, uri=other, again=True)
    third = benched.enrolled()
    assert bench_key(third.certificate) != bench_key(first.certificate)
    (kept,) = benched.device.state.load().previous
    assert kept.certificate == fingerprint(second.certificate)
    registry.open_key(kept.key_uri).close()
    assert benched.device.state.check() == ()


def test_a_key_of_another_type_is_made_anew_and_one_of_somebody_else_left_alone(benched: Benched) -> None:
    bench = benched.configured()
    first = bench.create_key(benched.wish)
    larger = bench.create_key(dataclasses.replace(benched.wish, type=KeyType.EC_P384))
    assert (first.type, larger.type) == (KeyType.EC_P256, KeyType.EC_P384)
    assert csr_key(bench.request()).key_size == 384  # type: ignore[attr-defined]
    assert bench.create_key(dataclasses.replace(benched.wish, type=KeyType.EC_P384)) == larger
    others = f"file:{benched.directory}/others.pem"
    registry.create_key(others, "ec-p256").close()
    with pytest.raises(KeyExistsError):
        bench.create_key(dataclasses.replace(benched.wish, uri=others))
    registry.open_key(others).close()


def test_wishes_that_are_not_met(benched: Benched) -> None:
    bench = benched.configured()
    with pytest.raises(ConfigurationError, match="does not allow one"):
        bench.create_key(dataclasses.replace(benched.wish, file_allowed=False))
    with pytest.raises(ConfigurationError, match="the wish has a PIN") as caught:
        bench.create_key(dataclasses.replace(benched.wish, uri="pkcs11:token=lab;object=k?pin-value=1234"))
    assert "1234" not in str(caught.value)
    for uri in ("", "https://x", "file:", "tpm2:"):
        with pytest.raises(DeviceSdkError):
            bench.create_key(dataclasses.replace(benched.wish, uri=uri))


def test_nothing_is_done_out_of_turn(benched: Benched) -> None:
    """Without a key, without a configuration, and without a certificate."""
    with pytest.raises(ConfigurationError, match="say whom to trust"):
        benched.bench.create_key(benched.wish)
    bench = benched.configured()
    for step in (bench.request, lambda: bench.install(b"x", b"x")):
        with pytest.raises(StateError, match="no key was made"):
            step()
    with pytest.raises(StateError, match="not enrolled"):
        bench.prove(NONCE)


@pytest.mark.slow
def test_answers_that_are_not_this_devices(benched: Benched, tmp_path: Path) -> None:
    """Another device's certificate, another CA's, a CA's, noise: nothing is kept, and the right answer still counts."""
    other = Benched(benched.server, tmp_path / "other", serial="SN-4712")
    others, bench = other.enrolled(), benched.configured()
    key, strange = bench.create_key(benched.wish), Ca.root("Strange CA")
    request = x509.load_der_x509_csr(bench.request())
    forged = certs_only(strange.certify_csr(request.public_bytes(Encoding.DER)))
    with pytest.raises(CertificateMismatchError, match="for the requested key"):
        bench.install(others.answer, others.ca_certificates)
    with pytest.raises(CertificateMismatchError, match="not usable"):
        bench.install(forged, others.ca_certificates)
    with pytest.raises(VerificationError, match="no CA certificate of the answer"):
        bench.install(forged, certs_only(strange.certificate))
    for noise in (b"", b"\x30", b"not base64 \xff", bytes(300)):
        with pytest.raises(RemoteProtocolError):
            bench.install(noise, others.ca_certificates)
        with pytest.raises(RemoteProtocolError):
            bench.install(others.answer, noise)
    with pytest.raises(ConfigurationError, match="larger than"):
        bench.install(bytes(2**20 + 1), b"")
    with pytest.raises(ConfigurationError, match="larger than"):
        bench.request(bytes(2**16 + 1))
    assert (bench.facts().enrolled, bench.create_key(benched.wish)) == (None, key)
    with station(benched.server) as client:
        relayed = client.relay.enroll(bench.request(), benched.identity(key))
    assert bench.install(relayed.answer, relayed.ca_certificates).hex() == bench.facts().enrolled


def test_a_certificate_that_is_not_valid_yet_waits_for_the_clock(est_server: ReferenceServer, tmp_path: Path) -> None:
    clock = SlowTime()
    benched = Benched(est_server, tmp_path / "device", clock=clock)
    bench = benched.configured()
    key = bench.create_key(benched.wish)
    with station(est_server) as client:
        relayed = client.relay.enroll(bench.request(), benched.identity(key))
    clock.offset_s = -timedelta(hours=12).total_seconds()
    with pytest.raises(ClockError):
        bench.install(relayed.answer, relayed.ca_certificates)
    assert bench.facts().enrolled is None
    clock.offset_s = 0
    assert bench.install(relayed.answer, relayed.ca_certificates).hex() == bench.facts().enrolled
    clock.offset_s = -timedelta(days=365 * 40).total_seconds()
    with pytest.raises(ClockError):
        bench.create_key(benched.wish)


def test_a_proof_is_of_one_form(benched: Benched) -> None:
    """No oracle: whatever is asked for, what is signed begins with the context and ends with the certificate's digest."""
    relayed = benched.enrolled()
    proof = benched.bench.prove(NONCE)
    public = relayed.certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    signed = PROOF_CONTEXT + NONCE + relayed.certificate.fingerprint(hashes.SHA256())
    public.verify(proof.signature, signed, ec.ECDSA(hashes.SHA256()))
    assert proof.certificate == relayed.certificate.public_bytes(Encoding.DER)
    assert PROOF_CONTEXT[:1] not in (b"\x30", b" "), "a CSR, CMS attributes and TLS begin otherwise"
    for nonce in (b"", bytes(31), bytes(33), bytes(64)):
        with pytest.raises(ConfigurationError, match="nonce"):
            benched.bench.prove(nonce)


def test_another_key_in_the_place_of_the_certificates_proves_nothing(benched: Benched) -> None:
    benched.enrolled()
    place = Path(benched.wish.uri.removeprefix("file:"))
    place.unlink()
    registry.create_key(benched.wish.uri, "ec-p256").close()
    with pytest.raises(StateError, match="not the key of this device's certificate"):
        benched.bench.prove(NONCE)
    with pytest.raises(KeyExistsError, match="nothing proves"):
        benched.bench.request()


def test_facts_have_nothing_secret_and_are_small(benched: Benched, tmp_path: Path) -> None:
    secret = benched.config.replace(b"[est]", b'[key]\nuri = "pkcs11:token=lab;object=k?pin-value=9876598765"\n[est]')
    with pytest.raises(ConfigurationError, match="has a PIN"):
        benched.bench.configure(secret, benched.anchors)
    DeviceBench(benched.configuration, programs=True).configure(secret, benched.anchors)
    facts = benched.bench.facts()
    assert "9876598765" not in json.dumps(dataclasses.asdict(facts))
    assert facts.keystores[0].startswith("pkcs11:token=lab")
    assert facts.keystores[-1] == "file:"
    benched.serial = "x" * 65
    benched.bench.configure(benched.config, b"")
    with pytest.raises(ConfigurationError, match="65 characters"):
        DeviceBench(benched.configuration, roots=Roots(tmp_path, tmp_path, tmp_path)).facts()


def test_new_anchors_do_not_change_what_an_enrolled_device_trusts(benched: Benched) -> None:
    """Whoever has the line for a moment does not turn the device to another server; the next enrolment is with the new ones."""
    benched.enrolled()
    trusted = (benched.directory / "state/anchors.pem").read_bytes()
    benched.anchors = Ca.root("Another CA").certificate.public_bytes(Encoding.PEM)
    benched.configured()
    assert (benched.directory / "state/anchors.pem").read_bytes() == trusted
    assert benched.device.renew().changed


@pytest.mark.slow
def test_a_fingerprint_in_the_place_of_anchors_and_an_rsa_key(benched: Benched) -> None:
    pinned = benched.config.replace(b"[identity]", f'pins = ["sha256:{benched.server.ca_sha256}"]\n[identity]'.encode())
    benched.bench.configure(pinned, b"")
    key = benched.bench.create_key(dataclasses.replace(benched.wish, type=KeyType.RSA_2048))
    with station(benched.server) as client:
        relayed = client.relay.enroll(benched.bench.request(), benched.identity(key))
    strange = Ca.root("Strange CA")
    with pytest.raises(VerificationError, match="no CA certificate has a pinned fingerprint"):
        benched.bench.install(relayed.answer, certs_only(strange.certificate))
    benched.bench.install(relayed.answer, relayed.ca_certificates)
    public = relayed.certificate.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    signed = PROOF_CONTEXT + NONCE + relayed.certificate.fingerprint(hashes.SHA256())
    public.verify(benched.bench.prove(NONCE).signature, signed, padding.PKCS1v15(), hashes.SHA256())
