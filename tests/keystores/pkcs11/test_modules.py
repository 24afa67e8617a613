"""Which module is loaded, and how."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk_simulators.softhsm import SoftHsm

from device_sdk.errors import KeyStoreFailedError, MissingDependencyError, TokenNotFoundError
from device_sdk.keystores.keys import EcDeviceKey
from device_sdk.keystores.pkcs11 import forget_modules
from device_sdk.keystores.pkcs11.places import directories
from device_sdk.keystores.registry import create_key, list_keys
from tests.keystores.pkcs11.faulty import FaultyModule

CKF_OS_LOCKING_OK = 0x2


def unnamed(token: SoftHsm) -> str:
    return token.uri.replace(f"module-path={token.module_path}&", "")


@pytest.fixture(autouse=True)
def no_modules_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PKCS11_MODULE", "PKCS11_PROVIDER_MODULE"):
        monkeypatch.delenv(name, raising=False)


def test_a_missing_file_is_named(token: SoftHsm) -> None:
    with pytest.raises(TokenNotFoundError, match=r"/nowhere/lib\.so"):
        list_keys("pkcs11:token=a?module-path=/nowhere/lib.so")


def test_a_missing_name_says_where_it_was_looked_for(token: SoftHsm) -> None:
    with pytest.raises(TokenNotFoundError, match="/usr/lib/pkcs11") as caught:
        list_keys("pkcs11:token=a?module-name=nosuchthing")
    assert "nosuchthing" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a library"])
def test_a_file_that_is_no_library(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "module.so"
    path.write_bytes(content)
    with pytest.raises(TokenNotFoundError, match=r"module\.so"):
        list_keys(f"pkcs11:token=a?module-path={path}")


def test_a_library_that_is_no_module() -> None:
    library = next(path for path in Path("/lib").glob("*/libm.so.6"))
    with pytest.raises(TokenNotFoundError, match="C_GetFunctionList"):
        list_keys(f"pkcs11:token=a?module-path={library}")


def test_the_module_by_its_name(token: SoftHsm) -> None:
    """RFC 7512: libsofthsm2.so is module-name=softhsm2."""
    uri = unnamed(token).replace("?", "?module-name=softhsm2&")
    with create_key(uri.replace("?", ";object=device?"), "ec-p256") as key:
        assert "module-name=softhsm2" in key.info.uri
        assert "module-path" not in key.info.uri


@pytest.mark.parametrize("variable", ["PKCS11_MODULE", "PKCS11_PROVIDER_MODULE"])
def test_the_module_by_the_environment(faulty: FaultyModule, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, faulty.path)
    assert list_keys(unnamed(faulty.token)) == ()
    assert faulty.calls("C_Initialize")
    monkeypatch.setenv(variable, "/nowhere.so")
    with pytest.raises(TokenNotFoundError, match=variable):
        list_keys(unnamed(faulty.token))


def test_the_module_by_default(token: SoftHsm) -> None:
    """Without any hint p11-kit's proxy or SoftHSM is found; the key's own URI then names it."""
    with create_key(unnamed(token).replace("?", ";object=device?"), "ec-p256") as key:
        assert "module-path=/" in key.info.uri


def test_modules_are_searched_where_debian_openwrt_and_yocto_put_them() -> None:
    places = {str(path) for path in directories()}
    assert {"/usr/lib/pkcs11", "/usr/lib", "/usr/lib/softhsm", "/usr/local/lib"} <= places
    assert any("linux-gnu" in place for place in places)


def test_the_module_is_initialised_for_threads(faulty: FaultyModule) -> None:
    """CKF_OS_LOCKING_OK, which python-pkcs11 would not send; the module's function list is in read-only memory."""
    list_keys(faulty.uri)
    assert faulty.initialize_flags == CKF_OS_LOCKING_OK


@pytest.mark.slow
def test_a_module_that_cannot_lock_sees_one_thread_at_a_time(faulty_library: str, tmp_path: Path) -> None:
    """CKR_CANT_LOCK: initialised without arguments, and every call waits for its turn."""
    script = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from device_sdk_simulators.softhsm import SoftHsm
