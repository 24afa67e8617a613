"""A busy TPM, a TPM that goes away, slots that are taken: patience where it helps, a clear error where it does not."""

import time
from contextlib import nullcontext

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.errors import (
    KeyStoreBusyError,
    KeyStoreError,
    KeyStoreFailedError,
    StoreCorruptError,
    TokenRemovedError,
)
from device_sdk.keystores import registry
from device_sdk.keystores.tpm2 import Tpm2KeyStore
from device_sdk.wire.key_uri.tpm2 import Tpm2Uri

SIGN, LOAD, FLUSH, EVICT, CONTEXT_LOAD, CREATE = 0x15D, 0x157, 0x165, 0x120, 0x161, 0x153
PATIENT = {0x922: "RETRY", 0x908: "YIELDED", 0x90A: "TESTING", 0x920: "NV_RATE", 0x923: "NV_UNAVAILABLE"}


def sign(key) -> None:
    key.public_key().verify(key.sign(b"m", ec.ECDSA(hashes.SHA256())), b"m", ec.ECDSA(hashes.SHA256()))


def code_of(command: bytes) -> int:
    return int.from_bytes(command[6:10], "big")


class Answer:
    """Answer the first commands of one kind in the TPM's place."""

    def __init__(self, command: int, *answers: object) -> None:
        self.command, self.answers = command, list(answers)

    def __call__(self, command: bytes) -> object:
        return self.answers.pop(0) if self.answers and code_of(command) == self.command else None


@pytest.mark.parametrize(
    ("command", "code"),
    [(SIGN, code) for code in PATIENT] + [(LOAD, 0x922), (FLUSH, 0x922), (FLUSH, 0x920), (EVICT, 0x920)],
)
def test_a_tpm_that_says_later(wire, command: int, code: int) -> None:
    """RETRY and its relatives are repeated with growing pauses until the TPM has time."""
    uri = f"tpm2:handle=0x81000010?tcti={wire.tcti}"
    # ESAPI repeats some of them five times itself, without a pause
    wire.script = Answer(command, *[code] * (12 if code in (0x922, 0x908, 0x90A) else 5))
    sign(registry.create_key(uri, "ec-p256"))
    assert wire.script.answers == []


@pytest.mark.slow
def test_patience_ends(wire, tmp_path) -> None:
    uri = Tpm2Uri(file=str(tmp_path / "key.pem"), tcti=wire.tcti)
    key = Tpm2KeyStore(deadline_s=0.3).create(uri, registry.KeyType.EC_P256)
    wire.script = Answer(SIGN, *[0x920] * 10000)
    start = time.monotonic()
    with pytest.raises(KeyStoreBusyError):
        sign(key)
    assert 0.2 < time.monotonic() - start < 30
    wire.script = lambda _: None
    sign(key)


@pytest.mark.parametrize("code", [0x9A2, 0x98E, 0x921])
def test_authorisation_failures_are_never_repeated(wire, tmp_path, code: int) -> None:
    key = registry.create_key(f"tpm2:file={tmp_path}/key.pem?tcti={wire.tcti}", "ec-p256")
    wire.seen.clear()
    wire.script = Answer(SIGN, code)
    with pytest.raises(KeyStoreError) as caught:
        sign(key)
    assert caught.value.code in ("pin-required", "pin-locked")
    assert wire.seen.count(SIGN) == 1


@pytest.mark.parametrize("when", ["cut", "cut after", 0x910], ids=["lost", "answer lost", "reset"])
@pytest.mark.parametrize("command", [SIGN, CONTEXT_LOAD, FLUSH])
def test_a_connection_that_breaks_once(wire, tmp_path, when: object, command: int) -> None:
    """An invalidated session is reopened once, and what is idempotent is done again."""
    key = registry.create_key(f"tpm2:file={tmp_path}/key.pem?tcti={wire.tcti}", "ec-p256")
    wire.script = Answer(command, when)
    sign(key)
    assert wire.script.answers == []
    sign(key)


def test_a_connection_that_breaks_twice(wire, tmp_path) -> None:
    key = registry.create_key(f"tpm2:file={tmp_path}/key.pem?tcti={wire.tcti}", "ec-p256")
    wire.script = Answer(SIGN, "cut", "cut")
    with pytest.raises(TokenRemovedError):
        sign(key)
    sign(key)


@pytest.mark.parametrize("when", ["cut", "cut after"])
def test_the_answer_to_making_a_key_persistent_is_lost(wire, when: str) -> None:
    """Whether it happened or not, create ends with exactly one key under the handle, and it is the one returned."""
    uri = f"tpm2:handle=0x81000010?tcti={wire.tcti}"
    wire.script = Answer(EVICT, when)
    key = registry.create_key(uri, "ec-p256")
    assert registry.open_key(uri).public_key() == key.public_key()
    sign(key)


