"""A private key that was made elsewhere goes into the TPM and does not come out again (EST-202); tpm2-tools judge."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.keystores import registry
from device_sdk.keystores.trial import try_key
from device_sdk.model.keys import KeyType
from tests.keystores.foreign_keys import pkcs8, public_pem, secret

TYPES = ["ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072"]
HANDLE = "tpm2:handle=0x81000010"


def _pem(key) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


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
