"""Names that cannot be looked at, or that no file can have: an error of the SDK, whatever was asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_sdk.errors import KeyStoreError, PinRequiredError, TokenNotFoundError, UriError
from device_sdk.keystores import atomic, registry
from device_sdk.wire.key_uri.file import FileUri
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri
from device_sdk.wire.key_uri.tpm2 import Tpm2Uri

NOBODY = 65534

# Everything is imported first: who drops root's rights may not be able to read the SDK's own files.
CHILD = """
import json, os, sys
import device_sdk.keystores.file, device_sdk.keystores.file_probe, device_sdk.keystores.pkcs11, device_sdk.keystores.tpm2
from device_sdk.keystores import pin_guard, registry
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(int(sys.argv[1]))
    os.setuid(int(sys.argv[1]))
answers = []
def note(call):
    try:
        answers.append(["done", str(call())])
    except Exception as error:
        answers.append([type(error).__name__, str(error)])
"""


def as_nobody(code: str, *arguments: str) -> list[tuple[str, str]]:
    """Run Python as a user without rights; what `note` noted."""
    command = [sys.executable, "-c", CHILD + code + "\nprint(json.dumps(answers))", str(NOBODY), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [(kind, text) for kind, text in json.loads(done.stdout)]


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A directory that is closed to its owner, and to everybody who is not root."""
    path = tmp_path / "closed"
    path.mkdir()
    path.chmod(0)
    yield path
    path.chmod(0o700)


EVERY_CALL = """
for uri in sys.argv[2:]:
    note(lambda: registry.create_key(uri, "ec-p256"))
    note(lambda: registry.create_key(uri, "ec-p256", reuse=True))
    note(lambda: registry.open_key(uri))
    note(lambda: registry.list_keys(uri))
    note(lambda: registry.delete_key(uri))
    note(lambda: registry.load_certificate(uri))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("file:{}/key.pem", "KeyStoreError"),
        ("tpm2:file={}/key.pem", "KeyStoreError"),
        ("pkcs11:token=x;object=y?module-path={}/m.so", "TokenNotFoundError"),
    ],
)
def test_a_closed_directory(closed: Path, uri: str, error: str) -> None:
    """The reason is told, and the name; nothing but errors of the SDK comes out."""
    answers = as_nobody(EVERY_CALL, uri.format(closed))
    assert [kind for kind, _ in answers] == [error] * 6, answers
    assert all("Permission denied" in text and str(closed) in text for _, text in answers), answers


@pytest.mark.slow
def test_probing_beside_a_closed_directory(closed: Path) -> None:
    ((kind, text),) = as_nobody("note(lambda: registry.probe(sys.argv[2]))", f"file:{closed}/key.pem")
    assert (kind, "Permission denied" in text) == ("KeyStoreError", True)


@pytest.mark.slow
def test_markers_of_refused_pins_avoid_a_closed_system_directory(closed: Path, tmp_path: Path) -> None:
    """Root's /var/lib/device-sdk may be closed: another user's markers are in that user's own place."""
    code = f"""
from pathlib import Path
os.environ.pop("DEVICE_SDK_REFUSED_PINS")
os.environ["XDG_STATE_HOME"] = "/state"
pin_guard._SYSTEM_DIRECTORY = Path({str(closed)!r}) / "device-sdk" / "refused-pins"
note(lambda: pin_guard.PinGuard().directory)
"""
    assert as_nobody(code) == [("done", "/state/device-sdk/refused-pins")]


@pytest.mark.parametrize("name", ["a" * 300, "key.pem/under-a-file"])
@pytest.mark.parametrize("scheme", ["file:", "tpm2:file="])
def test_names_no_file_can_have(tmp_path: Path, scheme: str, name: str) -> None:
    (tmp_path / "key.pem").touch()
    for call in (
        lambda uri: registry.create_key(uri, "ec-p256"),
        lambda uri: registry.create_key(uri, "ec-p256", reuse=True),
        registry.open_key,
        registry.delete_key,
        registry.load_certificate,
    ):
        with pytest.raises(KeyStoreError):
            call(f"{scheme}{tmp_path}/{name}")


