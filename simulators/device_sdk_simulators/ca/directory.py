"""A CA on disk: certificates and keys of its generations, and the files made of them for others.

The first generation is in the directory itself, the later ones in `2`, `3`, ... below it. A directory appears complete or
not at all; which generations count is written in the database (ca/stages.py).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from cryptography import x509

from device_sdk_simulators.ca.hierarchy import Authority, Generation, Hierarchy, make_authority
from device_sdk_simulators.ca.keys import UnusableFileError, load_key, new_key, pem, write_file, write_key

ROOT_NAME = "Reference Root CA"
ISSUING_NAME = "Reference Issuing CA"
_LINKS = ("old-with-new", "new-with-old")


def make_first(directory: Path, kind: str, now: datetime, suffix: str = "") -> None:
    """Make the first generation unless it is there.

    Args:
        directory: where.
        kind: of its keys, "ec-p256" for example.
        now: the beginning.
        suffix: of the CA's names, for a CA of a label's own.
    """
    if directory.exists():
        return
    root = make_authority(ROOT_NAME + suffix, new_key(kind), now)
    issuing = make_authority(ISSUING_NAME + suffix, new_key(kind), now, root)
    write_generation(directory, Generation(root, issuing))


def place(directory: Path, number: int) -> Path:
    """Where a generation is."""
    return directory if number == 1 else directory / str(number)


def write_generation(directory: Path, generation: Generation) -> None:
    """Write a generation; the directory appears complete or not at all."""
    with _appearing(directory) as temporary:
        for name, authority in (("root", generation.root), ("issuing", generation.issuing)):
            write_key(temporary / f"{name}.key", authority.key)
            write_file(temporary / f"{name}.pem", pem(authority.certificate))
        for name, link in zip(_LINKS, (generation.old_with_new, generation.new_with_old), strict=True):
            if link is not None:
                write_file(temporary / f"{name}.pem", pem(link))


def read_generation(directory: Path) -> Generation:
    """Read one; UnusableFileError for a file that does not hold what it should, OSError for a missing one."""
    old_with_new, new_with_old = (
        _certificate(directory / f"{name}.pem") if (directory / f"{name}.pem").exists() else None for name in _LINKS
    )
    return Generation(_load(directory, "root"), _load(directory, "issuing"), old_with_new, new_with_old)


def read_issuing_certificate(directory: Path) -> x509.Certificate:
    """The certificate of an issuing CA whose keys may be gone."""
    return _certificate(directory / "issuing.pem")


def destroy_keys(directory: Path) -> None:
    """Remove the keys of a generation, if they are there."""
    for name in ("root", "issuing"):
        (directory / f"{name}.key").unlink(missing_ok=True)


def write_public(directory: Path, hierarchy: Hierarchy) -> None:
    """Bring the files for others up to date: `anchors.pem`, the roots, and `issuer.pem`, whatever leads to them."""
    roots = [root.certificate for root in hierarchy.roots]
    chain = [certificate for certificate in hierarchy.bag if certificate not in roots]
    for name, content in (("anchors.pem", pem(*roots)), ("issuer.pem", pem(*chain, *roots))):
        path = directory / name
        if not path.exists() or path.read_bytes() != content:
            write_file(path, content, 0o644)


def single_authority(
    directory: Path, name: str, kind: str, now: datetime, *, extensions: Sequence[x509.ExtensionType] = ()
) -> Authority:
    """A self-signed CA of its own in a directory, made at first use."""
    if not directory.exists():
        authority = make_authority(name, new_key(kind), now, extensions=extensions)
        with _appearing(directory) as temporary:
            write_key(temporary / "root.key", authority.key)
            write_file(temporary / "root.pem", pem(authority.certificate))
    return _load(directory, "root")


@contextmanager
def _appearing(directory: Path) -> Iterator[Path]:
    """A directory to fill, which gets its name when it is complete."""
    # only one process makes this directory: what others left was never used, and there are keys in it
    for leftover in directory.parent.glob(f".{directory.name}.*"):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}")
    temporary.mkdir(mode=0o700, parents=True)
    try:
        yield temporary
        temporary.rename(directory)
        _sync(directory.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _certificate(file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except ValueError as error:
        raise UnusableFileError(f"{file} holds no certificate: {error}") from error


def _load(directory: Path, name: str) -> Authority:
    return Authority(_certificate(directory / f"{name}.pem"), load_key(directory / f"{name}.key"))
