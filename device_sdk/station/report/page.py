"""The report as one page of HTML: nothing is fetched, nothing runs, and what devices said is text."""

from __future__ import annotations

import base64
import textwrap

from device_sdk.errors import MissingDependencyError
from device_sdk.station.report import plots
from device_sdk.station.report.facts import Report

MAX_FAILURES, MAX_EXCERPTS = 500, 50
"""On the page, the last ones; a device that fails again and again makes no report that takes hours."""
_LINE = 80
_WORD, _SENTENCE, _CELL = 60, 300, 1000


def html(report: Report) -> str:
    """A page that prints well on A4.

    Raises:
        MissingDependencyError: matplotlib or Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"reports need an optional part of the SDK that is not installed ({error.name})",
            hint="pip install 'device-sdk[station,report]'",
            extra="station",
        ) from error
    templates = Environment(
        loader=PackageLoader(__package__ or ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"seconds": _seconds, "time": _time, "pieces": _pieces, "cell": _cell}
    return templates.get_template("report.html").render(
        report=report,
        failures=report.failures[-MAX_FAILURES:],
        excerpts_from=max(0, min(len(report.failures), MAX_FAILURES) - MAX_EXCERPTS),
        rates=_picture(plots.rates(report)) if report.moments else None,
        failed_steps=_picture(plots.failed_steps(report)) if report.failures else None,
    )


def _picture(svg: bytes) -> str:
    """As the address of an <img>: what is in a picture stays in it."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")


def _pieces(text: str) -> str:
    """No line longer than a page is wide: to lay one out takes WeasyPrint time by the square of its length."""
    return "\n".join(
        line[start : start + _LINE] for line in text.splitlines() for start in range(0, max(1, len(line)), _LINE)
    )


def _cell(text: str) -> str:
    """Words for a table; left as they are unless they are longer than anybody writes."""
    if len(text) <= _SENTENCE and all(len(word) <= _WORD for word in text.split()):
        return text
    shown = text if len(text) <= _CELL else text[: _CELL - 3] + "..."
    return "\n".join(textwrap.wrap(shown, _LINE))


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"


def _time(text: str) -> str:
    """RFC 3339 as it is read: without the milliseconds."""
    return f"{text[:10]} {text[11:19]} UTC"
