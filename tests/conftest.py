"""What all tests share; the fixtures for tokens, TPMs and servers come from device-sdk-simulators' pytest plugin."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import count, groupby
from pathlib import Path

import pytest

from device_sdk.client.cale.slots import FAILURE_SLOTS, FailureSlots

# Started in the background, by nohup or by some build servers, these are ignored, and programs under test inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(_number, signal.SIG_DFL)


# Files with tests of half a minute and more: they begin first, so that no worker is alone with one at the end.
LONG = (
    "cale_security/test_padding_oracle.py",
    "device/test_killed_waiting.py",
    "device/test_killed.py",
    "fuzz/test_fuzz.py",
    "cale_security/test_decoys.py",
    "cale/test_killed.py",
    "simulators/server/test_killed.py",
)


# Places with many tests of half a second, which together take minutes: stations, simulated devices, whole syncs.
SLOW = (
    "station/",
    "simulators/serial/",
    "packages/test_sync",
    "packages/test_server_keys",
    "packages/test_held_keys",
    "simulators/server/test_failures",
    "simulators/server/test_errors_inside",
    "simulators/server/test_csr_policy",
    "simulators/cale/test_upstream",
    "cale/test_streaming",
    "cms/test_uniform_failure",
    "device/test_proof_disturbed",
    "keystores/tpm2/test_resilience",
    "transports/test_srp",
)

# Of many variants of a test a sample is enough for `--fast`.
MANY, SAMPLE = 8, 4


def _mark_variants(items: list[pytest.Item]) -> None:
    """Of more than MANY variants of a test all but SAMPLE are slow; those are spread over them evenly."""
    quick = (item for item in items if item.get_closest_marker("slow") is None)
    for _, variants in groupby(quick, lambda item: item.nodeid.partition("[")[0]):
        found = list(variants)
        if len(found) > MANY:
            kept = {number * len(found) // SAMPLE for number in range(SAMPLE)}
            for number, item in enumerate(found):
                if number not in kept:
                    item.add_marker(pytest.mark.slow)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; the others stay in their order. The workers of a run all have the same one."""
    tests = Path(__file__).parent
    for item in items:
        if str(item.path.relative_to(tests)).startswith(SLOW):
            item.add_marker(pytest.mark.slow)
    _mark_variants(items)
    places = {tests / name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A skipped test is a failure in CI: what it needs is missing there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("skipped tests are failures in CI", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def all_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A new directory each time; `mktemp` would look through those of thousands of tests at each."""
    top: Path = tmp_path_factory.mktemp("places")
    return (top / str(number) for number in count())


@pytest.fixture(autouse=True)
def own_places(all_places: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the SDK keeps outside its callers' directories stays in the test's own: locks, refused PINs, certificates."""
    places = next(all_places)
    places.mkdir(mode=0o700)
    monkeypatch.setenv("DEVICE_SDK_RUNTIME_DIR", str(places / "run"))
    monkeypatch.setenv("DEVICE_SDK_REFUSED_PINS", str(places / "refused-pins"))
    monkeypatch.setenv("DEVICE_SDK_CERTIFICATES", str(places / "certificates"))


@pytest.fixture(autouse=True)
def own_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures of CALE take as long as in a new process: one test with a slow key would make all later ones wait."""
    for name in ("_times", "_late"):
        monkeypatch.setattr(FAILURE_SLOTS, name, vars(FailureSlots())[name])
