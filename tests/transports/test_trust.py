"""Who is trusted and who is authorized; nothing reaches anybody else (RFC 7030 section 3.6, EST-50 to EST-67)."""

import datetime as dt
import ssl
import warnings

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID as Eku

from device_sdk.errors import (
    ClockError,
    ConfigurationError,
    ServerNotAuthorizedError,
    ServerNotTrustedError,
    TlsError,
    VerificationError,
)
from device_sdk.model.trust import ServerTrust
from device_sdk.transports.https import client_ssl_context
from tests.transports.conftest import get, post
from tests.transports.pki import CLIENT, CMC_RA, DAY, SERVER, Ca, now
from tests.transports.servers import Server, server_context

CREDENTIALS = (("Authorization", "Basic c2VjcmV0OnNlY3JldA=="),)
ANY = x509.ObjectIdentifier("2.5.29.37.0")


def refused(server, transport, error):
    """Sending fails with the error, and the server saw no byte of HTTP and no credential (EST-61)."""
    with pytest.raises(error) as caught:
        transport.send(get(headers=CREDENTIALS))
    with pytest.raises(error):
        transport.send(post(lambda facts: pytest.fail("the body was built for an unauthorized server")))
    assert not server.received
    assert server.url in str(caught.value)
    assert caught.value.url.startswith(server.url)
    return caught.value


def test_wrong_name(ca, serve, connect):
    """EST-60, EST-62."""
    server = serve(pair=ca.issue("other.example", "10.0.0.1"))
    error = refused(server, connect(server), ServerNotAuthorizedError)
    assert error.names == ("other.example", "10.0.0.1")


def test_common_name_is_no_name(ca, serve, connect):
    """EST-62: RFC 9525 section 2: the common name is not looked at."""
    server = serve(pair=ca.issue(subject="127.0.0.1"))
    assert refused(server, connect(server), ServerNotAuthorizedError).names == ()


def test_dns_name_that_looks_like_the_address(ca, serve, connect):
    """EST-67: an IP literal is matched by iPAddress only."""
    builder = ca.issue("127.0.0.1")
    assert builder.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    server = serve(pair=_issue_with_san(ca, [x509.DNSName("127.0.0.1")]))
    refused(server, connect(server), ServerNotAuthorizedError)


def _issue_with_san(ca, names):
    from tests.transports import pki

    original = pki.general_name
    pki.general_name = lambda name: name
    try:
        return ca.issue(*names)
    finally:
        pki.general_name = original


def test_host_name_fits(ca, good, tmp_path, connect):
    with Server(server_context(good, tmp_path)) as server:
        assert connect(f"https://localhost:{server.port}").send(get()).status_code == 200


def test_ipv6_literal(serve, connect):
    """EST-67: an iPAddress, and a port that is not in it."""
    server = serve(host="::1")
    transport = connect(server)
    assert transport.origin == f"https://[::1]:{server.port}"
    assert transport.send(get()).status_code == 200
    assert server.requests[0].header("Host") == f"[::1]:{server.port}"


def test_other_ca(serve, connect):
    """EST-52."""
    server = serve(pair=Ca("Elsewhere").issue("127.0.0.1"))
    error = refused(server, connect(server), ServerNotTrustedError)
    assert "issuer" in error.reason
    assert "trust anchors" in error.hint


def test_self_signed_server(tmp_path, connect):
    pair = Ca("self")
    with Server(server_context(pair, tmp_path)) as server:
        refused(server, connect(server), ServerNotTrustedError)


def test_expired(ca, serve, connect):
    server = serve(pair=ca.issue("127.0.0.1", start=now() - 3 * DAY, end=now() - DAY))
    assert refused(server, connect(server), ServerNotTrustedError).reason == "certificate has expired"


def test_clock_before_not_before(ca, serve, connect):
    """This machine's clock is before notBefore: the dates are told."""
    start = now() + 2 * DAY
    server = serve(pair=ca.issue("127.0.0.1", start=start, end=start + DAY))
    with pytest.raises(ClockError) as caught:
        connect(server).send(get(headers=CREDENTIALS))
    assert caught.value.not_before == start.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert abs(dt.datetime.fromisoformat(caught.value.now) - now()) < dt.timedelta(minutes=1)
    assert not server.received