from tests.keystores.pkcs11.faulty import FaultyModule
from device_sdk.keystores.registry import create_key
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
import os
token = SoftHsm()
os.environ.update(token.environment, FAULTY_TARGET=token.module_path)
faulty = FaultyModule(sys.argv[2], token)
faulty.lie("cant_lock", 1)
key = create_key(faulty.uri_of("device"), "ec-p256")
threads = [threading.Thread(target=lambda: [key.sign(b"x", ec.ECDSA(hashes.SHA256())) for _ in range(30)]) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join(60) for thread in threads]
print(faulty.initialize_flags, faulty.most_inside)
token.close()
"""
    root = str(Path(__file__).parents[3])
    command = [sys.executable, "-c", script, root, faulty_library]
    environment = os.environ | {"DEVICE_SDK_REFUSED_PINS": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout.split() == ["0", "1"], done.stderr


def test_a_module_that_does_not_initialise(faulty: FaultyModule) -> None:
    faulty.fail("C_Initialize", 0x05)
    with pytest.raises(KeyStoreFailedError, match="CKR_GENERAL_ERROR") as caught:
        list_keys(faulty.uri)
    assert caught.value.operation == "C_Initialize"
    assert list_keys(faulty.uri) == ()


def test_a_changed_configuration_is_noticed(token: SoftHsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SoftHSM reads SOFTHSM2_CONF when it is initialised: another file is another set of tokens."""
    key = create_key(token.uri_of("device"), "ec-p256")
    with SoftHsm(tmp_path / "other") as other:
        monkeypatch.setenv("SOFTHSM2_CONF", str(other.conf))
        assert list_keys(other.uri) == ()
        monkeypatch.setenv("SOFTHSM2_CONF", str(token.conf))
    assert list_keys(token.uri) == (key.info,)


def test_a_token_made_while_the_module_is_loaded(token: SoftHsm, tmp_path: Path) -> None:
    copy = tmp_path / "libsofthsm2-copy.so"
    shutil.copy(token.module_path, copy)  # one that has keys of other tests open is not restarted
    assert list_keys(token.uri.replace(token.module_path, str(copy))) == ()
    token.add_token("second")
    assert list_keys(token.uri_of(token="second").replace(token.module_path, str(copy))) == ()


@pytest.mark.slow
def test_a_key_that_was_forgotten_does_not_hide_a_new_token(token: SoftHsm, tmp_path: Path) -> None:
    """Not closed, but collected: the module may be restarted to see what is new."""
    copy = tmp_path / "libsofthsm2-copy.so"
    shutil.copy(token.module_path, copy)
    key = create_key(token.uri_of("device").replace(token.module_path, str(copy)), "ec-p256")
    key.public_key()
    del key
    gc.collect()
    token.add_token("second")
    assert list_keys(token.uri_of(token="second").replace(token.module_path, str(copy))) == ()


def test_forgetting_modules_ends_what_was_open(faulty: FaultyModule) -> None:
    key = create_key(faulty.uri_of("device"), "ec-p256")
    assert isinstance(key, EcDeviceKey)
    forget_modules()
    assert faulty.calls("C_Finalize") >= 1
    key.sign(b"x", ec.ECDSA(hashes.SHA256()))


def test_threads_that_load_a_module_at_once(token: SoftHsm, tmp_path: Path) -> None:
    """The first use from many threads; python-pkcs11 by itself crashes here."""
    copy = tmp_path / "libsofthsm2-copy.so"
    shutil.copy(token.module_path, copy)
    uri = token.uri.replace(token.module_path, str(copy))
    results: list[object] = []
    threads = [threading.Thread(target=lambda: results.append(list_keys(uri))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [()] * 16


def test_without_the_extra_the_error_says_what_to_install() -> None:
    code = """
import sys
sys.modules["pkcs11"] = None
from device_sdk.keystores.registry import open_key
from device_sdk.errors import MissingDependencyError
try:
    open_key("pkcs11:object=a")
except MissingDependencyError as error:
    print(error.extra, error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "pkcs11 pip install 'device-sdk[pkcs11]'\n", done.stderr
    assert MissingDependencyError.exit_code == 2
