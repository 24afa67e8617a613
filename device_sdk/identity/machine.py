"""What the machine itself says of what it is, for whoever has none of it configured."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from device_sdk.errors import ConfigurationError
from device_sdk.identity.roots import Roots, read_fact
from device_sdk.identity.serial import device_tree_serial, dmi_value, machine_id


def machine_serial(*, roots: Roots | None = None) -> str:
    """The first serial number there is: of the device tree, the product or board in DMI, or made from the machine id.

    Raises:
        ConfigurationError: none.
    """
    sources: tuple[Callable[[], str], ...] = (
        partial(device_tree_serial, roots=roots),
        partial(dmi_value, "product_serial", roots=roots),
        partial(dmi_value, "board_serial", roots=roots),
        partial(machine_id, roots=roots),
    )
    for source in sources:
        with suppress(ConfigurationError):
            return source()
    raise ConfigurationError(
        "nothing on this machine tells it from others: no device tree, no DMI, no machine id",
        hint="say where its serial number is (identity.serial, identity.serial_command)",
    )


def machine_model(*, roots: Roots | None = None) -> str:
    """What kind of machine it is, for people: of the device tree, or vendor and product in DMI; "" if neither says."""
    roots = roots or Roots()
    with suppress(ConfigurationError):
        return read_fact(roots.proc / "device-tree" / "model", "model")
    words = []
    for name in ("sys_vendor", "product_name"):
        with suppress(ConfigurationError):
            words.append(read_fact(roots.sys / "class" / "dmi" / "id" / name, name))
    return " ".join(words)
