"""Looks a state directory over, as fsck would."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from device_sdk.errors import StateError
from device_sdk.state import files, pem
from device_sdk.state.configured import ConfiguredAnchors
from device_sdk.state.directory import FOLDERS

if TYPE_CHECKING:
    from device_sdk.state.directory import StateDirectory
    from device_sdk.state.journal import Journal
    from device_sdk.state.records import DeviceState

T = TypeVar("T")


def findings(directory: StateDirectory) -> tuple[str, ...]:
    """Everything that is not as it should be, in words."""
    found = list(_modes(directory)) if directory.anchored else []
    state = _try(directory.load, found)
    journal = _try(directory.journal, found)
    for errors in (_try(directory.cale_damage, found) or {}).values():
        found += map(str, errors)
    packages = directory.packages
    for read in (
        ConfiguredAnchors(directory).load,
        packages.lists,
        packages.signer_lists,
        packages.issuers,
        packages.editions,
        packages.peers,
        packages.journal,
        directory.outbox.dropped,
        directory.managed.load,
        directory.taken_keys.load,
        directory.generated.load,
    ):
        _try(read, found)
    found += map(str, _try(directory.outbox.damage, found) or ())
    if state is not None:
        found += _named_files(directory, state, journal)
        found += _links(directory, state)
        found += _leftovers(directory, state, journal)
    second = directory.key_establishment
    if directory.anchored and second.path.exists():
        found += findings(second)
    for record in (_try(directory.generated.load, []) or ()) if directory.anchored else ():
        found += findings(directory.generated.holder(record.number))
    return tuple(found)


def _try(read: Callable[[], T], found: list[str]) -> T | None:
    try:
        return read()
    except StateError as error:
        found.append(str(error))
        return None


def _modes(directory: StateDirectory) -> Iterator[str]:
    path = directory.path
    if not path.is_dir():
        yield f"{path}: no such directory"
        return
    if stat.S_IMODE(path.stat().st_mode) & 0o022:
        yield f"{path}: others may write to it"
    for file in sorted(path.rglob("*")):
        if not file.is_symlink() and stat.S_IMODE(file.stat().st_mode) & 0o022:
            yield f"{file}: others may write to it"


def _named_files(directory: StateDirectory, state: DeviceState, journal: Journal | None) -> Iterator[str]:
    found: list[str] = []
    for record in (state.current, *state.previous):
        chain = _try(lambda name=record.certificate: directory.chain(name), found) if record else None  # type: ignore[misc]  # bound at once
        for issued, issuer in zip(chain or (), (chain or ())[1:], strict=False):
            if issued.issuer != issuer.subject:
                found.append(f"certificates/{pem.fingerprint((chain or ())[0])}.pem: not in order, leaf first")
    for anchors in {state.anchors, journal.anchors if journal else None} - {None}:
        _try(lambda name=anchors: directory.own_anchors(name), found)  # type: ignore[misc]  # bound at once
    if (state.current is None) != (state.endpoint is None) or (state.current is not None and directory.anchored) != (
        state.anchors is not None
    ):
        found.append(f"{directory.path / 'state.json'}: a certificate without endpoint and anchors, or the reverse")
    yield from found


def _links(directory: StateDirectory, state: DeviceState) -> Iterator[str]:
    trusted = _try(lambda: directory.trusted(state), [])
    wanted = {
        directory.current_file: state.current and f"certificates/{state.current.certificate}.pem",
        directory.anchors_file: trusted and f"trust/{trusted}.pem",
    }
    for path, target in wanted.items():
        actual = str(path.readlink()) if path.is_symlink() else None
        if actual != target:
            yield f"{path}: points to {actual}, should be {target}; the next change puts it right"


def _leftovers(directory: StateDirectory, state: DeviceState, journal: Journal | None) -> Iterator[str]:
    certificates, trust = _try(lambda: directory.referenced(state, journal), []) or (None, None)
    for folder, names in (("certificates", certificates), ("trust", trust)):
        if names is None:
            continue
        for path in sorted((directory.path / folder).glob("*.pem")):
            if path.stem not in names:
                yield f"{path}: nothing names it; the next change removes it"
    for path in (
        directory.path,
        *(directory.path / name for name in FOLDERS),
    ):
        yield from (f"{leftover}: left by an interrupted write" for leftover in files.temporary_files(path))
