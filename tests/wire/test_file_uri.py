"""`file:` URIs: grammar, canonical form, refusals."""

import pytest

from device_sdk.errors import UriError
from device_sdk.wire.key_uri import parse_key_uri
from device_sdk.wire.key_uri.file import FileUri


@pytest.mark.parametrize(
    ("text", "expected", "canonical"),
    [
        ("file:/path/key.pem", FileUri("/path/key.pem"), "file:/path/key.pem"),
        ("file:key.pem", FileUri("key.pem"), "file:key.pem"),
        ("file:./a/key.pem", FileUri("./a/key.pem"), "file:./a/key.pem"),
        ("file:///path/key.pem", FileUri("/path/key.pem"), "file:/path/key.pem"),
        ("FILE://localhost/path/key.pem", FileUri("/path/key.pem"), "file:/path/key.pem"),
        (
            "file:/a%20b/k%3F.pem?pin-source=env:PASS",
            FileUri("/a b/k?.pem", pin_source="env:PASS"),
            "file:/a%20b/k%3F.pem?pin-source=env:PASS",
        ),
    ],
)
def test_uri_is_read_and_written_in_one_form(text: str, expected: FileUri, canonical: str) -> None:
    """Relative paths stay as they are given (RFC 8089 forms are read)."""
    parsed = parse_key_uri(text)
    assert parsed == expected
    assert str(parsed) == canonical
    assert parse_key_uri(canonical) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file:", "path is missing"),
        ("file:?pin-source=x", "path is missing"),
        ("file://server/share/key.pem", "this machine"),
        ("file://localhost", "this machine"),
        ("file:/x?pin-value=1234", "unknown attribute pin-value"),
        ("file:/x?pin-source=a&pin-source=b", "twice"),
        ("file:/x%", "two hexadecimal digits"),
        ("file:/x%00", "control character"),
    ],
)
def test_everything_else_is_refused(text: str, says: str) -> None:
    """The message says what is wrong and never repeats a passphrase."""
    with pytest.raises(UriError) as caught:
        parse_key_uri(text)
    assert says in str(caught.value)
    assert "1234" not in str(caught.value)
