"""The fuzzers of `./run fuzz`: every seed and every input they ever tripped over, and some minutes of new ones."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_sdk.errors import EnvelopeError
from device_sdk.wire.cms import open_envelope
from tests.fuzz import mutation
from tests.fuzz.common import keys
from tests.fuzz.targets import TARGETS

HERE = Path(__file__).parent
SECONDS = {"envelope": 60, "cale-answer": 60}
"""For the readers of envelopes and of answers with their headers, which anybody on the way can write: a minute each."""
FEW_SECONDS = 1
"""For the others: every run has new inputs, and `./run fuzz` has as long as one likes."""
SEEDS = sorted(path.relative_to(HERE / "corpus") for path in (HERE / "corpus").rglob("*") if path.is_file())


def fuzz(target: str, *options: object, seconds: int = FEW_SECONDS) -> subprocess.CompletedProcess[str]:
    """The command."""
    words = [sys.executable, str(HERE), target, str(seconds), *map(str, options)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=200, env=environment())


def environment() -> dict[str, str]:
    """Of a process that nobody measures the coverage of."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}


def test_every_target_has_seeds() -> None:
    assert {seed.parts[0] for seed in SEEDS} == set(TARGETS)


@pytest.mark.parametrize("seed", SEEDS, ids=str)
def test_seeds(seed: Path) -> None:
    TARGETS[seed.parts[0]]((HERE / "corpus" / seed).read_bytes())


def test_the_seeds_of_the_envelope_reader_reach_its_end() -> None:
    """Else a fuzzer would never see what comes after the recipients."""
    opened = 0
    for path in (HERE / "corpus" / "envelope").iterdir():
        try:
            opened += bool(open_envelope(path.read_bytes(), keys()))
        except EnvelopeError:
            continue
    assert opened >= 15


class Fuzzer:
    """The command as a process that goes on from target to target: half of a few seconds' run would be its start."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE), "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
        )

    def run(self, target: str, seconds: int, crashes: Path) -> tuple[int, str]:
        """The exit code, and what was said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{target} {seconds} {crashes}\n")
        self._process.stdin.flush()
        said: list[str] = []
        for line in self._process.stdout:
            if line.startswith("exit "):
                return int(line.split()[1]), "".join(said)
            said.append(line)
        raise AssertionError(f"the fuzzer ended: {''.join(said)[-3000:]}")

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def fuzzer() -> Iterator[Fuzzer]:
    started = Fuzzer()
    yield started
    started.close()


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_nothing_but_a_device_sdk_error_escapes(fuzzer: Fuzzer, tmp_path: Path, target: str) -> None:
    """Memory and the time of each input are bounded, too: see MEMORY_MIB and INPUT_S of the command."""
    seconds = SECONDS.get(target, FEW_SECONDS)
    status, said = fuzzer.run(target, seconds, tmp_path)
    assert status == 0, said[-3000:]
    assert list((tmp_path / target).iterdir()) == []
    runs = re.search(r"Done (\d+) runs(?: in (\d+) second)?", said)
    assert runs is not None
    assert int(runs[1]) > 5 * seconds
    assert runs[2] is None or int(runs[2]) >= seconds, "the engine without coverage does not say it"


def test_the_readers_of_envelopes_and_headers_have_a_minute() -> None:
    assert all(seconds >= 60 for seconds in SECONDS.values())
    assert SECONDS.keys() <= TARGETS.keys()


@pytest.mark.slow
def test_without_atheris(tmp_path: Path) -> None:
    done = fuzz("certs-only", "--crashes", tmp_path, "--engine", "mutation", seconds=1)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[1]) > 5


def test_what_was_found_is_kept(tmp_path: Path) -> None:
    def fragile(data: bytes) -> None:
        if b"\xff" in data:
            raise KeyError("escaped")

    with pytest.raises(KeyError):
        mutation.run(fragile, [b"seed"], 20, tmp_path)
    (crash,) = tmp_path.iterdir()
    assert b"\xff" in crash.read_bytes()


@pytest.mark.slow
def test_the_command_shows_its_targets() -> None:
    done = fuzz("envelope", "--list")
    assert done.stdout.split() == list(TARGETS)
    assert fuzz("nothing").returncode == 2
