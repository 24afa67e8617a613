"""/tamp and /tamp/return over TLS: what arrives is judged by its bytes, answers are signed, anchors for servers are one store (T-01 to T-03, TR-01, TR-02)."""

from __future__ import annotations

import base64
import dataclasses
import ipaddress
import json
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc5652

from device_sdk.client.device.importing import NameGiven, import_anchors, read_trust_anchor
from device_sdk.errors import (
    ConfigurationError,
    HttpStatusError,
    ServerNotTrustedError,
    StateCorruptError,
    StateError,
    TampRefusedError,
)
from device_sdk.protocols.tamp import Role
from tests.est.scripted_server import http
from tests.tamp import making
from tests.tamp.conftest import People, people
from tests.tamp.making import Manager, add, authority, certificate, info, may_sign, remove

__all__ = ["people"]

ELSEWHERE = x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))
LEFT = "no trust anchor is left that leads to this EST server"


class Managed:
    """A device that an apex manages, and a server that has one message."""

    def __init__(self, synced, people: People) -> None:
        self.synced, self.device, self.people = synced, synced.device, people
        self.apex = Manager(people.apex)
        self.message, self.media, self.status = b"", "application/tamp-update", 200
        self.taken: list = []
        self.answers = lambda seen: (self.taken.append(seen), http(204))[1]
        synced.server.handlers["tamp"] = lambda _: http(self.status, self.message, ("Content-Type", self.media))
        synced.server.handlers["return"] = self._answer
        self.let("apex", certificate(people.apex))

    def _answer(self, seen):
        return self.answers(seen)

    def let(self, role: str, choice, **name) -> None:
        anchor = read_trust_anchor(encode(choice), "a file")
        with self.device.state.exclusive():
            import_anchors(self.device.state, [anchor], Role(role), NameGiven(**name))

    def do(self, message: bytes):
        self.message = message
        return self.device.manage_anchors()

    def roots(self) -> list[str]:
        return [one.subject.rfc4514_string() for one in self.device.anchors]


@pytest.fixture
def managed(synced, people: People) -> Managed:
    return Managed(synced, people)


@pytest.mark.parametrize("media", ["application/tamp-update", "application/cms", "text/html", "application/tamp-error"])
def test_amb_05_g_08_the_media_type_does_not_count(managed: Managed, media: str) -> None:
    managed.media = media
    assert managed.do(managed.apex.query()).done.answer_type.endswith(".2")
    assert managed.synced.asked() == ["GET tamp", "POST tamp/return"]


def test_amb_01_base64(managed: Managed) -> None:
    assert not managed.do(base64.encodebytes(managed.apex.query())).failed


@pytest.mark.parametrize("status", [204, 404])
def test_amb_22_nothing_is_there(managed: Managed, status: int) -> None:
    managed.status = status
    assert managed.do(b"") is None


def test_t_02_the_server_refuses(managed: Managed) -> None:
    managed.status = 403
    with pytest.raises(HttpStatusError):
        managed.do(b"no")


def test_t_05_garbage_is_no_message_and_not_answered(managed: Managed) -> None:
    with pytest.raises(TampRefusedError) as caught:
        managed.do(b"<html>hello</html>")
    assert (caught.value.reported, managed.taken) == (False, [])
    assert managed.synced.server.url in str(caught.value)


