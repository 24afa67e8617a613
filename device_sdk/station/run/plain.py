"""Events as lines of text, for a log or a terminal without colours."""

from __future__ import annotations

from datetime import UTC, datetime

from device_sdk.station.run import events


def line_of(event: events.Event) -> str | None:
    """An event on one line; None for those that only progress bars need. Words of devices may be in it: print it as one line."""
    words = _words(event)
    if words is None:
        return None
    time = datetime.fromtimestamp(event.at, UTC).strftime("%H:%M:%SZ")
    where = getattr(event, "line", None)
    who = getattr(event, "serial_number", None)
    return "  ".join(part for part in (time, where, who, words) if part)


def _words(event: events.Event) -> str | None:
    match event:
        case events.RunStarted():
            return (
                f"run {event.run}: profile {event.profile} {event.version}, mode {event.mode}, station {event.station}"
            )
        case events.RunEnded():
            known = f", {event.known} known" if event.known else ""
            return f"{event.reason}: {event.provisioned} provisioned, {event.failed} failed{known}, {event.elapsed_s:.0f} s"
        case events.StepEnded() if event.outcome != "failed":  # what failed is told by what becomes of it
            return f"{event.step}: " + (f"done ({event.elapsed_s:.1f} s)" if event.outcome == "done" else "done before")
        case events.Note():
            return event.words
        case events.LineFound() | events.LineLost() | events.Waiting():
            return _of_lines(event)
        case _:
            return _of_devices(event)


def _of_lines(event: events.LineFound | events.LineLost | events.Waiting) -> str:
    if isinstance(event, events.Waiting):
        return f"waits {event.reason}"
    return "line found" if isinstance(event, events.LineFound) else "line gone"


def _of_devices(event: events.Event) -> str | None:
    match event:
        case events.Retrying():
            return f"{event.step}: {event.reason}; attempt {event.attempt} in {event.wait_s:.0f} s"
        case events.DeviceProvisioned():
            if event.known:
                return "provisioned already"
            words = "PROVISIONED" if event.certificate_sha256 else "CONFIGURED, nothing proved"
            return f"{words} ({event.elapsed_s:.1f} s)"
        case events.DeviceFailed():
            return f"FAILED at {event.step}: {event.reason}"
        case events.DeviceReleased():
            return f"let go at {event.step}; the next run goes on with it"
        case _:
            return None
