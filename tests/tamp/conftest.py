from __future__ import annotations

from dataclasses import dataclass

import pytest
from device_sdk_simulators.ca.hierarchy import Authority

from device_sdk.protocols.tamp import AnchorStore, HeldAnchor, Processed, Role, StoreName, Trusting, process, refusal
from device_sdk.wire.cms.reader import PlainReader
from device_sdk.wire.tamp.anchors import read_anchor
from device_sdk.wire.tamp.envelope import Seen
from tests.tamp import making
from tests.tamp.making import Controls, Manager, authority, certificate, encode, info, may_sign, read_answer

APEX, MANAGEMENT, IDENTITY = Role.APEX, Role.MANAGEMENT, Role.IDENTITY


@dataclass(frozen=True)
class People:
    """Keys that many tests share: making them is what costs."""

    apex: Authority
    management: Authority
    limited: Authority
    identity: Authority
    delegate: Authority
    stranger: Authority


@pytest.fixture(scope="session")
def people() -> People:
    apex, management = authority("Apex"), authority("Management", None, may_sign(making.ANY))
    return People(
        apex=apex,
        management=management,
        limited=authority("Limited", None, may_sign(making.UPDATE, making.FIRMWARE)),
        identity=authority("Identity"),
        delegate=authority("Delegate", management, may_sign(making.ANY)),
        stranger=authority("Stranger"),
    )


def held(choice, role: Role, number: int | None = None) -> HeldAnchor:
    return HeldAnchor(read_anchor(PlainReader(encode(choice))), role, number)


class Bench:
    """A store, and what messages do to it."""

    def __init__(self, people: People) -> None:
        self.people = people
        self.store = AnchorStore(
            (
                held(info(people.apex, controls=Controls("Apex"), title="the apex"), APEX),
                held(certificate(people.management), MANAGEMENT),
                held(certificate(people.limited), MANAGEMENT),
                held(certificate(people.identity), IDENTITY),
            ),
            StoreName(making.HARDWARE, making.SERIAL, (making.URI,)),
            (making.COMMUNITY,),
        )
        self.apex = Manager(people.apex)
        self.management = Manager(people.management)
        self.limited = Manager(people.limited)
        self.delegate = Manager(people.delegate, (people.delegate.certificate,))

    def do(self, message: bytes, trusting: Trusting | None = None) -> Processed:
        """Process a message, keep what comes of it, and let a foreign reader read the answer."""
        done = process(message, self.store, trusting or Trusting(making.NOW), Seen())
        read_answer(done.answer_type, done.answer)
        self.store = done.store
        return done

    def answer(self, message: bytes):
        done = self.do(message)
        return read_answer(done.answer_type, done.answer)

    def refused(self, message: bytes, trusting: Trusting | None = None):
        """Status name of a message that is refused, and the error message about it as a foreign reader has it."""
        from device_sdk.errors import TampRefusedError

        seen = Seen()
        with pytest.raises(TampRefusedError) as caught:
            process(message, self.store, trusting or Trusting(making.NOW), seen)
        told = refusal(caught.value, seen)
        return caught.value, None if told is None else read_answer("x.9", told)

    def number(self, one: Authority) -> int | None:
        found = self.find(one)
        assert found is not None
        return found.number

    def find(self, one: Authority) -> HeldAnchor | None:
        from device_sdk.protocols.tamp.store import identity_or_raw

        return self.store.find(identity_or_raw(making.spki(one)))


@pytest.fixture
def bench(people: People) -> Bench:
    return Bench(people)