def test_tr_01_tr_02_openssl_takes_the_answer(managed: Managed, tmp_path: Path) -> None:
    """TR-02: signed by the key of the device's certificate, SignedData of version 3 with that certificate and no other."""
    managed.do(managed.apex.query(terse=True))
    (seen,) = managed.taken
    assert (seen.header("Content-Type"), seen.line.rpartition("/est/")[2]) == (
        "application/tamp-status-response",
        "tamp/return",
    )
    (tmp_path / "answer").write_bytes(seen.body)
    (tmp_path / "ca.pem").write_bytes(managed.synced.ca.certificate.public_bytes(Encoding.PEM))
    command = ["openssl", "cms", "-verify", "-inform", "DER", "-binary", "-purpose", "any", "-no_check_time"]
    command += ["-in", tmp_path / "answer", "-CAfile", tmp_path / "ca.pem", "-out", tmp_path / "content"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    making.read_answer("x.2", (tmp_path / "content").read_bytes())
    signed = decode(decode(seen.body, asn1Spec=rfc5652.ContentInfo())[0]["content"], asn1Spec=rfc5652.SignedData())[0]
    info_ = signed["signerInfos"][0]
    assert (int(signed["version"]), int(info_["version"]), info_["sid"].getName()) == (3, 3, "subjectKeyIdentifier")
    assert len(signed["certificates"]) == 1


def test_tr_04_a_refusal_is_told_signed_and_changes_nothing(managed: Managed) -> None:
    before = managed.device.state.managed.file.read_bytes()
    with pytest.raises(TampRefusedError) as caught:
        managed.do(Manager(managed.people.stranger).update(add(certificate(managed.people.stranger))))
    assert (caught.value.status, caught.value.reported, caught.value.message_type) == (10, True, making.UPDATE)
    assert [one.header("Content-Type") for one in managed.taken] == ["application/tamp-error"]
    assert managed.device.state.managed.file.read_bytes() == before


def test_tr_01_an_answer_that_is_not_taken_now_is_taken_later(managed: Managed) -> None:
    managed.answers = lambda _: http(503)
    outcome = managed.do(managed.apex.communities(new=["1.2.3"]))
    assert [message.path for message, _ in outcome.delivery.waiting] == ["tamp/return"]
    assert managed.device.state.managed.load().communities == ("1.2.3",)
    managed.answers = lambda seen: (managed.taken.append(seen), http(204))[1]
    managed.synced.asked()
    managed.status = 404
    assert managed.device.manage_anchors() is None
    assert managed.synced.asked() == ["POST tamp/return", "GET tamp"]


def test_nobody_manages_a_device_until_somebody_says_so(synced) -> None:
    with pytest.raises(StateError, match="nobody may manage"):
        synced.device.manage_anchors()
    synced.entries = [("0030", "tamp"), ("0031", "tamp/return")]
    assert [state.value for _, state in synced.outcomes()] == ["not configured", "not configured"]


def test_explicit_anchors_are_one_store(managed: Managed) -> None:
    """Identity anchors of messages are trusted for servers beside those of the EST service; apex and management anchors are not."""
    new = authority("New root")
    managed.let("management", certificate(managed.people.management))
    managed.do(managed.apex.update(add(info(new)), add(certificate(managed.people.identity))))
    assert managed.roots() == ["CN=EST root", "CN=New root", "CN=Identity"]
    assert managed.device.state.check() == ()
    kept = x509.load_pem_x509_certificates(managed.device.state.anchors_file.read_bytes())
    assert tuple(kept) == managed.device.anchors
    listed = managed.device.manage_anchors  # the server has the same message again
    with pytest.raises(TampRefusedError):
        listed()


def test_cacerts_leaves_managed_anchors_alone(managed: Managed) -> None:
    new = authority("New root")
    managed.do(managed.apex.update(add(certificate(new))))
    outcome = managed.device.refresh_anchors()
    assert (outcome.changed, outcome.notes) == (False, ())
    assert managed.roots() == ["CN=EST root", "CN=New root"]
    managed.do(managed.apex.update(remove(new)))
    managed.device.refresh_anchors()
    assert managed.roots() == ["CN=EST root"]


def test_an_anchor_that_ended_is_no_reason_to_ask_for_cacerts(managed: Managed) -> None:
    """It is not /cacerts that would bring another one."""
    before = managed.device.needs_renewal()
    old = making.make_authority("Ended", making.new_key("ec-p256"), managed.synced.clock.now() - 40 * 365 * making.DAY)
    managed.do(managed.apex.update(add(certificate(old))))
    assert managed.device.needs_renewal() == before


def test_an_anchor_of_the_est_service_that_a_message_adopts_stays_as_it_says(managed: Managed) -> None:
    """The same certificate again is a success, and from then on only a message takes it away; another one of the key is none."""
    own = making.Authority(managed.synced.ca.certificate, managed.synced.ca.key)
    assert [one.name for one in managed.do(managed.apex.update(add(info(own)))).done.statuses] == [
        "IMPROPER_TA_ADDITION"
    ]
    assert not managed.do(managed.apex.update(add(certificate(own)))).failed
    held = managed.device.state.managed.load()
    assert [one.role.value for one in held.anchors] == ["apex", "identity"]
    assert managed.roots() == ["CN=EST root"]
    managed.device.refresh_anchors()
    assert managed.roots() == ["CN=EST root"]


def test_the_last_anchor_of_the_server_goes_with_a_warning(managed: Managed) -> None:
    """It is done, as the RFC says, and told; the answer goes out on the connection that is open; no /cacerts brings it back."""
    own = making.Authority(managed.synced.ca.certificate, managed.synced.ca.key)
    new = authority("New root")
    managed.message = managed.apex.update(remove(own), add(certificate(new)))
    planned = managed.device.anchor_plan()
    assert planned.notes[0].startswith(LEFT)
    assert managed.roots() == ["CN=EST root"]
    outcome = managed.device.manage_anchors()
    assert outcome.notes[0].startswith(LEFT)
    assert [message.path for message in outcome.delivery.sent] == ["tamp/return"]
    assert managed.roots() == ["CN=New root"]
    assert managed.device.state.check() == ()
    with pytest.raises(Exception, match="trust"):
        managed.device.manage_anchors()


def test_no_anchor_for_servers_is_left_at_all(managed: Managed) -> None:
    managed.message = managed.apex.apex(certificate(authority("New apex")), anchors=True)
    outcome = managed.device.manage_anchors()
    assert outcome.notes[0].startswith(LEFT)
    assert managed.roots() == []
    assert not managed.device.state.anchors_file.exists()
    assert managed.device.state.check() == ()
    assert not managed.device.needs_renewal().needed
    with pytest.raises(ConfigurationError):
        managed.device.refresh_anchors()


def test_a_store_that_was_changed_by_others_is_not_believed(managed: Managed) -> None:
    file = managed.device.state.managed.file
    good = file.read_text()
    for bad in (
        "{",
        good.replace('"apex"', '"king"'),
        good.replace('"anchor": "', '"anchor": "AA'),
        good.replace("null", "-1"),
    ):
        file.write_text(bad)
        with pytest.raises(StateCorruptError):
            managed.device.state.managed.load()
        assert managed.device.state.check() != ()
    file.write_text(good)
    assert managed.device.state.check() == ()


def test_t_10_which_contingency_keys_signed_is_kept(managed: Managed) -> None:
    """Also over imports; a store of an earlier version has none."""
    state = managed.device.state
    spent = ("ab" * 32, "cd" * 32)
    with state.exclusive():
        state.managed.save(dataclasses.replace(state.managed.load(), spent=spent))
    managed.let("management", certificate(authority("M", None, may_sign(making.ANY))))
    assert state.managed.load().spent == spent
    old = json.loads(state.managed.file.read_text())
    del old["spent"]
    state.managed.file.write_text(json.dumps(old))
    assert state.managed.load().spent == ()


def test_what_cannot_be_imported(managed: Managed) -> None:
    people = managed.people
    own = making.Authority(managed.synced.ca.certificate, managed.synced.ca.key)
    for role, choice, words in (
        ("apex", certificate(authority("Second apex")), "an apex already"),
        ("management", certificate(people.apex), "for apex"),
        ("management", certificate(own), "for identity"),
        ("management", making.tbs(people.stranger), "TBSCertificate"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            managed.let(role, choice)
    for bad in (b"", b"garbage", encode(certificate(people.apex))[:-1]):
        with pytest.raises(ConfigurationError):
            read_trust_anchor(bad, "a file")
    with pytest.raises(ConfigurationError, match="needs the type"):
        managed.let("management", certificate(people.management), serial=b"1")
    managed.let("management", certificate(authority("M", None, may_sign(making.ANY))))
    assert len(managed.device.state.managed.load().anchors) == 2


def test_t_16_a_trust_anchor_info_vouches_for_servers(managed: Managed) -> None:
    """An anchor without a certificate anchors TLS, /cacerts and peers like any other; its name constraints hold there."""
    own = making.Authority(managed.synced.ca.certificate, managed.synced.ca.key)
    outcome = managed.do(managed.apex.update(remove(own), add(info(own))))
    assert (outcome.failed, outcome.notes) == (False, ())
    (anchor,) = managed.device.anchors
    assert anchor != managed.synced.ca.certificate
    assert managed.roots() == ["CN=EST root"]
    assert not managed.device.refresh_anchors().changed
    managed.synced.entries = [("0003", "eecerts/p1")]
    managed.synced.publish("p1", managed.synced.peer())
    assert [state.value for _, state in managed.synced.outcomes()] == ["done"]
    narrow = making.again(own, x509.NameConstraints([ELSEWHERE], None), name="EST root")
    outcome = managed.do(managed.apex.update(making.change(narrow)))
    assert outcome.notes[0].startswith(LEFT)
    with pytest.raises(ServerNotTrustedError):
        managed.device.refresh_anchors()
