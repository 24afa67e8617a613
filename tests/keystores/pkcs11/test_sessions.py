"""Sessions: one login, none leaked, reopened once when they are lost."""

from __future__ import annotations

import gc
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from device_sdk_simulators.softhsm import SoftHsm

from device_sdk.errors import (
    KeyNotFoundError,
    KeyStoreError,
    KeyStoreFailedError,
    PinRequiredError,
    TokenRemovedError,
)
from device_sdk.keystores.keys import EcDeviceKey, RsaDeviceKey
from device_sdk.keystores.pkcs11 import Pkcs11KeyStore
from device_sdk.keystores.registry import create_key, delete_key, list_keys
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri
from tests.keystores.pkcs11.faulty import FaultyModule

SHA256 = hashes.SHA256()
SHA1 = hashes.SHA1()  # noqa: S303  # the one hash that OAEP of SoftHSM has
LOST = {
    "SESSION_CLOSED": 0xB0,
    "SESSION_HANDLE_INVALID": 0xB3,
    "USER_NOT_LOGGED_IN": 0x101,
    "OPERATION_ACTIVE": 0x90,
    "OBJECT_HANDLE_INVALID": 0x82,
    "KEY_HANDLE_INVALID": 0x60,
    "DEVICE_ERROR": 0x30,
    "DEVICE_MEMORY": 0x31,
    "DEVICE_REMOVED": 0x32,
    "TOKEN_NOT_PRESENT": 0xE0,
    "TOKEN_NOT_RECOGNIZED": 0xE1,
    "SLOT_ID_INVALID": 0x03,
    "CRYPTOKI_NOT_INITIALIZED": 0x190,
}


def ec_key(uri: str) -> EcDeviceKey:
    key = create_key(uri, "ec-p256", reuse=True)
    assert isinstance(key, EcDeviceKey)
    return key


def sign(key: EcDeviceKey) -> None:
    key.public_key().verify(key.sign(b"x", ec.ECDSA(SHA256)), b"x", ec.ECDSA(SHA256))


def in_threads(count: int, work: Callable[[], None]) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # shown by the assertion
            errors.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert not any(thread.is_alive() for thread in threads), "deadlock"
    assert errors == []


def resident_kib() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


@pytest.mark.parametrize("code", LOST.values(), ids=LOST.keys())
def test_a_lost_session_is_reopened_once(faulty: FaultyModule, code: int) -> None:
    """An invalidated session is reopened once; the caller sees nothing of it."""
    key = ec_key(faulty.uri_of("device"))
    sign(key)
    faulty.fail("C_Sign", code)
    logins, starts = faulty.calls("C_Login"), faulty.calls("C_Initialize")
    sign(key)
    assert faulty.calls("C_Login") == logins + 1
    # A lost session is opened anew; for a lost token some modules have to be started again.
    assert faulty.calls("C_Initialize") - starts == (0 if code in (0xB0, 0xB3, 0x101, 0x90) else 1)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (0xB3, KeyStoreFailedError),
        (0x101, PinRequiredError),
        (0x82, KeyNotFoundError),
        (0x32, TokenRemovedError),
        (0xE0, TokenRemovedError),
        (0x30, KeyStoreFailedError),
    ],
)
def test_a_session_that_stays_lost_is_a_typed_error(
    faulty: FaultyModule, code: int, error: type[KeyStoreError]
) -> None:
    """Reopened once, not for ever."""
    key = ec_key(faulty.uri_of("device"))
    faulty.fail("C_SignInit", code, times=1000)
    calls = faulty.calls("C_SignInit")
    with pytest.raises(error) as caught:
        sign(key)
    assert caught.value.return_code == code
    assert caught.value.uri == key.info.uri
    assert faulty.calls("C_SignInit") == calls + 2
    faulty.fail("C_SignInit", 0, times=0)
    sign(key)


@pytest.mark.parametrize("function", ["C_OpenSession", "C_Login", "C_FindObjectsInit", "C_GetTokenInfo", "C_SignInit"])
@pytest.mark.parametrize("code", [0xB3, 0x32, 0x190])
def test_losses_anywhere_in_an_operation(faulty: FaultyModule, function: str, code: int) -> None:
    key = ec_key(faulty.uri_of("device"))
    faulty.fail("C_Sign", 0x32)
    faulty.fail(function, code)
    try:
        sign(key)
    except KeyStoreError:
        sign(key)  # two losses in one operation are one too many; the next one works again


