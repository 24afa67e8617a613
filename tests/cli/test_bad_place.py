"""Full disks, read-only directories, and places that are not what they should be: nothing is lost, nothing half written."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, NO_OVERRIDE, Cli, Lab, leaf, on_tmpfs

pytestmark = pytest.mark.slow

FULL = 'mount -t tmpfs -o size=16k none "$mount"; dd if=/dev/zero of="$mount/ballast" 2>/dev/null || true'
READ_ONLY = 'mount -t tmpfs none "$mount"; mount -o remount,ro "$mount"'


@pytest.fixture
def key(cli: Cli, tmp_path: Path) -> str:
    uri = f"file:{tmp_path}/key.pem"
    cli.ok("keys", "create", uri, "--type", "ec-p256")
    return uri


@pytest.mark.slow
@pytest.mark.parametrize(("setup", "said"), [(FULL, "No space left on device"), (READ_ONLY, "Read-only file system")])
def test_out_that_cannot_be_written_shows_before_anything_is_asked(
    setup: str, said: str, lab: Lab, tmp_path: Path
) -> None:
    prefix = on_tmpfs(setup, tmp_path / "mount")
    key = lab.key()
    for words in (("csr", "--key", key, "--subject", "CN=x"), ("est", "cacerts", *lab.trust),
                  ("est", "enroll", *lab.trust, *lab.login, "--key", key, "--subject", "CN=x")):  # fmt: skip
        line = lab.cli.fails(2, *words, "--out", tmp_path / "mount" / "out.pem", prefix=prefix)
        hint = (
            "make some room, or write elsewhere"
            if setup == FULL
            else "change its permissions or those of its directory"
        )
        assert line.startswith(f"device-sdk: cannot write {tmp_path}/mount/out.pem: {said} ({hint}")
    assert lab.server.log() == []


@pytest.mark.slow
def test_a_certificate_is_not_lost_when_its_file_cannot_be_written(lab: Lab, tmp_path: Path) -> None:
    """/dev/full takes no byte, which shows only at the end: the certificate is on standard output then."""
    words = (
        "est",
        "enroll",
        *lab.trust,
        *lab.login,
        "--key",
        lab.key(),
        "--subject",
        "CN=router-7",
        "--out",
        "/dev/full",
    )
    done = lab.cli(*words)
    assert done.code == 2
    assert (
        "cannot write /dev/full: No space left on device (what was to be written there is on standard output)"
        in done.err
    )
    (tmp_path / "rescued.pem").write_text(done.out)
    assert leaf(tmp_path / "rescued.pem").subject.rfc4514_string() == "CN=router-7"
    machine = lab.cli(*words, "--json").json
    assert machine["error"]["code"] == "configuration"
    assert machine["pem"].startswith("-----BEGIN CERTIFICATE-----")
    assert Path("/dev/full").is_char_device()


@pytest.mark.slow
def test_devices_pipes_and_links_stay_what_they_are(cli: Cli, key: str, tmp_path: Path) -> None:
    words = ("csr", "--key", key, "--subject", "CN=x", "--out")
    cli.ok(*words, "/dev/null")
    assert Path("/dev/null").is_char_device()
    assert cli.ok(*words, "/dev/stdout").out.startswith("-----BEGIN CERTIFICATE REQUEST-----")
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    cli.ok(*words, tmp_path / "pipe")
    assert os.read(reader, 100).startswith(b"-----BEGIN")
    os.close(reader)
    (tmp_path / "real.pem").write_text("old")
    (tmp_path / "link.pem").symlink_to("real.pem")
    cli.ok(*words, tmp_path / "link.pem")
    assert (tmp_path / "link.pem").is_symlink()
    assert (tmp_path / "real.pem").read_text().startswith("-----BEGIN")
    assert "Is a directory" in cli.fails(2, *words, tmp_path)
    assert "No such file" in cli.fails(2, *words, tmp_path / "none" / "x")
    assert [path.name for path in tmp_path.glob(".*")] == [], "no temporary file is left"


def test_umask_counts(cli: Cli, key: str, tmp_path: Path) -> None:
    cli.ok(
        "csr",
        "--key",
        key,
        "--subject",
        "CN=x",
        "--out",
        tmp_path / "x",
        prefix=("sh", "-c", 'umask 027; exec "$@"', "sh"),
    )
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_standard_output_that_takes_nothing(cli: Cli) -> None:
    for redirection, said in ((">/dev/full", "No space left on device"), (">&-", "it is closed")):
        for more in ("", " --json"):
            done = subprocess.run(
                ["bash", "-c", f'"$@" config{more} {redirection}', "bash", *COMMAND],
                env=os.environ | cli.environment, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == 2
            assert done.stderr == f"device-sdk: cannot write to standard output: {said}\n"


def test_a_reader_that_goes_away(cli: Cli) -> None:
    """141, as a shell says of SIGPIPE, and no word."""
    script = '"$@" completion zsh | true; exit ${PIPESTATUS[0]}'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *COMMAND], env=os.environ | cli.environment, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    assert done.returncode in (0, 141)
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["full", "read-only", "no permission", "a file"])
def test_state_directory_that_takes_nothing(how: str, lab: Lab, tmp_path: Path) -> None:
    """Exit 9 before a key is made or the server is asked."""
    state, prefix = tmp_path / "mount" / "state", NO_OVERRIDE
    state.parent.mkdir()
    if how == "no permission":
        state.parent.chmod(0o500)
    elif how == "a file":
        state.touch()
    else:
        prefix = on_tmpfs({"full": FULL, "read-only": READ_ONLY}[how], state.parent)
    lab.state = state
    key = f"file:{lab.keys}/device.pem"
    line = lab.cli.fails(9, *lab.enroll_words(key), prefix=prefix)
    assert str(state) in line
    cale = lab.key("cale", "rsa-2048")
    register = (
        "cale",
        "register",
        "--state",
        state,
        "--url",
        lab.server.url,
        "--anchors",
        lab.server.ca_file,
        "--key",
        cale,
    )
    failed = lab.cli(*register, *lab.login, "--subject", "CN=x", "--json", prefix=prefix)
    assert (failed.code, failed.error["path"].startswith(str(state))) == (9, True)
    assert lab.server.log() == []  # what is under way is written down before anybody is asked
    assert not (lab.keys / "device.pem").exists()
    state.parent.chmod(0o700)


@pytest.mark.parametrize("command", ["renew", "enroll --again"])
def test_disk_that_fills_up_leaves_the_old_certificate_in_use(command: str, lab: Lab, tmp_path: Path) -> None:
    key = lab.enrolled()
    before = lab.cli.ok("show", "--state", lab.state, "--json").json["certificate"]
    mount = tmp_path / "mount"
    setup = f'mount -t tmpfs -o size=64k none "$mount"; cp -a {lab.state} "$mount/state"; dd if=/dev/zero of="$mount/b" 2>/dev/null || true'
    script = f'"$@"; code=$?; {" ".join(COMMAND)} show --json --state {mount}/state >{tmp_path}/shown; exit $code'
    prefix = (*on_tmpfs(setup, mount), "sh", "-c", script, "sh")
    lab.state = mount / "state"
    words = ("renew", "--state", lab.state) if command == "renew" else lab.enroll_words(key, "--again")
    assert "free some space" in lab.cli.fails(9, *words, prefix=prefix)
    shown = json.loads((tmp_path / "shown").read_text())
    assert shown["certificate"] == before


def test_two_at_once(lab: Lab) -> None:
    lab.enrolled()
    with lab.held_back("cacerts") as asked:
        first = subprocess.Popen(
            [*COMMAND, "renew", "--state", lab.state], env=os.environ | lab.cli.environment, stdout=subprocess.DEVNULL
        )
        assert asked.wait(100)
        line = lab.cli.fails(9, "renew", "--state", lab.state)
        assert f"process {first.pid} is changing this state directory" in line
        assert lab.cli("needs-renewal", "--state", lab.state).code in (0, 1), "reading takes no lock"
    assert first.wait(100) == 0


@pytest.mark.parametrize("file", ["state.json", "journal.json", "cale/default.json"])
def test_damaged_state(file: str, lab: Lab) -> None:
    lab.enrolled()
    (lab.state / "cale").mkdir(exist_ok=True)
    (lab.state / file).write_bytes(b"\x00\xff garbage")
    if file == "cale/default.json":
        assert file in lab.cli.ok("show", "--state", lab.state).out, "one application's trouble only"
        lab.cli.ok("renew", "--state", lab.state)
    else:
        assert file in lab.cli.fails(9, "show", "--state", lab.state)
        assert file in lab.cli.fails(9, "renew", "--state", lab.state)
