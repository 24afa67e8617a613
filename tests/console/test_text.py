"""Consoles without a line: text, prompts, requests and answers, U-Boot's words."""

from __future__ import annotations

import base64
import re
import subprocess

import pytest

from device_sdk.client.bench.console.conversation import Conversation
from device_sdk.errors import ConfigurationError
from device_sdk.protocols.console.boot_loader import is_undefined, print_command, set_command, variable
from device_sdk.protocols.console.program import TOOLS, Answers, Request, digest, program, read_piece
from device_sdk.protocols.console.prompts import Shown, is_garbage, says_incorrect, shown
from device_sdk.protocols.console.terminal import TerminalText


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"one\r\ntwo\rthree\nfour\r\n\r\n", "one\ntwo\nthree\nfour\n\n"),
        (b"\x1b[1;31mred\x1b[0m \x1b(B\x1b=plain\x1b[6n", "red plain"),
        (b"\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b\x1bP1$r\x1b\\c", "abc"),
        (b"\x1b]never ended\r\nnext", "\nnext"),
        (b"\x1b[" + b"1" * 400 + b"m", "1" * 146 + "m"),
        (b"a\x00\x07\x08\x7f\x9b\xc2\x9bb\xe2\x80\xae\tc", "a\ufffdb\tc"),
        (b"caf\xc3\xa9 \xff", "café \ufffd"),
    ],
)
def test_text_of_a_terminal_byte_by_byte_and_at_once(data: bytes, text: str) -> None:
    slow = TerminalText()
    assert "".join(slow.feed(data[at : at + 1]) for at in range(len(data))) == text
    assert TerminalText().feed(data) == text


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Debian 12 vd ttyS0\n\nvd login: ", Shown.LOGIN),
        ("login:", Shown.LOGIN),
        ("Last login: ", Shown.NOTHING),
        ("Last login: Sat Nov 21 13:00:00", Shown.NOTHING),
        ("login: root\nPassword: ", Shown.PASSWORD),
        ("Current password: ", Shown.NEW_PASSWORD),
        ("You must change your password now", Shown.NEW_PASSWORD),
        ("Hit any key to stop autoboot:  2 ", Shown.AUTOBOOT),
        ("Autoboot in 3 seconds", Shown.AUTOBOOT),
        ("<INTERRUPT>\n=> ", Shown.BOOT_PROMPT),
        ("Marvell>> \nU-Boot> ", Shown.BOOT_PROMPT),
        ("root@vd:~# ", Shown.SHELL),
        ("~ $ ", Shown.SHELL),
        ("\n0123456789abcdef ?\n\n", Shown.LEFT_OVER),
        ("[   12.3] usb 1-1: new device\n", Shown.NOTHING),
        ("", Shown.NOTHING),
    ],
)
def test_what_is_shown(text: str, kind: Shown) -> None:
    assert shown(text) is kind


def test_refusals_and_garbage() -> None:
    assert says_incorrect("\nLogin incorrect\nvd login: ")
    assert not says_incorrect("\nWelcome\n")
    assert is_garbage(b"\xf8\x80\x06\x98\x00\xe6\xfe\x00" * 4)
    assert not is_garbage("Grüße vom Gerät\r\n".encode())
    assert not is_garbage(b"\xff\xfe")


def test_a_request_and_what_is_no_answer_to_it() -> None:
    line = Request("X", 7, b"echo $HOME").to_bytes().decode()
    kind, number, check, data = line.split(" ")
    assert (kind, number, base64.b64decode(data)) == ("X", "7", b"echo $HOME")
    assert check == digest(f"X 7 {data}".encode())
    answers = Answers("ab" * 8)
    mark = "ab" * 8
    assert answers.done(7).search(f"x\n{mark} . 7 12 7 12\n")
    for damaged in (f"{mark} . 7 12 7 13\n", f"{mark} . 8 0 8 0\n", f"x{mark} . 7 0 7 0\n", f"{mark} . 7 0 7 0 \n"):
        assert not answers.done(7).search(damaged)


def test_a_piece_is_whole_or_none() -> None:
    data = base64.b64encode(b"content").decode()
    text = f"{'ab' * 8} = {digest(f'3 16 {data}'.encode())} {data}"
    found = Answers("ab" * 8).piece().search(text)
    assert isinstance(found, re.Match)
    assert read_piece(found, 3, 16) == b"content"
    assert read_piece(found, 4, 16) is None
    assert read_piece(found, 3, 0) is None


