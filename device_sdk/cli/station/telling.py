"""What a run says on standard output, and what becomes of a run that can say nothing there."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from device_sdk.cli.output import Output, abandon, one_line
from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from device_sdk.station.run.events import Event


class Telling:
    """Prints events as lines; an observer of a run, which goes on without them: devices are on its lines.

    Args:
        out: where.

    Attributes:
        wrong: why some could not be printed; "" if all were, or nobody wants them.
    """

    def __init__(self, out: Output) -> None:
        self._out = out
        self.wrong = ""
        self._alone = False

    def __call__(self, event: Event) -> None:
        """Print one; what cannot be printed is told once, and tried again with the next one."""
        from device_sdk.station.run.plain import line_of

        text = line_of(event)
        if self._alone or (text is None and not self._out.as_json):
            return
        try:
            self._out.line(event.to_json(), one_line(text or ""), again=True)
        except BrokenPipeError:
            self._alone = True
            self._out.say("device-sdk: nobody reads standard output any more; the run goes on")
        except ConfigurationError as error:
            if not self.wrong:
                self._out.say(f"device-sdk: {error}; the run goes on, and the ledger has all of it")
            self.wrong = error.message

    def close(self) -> None:
        """After the last one."""
        if (self._alone or self.wrong) and sys.stdout is not None:
            with suppress(OSError):
                sys.stdout.flush()
            abandon(sys.stdout)
