"""`sync` with keys that the server generates: stored once, confirmed, and finished after a power cut (types 0020 to 0023; AR-01)."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from device_sdk_simulators.cmc.answer import Status
from pyasn1_alt_modules import rfc7191

from device_sdk.client.device.sync import Deliveries, GeneratedDelivery, StepState
from device_sdk.client.est.key_package_policy import KeyPackagePolicy
from device_sdk.errors import CmcRefusedError
from device_sdk.keystores import registry
from device_sdk.model.pkcs12 import Pkcs12Policy
from device_sdk.model.secret import Secret
from tests.est.answers import csr_of
from tests.est.full_cmc_answers import CmcServer, request_of
from tests.est.pki import new_key
from tests.est.scripted_server import http
from tests.packages.generated import Generator, in_parts
from tests.packages.keeping import content
from tests.packages.sealing import receipt_request
from tests.wire.pfx_making import PASSWORD, usual

DONE, EARLIER, FAILED, UNCONFIGURED = StepState.DONE, StepState.EARLIER, StepState.FAILED, StepState.UNCONFIGURED
OFFER, PKCS12, CLEAR = ("0021", "serverkeygen/k-1"), ("0022", "serverkeygen/k-2"), ("0020", "serverkeygen/k-3")
WANTED = ("0023", "serverkeygen/return")


class Bench:
    """A device, and a server that generates keys; what it is asked for and told."""

    def __init__(self, synced, directory) -> None:
        self.synced, self.directory = synced, directory
        with registry.open_key(f"file:{directory}/device.pem") as key:
            self.maker = Generator(device_key=key)
        self.maker.device = synced.certificate
        self.told: list[bytes] = []
        handlers = synced.server.handlers
        handlers["csrattrs"] = lambda _: http(204)
        handlers["return"] = lambda seen: self.told.append(seen.body) or http(204)
        message = self.maker.pack("signed", request=receipt_request(b"made-1"))
        handlers["k-1"] = in_parts(synced.ca, self.maker.key, message)
        handlers["k-2"] = self._pkcs12
        clear = self.maker.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        handlers["k-3"] = in_parts(synced.ca, self.maker.key, clear, "application/pkcs8")
        self.delivery = GeneratedDelivery(
            f"file:{directory}/made.pem",
            directory / "made-certificate.pem",
            KeyPackagePolicy(self.maker.anchors),
            Pkcs12Policy(Secret(PASSWORD)),
        )

    def _pkcs12(self, seen):
        certificate = self.synced.ca.certify(x509.load_der_x509_csr(csr_of(seen)).subject, self.maker.key.public_key())
        return http(200, base64.b64encode(usual(self.maker.key, certificate)), ("Content-Type", "application/pkcs12"))

    def sync(self, *entries, **changes):
        self.synced.entries = list(entries)
        self.told.clear()
        self.synced.asked()
        made = replace(self.delivery, **changes)
        return self.synced.device.sync(deliveries=Deliveries(generated=lambda: made))

    def states(self, report):
        return self.synced.outcomes(report)

    def posted(self) -> list[str]:
        return [line for line in self.synced.asked() if line.startswith("POST serverkeygen/k")]

    def require_stored(self) -> None:
        with registry.open_key(self.delivery.place, allow_imported=True) as key:
            (certificate,) = x509.load_pem_x509_certificates(self.delivery.certificate.read_bytes())
            assert certificate.public_key() == key.public_key() == self.maker.key.public_key()
        assert not list(self.directory.glob("*.unfinished"))
        assert self.synced.device.state.outbox.held() == ()
        assert self.synced.device.state.check() == ()


@pytest.fixture
def bench(synced, tmp_path) -> Bench:
    return Bench(synced, tmp_path)


def test_ar_01_a_key_is_stored_once_and_confirmed(bench):
    """The receipt is signed by the device's key; the next list that offers the same asks nobody, and 0023 sends it again."""
    report = bench.sync(OFFER)
    assert bench.states(report) == [("0021", DONE)]
    assert bench.posted() == ["POST serverkeygen/k-1"]
    bench.require_stored()
    (message,) = bench.told
    assert bytes(content(message, rfc7191.KeyPackageReceipt())["receiptOf"]["pkgID"]) == b"made-1"
    assert bench.states(bench.sync(OFFER)) == [("0021", EARLIER)]
    assert (bench.posted(), bench.told) == ([], [])
    assert bench.states(bench.sync(WANTED)) == [("0023", DONE)]
    assert bench.told == [message]


