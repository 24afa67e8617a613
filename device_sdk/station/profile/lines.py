"""[lines] and [talk]: where devices are, and how they are talked to."""

from __future__ import annotations

from dataclasses import dataclass, field

from device_sdk.errors import ConfigurationError
from device_sdk.protocols.console.boot_loader import set_command
from device_sdk.station.profile.secret_source import SecretSource, secret_source
from device_sdk.station.profile.tables import Table

WAYS = ("console", "agent")


@dataclass(frozen=True)
class LinesTable:
    """[lines].

    Attributes:
        urls: lines that are always there: a path, or any URL of pyserial's serial_for_url.
        globs: patterns of paths; what fits is a line as long as it is there.
        baud: bits a second.
        watch: whether to go on with the next device on a line, and to look for new lines, until the station is stopped.
        poll_s: how often to look for lines that come and go, in seconds.
        ask_s: how often to ask on a line whose device is done whether another one is there.
    """

    urls: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()
    baud: int = 115200
    watch: bool = False
    poll_s: float = 2.0
    ask_s: float = 10.0


@dataclass(frozen=True)
class TalkTable:
    """[talk].

    Attributes:
        way: "console" (a shell on the line) or "agent" (`device-sdk agent` on the line).
        user: whom to log in as, on a console.
        password: where that user's password is.
        uboot: whether a boot loader is interrupted when the device starts, and asked for its MAC address.
        uboot_variables: what is set there, [talk.uboot_variables]; a device on which it was not is not provisioned.
        uboot_differs: whether a device whose boot loader has another serial number or MAC address than its system is refused, or
            that is written down.
        verbs: the command that runs the device's verbs, on a console.
    """

    way: str = "agent"
    user: str | None = None
    password: SecretSource | None = None
    uboot: bool = False
    uboot_variables: dict[str, str] = field(default_factory=dict)
    uboot_differs: str = "refuse"
    verbs: tuple[str, ...] = ("device-sdk", "bench")


def lines_table(table: Table) -> LinesTable:
    """Read [lines]; raises ConfigurationError."""
    found = LinesTable(
        urls=table.texts("urls"),
        globs=table.texts("globs"),
        baud=table.whole("baud", 115200, least=50, most=20_000_000),
        watch=table.switch("watch", default=False),
        poll_s=table.number("poll_s", 2.0, least=0.05, most=60),
        ask_s=table.number("ask_s", 10.0, least=0.05, most=3600),
    )
    table.end()
    return found


def talk_table(table: Table) -> TalkTable:
    """Read [talk]; raises ConfigurationError."""
    variables = table.table("uboot_variables").rest()
    for name, value in variables.items():
        if not isinstance(value, str):
            raise table.error(f"uboot_variables.{name}", "has to be a text")
        try:
            set_command(name, value)
        except ConfigurationError as error:
            raise table.error(f"uboot_variables.{name}", f"cannot be set: {error.message}") from error
    found = TalkTable(
        way=table.text("way", "agent", choices=WAYS),
        user=table.optional("user"),
        password=secret_source(table, "password"),
        uboot=table.switch("uboot", default=False),
        uboot_variables=variables,
        uboot_differs=table.text("uboot_differs", "refuse", choices=("refuse", "note")),
        verbs=table.texts("verbs") or TalkTable.verbs,
    )
    table.end()
    if found.way == "agent" and (found.user or found.password or found.uboot):
        raise table.error("way", 'is "agent": user, password and uboot are for consoles')
    if variables and not found.uboot:
        raise table.error("uboot_variables", "are given, and the boot loader is not asked for", hint="uboot = true")
    return found
