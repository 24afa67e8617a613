"""A whole provisioning of a real device at 9600 baud, in a time of our own: cut at every frame, reset at every step."""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk_simulators.server import ReferenceServer

from device_sdk.cli.bench_configuration import FileConfiguration
from device_sdk.cli.output import Output
from device_sdk.client.agent import AnswerBook, Desk
from device_sdk.client.agent.device import AgentOperations
from device_sdk.client.agent.standing import standing_of
from device_sdk.client.bench import KeyWish
from device_sdk.client.bench.agent import AgentDevice
from device_sdk.client.bench.facts import PROOF_CONTEXT
from device_sdk.client.bench.writing import Passing
from device_sdk.client.device import Device as EnrolledDevice
from device_sdk.errors import BenchError, DeviceSaysError, LineSilentError, StateError
from device_sdk.protocols.agent import AgentLink, Arrived
from device_sdk.state import StateDirectory
from device_sdk.wire.agent.messages import Request, Result
from tests.simulators.serial.conftest import issue, issuer

__all__ = ["issue", "issuer"]

BAUD = 9600
STEPS = ("facts", "configure", "create-key", "request", "install", "prove")


class Device:
    """Real operations, real state; its agent's link in the time of the line."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self.home, self.done = home, list[str]()
        self.config = home / "config.toml"
        self.config.write_text(f'state_dir = "{home}/state"\n[identity]\nserial = "SN-1"\n')
        self.reset_after: set[str] = set()
        self.reset()

    def reset(self, *, allow_enrolled: bool = False) -> None:
        configuration = FileConfiguration(argparse.Namespace(config=str(self.config)), Output(as_json=True))
        state = self.home / "state"
        self.link = AgentLink(BAUD)
        self.bench = AgentOperations(configuration)
        self.desk = Desk(
            self.bench,
            AnswerBook(lambda: state),
            lambda: standing_of(state),
            allow_enrolled=allow_enrolled,
        )

    def hear(self, data: bytes, now: float) -> None:
        for event in self.link.receive(data, now):
            if isinstance(event, Arrived):
                request = Request.from_bytes(event.data)
                answer = self.desk.answer(request)
                self.done.append(request.op)
                if request.op in self.reset_after:
                    self.reset_after.remove(request.op)
                    self.reset()
                    return
                self.link.send(answer.to_bytes())


class VirtualLine:
    """A line at 9600 baud between a station and a device; nobody waits for it. It has the methods of a Line."""

    name = "virtual"

    def __init__(self, device: Device) -> None:
        self.device, self.now = device, 0.0
        self.frames = self.received = 0
        self.cut_each_frame_s = 0.0
        self._seen: set[bytes] = set()
        self._cut_until = -1.0
        self._free = {True: 0.0, False: 0.0}
        self._wire: list[tuple[float, int, bool, bytes]] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def write(self, data: bytes, _deadline: float) -> None:
        self._put(data, to_device=True)

    def read(self, deadline: float) -> bytes:
        while True:
            for frame in self.device.link.outgoing(self.now):
                self._put(frame, to_device=False)
            wake_at = self.device.link.wake_at()
            times = [deadline, *([self._wire[0][0]] if self._wire else []), *([] if wake_at is None else [wake_at])]
            self.now = max(self.now, min(times))
            if self._wire and self._wire[0][0] <= self.now:
                _, _, to_device, data = heapq.heappop(self._wire)
                if not to_device:
                    self.received += len(data)
                    return data
                self.device.hear(data, self.now)
            elif self.now >= deadline:
                return b""
            else:
                self.device.hear(b"", self.now)

    def failed(self, error: BenchError) -> BenchError:
        return error

    def _put(self, data: bytes, *, to_device: bool) -> None:
        self._free[to_device] = max(self._free[to_device], self.now) + 10 * len(data) / BAUD
        self.frames += 1
        # the session is another one each time; what a frame is about stays
        about, whole = data[1:3] + data[11:25], len(data) > 25
        if self.cut_each_frame_s and whole and about not in self._seen and self.now > self._cut_until:
            self._seen.add(about)
            self._cut_until = self.now + self.cut_each_frame_s
            data = data[: len(data) // 2]
        elif self.now <= self._cut_until:
            return
        heapq.heappush(self._wire, (self._free[to_device], self.frames, to_device, data))


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path / "device")


class Lab:
    """A station that relays to a real EST server."""

    def __init__(self, device: Device, issuer: ReferenceServer, issue: Callable[[bytes], tuple[bytes, bytes]]) -> None:
        self.device, self.line = device, VirtualLine(device)
        self._server, self.issue = issuer, issue
        self.events: list[str] = []

    def station(self, run: str = "batch-7", **options: float) -> AgentDevice:
        times = {"timeout_s": 3600.0, "silence_s": 600.0} | options
        return AgentDevice(
            self.line,  # type: ignore[arg-type]
            baud=BAUD,
            run=run,
            on_event=self.events.append,
            passing=Passing(self.line.clock, self.line.sleep),
            **times,  # type: ignore[arg-type]
        )

    @property
    def config(self) -> bytes:
        return (
            f'state_dir = "{self.device.home}/state"\n[est]\nurl = "{self._server.url}"\n'
            '[identity]\nsubject = "CN=SN-1"\nserial = "SN-1"\n'
        ).encode()

    def configure(self, station: AgentDevice) -> None:
        station.configure(self.config, Path(self._server.ca_file).read_bytes())

    def wish(self) -> KeyWish:
        return KeyWish(f"file:{self.device.home}/key.pem", file_allowed=True)

    def provision(self, station: AgentDevice) -> bytes:
        assert station.facts().enrolled is None
        self.configure(station)
        station.create_key(self.wish())
        answer, chain = self.issue(station.request())
        digest = station.install(answer, chain)
        self.check(station, digest)
        return digest

    @staticmethod
    def check(station: AgentDevice, digest: bytes) -> None:
        proof = station.prove(b"n" * 32)
        certificate = x509.load_der_x509_certificate(proof.certificate)
        assert certificate.fingerprint(hashes.SHA256()) == digest
        public = certificate.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        public.verify(proof.signature, PROOF_CONTEXT + b"n" * 32 + digest, ec.ECDSA(hashes.SHA256()))


@pytest.fixture
def lab(device: Device, issuer: ReferenceServer, issue: Callable[[bytes], tuple[bytes, bytes]]) -> Lab:
    return Lab(device, issuer, issue)


def test_at_9600_baud(lab: Lab) -> None:
    """Nothing is asked twice, and a whole provisioning takes less than half a minute on the line."""
    with lab.station() as station:
        lab.provision(station)
        assert station.facts().enrolled
    assert lab.device.done == [*STEPS, "facts"]
    assert lab.line.now < 30


def test_the_line_is_cut_at_every_frame(lab: Lab) -> None:
    """Half of each frame is lost, and all that is on the line for 40 s after: both sides give up in between."""
    lab.line.cut_each_frame_s = 40
    with lab.station() as station:
        lab.provision(station)
    assert len(lab.line._seen) > 30
    assert [one for at, one in enumerate(lab.device.done) if one not in lab.device.done[:at]] == list(STEPS)
    assert len(list((lab.device.home / "state" / "certificates").glob("*.pem"))) == 1


def test_the_device_is_reset_when_it_has_done_each_step(lab: Lab) -> None:
    """It did it, and lost its power before it said so: one key and one certificate come of it."""
    lab.device.reset_after = set(STEPS)
    with lab.station() as station:
        lab.provision(station)
    # after each reset it is asked first who it is: another board may be there by now
    assert lab.device.done == ["facts", "facts", *(one for step in STEPS[1:] for one in (step, "facts", step))]
    assert lab.device.reset_after == set()
    assert sum(words.startswith("session ") for words in lab.events) == 1 + len(STEPS)


def test_the_power_is_cut_before_the_answer_is_written_down(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the certificate, and does not know whether it said so: the same question is answered, though it is enrolled."""

    def no_power(_book: AnswerBook, request: Request, _result: object) -> None:
        if request.op == "install":
            raise StateError("no power")

    with lab.station() as station:
        lab.configure(station)
        station.create_key(lab.wish())
        answer, chain = lab.issue(station.request())
        with monkeypatch.context() as cut:
            cut.setattr(AnswerBook, "ended", no_power)
            with pytest.raises(DeviceSaysError, match="no power"):
                station.install(answer, chain)
        lab.device.reset()
        lab.check(station, station.install(answer, chain))
        with pytest.raises(DeviceSaysError, match="enrolled already"):
            station.install(answer, chain + b"x")


