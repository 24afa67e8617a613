"""tpm2-openssl and tpm2-tools use our files and we use theirs."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.errors import MechanismUnsupportedError, PinRequiredError
from device_sdk.keystores import registry
from device_sdk.model.secret import Secret
from device_sdk.wire.tss2_key import Tss2Key

PROVIDERS = ("-provider", "tpm2", "-provider", "default")
SIGN = ("openssl", "pkeyutl", *PROVIDERS, "-sign", "-rawin", "-digest", "sha256", "-inkey", "key.pem")


def sign_and_check(key) -> None:
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(b"m", padding.PKCS1v15(), hashes.SHA256())
        key.public_key().verify(signature, b"m", padding.PKCS1v15(), hashes.SHA256())
    else:
        key.public_key().verify(key.sign(b"m", ec.ECDSA(hashes.SHA256())), b"m", ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", pytest.param("rsa-2048", marks=pytest.mark.slow)])
def test_tpm2_openssl_uses_our_file(swtpm: Swtpm, tools, tmp_path: Path, key_type: str) -> None:
    """`openssl` reads the public half, makes a signature that we verify, and a CSR that verifies."""
    key = registry.create_key(f"tpm2:file={tmp_path}/key.pem", key_type)
    pem = tools("openssl", "pkey", *PROVIDERS, "-in", "key.pem", "-pubout")
    assert serialization.load_pem_public_key(pem.encode()) == key.public_key()
    (tmp_path / "data").write_bytes(b"message")
    tools(*SIGN, "-in", "data", "-out", "signature")
    signature = (tmp_path / "signature").read_bytes()
    if isinstance(key, rsa.RSAPrivateKey):
        key.public_key().verify(signature, b"message", padding.PKCS1v15(), hashes.SHA256())
    else:
        key.public_key().verify(signature, b"message", ec.ECDSA(hashes.SHA256()))
    tools("openssl", "req", "-new", *PROVIDERS, "-key", "key.pem", "-subj", "/CN=device", "-out", "csr.pem")
    tools("openssl", "req", "-in", "csr.pem", "-noout", "-verify")
    assert tools("openssl", "req", "-in", "csr.pem", "-noout", "-pubkey") == pem


def test_tpm2_openssl_asks_for_our_pin(swtpm: Swtpm, tools, tmp_path: Path) -> None:
    registry.create_key(f"tpm2:file={tmp_path}/key.pem", "ec-p256", pin=lambda _: Secret("sesame"))
    (tmp_path / "data").write_bytes(b"message")
    tools(*SIGN, "-in", "data", "-out", "signature", "-passin", "pass:sesame")
    tools(*SIGN, "-in", "data", "-out", "signature", "-passin", "pass:wrong", fails=True)


@pytest.mark.parametrize(
    "options",
    [
        ("-algorithm", "EC", "-pkeyopt", "group:P-256"),
        ("-algorithm", "EC", "-pkeyopt", "group:P-384"),
        pytest.param(("-algorithm", "RSA", "-pkeyopt", "bits:2048"), marks=pytest.mark.slow),
    ],
)
def test_we_use_a_file_made_by_tpm2_openssl(swtpm: Swtpm, tools, tmp_path: Path, options: tuple[str, ...]) -> None:
    """It is under dictionary-attack protection with an empty authorisation: no attempt is wasted on it."""
    tools("openssl", "genpkey", *PROVIDERS, *options, "-out", "key.pem")
    key = registry.open_key(f"tpm2:file={tmp_path}/key.pem", pin=lambda _: Secret("not wanted"))
    sign_and_check(key)
    pem = tools("openssl", "pkey", *PROVIDERS, "-in", "key.pem", "-pubout")
    assert serialization.load_pem_public_key(pem.encode()) == key.public_key()
    assert key.info.attributes["noDA"] is False


def test_we_use_a_file_made_by_tpm2_openssl_with_a_pin(swtpm: Swtpm, tools, tmp_path: Path) -> None:
    tools("openssl", "genpkey", *PROVIDERS, "-algorithm", "EC", "-pkeyopt", "group:P-256",
          "-pkeyopt", "user-auth:abc", "-out", "key.pem")  # fmt: skip
    uri = f"tpm2:file={tmp_path}/key.pem"
    with pytest.raises(PinRequiredError):
        registry.open_key(uri)
    (tmp_path / "pin").write_text("abc\n")
    sign_and_check(registry.open_key(f"{uri}?pin-source=file:{tmp_path}/pin"))


@pytest.mark.slow
@pytest.mark.parametrize("pin", [None, "abc"])
@pytest.mark.parametrize("primary", ["0x81000001", "0x81000005"])
def test_we_use_a_key_made_by_tpm2_tools(swtpm: Swtpm, tools, tmp_path: Path, primary: str, pin: str | None) -> None:
    """tpm2_create and tpm2_encodeobject, below a persistent parent of the default (not the standard) template.

    tpm2_encodeobject 5.4 writes emptyAuth the wrong way round: both meanings are met with both keys.
    """
    tools("tpm2_createprimary", "-Q", "-C", "o", "-c", "p.ctx")
    tools("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "p.ctx", primary)
    tools("tpm2_flushcontext", "-t")
    auth = ("-p", pin) if pin else ()
    tools("tpm2_create", "-Q", "-C", primary, "-G", "ecc", "-u", "k.pub", "-r", "k.priv", *auth)
    for flags in ((), ("-p",)):
        tools("tpm2_encodeobject", "-C", primary, "-u", "k.pub", "-r", "k.priv", "-o", "key.pem", *flags)
        tools("tpm2_flushcontext", "-l")  # it leaves a session behind
        key = registry.open_key(f"tpm2:file={tmp_path}/key.pem", pin=lambda _: Secret(pin) if pin else None)
        sign_and_check(key)
    # a key at 0x81000001 that does not follow the standard template is no parent for ours
    created = registry.create_key(f"tpm2:file={tmp_path}/ours.pem", "ec-p256")
    sign_and_check(created)
    assert Tss2Key.parse((tmp_path / "ours.pem").read_bytes()).parent == 0x40000001


@pytest.mark.slow
def test_a_persistent_key_made_by_tpm2_tools(swtpm: Swtpm, tools, tmp_path: Path) -> None:
    tools("tpm2_createprimary", "-Q", "-C", "o", "-c", "p.ctx")
    tools("tpm2_create", "-Q", "-C", "p.ctx", "-G", "rsa2048", "-u", "k.pub", "-r", "k.priv", "-c", "k.ctx")
    tools("tpm2_flushcontext", "-t")
    tools("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "k.ctx", "0x81000012")
    tools("tpm2_flushcontext", "-t")
    sign_and_check(registry.open_key("tpm2:handle=0x81000012"))


def test_tpm2_tools_use_our_persistent_key(swtpm: Swtpm, tools, tmp_path: Path) -> None:
    key = registry.create_key("tpm2:handle=0x81000010", "ec-p256")
    (tmp_path / "data").write_bytes(b"message")
    tools("tpm2_sign", "-Q", "-c", "0x81000010", "-g", "sha256", "-f", "plain", "-o", "signature", "data")
    key.public_key().verify((tmp_path / "signature").read_bytes(), b"message", ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize("parent", [0x40000001, 0x81000001, 0x81000001 - (1 << 32), 0])
@pytest.mark.parametrize("persistent", [True, False])
def test_every_spelling_of_the_parent_loads(swtpm: Swtpm, tools, tmp_path: Path, parent: int, persistent: bool) -> None:
    """The storage key is the same whether it is persistent or made anew; a file names either."""
    uri = f"tpm2:file={tmp_path}/key.pem"
    made = registry.create_key(uri, "ec-p256")
    key = Tss2Key.parse((tmp_path / "key.pem").read_bytes())
    (tmp_path / "key.pem").write_bytes(Tss2Key(key.public, key.private, parent=parent, empty_auth=True).to_pem())
    if persistent:
        tools("tpm2_createprimary", "-Q", "-C", "o", "-G", "ecc", "-g", "sha256", "-c", "p.ctx", "-a",
              "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt")  # fmt: skip
        tools("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "p.ctx", "0x81000001")
        tools("tpm2_flushcontext", "-t")
    opened = registry.open_key(uri)
    assert opened.public_key() == made.public_key()
    sign_and_check(opened)


def test_a_storage_key_of_the_same_template_but_another_key(swtpm: Swtpm, tools, tmp_path: Path) -> None:
    """`unique` is input to the derivation: some installers fill it, and get another key from the same template."""
    uri = f"tpm2:file={tmp_path}/key.pem"
    registry.create_key(uri, "ec-p256")
    (tmp_path / "unique").write_bytes(b"\x20\x00" + bytes(32) + b"\x20\x00" + bytes(32))
    tools("tpm2_createprimary", "-Q", "-C", "o", "-G", "ecc", "-g", "sha256", "-c", "p.ctx", "-u", "unique", "-a",
          "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt")  # fmt: skip
    tools("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "p.ctx", "0x81000001")
    tools("tpm2_flushcontext", "-t")
    sign_and_check(registry.open_key(uri))
    sign_and_check(registry.create_key(f"tpm2:file={tmp_path}/new.pem", "ec-p256"))
    tools("openssl", "pkey", *PROVIDERS, "-in", "new.pem", "-pubout")


def test_a_file_with_a_policy_is_refused(swtpm: Swtpm, tmp_path: Path) -> None:
    from asn1crypto import core

    from device_sdk.wire import tss2_key

    uri = f"tpm2:file={tmp_path}/key.pem"
    registry.create_key(uri, "ec-p256")
    key = Tss2Key.parse((tmp_path / "key.pem").read_bytes())
    structure = tss2_key._TpmKey(
        {"type": "2.23.133.10.1.3", "parent": key.parent, "public": key.public, "private": key.private}
    )
    structure["policy"] = [{"command_code": core.Integer(0x16B), "command_policy": b""}]
    (tmp_path / "key.pem").write_bytes(structure.dump())
    with pytest.raises(MechanismUnsupportedError, match="policy"):
        registry.open_key(uri)