def test_explicit_anchor_may_be_an_intermediate(tmp_path, connect):
    """EST-60 (d): partial chain."""
    issuing = Ca("Issuing", parent=Ca("Root"))
    with Server(server_context(issuing.issue("127.0.0.1"), tmp_path)) as server:
        assert connect(server, trust=ServerTrust((issuing.certificate,))).send(get()).status_code == 200


def test_explicit_anchor_may_be_the_server_itself(ca, good, tmp_path, connect):
    with Server(server_context(good, tmp_path)) as server:
        assert connect(server, trust=ServerTrust((good.certificate,))).send(get()).status_code == 200


def test_anchor_that_expired_or_is_unrelated_is_harmless(ca, serve, connect):
    trust = ServerTrust((Ca("Unrelated").certificate, ca.certificate, ca.certificate))
    assert connect(serve(), trust=trust).send(get()).status_code == 200


@pytest.mark.parametrize("usages", [(CMC_RA,), (*SERVER, CMC_RA)], ids=["cmcRA only", "serverAuth and cmcRA"])
def test_cmc_ra_stands_in_for_the_name_under_an_explicit_anchor(usages, ca, serve, connect):
    """RFC 7030 section 3.6.1 (EST-60, EST-63)."""
    server = serve(pair=ca.issue("ra.example", usages=usages))
    assert connect(server).send(get()).status_code == 200


@pytest.mark.parametrize("usages", [(CMC_RA,), (*SERVER, CMC_RA)], ids=["cmcRA only", "serverAuth and cmcRA"])
def test_cmc_ra_is_nothing_under_the_implicit_anchors(usages, ca, serve, connect, tmp_path, monkeypatch):
    """EST-63, EST-66, with Explicit anchors configured beside: what counts is which database anchored the path (EST-53)."""
    monkeypatch.setenv("SSL_CERT_FILE", implicit_store(ca, tmp_path))
    server = serve(pair=ca.issue("ra.example", usages=usages))
    refused(server, connect(server, trust=ServerTrust(implicit=True)), VerificationError)
    both = ServerTrust((Ca("Explicit").certificate,), implicit=True)
    refused(server, connect(server, trust=both), ServerNotAuthorizedError)


def implicit_store(ca, directory):
    path = directory / "implicit.pem"
    path.write_bytes(ca.pem())
    return str(path)


def test_both_databases_explicit_path_counts_as_explicit(ca, serve, connect, tmp_path, monkeypatch):
    """EST-53: id-kp-cmcRA counts, as the path ends in the Explicit database."""
    monkeypatch.setenv("SSL_CERT_FILE", implicit_store(Ca("Implicit"), tmp_path))
    server = serve(pair=ca.issue("ra.example", usages=(CMC_RA,)))
    trust = ServerTrust((ca.certificate,), implicit=True)
    assert connect(server, trust=trust).send(get()).status_code == 200


def test_intermediate_in_the_explicit_database_below_a_root_in_the_implicit_one(tmp_path, connect, monkeypatch):
    """The part of the path up to the Explicit anchor is a valid path of its own."""
    root = Ca("Root")
    issuing = Ca("Issuing", parent=root)
    monkeypatch.setenv("SSL_CERT_FILE", implicit_store(root, tmp_path))
    pair = issuing.issue("ra.example", usages=(CMC_RA,))
    with Server(server_context(pair, tmp_path)) as server:
        trust = ServerTrust((issuing.certificate,), implicit=True)
        assert connect(server, trust=trust).send(get()).status_code == 200
    with Server(server_context(pair, tmp_path)) as server:
        refused(server, connect(server, trust=ServerTrust(implicit=True)), VerificationError)


def test_implicit_database_only_if_asked_for(ca, serve, connect, tmp_path, monkeypatch):
    """EST-55: off by default, on by request."""
    monkeypatch.setenv("SSL_CERT_FILE", implicit_store(ca, tmp_path))
    server = serve()
    refused(server, connect(server, trust=ServerTrust((Ca("Other").certificate,))), ServerNotTrustedError)
    assert connect(server, trust=ServerTrust(implicit=True)).send(get()).status_code == 200


