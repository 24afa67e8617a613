"""A device that comes with its maker's certificate (IEEE 802.1AR, RFC 7030 section 3.3.2; EST-32, EST-33, EST-34)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from device_sdk_simulators.ca.tls import TlsProfile

from device_sdk.client.device import EnrolmentPlan
from device_sdk.errors import HttpStatusError, KeyExistsError
from device_sdk.model.csr import CsrSpec, DeviceAttributes
from device_sdk.model.trust import TlsIdentity
from device_sdk.wire.hardware_module_name import parse_hardware_module_name
from tests.device.conftest import Bench, spki
from tests.est.answers import SPEC, bag, issue
from tests.est.pki import Ca, new_key, pem_key
from tests.est.scripted_server import ScriptedServer, http

END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
SERIAL = x509.Name([x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, "SN-1")])


@pytest.fixture
def factory(bench: Bench) -> TlsIdentity:
    """A certificate without an end, of a maker whose devices the server knows by their serial numbers."""
    maker, key = Ca.root("Maker CA"), new_key()
    bench.server.policy.third_party_anchors = [maker.certificate]
    bench.server.policy.third_party_serials = {"SN-1"}
    bench.server.use_tls(TlsProfile())
    return TlsIdentity((maker.certify(SERIAL, key.public_key(), not_after=END),), key)


def test_est_34_the_factorys_certificate_is_shown_until_there_is_another(bench: Bench, factory: TlsIdentity) -> None:
    """Every step of the enrolment, and no renewal; the new certificate is for a new key."""
    first = bench.device.enroll(bench.planned(identity=factory, credentials=None)).certificate
    shown = {(str(entry["path"]).rpartition("/")[2], entry["client_serial"]) for entry in bench.server.log()}
    born = f"{factory.chain[0].serial_number:x}"
    assert {("cacerts", born), ("csrattrs", born), ("simpleenroll", born)} <= shown
    assert spki(first) != spki(factory.chain[0])
    bench.device.renew()
    assert [entry["client_serial"] for entry in bench.logged("simplereenroll")] == [f"{first.serial_number:x}"]
    bench.require_sound()


def test_est_34_a_device_that_is_not_listed_gets_nothing(bench: Bench, factory: TlsIdentity) -> None:
    bench.server.policy.third_party_serials = {"SN-2"}
    with pytest.raises(HttpStatusError, match="serial number is not on the list"):
        bench.device.enroll(bench.planned(identity=factory, credentials=None))
    assert bench.device.state.load().current is None
    assert bench.server.est.register.entries() == []


def test_est_34_the_factorys_key_is_certified_only_if_somebody_says_so(bench: Bench, factory: TlsIdentity) -> None:
    file = bench.keys / "factory.pem"
    file.write_bytes(pem_key(factory.key))  # type: ignore[arg-type]
    file.chmod(0o600)
    plan = bench.planned(identity=factory, credentials=None, key_uri=f"file:{file}")
    with pytest.raises(KeyExistsError):
        bench.device.enroll(plan)
    assert bench.logged("simpleenroll") == []
    assert file.read_bytes() == pem_key(factory.key)  # type: ignore[arg-type]
    again = bench.planned(identity=factory, credentials=None, key_uri=f"file:{file}", reuse_key=True)
    assert spki(bench.device.enroll(again).certificate) == spki(factory.chain[0])


def test_est_33_a_device_that_is_its_hardware(bench: Bench) -> None:
    """RFC 4108 section 5: no subject, a critical SAN; and its renewals are called the same."""
    hardware = DeviceAttributes(hardware_type="1.3.6.1.4.1.32473.1", hardware_serial=b"\x00\x07")
    certificates = [bench.device.enroll(bench.planned(spec=CsrSpec(x509.Name([]), device=hardware))).certificate]
    certificates.append(bench.device.renew().certificate)
    for certificate in certificates:
        assert list(certificate.subject) == []
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert san.critical
        (other,) = san.value
        assert isinstance(other, x509.OtherName)
        assert parse_hardware_module_name(other) == ("1.3.6.1.4.1.32473.1", b"\x00\x07")


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[Callable[[str], EnrolmentPlan]]:
    """A CA that ends, like all it issues, with the year 9999."""
    (tmp_path / "endless").mkdir()
    ca = Ca.root("EST root", not_after=END)
    answers = {"cacerts": bag(ca.certificate), "csrattrs": lambda _seen: http(404)}
    answers |= dict.fromkeys(("simpleenroll", "simplereenroll"), issue(ca, not_after=END))
    server = ScriptedServer(ca, tmp_path / "endless", answers, client_ca=ca.certificate)
    yield lambda key_uri: EnrolmentPlan(url=server.url, key_uri=key_uri, spec=SPEC, anchors=(ca.certificate,))
    server.close()


def test_est_32_a_certificate_without_an_end_is_lived_with(bench: Bench, endless) -> None:
    """RFC 5280 section 4.1.2.5: 99991231235959Z; whatever is calculated with it stays a time."""
    assert bench.device.enroll(endless(bench.key_uri)).certificate.not_valid_after_utc == END
    decision = bench.device.needs_renewal()
    assert (decision.needed, decision.not_after) == (False, END)
    assert decision.to_json()["not_after"] == "9999-12-31T23:59:59Z"
    assert bench.device.needs_renewal(threshold=1.0).renew_at == END
    assert bench.device.renew().certificate.not_valid_after_utc == END
    bench.require_sound()
