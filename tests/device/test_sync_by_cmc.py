"""A device and the reference server whose package list leads to /fullcmc, for all that RFC 8295 section 2.1.1 lets lead there."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from device_sdk_simulators.cli.publish import _FORMS
from device_sdk_simulators.database import Database
from device_sdk_simulators.packages.addresses import address_for
from device_sdk_simulators.packages.publishing_keys import recipient_of
from device_sdk_simulators.packages.sealed_returns import package_authority

from device_sdk.client.device import Device
from device_sdk.client.device.generated_keys import held_keys
from device_sdk.client.device.sync import Deliveries, GeneratedDelivery, KeyEstablishmentDelivery
from device_sdk.client.est import EstClient
from device_sdk.client.est.key_package_policy import KeyPackagePolicy
from device_sdk.client.est.patience import Patience
from device_sdk.client.est.server_key import DecryptionKey, ServerKeyForms, ServerKeyGeneration
from device_sdk.errors import CmcRefusedError, HttpStatusError
from device_sdk.keystores import registry
from device_sdk.model.csr import CsrSpec
from device_sdk.model.pkcs12 import Pkcs12Policy
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust

pytestmark = pytest.mark.slow


def named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


PASSWORD = "as it was agreed upon"


@pytest.fixture
def enrolled(bench):
    """A device whose server does everything by Full CMC that may be done so, and has keys for it."""
    server, policy = bench.server, bench.server.policy
    policy.fullcmc, policy.pal_fullcmc, policy.key_establishment = True, True, True
    policy.serverkeygen, policy.serverkeygen_form, policy.serverkeygen_receipts = (
        {"certificate", "clear", "pkcs12"},
        "signed",
        True,
    )
    server.est.server_keys.pkcs12_passwords[""] = PASSWORD.encode()
    package_authority(server.state, datetime.now(UTC))
    anchors = x509.load_pem_x509_certificates((server.state / "keys-ca" / "root.pem").read_bytes())
    bench.device.enroll(bench.plan)
    bench.delivery = GeneratedDelivery(
        f"file:{bench.keys}/made.pem",
        bench.keys / "made.crt",
        KeyPackagePolicy(tuple(anchors)),
        Pkcs12Policy(Secret(PASSWORD)),
        allow_clear=True,
    )

    def offer(form: str) -> str:
        address = f"cert:{bench.device.certificate.serial_number:x}"
        shelf, now = server.est.packages.shelf, server.clock()
        return shelf.publish("fullcmc", _FORMS[form], b"", media_type="", address=address, label="", now=now)

    def sync() -> dict[str, str]:
        deliveries = Deliveries(
            generated=lambda: bench.delivery,
            key_establishment=lambda: KeyEstablishmentDelivery(f"file:{bench.keys}/second.pem"),
        )
        report = bench.device.sync(deliveries=deliveries)
        bench.report = report
        return {one.entry.type: one.state.value for one in report.steps if one.entry.type > "0005"}

    bench.offer, bench.sync = offer, sync
    return bench


def test_n_01_both_certificates_are_renewed_by_full_cmc(enrolled):
    assert enrolled.sync() == {"0014": "done"}
    first, second = enrolled.device.certificate, enrolled.device.key_establishment_chain[0]
    enrolled.server.policy.pal_renewal = 0.0
    assert enrolled.sync() == {"0010": "done", "0015": "skipped", "0017": "done"}, enrolled.report.steps
    assert enrolled.device.certificate.public_key() != first.public_key()
    assert enrolled.device.key_establishment_chain[0].public_key() != second.public_key()
    assert [one["status"] for one in enrolled.logged("fullcmc")] == [200, 200]
    assert enrolled.logged("simplereenroll") == []
    enrolled.require_sound()
    assert enrolled.device.state.key_establishment.journal() is None


@pytest.mark.parametrize("form", _FORMS)
def test_a_01_a_key_of_the_servers_making_by_full_cmc(enrolled, form):
    """In each form; the receipt of a package arrives, and the list says when the key was sent."""
    enrolled.server.policy.key_establishment = False
    enrolled.offer(form)
    assert enrolled.sync() == {_FORMS[form]: "done"}, enrolled.report.steps
    (certificate,) = x509.load_pem_x509_certificates(enrolled.delivery.certificate.read_bytes())[:1]
    with registry.open_key(enrolled.delivery.place, allow_imported=True) as key:
        assert key.public_key() == certificate.public_key()
    assert enrolled.sync() == {_FORMS[form]: "done before"}
    (made,) = enrolled.logged("fullcmc")
    assert (made["status"], made["operation"], made["authentication"]) == (200, "fullcmc", "tls")
    assert made["private_key"] == {"pkcs8": "clear", "cms": "signed", "pkcs12": "pkcs12"}[form]
    told = enrolled.server.est.server_keys.returns.overview()
    assert [one["kind"] for one in told] == (["receipt"] if form == "cms" else [])


def test_p_15_two_keys_of_the_servers_making_and_their_next_certificates(enrolled):
    """Each in a place of its own; the list says when their certificates are due. Packages are encrypted to the device's key."""
    server = enrolled.server
    server.policy.key_establishment, server.policy.pal_fullcmc = False, False
    serial = f"{enrolled.device.certificate.serial_number:x}"
    for _ in range(2):
        enrolled.offer("cms")
        assert list(enrolled.sync().values()) == ["done"], enrolled.report.steps
        for one in server.est.packages.shelf.overview():
            server.est.packages.shelf.withdraw(one["item"])
    before = held_keys(enrolled.device.state)
    assert [path.name for path in sorted(enrolled.keys.glob("made*.crt"))] == ["made-2.crt", "made.crt"]
    server.policy.pal_renewal = 0.0
    enrolled.sync()
    found = [one.state.value for one in enrolled.report.steps if one.entry.type == "0010"]
    assert found == ["done", "done", "done"], enrolled.report.steps
    after = held_keys(enrolled.device.state)
    assert [one.certificate.public_key() for one in after] == [one.certificate.public_key() for one in before]
    assert not {one.certificate for one in after} & {one.certificate for one in before}
    with closing(Database(server.state / "server.sqlite")) as database:
        recipient = recipient_of(address_for(serial, database), database, server.clock())
    assert recipient == enrolled.device.certificate
    enrolled.require_sound()


