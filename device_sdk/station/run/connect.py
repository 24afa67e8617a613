"""Opens lines, and talks on them in the way that the profile says."""

from __future__ import annotations

from device_sdk.client.bench import BenchDevice
from device_sdk.errors import ConfigurationError
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


def _console(_profile: Profile, line: Line) -> BenchDevice:
    line.close()
    raise ConfigurationError("consoles are not talked to yet")


def _longest(profile: Profile) -> float:
    """The driver's own limit is that of the longest step; `Session.within` has that of each."""
    return max(profile.limit_s(step) for step in profile.plan)
