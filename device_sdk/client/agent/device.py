"""This device, as its agent has it do things."""

from __future__ import annotations

from device_sdk.client.device.bench import DeviceBench


class AgentOperations(DeviceBench):
    """The operations of a device; the desk has looked whether a command is allowed before it comes here.

    A configuration that names programs is refused as ever: who is on the line could have them run.
    """

    def run(self, command: tuple[str, ...], timeout_s: float) -> tuple[int, str]:
        """See DeviceBench.run."""
        from device_sdk.client.device.bench.command import run_command

        return run_command(command, timeout_s, allowed=True)
