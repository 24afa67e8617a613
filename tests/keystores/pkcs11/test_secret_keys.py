"""Symmetric keys go into a token for what they are for, and do not come out again (K-11); another process judges."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from device_sdk_simulators.softhsm import SoftHsm
from pkcs11.constants import Attribute

from device_sdk.errors import (
    ExtractableKeyError,
    KeyExistsError,
    KeysNotStoredError,
    KeyStoreError,
    KeyStoreFailedError,
    MechanismUnsupportedError,
    UriError,
)
from device_sdk.keystores.secret_import import store_keys
from device_sdk.model.secret import Secret
from device_sdk.model.symmetric_keys import KeyUsage, SymmetricKey
from tests.keystores.pkcs11.faulty import FaultyModule
from tests.keystores.pkcs11.tools import objects

VALUE = bytes(range(16))
USES = {
    KeyUsage.ENCRYPT: Attribute.ENCRYPT,
    KeyUsage.DECRYPT: Attribute.DECRYPT,
    KeyUsage.INTEGRITY: Attribute.SIGN,
    KeyUsage.OTP: Attribute.SIGN,
    KeyUsage.CHALLENGE_RESPONSE: Attribute.SIGN,
    KeyUsage.VERIFY: Attribute.VERIFY,
    KeyUsage.WRAP: Attribute.WRAP,
    KeyUsage.UNWRAP: Attribute.UNWRAP,
    KeyUsage.DERIVE: Attribute.DERIVE,
}


def key(key_id: str = "k1", value: bytes = VALUE, *, is_aes: bool = True, usages=(KeyUsage.ENCRYPT,)) -> SymmetricKey:
    return SymmetricKey(key_id, "urn:aes", is_aes, frozenset(usages), Secret(value), f"label of {key_id}")


JUDGE = """
import json, sys, pkcs11
from pkcs11.constants import Attribute, ObjectClass
module, label, pin, kinds = sys.argv[1], sys.argv[2], sys.stdin.read(), sys.argv[3].split(",")
with pkcs11.lib(module).get_token(token_label=label).open(user_pin=pin) as session:
    found = {}
    for one in list(session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY})):
        said = {kind: one[Attribute[kind]] for kind in kinds}
        try:
            said["VALUE"] = one[Attribute.VALUE].hex()
        except pkcs11.exceptions.PKCS11Error:
            said["VALUE"] = None
        try:
            said["used"] = one.encrypt(bytes(16), mechanism=pkcs11.Mechanism.AES_ECB).hex()
        except (pkcs11.exceptions.PKCS11Error, AttributeError):
            said["used"] = None
        found[bytes(one[Attribute.ID]).hex()] = said
    print(json.dumps(found))
