"""How a device is talked to at its console."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from device_sdk.model.secret import Secret


@dataclass(frozen=True)
class ConsoleSettings:
    """What a profile says about consoles. Times are seconds.

    Attributes:
        user: whom to log in as; None where the console is a shell already.
        password: asked for when the console asks; None where it does not.
        verbs: the command on the device that runs its verbs.
        boot_loader: whether U-Boot's countdown is interrupted: its `ethaddr` and `serial#` are read, `boot_variables` set, and it
            goes on with `boot`.
        boot_variables: names and values that are set there.
        save_boot_variables: whether they are saved, too (`saveenv`). Some boards lose all variables by it.
        boot_key: what interrupts the countdown.
        temporary: directory on the device in which a fresh one is made for files that are being transferred; None for its own
            $TMPDIR, or /tmp where it has none.
        silence_s: how long a console may say nothing before it is called silent.
        boot_s: how long a device that is starting may take to its login prompt.
        login_s: how long a login may take.
        answer_s: how long a short command may take.
        verb_s: how long a verb may take.
    """

    user: str | None = None
    password: Callable[[], Secret | None] | None = None
    verbs: tuple[str, ...] = ("device-sdk", "bench")
    boot_loader: bool = False
    boot_variables: dict[str, str] = field(default_factory=dict)
    save_boot_variables: bool = False
    boot_key: bytes = b" "
    temporary: str | None = None
    silence_s: float = 10.0
    boot_s: float = 120.0
    login_s: float = 60.0
    answer_s: float = 15.0
    verb_s: float = 300.0
