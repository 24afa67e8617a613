"""Keys of the server's making after the first: places of their own, and the next certificates for them (AR-01, P-15)."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from device_sdk_simulators.cmc.answer import Status
from device_sdk_simulators.est.multipart import multipart

from device_sdk.client.device.generated_keys import held_keys
from device_sdk.client.device.sync import StepState
from device_sdk.client.device.sync.generated_places import Place
from device_sdk.errors import CmcPendingError
from device_sdk.keystores import registry
from tests.est.answers import csr_of
from tests.est.full_cmc_answers import CmcServer, request_of
from tests.est.pki import certs_only, one_line
from tests.est.scripted_server import http, pkcs7
from tests.packages.generated import Generator, in_parts
from tests.packages.test_sync_generated import DONE, EARLIER, FAILED, OFFER, Bench

SECOND = ("0021", "serverkeygen/k-9")


@pytest.fixture
def bench(synced, tmp_path) -> Bench:
    """As there; and the server has another key at k-9."""
    made = Bench(synced, tmp_path)
    other = Generator(device_key=made.maker.device_key)
    other.device, made.other = synced.certificate, other
    handler = in_parts(synced.ca, other.key, other.pack("signed"))
    synced.server.handlers["k-9"] = handler
    made.delivery = replace(
        made.delivery, policy=replace(made.delivery.policy, anchors=(*made.maker.anchors, *other.anchors))
    )
    return made


def held(bench):
    return held_keys(bench.synced.device.state)


def in_file(path) -> x509.Certificate:
    return x509.load_pem_x509_certificates(path.read_bytes())[0]


def about(kind: str, certificate: x509.Certificate) -> dict[str, object]:
    return {"type": kind, "size": 0, "info": {"iasn": {"issuer": "CN=EST root", "serial": certificate.serial_number}}}


@pytest.mark.slow
def test_another_offer_has_a_place_of_its_own(bench):
    assert bench.states(bench.sync(OFFER)) == [("0021", DONE)]
    report = bench.sync(OFFER, SECOND)
    assert bench.states(report) == [("0021", EARLIER), ("0021", DONE)], report.steps
    bench.require_stored()
    second = in_file(bench.directory / "made-certificate-2.pem")
    with registry.open_key(f"file:{bench.directory}/made-2.pem", allow_imported=True) as key:
        assert key.public_key() == second.public_key() == bench.other.key.public_key()
    assert [one.certificate for one in held(bench)] == [in_file(bench.delivery.certificate), second]
    assert bench.states(bench.sync(OFFER, SECOND)) == [("0021", EARLIER)] * 2
    assert bench.posted() == []
    # a place whose key was deleted is free again
    registry.delete_key(bench.delivery.place)
    bench.synced.server.handlers["k-7"] = bench.synced.server.handlers["k-1"]
    assert bench.states(bench.sync(("0021", "serverkeygen/k-7"))) == [("0021", DONE)]
    bench.require_stored()
    assert [one.certificate for one in held(bench)] == [second, in_file(bench.delivery.certificate)]


@pytest.mark.slow
def test_what_an_earlier_version_stored_is_known(bench):
    bench.sync(OFFER)
    bench.synced.device.state.generated.file.unlink()
    assert bench.states(bench.sync(SECOND)) == [("0021", DONE)]
    assert len(held(bench)) == 2


@pytest.mark.slow
def test_places_have_an_end(bench):
    """And a key of somebody else's on the way is left alone."""
    bench.sync(OFFER)
    for number in range(2, 17):
        registry.create_key(f"file:{bench.directory}/made-{number}.pem", "ec-p256").close()
    report = bench.sync(SECOND)
    assert bench.states(report) == [("0021", FAILED)]
    assert "16 places" in report.steps[0].detail
    assert bench.posted() == []


