"""Opens lines, and talks on them in the way that the profile says."""

from __future__ import annotations

from device_sdk.client.bench import BenchDevice
from device_sdk.model.secret import Secret
from device_sdk.station.profile import Profile
from device_sdk.station.run.session import Opener, Session
from device_sdk.station.run.states import Step
from device_sdk.transports.serial import Line, LineSettings, open_line


def opener(profile: Profile) -> Opener:
    """What opens the lines of a run.

    Args:
        profile: says at which rate, and how devices are talked to.
    """

    def open_session(name: str, run: str) -> Session:
        line = open_line(name, LineSettings(baud=profile.lines.baud))
        device = _console(profile, line) if profile.talk.way == "console" else _agent(profile, line, run)
        return Session(name, device, line.cancel, line.close)

    return open_session


def _agent(profile: Profile, line: Line, run: str) -> BenchDevice:
    from device_sdk.client.bench.agent import AgentDevice

    limits = profile.limits
    # the same name in a run that goes on: the device answers again what it has done already
    return AgentDevice(
        line, baud=profile.lines.baud, run=run, timeout_s=_longest(profile), silence_s=limits.of(Step.OPEN)
    )


def _console(profile: Profile, line: Line) -> BenchDevice:
    from device_sdk.client.bench.console import ConsoleDevice, ConsoleSettings

    talk, open_s = profile.talk, profile.limits.of(Step.OPEN)

    def password() -> Secret | None:
        return talk.password.read() if talk.password else None

    settings = ConsoleSettings(
        user=talk.user,
        password=password if talk.password else None,
        verbs=talk.verbs,
        boot_loader=talk.uboot,
        boot_variables=talk.uboot_variables,
        silence_s=min(10.0, open_s),
        login_s=open_s,
        boot_s=max(open_s, ConsoleSettings.boot_s) if talk.uboot else open_s,
        verb_s=_longest(profile),
    )
    return ConsoleDevice(line, settings)


def _longest(profile: Profile) -> float:
    """The driver's own limit is that of the longest step; `Session.within` has that of each."""
    return max(profile.limit_s(step) for step in profile.plan)
