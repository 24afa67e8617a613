"""Keys born in a token: what they are, what is refused, and what is left behind."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk_simulators.softhsm import SoftHsm

from device_sdk.errors import (
    ExtractableKeyError,
    KeyExistsError,
    KeyStoreFailedError,
    MechanismUnsupportedError,
    UriError,
)
from device_sdk.keystores.keys import EcDeviceKey
from device_sdk.keystores.registry import create_key, list_keys, open_key
from device_sdk.model.keys import KeyType
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri
from tests.keystores.pkcs11.faulty import FaultyModule
from tests.keystores.pkcs11.tools import objects, openssl, pkcs11_tool
from tests.warm.running import Running

BORN_HERE = {
    "CKA_SENSITIVE": True,
    "CKA_EXTRACTABLE": False,
    "CKA_NEVER_EXTRACTABLE": True,
    "CKA_ALWAYS_SENSITIVE": True,
    "CKA_LOCAL": True,
    "CKA_PRIVATE": True,
    "CKA_MODIFIABLE": False,
    "CKA_COPYABLE": False,
}


@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", "ec-p521", "rsa-2048"])
def test_a_key_is_read_back_as_born_in_the_token(token: SoftHsm, key_type: str) -> None:
    """Hardware keys are generated with non-extractable attributes and read back to prove it."""
    key = create_key(token.uri_of("device key"), key_type)
    assert BORN_HERE.items() <= key.info.attributes.items()
    assert not key.info.extractable
    assert key.info.hardware
    assert key.info.key_type is KeyType(key_type)
    assert list_keys(token.uri) == (key.info,)
    with open_key(key.info.uri) as again:
        assert again.info == key.info
        assert again.public_key() == key.public_key()


@pytest.mark.slow
@pytest.mark.parametrize("key_type", ["rsa-3072", "rsa-4096"])
def test_large_rsa_keys(token: SoftHsm, key_type: str) -> None:
    assert create_key(token.uri_of("big"), key_type).key_size == int(key_type[4:])


@pytest.mark.parametrize("key_type", ["ec-p256", "rsa-2048"])
def test_pkcs11_tool_lists_it_as_non_extractable(token: SoftHsm, key_type: str) -> None:
    """`pkcs11-tool` lists our key as non-extractable; both halves have one label and one CKA_ID."""
    key = create_key(token.uri_of("device"), key_type)
    private, public = sorted(objects(token))
    assert private.startswith("Private Key Object")
    assert "Access:     sensitive, always sensitive, never extractable, local" in private
    for half in (private, public):
        assert "label:      device" in half
        assert f"ID:         {key.info.key_id}" in half


def test_the_uri_of_a_key_holds_everything_but_the_pin(token: SoftHsm) -> None:
    pin = f"pin-value={token.pin}"
    uri = token.uri_of("device").replace(f"pin-source=file:{token.pin_file}", pin)
    key = create_key(uri, "ec-p256")
    assert token.pin not in key.info.uri.replace(token.serial, "")
    read = Pkcs11Uri.parse(key.info.uri)
    assert (read.token, read.serial, read.label, read.object_type) == (token.label, token.serial, "device", "private")
    assert open_key(f"{key.info.uri}&{pin}").public_key() == key.public_key()


def test_a_name_is_taken_only_once(token: SoftHsm) -> None:
    """A key label that exists: create refuses, and is idempotent with reuse."""
    uri = token.uri_of("device")
    first = create_key(uri, "ec-p256")
    with pytest.raises(KeyExistsError, match="exists"):
        create_key(uri, "ec-p256")
    again = create_key(uri, "ec-p256", reuse=True)
    assert again.info == first.info
    with pytest.raises(KeyExistsError, match="ec-p256"):
        create_key(uri, "ec-p384", reuse=True)
    with pytest.raises(KeyExistsError):
        create_key(str(replace(Pkcs11Uri.parse(first.info.uri), label="other")), "ec-p256")
    assert len(objects(token)) == 2


def test_an_id_may_be_chosen(token: SoftHsm) -> None:
    key = create_key(token.uri.replace("?", ";id=%00%FF?"), "ec-p256")
    assert key.info.key_id == "00ff"
    assert key.info.label == ""
    assert open_key(key.info.uri).public_key() == key.public_key()


def test_labels_may_hold_anything_that_is_utf8(token: SoftHsm) -> None:
    label = "ключ; é?&=%41 /'\""
    uri = str(replace(Pkcs11Uri.parse(token.uri), label=label))
    assert create_key(uri, "ec-p256").info.label == label
    assert open_key(uri).info.label == label


@pytest.mark.parametrize("part", ["", ";type=private", ";object=a;type=cert", ";object=a;type=public"])
def test_a_uri_that_names_no_key_makes_none(token: SoftHsm, part: str) -> None:
    with pytest.raises(UriError):
        create_key(token.uri.replace("?", part + "?"), "ec-p256")
    assert objects(token) == []


@pytest.mark.parametrize(("leak", "failed"), [(1, "CKA_EXTRACTABLE"), (2, "CKA_SENSITIVE")])
def test_a_key_that_could_leave_is_destroyed(faulty: FaultyModule, leak: int, failed: str) -> None:
    """A key that fails the check is destroyed and the call errors; here the token really makes an extractable key."""
    faulty.lie("leak", leak)
    with pytest.raises(ExtractableKeyError) as caught:
        create_key(faulty.uri_of("device"), "ec-p256")
    assert caught.value.attributes is not None
    assert failed in caught.value.attributes
    assert objects(faulty.token) == []


def test_a_key_that_cannot_sign_is_destroyed(faulty: FaultyModule) -> None:
    """Test-sign after creation: what does not work is not left behind."""
    faulty.fail("C_Sign", 0x06, times=1000)
    with pytest.raises(KeyStoreFailedError, match="CKR_FUNCTION_FAILED"):
        create_key(faulty.uri_of("device"), "ec-p256")
    assert objects(faulty.token) == []


@pytest.mark.parametrize("attribute", [0x171, 0x170])
def test_modules_that_do_not_know_an_attribute_still_make_keys(faulty: FaultyModule, attribute: int) -> None:
    """CKA_COPYABLE and CKA_MODIFIABLE where the module takes them; the checked attributes always."""
    faulty.lie("refuse_attribute", attribute)
    assert not create_key(faulty.uri_of("device"), "ec-p256").info.extractable


def test_a_mechanism_the_token_does_not_have(faulty: FaultyModule) -> None:
    faulty.fail("C_GenerateKeyPair", 0x70)
    with pytest.raises(MechanismUnsupportedError, match="CKR_MECHANISM_INVALID"):
        create_key(faulty.uri_of("device"), "rsa-4096")


def test_a_public_half_without_its_private_one_is_swept(token: SoftHsm) -> None:
    """A power cut between the halves: the orphan goes, the new key comes."""
    old = create_key(token.uri_of("device"), "ec-p256")
    assert old.info.key_id is not None
    pkcs11_tool(token, "--delete-object", "--type", "privkey", "--id", old.info.key_id)
    assert len(objects(token)) == 1
    new = create_key(token.uri_of("device"), "ec-p256")
    assert new.info.key_id != old.info.key_id
    assert len(objects(token)) == 2


@pytest.mark.slow
def test_an_imported_public_key_of_the_same_label_is_left_alone(token: SoftHsm, tmp_path: object) -> None:
    old = create_key(token.uri_of("device"), "ec-p256")
    assert old.info.key_id is not None
    pkcs11_tool(token, "--read-object", "--type", "pubkey", "--id", old.info.key_id, "-o", f"{tmp_path}/public.der")
    pkcs11_tool(token, "--delete-object", "--type", "privkey", "--id", old.info.key_id)
    pkcs11_tool(token, "--delete-object", "--type", "pubkey", "--id", old.info.key_id)
    pkcs11_tool(
        token, "--write-object", f"{tmp_path}/public.der", "--type", "pubkey", "--id", "77", "--label", "device"
    )
    create_key(token.uri_of("device"), "ec-p256")
    assert len(objects(token)) == 3


def test_a_private_half_without_its_public_one_that_works_is_not_destroyed(token: SoftHsm) -> None:
    """It may be somebody's only key: the name is taken."""
    old = create_key(token.uri_of("device"), "ec-p256")
    assert old.info.key_id is not None
    pkcs11_tool(token, "--delete-object", "--type", "pubkey", "--id", old.info.key_id)
    with pytest.raises(KeyExistsError):
        create_key(token.uri_of("device"), "ec-p256")
    assert create_key(token.uri_of("device"), "ec-p256", reuse=True).public_key() == old.public_key()