"""


@pytest.fixture
def secrets(token: SoftHsm) -> Callable[[], dict[bytes, dict[str, object]]]:
    """What another program finds on the token."""

    def found() -> dict[bytes, dict[str, object]]:
        kinds = ",".join(sorted({one.name for one in USES.values()} | {"SENSITIVE", "EXTRACTABLE", "PRIVATE", "LABEL"}))
        words = [sys.executable, "-c", JUDGE, token.module_path, token.label, kinds]
        done = subprocess.run(
            words, input=token.pin, env=os.environ | token.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return {bytes.fromhex(name): said for name, said in json.loads(done.stdout).items()}

    return found


@pytest.mark.parametrize("usage", KeyUsage)
def test_k_11_only_what_it_is_for(token: SoftHsm, secrets, usage: KeyUsage) -> None:
    stored = store_keys([key(usages=[usage], is_aes=usage is not KeyUsage.OTP)], token.uri)
    assert list(stored.places) == ["k1"]
    assert "type=secret-key" in stored.places["k1"]
    assert token.pin not in stored.places["k1"]
    (said,) = secrets().values()
    assert {kind for kind in USES.values() if said[kind.name]} == {USES[usage]}
    assert (said["SENSITIVE"], said["EXTRACTABLE"], said["PRIVATE"], said["VALUE"]) == (True, False, True, None)
    assert said["LABEL"] == "label of k1"


def test_the_token_uses_the_key(token: SoftHsm, secrets) -> None:
    store_keys([key("a"), key("b", usages=[KeyUsage.DECRYPT])], token.uri)
    encryptor = Cipher(algorithms.AES(VALUE), modes.ECB()).encryptor()  # noqa: S305  # a single block
    found = secrets()
    assert found[b"a"]["used"] == (encryptor.update(bytes(16)) + encryptor.finalize()).hex()
    assert found[b"b"]["used"] is None


def test_k_11_a_name_that_is_taken(token: SoftHsm, secrets) -> None:
    """Nothing is stored unless somebody says so; the new key takes the place of the old one."""
    store_keys([key("b")], token.uri)
    with pytest.raises(KeyExistsError, match="a key of that identifier exists"):
        store_keys([key("a"), key("b")], token.uri)
    assert set(secrets()) == {b"b"}
    store_keys([key("a"), key("b", usages=[KeyUsage.DECRYPT])], token.uri, replace=True)
    found = secrets()
    assert set(found) == {b"a", b"b"}
    assert found[b"b"]["DECRYPT"]


def test_long_identifiers(token: SoftHsm, secrets) -> None:
    store_keys([key("x" * 65)], token.uri)
    (found,) = secrets()
    assert len(found) == 32


def test_what_the_uri_may_say(token: SoftHsm) -> None:
    for replace in (False, True):
        with pytest.raises(UriError, match="names of their own"):
            store_keys([key()], token.uri_of("x"), replace=replace)


def test_keystores_that_take_none() -> None:
    with pytest.raises(MechanismUnsupportedError, match="takes no symmetric keys"):
        store_keys([key()], "file:/x/k.pem")


def test_k_11_half_way_says_which(faulty: FaultyModule, secrets) -> None:
    """The token is full after the first key: it stays, the others do not, and the error names them."""
    keys = [key("a"), key("b"), key("c")]
    faulty.fail("C_CreateObject", 0x31, after=1, times=100)
    with pytest.raises(KeysNotStoredError) as caught:
        store_keys(keys, faulty.uri)
    assert (caught.value.stored, caught.value.missing) == (("a",), ("b", "c"))
    assert set(secrets()) == {b"a"}
    faulty.reset()
    faulty.fail("C_CreateObject", 0x31, times=100)
    with pytest.raises(KeyStoreError):
        store_keys([key("d")], faulty.uri)
    faulty.reset()
    store_keys(keys, faulty.uri, replace=True)
    assert set(secrets()) == {b"a", b"b", b"c"}


@pytest.mark.parametrize("code", [0x31, 0x82])
def test_a_full_token_is_called_that(faulty: FaultyModule, secrets, code: int) -> None:
    """SoftHSM on a full disk knows nothing of the object that it just made (0x82)."""
    faulty.fail("C_CreateObject", code, times=100)
    with pytest.raises(KeyStoreError, match=r"full|is there room") as caught:
        store_keys([key()], faulty.uri)
    assert caught.value.no_room is True


@pytest.mark.parametrize(("hidden", "error"), [(0x103, ExtractableKeyError), (0x104, KeyStoreFailedError)])
def test_k_11_a_token_that_does_not_say_so(
    faulty: FaultyModule, secrets, hidden: int, error: type[KeyStoreError]
) -> None:
    """Neither that the key is sensitive, nor that it encrypts: it is destroyed again, and the old one stays."""
    store_keys([key()], faulty.uri)
    faulty.lie("hide_attribute", hidden)
    with pytest.raises(error, match="it was destroyed"):
        store_keys([key()], faulty.uri, replace=True)
    faulty.reset()
    assert set(secrets()) == {b"k1"}
    assert len(objects(faulty.token)) == 1


def test_files_that_are_no_names(tmp_path: Path) -> None:
    stored = store_keys([key("../../etc/passwd"), key(".hidden"), key("plain")], tmp_path)
    assert {Path(one).parent for one in stored.places.values()} == {tmp_path}
    assert (tmp_path / "plain.key.json").stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyStoreError, match="is no directory"):
        store_keys([key()], tmp_path / "missing")