def test_other_errors_are_not_repeated(faulty: FaultyModule) -> None:
    key = ec_key(faulty.uri_of("device"))
    faulty.fail("C_Sign", 0x54, times=1000)
    calls = faulty.calls("C_Sign")
    with pytest.raises(KeyStoreError, match="CKR_FUNCTION_NOT_SUPPORTED"):
        sign(key)
    assert faulty.calls("C_Sign") == calls + 1


def test_unknown_codes_are_shown_in_hex(faulty: FaultyModule) -> None:
    key = ec_key(faulty.uri_of("device"))
    faulty.fail("C_Sign", 0x80000123)
    with pytest.raises(KeyStoreFailedError, match="0x80000123") as caught:
        sign(key)
    assert caught.value.return_code == 0x80000123


def test_a_failed_operation_discards_its_session(faulty: FaultyModule) -> None:
    """Some modules leave it active: the next user would meet CKR_OPERATION_ACTIVE."""
    key = ec_key(faulty.uri_of("device"))
    sign(key)
    closed = faulty.calls("C_CloseSession")
    faulty.fail("C_Sign", 0x06)
    with pytest.raises(KeyStoreFailedError):
        sign(key)
    assert faulty.calls("C_CloseSession") == closed + 1
    sign(key)


@pytest.mark.slow
@pytest.mark.parametrize(
    "scheme", [padding.PKCS1v15(), padding.OAEP(padding.MGF1(SHA1), SHA1, None)], ids=["v1.5", "oaep"]
)
def test_a_bad_ciphertext_costs_the_calls_of_a_good_one_cale_70(
    faulty: FaultyModule, scheme: padding.AsymmetricPadding
) -> None:
    """A new session and a search, then or in the decryption after it, would show in the time which paddings were bad."""
    with create_key(faulty.uri_of("device"), "rsa-2048") as key:
        assert isinstance(key, RsaDeviceKey)
        good = key.public_key().encrypt(b"x", scheme)
        assert key.decrypt(good, scheme) == b"x"
        counted = ("C_OpenSession", "C_CloseSession", "C_FindObjectsInit", "C_Login", "C_Decrypt")
        calls = []
        bad = bytes(255) + b"\1"  # of the block that it is, too: of others one in 100,000 is well padded by chance
        for ciphertext in (good, bad, good):
            before = [faulty.calls(name) for name in counted]
            with nullcontext() if ciphertext is good else pytest.raises(ValueError, match="failed"):
                assert key.decrypt(ciphertext, scheme) == b"x"
            calls.append([faulty.calls(name) - count for name, count in zip(counted, before, strict=True)])
        assert calls[0] == calls[1] == calls[2]


@pytest.mark.slow
def test_a_module_that_leaves_a_bad_decryption_active(faulty: FaultyModule) -> None:
    """The session was kept; the next one to use it gets over CKR_OPERATION_ACTIVE, which SoftHSM really answers here."""
    with create_key(faulty.uri_of("device"), "rsa-2048") as key:
        assert isinstance(key, RsaDeviceKey)
        ciphertext = key.public_key().encrypt(b"x", padding.PKCS1v15())
        faulty.fail("C_Decrypt", 0x05, times=2)
        with pytest.raises(ValueError, match="Decryption failed"):
            key.decrypt(ciphertext, padding.PKCS1v15())
        assert key.decrypt(ciphertext, padding.PKCS1v15()) == b"x"


@pytest.mark.slow
def test_cale_70_the_padding_of_a_token_that_does_bare_rsa_is_not_asked(faulty: FaultyModule) -> None:
    """One C_Decrypt of each kind of block, and the padding is judged here; without bare RSA the token does it."""
    with create_key(faulty.uri_of("device"), "rsa-2048") as key:
        assert isinstance(key, RsaDeviceKey)
        ciphertext = key.public_key().encrypt(b"x", padding.PKCS1v15())
        for refused in (None, 0x3):
            faulty.lie("refuse_mechanism", 0 if refused is None else refused + 1)
            for _ in range(2):
                assert key.decrypt(ciphertext, padding.PKCS1v15()) == b"x"
                with pytest.raises(ValueError, match="Decryption failed"):
                    key.decrypt(bytes(255) + b"\1", padding.PKCS1v15())
            with pytest.raises(ValueError, match="Decryption failed"):
                key.decrypt(b"\xff" * 256, padding.PKCS1v15())