@pytest.mark.parametrize(
    "usages", [CLIENT, (ANY,), (Eku.OCSP_SIGNING,)], ids=["clientAuth", "anyExtendedKeyUsage", "OCSPSigning"]
)
def test_name_alone_is_not_enough(usages, ca, serve, connect):
    """A device certificate with a fitting name is no server; anyExtendedKeyUsage is neither serverAuth nor cmcRA."""
    server = serve(pair=ca.issue("127.0.0.1", usages=usages))
    refused(server, connect(server), ServerNotAuthorizedError)


def test_no_extended_key_usage_is_no_limit(ca, serve, connect):
    assert connect(serve(pair=ca.issue("127.0.0.1", usages=()))).send(get()).status_code == 200


def test_key_usage_that_signs_no_handshakes(ca, tmp_path, connect):
    usage = x509.KeyUsage(False, True, False, False, False, False, False, False, False)
    with Server(server_context(ca.issue("127.0.0.1", key_usage=usage), tmp_path)) as server:
        refused(server, connect(server), VerificationError)


@pytest.mark.parametrize("usages", [SERVER, (CMC_RA,)], ids=["by name", "as RA"])
def test_ca_limited_to_clients_issues_no_servers(usages, tmp_path, connect):
    root = Ca("Root")
    devices = Ca("Devices", parent=root, usages=CLIENT)
    with Server(server_context(devices.issue("127.0.0.1", usages=usages), tmp_path)) as server:
        refused(server, connect(server, trust=ServerTrust((root.certificate,))), ServerNotAuthorizedError)


def test_no_anchor_at_all(connect):
    with pytest.raises(ConfigurationError, match="trust anchor"):
        connect("https://127.0.0.1:1", trust=ServerTrust())


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1",
        "ftp://x",
        "127.0.0.1:8443",
        "",
        "https://",
        "https://u:p4ss@host/",
        "https://host:99999",
        "https://[::1",
    ],
)
def test_urls_that_are_not_used(url, connect):
    """EST-11: https only, no override; credentials in the URL are not repeated in the message."""
    with pytest.raises(ConfigurationError) as caught:
        connect(url)
    assert "p4ss" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Host.Example:443/.well-known/est/label", "https://host.example"),
        ("https://host:8443", "https://host:8443"),
        ("https://[2001:DB8::1]/", "https://[2001:db8::1]"),
        ("https://b\u00fccher.example", "https://xn--bcher-kva.example"),
    ],
)
def test_origin(url, origin, connect):
    assert connect(url).origin == origin


def test_plain_http_server(connect):
    with Server(tls=False, script=lambda c: c.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        with pytest.raises(TlsError, match="does not speak TLS") as caught:
            connect(server).send(get())
        assert caught.value.url.startswith(server.url)


def test_old_tls_is_refused(good, tmp_path, connect):
    """EST-50: TLS 1.2 or later."""
    context = server_context(good, tmp_path)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with Server(context) as server, pytest.raises(TlsError):
        connect(server).send(get())


@pytest.mark.parametrize(
    "suites",
    ["ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA", "aNULL:@SECLEVEL=0", "AES128-SHA256:AES256-GCM-SHA384"],
)
def test_weak_suites_are_refused(suites, good, tmp_path, connect):
    """EST-51: no suites without authentication, without forward secrecy or with CBC."""
    context = server_context(good, tmp_path, version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(suites)
    with Server(context) as server, pytest.raises(TlsError):
        connect(server).send(get())


def test_max_tls_version(serve, connect):
    server = serve()
    assert connect(server, max_tls_version="1.2").send(get()).connection.tls_version == "TLSv1.2"
    assert connect(server, max_tls_version="TLSv1.3").send(get()).connection.tls_version == "TLSv1.3"
    with pytest.raises(ConfigurationError, match=r"1\.1"):
        connect(server, max_tls_version="1.1")


def test_trust_cannot_be_switched_off(trust):
    context = client_ssl_context(trust)
    with pytest.raises(ConfigurationError):
        context.verify_mode = ssl.CERT_NONE
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert ssl.SSLContext.verify_mode.__get__(context) == ssl.CERT_REQUIRED
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_context_without_host_name_connects_to_nobody(trust, serve):
    import socket

    server = serve()
    with socket.create_connection(("127.0.0.1", server.port)) as plain, pytest.raises(ConfigurationError):
        client_ssl_context(trust).wrap_socket(plain)
    assert not server.received
