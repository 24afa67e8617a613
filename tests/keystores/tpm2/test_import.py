"""A private key that was made elsewhere goes into the TPM and does not come out again (EST-202); tpm2-tools judge."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.errors import ExtractableKeyError, KeyExistsError, MechanismUnsupportedError, PinRequiredError
from device_sdk.keystores import registry
from device_sdk.keystores.trial import try_key
from device_sdk.model.keys import KeyType
from device_sdk.model.secret import Secret
from tests.keystores.foreign_keys import pkcs8, public_pem, secret

TYPES = ["ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072"]
HANDLE = "tpm2:handle=0x81000010"


def _pem(key) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.slow
@pytest.mark.parametrize("place", ["file", "handle"])
@pytest.mark.parametrize("kind", TYPES)
def test_est_202_an_imported_key_works_and_says_what_it_is(
    tools: Callable[..., str], tmp_path: Path, kind: str, place: str
) -> None:
    """Every type, in both places: all operations, the attributes as tpm2_readpublic sees them, and the public half."""
    uri = HANDLE if place == "handle" else f"tpm2:file={tmp_path}/key.pem"
    with registry.import_key(uri, secret(kind)) as key:
        info = key.info
        assert (info.imported, info.extractable, info.hardware, info.key_type) == (True, False, True, KeyType(kind))
        assert _pem(key) == public_pem(pkcs8(kind))
        assert {name: works for name, works in try_key(key) if not works} == {}
    (listed,) = registry.list_keys(uri)
    assert listed.to_json()["imported"] is True
    assert (listed.extractable, listed.spki_sha256) == (False, info.spki_sha256)
    if place == "handle":
        tools("tpm2_readpublic", "-c", "0x81000010", "-f", "pem", "-o", "seen.pem")
        assert (tmp_path / "seen.pem").read_text() == public_pem(pkcs8(kind))
        said = tools("tpm2_readpublic", "-c", "0x81000010")
        assert "value: userwithauth|noda|decrypt|sign" in said
        assert "authorization policy" not in said
    else:
        assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
        assert pkcs8(kind)[40:72] not in (tmp_path / "key.pem").read_bytes()


def test_est_202_nothing_duplicates_it_away(tools: Callable[..., str]) -> None:
    """TPM2_Duplicate needs a policy with TPM2_PolicyCommandCode, and an empty authPolicy fits none."""
    registry.import_key(HANDLE, secret("ec-p256"))
    tools("tpm2_createprimary", "-Q", "-C", "o", "-G", "rsa", "-c", "other.ctx")
    tools("tpm2_flushcontext", "-t")
    duplicate = ("tpm2_duplicate", "-Q", "-C", "other.ctx", "-c", "0x81000010", "-G", "null", "-r", "d", "-s", "s")
    tools(*duplicate, fails=True)
    tools("tpm2_flushcontext", "-t")
    tools("tpm2_startauthsession", "-Q", "--policy-session", "-S", "session.ctx")
    tools("tpm2_policycommandcode", "-Q", "-S", "session.ctx", "TPM2_CC_Duplicate")
    tools(*duplicate, "-p", "session:session.ctx", fails=True)
    tools("tpm2_flushcontext", "session.ctx")
    tools("tpm2_flushcontext", "-t")


@pytest.mark.slow
@pytest.mark.usefixtures("swtpm")
def test_est_202_a_key_the_tpm_has_not(tmp_path: Path) -> None:
    uri = f"tpm2:file={tmp_path}/key.pem"
    with pytest.raises(MechanismUnsupportedError, match="cannot take rsa-4096 keys; it can take ec-p256"):
        registry.import_key(uri, secret("rsa-4096"))
    small = rsa.generate_private_key(public_exponent=3, key_size=2048)
    der = small.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(MechanismUnsupportedError, match="exponent"):
        registry.import_key(uri, Secret(der))
    assert not (tmp_path / "key.pem").exists()


def test_est_202_the_storage_key_is_the_persistent_one_where_the_owner_is_protected(
    tools: Callable[..., str], tmp_path: Path
) -> None:
    attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt"
    tools("tpm2_createprimary", "-Q", "-C", "o", "-G", "ecc", "-g", "sha256", "-a", attributes, "-c", "srk.ctx")
    tools("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "srk.ctx", "0x81000001")
    tools("tpm2_flushcontext", "-t")
    tools("tpm2_changeauth", "-Q", "-c", "owner", "secret")
    uri = f"tpm2:file={tmp_path}/key.pem"
    with registry.import_key(uri, secret("ec-p256")) as key:
        assert (key.info.imported, key.info.extractable) == (True, False)


def test_est_202_an_imported_key_is_not_taken_for_the_tpms_own(tmp_path: Path, swtpm: Swtpm) -> None:
    """Off by default: opening it needs the caller's word, and creation does not reuse it."""
    uri = f"tpm2:file={tmp_path}/key.pem"
    registry.import_key(uri, secret("ec-p256"))
    for open_it in (registry.open_key, partial(registry.create_key, key_type="ec-p256", reuse=True)):
        with pytest.raises(ExtractableKeyError) as caught:
            open_it(uri)
        assert set(caught.value.attributes or ()) == {"fixedTPM", "fixedParent", "sensitiveDataOrigin"}
        assert "--allow-imported" in (caught.value.hint or "")
    with registry.open_key(uri, allow_imported=True) as key:
        assert key.info.imported
    assert not registry.create_key(HANDLE, "ec-p256").info.imported
    assert swtpm.pid


