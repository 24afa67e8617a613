"""A station relays for devices without a network, as a registration authority (RFC 7030 sections 3.5, 3.7; EST-26, EST-101)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.est import EstClient
from device_sdk.client.est.relay import RelayRecord
from device_sdk.errors import (
    CertificateMismatchError,
    ConfigurationError,
    EnrolmentPendingError,
    HttpStatusError,
    LocalProtocolError,
    WrongDeviceError,
)
from device_sdk.model.trust import TlsIdentity
from device_sdk.state.pem import fingerprint
from device_sdk.wire import der
from device_sdk.wire.csrattrs_oids import CHALLENGE_PASSWORD, OTP_CHALLENGE
from tests.device.benched import Benched, authority, station
from tests.est.answers import bag, trusting
from tests.est.conftest import QuickClock
from tests.est.pki import Ca, new_key
from tests.est.scripted_server import ScriptedServer, http


@pytest.fixture
def benched(est_server: ReferenceServer, tmp_path: Path) -> Benched:
    return Benched(est_server, tmp_path / "device")


@pytest.mark.slow
def test_a_station_relays_and_the_device_is_enrolled(benched: Benched) -> None:
    """The device's key signs, the station authenticates, and afterwards the device renews by itself."""
    relayed = benched.enrolled()
    entry = next(one for one in benched.server.log() if one["operation"] == "simpleenroll")
    assert (entry["status"], entry["registration_authority"], entry["authentication"]) == (200, True, "tls")
    assert benched.bench.facts().enrolled == fingerprint(relayed.certificate)
    serials = relayed.certificate.subject.get_attributes_for_oid(x509.NameOID.SERIAL_NUMBER)
    assert [one.value for one in serials] == [benched.serial]
    assert benched.device.certificate == relayed.certificate
    assert benched.device.state.check() == ()
    assert benched.device.renew().certificate != relayed.certificate
    renewal = next(one for one in benched.server.log() if one["operation"] == "simplereenroll")
    assert renewal["client_serial"] == f"{relayed.certificate.serial_number:x}"


def test_a_server_that_trusts_no_registration_authority_refuses(benched: Benched) -> None:
    benched.server.policy.registration_authorities = False
    with pytest.raises(HttpStatusError, match="403") as caught:
        benched.enrolled()
    assert "id-kp-cmcRA" in (caught.value.hint or "")
    assert benched.bench.facts().enrolled is None
    benched.server.policy.registration_authorities = True
    benched.enrolled()


def test_only_a_registration_authority_relays(benched: Benched) -> None:
    """A device's certificate would post the request as its own."""
    benched.enrolled()
    with benched.device.key() as key:
        own = TlsIdentity(benched.device.chain, key)  # type: ignore[arg-type]
        with station(benched.server, own) as client, pytest.raises(ConfigurationError, match="id-kp-cmcRA"):
            _ = client.relay


def test_another_devices_request_is_not_posted(benched: Benched, tmp_path: Path) -> None:
    """Lines that were mixed up: the key is not the one this device made, or the serial number another one's."""
    other = Benched(benched.server, tmp_path / "other", serial="SN-4712")
    key, others_key = benched.configured().create_key(benched.wish), other.configured().create_key(other.wish)
    request = other.bench.request()
    with station(benched.server) as client:
        with pytest.raises(WrongDeviceError, match="another key"):
            client.relay.enroll(request, benched.identity(key))
        with pytest.raises(WrongDeviceError, match="'SN-4712'"):
            client.relay.enroll(request, benched.identity(others_key))
    assert "simpleenroll" not in [one["operation"] for one in benched.server.log()]


def test_a_binding_that_the_server_lists_is_not_made_up(benched: Benched) -> None:
    """EST-92, EST-101: the device has no connection to bind to and leaves it out; the station vouches for the request."""
    benched.server.policy.csrattrs = [CHALLENGE_PASSWORD]
    bench = benched.configured()
    identity = benched.identity(bench.create_key(benched.wish))
    with station(benched.server) as client:
        request = bench.request(client.relay.csrattrs())
        assert not [
            one for one in x509.load_der_x509_csr(request).attributes if one.oid.dotted_string == CHALLENGE_PASSWORD
        ]
        assert client.relay.enroll(request, identity).certificate
    benched.server.policy.require_binding = True
    with station(benched.server) as client:
        request = bench.request(client.relay.csrattrs())
        relay = client.relay
        relay.csrattrs()
        with pytest.raises(HttpStatusError, match="400") as caught:
            relay.enroll(request, identity)
    assert "for devices that have no connection" in (caught.value.hint or "")
    with pytest.raises(LocalProtocolError, match="one-time password"):
        bench.request(der.sequence(der.oid(OTP_CHALLENGE)))


