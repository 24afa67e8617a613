from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from device_sdk_simulators.ca.hierarchy import Authority
from pyasn1.codec.der.encoder import encode

from device_sdk.errors import TampRefusedError
from device_sdk.protocols.tamp import AnchorStore, HeldAnchor, Processed, Role, StoreName, Trusting, process, refusal
from device_sdk.protocols.tamp.store import identity_of_certificate
from device_sdk.wire.cms.reader import PlainReader
from device_sdk.wire.tamp.anchors import read_anchor
from device_sdk.wire.tamp.codes import TampStatus
from device_sdk.wire.tamp.envelope import Seen
from tests.tamp import making
from tests.tamp.making import Manager, authority, certificate, info, may_sign, read_answer

TRUSTING = Trusting(making.NOW)


@dataclass(frozen=True)
class People:
    """Keys that many tests share."""

    apex: Authority
    management: Authority
    limited: Authority
    identity: Authority
    delegate: Authority
    stranger: Authority


@pytest.fixture(scope="session")
def people() -> People:
    management = authority("Management", None, may_sign(making.ANY))
    return People(
        apex=authority("Apex"),
        management=management,
        limited=authority("Limited", None, may_sign(making.UPDATE, making.FIRMWARE)),
        identity=authority("Identity"),
        delegate=authority("Delegate", management, may_sign(making.ANY)),
        stranger=authority("Stranger"),
    )


def held(choice: Any, role: Role, number: int | None = None) -> HeldAnchor:
    return HeldAnchor(read_anchor(PlainReader(encode(choice))), role, number)


class Bench:
    """A store, and what messages do to it."""

    def __init__(self, people: People) -> None:
        self.people = people
        self.store = AnchorStore(
            (
                held(info(people.apex, "the apex"), Role.APEX),
                held(certificate(people.management), Role.MANAGEMENT),
                held(certificate(people.limited), Role.MANAGEMENT),
                held(certificate(people.identity), Role.IDENTITY),
            ),
            StoreName(making.HARDWARE, making.SERIAL, (making.URI,)),
            (making.COMMUNITY,),
        )
        self.apex, self.management = Manager(people.apex), Manager(people.management)
        self.limited = Manager(people.limited)
        self.delegate = Manager(people.delegate, (people.delegate.certificate,))

    def do(self, message: bytes, trusting: Trusting = TRUSTING) -> Processed:
        """Process a message, keep what comes of it, and let a foreign reader read the answer."""
        done = process(message, self.store, trusting, Seen())
        read_answer(done.answer_type, done.answer)
        self.store = done.store
        return done

    def answer(self, message: bytes) -> Any:
        done = self.do(message)
        return read_answer(done.answer_type, done.answer)

    def statuses(self, message: bytes) -> list[str]:
        return [one.name for one in self.do(message).statuses]

    def refused(self, message: bytes, trusting: Trusting = TRUSTING) -> tuple[str, Any]:
        """Name of the status of a message that is refused, and the error message about it as a foreign reader has it."""
        seen = Seen()
        with pytest.raises(TampRefusedError) as caught:
            process(message, self.store, trusting, seen)
        told = refusal(caught.value, seen)
        found = None if told is None else read_answer("x.9", told)
        assert found is None or int(found["status"]) == caught.value.status
        return TampStatus(caught.value.status or 0).name, found

    def find(self, one: Authority) -> HeldAnchor | None:
        return self.store.find(identity_of_certificate(one.certificate))

    def number(self, one: Authority) -> int | None:
        found = self.find(one)
        assert found is not None
        return found.number


@pytest.fixture
def bench(people: People) -> Bench:
    return Bench(people)
