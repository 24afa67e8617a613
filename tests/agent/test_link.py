"""Both ends of the link over a line with faults: what arrives is what was sent, whole, once and in order."""

from __future__ import annotations

import hashlib
import itertools
import random

import pytest

from device_sdk.errors import AgentVersionError
from device_sdk.protocols.agent import AgentLink, Closed, Lost, Opened, StationLink
from device_sdk.protocols.agent.receiver import Receiver
from device_sdk.protocols.agent.sender import Sender
from device_sdk.protocols.agent.timing import Timing
from device_sdk.wire.agent.frames import Frame
from tests.agent.channel import Bench, Faults


def messages(seed: int, number: int = 5, longest: int = 2000) -> list[bytes]:
    draw = random.Random(seed)  # noqa: S311
    return [bytes(draw.choices(range(0x20, 0x7F), k=draw.randint(1, longest))) for _ in range(number)]


def bench(seed: int, faults: Faults | None = None, number: int = 5, longest: int = 2000) -> Bench:
    return Bench(seed, faults or Faults(), messages(seed, number, longest), messages(seed + 1, number, longest))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "faults",
    [
        Faults(),
        Faults(flipped=1e-3),
        Faults(flipped=1e-3, baud=115200),
        Faults(flipped=5e-3),
        Faults(dropped=1e-3),
        Faults(repeated=0.2),
        Faults(flipped=1e-3, dropped=1e-3, repeated=0.1, noise=b"\r\n[  12.345678] eth0: link is ~ up }\r\n"),
        Faults(fifo=16),
    ],
    ids=("clean", "noisy", "fast", "noisier", "lossy", "late", "everything", "overrun"),
)
def test_whatever_the_line_does(faults: Faults, seed: int) -> None:
    one = bench(seed, faults)
    assert one.run(limit_s=1800)


def test_a_clean_line_is_used_well() -> None:
    """9600 baud: 20,000 octets each way at the same time take little more than 21 s that they take on the wire."""
    one = Bench(1, Faults(), [b"x" * 20_000], [b"y" * 20_000])
    assert one.run(limit_s=40)
    assert one.now < 33


@pytest.mark.parametrize("seed", range(20))
def test_the_device_is_reset_in_the_middle(seed: int) -> None:
    one = bench(seed, Faults(flipped=5e-4))
    assert one.run(limit_s=60, until=lambda: one.sessions == 1)
    assert not one.run(limit_s=random.Random(seed).uniform(0.1, 4))  # noqa: S311
    one.reset()
    assert one.run(limit_s=900)
    assert one.sessions >= 2


@pytest.mark.parametrize("down", [True, False])
def test_a_device_begins_to_lose_what_comes_in_bursts(down: bool) -> None:
    """The station learns it when its messages are lost, and, sending none, when it is asked for acknowledgements again."""
    lost = messages(7)
    one = Bench(7, Faults(), lost if down else [], [] if down else lost)
    assert one.run(limit_s=60, until=lambda: one.sessions == 1)
    one.faults.fifo = 16
    assert one.run(limit_s=300)
    assert one.sessions == 1


def test_the_line_is_cut_at_every_frame() -> None:
    """For half a minute, at each frame of a whole conversation; both sides go on by themselves."""
    whole = bench(3, number=2, longest=700)
    assert whole.run(limit_s=100)
    for at in range(1, whole.frames):
        one = bench(3, number=2, longest=700)
        one.run(limit_s=100, until=lambda one=one, at=at: one.frames >= at)
        one.cut = True
        one.run(limit_s=30, until=lambda: False)
        one.cut = False
        assert one.run(limit_s=200), at


def test_a_long_transfer_goes_on_where_it_was() -> None:
    """After a cut, with a station that was started anew; and not after a reset, which takes the memory with it."""
    sent = {}
    for reset in (False, True):
        one = Bench(4, Faults(baud=115200), [b"z" * 200_000], [])
        one.run(limit_s=10, until=lambda one=one: one.octets > 120_000)
        one.cut = True
        one.run(limit_s=10, until=lambda: False)
        one.cut = False
        one.station = StationLink(one.faults.baud, token=one.token)
        if reset:
            one.reset()
        assert one.run(limit_s=300)
        assert one.sessions == 2
        sent[reset] = one.octets
    assert sent[False] + 90_000 < sent[True]