def test_killed_in_the_middle_of_a_signature(swtpm: Swtpm, wire, tmp_path) -> None:
    """No hang; and the key works again when the TPM is back, without being opened anew."""
    keys = [
        registry.create_key(f"tpm2:{place}?tcti={wire.tcti}", "ec-p256")
        for place in (f"file={tmp_path}/key.pem", "handle=0x81000010")
    ]

    def power_cut(command: bytes) -> object:
        if code_of(command) == SIGN:
            swtpm.kill()
            return "cut"
        return None

    for key in keys:
        wire.script = power_cut
        start = time.monotonic()
        with pytest.raises(TokenRemovedError):
            sign(key)
        assert time.monotonic() - start < 30
        wire.script = lambda _: None
        with pytest.raises(TokenRemovedError):
            sign(key)
        swtpm.start()
        sign(key)


def test_a_restarted_tpm_is_noticed(swtpm: Swtpm, tmp_path) -> None:
    """The saved context is of a time before the reset: the key is loaded from its file again."""
    key = registry.create_key(f"tpm2:file={tmp_path}/key.pem", "ec-p256")
    for _ in range(3):
        swtpm.restart()
        sign(key)


def test_a_cleared_tpm(swtpm: Swtpm, tools, tmp_path) -> None:
    """The owner's seed is new: the key is gone for good, and the message says so."""
    key = registry.create_key(f"tpm2:file={tmp_path}/key.pem", "ec-p256")
    tools("tpm2_clear")
    with pytest.raises(StoreCorruptError, match="the TPM was cleared"):
        sign(key)


@pytest.mark.slow
def test_foreign_objects_in_all_slots(swtpm: Swtpm, tools, tmp_path) -> None:
    """Other programs' objects are not ours to flush: an error with the command that frees them, soon."""
    key = registry.create_key(f"tpm2:file={tmp_path}/key.pem", "ec-p256")
    for _ in range(3):
        tools("tpm2_createprimary", "-Q", "-C", "o", "-c", "p.ctx")
    start = time.monotonic()
    with pytest.raises(KeyStoreBusyError, match="tpm2_flushcontext -t"):
        sign(key)
    assert time.monotonic() - start < 60
    tools("tpm2_flushcontext", "-t")
    sign(key)


@pytest.mark.slow
def test_a_tpm_in_failure_mode(wire, tmp_path) -> None:
    """TPM_RC_FAILURE to everything is not a bad padding; a TPM that was well a moment ago is asked again after a second."""
    from cryptography.hazmat.primitives.asymmetric import padding

    key = registry.create_key(f"tpm2:file={tmp_path}/key.pem?tcti={wire.tcti}", "rsa-2048")
    wire.script = lambda command: 0x101 if code_of(command) in (0x159, 0x17B) else None
    time.sleep(1.05)
    for _ in range(2):
        with pytest.raises(KeyStoreFailedError, match="failure mode"):
            key.decrypt(bytes(256), padding.PKCS1v15())
    wire.script = lambda command: None
    assert key.decrypt(key.public_key().encrypt(b"x", padding.PKCS1v15()), padding.PKCS1v15()) == b"x"


@pytest.mark.parametrize("answer", [0x101, 0x2C4, 0x2D5], ids=["FAILURE", "VALUE", "SIZE"])
def test_a_bad_padding_costs_the_commands_of_a_good_one_cale_70(wire, answer) -> None:
    """Whatever the TPM calls it, and then and in the decryption after it: a question more would show in the time."""
    from cryptography.hazmat.primitives.asymmetric import padding

    sent: list[int] = []
    bad = False

    def script(command: bytes) -> int | None:
        sent.append(code_of(command))
        return answer if bad and code_of(command) == 0x159 else None

    key = registry.create_key(f"tpm2:handle=0x81000010?tcti={wire.tcti}", "rsa-2048")
    ciphertext = key.public_key().encrypt(b"x", padding.PKCS1v15())
    wire.script = script
    commands = []
    for bad in (False, True, False):
        sent.clear()
        with pytest.raises(ValueError, match="failed") if bad else nullcontext():
            assert key.decrypt(ciphertext, padding.PKCS1v15()) == b"x"
        commands.append(list(sent))
    assert commands[0] == commands[1] == commands[2]
    assert 0x159 in commands[0]


def test_unknown_codes_are_shown(wire, tmp_path) -> None:
    key = registry.create_key(f"tpm2:file={tmp_path}/key.pem?tcti={wire.tcti}", "ec-p256")
    wire.script = Answer(SIGN, 0x155)
    with pytest.raises(KeyStoreFailedError, match="0x155") as caught:
        sign(key)
    assert caught.value.return_code == 0x155