@pytest.mark.slow
def test_est_202_allowing_imported_keys_does_not_allow_those_that_can_be_moved(
    tools: Callable[..., str], tmp_path: Path
) -> None:
    """One with a policy for duplication, and one below a parent that may itself be moved."""
    tools("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "soft.pem")
    attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt"
    tools("tpm2_createprimary", "-Q", "-C", "o", "-G", "ecc", "-g", "sha256", "-a", attributes, "-c", "srk.ctx")
    tools("tpm2_startauthsession", "-Q", "-S", "session.ctx")
    tools("tpm2_policycommandcode", "-Q", "-S", "session.ctx", "-L", "policy", "TPM2_CC_Duplicate")
    tools("tpm2_flushcontext", "session.ctx")
    _import_with_tools(tools, "srk.ctx", "0x81000030", "-L", "policy")
    tools("tpm2_createprimary", "-Q", "-C", "o", "-G", "rsa", "-c", "other.ctx")
    tools("tpm2_flushcontext", "-t")
    _import_with_tools(tools, "other.ctx", "0x81000031")
    for handle, way_out in (("0x81000030", "authPolicy"), ("0x81000031", "parent")):
        with pytest.raises(ExtractableKeyError) as caught:
            registry.open_key(f"tpm2:handle={handle}", allow_imported=True)
        assert caught.value.attributes == (way_out,)
        (info,) = registry.list_keys(f"tpm2:handle={handle}")
        assert (info.imported, info.extractable) == (True, True)


def _import_with_tools(tools: Callable[..., str], parent: str, handle: str, *options: str) -> None:
    names = ("-u", "i.pub", "-r", "i.priv")
    tools("tpm2_import", "-Q", "-C", parent, "-G", "ecc", "-i", "soft.pem", *names, *options)
    tools("tpm2_flushcontext", "-t")
    tools("tpm2_load", "-Q", "-C", parent, *names, "-c", "i.ctx")
    tools("tpm2_flushcontext", "-t")
    tools("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "i.ctx", handle)
    tools("tpm2_flushcontext", "-t")


@pytest.mark.parametrize("place", ["file", "handle"])
@pytest.mark.usefixtures("swtpm")
def test_est_202_a_taken_name(tmp_path: Path, place: str) -> None:
    """Only the very same key is taken with `reuse`; whatever is there stays as it is."""
    uri = HANDLE if place == "handle" else f"tpm2:file={tmp_path}/key.pem"
    registry.import_key(uri, secret("ec-p256"))
    (before,) = registry.list_keys(uri)
    with pytest.raises(KeyExistsError):
        registry.import_key(uri, secret("ec-p256"))
    for other in (secret("ec-p256", 1), secret("rsa-2048")):
        with pytest.raises(KeyExistsError):
            registry.import_key(uri, other, reuse=True)
    with registry.import_key(uri, secret("ec-p256"), reuse=True) as again:
        assert _pem(again) == public_pem(pkcs8("ec-p256"))
    assert registry.list_keys(uri) == (before,)


@pytest.mark.usefixtures("swtpm")
def test_est_202_an_authorisation_value(tmp_path: Path) -> None:
    """The PIN of the URI becomes the key's authorisation value, as with keys that are made here."""
    (tmp_path / "auth").write_text("open sesame")
    uri = f"tpm2:file={tmp_path}/key.pem"
    registry.import_key(f"{uri}?pin-source=file:{tmp_path}/auth", secret("ec-p256"))
    with pytest.raises(PinRequiredError):
        registry.open_key(uri, allow_imported=True)
    with registry.open_key(f"{uri}?pin-source=file:{tmp_path}/auth", allow_imported=True) as key:
        assert key.info.imported


def test_est_202_the_way_to_the_tpm_shows_nothing_of_the_key(wire, tmp_path: Path) -> None:
    """No command has the private scalar in it: it is encrypted to the storage root key before it leaves the process."""
    seen = bytearray()

    def record(command: bytes) -> None:
        seen.extend(command)

    wire.script = record
    registry.import_key(f"tpm2:file={tmp_path}/key.pem?tcti={wire.tcti}", secret("ec-p256"))
    key = load_der_private_key(pkcs8("ec-p256"), None)
    numbers = key.private_numbers()  # type: ignore[union-attr]  # it is an EC key
    assert numbers.public_numbers.x.to_bytes(32, "big") in seen
    assert numbers.private_value.to_bytes(32, "big") not in seen


@pytest.mark.parametrize("command", [0x156, 0x157, 0x15D])
def test_est_202_a_line_that_breaks_in_the_middle(wire, tmp_path: Path, command: int) -> None:
    """TPM2_Import, TPM2_Load and TPM2_Sign are repeated after a lost answer; the key is there once, or not at all."""
    cuts = iter(["cut"])
    wire.script = lambda sent: next(cuts, None) if int.from_bytes(sent[6:10], "big") == command else None
    uri = f"tpm2:file={tmp_path}/key.pem?tcti={wire.tcti}"
    with registry.import_key(uri, secret("ec-p256")) as key:
        assert _pem(key) == public_pem(pkcs8("ec-p256"))
    assert command in wire.seen