def test_the_number_of_a_message_begins_again_after_65535() -> None:
    one = Bench(5, Faults(baud=10_000_000), [b"a"], [])
    assert one.run(limit_s=10)
    one.station._sender._number = one.agent._receiver._last = 65534
    for number in range(3):
        one.to_send[True].append(b"%d" % number)
        one.station.send(b"%d" % number)
        assert one.run(limit_s=10)


def greet(station: StationLink, agent: AgentLink) -> list[object]:
    happened: list[object] = []
    for _ in range(3):
        for data in station.outgoing(0.0):
            happened += agent.receive(data, 0.0)
        for data in agent.outgoing(0.0):
            happened += station.receive(data, 0.0)
    return happened


def test_an_agent_of_another_version_is_told_apart() -> None:
    with pytest.raises(AgentVersionError, match=r"device-sdk 9\.9.* speaks version 2, 3 .*, this station 1") as caught:
        greet(StationLink(), AgentLink(versions=(3, 2), sdk="9.9"))
    assert (caught.value.theirs, caught.value.ours) == ("2, 3", "1")
    assert [type(one) for one in greet(StationLink(versions=(1, 7)), AgentLink(versions=(7,)))][-1:] == [Opened]


def test_goodbye() -> None:
    station, agent = StationLink(), AgentLink()
    greet(station, agent)
    station.leave()
    assert [type(one) for one in greet(station, agent)] == [Closed, Closed]
    assert (station.session, agent.session) == (None, None)


def test_nobody_answers_goodbye() -> None:
    station, now, byes = StationLink(), 0.0, 0
    greet(station, AgentLink())
    station.leave()
    happened: list[object] = []
    while not happened:
        byes += len(station.outgoing(now))
        now = station.wake_at() or now
        happened = list(station.receive(b"", now))
    assert (byes, [type(one) for one in happened]) == (3, [Closed])


def test_a_device_that_is_silent_is_asked_whether_it_is_there() -> None:
    station, agent = StationLink(), AgentLink(keepalive=5)
    greet(station, agent)
    station.expect(14.9)
    assert station.outgoing(14.9) == []
    station.expect(15.0)
    (hello,) = station.outgoing(15.0)
    assert agent.receive(hello, 15.0) == []
    (answer,) = agent.outgoing(15.0)
    assert station.receive(answer, 15.1) == []
    station.expect(15.2)
    assert station.outgoing(15.2) == []


def test_a_session_that_the_agent_does_not_know() -> None:
    station, agent = StationLink(), AgentLink()
    greet(station, agent)
    other = AgentLink()
    other.outgoing(0.0)
    station.send(b"{}")
    (frame,) = station.outgoing(0.0)
    assert other.receive(frame, 0.0) == []
    (lost,) = other.outgoing(0.0)
    assert [type(one) for one in station.receive(lost, 0.0)] == [Lost]
    assert station.session is None
    stranger = Frame("r", "12345678").to_bytes()
    greet(station, other)
    assert station.session == other.session is not None
    assert station.receive(stranger, 0.0) == []


def test_an_agent_that_has_just_started_says_so() -> None:
    """The station does not wait until its next frame is refused."""
    station, agent = StationLink(), AgentLink()
    greet(station, agent)
    (started,) = AgentLink().outgoing(0.0)
    assert started == Frame("r", "00000000").to_bytes()
    assert [type(one) for one in station.receive(started, 5.0)] == [Lost]
    assert station.session is None
    assert station.outgoing(5.0)[0].startswith(b"~0H")


