"""Facts of a Linux device that has no device-sdk: what its kernel says."""

from __future__ import annotations

import re

from device_sdk.client.bench.console.boots import BOOT_ID
from device_sdk.client.bench.console.shell import Shell
from device_sdk.client.bench.facts import DeviceFacts
from device_sdk.errors import DeviceSaysError

_SCRIPT = (
    "{ for x in /sys/firmware/devicetree/base/serial-number /sys/class/dmi/id/product_serial;do"
    ' [ -r $x ]&&printf "serial_number=%s\\n" "$(tr -d \'\\0\' <$x)";done;'
    "for x in /sys/firmware/devicetree/base/model /sys/class/dmi/id/product_name;do"
    ' [ -r $x ]&&printf "model=%s\\n" "$(tr -d \'\\0\' <$x)";done;'
    'for x in /sys/class/net/*;do [ -e $x/device ]&&printf "mac=%s\\n" "$(cat $x/address)";done;'
    'printf "clock=%s\\nboot_id=%s\\n" "$(date +%s)" "$(cat /proc/sys/kernel/random/boot_id)";} >$t/out 2>/dev/null'
)
_LIMIT = 16 * 1024
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_NO_SERIAL = {"", "0", "none", "default string", "not specified", "to be filled by o.e.m."}


def read_plain_facts(shell: Shell) -> DeviceFacts:
    """Ask the kernel.

    Raises:
        DeviceSaysError: it knows no serial number.
        LineError: the line.
    """
    shell.run(_SCRIPT)
    return parse_plain_facts(shell.get("$t/out", _LIMIT).decode("utf-8", "replace"))


def parse_plain_facts(text: str) -> DeviceFacts:
    """Lines of name=value; the first that says something counts.

    Raises:
        DeviceSaysError: no usable serial number.
    """
    lines = [line.partition("=") for line in text.splitlines()[:200]]
    values = [(name, "".join(filter(str.isprintable, value)).strip()) for name, _, value in lines]

    def first(wanted: str, longest: int) -> str:
        fitting = (value for name, value in values if name == wanted and value.lower() not in _NO_SERIAL)
        return next((value for value in fitting if len(value) <= longest), "")

    serial, clock = first("serial_number", 64), first("clock", 12)
    if not serial:
        raise DeviceSaysError(
            "the device has no device-sdk, and its kernel knows no serial number", hint="install device-sdk on it"
        )
    macs = tuple(value.lower() for name, value in values if name == "mac" and _MAC.fullmatch(value.lower()))[:64]
    boot_id = first(BOOT_ID, 64)
    extra = {BOOT_ID: boot_id} if boot_id else {}
    return DeviceFacts(serial, macs, first("model", 256), clock=int(clock) if clock.isdecimal() else None, extra=extra)
