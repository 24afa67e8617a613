"""The plots of a report, as SVG. The only place where matplotlib is imported."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from device_sdk.errors import MissingDependencyError
from device_sdk.station.report.facts import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

_DONE, _FAILED = "#0072b2", "#d55e00"  # told apart by everybody, and in grey
_MAX_BARS = 12


def rates(report: Report) -> bytes:
    """Devices provisioned and failed, over the minutes of the run.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    axes, done = _figure(2.6)
    for kind, colour, style in (("provisioned", _DONE, "-"), ("failed", _FAILED, "--")):
        minutes = [0.0, *(moment for moment, one in report.moments if one == kind)]
        last = max((moment for moment, _ in report.moments), default=0.0)
        counts = [*range(len(minutes)), len(minutes) - 1]
        axes.step([*minutes, last], counts, style, where="post", color=colour, label=kind)
    axes.set_xlabel("minutes since the start")
    axes.set_ylabel("devices")
    axes.set_ylim(bottom=0)
    _whole_numbers(axes.yaxis)
    axes.legend(loc="upper left", frameon=False)
    return done()


def failed_steps(report: Report) -> bytes:
    """How many devices failed at which step; raises as `rates`."""
    steps = report.failed_steps()
    shown = steps[:_MAX_BARS]
    if steps[_MAX_BARS:]:
        shown.append(("other steps", sum(count for _, count in steps[_MAX_BARS:])))
    axes, done = _figure(0.8 + 0.3 * max(len(shown), 1))
    bars = axes.barh(range(len(shown)), [count for _, count in shown], color=_FAILED)
    # what a step is called is no formula
    axes.set_yticks(range(len(shown)), [name[:40] for name, _ in shown], parse_math=False)
    axes.bar_label(bars, padding=3)
    axes.invert_yaxis()
    axes.set_xlabel("failures")
    _whole_numbers(axes.xaxis)
    return done()


def _whole_numbers(axis: Axis) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def _figure(height: float) -> tuple[Axes, Callable[[], bytes]]:
    """Axes, and what makes an SVG of them: the same bytes for the same report."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"reports need an optional part of the SDK that is not installed ({error.name})",
            hint="pip install 'device-sdk[report]'",
            extra="report",
        ) from error
    figure = Figure(figsize=(7, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)

    def done() -> bytes:
        stream = io.BytesIO()
        with rc_context({"svg.hashsalt": "device-sdk"}):
            figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
        return stream.getvalue()

    return axes, done
