"""`device-sdk-sim` as a script meets it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from tests import warm

SIM = [sys.executable, "-m", "device_sdk_simulators.cli.main"]


def sim(*words: object, timeout: float = 60, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; see tests.warm.run."""
    return warm.run([*SIM[1:], *words], text=True, timeout=timeout, **options)
