"""What a person sees of waiting, and what a person is asked when a server sends us elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from device_sdk.cli.output import Output, one_line
from device_sdk.cli.settings import Settings
from device_sdk.errors import ConfigurationError
from device_sdk.model.urls import shown_url

if TYPE_CHECKING:
    from device_sdk.client.est import Clock, Pending
    from device_sdk.protocols.est.backoff import RetryPolicy
    from device_sdk.protocols.est.redirects import RedirectRule

WAITING = ("est.wait_s", "est.retry", "est.redirects")
"""The settings of this module, for `settings.add_settings`."""

_TICK_S = 1.0
_REASONS = {
    202: "accepted and not decided yet",
    429: "the server asks for fewer requests",
    503: "the server is overloaded or down",
    0: "the server cannot be reached",
}
_DEFAULT_REASON = "the server asks for patience"
_STOP = "; Ctrl-C stops, rerun to go on"
_GO_ON = "the same command goes on later, with the same key"


def patience(out: Output) -> Callable[[Pending], None]:
    """A Progress for EstClient: remembers what `clock` of the same output will be waiting for."""

    def tell(pending: Pending) -> None:
        reason = _REASONS.get(pending.status_code, _DEFAULT_REASON)
        out.waiting_for = f"{reason} ({pending.server_text})" if pending.server_text else reason

    return tell


def clock(out: Output) -> Clock:
    """A clock whose waits are shown: counted down in one line on a terminal, a line each elsewhere, not with --json."""
    from device_sdk.client.est import Clock

    class ShownClock(Clock):
        def sleep(self, seconds: float) -> None:
            reason = one_line(out.waiting_for or _DEFAULT_REASON)
            try:
                if out.as_json:
                    super().sleep(seconds)
                elif _is_terminal():
                    _count_down(reason, seconds)
                else:
                    out.say(f"waiting: {reason}; {max(1, round(seconds))} s")
                    super().sleep(seconds)
            except KeyboardInterrupt:
                out.say(f"note: {_GO_ON}")
                raise
            out.waiting_for = ""

    return ShownClock()


def redirects(settings: Settings, out: Output) -> RedirectRule:
    """Whether a request may go to another server: --allow-redirect, or the answer of the person at the terminal.

    Raises:
        ConfigurationError: --allow-redirect is not an https origin.
    """
    from device_sdk.protocols.est.urls import origin_of

    allowed = {_allowed(text) for text in settings.list("est.redirects")}

    def ask(old_url: str, new_url: str, method: str) -> bool:
        parts = urlsplit(new_url)
        origin = origin_of(f"{parts.scheme}://{parts.netloc}")
        if origin in allowed:
            return True
        if out.as_json or not (sys.stdin and sys.stdin.isatty() and _is_terminal()):
            return False
        out.say(one_line(f"{old_url} sends this {method} on to {shown_url(new_url)}"))
        shows = (
            "without certificate and password" if method == "GET" else "with the certificate but without the password"
        )
        print(f"Send it to {origin}, {shows}? [y/N] ", end="", file=sys.stderr)
        sys.stderr.flush()
        return sys.stdin.readline(16).strip().lower() in ("y", "yes")

    return ask


def _allowed(text: str) -> str:
    from device_sdk.protocols.est.urls import origin_of

    try:
        return origin_of(text.rstrip("/"))
    except ConfigurationError as error:
        raise ConfigurationError(
            f"--allow-redirect: {error.message}", hint="https://HOST or https://HOST:PORT"
        ) from None


def retry(settings: Settings) -> RetryPolicy:
    """How soon to ask again, and whether to when there is no connection (--retry)."""
    from device_sdk.protocols.est.backoff import RetryPolicy

    return RetryPolicy(connections=settings.switch("est.retry"))


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def show_line(words: str) -> None:
    """On a terminal: what is under way, until `erase_line`; nothing elsewhere."""
    if _is_terminal():
        width = shutil.get_terminal_size().columns - 1
        print(f"\r{one_line(words)[:width]}\x1b[K", end="", file=sys.stderr, flush=True)


def erase_line() -> None:
    """Take that line away."""
    if _is_terminal():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _count_down(reason: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    try:
        while (left_s := end - time.monotonic()) > 0:
            width = shutil.get_terminal_size().columns - 1
            head = f"waiting {_duration(left_s)}: "
            # a server's words may be long: the end of the line is not theirs
            shown = f"{head}{reason[: max(0, width - len(head) - len(_STOP))]}{_STOP}"
            print(f"\r{shown[:width]}\x1b[K", end="", file=sys.stderr, flush=True)
            time.sleep(min(_TICK_S, left_s))
    finally:
        erase_line()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.999), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