def test_too_long_a_name_to_list(tmp_path: Path) -> None:
    for scheme in ("file:", "tpm2:file=", "tpm2:dir="):
        with pytest.raises(KeyStoreError, match="File name too long"):
            registry.list_keys(f"{scheme}{tmp_path}/{'a' * 300}")
    with pytest.raises(TokenNotFoundError, match="File name too long"):
        registry.list_keys(f"pkcs11:?module-path={tmp_path}/{'a' * 300}")


def test_a_key_whose_certificate_could_have_no_name(tmp_path: Path) -> None:
    """255 bytes are a file name, four more for `.crt` are none: then there is no certificate."""
    key = registry.create_key(f"file:{tmp_path}/{'a' * 255}", "ec-p256")
    assert key.info.certificate is False


@pytest.mark.parametrize("name", ["a\udc80", "a\ud800b"])
@pytest.mark.parametrize("scheme", ["file:/tmp/", "tpm2:file=/tmp/", "tpm2:dir=/tmp/", "pkcs11:object="])
def test_text_that_is_not_unicode(scheme: str, name: str) -> None:
    """What the shell hands on of a byte that is not UTF-8 is half a surrogate pair in Python."""
    for call in (registry.open_key, registry.list_keys, lambda uri: registry.create_key(uri, "ec-p256")):
        with pytest.raises(UriError):
            call(scheme + name)


@pytest.mark.parametrize("value", ["/tmp/a\0b", "/tmp/a\udc80b"])
def test_uris_that_were_not_read_but_made(value: str) -> None:
    for make in (
        lambda: FileUri(value),
        lambda: FileUri("/x", pin_source=value),
        lambda: Tpm2Uri(file=value),
        lambda: Tpm2Uri(dir=value),
        lambda: Tpm2Uri(tcti=value),
        lambda: Tpm2Uri(pin_source=value),
    ):
        with pytest.raises(UriError):
            make()
    with pytest.raises((TokenNotFoundError, UriError)):
        registry.list_keys(Pkcs11Uri(module_path=value))


def test_the_helpers_map_everything(tmp_path: Path) -> None:
    for path in (Path("/tmp/a\0b"), Path("/tmp/a\ud800b"), tmp_path / ("a" * 300)):
        for call in (
            atomic.is_taken,
            atomic.is_file,
            atomic.is_directory,
            atomic.remove_file,
            atomic.list_files,
            lambda p: atomic.read_file(p, 1),
            lambda p: atomic.create_file(p, b"", 0o600),
            lambda p: atomic.replace_file(p, b"", 0o600),
        ):
            with pytest.raises(KeyStoreError) as caught:
                call(path)
            str(caught.value).encode()


def test_a_directory_with_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    """No URI can name such a file: it is left out of the list, and hides no other."""
    registry.create_key(f"file:{tmp_path}/key.pem", "ec-p256")
    (tmp_path / os.fsdecode(b"k\xff.pem")).write_bytes((tmp_path / "key.pem").read_bytes())
    assert [info.label for info in registry.list_keys(f"file:{tmp_path}")] == ["key.pem"]


def test_environment_variables_that_are_not_utf8(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = tmp_path / "m\udc80.so"
    module.touch()
    monkeypatch.setenv("PKCS11_MODULE", str(module))
    monkeypatch.setenv("DEVICE_SDK_TCTI", "swtpm:path=/tmp/\udc80")
    for uri in ("pkcs11:", "tpm2:"):
        with pytest.raises(KeyStoreError):
            registry.list_keys(uri)


def test_a_pin_source_no_file_can_have(tmp_path: Path) -> None:
    registry.create_key(f"file:{tmp_path}/key.pem", "ec-p256")
    with pytest.raises(PinRequiredError):
        registry.create_key(f"file:{tmp_path}/new.pem?pin-source=/tmp/{'a' * 300}", "ec-p256")
