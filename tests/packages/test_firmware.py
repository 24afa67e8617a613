"""/firmware over TLS: large answers go to a file, whole or not at all (F-01, F-02, F-05, AMB-01, AMB-22)."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from device_sdk.client.est import EstClient
from device_sdk.client.firmware import FileInstaller, FirmwarePolicy, FirmwareRules, HardwareModule
from device_sdk.errors import (
    ConfigurationError,
    EnrolmentPendingError,
    FirmwareError,
    HttpStatusError,
    ResponseTooLargeError,
    StateNotWritableError,
    TransportError,
)
from device_sdk.model.trust import TlsIdentity
from tests.est.answers import trusting
from tests.est.pki import new_key
from tests.est.scripted_server import Reply, http
from tests.firmware.making import HARDWARE, IMAGE, Maker
from tests.mounts import UNSHARE

CMS = ("Content-Type", "application/cms; encapsulatingContent=signedData; innerContent=firmwarePackage")


@pytest.fixture(scope="module")
def maker() -> Maker:
    return Maker()


@pytest.fixture
def fetch(ca, serve, clock, maker, tmp_path):
    """What becomes of an answer; the file has what was there before unless everything is right."""

    def run(answer: bytes, *, limit: int = 1 << 20, target=None, wait_s=None):
        server = run.server = serve(firmware=lambda _: answer)
        rules = FirmwareRules(maker.anchors, FirmwarePolicy(HardwareModule(HARDWARE)), limit_bytes=limit)
        with EstClient(server.url, trusting(ca), clock=clock) as client:
            return client.packages.firmware.install(
                FileInstaller(tmp_path / "device" / "image"),
                rules,
                directory=tmp_path / "device",
                target=target,
                wait_s=wait_s,
            )

    (tmp_path / "device").mkdir()
    (tmp_path / "device" / "image").write_bytes(b"before")
    return run


@pytest.mark.parametrize("form", [bytes, base64.encodebytes])
def test_f_01_f_02_amb_01_der_and_base64(fetch, maker: Maker, tmp_path: Path, form) -> None:
    found = fetch(http(200, form(maker.make(compressed=True)), CMS))
    assert (found.size, found.reported) == (len(IMAGE), None)
    assert (tmp_path / "device" / "image").read_bytes() == IMAGE
    (seen,) = fetch.server.seen
    assert (seen.line, seen.header("Accept")) == ("GET /.well-known/est/firmware", "application/cms")
    assert sorted(path.name for path in (tmp_path / "device").iterdir()) == ["image"]


@pytest.mark.parametrize("status", [204, 404])
def test_amb_22_no_firmware(fetch, tmp_path: Path, status: int) -> None:
    assert fetch(http(status, b"" if status == 204 else b"none")) is None
    assert (tmp_path / "device" / "image").read_bytes() == b"before"


def cut(maker: Maker) -> Reply:
    whole = http(200, maker.make(), CMS)
    return Reply(whole.data[:-100], "close")


REFUSED = {
    "F-05 refused": (lambda _: http(403, b"no"), HttpStatusError),
    "F-05 broken": (lambda _: http(500, b"no"), HttpStatusError),
    "half of it": (cut, TransportError),
    "G-14 too large": (lambda maker: http(200, maker.make(bytes(2 << 20)), CMS), ResponseTooLargeError),
    "G-08 something else": (lambda _: http(200, b"<html>" * 999, ("Content-Type", "text/html")), FirmwareError),
    "later": (lambda _: http(202, b"", ("Retry-After", "60")), EnrolmentPendingError),
}


@pytest.mark.parametrize(("answer", "error"), REFUSED.values(), ids=REFUSED)
def test_what_ends_it(fetch, maker: Maker, tmp_path: Path, answer, error) -> None:
    with pytest.raises(error):
        fetch(answer(maker))
    assert (tmp_path / "device" / "image").read_bytes() == b"before"
    assert sorted(path.name for path in (tmp_path / "device").iterdir()) == ["image"]


def test_p_21_a_place_that_is_none_of_this_operation(fetch) -> None:
    for target in ("/.well-known/est/tamp/1", "/other", "/.well-known/est/firmware-x"):
        with pytest.raises(ConfigurationError, match="firmware is at"):
            fetch(http(200, b""), target=target)


def test_what_came_is_gone_before_the_server_is_told_why(ca, serve, clock, maker, tmp_path: Path) -> None:
    """It may fill the very disk that the error has to wait on."""
    held: list[str] = []

    def told(seen):
        held.extend(name for name in open_files() if name.startswith(str(tmp_path)))
        return http(204)

    def begun(size, length) -> None:
        assert any(name.startswith(str(tmp_path)) for name in open_files()), "that is where it is"
        raise StateNotWritableError("no room")

    own = ca.certify("module", (key := new_key()).public_key())
    server = serve(firmware=lambda _: http(200, maker.make(), CMS), **{"return": told})
    rules = FirmwareRules(maker.anchors, FirmwarePolicy(HardwareModule(HARDWARE, b"\1")))
    with EstClient(server.url, trusting(ca), clock=clock) as client, pytest.raises(StateNotWritableError):
        client.packages.firmware.install(
            FileInstaller(tmp_path / "image"),
            rules,
            directory=tmp_path,
            reporter=TlsIdentity((own,), key),
            transferred=begun,
        )
    assert [seen.line for seen in server.seen] == [
        "GET /.well-known/est/firmware",
        "POST /.well-known/est/firmware/return",
    ]
    assert held == []


def open_files() -> list[str]:
    """Where the descriptors of this process lead."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.append(os.readlink(link))  # noqa: PTH115  # what has no name any more is no path
    return found


@pytest.mark.slow
def test_what_comes_without_a_length_leaves_room_for_everything_else(tmp_path: Path) -> None:
    """On a disk of its own: a download, and an image that waits for a program, end before the last blocks."""
    script = 'mount -t tmpfs -o size=4m none "$0" && exec "$@"'
    program = """if True:
        import os, sys
        from device_sdk.client.firmware import CommandInstaller
        from device_sdk.client.firmware.download import Download
        from device_sdk.errors import StateNotWritableError
        place = sys.argv[1]
        def fill(write):
            try:
                while True:
                    write(bytes(100_000))
            except StateNotWritableError as error:
                assert "firmware.directory" in error.hint, error.hint
            found = os.statvfs(place)
            return found.f_bavail * found.f_frsize >= 1024 * 1024
        with Download(place) as download:
            download.start(None)
            print(fill(download.write), download.file.fileno() > 0)
        installer = CommandInstaller("/bin/true", place)
        installer.begin()
        print(fill(installer.write), os.listdir(place) != [])
        installer.rollback()
    """
    words = [*UNSHARE, "sh", "-c", script, tmp_path, sys.executable, "-c", program, tmp_path]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True"] * 4, done