def test_a_station_that_was_started_anew_goes_on(lab: Lab) -> None:
    """The same run asks the same questions: same key, same certificate, though the device is enrolled by now."""
    with lab.station() as station:
        digest = lab.provision(station)
        key = station.create_key(lab.wish())
    lab.device.reset()
    with lab.station() as station:
        assert station.create_key(lab.wish()) == key
        lab.check(station, digest)


def test_a_device_that_is_enrolled_is_left_alone(lab: Lab) -> None:
    """Another run, another session: facts and proofs, and nothing that changes it."""
    with lab.station() as station:
        digest = lab.provision(station)
        with pytest.raises(DeviceSaysError, match="enrolled already"):
            lab.configure(station)
    with lab.station("another") as station:
        assert station.facts().enrolled == digest.hex()
        lab.check(station, digest)
        for ask in (
            lambda: lab.configure(station),
            lambda: station.create_key(lab.wish()),
            station.request,
            lambda: station.install(b"0", b"0"),
            station.enrol,
        ):
            with pytest.raises(DeviceSaysError, match="enrolled already") as caught:
                ask()
            assert caught.value.device_code == "device-enrolled"
    lab.device.reset(allow_enrolled=True)
    with lab.station("another") as station:
        lab.configure(station)


def test_what_was_asked_before_it_was_enrolled_changes_nothing_after(lab: Lab) -> None:
    """Requests that failed when nobody could do them, or were left in the middle, are not begun any more."""
    desk, uri = lab.device.desk, f"file:{lab.device.home}/evil.key"
    evil = [
        Request("a", "create-key", {"uri": uri, "type": "ec-p256", "file_allowed": True, "again": True}),
        Request("b", "install", {"answer": "MAA=", "ca_certificates": ""}),
    ]
    assert [getattr(desk.answer(one), "code", None) for one in evil] == ["configuration", "state"]
    assert b'"id"' not in (lab.device.home / "state" / "agent.json").read_bytes()
    for one in evil:
        AnswerBook(lambda: lab.device.home / "state").begun(replace(one, id="cut-" + one.id))
    with lab.station() as station:
        digest = lab.provision(station)
    assert b'"result": null' not in (lab.device.home / "state" / "agent.json").read_bytes()
    for one in evil:
        # as if the power had been cut
        AnswerBook(lambda: lab.device.home / "state").begun(replace(one, id="late-" + one.id))
    lab.device.reset()
    for name in ("", "cut-", "late-"):
        for one in evil:
            answer = lab.device.desk.answer(replace(one, id=name + one.id))
            assert getattr(answer, "code", None) in {"device-enrolled", "bad-message"}
    assert StateDirectory(lab.device.home / "state").journal() is None
    assert not Path(uri.removeprefix("file:")).exists()
    # the owner enrols it anew, and that takes its time
    lab.device.bench.create_key(KeyWish(f"file:{lab.device.home}/own.key", file_allowed=True, again=True))
    before = StateDirectory(lab.device.home / "state").journal()
    for one in evil:
        answer = lab.device.desk.answer(replace(one, id="late-" + one.id))
        assert getattr(answer, "code", None) in {"device-enrolled", "bad-message"}
    assert StateDirectory(lab.device.home / "state").journal() == before is not None
    EnrolledDevice(lab.device.home / "state").abandon()
    AnswerBook(lambda: lab.device.home / "state").begun(Request("e", "enrol", {}))
    answer = lab.device.desk.answer(Request("e", "enrol", {}))
    assert answer == Result("e", {"certificate": digest.hex()})


