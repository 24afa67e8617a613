"""A CA that can be rolled over while it works: reads again whenever the database says that something changed."""

from __future__ import annotations

import threading
from pathlib import Path

from cryptography import x509

from device_sdk_simulators.ca.directory import place, read_generation, read_issuing_certificate, write_public
from device_sdk_simulators.ca.hierarchy import Generation, Hierarchy
from device_sdk_simulators.ca.stages import Stage, stages_of
from device_sdk_simulators.database import Database
from device_sdk_simulators.softhsm import SimulatorError

_IN_SERVICE = (Stage.ISSUING, Stage.PUBLISHED, Stage.REPLACED)


class CertificationAuthority:
    """The CA in a directory.

    Args:
        directory: where its generations are.
        name: what the database calls it: "" for the main CA, the label for one of a label's own.
        database: where the stages of its generations are.
    """

    def __init__(self, directory: Path, name: str, database: Database) -> None:
        self.directory = directory
        self.name = name
        self._database = database
        self._lock = threading.Lock()
        self._stages: dict[int, Stage] = {}
        self._hierarchy: Hierarchy | None = None

    def hierarchy(self) -> Hierarchy:
        """What it is now; SimulatorError or OSError if its files cannot be read."""
        with self._lock:
            stages = stages_of(self._database, self.name)
            if self._hierarchy is None or stages != self._stages:
                self._hierarchy, self._stages = self._load(stages)
                write_public(self.directory, self._hierarchy)
            return self._hierarchy

    def _load(self, stages: dict[int, Stage]) -> tuple[Hierarchy, dict[int, Stage]]:
        try:
            return load_hierarchy(self.directory, stages), stages
        except FileNotFoundError:
            # a key was retired and destroyed while it was about to be read
            stages = stages_of(self._database, self.name)
            return load_hierarchy(self.directory, stages), stages


def load_hierarchy(directory: Path, stages: dict[int, Stage]) -> Hierarchy:
    """Read the generations that are in service; SimulatorError or OSError if the files are not what they should be."""
    alive = {number: read_generation(place(directory, number)) for number in stages if stages[number] in _IN_SERVICE}
    issuing = [number for number in alive if stages[number] is Stage.ISSUING]
    if len(issuing) != 1:
        raise SimulatorError(f"{directory}: {len(issuing)} generations issue; there must be one")
    retired = [number for number in stages if stages[number] is Stage.RETIRED]
    return Hierarchy(
        alive[issuing[0]].root,
        alive[issuing[0]].issuing,
        tuple(generation for number, generation in alive.items() if number != issuing[0]),
        tuple(link for number in alive if number - 1 in alive for link in _links(alive[number])),
        tuple(read_issuing_certificate(place(directory, number)) for number in retired),
    )


def _links(generation: Generation) -> tuple[x509.Certificate, ...]:
    return tuple(link for link in (generation.old_with_new, generation.new_with_old) if link is not None)
