"""`./run fuzz TARGET [SECONDS]`: feed one reader with input that nobody would send in good faith.

New inputs that reach new code are added to the corpus given with --corpus (by default one that is thrown away); what makes
the target crash, hang or grow is kept in --crashes.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
CRASHES = HERE / "crashes"
_MEMORY_MIB = 1024
_INPUT_S = 10
_MAX_BYTES = 16 * 1024


def main() -> None:
    """Fuzz until the time is over, or something was found (exit code other than 0)."""
    sys.path.insert(0, str(HERE.parents[1]))
    options = _options()
    if options.list:
        from tests.fuzz.targets import TARGETS

        sys.stdout.write("\n".join(TARGETS) + "\n")
        return
    if options.serve:
        _serve(options)
        return
    status = _fuzz(options)
    if status:
        sys.exit(abs(status))


def _serve(options: argparse.Namespace) -> None:
    """Reads lines of a target, seconds and a directory for crashes; the readers are instrumented once for all of them.

    A line with the exit code ends what each says.
    """
    if _has_atheris(options):
        _targets()
    for line in sys.stdin:
        options.target, seconds, crashes = line.split()
        options.seconds, options.crashes = int(seconds), Path(crashes)
        status = _fuzz(options)
        sys.stdout.write(f"exit {status}\n")
        sys.stdout.flush()


def _has_atheris(options: argparse.Namespace) -> bool:
    return importlib.util.find_spec("atheris") is not None and options.engine != "mutation"


def _fuzz(options: argparse.Namespace) -> int:
    crashes = options.crashes / options.target
    crashes.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="device-sdk-fuzz-") as thrown_away:
        corpus = options.corpus or Path(thrown_away) / "corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        if not _has_atheris(options):
            _mutate(options, crashes)
            return 0
        # libFuzzer ends its process without a word to Python: a parent is left to clean up
        child = os.fork()
        if child == 0:
            tempfile.tempdir = thrown_away
            _atheris(options, corpus, crashes)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _targets() -> Any:
    import atheris

    with atheris.instrument_imports(
        include=["device_sdk", "device_sdk_simulators", "http", "email"], enable_loader_override=False
    ):
        return importlib.import_module("tests.fuzz.targets")


def _mutate(options: argparse.Namespace, crashes: Path) -> None:
    from tests.fuzz import mutation
    from tests.fuzz.targets import TARGETS

    seeds = [path.read_bytes() for path in sorted((CORPUS / options.target).iterdir())]
    count = mutation.run(TARGETS[options.target], seeds, options.seconds, crashes)
    sys.stdout.write(f"Done {count} runs without coverage\n")


def _atheris(options: argparse.Namespace, corpus: Path, crashes: Path) -> None:
    import atheris

    target = _targets().TARGETS[options.target]
    words = [
        sys.argv[0],
        f"-max_total_time={options.seconds}",
        f"-rss_limit_mb={_MEMORY_MIB}",
        f"-timeout={_INPUT_S}",
        f"-max_len={_MAX_BYTES}",
        f"-artifact_prefix={crashes}/",
        "-print_final_stats=1",
        str(corpus),
        str(CORPUS / options.target),
    ]
    atheris.Setup(words, target)
    atheris.Fuzz()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", default="envelope", choices=_names(), metavar="TARGET")
    parser.add_argument("seconds", nargs="?", type=int, default=60, metavar="SECONDS", help="60 by default")
    parser.add_argument("--list", action="store_true", help="show the targets")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--corpus", type=Path, help="directory that keeps new inputs; by default they are not kept")
    parser.add_argument("--crashes", type=Path, default=CRASHES, help="directory for what was found")
    parser.add_argument(
        "--engine", choices=("atheris", "mutation"), default="atheris", help="mutation needs no atheris, and knows less"
    )
    return parser.parse_args()


def _names() -> list[str]:
    return sorted(path.name for path in CORPUS.iterdir())


if __name__ == "__main__":
    main()
