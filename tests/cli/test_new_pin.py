"""The PIN of a key that is being made, asked of a person at a terminal: what was mistyped once would lock the key for good."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from device_sdk_simulators.swtpm import Swtpm

from tests.cli.conftest import Cli, Lab
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.slow

Start = Callable[..., Terminal]
FIRST, AGAIN = "(Enter alone: none): ", "The same PIN again: "


@pytest.fixture(params=["file", "tpm2"])
def uri(request: pytest.FixtureRequest, cli: Cli) -> str:
    directory = cli.directory / "keys"
    directory.mkdir(mode=0o700)
    if request.param == "file":
        return f"file:{directory}/new.pem"
    tpm: Swtpm = request.getfixturevalue("swtpm")

    return f"tpm2:file={directory}/new.tss?tcti={tpm.tcti}"


def test_it_is_asked_twice_and_counts(cli: Cli, uri: str, terminal: Start) -> None:
    making = terminal("keys", "create", uri, "--type", "ec-p256")
    making.answer(FIRST, "s3cret-pin")
    making.answer(AGAIN, "s3cret-pin")
    assert making.end() == 0, making.seen
    assert "s3cret-pin" not in making.seen
    (cli.directory / "pin").write_text("s3cret-pin\n")
    (cli.directory / "pin").chmod(0o600)
    words = ("csr", "--key", uri, "--subject", "CN=x")
    cli.ok(*words, "--key-pin-file", cli.directory / "pin")
    assert cli(*words).code == 4, "it is needed"


def test_two_that_differ_make_no_key(cli: Cli, uri: str, terminal: Start) -> None:
    making = terminal("keys", "create", uri, "--type", "ec-p256")
    for _ in range(3):
        making.answer(FIRST, "s3cret-pin")
        making.answer(AGAIN, "s3cret-pim")
    assert making.end() == 2
    assert "no key was made" in making.seen
    assert list((cli.directory / "keys").iterdir()) == []
    making = terminal("keys", "create", uri, "--type", "ec-p256")
    making.answer(FIRST, "s3cret-pin")
    making.answer(AGAIN, "")
    making.until("differ")
    making.answer(FIRST, "s3cret-pin")
    making.answer(AGAIN, "s3cret-pin")
    assert making.end() == 0, making.seen


def test_enter_alone_means_none(cli: Cli, uri: str, terminal: Start) -> None:
    making = terminal("keys", "create", uri, "--type", "ec-p256")
    making.answer(FIRST, "")
    assert making.end() == 0, making.seen
    assert AGAIN not in making.seen
    cli.ok("csr", "--key", uri, "--subject", "CN=x")


def test_an_enrolment_asks_for_the_pin_of_its_new_key_once(lab: Lab, terminal: Start) -> None:
    """Twice to be sure, and not again when the key it made signs."""
    key = f"file:{lab.keys}/new.pem"
    enrolling = terminal(*lab.enroll_words(key))
    enrolling.answer(FIRST, "s3cret-pin")
    enrolling.answer(AGAIN, "s3cret-pin")
    assert enrolling.end() == 0, enrolling.seen
    assert "PIN for" not in enrolling.seen


@pytest.mark.parametrize("typed", [[], ["s3cret-pin"]], ids=["at once", "at the repetition"])
def test_ctrl_d_chooses_nothing(cli: Cli, uri: str, terminal: Start, typed: list[str]) -> None:
    making = terminal("keys", "create", uri, "--type", "ec-p256")
    for answer in typed:
        making.answer(FIRST, answer)
    making.until(AGAIN if typed else FIRST)
    making.type("\x04")
    assert making.end() == 2
    assert "no key was made" in making.seen
    assert list((cli.directory / "keys").iterdir()) == []
