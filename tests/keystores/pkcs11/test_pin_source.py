"""Where a PIN comes from (RFC 7512 section 2.4)."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from device_sdk.errors import PinRequiredError
from device_sdk.keystores.pin_source import MAX_PIN_BYTES, resolve_pin
from device_sdk.model.secret import Secret
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri


def revealed(source: str) -> bytes:
    pin = resolve_pin(Pkcs11Uri(pin_source=source), None, "token t")
    assert pin is not None
    return pin.reveal()


@pytest.mark.parametrize(
    ("content", "pin"),
    [
        (b"1234", b"1234"),
        (b"1234\n", b"1234"),
        (b"1234\r\n", b"1234"),
        (b"1234\n\n", b"1234\n"),
        (b" 12 34 ", b" 12 34 "),
        ("päß".encode(), "päß".encode()),
        (b"\xff\x00\xfe", b"\xff\x00\xfe"),
        (b"x" * MAX_PIN_BYTES + b"\r\n", b"x" * MAX_PIN_BYTES),
    ],
)
def test_one_line_end_is_taken_off(tmp_path: Path, content: bytes, pin: bytes) -> None:
    path = tmp_path / "pin"
    path.write_bytes(content)
    assert revealed(str(path)) == pin


@pytest.mark.parametrize("form", ["{}", "file:{}", "file://{}", "file://localhost{}"])
def test_file_forms(tmp_path: Path, form: str) -> None:
    """RFC 8089: file:/path, file:///path and file://localhost/path are one file."""
    (tmp_path / "pin").write_text("1234")
    assert revealed(form.format(tmp_path / "pin")) == b"1234"


def test_a_file_uri_is_percent_decoded_and_a_path_is_not(tmp_path: Path) -> None:
    (tmp_path / "a b").write_text("1")
    (tmp_path / "a%20b").write_text("2")
    assert revealed(f"file:{tmp_path}/a%20b") == b"1"
    assert revealed(f"{tmp_path}/a%20b") == b"2"


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_PIN", "1234")
    assert revealed("env:TOKEN_PIN") == b"1234"


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    def write() -> None:
        with fifo.open("wb", buffering=0) as pipe:
            for part in (b"12", b"34", b"\n"):
                pipe.write(part)

    writer = threading.Thread(target=write)
    writer.start()
    assert revealed(str(fifo)) == b"1234"
    writer.join(60)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "file:",
        "file://",
        "file://server/pin",
        "file:/a%00b",
        "|/bin/echo 1234",
        "env:",
        "env:NOT_SET_ANYWHERE",
        "env:A=B",
        "/nowhere/pin",
        "/",
        "/dev/null",
        "/dev/zero",
    ],
)
def test_what_gives_no_pin_is_an_error_that_names_it(source: str) -> None:
    with pytest.raises(PinRequiredError, match="token t") as caught:
        revealed(source)
    assert source in str(caught.value)


def test_too_long_a_pin_is_refused_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "pin").write_bytes(b"7" * (MAX_PIN_BYTES + 1))
    with pytest.raises(PinRequiredError) as caught:
        revealed(str(tmp_path / "pin"))
    assert "777" not in str(caught.value)


def test_the_provider_is_asked_only_if_the_uri_says_nothing(tmp_path: Path) -> None:
    asked = []

    def provider(what: str) -> Secret:
        asked.append(what)
        return Secret("from the provider")

    (tmp_path / "pin").write_text("1234")
    assert resolve_pin(Pkcs11Uri(pin_source=str(tmp_path / "pin")), provider, "token t") is not None
    assert resolve_pin(Pkcs11Uri(pin_value=Secret("1")), provider, "token t") is not None
    assert asked == []
    pin = resolve_pin(Pkcs11Uri(), provider, "token t")
    assert pin is not None
    assert pin.reveal() == b"from the provider"
    assert asked == ["token t"]
    assert resolve_pin(Pkcs11Uri(), None, "token t") is None
    assert resolve_pin(Pkcs11Uri(), lambda what: None, "token t") is None


def test_nothing_is_kept_between_calls(tmp_path: Path) -> None:
    path = tmp_path / "pin"
    path.write_text("1")
    assert revealed(str(path)) == b"1"
    path.write_text("2")
    assert revealed(str(path)) == b"2"
