"""EST-157: what anybody on the way can do to the proof of a new pair costs neither its key nor its certificate."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from device_sdk.client.device import Device, EnrolmentPlan
from device_sdk.errors import HttpStatusError, TlsError, TransportError
from device_sdk.model.http import HttpRequest
from device_sdk.model.trust import ServerTrust
from device_sdk.state import Phase
from device_sdk.transports.base import Timeouts
from device_sdk.transports.https.transport import HttpsTransport
from tests.est.answers import SPEC, issue
from tests.est.pki import Ca
from tests.est.scripted_server import Reply, Seen, http
from tests.hostile.host import Host

CERTIFICATE_ALERTS = [42, 43, 44, 45, 46, 48, 49, 116]


class Site:
    """A server that asks for certificates, an enrolled device, and somebody between the two."""

    def __init__(self, directory: Path) -> None:
        for name in ("server", "stranger", "elsewhere", "keys"):
            (directory / name).mkdir(mode=0o700)
        self.directory = directory
        self.ca = Ca.root("EST root")
        self.keys = directory / "keys"
        self.host = Host(self.ca, directory / "server", client_ca=self.ca.certificate)
        self.honest = issue(self.ca)
        self.device = Device(directory / "state")
        self.device.enroll(
            EnrolmentPlan(
                url=self.host.url, key_uri=f"file:{self.keys}/device.pem", spec=SPEC, anchors=(self.ca.certificate,)
            )
        )

    def after_the_next_certificate(self, happens: Callable[[], object]) -> None:
        def last(seen: Seen) -> Reply:
            happens()
            return self.honest(seen)

        self.host.answer(simplereenroll=last)

    def disturb(self, how: Callable[[socket.socket], None]) -> None:
        self.after_the_next_certificate(lambda: setattr(self.host, "raw", how))

    def behave(self) -> None:
        self.host.behave()

    def names(self) -> list[str]:
        return sorted(path.name for path in self.keys.glob("*.pem"))

    def fails_and_keeps(self, *expected: type[Exception]) -> None:
        """Three runs, none of which loses anything."""
        before = self.device.state.load()
        for _ in range(3):
            with pytest.raises(expected) as caught:
                self.device.renew()
            assert "run the same command again" in str(caught.value)
            assert "abandon" in str(caught.value)
            assert self.device.state.load() == before
            journal = self.device.state.journal()
            assert journal is not None
            assert journal.phase is Phase.ISSUED
            assert self.names() == ["device-2.pem", "device.pem"]

    def finishes(self) -> None:
        """The same certificate comes into use, nobody is asked for another one."""
        self.behave()
        journal = self.device.state.journal()
        assert journal is not None
        assert self.device.renew().key_uri == journal.key_uri
        assert not [seen for seen in self.host.seen if seen.target.endswith("enroll")]
        assert self.names() == ["device-2.pem"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.host.close()


def closes(raw: socket.socket) -> None:
    raw.recv(65536)


def answers_http(raw: socket.socket) -> None:
    raw.recv(65536)
    raw.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://portal/\r\nContent-Length: 0\r\n\r\n")


def alerts(number: int) -> Callable[[socket.socket], None]:
    def alert(raw: socket.socket) -> None:
        raw.recv(65536)
        raw.sendall(bytes((21, 3, 3, 0, 2, 2, number)))

    return alert


@pytest.mark.parametrize("how", [closes, answers_http], ids=["closed after the ClientHello", "captive portal"])
def test_a_broken_handshake_is_no_refusal(site: Site, how: Callable[[socket.socket], None]) -> None:
    site.disturb(how)
    site.fails_and_keeps(TlsError)
    site.finishes()


@pytest.mark.parametrize("number", [40, *CERTIFICATE_ALERTS])
def test_an_alert_anybody_can_send_is_no_refusal(site: Site, number: int) -> None:
    site.disturb(alerts(number))
    site.fails_and_keeps(TlsError)
    site.finishes()


def requiring(site: Site, ca: Ca, version: ssl.TLSVersion) -> ssl.SSLContext:
    """The server's TLS, which takes client certificates of that CA only."""
    context = Host(site.ca, site.directory / "stranger", client_ca=ca.certificate)
    context.close()
    made = context._context
    made.maximum_version = version
    return made


