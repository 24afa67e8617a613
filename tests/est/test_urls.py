"""EST-08, EST-09, EST-11: what a person may configure as the address of an EST server."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from device_sdk.errors import ConfigurationError
from device_sdk.protocols.est.urls import Operation, origin_of, parse_est_url
from tests.transports.bad_urls import BAD_URLS, whole_text


@pytest.mark.parametrize(
    ("url", "label", "expected"),
    [
        ("https://est.example", None, "https://est.example/.well-known/est/cacerts"),
        ("https://est.example/", None, "https://est.example/.well-known/est/cacerts"),
        ("https://EST.example:443/.well-known/est", None, "https://est.example/.well-known/est/cacerts"),
        ("https://est.example/.well-known/est/", None, "https://est.example/.well-known/est/cacerts"),
        ("https://est.example:8443/.well-known/est/lab", None, "https://est.example:8443/.well-known/est/lab/cacerts"),
        ("https://est.example/.well-known/est/lab/", "lab", "https://est.example/.well-known/est/lab/cacerts"),
        ("est.example:8443", "lab", "https://est.example:8443/.well-known/est/lab/cacerts"),
        ("localhost", None, "https://localhost/.well-known/est/cacerts"),
        ("https://[2001:DB8::1]:8443", None, "https://[2001:db8::1]:8443/.well-known/est/cacerts"),
        ("https://bücher.example", None, "https://xn--bcher-kva.example/.well-known/est/cacerts"),
    ],
)
def test_est_08_forms(url, label, expected):
    assert parse_est_url(url, label).url(Operation.CACERTS) == expected


@pytest.mark.parametrize(
    ("label", "segment"),
    [("plain-1.0_~", "plain-1.0_~"), ("a b", "a%20b"), ("ca:1@x", "ca:1@x"), ("50%", "50%25"), ("Gerät", "Ger%C3%A4t")],
)
def test_est_09_label_is_one_encoded_segment(label, segment):
    assert parse_est_url("est.example", label).target(Operation.CACERTS) == f"/.well-known/est/{segment}/cacerts"
    in_url = parse_est_url(f"https://est.example/.well-known/est/{segment}")
    assert in_url.label == label


RESERVED = [*(operation.value for operation in Operation), "SimpleEnroll", "CACerts"]
RESERVED += ["pal", "PAL", "eecerts", "crls", "symmetrickeys", "firmware", "tamp"]


@pytest.mark.parametrize("label", ["a/b", "..", ".", "a..b", "a?b", "a#b", "a\\b", "a\r\nX: y", "a\x7f", *RESERVED])
def test_est_09_est_07_labels_that_cannot_be(label):
    """Given beside the URL, or inside it (RFC 7030 section 3.2.2, RFC 8295 section 2.1)."""
    with pytest.raises(ConfigurationError, match="label"):
        parse_est_url("est.example", label)
    with pytest.raises(ConfigurationError, match="label"):
        parse_est_url("https://est.example/.well-known/est/" + quote(label, safe=""))


@pytest.mark.parametrize(
    "url",
    [
        "http://est.example",
        "ftp://est.example",
        "https://",
        "https://est.example/other",
        "https://est.example/.well-known/est/a/b",
        "https://est.example/.well-known/est/cacerts",
        "https://est.example/.well-known/est/%2e%2e",
        "https://est.example/.well-known/est/a%2Fb",
        "https://est.example/.well-known/est/%ff",
        "https://est.example/?x=1",
        "https://est.example/#x",
        "https://est.example:port",
        "https://est.example:99999",
        "https://est example",
        "https://[::1",
        "",
    ],
)
def test_est_11_refused(url):
    with pytest.raises(ConfigurationError):
        parse_est_url(url)


@pytest.mark.parametrize("parse", [parse_est_url, origin_of])
def test_est_11_what_to_give_instead_of_http(parse):
    with pytest.raises(ConfigurationError, match=r"http://est\.example:8080: EST runs over https only") as caught:
        parse("http://est.example:8080")
    assert "give https://HOST" in caught.value.hint


def test_a_password_in_the_url_is_not_repeated():
    with pytest.raises(ConfigurationError) as caught:
        parse_est_url("https://user:hunter2@est.example")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", BAD_URLS)
@pytest.mark.parametrize("parse", [parse_est_url, origin_of])
def test_a_password_in_a_malformed_url_is_not_repeated(parse, url):
    with pytest.raises(ConfigurationError) as caught:
        parse(url)
    assert "SECRETPW" not in whole_text(caught.value)


def test_an_at_sign_in_a_label_is_no_password():
    assert parse_est_url("https://est.example/.well-known/est/ca@home").label == "ca@home"


def test_two_labels():
    with pytest.raises(ConfigurationError, match="give one"):
        parse_est_url("https://est.example/.well-known/est/a", "b")


def test_origin_of_ignores_case_and_default_port():
    assert origin_of("https://Est.Example:443/x/y") == "https://est.example"