def test_sessions_are_renewed_by_count(faulty: FaultyModule) -> None:
    """A session that suffered from something is not met for ever."""
    key = ec_key(faulty.uri_of("device"))
    sign(key)
    closed = faulty.calls("C_CloseSession")
    for _ in range(600):
        key.sign(b"x", ec.ECDSA(SHA256))
    assert faulty.calls("C_CloseSession") == closed + 2


@pytest.mark.slow
def test_one_login_for_all_keys_and_stores(faulty: FaultyModule) -> None:
    """One login per process and token, ended by the last to leave."""
    first = ec_key(faulty.uri_of("one"))
    second = ec_key(faulty.uri_of("two"))
    list_keys(faulty.uri)
    with Pkcs11KeyStore() as store:
        store.open(Pkcs11Uri.parse(faulty.uri_of("one")))
    sign(first)
    sign(second)
    assert faulty.calls("C_Login") == 1
    first.close()
    sign(second)
    assert faulty.calls("C_Logout") == 0
    second.close()
    del first, second
    gc.collect()
    list_keys(faulty.uri)
    assert faulty.calls("C_OpenSession") == faulty.calls("C_CloseSession")
    assert faulty.calls("C_Login") == faulty.calls("C_Logout") == 2


def test_closing_a_store_closes_its_keys(token: SoftHsm) -> None:
    uri = Pkcs11Uri.parse(token.uri_of("device"))
    ec_key(token.uri_of("device")).close()
    with Pkcs11KeyStore() as store:
        key = store.open(uri)
    with pytest.raises(KeyStoreError, match="closed"):
        key.public_key() and key.exchange(ec.ECDH(), ec.generate_private_key(ec.SECP256R1()).public_key())  # type: ignore[union-attr,call-arg]  # an EC key


@pytest.mark.slow
def test_two_thousand_operations_leak_nothing(faulty: FaultyModule) -> None:
    """2,000 operations: sessions, file descriptors and memory stay; SoftHSM has no counts in CK_TOKEN_INFO, we count."""
    key = ec_key(faulty.uri_of("device"))
    rsa = create_key(faulty.uri_of("rsa"), "rsa-2048")
    assert isinstance(rsa, RsaDeviceKey)
    sealed = rsa.public_key().encrypt(b"x", padding.PKCS1v15())

    def work(times: int) -> None:
        for index in range(times):
            sign(key)
            if index % 20 == 0:
                assert rsa.decrypt(sealed, padding.PKCS1v15()) == b"x"
                with pytest.raises(ValueError, match="Decryption failed"):
                    rsa.decrypt(bytes(256), padding.PKCS1v15())

    work(200)
    gc.collect()
    files, memory = len(os.listdir("/proc/self/fd")), resident_kib()  # noqa: PTH208  # counting, not walking
    work(2000)
    gc.collect()
    assert faulty.calls("C_OpenSession") - faulty.calls("C_CloseSession") <= 3
    assert len(os.listdir("/proc/self/fd")) <= files  # noqa: PTH208  # the same
    assert resident_kib() - memory < 4096


@pytest.mark.slow
def test_a_token_that_was_away_works_again(token: SoftHsm) -> None:
    """SoftHSM sees a token that came back only after C_Finalize and C_Initialize."""
    key = ec_key(token.uri_of("device"))
    tokens, away = token.directory / "tokens", token.directory / "away"
    shutil.move(tokens, away)
    tokens.mkdir()
    with pytest.raises((TokenRemovedError, KeyNotFoundError)):
        sign(key)
    tokens.rmdir()
    shutil.move(away, tokens)
    sign(key)


def test_a_key_that_was_deleted_elsewhere(token: SoftHsm) -> None:
    key = ec_key(token.uri_of("device"))
    other = ec_key(token.uri_of("other"))
    delete_key(token.uri_of("device"))
    with pytest.raises(KeyNotFoundError):
        sign(key)
    sign(other)
