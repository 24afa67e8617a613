"""What is taken for a server's or a proxy's address, and that no error repeats a password in it."""

import pytest

from device_sdk.errors import ConfigurationError
from device_sdk.model.urls import shown_url
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
        ("", ""),
    ],
)
def test_shown_url(url, shown):
    assert shown_url(url) == shown