def test_who_does_not_know_the_session_is_not_told_it() -> None:
    station, agent = StationLink(), AgentLink()
    greet(station, agent)
    for session, answers in (("00000000", 0), ("~" * 8, 0), (station.session or "", 1)):
        agent.receive(b"~1M%b000100000000" % session.encode() + b"0" * 20 + b"~", 9.0)
        assert len(agent.outgoing(9.0)) == answers


def test_a_session_that_is_left_alone_ends() -> None:
    """Two minutes after the last word; the station that comes back then is told so."""
    station, agent = StationLink(), AgentLink()
    greet(station, agent)
    station.send(b"{}")
    (frame,) = station.outgoing(0.0)
    agent.receive(frame, 100.0)
    assert agent.receive(b"", 219.0) == []
    assert [type(one) for one in agent.receive(frame, 221.0)] == [Lost]
    assert agent.session is None
    assert Frame("r", station.session or "").to_bytes() in agent.outgoing(221.0)


def test_endless_rubbish_gets_few_answers() -> None:
    """Ten seconds of frames that are nearly right, and of sessions that are not known."""
    station, agent = StationLink(), AgentLink()
    greet(station, agent)
    damaged = b"~1M%b000100000000" % (station.session or "").encode() + b"0" * 20 + b"~"
    unknown = Frame("A", "12345678", 1, 1).to_bytes()
    answers = 0
    for step in range(1000):
        agent.receive(damaged + unknown, step / 100)
        answers += len(agent.outgoing(step / 100))
    assert answers <= 41


def test_a_message_that_is_damaged_each_time_is_given_up() -> None:
    """An agent that never finds the digest right: the station begins nine times, then a new session."""
    station, agent = StationLink(), AgentLink()
    greet(station, agent)
    station.send(b"{}")
    begun = 0
    happened: list[object] = []
    for _ in range(20):
        frames = station.outgoing(0.0)
        begun += sum(frame[2:3] == b"M" for frame in frames)
        happened += station.receive(Frame("a", str(agent.session), 1, 0).to_bytes(), 0.0)
        if happened:
            break
    assert begun == 9
    assert [type(one) for one in happened] == [Lost]


def test_a_frame_too_large_for_the_other_side_is_never_sent() -> None:
    station, agent = StationLink(receive=100), AgentLink(receive=128)
    greet(station, agent)
    station.send(b"x" * 5000)
    agent.send(b"y" * 5000)
    for now in range(100):
        for data in station.outgoing(now):
            assert len(data) <= 128 + 34
            agent.receive(data, now)
        for data in agent.outgoing(now):
            assert len(data) <= 100 + 34
            station.receive(data, now)
    assert station.idle
    assert agent.idle


def test_a_message_whose_digest_is_wrong_is_begun_again() -> None:
    """What the sums of its frames did not find."""
    receiver, good = Receiver(), b"a" * 300
    head = b"%06x" % len(good) + hashlib.sha256(good).hexdigest().encode()
    for data, outcome in ((b"a" * 299 + b"b", (0, None)), (good, (300, good))):
        assert receiver.take(Frame("M", "9f3a0c21", 1, 0, head + data[:100])) == (100, None)
        assert receiver.take(Frame("D", "9f3a0c21", 1, 100, data[100:])) == outcome
    assert receiver.take(Frame("D", "9f3a0c21", 1, 100, good[100:])) == (300, None)
    assert receiver.take(Frame("D", "9f3a0c21", 2, 100, good[100:])) == (0, None)
    assert receiver.take(Frame("D", "9f3a0c21", 3, 100, good[100:])) == (None, None)


@pytest.mark.parametrize(
    "payload", [b"", b"000001" + b"0" * 64, b"000000" + b"0" * 64 + b"a", b"080001" + b"0" * 64 + b"a",
                b"000001" + b"0" * 64 + b"ab", b"00000A" + b"0" * 64 + b"a", b"000001" + b"g" * 64 + b"a"]
)  # fmt: skip
def test_what_begins_no_message(payload: bytes) -> None:
    assert Receiver().take(Frame("M", "9f3a0c21", 1, 0, payload)) == (None, None)


