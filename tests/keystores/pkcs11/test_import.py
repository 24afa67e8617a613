"""A private key that was made elsewhere goes into a token and does not come out again (EST-202); pkcs11-tool judges."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from device_sdk_simulators.softhsm import SoftHsm

from device_sdk.errors import (
    ExtractableKeyError,
    KeyExistsError,
    KeyStoreFailedError,
    MechanismUnsupportedError,
    UriError,
)
from device_sdk.keystores.registry import create_key, delete_key, import_key, list_keys, open_key
from device_sdk.keystores.trial import try_key
from device_sdk.model.keys import KeyType
from tests.keystores.foreign_keys import openssl, pkcs8, public_pem, secret
from tests.keystores.pkcs11.faulty import FaultyModule
from tests.keystores.pkcs11.tools import objects, pkcs11_tool
from tests.warm.running import Running

TYPES = ["ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072", "rsa-4096"]


def _pem(key: Any) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _works(uri: str, kind: str) -> None:
    with open_key(uri, allow_imported=True) as key:
        info = key.info
        assert (info.imported, info.extractable, info.hardware, info.key_type) == (True, False, True, KeyType(kind))
        assert info.attributes["CKA_LOCAL"] is False
        assert info.attributes["CKA_SENSITIVE"] is True
        assert info.attributes["CKA_EXTRACTABLE"] is False
        assert _pem(key) == public_pem(pkcs8(kind))
        failing = {name for name, works in try_key(key) if not works}  # type: ignore[arg-type]  # EC or RSA
        assert failing == set()


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPES)
def test_est_202_an_imported_key_works_and_says_what_it_is(token: SoftHsm, kind: str) -> None:
    uri = token.uri_of("imported")
    with import_key(uri, secret(kind)) as key:
        named = key.info.uri
        assert key.info.imported
    _works(uri, kind)
    _works(named, kind)
    (listed,) = list_keys(token.uri)
    assert listed.to_json()["imported"] is True
    said = pkcs11_tool(token, "--list-objects", "--type", "privkey")
    assert [line.split(":")[1].strip() for line in said.splitlines() if "Access:" in line] == ["sensitive"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPES)
def test_est_202_a_token_that_takes_no_private_key_in_the_clear_takes_a_wrapped_one(
    faulty: FaultyModule, kind: str
) -> None:
    """C_CreateObject is refused for private keys, as modules in FIPS mode do; C_UnwrapKey does it."""
    faulty.lie("no_private_objects", 0xD1)
    with import_key(faulty.uri_of("imported"), secret(kind)):
        assert faulty.calls("C_UnwrapKey") > 0
    _works(faulty.uri_of("imported"), kind)


def test_est_202_a_token_that_takes_no_key_from_outside_says_so_and_keeps_nothing(faulty: FaultyModule) -> None:
    faulty.lie("no_private_objects", 0x54)
    faulty.fail("C_UnwrapKey", 0x54, times=100)
    with pytest.raises(MechanismUnsupportedError, match="takes no such private key from outside") as caught:
        import_key(faulty.uri_of("imported"), secret("ec-p256"))
    assert caught.value.return_code == 0x54
    faulty.reset()
    assert objects(faulty.token) == []


def test_est_202_nothing_but_the_pair_is_left_of_the_wrapped_way(faulty: FaultyModule) -> None:
    """Neither the transport key nor the wrapping key outlives the import, not even in a session."""
    faulty.lie("no_private_objects", 0xD1)
    with import_key(faulty.uri_of("imported"), secret("ec-p256")):
        assert faulty.calls("C_DestroyObject") == 3
        assert len(objects(faulty.token)) == 2


@pytest.mark.parametrize("open_it", [open_key, lambda uri: create_key(uri, "ec-p256", reuse=True)])
def test_est_202_an_imported_key_is_not_taken_for_the_devices_own(token: SoftHsm, open_it: Any) -> None:
    """Off by default: opening it needs the caller's word, and creation does not reuse it."""
    with import_key(token.uri_of("imported"), secret("ec-p256")) as key, pytest.raises(ExtractableKeyError) as caught:
        open_it(token.uri_of("imported"))
    assert "--allow-imported" in (caught.value.hint or "")
    assert "CKA_LOCAL" in (caught.value.attributes or ())
    assert len(objects(token)) == 2
    assert not create_key(token.uri_of("born"), "ec-p256").info.imported
    assert key.info.imported


def test_est_202_allowing_imported_keys_does_not_allow_extractable_ones(token: SoftHsm, tmp_path: Path) -> None:
    (tmp_path / "key.der").write_bytes(pkcs8("ec-p256"))
    options = ("--type", "privkey", "--label", "loose", "--id", "09", "--extractable", "--usage-sign", "--usage-derive")
    pkcs11_tool(token, "--write-object", str(tmp_path / "key.der"), *options)
    with pytest.raises(ExtractableKeyError, match="can leave the token"):
        open_key(token.uri_of("loose"), allow_imported=True)
    with pytest.raises(ExtractableKeyError, match="can leave the token"):
        import_key(token.uri_of("loose"), secret("ec-p256"), reuse=True)