@pytest.mark.parametrize("tool", ["sha256sum,base64", "openssl", "python3"])
def test_the_program_with_the_tools_that_there_are(tool: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One request of each kind, and damaged ones, through the program with each set of tools."""
    directory = tmp_path_factory.mktemp("device") / "files"
    text = program(frozenset([*tool.split(","), "cut", "tr", "dd", "mkdir", "rm"]))
    assert text is not None
    upload, again = Request("U", 2, bytes(range(256)) * 4).to_bytes(), Request("U", 3, b"!").to_bytes()
    lines = [
        Request("X", 1, b"f=$t/x").to_bytes(),
        upload,
        upload,
        b"X 3" + again[3:],
        again[:-1] + b"A",
        Request("X", 4, b"[ -e $t/x ]&&g 0 16&&(exit 5)").to_bytes(),
        b"P 4",
        b"P 3",
        b"rm -rf /",
        b"Q",
    ]
    done = subprocess.run(
        ["dash", "-c", text, "sh", "01234567", "89abcdef", str(directory)],
        input=b"\n".join(lines) + b"\n",
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == b""
    mark = "0123456789abcdef"
    found = Answers(mark).piece().search(done.stdout.decode())
    assert found is not None
    assert read_piece(found, 4, 0) == bytes(range(256)) * 4, "appended once"
    said = [line.removeprefix(mark)[:10] for line in done.stdout.decode().splitlines() if line.startswith(mark)]
    assert said[0] == " . 0 0 0 0"
    assert said[1:5] == [" + 1 0 1 0", " . 1 0 1 0", " + 2 0 2 0", " . 2 0 2 0"]
    assert said[5:8] == [" . 2 0 2 0", " ?", " ?"]
    assert said[-4:] == [" . 4 5 4 5", " . 4 5 4 5", " ?", " ?"]
    assert not directory.exists()


def test_too_few_tools() -> None:
    assert program(frozenset()) is None
    assert program(frozenset(TOOLS) - {"dd"}) is None
    assert program(frozenset(TOOLS) - {"sha256sum", "openssl", "python3"}) is None


def test_boot_loader_variables() -> None:
    text = "printenv ethaddr\nethaddr=02:00:00:00:00:01\n=> "
    assert variable(text, "ethaddr") == "02:00:00:00:00:01"
    assert variable('## Error: "serial#" not defined\n=> ', "serial#") is None
    assert print_command("serial#") == "printenv serial#"
    assert set_command("bootdelay", "5") == "setenv bootdelay 5"
    assert set_command("bootargs", "a  b") == "setenv bootargs 'a  b'"
    assert set_command("bootargs", "a ") == "setenv bootargs 'a '"
    assert set_command("bootargs", "") == "setenv bootargs"
    assert set_command("bootargs", "console=ttyS0 $x; reset") == "setenv bootargs 'console=ttyS0 $x; reset'"
    assert set_command("bootargs", "") == "setenv bootargs"
    for name, value in (("a;b", "1"), ("a", "it's"), ("a", "x\ny"), ("a", "x" * 257), ("", "1")):
        with pytest.raises(ConfigurationError):
            set_command(name, value)


class Said:
    """A line that says this, in pieces."""

    name = "ttyS0"

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def read(self, deadline: float) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


@pytest.mark.parametrize(
    ("pieces", "heard"),
    [
        ((b"U-Boot SPL 2023.01", b" (Jan 01)\r\nU-Boot 2023.01\r\nDRAM:  1 GiB\r\n"), 3),
        ((b"U-Bo", b"ot 20", b"25.10\r\n"), 1),
        ((b"x\r\nresetting ", b"...\r\n"), 1),
        ((b"Hit any key to stop autoboot:  2 ", b"\b\b\b 1 ", b"\b\b\b 0 \r\n"), 1),
        (
            (
                b"[    0.000000] efi: EFI v2.100 by Das U-Boot\r\n",
                b"DRAM: is not at the beginning\r\nStarting kernel ...\r\n",
            ),
            1,
        ),
        ((b"Debian GNU/Linux 12 board ttyS0\r\nboard login: ",), 0),
    ],
)
def test_a_boot_loader_that_begins_is_heard_whatever_is_forgotten(pieces: tuple[bytes, ...], heard: int) -> None:
    talk = Conversation(Said(*pieces))  # type: ignore[arg-type]  # nothing else of a line is needed
    while talk.listen(0):
        talk.forget()
    assert talk.beginnings == heard


def test_a_variable_that_is_gone_says_so_in_these_words() -> None:
    assert is_undefined('## Error: "bootargs" not defined', "bootargs")
    assert not is_undefined("bootargs=" + "x" * 300, "bootargs")
