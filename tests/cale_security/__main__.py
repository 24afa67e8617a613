"""The figures of docs/cale-security.md: `./run shell python -m tests.cale_security [MESSAGES]`, alone on a quiet machine."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.keystores.registry import create_key
from tests.cale_security.questions import answers
from tests.cale_security.specimens import FORMS, Workshop
from tests.cale_security.strangers import compare
from tests.cale_security.test_decoys import SLOT_S, register
from tests.cale_security.test_padding_oracle import reader
from tests.cale_security.watching import race


def _keys(directory: Path, messages: int) -> None:
    with ExitStack() as stack:
        token, tpm = stack.enter_context(SoftHsm(directory / "token")), stack.enter_context(Swtpm(directory / "tpm"))
        os.environ |= token.environment | tpm.environment
        for uri in (f"file:{directory}/key.pem", token.uri_of("cale"), "tpm2:handle=0x81000020"):
            key: Any = stack.enter_context(create_key(uri, "rsa-2048"))
            for form in FORMS:
                makers = Workshop(key.public_key(), form).bad()
                found = race(
                    reader(key),
                    makers,
                    -(-messages // len(makers)),
                )
                kinds = len(set[object]().union(*found.errors.values()))
                _say(f"{uri.split(':')[0]}, {form}: {found.messages} messages, {kinds} kind of error")
                for one in answers(form, found):
                    _say(f"    {one}")


def _decoys(directory: Path, answers_a_side: int) -> None:
    with ReferenceServer(directory / "server") as server:
        clients = register(server, "rsa")
        for hardened in (False, True):
            for slot in (0.0, SLOT_S):
                for path in ("/resource", "/whoami"):
                    server.policy.cale_hardened = server.policy.cale_aead = hardened
                    server.policy.cale.slot_s = slot
                    verdict = compare(server.handle, clients, path, answers_a_side // (1 if not slot else 5))
                    _say(
                        f"{'hardened' if hardened else 'draft'} envelopes, slot {1000 * slot:.0f} ms, {path}: {verdict}"
                    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Measure and print."""
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory(prefix="cale-security-") as name:
        directory = Path(name)
        os.environ["DEVICE_SDK_RUNTIME_DIR"] = str(directory / "run")
        _keys(directory, messages)
        _decoys(directory, messages // 5)


if __name__ == "__main__":
    main()
