"""`tpm2:` URIs: grammar, canonical form, refusals (percent-encoding as RFC 7512 section 2.3)."""

import pytest

from device_sdk.errors import UriError
from device_sdk.wire.key_uri import parse_key_uri
from device_sdk.wire.key_uri.tpm2 import Tpm2Uri


@pytest.mark.parametrize(
    ("text", "expected", "canonical"),
    [
        ("tpm2:handle=0x81000010", Tpm2Uri(handle=0x81000010), "tpm2:handle=0x81000010"),
        ("TPM2:handle=0X8100AbCd", Tpm2Uri(handle=0x8100ABCD), "tpm2:handle=0x8100abcd"),
        ("tpm2:handle=2164260880", Tpm2Uri(handle=0x81000010), "tpm2:handle=0x81000010"),
        (
            "tpm2:handle=0x81000010?tcti=device:/dev/tpmrm0&pin-source=file:/run/pin",
            Tpm2Uri(handle=0x81000010, tcti="device:/dev/tpmrm0", pin_source="file:/run/pin"),
            "tpm2:handle=0x81000010?tcti=device:/dev/tpmrm0&pin-source=file:/run/pin",
        ),
        (
            "tpm2:file=/path/key.pem?tcti=swtpm:path=/run/x.sock",
            Tpm2Uri(file="/path/key.pem", tcti="swtpm:path=/run/x.sock"),
            "tpm2:file=/path/key.pem?tcti=swtpm:path=/run/x.sock",
        ),
        (
            "tpm2:file=/a%20b/%c3%a9%3B%3f.pem?pin-source=/run/p%26q",
            Tpm2Uri(file="/a b/é;?.pem", pin_source="/run/p&q"),
            "tpm2:file=/a%20b/%C3%A9%3B%3F.pem?pin-source=/run/p%26q",
        ),
        ("tpm2:file=key.pem", Tpm2Uri(file="key.pem"), "tpm2:file=key.pem"),
        ("tpm2:dir=/var/lib/keys", Tpm2Uri(dir="/var/lib/keys"), "tpm2:dir=/var/lib/keys"),
        ("tpm2:nv=25166080?tcti=tabrmd", Tpm2Uri(nv=0x01800100, tcti="tabrmd"), "tpm2:nv=0x01800100?tcti=tabrmd"),
        ("tpm2:", Tpm2Uri(), "tpm2:"),
        ("tpm2:?tcti=tabrmd", Tpm2Uri(tcti="tabrmd"), "tpm2:?tcti=tabrmd"),
        ("tpm2:?tcti=libtss2-tcti-swtpm.so.0:path=/x", Tpm2Uri(tcti="swtpm:path=/x"), "tpm2:?tcti=swtpm:path=/x"),
    ],
)
def test_uri_is_read_and_written_in_one_form(text: str, expected: Tpm2Uri, canonical: str) -> None:
    """What is written can be read again and means the same."""
    parsed = parse_key_uri(text)
    assert parsed == expected
    assert str(parsed) == canonical
    assert parse_key_uri(canonical) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tpm2:handle=0x80000000", "persistent handles are"),
        ("tpm2:handle=0x82000000", "persistent handles are"),
        ("tpm2:handle=81000010h", "not a number"),
        ("tpm2:nv=0x01400000", "NV indices of the owner are"),
        ("tpm2:nv=0x01c00000", "NV indices of the owner are"),
        ("tpm2:nv=x", "nv is not a number"),
        ("tpm2:nv=0x01800100;file=/x", "only one of"),
        ("tpm2:handle=0x", "not a number"),
        ("tpm2:handle=-1", "not a number"),
        ("tpm2:handle=", "has no value"),
        ("tpm2:handle", "has no value"),
        ("tpm2:file=", "has no value"),
        ("tpm2:handle=0x81000010;file=/x", "only one"),
        ("tpm2:handle=0x81000010;handle=0x81000011", "twice"),
        ("tpm2:object=x", "unknown attribute object"),
        ("tpm2:/path/key.pem", "unknown attribute"),
        ("tpm2:handle=0x81000010?x-vendor=1", "unknown attribute x-vendor"),
        ("tpm2:handle=0x81000010?tcti=cmd:nc", "must be one of"),
        ("tpm2:handle=0x81000010?tcti=/tmp/evil.so", "must be one of"),
        ("tpm2:handle=0x81000010?tcti=", "has no value"),
        ("tpm2:file=/x%zz", "two hexadecimal digits"),
        ("tpm2:file=/x%2", "two hexadecimal digits"),
        ("tpm2:file=/a b", "%20"),
        ("tpm2:file=/é", "%C3%A9"),
        ("tpm2:file=/%ff", "not UTF-8"),
        ("tpm2:file=/x%00y", "control character"),
        ("tpm2:file=/x%0Ay", "control character"),
        ("tpm2:file=/x#y", "%23"),
        ("tpm2:;", "unknown attribute"),
        ("tpm2:file=" + "a" * 9000, "at most"),
    ],
)
def test_everything_else_is_refused(text: str, says: str) -> None:
    """Where the grammar is not followed, the error says where."""
    with pytest.raises(UriError) as caught:
        parse_key_uri(text)
    assert says in str(caught.value)


def test_a_pin_that_does_not_belong_there_is_not_repeated() -> None:
    """An authorisation value is not taken from this URI, and an error does not spread it."""
    with pytest.raises(UriError) as caught:
        parse_key_uri("tpm2:handle=0x81000010?pin-value=geheim")
    assert "geheim" not in str(caught.value)
    assert "pin-source" in str(caught.value)
