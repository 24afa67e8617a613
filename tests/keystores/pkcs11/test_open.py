"""Exactly one token and one key, or an error that lists the candidates without secrets."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from device_sdk_simulators.softhsm import SoftHsm

from device_sdk.errors import (
    ExtractableKeyError,
    KeyAmbiguousError,
    KeyNotFoundError,
    MechanismUnsupportedError,
    TokenAmbiguousError,
    TokenNotFoundError,
)
from device_sdk.keystores.keys import EcDeviceKey, RsaDeviceKey
from device_sdk.keystores.registry import create_key, delete_key, list_keys, open_key
from device_sdk.model.secret import Secret
from tests.keystores.pkcs11.faulty import FaultyModule
from tests.keystores.pkcs11.tools import objects, openssl, pkcs11_tool


def test_no_key_lists_the_keys_there_are(token: SoftHsm) -> None:
    create_key(token.uri_of("one"), "ec-p256")
    with pytest.raises(KeyNotFoundError) as caught:
        open_key(token.uri_of("two"))
    assert caught.value.candidates is not None
    assert len(caught.value.candidates) == 1
    assert "object=one" in caught.value.candidates[0]
    assert token.pin not in caught.value.candidates[0].replace(token.serial, "")


def test_no_key_on_an_empty_token(token: SoftHsm) -> None:
    with pytest.raises(KeyNotFoundError, match="none"):
        open_key(token.uri)
    assert list_keys(token.uri) == ()


def test_several_keys_are_not_guessed_from(token: SoftHsm) -> None:
    first = create_key(token.uri_of("one"), "ec-p256")
    create_key(token.uri_of("two"), "ec-p256")
    with pytest.raises(KeyAmbiguousError) as caught:
        open_key(token.uri)
    assert caught.value.candidates is not None
    assert len(caught.value.candidates) == 2
    query = token.uri.partition("?")[2]
    opened = [open_key(f"{candidate}?{query}") for candidate in caught.value.candidates]
    assert first.public_key() in [key.public_key() for key in opened]
    with pytest.raises(KeyAmbiguousError):
        delete_key(token.uri)
    assert len(objects(token)) == 4


def test_two_keys_of_one_label(token: SoftHsm) -> None:
    for key_id in ("01", "02"):
        pkcs11_tool(token, "--keypairgen", "--key-type", "EC:prime256v1", "--label", "twin", "--id", key_id)
    with pytest.raises(KeyAmbiguousError, match=r"id=%01.*id=%02|id=%02.*id=%01"):
        open_key(token.uri_of("twin"))
    assert open_key(token.uri_of("twin").replace("?", ";id=%02?")).info.key_id == "02"


def test_two_tokens_of_one_label(token: SoftHsm) -> None:
    """Two tokens with one label: an error that tells them apart by serial number."""
    serial = token.add_token(token.label)
    with pytest.raises(TokenAmbiguousError) as caught:
        open_key(token.uri_of("device"))
    assert caught.value.candidates is not None
    assert len(caught.value.candidates) == 2
    assert serial in "".join(caught.value.candidates)
    key = create_key(token.uri_of("device").replace("?", f";serial={serial}?"), "ec-p256")
    assert f"serial={serial}" in key.info.uri
    assert open_key(key.info.uri).public_key() == key.public_key()


def test_absent_token_lists_those_present(token: SoftHsm) -> None:
    with pytest.raises(TokenNotFoundError) as caught:
        open_key(token.uri_of("device", token="elsewhere"))
    assert caught.value.candidates is not None
    assert token.serial in caught.value.candidates[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "fits"),
    [
        ("manufacturer=SoftHSM%20project", True),
        ("manufacturer=SoftHSM", False),
        ("model=SoftHSM%20v2", True),
        ("model=", False),
        ("slot-manufacturer=SoftHSM%20project", True),
        ("slot-description=nothing", False),
        ("slot-id=4294967295", False),
        ("library-manufacturer=SoftHSM", True),
        ("library-version=2.6", True),
        ("library-version=2.5", False),
        ("library-description=other", False),
    ],
)
def test_every_attribute_of_the_path_narrows_the_choice(token: SoftHsm, part: str, fits: bool) -> None:
    """RFC 7512 section 2.5: each additional attribute further restricts the selection."""
    uri = token.uri.replace("?", f";{part}?")
    if fits:
        assert list_keys(uri) == ()
    else:
        with pytest.raises(TokenNotFoundError):
            list_keys(uri)


def test_the_slot_number_is_one_way_to_say_it(token: SoftHsm) -> None:
    slot = int(token.serial[-8:], 16) & 0x7FFFFFFF  # how SoftHSM numbers them
    assert list_keys(token.uri.replace("?", f";slot-id={slot}?")) == ()


@pytest.mark.parametrize("kind", ["public", "cert", "data", "secret-key"])
def test_only_private_keys_are_opened(token: SoftHsm, kind: str) -> None:
    create_key(token.uri_of("device"), "ec-p256")
    with pytest.raises(KeyNotFoundError, match=kind):
        open_key(token.uri_of("device").replace("?", f";type={kind}?"))


def _import_key(token: SoftHsm, path: Path, *options: str) -> None:
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-outform", "DER", "-out", str(path))
    pkcs11_tool(token, "--write-object", str(path), "--type", "privkey", "--label", "imported", "--id", "09", *options)


def test_an_extractable_key_is_not_opened(token: SoftHsm, tmp_path: Path) -> None:
    """A key on a token that could leave it is no hardware key; only a caller who says so gets it."""
    _import_key(token, tmp_path / "key.der", "--extractable", "--usage-sign", "--usage-derive")
    with pytest.raises(ExtractableKeyError, match="CKA_EXTRACTABLE"):
        open_key(token.uri_of("imported"))
    with pytest.raises(ExtractableKeyError):
        create_key(token.uri_of("imported"), "ec-p256", reuse=True)
    key = open_key(token.uri_of("imported") + "&x-device-sdk-extractable=allow")
    assert key.info.extractable
    assert "x-device-sdk-extractable=allow" in key.info.uri
    (listed,) = list_keys(token.uri)
    assert listed.extractable


def test_an_imported_key_is_opened_only_if_the_uri_allows_it(token: SoftHsm, tmp_path: Path) -> None:
    """A key that was put into the token has been outside: it is listed, and opened for those who say that they know."""
    _import_key(token, tmp_path / "key.der", "--sensitive", "--usage-sign", "--usage-derive")
    with pytest.raises(ExtractableKeyError, match="x-device-sdk-imported=allow") as caught:
        open_key(token.uri_of("imported"))
    assert caught.value.attributes == ("CKA_NEVER_EXTRACTABLE", "CKA_LOCAL")
    with pytest.raises(ExtractableKeyError):
        open_key(token.uri_of("imported") + "&x-device-sdk-imported=yes")
    with open_key(token.uri_of("imported") + "&x-device-sdk-imported=allow") as key:
        info = key.info
        assert open_key(info.uri).info == info
    assert not info.extractable
    assert info.attributes["CKA_LOCAL"] is False
    assert info.attributes["CKA_NEVER_EXTRACTABLE"] is False
    (listed,) = list_keys(token.uri)
    assert (listed.label, listed.attributes["CKA_LOCAL"]) == ("imported", False)


def test_that_a_key_was_imported_does_not_excuse_that_it_can_leave(token: SoftHsm, tmp_path: Path) -> None:
    _import_key(token, tmp_path / "key.der", "--extractable", "--usage-sign", "--usage-derive")
    with pytest.raises(ExtractableKeyError, match="x-device-sdk-extractable=allow"):
        open_key(token.uri_of("imported") + "&x-device-sdk-imported=allow")


@pytest.mark.slow
@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", "ec-p521", "rsa-2048"])
def test_a_private_key_without_its_public_object_still_works(token: SoftHsm, key_type: str) -> None:
    old = create_key(token.uri_of("device"), key_type)
    assert old.info.key_id is not None
    pkcs11_tool(token, "--delete-object", "--type", "pubkey", "--id", old.info.key_id)
    with open_key(token.uri_of("device")) as key:
        assert key.public_key() == old.public_key()
        assert key.info.spki_sha256 == old.info.spki_sha256
        if isinstance(key, EcDeviceKey):
            key.public_key().verify(key.sign(b"x", ec.ECDSA(hashes.SHA256())), b"x", ec.ECDSA(hashes.SHA256()))
        assert delete_key(token.uri_of("device")).spki_sha256 == old.info.spki_sha256
    assert objects(token) == []


def test_a_public_half_that_nothing_shows(faulty: FaultyModule) -> None:
    old = create_key(faulty.uri_of("device"), "ec-p256")
    assert old.info.key_id is not None
    pkcs11_tool(faulty.token, "--delete-object", "--type", "pubkey", "--id", old.info.key_id)
    faulty.fail("C_DeriveKey", 0x70, times=100)
    with pytest.raises(MechanismUnsupportedError, match="public half"):
        open_key(faulty.uri_of("device"))
    (info,) = list_keys(faulty.uri)
    assert info.spki_sha256 is None
    assert info.key_type is None


def test_keys_of_other_kinds_are_listed_but_not_opened(token: SoftHsm) -> None:
    pkcs11_tool(token, "--keypairgen", "--key-type", "EC:secp256k1", "--label", "koblitz", "--id", "05")
    (info,) = list_keys(token.uri)
    assert info.key_type is None
    with pytest.raises(MechanismUnsupportedError, match="supported"):
        open_key(token.uri_of("koblitz").replace("?", "?") + "&x-device-sdk-extractable=allow")


@pytest.mark.parametrize("key_type", ["EC:prime256v1", "rsa:2048"])
def test_a_key_made_by_pkcs11_tool(token: SoftHsm, key_type: str) -> None:
    pkcs11_tool(token, "--keypairgen", "--key-type", key_type, "--label", "foreign", "--id", "06", "--sensitive")
    key = open_key(token.uri_of("foreign"))
    if isinstance(key, RsaDeviceKey):
        signature = key.sign(b"x", padding.PKCS1v15(), hashes.SHA256())
        key.public_key().verify(signature, b"x", padding.PKCS1v15(), hashes.SHA256())
    else:
        assert isinstance(key, EcDeviceKey)
        key.public_key().verify(key.sign(b"x", ec.ECDSA(hashes.SHA256())), b"x", ec.ECDSA(hashes.SHA256()))


@pytest.mark.slow
@pytest.mark.parametrize("key_type", ["EC:prime256v1", "rsa:2048"])
def test_a_key_that_wants_its_pin_every_time(token: SoftHsm, key_type: str) -> None:
    """CKA_ALWAYS_AUTHENTICATE: the PIN is given with every operation, read anew each time."""
    options = ["--label", "strict", "--id", "06", "--sensitive", "--always-auth"]
    pkcs11_tool(token, "--keypairgen", "--key-type", key_type, *options)
    asked = []

    def provider(what: str) -> Secret:
        asked.append(what)
        return Secret(token.pin)

    key = open_key(token.uri_of("strict").partition("&pin-source")[0], pin=provider)
    assert key.info.attributes["CKA_ALWAYS_AUTHENTICATE"] is True
    for _ in range(3):
        if isinstance(key, RsaDeviceKey):
            signature = key.sign(b"x", padding.PKCS1v15(), hashes.SHA256())
            key.public_key().verify(signature, b"x", padding.PKCS1v15(), hashes.SHA256())
        else:
            assert isinstance(key, EcDeviceKey)
            key.public_key().verify(key.sign(b"x", ec.ECDSA(hashes.SHA256())), b"x", ec.ECDSA(hashes.SHA256()))
    assert len(asked) == 4


def test_a_key_made_here_is_used_by_pkcs11_tool(token: SoftHsm, tmp_path: Path) -> None:
    key = create_key(token.uri_of("device"), "ec-p256")
    assert isinstance(key, EcDeviceKey)
    assert key.info.key_id is not None
    (tmp_path / "digest").write_bytes(bytes(range(32)))
    options = ["--mechanism", "ECDSA", "--signature-format", "openssl", "--id", key.info.key_id]
    files = ["--input-file", str(tmp_path / "digest"), "--output-file", str(tmp_path / "signature")]
    pkcs11_tool(token, "--sign", *options, *files)
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

    signature = (tmp_path / "signature").read_bytes()
    key.public_key().verify(signature, bytes(range(32)), ec.ECDSA(Prehashed(hashes.SHA256())))


@pytest.mark.slow
def test_delete_leaves_nothing_and_other_keys_alone(token: SoftHsm) -> None:
    create_key(token.uri_of("other"), "ec-p256")
    before = objects(token)
    made = create_key(token.uri_of("device"), "rsa-2048")
    assert delete_key(token.uri_of("device")) == made.info
    assert objects(token) == before
    with pytest.raises(KeyNotFoundError):
        delete_key(token.uri_of("device"))


@pytest.mark.slow
def test_a_broken_object_hides_no_other(token: SoftHsm) -> None:
    """What a power cut left of an object file does not keep other keys from being found."""
    create_key(token.uri_of("device"), "ec-p256")
    (folder,) = (token.directory / "tokens").iterdir()
    for name, data in (("a", b""), ("b", b"\0" * 5), ("c", os.urandom(100))):
        (folder / f"00000000-0000-0000-0000-00000000000{name}.object").write_bytes(data)
    code = "import sys; from device_sdk.keystores.registry import *; print(len(list_keys(sys.argv[1])))"
    command = [os.environ.get("PYTHON", "python"), "-c", code, token.uri]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "1\n"
    assert open_key(token.uri_of("device")).info.label == "device"
