"""BenchDevice over a console: every operation is a verb of `device-sdk bench`, run in a shell."""

from __future__ import annotations

import base64
import binascii
import json
import re
import shlex
from collections.abc import Callable, Mapping
from typing import TypeVar

from device_sdk.client.bench.base import BenchDevice
from device_sdk.client.bench.console.boots import Boots
from device_sdk.client.bench.console.conversation import ConsoleLine
from device_sdk.client.bench.console.plain_facts import read_plain_facts
from device_sdk.client.bench.console.session import Session
from device_sdk.client.bench.console.settings import ConsoleSettings
from device_sdk.client.bench.console.shell import Shell
from device_sdk.client.bench.facts import BenchKey, DeviceFacts, KeyWish, Proof
from device_sdk.client.bench.plain import facts_from_json, key_from_json, proof_from_json
from device_sdk.client.bench.refusal import refusal
from device_sdk.client.bench.same import check_boot, check_same
from device_sdk.errors import BenchError, ConfigurationError, DeviceSaysError, LineError

_MAX_ANSWER = 256 * 1024
_MAX_CONFIG, _MAX_ANCHORS, _MAX_OUTPUT = 64 * 1024, 256 * 1024, 64 * 1024
_MAX_COMMAND = 2000
_NOT_FOUND = (126, 127)
_SHA256 = re.compile(r"[0-9a-f]{64}")

ToldT = TypeVar("ToldT")