def test_an_imported_key_is_not_reused_as_the_devices_own(token: SoftHsm, tmp_path: Path) -> None:
    """The checks of creation count for reuse too; the key is somebody's and stays where it is."""
    _import(token, tmp_path, "--usage-sign")
    uri = token.uri_of("imported")
    with pytest.raises(ExtractableKeyError, match="x-device-sdk-imported=allow") as caught:
        create_key(uri, "ec-p256", reuse=True)
    assert caught.value.attributes == ("CKA_NEVER_EXTRACTABLE", "CKA_ALWAYS_SENSITIVE", "CKA_LOCAL")
    with pytest.raises(KeyExistsError):
        create_key(uri, "ec-p256")
    assert len(objects(token)) == 2
    with create_key(uri + "&x-device-sdk-imported=allow", "ec-p256", reuse=True) as key:
        assert key.info.attributes["CKA_LOCAL"] is False


def test_an_imported_key_that_does_nothing_is_not_taken_for_debris(faulty: FaultyModule, tmp_path: Path) -> None:
    """A key that may do neither ECDH nor signatures and shows no public half: not made here, so not swept."""
    _import(faulty.token, tmp_path, "--usage-sign")
    pkcs11_tool(faulty.token, "--delete-object", "--type", "pubkey", "--id", "77")
    faulty.fail("C_DeriveKey", 0x68, times=100)
    faulty.fail("C_Sign", 0x68, times=100)
    for reuse in (False, True):
        with pytest.raises(KeyExistsError):
            create_key(faulty.uri_of("imported"), "ec-p256", reuse=reuse)
    assert len(objects(faulty.token)) == 1


