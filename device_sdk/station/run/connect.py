"""Opens lines, and talks on them in the way that the profile says."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from device_sdk.client.bench import BenchDevice
from device_sdk.client.bench.console.boots import Boots
from device_sdk.errors import ConfigurationError
from device_sdk.model.secret import Secret
from device_sdk.station.profile import Profile
from device_sdk.station.run.discreet import DiscreetDevice
from device_sdk.station.run.session import Opener, Session
from device_sdk.station.run.states import Step
from device_sdk.transports.serial import Hidden, Line, LineSettings, open_line

if TYPE_CHECKING:
    from device_sdk.client.bench.agent import AgentDevice

_LEAST_BAUD = 115200  # a console server may be faster than the profile knows


def opener(profile: Profile) -> Opener:
    """What opens the lines of a run.

    Args:
        profile: says at which rate, and how devices are talked to.
    """
    hidden, baud, boots = Hidden(), profile.lines.baud, Boots()
    with suppress(ConfigurationError):  # what is not there yet may be when it is typed
        _password(profile, hidden)  # a device may have been told it in an earlier run

    def open_session(name: str, run: str) -> Session:
        line = open_line(name, LineSettings(baud=baud, at_most=max(baud, _LEAST_BAUD) / 5))
        if profile.talk.way == "console":
            console = _console(profile, line, hidden, boots)
            return Session(name, DiscreetDevice(console, hidden), line.cancel, line.close, lambda: line.received)
        agent = _agent(profile, line, run)
        return Session(name, DiscreetDevice(agent, hidden), line.cancel, line.close, lambda: agent.noise)

    return open_session


def _agent(profile: Profile, line: Line, run: str) -> AgentDevice:
    from device_sdk.client.bench.agent import AgentDevice

    limits = profile.limits
    # the same name in a run that goes on: the device answers again what it has done already
    return AgentDevice(
        line, baud=profile.lines.baud, run=run, timeout_s=_longest(profile), silence_s=limits.of(Step.OPEN)
    )


def _password(profile: Profile, hidden: Hidden) -> Secret | None:
    secret = profile.talk.password.read() if profile.talk.password else None
    if secret is not None:
        hidden.hide(secret)
    return secret


def _console(profile: Profile, line: Line, hidden: Hidden, boots: Boots) -> BenchDevice:
    from device_sdk.client.bench.console import ConsoleDevice, ConsoleSettings

    talk, open_s = profile.talk, profile.limits.of(Step.OPEN)
    settings = ConsoleSettings(
        user=talk.user,
        password=partial(_password, profile, hidden) if talk.password else None,
        verbs=talk.verbs,
        boot_loader=talk.uboot,
        boot_variables=talk.uboot_variables,
        silence_s=min(10.0, open_s),
        login_s=open_s,
        boot_s=max(open_s, ConsoleSettings.boot_s) if talk.uboot else open_s,
        verb_s=_longest(profile),
    )
    return ConsoleDevice(line, settings, boots)


def _longest(profile: Profile) -> float:
    """The driver's own limit is that of the longest step; `Session.within` has that of each."""
    return max(profile.limit_s(step) for step in profile.plan)