def test_a_05_what_the_server_does_not_give_is_refused_by_a_pki_response(enrolled):
    enrolled.server.policy.key_establishment = False
    enrolled.offer("pkcs8")
    enrolled.server.policy.serverkeygen = {"certificate"}
    assert enrolled.sync() == {"0020": "failed"}
    (step,) = [one for one in enrolled.report.steps if one.entry.type == "0020"]
    assert step.error.code == "cmc-refused"
    assert "encrypted only" in step.detail
    assert enrolled.key_files() == ["device.pem"]


def test_a_06_a_key_goes_to_nobody_but_who_signed_for_it(enrolled, tmp_path):
    """The message and the connection are of one client, and a message is answered once; other ways there is nothing."""
    server, place = enrolled.server, f"/.well-known/est/fullcmc/{enrolled.offer('cms')}"
    other = Device(tmp_path / "other", clock=enrolled.clock)
    other.enroll(enrolled.planned(key_uri=f"file:{enrolled.keys}/other.pem", spec=CsrSpec(named("router-8"))))
    own, stranger = enrolled.device.tls_identity(), other.tls_identity()
    forms = ServerKeyForms(enrolled.delivery.policy, target=place)

    def ask(shown, signs) -> None:
        with EstClient(server.url, ServerTrust(enrolled.plan.anchors), identity=shown) as client:
            service = dataclasses.replace(client._service(), identity=signs)
            made = ServerKeyGeneration(service, DecryptionKey(own.chain[0], own.key), forms)
            made.request(CsrSpec(named("router-7")), None, None, None, Patience(enrolled.clock))

    for shown, signs, status, words in (
        (own, stranger, 403, "signed by somebody else than who asks"),
        (stranger, own, 403, "signed by somebody else than who asks"),
        (stranger, stranger, 404, "nothing of this kind is here for this client"),
    ):
        with pytest.raises(CmcRefusedError, match=words) as caught:
            ask(shown, signs)
        assert caught.value.status_code == status
    ask(own, own)
    for policy, value in (("serverkeygen", set()), ("packages", False)):
        before = getattr(server.policy, policy)
        setattr(server.policy, policy, value)
        with pytest.raises(HttpStatusError) as gone:
            ask(own, own)
        assert gone.value.status_code == 404
        setattr(server.policy, policy, before)
