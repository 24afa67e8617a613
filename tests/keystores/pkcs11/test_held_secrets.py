"""Symmetric keys in a token are used there: AES key wrap, with padding and without, and CBC (K-08, K-11)."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.keywrap import aes_key_wrap, aes_key_wrap_with_padding
from device_sdk_simulators.softhsm import SoftHsm
from pkcs11.constants import Attribute
from pkcs11.mechanisms import KeyType as CkKeyType

from device_sdk.cli.main import main
from device_sdk.errors import (
    ExtractableKeyError,
    KeyAmbiguousError,
    KeyNotFoundError,
    KeyStoreError,
    MechanismUnsupportedError,
    PinIncorrectError,
)
from device_sdk.keystores.registry import delete_key, holds_secret, list_keys, open_secret
from device_sdk.keystores.secret_import import store_keys
from device_sdk.model.symmetric_keys import KeyUsage
from tests.keystores.pkcs11.test_secret_keys import VALUE, key

UNWRAPS = (KeyUsage.UNWRAP, KeyUsage.DECRYPT)
VECTOR = bytes(range(16))


def stored(token: SoftHsm, *keys: object) -> list[str]:
    return [f"{uri}" for uri in store_keys(keys, token.uri).places.values()]  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [16, 24, 32])
def test_k_08_k_11_it_unwraps_and_decrypts_in_the_token(token: SoftHsm, size: int) -> None:
    value = bytes(range(size))
    (uri,) = stored(token, key("k1", value, usages=UNWRAPS))
    content = bytes(range(256)) * 300
    cipher = Cipher(algorithms.AES(value), modes.CBC(VECTOR)).encryptor()
    with open_secret(uri) as opened:
        assert (opened.identifier, opened.key_bytes, opened.usages) == (b"k1", size, frozenset(UNWRAPS))
        for length in (16, 24, 32):
            assert opened.unwrap(aes_key_wrap(value, content[:length]), padded=False) == content[:length]
        for length in (1, 8, 13, 20, 32):
            assert opened.unwrap(aes_key_wrap_with_padding(value, content[:length]), padded=True) == content[:length]
        for wrong in (bytes(24), bytes(40), aes_key_wrap(bytes(size), content[:16])):
            assert opened.unwrap(wrong, padded=False) is None
            assert opened.unwrap(wrong, padded=True) is None
        assert opened.unwrap(b"", padded=True) is None
        assert opened.decrypt_cbc(VECTOR, cipher.update(content) + cipher.finalize()) == content
    with pytest.raises(KeyStoreError, match="is closed"):
        opened.unwrap(bytes(24), padded=False)


def test_k_11_what_it_is_not_for(token: SoftHsm) -> None:
    """Refused by the SDK, and by the token if that is asked all the same."""
    uris = stored(token, key("wraps", usages=[KeyUsage.UNWRAP]), key("mac", usages=[KeyUsage.INTEGRITY]))
    with open_secret(uris[0]) as opened:
        with pytest.raises(MechanismUnsupportedError, match="it is for: Unwrap"):
            opened.decrypt_cbc(VECTOR, bytes(16))
        with pytest.raises(KeyStoreError, match="C_DecryptInit"):
            opened._decrypt_cbc(VECTOR, bytes(16))
    with open_secret(uris[1]) as opened, pytest.raises(MechanismUnsupportedError):
        opened.unwrap(bytes(24), padded=False)


def test_they_are_listed_and_deleted(token: SoftHsm, capsys: pytest.CaptureFixture[str]) -> None:
    uris = stored(token, key("a", usages=[KeyUsage.UNWRAP]), key("b", is_aes=False, usages=[KeyUsage.INTEGRITY]))
    kinds = token.uri.replace("?", ";type=secret-key?")
    assert holds_secret(kinds)
    assert not holds_secret(token.uri)
    found = {info.label: info for info in list_keys(kinds)}
    assert [found[f"label of {name}"].uri for name in "ab"] == uris
    attributes = found["label of a"].attributes
    assert (attributes["secret"], attributes["bits"], attributes["usages"]) == ("AES", 128, "Unwrap")
    assert not found["label of a"].extractable
    assert list_keys(token.uri) == (), "key pairs are listed alone"
    with pytest.raises(KeyAmbiguousError, match="2 symmetric keys fit"):
        open_secret(kinds)
    assert main(["keys", "list", kinds]) == 0
    assert "AES, 128 bits, for Unwrap, non-extractable, hardware" in capsys.readouterr().out
    assert main(["keys", "show", uris[0]]) == 0
    assert "CKA_SENSITIVE: True" in capsys.readouterr().out
    assert delete_key(uris[0]).label == "label of a"
    with pytest.raises(KeyNotFoundError):
        open_secret(uris[0])
    assert [info.uri for info in list_keys(kinds)] == [uris[1]]


def test_a_key_that_somebody_else_left_extractable(token: SoftHsm) -> None:
    import pkcs11

    with pkcs11.lib(token.module_path).get_token(token_label=token.label).open(rw=True, user_pin=token.pin) as session:
        session.create_object(
            {
                Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: CkKeyType.AES,
                Attribute.TOKEN: True, Attribute.ID: b"loose", Attribute.VALUE: VALUE, Attribute.SENSITIVE: False,
                Attribute.EXTRACTABLE: True, Attribute.UNWRAP: True,
            }
        )  # fmt: skip
    with pytest.raises(ExtractableKeyError) as caught:
        open_secret(token.uri.replace("?", ";type=secret-key;id=loose?"))
    assert caught.value.attributes == ("CKA_SENSITIVE", "CKA_EXTRACTABLE")


def test_the_pin_is_wanted(token: SoftHsm) -> None:
    from device_sdk.model.secret import Secret

    (uri,) = stored(token, key("k1", usages=[KeyUsage.UNWRAP]))
    bare = uri.partition("?")[0] + f"?module-path={token.module_path}"
    with pytest.raises(PinIncorrectError):
        open_secret(bare, pin=lambda _: Secret("0000"))
    with open_secret(bare, pin=lambda _: Secret(token.pin)) as opened:
        assert opened.unwrap(aes_key_wrap(VALUE, bytes(16)), padded=False) == bytes(16)
