"""Gives a CA another key in three steps (RFC 4210 section 4.4), safe to be killed at any moment of any of them.

publish: the new root is made with OldWithNew and NewWithOld, and all of them are in /cacerts; the old key still issues.
switch: the new key issues. What the old one issued still counts, and clients that know only the old root follow NewWithOld.
retire: the old key is destroyed and what it issued counts for nothing; who slept until now has to bootstrap (EST-125).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from device_sdk_simulators.alone import alone
from device_sdk_simulators.ca.authority import load_hierarchy
from device_sdk_simulators.ca.directory import destroy_keys, place, read_generation, write_generation, write_public
from device_sdk_simulators.ca.hierarchy import (
    ISSUING_LIFETIME,
    ROOT_LIFETIME,
    Authority,
    Generation,
    make_ca_certificate,
)
from device_sdk_simulators.ca.keys import new_key
from device_sdk_simulators.ca.stages import Stage, change_stages, stages_of
from device_sdk_simulators.database import Database
from device_sdk_simulators.softhsm import SimulatorError


class RolloverError(SimulatorError):
    """This step cannot be taken now."""


def next_generation(old: Generation, kind: str, now: datetime) -> Generation:
    """A new root key under the same name, tied to the old one both ways, and an issuing CA below it (EST-121).

    The validity of each is what RFC 4210 section 4.4.1 says: OldWithNew as long as the old root, NewWithOld from now to
    the end of the old root, NewWithNew from now on.

    Raises:
        RolloverError: the old root has expired; nobody would believe its signature.
    """
    now = now.replace(microsecond=0)
    before, name = old.root.certificate, old.root.certificate.subject
    end = before.not_valid_after_utc
    if now >= end:
        raise RolloverError(f"the root expired on {end:%Y-%m-%d}: devices have to bootstrap with a new CA")
    root_key, issuing_key = new_key(kind), new_key(kind)
    # the newest root is the one that lives longest, whatever the lifetimes were
    public, span = root_key.public_key(), (now, max(now + ROOT_LIFETIME, end + timedelta(days=1)))
    issuing_name, issuing_span = old.issuing.certificate.subject, (now, now + ISSUING_LIFETIME)
    issuing = make_ca_certificate(issuing_name, issuing_key.public_key(), name, root_key, issuing_span, path_length=0)
    return Generation(
        Authority(make_ca_certificate(name, public, name, root_key, span), root_key),
        Authority(issuing, issuing_key),
        old_with_new=make_ca_certificate(
            name, old.root.key.public_key(), name, root_key, (before.not_valid_before_utc, end)
        ),
        new_with_old=make_ca_certificate(name, public, name, old.root.key, (now, end)),
    )


class Rollover:
    """The rollover of one CA; works on the state directory, whether the server runs or not.

    Args:
        directory: of the CA.
        name: what the database calls it: "" for the main CA, or the label.
        database: the server's memory.
        clock: the time.
    """

    def __init__(self, directory: Path, name: str, database: Database, clock: Callable[[], datetime]) -> None:
        self._directory = directory
        self._name = name
        self._database = database
        self._clock = clock

    @property
    def stages(self) -> dict[int, Stage]:
        """Every generation there was, by number."""
        return stages_of(self._database, self._name)

    def publish(self, kind: str) -> None:
        """Make the next generation and put it into /cacerts; it does not issue yet.

        Raises:
            RolloverError: a rollover is under way, or the root has expired.
        """
        with self._alone():
            stages = self.stages
            current = _number(stages, Stage.ISSUING)
            if Stage.PUBLISHED in stages.values():
                raise RolloverError("a new key is published already: go on with the stage switch")
            if Stage.REPLACED in stages.values():
                raise RolloverError("the key before is still in service: end its time with the stage retire")
            number = max(stages) + 1
            place_of_new = place(self._directory, number)
            # what a killed run left: no row names it, so nobody has seen it
            shutil.rmtree(place_of_new, ignore_errors=True)
            old = read_generation(place(self._directory, current))
            write_generation(place_of_new, next_generation(old, kind, self._clock()))
            self._change(stages, {current: Stage.ISSUING, number: Stage.PUBLISHED})

    def switch(self) -> None:
        """Issue with the published key from now on; RolloverError if none is published."""
        with self._alone():
            stages = self.stages
            published, current = _number(stages, Stage.PUBLISHED), _number(stages, Stage.ISSUING)
            self._change(stages, {current: Stage.REPLACED, published: Stage.ISSUING})

    def retire(self) -> None:
        """Take the replaced key out of service and destroy it; RolloverError if there is none."""
        with self._alone():
            stages = self.stages
            self._change(stages, {_number(stages, Stage.REPLACED): Stage.RETIRED})

    def _change(self, before: dict[int, Stage], changed: dict[int, Stage]) -> None:
        if not change_stages(self._database, self._name, before, changed, self._clock().isoformat()):
            raise RolloverError("another command changed this CA at the same moment; look again")
        self._settle()

    def _settle(self) -> None:
        """What follows from the stages, and can be done again after a kill."""
        stages = self.stages
        write_public(self._directory, load_hierarchy(self._directory, stages))
        for number, stage in stages.items():
            if stage is Stage.RETIRED:
                destroy_keys(place(self._directory, number))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One rollover of this CA at a time."""
        with alone(self._directory / "rollover.lock"):
            self._settle()
            yield


def _number(stages: dict[int, Stage], wanted: Stage) -> int:
    found = [number for number, stage in stages.items() if stage is wanted]
    if not found:
        words = {
            Stage.PUBLISHED: "no new key is published: begin with the stage publish",
            Stage.REPLACED: "no key was replaced: there is nothing to retire",
        }
        raise RolloverError(words.get(wanted, f"no generation is {wanted.value}"))
    return found[0]
