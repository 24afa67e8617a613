r"""What runs on the device while a station works at its console, and what the two say to each other.

A shell at a terminal is no protocol: what is typed comes back as echo, wrapped by a line editor, a damaged line is executed as
well as a whole one, and where an answer ends is anybody's guess. So one small program in POSIX sh is started there, and reads
requests, each a line with a number and a digest. A damaged one is refused, a repeated one is answered again and not done again.

    X NUMBER DIGEST BASE64      run this script
    U NUMBER DIGEST BASE64      append this to the file $f
    P NUMBER                    is it done yet?
    Q                           end

    MARK + NUMBER 0 NUMBER 0            begun
    MARK . NUMBER STATUS NUMBER STATUS  done; the status of the last command
    MARK = DIGEST DATA                  a piece of the file $f (function g), base64
    MARK ?                              a line that is none of the above, or is damaged

DIGEST is the first 16 hex digits of SHA-256; it covers the kind, the number and the data. MARK is random, and given to the program
in two halves, so that no echo holds it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

DIGEST_LENGTH = 16
BLOCK = 64
"""Pieces of a file begin at a multiple of this."""

TOOLS = ("sha256sum", "base64", "openssl", "python3", "tr", "cut", "dd", "stty", "wc", "mkdir", "rm")
"""What the program and its scripts may use; some of these do in the place of others."""

_HASH = {
    "sha256sum": "sha256sum|cut -c1-16",
    "openssl": "openssl dgst -sha256 -r|cut -c1-16",
    "python3": "python3 -c 'import hashlib,sys;print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest()[:16])'",
}
_ENCODE = {
    "base64": "base64|tr -d '\\n'",
    "openssl": "openssl base64|tr -d '\\n'",
    "python3": "python3 -c 'import base64,sys;print(base64.b64encode(sys.stdin.buffer.read()).decode())'",
}
_DECODE = {
    "base64": "base64 -d",
    "openssl": "openssl base64 -d -A",
    "python3": "python3 -c 'import base64,sys;sys.stdout.buffer.write(base64.b64decode(sys.stdin.read()))'",
}

_PROGRAM = r"""M=$1$2;t=$3;n=;s=;f=;w=$(umask)
h(){ @HASH@;}
e(){ @ENCODE@;}
d(){ @DECODE@;}
a(){ printf '\n%s %s %s %s %s %s\n' $M $1 $i $2 $i $2;}
g(){ o=$(dd if="$f" bs=64 skip=$1 count=$2 2>/dev/null|e);printf '\n%s = %s %s\n' $M "$(printf '%s %s %s' $i $1 "$o"|h)" "$o";}
trap 'trap "" INT HUP TERM;rm -rf "$t"' EXIT;trap 'trap "" INT HUP TERM;rm -rf "$t";exit 130' INT HUP TERM
umask 077
mkdir "$t"||exit 1
i=0;a . 0
while read -r k i c b;do
case $k in
Q)break;;
P)[ "$i" = "$n" ]||{ printf '\n%s ?\n' $M;continue;};;
X|U)if [ "$i" != "$n" ];then
[ "$(printf '%s %s %s' "$k" "$i" "$b"|h)" = "$c" ]||{ printf '\n%s ?\n' $M;continue;}
n=$i;a + 0
if [ $k = U ];then printf %s "$b"|d >>"$f"
else eval "$(printf %s "$b"|d)" </dev/null;fi
s=$?
fi;;
*)printf '\n%s ?\n' $M;continue;;
esac
a . $s
done
"""


def program(tools: frozenset[str]) -> str | None:
    """The program for a device that has these tools; None if too few of them."""
    if not {"cut", "tr", "dd", "mkdir", "rm"} <= tools:
        return None
    chosen = [next((table[name] for name in table if name in tools), None) for table in (_HASH, _ENCODE, _DECODE)]
    text = _PROGRAM
    for place, command in zip(("@HASH@", "@ENCODE@", "@DECODE@"), chosen, strict=True):
        if command is None:
            return None
        text = text.replace(place, command)
    return text


def hash_command(tools: frozenset[str]) -> str | None:
    """What gives the digest of its input on such a device."""
    return next((_HASH[name] for name in _HASH if name in tools), None)


def decode_command(tools: frozenset[str]) -> str | None:
    """What decodes base64 on such a device."""
    return next((_DECODE[name] for name in _DECODE if name in tools), None)


def digest(data: bytes) -> str:
    """The digest of both sides."""
    return hashlib.sha256(data).hexdigest()[:DIGEST_LENGTH]


@dataclass(frozen=True)
class Request:
    """One line for the program.

    Attributes:
        kind: "X" or "U".
        number: never used twice in a session.
        data: a script, or content.
    """

    kind: str
    number: int
    data: bytes

    def to_bytes(self) -> bytes:
        """The line, without its end."""
        encoded = base64.b64encode(self.data).decode("ascii")
        covered = f"{self.kind} {self.number} {encoded}"
        return f"{self.kind} {self.number} {digest(covered.encode())} {encoded}".encode()

    def poll(self) -> bytes:
        """The line that asks for its outcome."""
        return f"P {self.number}".encode()


class Answers:
    """Finds what the program says in what the terminal shows."""

    def __init__(self, mark: str) -> None:
        self._mark = re.escape(mark)
        self.refused = re.compile(rf"^{self._mark} \?$", re.MULTILINE)

    def begun(self, number: int) -> re.Pattern[str]:
        """That the request was taken."""
        return re.compile(rf"^{self._mark} \+ {number} 0 {number} 0$", re.MULTILINE)

    def done(self, number: int) -> re.Pattern[str]:
        """That it was done; group 1 is its status. Said twice, so that a damaged one is none."""
        return re.compile(rf"^{self._mark} \. {number} (\d{{1,3}}) {number} \1$", re.MULTILINE)

    def piece(self) -> re.Pattern[str]:
        """A piece of a file, whole or not: groups 1 and 2 are its digest and its data."""
        return re.compile(rf"^{self._mark} = ([0-9a-f]{{16}}) ([A-Za-z0-9+/=]*)$", re.MULTILINE)


def read_piece(found: re.Match[str], number: int, block: int) -> bytes | None:
    """The content of a piece that begins at this block; None if it is damaged, or another one."""
    if digest(f"{number} {block} {found[2]}".encode()) != found[1]:
        return None
    try:
        return base64.b64decode(found[2], validate=True)
    except ValueError:
        return None
