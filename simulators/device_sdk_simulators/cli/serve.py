"""What the simulators' commands share: describe, then run a command or wait to be stopped."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
from collections.abc import Mapping

from device_sdk_simulators.cli.speaking import complain, say

_PATIENCE_S = 5


def serve(facts: Mapping[str, object], environment: dict[str, str], options: argparse.Namespace) -> int:
    """Run the command after `--` with the simulator in its environment, or print how to reach it and wait.

    Args:
        facts: what `--json` prints, together with the environment.
        environment: variables a program needs to use the simulator.
        options: parsed arguments; `json` and `words` are used.

    Returns:
        The command's exit code (128 and the signal's number if one ended it, 126 or 127 if it could not be run), or 0.
    """
    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    if words:
        options.stop.ready()
        return _run(words, os.environ | environment)
    if options.json:
        say(json.dumps(dict(facts) | {"environment": environment}))
    else:
        say("\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items()))
    options.stop.wait()
    return 0


def _run(words: list[str], environment: dict[str, str]) -> int:
    try:
        process = subprocess.Popen(words, env=environment)
    except OSError as error:
        complain(error)
        return 127 if isinstance(error, FileNotFoundError) else 126
    try:
        code = process.wait()
    except BaseException:
        # told to stop: so is the command
        process.terminate()
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    return code if code >= 0 else 128 - code