def test_a_pending_request_is_posted_again_as_it_is(benched: Benched) -> None:
    """EST-164: after a 202 the same bytes, although the device would make others; with the record of the station before."""
    server, clock = benched.server, QuickClock()
    server.policy.require_approval = server.policy.pending_by_bytes = True
    server.policy.retry_after_s = 600
    bench, ra, kept = benched.configured(), authority(benched.server), []
    identity = benched.identity(bench.create_key(benched.wish))
    with station(server, ra, clock) as client, pytest.raises(EnrolmentPendingError):
        client.relay.enroll(bench.request(), identity, remember=kept.append)
    record = RelayRecord.from_json(json.loads(json.dumps(kept[-1].to_json())))
    with station(server, ra, clock) as client, pytest.raises(EnrolmentPendingError, match="left alone"):
        client.relay.enroll(bench.request(), identity, record=record)
    assert [one["status"] for one in server.log() if one["operation"] == "simpleenroll"] == [202]
    server.est.queue.decide(None, approve=True)
    with station(server, ra, clock) as client:
        relayed = client.relay.enroll(bench.request(), identity, record=record, wait_s=3600)
    assert bench.install(relayed.answer, relayed.ca_certificates) == relayed.certificate.fingerprint(hashes.SHA256())
    assert server.log()[-1]["status"] == 200


def test_a_record_is_for_its_server_device_and_key(benched: Benched, tmp_path: Path) -> None:
    other = Benched(benched.server, tmp_path / "other", serial="SN-4712")
    bench = benched.configured()
    key, request = bench.create_key(benched.wish), bench.request()
    others = other.identity(other.configured().create_key(other.wish))
    now = QuickClock().now()
    url = f"{benched.server.url}/.well-known/est/simpleenroll"
    record = RelayRecord(url, request, benched.serial, now, now)
    with station(benched.server) as client:
        with pytest.raises(WrongDeviceError, match="not of SN-4712"):
            client.relay.enroll(other.bench.request(), others, record=record)
        swapped = dataclasses.replace(record, csr=other.bench.request())
        with pytest.raises(WrongDeviceError, match="another key"):
            client.relay.enroll(request, benched.identity(key), record=swapped)
        elsewhere = dataclasses.replace(record, url="https://elsewhere/simpleenroll")
        with pytest.raises(ConfigurationError, match=r"was sent to https://elsewhere"):
            client.relay.enroll(request, benched.identity(key), record=elsewhere)
    for broken in ({}, record.to_json() | {"since": "2026-11-21"}, record.to_json() | {"csr": "%"}):
        with pytest.raises(ConfigurationError, match="pending request"):
            RelayRecord.from_json(broken)


@pytest.mark.slow
def test_an_answer_for_another_key_does_not_reach_the_device(
    benched: Benched, ca: Ca, serve: Callable[..., ScriptedServer], tmp_path: Path
) -> None:
    """What the server answers is checked by the station, and by the device, which believes neither."""
    relayed = benched.enrolled()
    other = Benched(benched.server, tmp_path / "other", serial="SN-4712")
    bench = other.configured()
    key = bench.create_key(other.wish)
    with pytest.raises(CertificateMismatchError, match="no certificate of the answer is for the requested key"):
        bench.install(relayed.answer, relayed.ca_certificates)
    assert bench.facts().enrolled is None
    server = serve(
        cacerts=bag(ca.certificate),
        csrattrs=lambda _: http(204),
        simpleenroll=bag(ca.certify("router", new_key().public_key())),
    )
    with EstClient(server.url, trusting(ca), identity=authority(benched.server)) as client:
        assert client.relay.csrattrs() == b""
        with pytest.raises(CertificateMismatchError, match="no certificate of the answer is for the requested key"):
            client.relay.enroll(bench.request(), other.identity(key))
