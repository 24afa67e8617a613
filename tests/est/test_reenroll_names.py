"""A certificate of another name: ChangeSubjectName over TLS (RFC 6402 section 2.8, EST-34, EST-137, EST-153)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from device_sdk_simulators.ca.tls import TlsProfile

from device_sdk.client.device import Device, EnrolmentPlan, RenewalPlan
from device_sdk.client.est import Credentials, EstClient
from device_sdk.errors import HttpStatusError
from device_sdk.model.csr import CsrSpec, NewName
from device_sdk.model.keys import PrivateKey
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.wire import der
from device_sdk.wire.change_subject_name import CHANGE_SUBJECT_NAME, change_subject_name
from device_sdk.wire.names import parse_dn, parse_san
from tests.est.pki import Ca, new_key

OLD = CsrSpec(parse_dn("CN=old"), (parse_san("DNS:old.example"),))
NEW = NewName(parse_dn("CN=new"), (parse_san("DNS:new.example"), parse_san("IP:192.0.2.1")))


@pytest.fixture
def connect(est_server) -> Callable[..., EstClient]:
    anchors = tuple(x509.load_pem_x509_certificates(est_server.ca_file.read_bytes()))

    def open_client(**options: Any) -> EstClient:
        return EstClient(est_server.url, ServerTrust(explicit=anchors), **options)

    return open_client


@pytest.fixture
def current(est_server, connect) -> TlsIdentity:
    key = new_key()
    with connect(credentials=Credentials(est_server.user, Secret(est_server.password))) as client:
        return TlsIdentity(client.enroll(key, OLD).chain, key)


def wishing(name: NewName) -> CsrSpec:
    return CsrSpec(x509.Name([]), new_name=name)


def names(certificate: x509.Certificate) -> list[x509.GeneralName]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


@pytest.mark.parametrize(
    ("new", "subject", "alternatives"),
    [
        (NEW, "CN=new", NEW.san),
        (NewName(parse_dn("CN=new")), "CN=new", ()),
        (NewName(san=NEW.san), "", NEW.san),
    ],
    ids=["both", "the SAN goes", "the subject goes"],
)
def test_est_153_a_renewal_under_another_name(est_server, connect, current, new, subject, alternatives) -> None:
    """RFC 6402 section 2.8: what the attribute does not say is not in the certificate; the CSR's own name stays."""
    est_server.policy.change_subject_name = "any"
    with connect(identity=current) as client:
        renewed = client.reenroll(new_key(), wishing(new))
    assert renewed.certificate.subject.rfc4514_string() == subject
    assert names(renewed.certificate) == list(alternatives)
    assert renewed.differences == ()
    san = renewed.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName) if alternatives else None
    assert san is None or san.critical is (subject == "")
    assert est_server.log()[-1]["subject"] == "CN=old"


def test_est_153_not_everybody_may_choose_a_name(est_server, connect, current) -> None:
    """Off by default for certificates of this CA; the old pair stays what it was."""
    with connect(identity=current) as client:
        with pytest.raises(HttpStatusError, match="does not give you another name"):
            client.reenroll(new_key(), wishing(NEW))
        assert client.reenroll(new_key()).certificate.subject == OLD.subject


def test_est_153_a_server_that_ignores_the_wish_is_reported(est_server, connect, current) -> None:
    """The certificate is good, and differs from what was asked for."""
    est_server.policy.change_subject_name = "any"
    est_server.faults.parse("other_subject@simplereenroll")
    with connect(identity=current) as client:
        renewed = client.reenroll(new_key(), wishing(NEW))
    assert any("asked for CN=new" in note for note in renewed.differences)


def test_est_150_the_request_itself_still_has_the_old_name(est_server, connect, current) -> None:
    """Another subject in the CSR is refused, whatever the attribute says."""
    est_server.policy.change_subject_name = "any"
    with connect(identity=current) as client, pytest.raises(HttpStatusError, match="its own subject only"):
        client.enroll(new_key(), CsrSpec(parse_dn("CN=new"), new_name=NEW))