def test_an_alert_of_a_tls_12_handshake_is_not_told_from_a_forged_one(site: Site) -> None:
    stranger = requiring(site, Ca.root("Other root"), ssl.TLSVersion.TLSv1_2)
    site.after_the_next_certificate(lambda: setattr(site.host, "_context", stranger))
    site.fails_and_keeps(TlsError)
    site.finishes()


def test_the_servers_own_alert_after_the_handshake_is_a_refusal(site: Site) -> None:
    """RFC 8446 section 6: it is under the keys of the handshake in which the server proved itself."""
    stranger = requiring(site, Ca.root("Other root"), ssl.TLSVersion.TLSv1_3)
    before = site.device.state.load()
    site.after_the_next_certificate(lambda: setattr(site.host, "_context", stranger))
    with pytest.raises(TlsError, match="to try the new ones again") as caught:
        site.device.renew()
    assert caught.value.certificate_refused is True
    assert site.names() == ["device-2.pem", "device.pem"]
    with pytest.raises(TlsError, match="were destroyed"):
        site.device.renew()
    assert site.names() == ["device.pem"]
    assert site.device.state.load() == before
    assert site.device.state.journal() is None


def test_a_first_refusal_costs_nothing_whatever_ended_the_run_before(site: Site) -> None:
    """EST-157: a run that ended for another reason was no refusal; the second one that is a refusal destroys the new pair."""
    site.disturb(closes)
    site.fails_and_keeps(TlsError)
    site.behave()
    site.host.answer(cacerts=lambda _seen: http(403))
    with pytest.raises(HttpStatusError, match="to try the new ones again"):
        site.device.renew()
    assert site.names() == ["device-2.pem", "device.pem"]
    journal = site.device.state.journal()
    assert journal is not None
    assert (journal.phase, journal.refused) == (Phase.ISSUED, True)
    with pytest.raises(HttpStatusError, match="were destroyed"):
        site.device.renew()
    assert site.names() == ["device.pem"]


def test_a_server_that_refused_once_may_take_it_later(site: Site) -> None:
    """EST-157: one part of a server may know of a new certificate later than another."""
    site.after_the_next_certificate(lambda: site.host.answer(cacerts=lambda _seen: http(403)))
    with pytest.raises(HttpStatusError, match="to try the new ones again"):
        site.device.renew()
    site.finishes()


@pytest.mark.slow
def test_the_word_of_another_server_is_no_refusal(site: Site) -> None:
    elsewhere = Host(site.ca, site.directory / "elsewhere")
    elsewhere.answer(cacerts=lambda _seen: http(403))
    target = f"{elsewhere.url}/.well-known/est/cacerts"
    moved = http(302, b"", ("Location", target))
    site.after_the_next_certificate(lambda: site.host.answer(cacerts=lambda _seen: moved))
    try:
        site.fails_and_keeps(HttpStatusError)
    finally:
        elsewhere.close()
    site.finishes()


@pytest.mark.slow
def test_a_server_that_is_away_or_a_stranger_leaves_everything_as_it_is(site: Site) -> None:
    site.after_the_next_certificate(lambda: site.host.answer(cacerts=lambda _seen: http(500)))
    site.fails_and_keeps(HttpStatusError, TransportError)
    site.finishes()


def test_what_a_transport_says_about_an_alert(site: Site) -> None:
    """Only what came after the handshake is called the server's refusal."""
    for number in CERTIFICATE_ALERTS:
        site.host.raw = alerts(number)
        trust = ServerTrust((site.ca.certificate,))
        transport = HttpsTransport(site.host.url, trust, timeouts=Timeouts(total_s=30.0))
        with pytest.raises(TlsError) as caught:
            transport.send(HttpRequest("GET", "/.well-known/est/cacerts"))
        assert caught.value.certificate_refused is None
        assert "certificate_refused" not in caught.value.facts()
