from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from device_sdk_simulators.ca.tls import TlsProfile
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.virtual import Image, VirtualDevice, build
from device_sdk_simulators.virtual.machine import SERVER_NAME

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What users get."""
    place = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "--no-index",
            "-w",
            place,
            ROOT,
        ],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return next(place.glob("*.whl"))


@pytest.fixture(scope="session")
def images() -> Path:
    """In the environment's directory, so that an image is built once for each state of the code."""
    return ROOT / ".venv" / "virtual"


@pytest.fixture(scope="session")
def image(images: Path, wheel: Path) -> Image:
    return build(images, wheel)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReferenceServer]:
    with ReferenceServer(tmp_path_factory.mktemp("server") / "state", tls=TlsProfile(names=(SERVER_NAME,))) as server:
        yield server


@pytest.fixture
def new_device(image: Image, server: ReferenceServer) -> Iterator[Callable[..., VirtualDevice]]:
    """Makes devices in factory state, with a serial number each."""
    with ExitStack() as stack:

        def make(serial_number: str, **options: object) -> VirtualDevice:
            # short: there are Unix sockets in it
            place = Path(tempfile.mkdtemp(prefix="vd-", dir="/tmp"))
            stack.callback(shutil.rmtree, place)
            device = VirtualDevice(place, image, serial_number, server_port=server.port, **options)  # type: ignore[arg-type]
            return stack.enter_context(device)

        yield make