@pytest.mark.slow
def test_p_15_an_entry_that_names_its_certificate(bench):
    """The next one is for the same key, in the same file; the one in use is not touched."""
    bench.sync(OFFER, SECOND)
    first, other = held(bench)
    bench.synced.entries = [about("0010", first.certificate)]
    bench.synced.server.seen.clear()
    report = bench.synced.device.sync()
    assert bench.states(report) == [("0010", DONE)], report.steps[0].detail
    (seen,) = [one for one in bench.synced.server.seen if "POST" in one.line]
    assert (seen.target.rpartition("/")[2], seen.client_certificate) == ("simplereenroll", first.certificate)
    renewed, _ = held(bench)
    assert renewed.certificate.public_key() == first.certificate.public_key()
    assert renewed.certificate != first.certificate
    assert in_file(bench.delivery.certificate) == renewed.certificate
    assert held(bench)[1].certificate == other.certificate
    assert bench.synced.device.certificate == bench.synced.certificate
    bench.require_stored()


@pytest.mark.slow
def test_p_15_the_newest_is_renewed_by_its_age(bench):
    """Though no entry says so, as nobody else looks after it; those before it were replaced, perhaps."""
    bench.sync(OFFER, SECOND)
    first, second = held(bench)
    life = second.certificate.not_valid_after_utc - second.certificate.not_valid_before_utc
    bench.synced.clock.shift = second.certificate.not_valid_before_utc + life * 0.7 - bench.synced.clock.now()
    bench.synced.server.handlers["simplereenroll"], renewing = (
        lambda _: http(503),
        bench.synced.server.handlers["simplereenroll"],
    )
    assert "is due, and would be renewed" in bench.synced.device.sync_plan().notes[0]
    report = bench.sync()
    assert report.failed
    assert "is due, and was not renewed" in report.notes[0]
    bench.synced.server.handlers["simplereenroll"] = renewing
    report = bench.sync()
    assert not report.failed, report.notes
    assert "made-2.pem until" in report.notes[0]
    assert (held(bench)[0].certificate, held(bench)[1].certificate != second.certificate) == (first.certificate, True)
    # other software reads the file
    assert in_file(bench.directory / "made-certificate-2.pem") == held(bench)[1].certificate


def test_p_15_one_for_key_establishment_stays_one(bench):
    """It signs nothing, so that TLS shows the one of the device, and its use is asked for again."""
    synced, key, usages = bench.synced, bench.maker.key, []
    wanted = x509.KeyUsage(False, False, False, False, True, False, False, False, False)

    def certified(subject, public_key):
        return synced.ca.certify(subject, public_key, extensions=[(wanted, True)])

    def handle(seen):
        certificate = certified(x509.load_der_x509_csr(csr_of(seen)).subject, key.public_key())
        parts = ("application/cms", bench.maker.pack("signed")), ("application/pkcs7-mime", certs_only(certificate))
        media, body = multipart(*parts)
        return http(200, body, ("Content-Type", media))

    def renew(seen):
        csr = x509.load_der_x509_csr(csr_of(seen))
        usages.append((csr.extensions.get_extension_for_class(x509.KeyUsage).value, seen.client_certificate))
        return pkcs7(one_line(certs_only(certified(csr.subject, csr.public_key()))))

    synced.server.handlers |= {"k-1": handle, "simplereenroll": renew}
    bench.sync(OFFER)
    (before,) = held(bench)
    synced.entries = [about("0017", before.certificate)]
    report = synced.device.sync()
    assert bench.states(report) == [("0017", DONE)], report.steps[0].detail
    assert usages == [(wanted, synced.certificate)]
    assert held(bench)[0].certificate != before.certificate


def test_a_power_cut_between_a_renewal_and_the_file(bench):
    bench.sync(OFFER)
    (before,) = held(bench)
    old = bench.delivery.certificate.read_bytes()
    bench.synced.entries = [about("0010", before.certificate)]
    bench.synced.device.sync()
    bench.delivery.certificate.write_bytes(old)
    bench.sync()
    assert in_file(bench.delivery.certificate) == held(bench)[0].certificate != before.certificate


