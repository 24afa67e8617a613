"""What is taken for a server's or a proxy's address, and that no error repeats a password in it."""

import pytest

from device_sdk.errors import ConfigurationError
from device_sdk.model.urls import shown_url
from device_sdk.transports.https import HttpsTransport
from device_sdk.transports.https.origin import Origin
from device_sdk.transports.https.proxy import choose_proxy
from tests.transports.bad_urls import BAD_URLS, whole_text


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_password_in_a_malformed_url_is_not_repeated(url):
    with pytest.raises(ConfigurationError) as caught:
        Origin.parse(url)
    assert "SECRETPW" not in whole_text(caught.value)


@pytest.mark.parametrize("url", [*BAD_URLS, "http://lab:12/SECRETPW@proxy:3128"])
def test_a_password_in_a_malformed_proxy_is_not_repeated(url):
    said = ""
    try:
        said = repr(choose_proxy(Origin("server", 443), url, {}))
    except ConfigurationError as error:
        said = whole_text(error)
    assert said
    assert "SECRETPW" not in said


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host:1/a", "https://host:1/a"),
        ("https://u:p@host:1/a", "https://***@host:1/a"),
        ("https://u:p//q@host", "https://***@host"),
        ("u:p@host", "***@host"),
        ("https:///u:p@host", "https://***@host"),
        ("https://host/a?token=x#y", "https://host/a"),
        ("https://host/a#y?z", "https://host/a"),
        ("https://u:p?q@host/a?token=x", "https://***@host/a"),
        ("https://host/a?token=x@y", "https://***@y"),
        ("", ""),
    ],
)
def test_shown_url(url, shown):
    assert shown_url(url) == shown


@pytest.mark.parametrize("url", ["http://server", "HTTP://server", "ftp://server", "//server", "server", "https://"])
def test_est_11_nothing_but_https(url, trust):
    """Whoever calls: not the transport either (RFC 7030 section 3.3)."""
    with pytest.raises(ConfigurationError, match="https"):
        Origin.parse(url)
    with pytest.raises(ConfigurationError, match="https"):
        HttpsTransport(url, trust)


@pytest.mark.parametrize("host", ["[fe80::1%25eth0]", "[fe80::1%eth0]", "[fe80::1%25]"])
def test_an_address_with_a_zone_is_refused(host):
    """RFC 6874: its zone means something to one machine only, and no certificate can name it."""
    with pytest.raises(ConfigurationError):
        Origin.parse(f"https://{host}:8443")


@pytest.mark.parametrize(
    ("url", "authority", "host"),
    [
        ("https://[::1]", "[::1]", "::1"),
        ("https://[2001:DB8::1]:8443/x", "[2001:db8::1]:8443", "2001:db8::1"),
        ("https://[::ffff:192.0.2.1]:443", "[::ffff:192.0.2.1]", "::ffff:192.0.2.1"),
    ],
)
def test_addresses_of_ipv6(url, authority, host):
    origin = Origin.parse(url)
    assert (origin.authority, origin.host) == (authority, host)
