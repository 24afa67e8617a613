"""PINs: tried once, never cached, counted where the TPM counts, refused where it cannot hold them."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.errors import (
    KeyStoreError,
    PinIncorrectError,
    PinLockedError,
    PinRefusedError,
    PinRequiredError,
)
from device_sdk.keystores import registry
from device_sdk.model.secret import Secret

SIGN = 0x15D


def sign(key) -> None:
    key.public_key().verify(key.sign(b"m", ec.ECDSA(hashes.SHA256())), b"m", ec.ECDSA(hashes.SHA256()))


def counter(tools) -> int:
    text = tools("tpm2_getcap", "properties-variable").split("TPM2_PT_LOCKOUT_COUNTER:")[1].split()[0]
    return int(text, 0)


@pytest.fixture
def da_key(tools) -> str:
    """A key under dictionary-attack protection, as tpm2-tools make them unless told otherwise; its PIN is "right"."""
    tools("tpm2_createprimary", "-Q", "-C", "o", "-c", "p.ctx")
    tools("tpm2_create", "-Q", "-C", "p.ctx", "-G", "ecc", "-p", "right", "-u", "k.pub", "-r", "k.priv")
    tools("tpm2_flushcontext", "-t")
    tools("tpm2_load", "-Q", "-C", "p.ctx", "-u", "k.pub", "-r", "k.priv", "-c", "k.ctx")
    tools("tpm2_flushcontext", "-t")
    tools("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "k.ctx", "0x81000040")
    tools("tpm2_flushcontext", "-t")
    return "tpm2:handle=0x81000040"


@pytest.mark.slow
@pytest.mark.parametrize("place", ["file={}/key.pem", "handle=0x81000010"])
def test_a_key_with_a_pin(swtpm: Swtpm, tools, tmp_path: Path, place: str) -> None:
    """The key gets the PIN of the pin-source; a wrong one is noticed when the key is opened, and costs nothing (noDA)."""
    pin = tmp_path / "pin"
    pin.write_text("sesame\n")
    uri = f"tpm2:{place.format(tmp_path)}"
    sign(registry.create_key(f"{uri}?pin-source=file:{pin}", "ec-p256"))
    sign(registry.open_key(f"{uri}?pin-source={pin}"))
    sign(registry.open_key(uri, pin=lambda _: Secret("sesame")))
    with pytest.raises(PinRequiredError):
        registry.open_key(uri)
    with pytest.raises(PinRequiredError):
        registry.open_key(uri, pin=lambda _: None)
    for wrong in ("Sesame", "sesam", "x" * 32):
        pin.write_text(wrong)
        with pytest.raises(PinIncorrectError) as caught:
            registry.open_key(f"{uri}?pin-source={pin}")
        assert caught.value.attempts_remaining is None
        assert wrong not in str(caught.value)
    assert counter(tools) == 0
    assert registry.delete_key(uri).uri == uri


def test_no_pin_means_an_empty_one_that_nobody_is_asked_for(swtpm: Swtpm, tmp_path: Path) -> None:
    """Users of tpm2-openssl can use the file; opening asks nobody."""

    def asked(what: str) -> Secret:
        raise AssertionError(f"asked for {what}")

    for uri in (f"tpm2:file={tmp_path}/key.pem", "tpm2:handle=0x81000010"):
        registry.create_key(uri, "ec-p256")
        sign(registry.open_key(uri, pin=asked))


def test_pins_a_tpm_cannot_hold(swtpm: Swtpm, tmp_path: Path) -> None:
    """Longer than 32 bytes, or with a zero byte at the end, which the TPM would drop."""
    for value, says in ((b"x" * 33, "at most 32"), (b"abc\0", "zero byte")):
        with pytest.raises(KeyStoreError, match=says):
            registry.create_key(f"tpm2:file={tmp_path}/key.pem", "ec-p256", pin=lambda _, value=value: Secret(value))
    assert not (tmp_path / "key.pem").exists()
    sign(registry.create_key(f"tpm2:file={tmp_path}/key.pem", "ec-p256", pin=lambda _: Secret(b"x" * 32)))
    (tmp_path / "none").write_text("")
    with pytest.raises(PinRequiredError, match="empty"):
        registry.create_key(f"tpm2:file={tmp_path}/e.pem?pin-source={tmp_path}/none", "ec-p256")


@pytest.mark.slow
def test_a_wrong_pin_is_tried_exactly_once(wire, da_key: str, tools) -> None:
    """The error says how many attempts are left when the TPM tells; the same wrong PIN is not tried again."""
    uri = f"{da_key}?tcti={wire.tcti}"
    with pytest.raises(PinIncorrectError) as caught:
        registry.open_key(uri, pin=lambda _: Secret("wrong"))
    assert wire.seen.count(SIGN) == 1
    assert caught.value.attempts_remaining == 2
    assert counter(tools) == 1
    for _ in range(5):  # a service that is restarted for ever
        with pytest.raises(PinRefusedError):
            registry.open_key(uri, pin=lambda _: Secret("wrong"))
    assert counter(tools) == 1
    sign(registry.open_key(uri, pin=lambda _: Secret("right")))
    with pytest.raises(PinIncorrectError):  # it was forgotten when a PIN was right
        registry.open_key(uri, pin=lambda _: Secret("wrong"))
    assert counter(tools) == 2


@pytest.mark.slow
def test_a_missing_pin_is_tried_once_too(swtpm: Swtpm, da_key: str, tools) -> None:
    """An empty authorisation sent to a protected key counts as well."""
    for _ in range(5):
        with pytest.raises(PinRequiredError):
            registry.open_key(da_key)
    assert counter(tools) == 1


@pytest.mark.slow
def test_a_locked_tpm(swtpm: Swtpm, da_key: str, tools, tmp_path: Path) -> None:
    """In lockout the right PIN does not help and the error says how long it lasts; keys of our making are unaffected."""
    key = registry.open_key(da_key, pin=lambda _: Secret("right"))
    for number in range(3):
        with pytest.raises(PinIncorrectError) as caught:
            registry.open_key(da_key, pin=lambda _, number=number: Secret(f"wrong {number}"))
        assert caught.value.attempts_remaining == 2 - number
    with pytest.raises(PinLockedError) as locked:
        registry.open_key(da_key, pin=lambda _: Secret("right"))
    assert locked.value.recover_after_s == 1000
    assert "tpm2_dictionarylockout" in str(locked.value)
    with pytest.raises(PinLockedError):
        sign(key)
    assert any("lockout" in warning for warning in registry.probe("tpm2:").warnings)
    sign(registry.create_key(f"tpm2:file={tmp_path}/key.pem", "ec-p256", pin=lambda _: Secret("pin")))
    tools("tpm2_dictionarylockout", "-c")
    sign(key)
    sign(registry.open_key(da_key, pin=lambda _: Secret("right")))


@pytest.mark.slow
def test_a_pin_changed_behind_an_open_key_is_not_tried_for_ever(swtpm: Swtpm, da_key: str, tools) -> None:
    key = registry.open_key(da_key, pin=lambda _: Secret("right"))
    sign(key)
    tools("tpm2_changeauth", "-Q", "-C", "p.ctx", "-c", "k.ctx", "-p", "right", "new", "-r", "n.priv")
    tools("tpm2_flushcontext", "-t")
    tools("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "0x81000040")
    tools("tpm2_load", "-Q", "-C", "p.ctx", "-u", "k.pub", "-r", "n.priv", "-c", "n.ctx")
    tools("tpm2_flushcontext", "-t")
    tools("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "n.ctx", "0x81000040")
    tools("tpm2_flushcontext", "-t")
    with pytest.raises(PinIncorrectError):
        sign(key)
    for _ in range(5):
        with pytest.raises(PinRefusedError):
            sign(key)
    assert counter(tools) == 1
    sign(registry.open_key(da_key, pin=lambda _: Secret("new")))


def test_an_owner_with_an_authorisation(swtpm: Swtpm, tools, tmp_path: Path) -> None:
    """TPM without the owner's SRK: the error has the commands that help, and they do help."""
    tools("tpm2_changeauth", "-c", "owner", "ownerpin")
    uri = f"tpm2:file={tmp_path}/key.pem"
    with pytest.raises(KeyStoreError) as caught:
        registry.create_key(uri, "ec-p256")
    hint = str(caught.value)
    assert "0x81000001" in hint
    for command in hint.rpartition(": ")[2].rstrip(")").split(", then "):
        tools("bash", "-c", command.replace("OWNERAUTH", "ownerpin"))
    tools("tpm2_flushcontext", "-t")
    sign(registry.create_key(uri, "ec-p256"))
    sign(registry.open_key(uri))
    tools("openssl", "pkey", "-provider", "tpm2", "-provider", "default", "-in", "key.pem", "-pubout")
    with pytest.raises(KeyStoreError):  # a persistent handle is the owner's to give
        registry.create_key("tpm2:handle=0x81000010", "ec-p256")