def test_n_01_a_key_that_full_cmc_has_not_decided_is_asked_for_later(bench):
    """With the token that it gave; the request inside stays that of the first time."""
    server, handlers, entry = CmcServer(bench.synced.ca), bench.synced.server.handlers, ("0021", "fullcmc/k-1")
    made, state = handlers["k-1"], bench.synced.device.state
    waiting = Status(3, (1,), pend_token=b"token", pend_time=bench.synced.clock.now() + timedelta(seconds=30))
    handlers["k-1"] = server.says(waiting, certificates=[])
    report = bench.sync(entry)
    assert bench.states(report) == [("0021", StepState.PENDING)]
    assert isinstance(report.steps[0].error, CmcPendingError)
    ((place, kept),) = state.generated.pending().items()
    assert place.endswith("/fullcmc/k-1")
    csr = base64.b64decode(json.loads(kept)["csr"])

    def decided(seen):
        assert request_of(seen).request is None
        return made(replace(seen, body=base64.b64encode(csr)))

    handlers["k-1"] = decided
    assert bench.states(bench.sync(entry)) == [("0021", DONE)]
    assert state.generated.pending() == {}
    bench.require_stored()


@pytest.mark.parametrize("stored", [True, False])
def test_a_power_cut_and_the_offer_is_gone(bench, monkeypatch, stored):
    """The server gave the key away, and may not offer it again."""

    class PowerCut(BaseException):
        pass

    def cut(*_args, **_options):
        raise PowerCut

    with monkeypatch.context() as dying:
        dying.setattr(*((Place, "complete") if stored else (registry, "import_key")), cut)
        with pytest.raises(PowerCut):
            bench.sync(OFFER)
    outbox = bench.synced.device.state.outbox
    assert (len(outbox.held("serverkeygen/return")), held(bench)) == (1, ())
    if not stored:
        (bench.directory / "made-certificate.pem.unfinished").write_bytes(b"cut off, too")
    assert not bench.sync().failed
    assert outbox.held("serverkeygen/return") == ()
    assert len(bench.told) == len(held(bench)) == int(stored), "a receipt for what is there, and for nothing else"
    if stored:
        bench.require_stored()
        assert not (bench.directory / "made-certificate.pem.unfinished").exists()


def test_an_old_answer_sent_again_is_no_other_key(bench):
    """Who speaks for the server in TLS needs no key to do so; the places, and what is renewed, are for keys it made."""
    given = bench.synced.server.handlers["k-1"]
    answers = []
    bench.synced.server.handlers["k-1"] = lambda seen: answers.append(given(seen)) or answers[0]
    assert bench.states(bench.sync(OFFER)) == [("0021", DONE)]
    bench.synced.server.handlers["k-2"] = lambda seen: answers[0]
    report = bench.sync(("0021", "serverkeygen/k-2"))
    assert bench.states(report) == [("0021", FAILED)]
    assert "this key is here already" in report.steps[0].detail
    assert len(held(bench)) == 1
    assert not (bench.directory / "made-2.pem").exists()


@pytest.mark.slow
def test_a_private_key_is_where_the_next_certificate_belongs(bench):
    """Key and certificate in one file, as some servers want them: whoever put the key there has no other copy, perhaps."""
    bench.sync(OFFER)
    (first,) = held(bench)
    pem = b"-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n" + bench.delivery.certificate.read_bytes()
    bench.delivery.certificate.write_bytes(pem)
    bench.synced.entries = [about("0010", first.certificate)]
    bench.synced.server.seen.clear()
    report = bench.synced.device.sync()
    assert bench.states(report) == [("0010", FAILED)]
    assert "it holds a private key" in report.steps[0].detail
    assert bench.delivery.certificate.read_bytes() == pem
    assert not [one for one in bench.synced.server.seen if "POST" in one.line], "nothing was asked of the CA"
