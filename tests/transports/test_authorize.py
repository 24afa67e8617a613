"""Names in certificates and hosts in URLs (RFC 9525 section 6)."""

import pytest

from device_sdk.errors import ServerNotAuthorizedError
from device_sdk.transports.https.authorize import authorize, dns_name_fits
from device_sdk.transports.https.origin import ip_of


@pytest.mark.parametrize(
    ("presented", "host", "fits"),
    [
        ("est.example.com", "est.example.com", True),
        ("EST.example.COM", "est.EXAMPLE.com", True),
        ("est.example.com.", "est.example.com", True),
        ("est.example.com", "est.example.com.", True),
        ("localhost", "localhost", True),
        ("*.example.com", "est.example.com", True),
        ("*.example.com", "a.b.example.com", False),
        ("*.example.com", "example.com", False),
        ("*.example.com", ".example.com", False),
        ("*.com", "example.com", False),
        ("*", "localhost", False),
        ("*.", "localhost.", False),
        ("e*.example.com", "est.example.com", False),
        ("*t.example.com", "est.example.com", False),
        ("est.*.com", "est.example.com", False),
        ("*.*.com", "est.example.com", False),
        ("**.example.com", "est.example.com", False),
        ("xn--bcher-kva.example.com", "xn--bcher-kva.example.com", True),
        ("*.example.com", "xn--bcher-kva.example.com", True),
        ("xn--*.example.com", "xn--bcher-kva.example.com", False),
        ("est.example.com\0.evil", "est.example.com", False),
        ("", "", False),
    ],
)
def test_dns_names(presented, host, fits):
    assert dns_name_fits(presented, host) == fits


@pytest.mark.parametrize(
    ("host", "names", "fits"),
    [
        ("10.0.0.1", ["10.0.0.1"], True),
        ("10.0.0.2", ["10.0.0.1"], False),
        ("2001:db8::1", ["2001:db8:0:0::1"], True),
        ("fe80::1%eth0", ["fe80::1"], True),
        ("est.example", ["10.0.0.1", "est.example"], True),
        ("est.example", ["10.0.0.1"], False),
    ],
)
def test_addresses(host, names, fits, ca):
    chain = [ca.issue(*names).der(), ca.der()]
    if fits:
        authorize(chain, host, frozenset())
    else:
        with pytest.raises(ServerNotAuthorizedError, match=host.partition("%")[0]):
            authorize(chain, host, frozenset())


@pytest.mark.parametrize("der", [b"", b"0\x80", b"garbage"])
def test_certificate_that_cannot_be_read(der):
    with pytest.raises(ServerNotAuthorizedError):
        authorize([der], "est.example", frozenset())


def test_ip_of():
    assert ip_of("est.example") is None
    assert ip_of("127.1") is None
    assert str(ip_of("::1%lo")) == "::1"