def test_a_key_that_was_given_up_is_not_the_answer_any_more(lab: Lab) -> None:
    """Somebody had the device abandon it, and the same run asks again."""
    with lab.station() as station:
        lab.configure(station)
        key = station.create_key(lab.wish())
        assert station.create_key(lab.wish()) == key
        EnrolledDevice(lab.device.home / "state").abandon()
        again = station.create_key(lab.wish())
        assert again.public_key != key.public_key
        answer, chain = lab.issue(station.request())
        lab.check(station, station.install(answer, chain))


def test_an_id_that_was_another_question(lab: Lab) -> None:
    with lab.station() as station:
        lab.configure(station)
        station.create_key(lab.wish())
        station._id = lambda _name, _params: "batch-7-x"  # type: ignore[method-assign]
        station.facts()
        with pytest.raises(DeviceSaysError, match="the id batch-7-x was another request's") as caught:
            station.prove(b"n" * 32)
    assert caught.value.device_code == "id-reused"


def test_a_device_that_says_nothing(lab: Lab) -> None:
    station = lab.station(silence_s=45)
    station.facts()
    lab.device.hear = lambda _data, _now: None  # type: ignore[method-assign]
    lab.device.link = AgentLink(BAUD)
    begun = lab.line.now
    with pytest.raises(LineSilentError, match="virtual: no agent answered for 45 s") as caught:
        station.facts()
    assert caught.value.timeout_s == 45
    assert 45 <= lab.line.now - begun < 47
    station.close()


def test_an_agent_that_was_heard_is_no_flood(lab: Lab) -> None:
    """The power goes in the middle of a long answer: it was of use as far as it came; what comes without an agent is not."""
    station = lab.station(silence_s=45)
    station.facts()
    long = {"status": 0, "output": "x" * 40_000}
    lab.device.desk.answer = lambda request: Result(request.id, long)  # type: ignore[method-assign]
    read, came = lab.line.read, 0

    def cut_off(deadline: float) -> bytes:
        nonlocal came
        data = read(deadline)
        came += len(data)
        if came > 30_000:
            lab.device.hear = lambda _data, _now: None  # type: ignore[method-assign]
            lab.device.link = AgentLink(BAUD)
            lab.line.read = read  # type: ignore[method-assign]
        return data

    lab.line.read = cut_off  # type: ignore[method-assign]
    with pytest.raises(LineSilentError, match=r"no agent answered for 45 s \(|no agent answered for 45 s$") as caught:
        station.run(("seq", "9000"), 60)
    assert caught.value.hint == "does it run there, at this baud rate? is the device on?"
    assert came > 30_000
    assert station.noise < 16_384 < lab.line.received

    def rubbish(deadline: float) -> bytes:
        lab.line.now = min(lab.line.now + 1, deadline)
        lab.line.received += 1000
        return b"x" * 1000

    lab.line.read = rubbish  # type: ignore[method-assign]
    with pytest.raises(LineSilentError, match=r"no agent answered for 45 s, and \d{5,6} octets that are no answer"):
        station.facts()
    station.close()