def test_b_02_pkcs12_and_a_key_in_the_clear_only_where_they_are_configured(bench):
    report = bench.sync(PKCS12, CLEAR, pkcs12=None)
    assert bench.states(report) == [("0022", UNCONFIGURED), ("0020", UNCONFIGURED)]
    assert not report.failed
    assert "no password" in bench.synced.result(report, "0022").detail
    assert "nobody allowed" in bench.synced.result(report, "0020").detail
    assert bench.posted() == []
    bare = replace(bench.delivery, pkcs12=None)
    planned = bench.synced.device.sync_plan(deliveries=Deliveries(generated=lambda: bare))
    assert bench.states(planned) == bench.states(report)
    assert bench.states(bench.sync(PKCS12)) == [("0022", DONE)]
    bench.require_stored()
    other = {"place": f"file:{bench.directory}/clear.pem", "certificate": bench.directory / "clear-certificate.pem"}
    made = new_key()
    clear = made.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    bench.synced.server.handlers["k-3"] = in_parts(bench.synced.ca, made, clear, "application/pkcs8")
    assert bench.states(bench.sync(CLEAR, allow_clear=True, **other)) == [("0020", DONE)]


def test_nothing_is_configured(bench):
    bench.synced.entries = [OFFER, WANTED]
    report = bench.synced.device.sync()
    assert bench.states(report) == [("0021", UNCONFIGURED), ("0023", UNCONFIGURED)]
    assert "generated.key" in bench.synced.result(report, "0021").detail


def test_a_place_that_is_taken_costs_the_server_no_key(bench):
    with registry.create_key(bench.delivery.place, "ec-p256"):
        pass
    report = bench.sync(OFFER)
    assert bench.states(report) == [("0021", FAILED)]
    assert "there is a key of this name already" in bench.synced.result(report, "0021").detail
    assert bench.posted() == []


def test_a_04_a_refusal_is_told(bench):
    stranger = Generator()
    report = bench.sync(OFFER, policy=KeyPackagePolicy(stranger.anchors))
    assert bench.states(report) == [("0021", FAILED)]
    (message,) = bench.told
    assert int(content(message, rfc7191.KeyPackageError())["errorCode"]["enum"]) == 10
    assert not bench.delivery.certificate.exists()
    assert bench.states(bench.sync(OFFER)) == [("0021", DONE)]


@pytest.mark.parametrize("arrived", [False, True])
def test_a_power_cut_costs_neither_key_nor_certificate(arrived, bench):
    """Right before and right after the key is stored: the next run asks again or finishes, and one receipt arrives."""
    bench.sync(OFFER)
    state, made = bench.synced.device.state, bench.delivery.certificate
    (record,), (message,) = state.processed.all(), bench.told
    event = hashlib.sha256(x509.load_pem_x509_certificate(made.read_bytes()).public_bytes(Encoding.DER)).hexdigest()
    # what the run had done until then
    made.rename(f"{made}.unfinished")
    state.generated.file.unlink()
    if not arrived:
        registry.delete_key(bench.delivery.place)
    with state.exclusive():
        state.processed.save(replace(record, result="begun", event=event))
        (kept,) = record.returns
        about = {"about": kept.about, "made_at": record.at}
        state.outbox.put(kept.path, kept.media_type, kept.body, held=True, event=event, **about)
    report = bench.sync(OFFER)
    assert bench.states(report) == [("0021", DONE)]
    assert len(bench.posted()) == (0 if arrived else 1)
    bench.require_stored()
    assert len(bench.told) == 1
    assert (bench.told == [message]) is arrived


@pytest.mark.parametrize("missing", ["place", "certificate"])
def test_a_directory_that_cannot_be_written_costs_the_server_no_key(bench, missing):
    later = bench.directory / "later"
    elsewhere = {missing: later / "made.pem" if missing == "certificate" else f"file:{later}/made.pem"}
    for _ in range(2):
        report = bench.sync(OFFER, **elsewhere)
        assert bench.states(report) == [("0021", FAILED)]
        assert f"{later}/" in report.steps[0].detail
        assert (bench.posted(), bench.told) == ([], [])
    later.mkdir(mode=0o700)
    assert bench.states(bench.sync(OFFER, **elsewhere)) == [("0021", DONE)]