def test_est_202_a_token_that_would_let_it_out_loses_it_again(faulty: FaultyModule) -> None:
    """The attributes are read back in another session; here the module keeps CKA_EXTRACTABLE to itself."""
    faulty.lie("hide_attribute", 0x162)
    with pytest.raises(ExtractableKeyError, match="was destroyed") as caught:
        import_key(faulty.uri_of("imported"), secret("ec-p256"))
    assert caught.value.attributes == ("CKA_EXTRACTABLE",)
    faulty.reset()
    assert objects(faulty.token) == []


def test_est_202_a_key_that_does_not_sign_is_destroyed(faulty: FaultyModule) -> None:
    faulty.fail("C_Sign", 0x06, times=100)
    with pytest.raises(KeyStoreFailedError):
        import_key(faulty.uri_of("imported"), secret("rsa-2048"))
    faulty.reset()
    assert objects(faulty.token) == []


def test_est_202_a_taken_name(token: SoftHsm) -> None:
    """Only the very same key is taken with `reuse`; whatever is there stays as it is."""
    uri = token.uri_of("imported")
    import_key(uri, secret("ec-p256")).close()
    before = objects(token)
    with pytest.raises(KeyExistsError):
        import_key(uri, secret("ec-p256"))
    for other in (secret("ec-p256", 1), secret("rsa-2048")):
        with pytest.raises(KeyExistsError, match="another key"):
            import_key(uri, other, reuse=True)
    with import_key(uri, secret("ec-p256"), reuse=True) as again:
        assert _pem(again) == public_pem(pkcs8("ec-p256"))
    assert objects(token) == before
    create_key(token.uri_of("born"), "ec-p256")
    with pytest.raises(KeyExistsError):
        import_key(token.uri_of("born"), secret("ec-p256"), reuse=True)


def test_est_202_an_identifier_of_ones_own(token: SoftHsm) -> None:
    uri = token.uri.replace("?", ";id=%01%02?")
    with import_key(uri, secret("ec-p256")) as key:
        assert (key.info.key_id, key.info.label) == ("0102", "")
    delete_key(uri)
    assert objects(token) == []


@pytest.mark.parametrize("uri_of", [lambda t: t.uri, lambda t: t.uri_of("x").replace("?", ";type=cert?")])
def test_a_uri_that_names_no_private_key(token: SoftHsm, uri_of: Any) -> None:
    with pytest.raises(UriError):
        import_key(uri_of(token), secret("ec-p256"))


@pytest.mark.parametrize("make", ["import", "create"])
def test_est_202_the_public_half_that_a_power_cut_left_is_swept(token: SoftHsm, make: str) -> None:
    """The private half comes last: its partner alone is known by its id, and somebody's own public key is not."""
    with import_key(token.uri_of("imported"), secret("ec-p256")) as key:
        assert key.info.key_id is not None
        pkcs11_tool(token, "--delete-object", "--type", "privkey", "--id", key.info.key_id)
    assert len(objects(token)) == 1
    if make == "import":
        import_key(token.uri_of("imported"), secret("ec-p256", 1)).close()
    else:
        create_key(token.uri_of("imported"), "ec-p256").close()
    assert len(objects(token)) == 2


def test_somebodys_public_key_of_that_name_is_left_alone(token: SoftHsm, tmp_path: Path) -> None:
    (tmp_path / "public.der").write_bytes(
        openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", data=pkcs8("ec-p256"))
    )
    names = ("--type", "pubkey", "--label", "imported", "--id", "77")
    pkcs11_tool(token, "--write-object", str(tmp_path / "public.der"), *names)
    import_key(token.uri_of("imported"), secret("ec-p256", 1)).close()
    assert len(objects(token)) == 3


CUT = """
import pathlib, sys, time
from device_sdk import Secret
from device_sdk.keystores.pkcs11 import Pkcs11KeyStore
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri
uri, secret = Pkcs11Uri.parse(sys.argv[1]), Secret(pathlib.Path(sys.argv[2]).read_bytes())
with Pkcs11KeyStore() as store:
    store.list(uri)  # SoftHSM writes its token anew at a login: nobody may be killed there
    print("logged in", flush=True)
    time.sleep(0.02)  # so that some are killed before, however quick the rest is
    store.import_key(uri, secret)
"""


@pytest.mark.slow
def test_est_202_killed_at_any_moment_the_next_import_works(token: SoftHsm, tmp_path: Path) -> None:
    """SIGKILL in the middle: afterwards the key is there, whole, or it is not there and can be imported."""
    (tmp_path / "key.der").write_bytes(pkcs8("ec-p256"))
    (tmp_path / "cut.py").write_text(CUT)
    rolls = random.Random(7)  # noqa: S311  # moments, not secrets
    found = set()
    for number in range(25):
        uri = token.uri_of(f"key{number}")
        with Running([tmp_path / "cut.py", uri, tmp_path / "key.der"]) as process:
            assert process.stdout.readline() == "logged in\n"
            # later and later on a machine that has other things to do, until it was killed before and after
            time.sleep(rolls.uniform(0.0, 0.04 if len(found) == 2 else 0.04 * (1 + number)))
        there = len(list_keys(uri))
        found.add(there)
        with import_key(uri, secret("ec-p256"), reuse=bool(there)) as key:
            assert _pem(key) == public_pem(pkcs8("ec-p256"))
        assert len(objects(token)) == 2
        delete_key(uri)
    assert found == {0, 1}  # otherwise the moments are badly chosen
