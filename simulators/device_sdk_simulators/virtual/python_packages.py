"""Python packages for the device: the ones of this environment, and the wheel that is being tried."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

from device_sdk_simulators.softhsm import SimulatorError

LIBRARIES = ("cryptography", "requests", "asn1crypto", "python-pkcs11", "tpm2-pytss", "pyserial")
"""What the SDK is built on; what these need comes with them."""
_UNUSED = re.compile(r"(^|/)(tests?|testing|tools|__pycache__)/|\.pyi$|\.c$")


def closure(names: tuple[str, ...]) -> list[Distribution]:
    """The installed distributions of these names and of all they require, without extras.

    Raises:
        SimulatorError: one is not installed in this environment.
    """
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError as error:
            raise SimulatorError(
                f"{name} is not installed beside the simulators: the device needs a copy of it"
            ) from error
        for words in found[name].requires or ():
            requirement = Requirement(words)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return [found[name] for name in sorted(found)]


def copy_packages(distributions: list[Distribution], target: Path) -> None:
    """Copy the modules of distributions as they are installed here."""
    for one in distributions:
        for file in one.files or ():
            name = file.as_posix()
            source = Path(str(file.locate()))
            if name.startswith("..") or _UNUSED.search(name) or not source.is_file():
                continue
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, place)


def unpack_wheel(wheel: Path, target: Path) -> None:
    """Unpack a pure wheel."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)


def compile_all(root: Path, *places: Path) -> None:
    """Byte-compile: without hardware help the device needs seconds for it at every start."""
    for cache in root.rglob("__pycache__"):
        shutil.rmtree(cache)
    command = [sys.executable, "-m", "compileall", "-q", "-j2", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*command, "-s", str(root), "-p", "/", *map(str, places)], stdout=subprocess.DEVNULL, check=False)