def _import(token: SoftHsm, folder: Path, usage: str) -> None:
    private, public = folder / "private.der", folder / "public.der"
    openssl(
        "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-outform", "DER", "-out", str(private)
    )
    openssl("pkey", "-in", str(private), "-pubout", "-outform", "DER", "-out", str(public))
    names = ("--label", "imported", "--id", "77")
    pkcs11_tool(token, "--write-object", str(private), "--type", "privkey", "--sensitive", usage, *names)
    pkcs11_tool(token, "--write-object", str(public), "--type", "pubkey", *names)


def test_a_lonely_private_half_that_does_nothing_is_swept(faulty: FaultyModule) -> None:
    old = create_key(faulty.uri_of("device"), "ec-p256")
    assert old.info.key_id is not None
    pkcs11_tool(faulty.token, "--delete-object", "--type", "pubkey", "--id", old.info.key_id)
    faulty.fail("C_DeriveKey", 0x06, times=1)
    faulty.fail("C_Sign", 0x06, times=1)
    new = create_key(faulty.uri_of("device"), "ec-p256")
    assert new.info.key_id != old.info.key_id
    assert len(objects(faulty.token)) == 2


@pytest.mark.parametrize("function", ["C_GenerateKeyPair", "C_FindObjectsInit", "C_OpenSession"])
@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_lost_session_while_creating_leaves_one_key(faulty: FaultyModule, function: str, after: int) -> None:
    faulty.fail(function, 0xB3, after=after)
    key = create_key(faulty.uri_of("device"), "ec-p256")
    assert len(objects(faulty.token)) == 2
    assert open_key(key.info.uri).public_key() == key.public_key()


RACE = """
import sys
from device_sdk.errors import KeyExistsError
from device_sdk.keystores.registry import create_key
try:
    print(create_key(sys.argv[1], "ec-p256", reuse=sys.argv[2] == "reuse").info.key_id)
except KeyExistsError:
    print("exists")
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["reuse", "refuse"])
def test_processes_that_want_the_same_name_at_once(token: SoftHsm, tmp_path: Path, how: str) -> None:
    """Exactly one makes the key; the others use it or are refused, and nobody sweeps what another is making."""
    program = tmp_path / "race.py"
    program.write_text(RACE)
    with ExitStack() as stack:
        processes = [stack.enter_context(Running([program, token.uri_of("device"), how])) for _ in range(6)]
        assert [process.wait(100) for process in processes] == [0] * 6
        printed = [process.stdout.read().strip() for process in processes]
    made = open_key(token.uri_of("device")).info.key_id
    assert made is not None
    assert len(objects(token)) == 2
    assert sorted(printed) == sorted([made] * 6 if how == "reuse" else [made] + ["exists"] * 5)


CUT = """
import sys
from device_sdk.keystores.pkcs11 import Pkcs11KeyStore
from device_sdk.model.keys import KeyType
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri
uri = Pkcs11Uri.parse(sys.argv[1])
with Pkcs11KeyStore() as store:
    store.list(uri)
    print("logged in", flush=True)
    while True:
        store.create(uri, KeyType.EC_P256, reuse=True)
        store.delete(uri)
"""


@pytest.mark.slow
def test_killed_while_creating_and_deleting(token: SoftHsm, tmp_path: Path) -> None:
    """Killed at any moment: the same create afterwards leaves exactly one key, and it works.

    A delete that was cut off leaves a private key that works without its public object; it is reused.
    """
    rng = random.Random(9)  # noqa: S311  # moments, not secrets
    uri, program = token.uri_of("device"), tmp_path / "cut.py"
    program.write_text(CUT)
    for _ in range(25):
        with Running([program, uri]) as process:
            assert process.stdout.readline() == "logged in\n"
            time.sleep(rng.random() * 0.06)
            assert process.poll() is None
        with create_key(uri, "ec-p256", reuse=True) as key:
            assert isinstance(key, EcDeviceKey)
            key.public_key().verify(key.sign(b"x", ec.ECDSA(hashes.SHA256())), b"x", ec.ECDSA(hashes.SHA256()))
        kinds = sorted(item.split(" Object")[0] for item in objects(token))
        assert kinds in (["Private Key", "Public Key"], ["Private Key"])
