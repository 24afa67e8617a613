"""Bootstrap by fingerprint: RFC 7030 section 4.1.1, EST-70 to EST-78."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.client.est import bootstrap
from device_sdk.errors import (
    AuthenticationRequiredError,
    ClockError,
    ConfigurationError,
    FingerprintMismatchError,
    HttpStatusError,
    RedirectRefusedError,
    ServerNotTrustedError,
)
from device_sdk.model.compatibility import Compatibility
from device_sdk.model.trust import Pin
from device_sdk.wire.fingerprint import parse_pin
from tests.est.answers import bag
from tests.est.pki import DAY, Ca, der, make, name, new_key
from tests.est.scripted_server import http

GET = "GET /.well-known/est/cacerts"
WRONG = parse_pin("sha256:" + "00" * 32)


def pin_of(certificate, algorithm: str = "sha256") -> Pin:
    return Pin(algorithm, hashlib.new(algorithm, der(certificate)).digest())


def spki_pin(certificate) -> Pin:
    public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Pin("sha256", hashlib.sha256(public).digest())


@pytest.mark.parametrize("kind", ["sha256", "sha512", "spki", "second of two"])
def test_est_71_est_76_accepted_pins(ca, serve, kind):
    middle = ca.issue_ca("Middle")
    server = serve(cacerts=bag(Ca.root("Stranger").certificate, middle.certificate, ca.certificate))
    pins = {
        "sha256": [pin_of(ca.certificate)],
        "sha512": [pin_of(ca.certificate, "sha512")],
        "spki": [spki_pin(ca.certificate)],
        "second of two": [WRONG, pin_of(ca.certificate)],
    }[kind]
    result = bootstrap(server.url, pins)
    assert result.anchors == (ca.certificate,)
    assert result.intermediates == (middle.certificate,)
    assert len(result.ignored) == 1


def test_est_73_est_77_a_new_connection_and_nothing_but_cacerts(ca, serve):
    """EST-112."""
    server = serve(cacerts=bag(ca.certificate))
    bootstrap(server.url, [pin_of(ca.certificate)], label="x")
    assert server.lines == ["GET /.well-known/est/x/cacerts"] * 2
    assert [seen.connection for seen in server.seen] == [1, 2]
    assert not any(seen.client_certificate or seen.header("Authorization") for seen in server.seen)


def test_est_70_the_highest_version_of_tls_holds_for_the_first_connection_too(ca, serve, caplog):
    """Where TLS 1.3 does not work, it does not work before the server is trusted either."""
    server = serve(cacerts=bag(ca.certificate))
    with caplog.at_level("DEBUG", "device_sdk"):
        bootstrap(server.url, [pin_of(ca.certificate)], compatibility=Compatibility(max_tls_version="1.2"))
    assert caplog.text.count("TLSv1.2") == 2
    assert "TLSv1.3" not in caplog.text


def test_est_78_mismatch_sends_nothing_else(ca, serve):
    server = serve(cacerts=bag(ca.certificate))
    with pytest.raises(FingerprintMismatchError) as caught:
        bootstrap(server.url, [WRONG])
    assert caught.value.seen == (str(pin_of(ca.certificate)),)
    assert server.lines == [GET]
    assert server.connections == 1


def test_est_77_the_same_server_has_to_validate(ca, serve):
    """A man in the middle passes the real bag on, but his own certificate is no part of it."""
    server = serve(cacerts=bag(ca.certificate), signed_by=Ca.root("Mallory"))
    with pytest.raises(ServerNotTrustedError):
        bootstrap(server.url, [pin_of(ca.certificate)])
    assert server.lines == [GET]


def test_est_76_a_key_pin_takes_no_certificate_somebody_else_made_around_the_key(ca, serve):
    mallory = Ca.root("Mallory")
    fake = make(ca.certificate.subject, ca.key.public_key(), mallory.certificate.subject, mallory.key, ca=True)
    server = serve(cacerts=bag(fake, mallory.certificate))
    with pytest.raises(FingerprintMismatchError):
        bootstrap(server.url, [spki_pin(ca.certificate)])


def test_est_76_a_pinned_device_certificate_is_no_anchor(ca, serve):
    device = ca.certify("device", new_key().public_key())
    server = serve(cacerts=bag(device, ca.certificate))
    with pytest.raises(FingerprintMismatchError):
        bootstrap(server.url, [pin_of(device)])


def test_est_76_a_pinned_intermediate_is_what_the_user_says(serve, ca):
    middle = ca.issue_ca("Middle")
    server = serve(cacerts=bag(middle.certificate, ca.certificate), signed_by=middle)
    assert bootstrap(server.url, [pin_of(middle.certificate)]).anchors == (middle.certificate,)


def test_est_72_a_challenge_is_not_answered(ca, serve):
    server = serve(cacerts=lambda seen: http(401, b"", ("WWW-Authenticate", "Basic")))
    with pytest.raises(AuthenticationRequiredError):
        bootstrap(server.url, [pin_of(ca.certificate)])
    assert server.lines == [GET]


def test_est_73_no_redirect_is_followed(ca, serve):
    server = serve(cacerts=lambda seen: http(302, b"", ("Location", "/x")))
    with pytest.raises(RedirectRefusedError):
        bootstrap(server.url, [pin_of(ca.certificate)])
    assert server.lines == [GET]


def test_est_114_any_other_status(ca, serve):
    server = serve()
    with pytest.raises(HttpStatusError):
        bootstrap(server.url, [pin_of(ca.certificate)])


def test_a_clock_before_the_anchor(ca, serve, clock):
    server = serve(cacerts=bag(ca.certificate))
    clock.shift = -365 * 50 * DAY
    with pytest.raises(ClockError, match=f"clock says {clock.now():%Y-}"):
        bootstrap(server.url, [pin_of(ca.certificate)], clock=clock)
    assert server.lines == [GET]


def test_est_71_a_person_confirms(ca, serve):
    server = serve(cacerts=bag(ca.certificate, ca.issue_ca("Middle").certificate))
    asked = []

    def yes(certificate) -> bool:
        asked.append(certificate)
        return True

    assert bootstrap(server.url, [], confirm=yes).anchors == (ca.certificate,)
    assert asked == [ca.certificate]
    with pytest.raises(FingerprintMismatchError, match="confirmed"):
        bootstrap(server.url, [], confirm=lambda certificate: False)


def test_neither_pins_nor_a_person():
    with pytest.raises(ConfigurationError):
        bootstrap("https://est.example", [])


def test_same_name_different_key(ca, serve):
    """A look-alike root beside the pinned one stays outside."""
    fake = Ca.root("EST root")
    assert fake.certificate.subject == name("EST root") == ca.certificate.subject
    server = serve(cacerts=bag(fake.certificate, ca.certificate))
    assert bootstrap(server.url, [pin_of(ca.certificate)]).anchors == (ca.certificate,)