def test_an_acknowledgement_that_comes_late_moves_nothing_back() -> None:
    sender = Sender("9f3a0c21", Timing(9600, 256), station=True)
    sender.push(b"x" * 400)
    assert sender.due(0.0)
    sender.on_acknowledgement(1, 186, 0.5)
    assert sender.due(0.5)
    for number, offset in ((1, 186), (1, 100), (1, 401), (2, 400), (0, 400)):
        sender.on_acknowledgement(number, offset, 0.6)
        assert sender.due(0.6) is None
    sender.on_acknowledgement(1, 400, 0.7)
    assert sender.idle


def test_a_frame_is_sent_again_ever_later_and_smaller() -> None:
    """Pauses double up to 8 s; frames shrink to 96 octets of payload, and grow again when all is well."""
    timing = Timing(9600, 1024)
    sender = Sender("9f3a0c21", timing, station=True)
    sender.push(b"x" * 30_000)
    sizes, times = [], [0.0]
    for _ in range(8):
        sizes.append(len(sender.due(times[-1]) or b""))
        times.append(sender.wake_at() or 0.0)
    pauses = [later - sooner for sooner, later in itertools.pairwise(times)]
    assert sizes == [1058, 1058, 546, 290, 162, 130, 130, 130]
    assert pauses[0] == pytest.approx(1 + 2 * 1058 / 960 + 34 / 960)
    assert all(8 <= pause < 9.5 for pause in pauses[4:])
    assert timing.paced
    at = 26
    for _ in range(200):
        sender.on_acknowledgement(1, at, times[-1])
        at += len(sender.due(times[-1]) or b"") - 34
    assert timing.payload == 1024
    assert not timing.paced


def test_a_damaged_frame_is_sent_again_at_once_and_once() -> None:
    """Whoever complains without end makes nobody send without end."""
    sender = Sender("9f3a0c21", Timing(9600, 256), station=True)
    assert sender.on_damage(0.0) is None
    sender.push(b"x" * 100)
    first = sender.due(0.0)
    assert sender.on_damage(0.1) == first
    assert sender.on_damage(0.2) is None
    assert sender.due(sender.wake_at() or 0.0)
    assert sender.on_damage(9.0)


def test_a_line_that_is_silent() -> None:
    """After eight repetitions the agent forgets the session; the station asks whether somebody is there, for ever."""
    station, agent = StationLink(), AgentLink()
    greet(station, agent)
    agent.send(b"answer")
    station.send(b"question")
    seen: dict[bool, list[bytes]] = {True: [], False: []}
    happened: list[object] = []
    for now in range(90):
        for link in (agent, station):
            happened += link.receive(b"", now)
            seen[link is agent] += [frame[2:3] for frame in link.outgoing(now)]
    assert seen[True] == [b"m"] * 9
    assert [type(one) for one in happened] == [Lost]
    assert agent.session is None
    assert seen[False][:9] == [b"M"] * 9
    assert seen[False].count(b"H") > 5


def test_a_hello_again_is_the_same_session_and_another_one_ends_it() -> None:
    station, agent = StationLink(), AgentLink()
    greet(station, agent)
    before = agent.session
    station.heard_at = None
    station.expect(60.0)
    (hello,) = station.outgoing(60.0)
    assert agent.receive(hello + hello, 60.0) == []
    assert agent.session == before
    assert agent.receive(Frame("H", "00000000", payload=b'{"versions":[1]}').to_bytes(), 60.0) == []
    assert agent.receive(Frame("H", "11111111", payload=b'{"versions":"1"}').to_bytes(), 60.0) == []
    assert agent.receive(Frame("B", "11111111").to_bytes(), 60.0) == []
    assert agent.session == before
    other = Frame("H", "11111111", payload=b'{"versions":[1]}').to_bytes()
    assert [type(one) for one in agent.receive(other, 60.0)] == [Opened]
    assert agent.session not in {before, None}
    assert len(agent.outgoing(60.0)) == 4