@pytest.mark.parametrize("policy", ["third-party", "no"])
def test_est_34_est_137_a_makers_device_asks_for_its_own_name(est_server, connect, policy) -> None:
    """The IDevID's subject in the CSR, the device's name in the attribute."""
    maker, device_key = Ca.root("Maker CA"), new_key()
    subject = x509.Name([x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, "SN-1")])
    identity = TlsIdentity((maker.certify(subject, device_key.public_key()),), device_key)
    est_server.policy.third_party_anchors, est_server.policy.third_party_serials = [maker.certificate], {"SN-1"}
    est_server.policy.change_subject_name = policy
    est_server.use_tls(TlsProfile())
    with connect(identity=identity) as client:
        if policy == "no":
            with pytest.raises(HttpStatusError, match="another name"):
                client.enroll(new_key(), CsrSpec(subject, new_name=NEW))
            return
        enrolled = client.enroll(new_key(), CsrSpec(subject, new_name=NEW))
    assert (enrolled.certificate.subject, names(enrolled.certificate)) == (NEW.subject, list(NEW.san))


def test_est_137_without_a_certificate_there_is_no_name_to_change(est_server, connect) -> None:
    credentials = Credentials(est_server.user, Secret(est_server.password))
    with connect(credentials=credentials) as client, pytest.raises(HttpStatusError, match="needs a certificate"):
        client.enroll(new_key(), dataclasses.replace(OLD, new_name=NEW))


_NAME, _SAN = NEW.subject.public_bytes() if NEW.subject else b"", x509.SubjectAlternativeName(NEW.san).public_bytes()


@pytest.mark.parametrize(
    "value",
    [
        b"\x30\x00", der.sequence(b"\x30\x00"), der.sequence(_SAN, _NAME), der.sequence(_NAME, _NAME), der.sequence(_NAME, _SAN, _SAN),
        der.sequence(b"\x02\x01\x00"), der.sequence(b"\x30\x03\x87\x01\x00"), der.sequence(_NAME, b"\x30\x00"),
        der.sequence(b"\x30\x03\x31\x01\x00"), b"\x30\x03\x30\x05\x00",
    ],
    ids=lambda value: value.hex()[:24],
)  # fmt: skip
def test_est_153_what_is_not_change_subject_name_is_refused(est_server, connect, current, value: bytes) -> None:
    est_server.policy.change_subject_name = "any"
    spec = CsrSpec(x509.Name([]), attributes=((CHANGE_SUBJECT_NAME, value),))
    with connect(identity=current) as client, pytest.raises(HttpStatusError, match="400"):
        client.reenroll(new_key(), spec)
    assert "ChangeSubjectName" in str(est_server.log()[-1]["reason"])


def test_every_kind_of_name_arrives(est_server, connect, current) -> None:
    """What the SDK can write into a SAN the server can read out of the attribute."""
    est_server.policy.change_subject_name = "any"
    kinds = ("DNS:a.example", "IP:2001:db8::1", "URI:urn:dev:1", "email:a@example.org", "HWMODULE:1.2.3.4:00ff")
    san = (*map(parse_san, kinds), x509.DirectoryName(parse_dn("CN=x")))
    with connect(identity=current) as client:
        renewed = client.reenroll(new_key(), wishing(NewName(parse_dn("CN=new"), san)))
    assert set(names(renewed.certificate)) == set(san)
    assert change_subject_name(NewName(san=san))[:1] == b"\x30"


@pytest.mark.slow
def test_a_device_renews_under_another_name(est_server, tmp_path) -> None:
    """The new pair is proved and takes over; the device is called by the new name from then on (EST-157)."""
    est_server.policy.change_subject_name = "any"
    (tmp_path / "keys").mkdir(mode=0o700)
    device = Device(tmp_path / "state")
    anchors = tuple(x509.load_pem_x509_certificates(est_server.ca_file.read_bytes()))
    credentials = Credentials(est_server.user, Secret(est_server.password))
    device.enroll(
        EnrolmentPlan(est_server.url, f"file:{tmp_path}/keys/device.pem", OLD, anchors=anchors, credentials=credentials)
    )
    outcome = device.renew(RenewalPlan(new_name=NEW))
    assert outcome.certificate.subject == NEW.subject
    assert device.renew().certificate.subject == NEW.subject


def test_est_151_est_156_renew_and_rekey_and_a_server_that_wants_new_keys(est_server, connect, current) -> None:
    """Same key: renew; another: rekey; the server may forbid the first."""

    def again(key: PrivateKey) -> x509.Certificate:
        with connect(identity=current) as client:
            return client.reenroll(key).certificate

    assert again(current.key).public_key() == current.key.public_key()
    assert again(new_key()).public_key() != current.key.public_key()
    est_server.policy.forbid_key_reuse = True
    with pytest.raises(HttpStatusError, match="a new key is needed"):
        again(current.key)
    assert again(new_key())
