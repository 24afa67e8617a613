"""The way of a request to the server and of its answer back: somebody with a memory stick, and curl."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.cli.conftest import Lab


def carry(lab: Lab, request: Path, answer: Path, *more: str) -> None:
    """What somebody does at a machine with a network: the file as it is, sent with curl."""
    asked: Any = json.loads(request.read_text())
    words = ["curl", "-sS", "--cacert", str(lab.server.ca_file), "-X", asked["method"], *more, "-o", str(answer)]
    for field, value in asked["headers"].items():
        words += ["-H", f"{field}: {value}"]
    if asked["body"] is not None:
        words += ["--data-binary", "@-"]
    subprocess.run([*words, asked["url"]], input=(asked["body"] or "").encode(), check=True, timeout=60)


def login(lab: Lab) -> tuple[str, ...]:
    """How whoever carries it authenticates."""
    return "-u", f"{lab.server.user}:{lab.server.password_file.read_text().strip()}"


def anchors(lab: Lab) -> str:
    """A file with the root and the issuing CA, as /cacerts gives them."""
    lab.cli.ok("est", "cacerts", *lab.trust, "--out", "anchors.pem")
    return "anchors.pem"
