"""A key under a TPM handle whose certificate has no place: found out before a key is made, or a server asked for anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.device import RenewalPlan
from device_sdk.client.device.context import Context
from device_sdk.client.device.sync.generated_places import Place
from device_sdk.errors import KeyStoreError, TransportError
from device_sdk.keystores import registry
from device_sdk.wire.key_uri import parse_key_uri
from tests.device.benched import Benched, station
from tests.device.test_hardware import persistent

pytestmark = pytest.mark.slow

HANDLES = ("0x81000010", "0x81000011")
_NO_PLACE = "no place for its certificate"


@pytest.fixture
def key(swtpm: Any) -> str:
    return f"tpm2:handle={HANDLES[0]}?tcti={swtpm.tcti}"


class Places:
    """Directories for certificates: one that can be made, and one that cannot."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.good, self._bad, self._patch = directory / "certificates", directory / "file/certificates", monkeypatch
        (directory / "file").touch()

    def none(self) -> None:
        self._patch.setenv("DEVICE_SDK_CERTIFICATES", str(self._bad))

    def there(self) -> None:
        self._patch.setenv("DEVICE_SDK_CERTIFICATES", str(self.good))


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    return Places(tmp_path, monkeypatch)


def test_an_enrolment_makes_and_asks_nothing(bench: Any, key: str, swtpm: Any, places: Places) -> None:
    before = persistent(swtpm)
    places.none()
    with pytest.raises(KeyStoreError, match=_NO_PLACE):
        bench.device.enroll(bench.planned(key_uri=key))
    assert (bench.server.log(), persistent(swtpm), bench.device.state.journal()) == ([], before, None)
    places.there()
    bench.device.enroll(bench.planned(key_uri=key))
    bench.require_sound()
    assert len(list(places.good.iterdir())) == 1


def test_an_enrolment_with_a_key_that_is_there_asks_nothing(bench: Any, key: str, places: Places) -> None:
    registry.create_key(key, "ec-p256").close()
    places.none()
    with pytest.raises(KeyStoreError, match=_NO_PLACE):
        bench.device.enroll(bench.planned(key_uri=key, reuse_key=True))
    assert (bench.server.log(), bench.device.state.journal()) == ([], None)


def test_what_was_begun_goes_on_when_there_is_a_place_again(bench: Any, key: str, places: Places) -> None:
    """What an earlier run left is gone on with as late as there is a place: until then the server is not asked."""
    with pytest.raises(TransportError):
        bench.device.enroll(bench.planned(url="https://127.0.0.1:1", key_uri=key))
    places.none()
    with pytest.raises(KeyStoreError, match=_NO_PLACE):
        bench.device.enroll(bench.planned(key_uri=key))
    assert bench.server.log() == []
    places.there()
    bench.device.enroll(bench.planned(key_uri=key))
    bench.require_sound()


@pytest.mark.parametrize("rekey", [True, False])
def test_a_renewal_makes_and_asks_nothing(bench: Any, key: str, swtpm: Any, places: Places, rekey: bool) -> None:
    places.there()
    first = bench.device.enroll(bench.planned(key_uri=key))
    asked, made = len(bench.server.log()), persistent(swtpm)
    places.none()
    with pytest.raises(KeyStoreError, match=_NO_PLACE):
        bench.device.renew(RenewalPlan(rekey=rekey))
    assert (len(bench.server.log()), persistent(swtpm), bench.device.state.journal()) == (asked, made, None)
    assert bench.device.tls_identity().chain[0] == first.certificate
    places.there()
    assert bench.device.renew(RenewalPlan(rekey=rekey)).changed
    bench.require_sound()


def test_a_renewal_that_was_begun_asks_nothing(bench: Any, key: str, places: Places) -> None:
    places.there()
    bench.device.enroll(bench.planned(key_uri=key))
    asked = len(bench.server.log())
    with pytest.raises(TransportError):
        bench.device.renew(RenewalPlan(proxy="http://127.0.0.1:1"))
    assert bench.device.state.journal() is not None
    places.none()
    with pytest.raises(KeyStoreError, match=_NO_PLACE):
        bench.device.renew()
    assert len(bench.server.log()) == asked
    places.there()
    assert bench.device.renew().changed


def test_a_station_is_told_at_the_key_and_at_the_request(
    est_server: ReferenceServer, key: str, swtpm: Any, places: Places, tmp_path: Path
) -> None:
    benched, before = Benched(est_server, tmp_path / "device", key), persistent(swtpm)
    bench = benched.configured()
    places.none()
    with pytest.raises(KeyStoreError, match=_NO_PLACE) as caught:
        bench.create_key(benched.wish)
    assert "certificates_dir" in str(caught.value.hint)
    assert persistent(swtpm) == before
    assert "under_way" not in bench.facts().extra
    places.there()
    made = bench.create_key(benched.wish)
    places.none()
    for call in (lambda: bench.create_key(benched.wish), bench.request):
        with pytest.raises(KeyStoreError, match=_NO_PLACE):
            call()
    places.there()
    assert benched.enrolled().certificate.public_key() == registry.open_key(made.uri).public_key()


def test_a_certificate_that_was_issued_waits_for_its_place(
    est_server: ReferenceServer, key: str, places: Places, tmp_path: Path
) -> None:
    """Installed as far as can be; the same call finishes it, and the certificate is the one that was issued."""
    benched = Benched(est_server, tmp_path / "device", key)
    bench = benched.configured()
    made = bench.create_key(benched.wish)
    with station(est_server) as client:
        relayed = client.relay.enroll(bench.request(client.relay.csrattrs()), benched.identity(made))
    places.none()
    with pytest.raises(KeyStoreError, match=_NO_PLACE):
        bench.install(relayed.answer, relayed.ca_certificates)
    assert "under_way" in bench.facts().extra
    places.there()
    bench.install(relayed.answer, relayed.ca_certificates)
    assert "under_way" not in bench.facts().extra
    assert registry.load_certificate(key) == relayed.certificate
    assert benched.device.state.check() == ()


def test_a_key_of_the_servers_making_is_not_asked_for(bench: Any, key: str, places: Places, tmp_path: Path) -> None:
    """The server makes another one each time it is asked: what would not be taken is told before."""
    place = Place(parse_key_uri(key), tmp_path / "generated.pem")
    context = Context(bench.device.state, None, bench.clock)
    places.none()
    with pytest.raises(KeyStoreError, match=_NO_PLACE):
        place.require_writable(context)
    places.there()
    with bench.device.state.exclusive():
        place.require_writable(context)
