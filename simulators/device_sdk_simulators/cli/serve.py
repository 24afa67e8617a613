"""What the simulators' commands share: describe, then run a command or wait to be stopped."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping


def serve(facts: Mapping[str, object], environment: dict[str, str], options: argparse.Namespace) -> int:
    """Run the command after `--` with the simulator in its environment, or print how to reach it and wait.

    Args:
        facts: what `--json` prints, together with the environment.
        environment: variables a program needs to use the simulator.
        options: parsed arguments; `json` and `words` are used.

    Returns:
        The command's exit code, or 0.
    """
    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    if words:
        return subprocess.run(words, env=os.environ | environment, check=False).returncode
    if options.json:
        print(json.dumps(dict(facts) | {"environment": environment}), flush=True)
    else:
        for name, value in environment.items():
            print(f"export {name}={shlex.quote(value)}", flush=True)
    while True:
        signal.pause()