@pytest.mark.slow
def test_an_import_that_fails_is_told_and_tried_daily(bench):
    """Each time costs the server a key and the CA a certificate: somebody takes the name while the server is asked."""
    taken, handlers = [True], bench.synced.server.handlers
    offer = handlers["k-1"]

    def answer(seen):
        if taken.pop():
            registry.create_key(bench.delivery.place, "ec-p256").close()
        return offer(seen)

    def refused(**changes) -> tuple[list[str], int]:
        taken[:] = [True]
        report = bench.sync(OFFER, **changes)
        assert bench.states(report) == [("0021", FAILED)]
        if not taken:
            registry.delete_key(bench.delivery.place)
        return bench.posted(), len(bench.told)

    handlers["k-1"] = answer
    asked = (["POST serverkeygen/k-1"], 1)
    assert [refused() for _ in range(3)] == [asked, ([], 0), ([], 0)]
    bench.synced.clock.shift += timedelta(days=1)
    assert [refused() for _ in range(2)] == [asked, ([], 0)]
    assert refused(again=True) == asked
    assert [path.name for path in bench.directory.glob("made*")] == []
    taken[:] = [False]
    assert bench.states(bench.sync(OFFER, again=True)) == [("0021", DONE)]
    assert bench.synced.device.state.outbox.held() == ()


@pytest.fixture
def by_cmc(bench):
    """The three offers lead to /fullcmc: what comes is the answer of /serverkeygen (section 2.1.1), where a signed message asks."""
    handlers = bench.synced.server.handlers
    for name in ("k-1", "k-2", "k-3"):
        handlers[name] = _inside(handlers[name])
    return CmcServer(bench.synced.ca)


def _inside(handler):
    """What a handler answers to the PKCS#10 request of a Full PKI Request."""

    def handle(seen):
        full = request_of(seen)
        assert seen.header("Content-Type").endswith("smime-type=CMC-request")
        return handler(replace(seen, body=base64.b64encode(full.request.der)))

    return handle


def test_a_01_keys_by_full_cmc(bench, by_cmc):
    """Types 0020 to 0022 have two places: the same key, certificate and receipt by either."""
    report = bench.sync(("0021", "fullcmc/k-1"))
    assert bench.states(report) == [("0021", DONE)], report.steps[0].detail
    assert next(line for line in bench.synced.asked() if "POST" in line) == "POST fullcmc/k-1"
    bench.require_stored()
    assert len(bench.told) == 1
    assert bench.states(bench.sync(("0021", "fullcmc/k-1"))) == [("0021", EARLIER)]


@pytest.mark.parametrize(("kind", "item"), [("0020", "k-3"), ("0022", "k-2")])
def test_b_02_keys_by_full_cmc_in_the_other_forms(bench, by_cmc, kind, item):
    report = bench.sync((kind, f"fullcmc/{item}"), allow_clear=True)
    assert bench.states(report) == [(kind, DONE)], report.steps[0].detail
    bench.require_stored()


def test_a_server_that_certifies_the_request_is_asked_once(bench, by_cmc):
    """One that knows nothing of this takes it for an enrolment: nothing is kept, and the next run costs no certificate."""
    bench.synced.server.handlers["fullcmc"] = by_cmc.says()
    report = bench.sync(("0021", "fullcmc"))
    assert bench.states(report) == [("0021", FAILED)]
    assert report.steps[0].error.made_none
    assert not list(bench.directory.glob("made*"))
    bench.synced.asked()
    assert bench.states(bench.sync(("0021", "fullcmc"))) == [("0021", StepState.SKIPPED)]
    assert [line for line in bench.synced.asked() if "POST" in line] == []


def test_a_05_a_refusal_by_full_cmc(bench, by_cmc):
    bench.synced.server.handlers["k-1"] = by_cmc.says(Status(2, (1,)), status=400, certificates=[])
    report = bench.sync(("0021", "fullcmc/k-1"))
    assert bench.states(report) == [("0021", FAILED)]
    assert isinstance(report.steps[0].error, CmcRefusedError)
    assert not list(bench.directory.glob("made*"))


@pytest.mark.parametrize("what", ["pkcs11", "public", "tpm2", "directory"])
def test_a_place_that_is_no_key_s_is_told_before_the_server_is_asked(bench, softhsm_token, what):
    """Whatever else is in the token: that is not taken for a key of this name."""
    token = softhsm_token.uri_of()
    place, words = {
        "pkcs11": (token, "object=LABEL"),
        "public": (token.replace("?", ";object=made;type=public?"), "object=LABEL"),
        "tpm2": ("tpm2:", "file or a persistent handle"),
        "directory": (f"tpm2:dir={bench.directory}", "file or a persistent handle"),
    }[what]
    report = bench.sync(OFFER, place=place)
    assert bench.states(report) == [("0021", FAILED)]
    assert report.steps[0].error.code == "bad-uri"
    assert words in str(report.steps[0].error)
    assert bench.posted() == []