class ConsoleDevice(BenchDevice):
    """One device at its console. Nothing is typed before the first operation; `close` logs out.

    Args:
        line: the line, open; it stays so.
        settings: what the profile says about consoles.
        boots: in which the boot loader was met, to be shared by all who talk to the same devices.
    """

    def __init__(self, line: ConsoleLine, settings: ConsoleSettings | None = None, boots: Boots | None = None) -> None:
        self._line = line
        self._settings = settings or ConsoleSettings()
        self._session = Session(line, self._settings)
        self._session.check = self._check_same
        self._met: DeviceFacts | None = None
        self._boots = boots or Boots()

    def wait_for_boot(self, seconds: float) -> bool:
        """See BenchDevice."""
        return self._session.login.counts_down(seconds)

    def facts(self) -> DeviceFacts:
        """See BenchDevice. A device without device-sdk is asked by the files of its kernel."""
        facts = self._do(self._facts_in)
        self._met = self._met or facts
        return facts

    def _facts_in(self, shell: Shell) -> DeviceFacts:
        try:
            facts = facts_from_json(self._verb_in(shell, "facts"))
        except DeviceSaysError as error:
            if error.device_exit not in _NOT_FOUND:
                raise
            facts = read_plain_facts(shell)
        return self._boots.told(facts, self._session.login.boot_variables) if self._settings.boot_loader else facts

    def _check_same(self, shell: Shell) -> None:
        """In a shell that was entered anew nothing is done before the device has said that it is the same one."""
        if self._met is not None:
            facts = self._facts_in(shell)
            check_same(self._met, facts)
            check_boot(facts, self._settings.boot_variables)

    def configure(self, config: bytes, anchors: bytes) -> None:
        """See BenchDevice."""
        _check_size(config, _MAX_CONFIG, "the configuration")
        _check_size(anchors, _MAX_ANCHORS, "the trust anchors")
        files = {"--file": config} | ({"--trust": anchors} if anchors else {})
        self._verb("configure", files=files)

    def create_key(self, wish: KeyWish) -> BenchKey:
        """See BenchDevice."""
        words = ["--key", wish.uri, "--type", wish.type.value]
        words += ["--allow-file"] if wish.file_allowed else []
        words += ["--again"] if wish.again else []
        return self._told(key_from_json, self._verb("create-key", *words))

    def request(self, csrattrs: bytes = b"") -> bytes:
        """See BenchDevice."""
        answer = self._verb("request", files={"--csrattrs": csrattrs} if csrattrs else {})
        value = answer.get("csr")
        try:
            return base64.b64decode(value if isinstance(value, str) else "", validate=True) or self._wrong("csr")
        except (binascii.Error, ValueError):
            return self._wrong("csr")

    def install(self, answer: bytes, ca_certificates: bytes) -> bytes:
        """See BenchDevice."""
        return self._sha256(self._verb("install", files={"--answer": answer, "--ca-certificates": ca_certificates}))

    def enrol(self) -> bytes:
        """See BenchDevice."""
        return self._sha256(self._verb("enrol"))

    def prove(self, nonce: bytes) -> Proof:
        """See BenchDevice."""
        return self._told(proof_from_json, self._verb("prove", "--nonce", nonce.hex()))

    def run(self, command: tuple[str, ...], timeout_s: float) -> tuple[int, str]:
        """See BenchDevice."""
        words = shlex.join(command)
        if len(words) > _MAX_COMMAND:
            raise LineError(
                f"{self._line.name}: a command of more than {_MAX_COMMAND} characters", line=self._line.name
            )

        def work(shell: Shell) -> tuple[int, str]:
            script = f"{{ (umask $w;{words});echo $? >$t/status;}} 2>&1|tail -c {_MAX_OUTPUT} >$t/out"
            shell.run(script, timeout_s)
            status = shell.get("$t/status", 16).decode("ascii", "replace").strip()
            output = shell.get("$t/out", _MAX_OUTPUT).decode("utf-8", "replace")
            return (int(status) if status.isdecimal() else 255), output

        return self._session.do(work)

    def close(self) -> None:
        """Log out; the line stays open."""
        self._session.close()

    def hand_over(self, command: str = "device-sdk agent --stdio") -> None:
        """Start an agent in the shell and leave the line to whoever speaks to it; `close` logs out once it has ended.

        Raises:
            BenchError: as every operation.
        """
        self._session.shell()
        if not self._session.to_prompt():
            raise self._line.failed(LineError(f"{self._line.name}: no prompt to start an agent at"))
        self._session.talk.type(f" stty raw -echo;{command};stty sane -echo\r".encode())

    def _verb(self, verb: str, *words: str, files: Mapping[str, bytes] | None = None) -> dict[str, object]:
        """What a verb printed; raises DeviceSaysError for what it refused."""
        return self._do(lambda shell: self._verb_in(shell, verb, *words, files=files))

    def _do(self, work: Callable[[Shell], ToldT]) -> ToldT:
        try:
            return self._session.do(work)
        except BenchError as error:
            raise self._line.failed(error) from error.__cause__

    def _verb_in(
        self, shell: Shell, verb: str, *words: str, files: Mapping[str, bytes] | None = None
    ) -> dict[str, object]:
        line = [*map(shlex.quote, (*self._settings.verbs, verb, "--json", *words))]
        for number, (option, data) in enumerate((files or {}).items()):
            shell.put(f"$t/{number}", data)
            line += [option, f"$t/{number}"]
        status = shell.run(f"(umask $w;{' '.join(line)} >$t/out 2>$t/err)", self._settings.verb_s)
        output = shell.get("$t/out", _MAX_ANSWER)
        said = shell.get("$t/err", _MAX_ANSWER) if status and not output.strip() else b""
        shell.run("rm -f $t/*")
        return self._read(verb, status, output, said)

    def _read(self, verb: str, status: int, output: bytes, said: bytes) -> dict[str, object]:
        value: object = None
        try:
            value = json.loads(output)
        except (ValueError, RecursionError):
            value = None
        if status:
            facts = value.get("error") if isinstance(value, dict) else None
            raise refusal(
                facts or {"message": said.decode("utf-8", "replace")[-400:]}, f"{self._line.name}: {verb}", status
            )
        if not isinstance(value, dict):
            raise LineError(f"{self._line.name}: what {verb} printed is not JSON")
        return value

    def _told(self, read: Callable[[object], ToldT], answer: object) -> ToldT:
        try:
            return read(answer)
        except BenchError as error:
            raise self._line.failed(error) from None

    def _sha256(self, answer: Mapping[str, object]) -> bytes:
        value = answer.get("certificate_sha256")
        if not isinstance(value, str) or not _SHA256.fullmatch(value):
            return self._wrong("certificate_sha256")
        return bytes.fromhex(value)

    def _wrong(self, name: str) -> bytes:
        raise self._line.failed(LineError(f"{self._line.name}: the device's answer has no {name} that could be one"))


def _check_size(data: bytes, limit: int, what: str) -> None:
    if len(data) > limit:
        raise ConfigurationError(f"{what} of {len(data)} bytes: {limit} are the most")
