"""PINs: tried exactly once, never cached, never shown, and never the one that locks the token."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk_simulators.softhsm import SoftHsm

from device_sdk.errors import (
    KeyStoreFailedError,
    PinIncorrectError,
    PinLockedError,
    PinRefusedError,
    PinRequiredError,
)
from device_sdk.keystores.keys import EcDeviceKey
from device_sdk.keystores.registry import create_key, list_keys, open_key
from device_sdk.model.secret import Secret
from tests.keystores.pkcs11.faulty import FaultyModule
from tests.keystores.pkcs11.tools import pkcs11_tool

WRONG = "9090909090909"  # too long to be in a serial number or a digest by chance
COUNT_LOW, FINAL_TRY, LOCKED = 0x10000, 0x20000, 0x40000


def wrong(faulty: FaultyModule) -> str:
    return faulty.uri.replace(f"pin-source=file:{faulty.token.pin_file}", f"pin-value={WRONG}")


def without_pin(uri: str) -> str:
    return uri.partition("&pin-source")[0]


def test_a_wrong_pin_is_tried_exactly_once(faulty: FaultyModule) -> None:
    with pytest.raises(PinIncorrectError) as caught:
        list_keys(wrong(faulty))
    assert faulty.calls("C_Login") == 1
    assert caught.value.attempts_remaining is None
    assert WRONG not in "".join(traceback.format_exception(caught.value))
    assert WRONG not in str(caught.value.facts())


@pytest.mark.slow
def test_the_same_wrong_pin_is_not_tried_again_by_any_process(faulty: FaultyModule) -> None:
    """A restart loop cannot lock the token."""
    with pytest.raises(PinIncorrectError):
        list_keys(wrong(faulty))
    for _ in range(3):
        with pytest.raises(PinRefusedError, match="not tried again"):
            list_keys(wrong(faulty))
    assert faulty.calls("C_Login") == 1
    code = "import sys; from device_sdk.keystores.registry import *; list_keys(sys.argv[1])"
    uri = wrong(faulty).replace(faulty.path, faulty.token.module_path)
    done = subprocess.run([sys.executable, "-c", code, uri], capture_output=True, text=True, timeout=60, check=False)
    assert "PinRefusedError" in done.stderr
    assert WRONG not in done.stderr.replace(f"pin-value={WRONG}", "")


def test_the_right_pin_works_at_once_and_clears_the_marker(faulty: FaultyModule) -> None:
    with pytest.raises(PinIncorrectError):
        list_keys(wrong(faulty))
    assert list_keys(faulty.uri) == ()
    with pytest.raises(PinIncorrectError):
        list_keys(wrong(faulty))
    assert faulty.calls("C_Login") == 3


@pytest.mark.parametrize(("flags", "left"), [(FINAL_TRY | COUNT_LOW, 1), (LOCKED, 0), (COUNT_LOW, None)])
def test_the_error_says_how_many_tries_are_left(
    faulty: FaultyModule, monkeypatch: pytest.MonkeyPatch, flags: int, left: int | None
) -> None:
    """From CKF_USER_PIN_COUNT_LOW, FINAL_TRY and LOCKED, when the token tells."""
    login = faulty.calls("C_Login")
    provider_saw = []

    def provider(what: str) -> Secret:
        provider_saw.append(what)
        faulty.lie("set_flags", flags)  # what the token shows after the wrong PIN
        return Secret(WRONG)

    with pytest.raises(PinIncorrectError) as caught:
        list_keys(without_pin(faulty.uri), pin=provider)
    assert caught.value.attempts_remaining == left
    assert provider_saw == ["token device"]
    assert faulty.calls("C_Login") == login + 1


def test_the_last_try_is_not_taken(faulty: FaultyModule, monkeypatch: pytest.MonkeyPatch) -> None:
    """CKF_USER_PIN_FINAL_TRY: not even a right PIN, unless the caller insists."""
    faulty.lie("set_flags", FINAL_TRY)
    with pytest.raises(PinRefusedError, match="locks"):
        list_keys(faulty.uri)
    assert faulty.calls("C_Login") == 0
    monkeypatch.setenv("DEVICE_SDK_USE_FINAL_PIN_TRY", "1")
    assert list_keys(faulty.uri) == ()


def test_a_locked_token_is_not_asked(faulty: FaultyModule) -> None:
    faulty.lie("set_flags", LOCKED)
    with pytest.raises(PinLockedError, match="locked"):
        list_keys(faulty.uri)
    assert faulty.calls("C_Login") == 0


def test_a_token_that_says_locked(faulty: FaultyModule) -> None:
    faulty.fail("C_Login", 0xA4)
    with pytest.raises(PinLockedError) as caught:
        list_keys(faulty.uri)
    assert caught.value.return_code == 0xA4
    assert faulty.calls("C_Login") == 1


def test_no_pin_at_all(token: SoftHsm) -> None:
    with pytest.raises(PinRequiredError, match="wants a PIN"):
        list_keys(without_pin(token.uri))
    with pytest.raises(PinRequiredError):
        list_keys(without_pin(token.uri), pin=lambda what: None)


def test_the_provider_is_asked_once_for_one_operation(token: SoftHsm) -> None:
    asked = []

    def provider(what: str) -> Secret:
        asked.append(what)
        return Secret(token.pin)

    key = create_key(without_pin(token.uri_of("device")), "ec-p256", pin=provider)
    assert asked == ["token device"]
    assert isinstance(key, EcDeviceKey)
    for _ in range(3):
        key.sign(b"x", ec.ECDSA(hashes.SHA256()))
    assert len(asked) == 1


def test_nothing_caches_the_pin(faulty: FaultyModule) -> None:
    """After the login is lost the PIN is read anew; a PIN file that was removed is missed."""
    key = create_key(faulty.uri_of("device"), "ec-p256")
    assert isinstance(key, EcDeviceKey)
    faulty.token.pin_file.unlink()
    key.sign(b"x", ec.ECDSA(hashes.SHA256()))
    faulty.fail("C_Sign", 0xB3)
    with pytest.raises(PinRequiredError, match="No such file"):
        key.sign(b"x", ec.ECDSA(hashes.SHA256()))
    faulty.token.pin_file.write_text(faulty.token.pin)
    key.sign(b"x", ec.ECDSA(hashes.SHA256()))


def test_the_pin_may_be_in_the_environment(token: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_PIN", token.pin)
    assert list_keys(token.uri.replace(f"file:{token.pin_file}", "env:TOKEN_PIN")) == ()


@pytest.mark.slow
@pytest.mark.parametrize("threads", [32])
def test_a_wrong_pin_from_many_threads_is_still_tried_once(faulty: FaultyModule, threads: int) -> None:
    errors: list[BaseException] = []

    def attempt() -> None:
        try:
            list_keys(wrong(faulty))
        except (PinIncorrectError, PinRefusedError) as error:
            errors.append(error)

    workers = [threading.Thread(target=attempt) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert len(errors) == threads
    assert sum(type(error) is PinIncorrectError for error in errors) == 1
    assert faulty.calls("C_Login") == 1


@pytest.mark.slow
def test_no_failed_login_leaves_a_session(faulty: FaultyModule) -> None:
    for _ in range(20):
        with pytest.raises((PinIncorrectError, PinRefusedError)):
            list_keys(wrong(faulty))
    assert faulty.calls("C_OpenSession") == faulty.calls("C_CloseSession")


def test_the_pin_reaches_no_log_and_no_argument(
    faulty: FaultyModule, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(PinIncorrectError):
        list_keys(wrong(faulty))
    assert WRONG not in caplog.text
    for path in (tmp_path / "refused-pins").iterdir():
        assert WRONG.encode() not in path.read_bytes()
    assert WRONG not in Path(f"/proc/{os.getpid()}/cmdline").read_text()


@pytest.mark.parametrize("code", [0x05, 0x102])
def test_transient_login_failures_are_tried_again(faulty: FaultyModule, code: int) -> None:
    """SoftHSM answers so while another process rewrites the token; the PIN was not judged."""
    faulty.fail("C_Login", code, times=2)
    assert list_keys(faulty.uri) == ()
    assert faulty.calls("C_Login") == 3


def test_a_login_failure_that_the_token_counted_is_not_tried_again(faulty: FaultyModule) -> None:
    faulty.fail("C_Login", 0x05, times=100)

    def provider(what: str) -> Secret:
        faulty.lie("set_flags", COUNT_LOW)
        return Secret(WRONG)

    with pytest.raises(KeyStoreFailedError):
        list_keys(without_pin(faulty.uri), pin=provider)
    assert faulty.calls("C_Login") == 1


@pytest.mark.slow
def test_a_token_that_never_recovers_is_given_up(faulty: FaultyModule) -> None:
    faulty.fail("C_Login", 0x05, times=100000)
    with pytest.raises(KeyStoreFailedError, match="C_Login"):
        list_keys(faulty.uri)


def test_somebody_else_in_the_process_has_logged_in(token: SoftHsm) -> None:
    """CKR_USER_ALREADY_LOGGED_IN is success, and that login is not ended by us."""
    import pkcs11

    pkcs11_tool(token, "--keypairgen", "--key-type", "EC:prime256v1", "--label", "device", "--id", "01", "--sensitive")
    with suppress(pkcs11.exceptions.PKCS11Error):  # what other tests of this process left may be ended in C alone
        pkcs11.unload(token.module_path)
    library = pkcs11.lib(token.module_path)
    session = library.get_token(token_label=token.label).open(user_pin=token.pin)
    try:
        with open_key(token.uri_of("device")) as key:
            assert isinstance(key, EcDeviceKey)
            key.sign(b"x", ec.ECDSA(hashes.SHA256()))
        (private,) = session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY})
        assert private.label == "device"
    finally:
        session.close()
        pkcs11.unload(token.module_path)
