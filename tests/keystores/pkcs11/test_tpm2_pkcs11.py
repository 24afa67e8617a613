"""A second module that locks for real: tpm2-pkcs11 over swtpm. SoftHSM never locks a PIN."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.keystores.pkcs11.places import directories
from tests.keystores.foreign_keys import pkcs8

PIN, SO_PIN = "4321", "87654321"


class TpmToken:
    """A tpm2-pkcs11 token; used by programs of its own, because the module writes to stderr and never lets go."""

    def __init__(self, module: Path, tpm: Swtpm, folder: Path) -> None:
        self.module = module
        self.tpm = tpm
        self.environment = os.environ | tpm.environment
        self.environment |= {"TPM2_PKCS11_STORE": str(folder), "TPM2_PKCS11_TCTI": tpm.tcti}
        self.environment |= {"TPM2_PKCS11_BACKEND": "esysdb", "TPM2_PKCS11_LOG_LEVEL": "0"}
        self.environment["DEVICE_SDK_REFUSED_PINS"] = str(folder / "refused")
        tool = ["pkcs11-tool", "--module", str(module)]
        self.run(*tool, "--init-token", "--label", "tpm", "--so-pin", SO_PIN, "--slot-index", "0")
        self.run(*tool, "--init-pin", "--token-label", "tpm", "--so-pin", SO_PIN, "--pin", PIN)

    def run(self, *command: str) -> str:
        """Run a program that uses the token; what it prints."""
        # Without a resource manager nothing else frees what the last program left in the TPM.
        subprocess.run(["tpm2_flushcontext", "-t"], env=self.environment, check=True, timeout=60)
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def uri(self, label: str = "", *, pin: str = PIN) -> str:
        """URI of the token or of an object."""
        part = f";object={label}" if label else ""
        return f"pkcs11:token=tpm{part}?module-path={self.module}&pin-value={pin}"

    def python(self, code: str, *arguments: str) -> object:
        """Run Python code with `results` to fill."""
        start = "import json, sys\nfrom device_sdk.errors import *\nfrom device_sdk.keystores.registry import *\nresults = []\n"
        return json.loads(self.run(sys.executable, "-c", start + code + "\nprint(json.dumps(results))", *arguments))


@pytest.fixture
def tpm_token(swtpm: Swtpm, tmp_path: Path) -> TpmToken:
    places = (folder / name for folder in directories() for name in ("libtpm2_pkcs11.so", "libtpm2_pkcs11.so.1"))
    module = next((place for place in places if place.exists()), None)
    assert module is not None, "apt-get install libtpm2-pkcs11-1"
    folder = tmp_path / "store"
    folder.mkdir()
    return TpmToken(module, swtpm, folder)


TRY = """
for pin in sys.argv[2:]:
    try:
        list_keys(sys.argv[1].replace("PIN", pin))
        results.append("ok")
    except KeyStoreError as error:
        results.append([error.code, error.return_code, error.exit_code])
"""


@pytest.mark.slow
def test_a_locked_token(tpm_token: TpmToken) -> None:
    """Three different wrong PINs lock this TPM: the right one gets PinLockedError then, and it is said as such."""
    uri = tpm_token.uri(pin="PIN")
    assert tpm_token.python(TRY, uri, PIN, PIN) == ["ok", "ok"]
    tries = tpm_token.python(TRY, uri, "1111", "2222", "3333", PIN, PIN)
    wrong, locked = ["pin-incorrect", 0xA0, 4], ["pin-locked", 0xA4, 4]
    assert tries == [wrong, wrong, wrong, locked, locked]


@pytest.mark.slow
def test_a_restart_loop_does_not_lock_the_token(tpm_token: TpmToken) -> None:
    """The same wrong PIN from ten processes costs one try; the right PIN still works."""
    uri = tpm_token.uri(pin="PIN")
    answers = [tpm_token.python(TRY, uri, "1111") for _ in range(10)]
    assert answers == [[["pin-incorrect", 0xA0, 4]]] + [[["pin-refused", None, 4]]] * 9
    shown = tpm_token.run("tpm2_getcap", "properties-variable")
    assert "TPM2_PT_LOCKOUT_COUNTER: 0x1\n" in shown
    assert tpm_token.python(TRY, uri, PIN) == ["ok"]


USE = """
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.exceptions import InvalidSignature
sha = hashes.SHA256()
key = create_key(sys.argv[1], sys.argv[2])
results.append(key.info.to_json())
if sys.argv[2].startswith("ec"):
    key.public_key().verify(key.sign(b"x", ec.ECDSA(sha)), b"x", ec.ECDSA(sha))
    try:
        key.exchange(ec.ECDH(), ec.generate_private_key(key.curve).public_key())
    except MechanismUnsupportedError as error:
        results.append(error.mechanism)
else:
    pss = padding.PSS(padding.MGF1(sha), 32)
    for scheme in (padding.PKCS1v15(), pss):
        key.public_key().verify(key.sign(b"x", scheme, sha), b"x", scheme, sha)
    oaep = padding.OAEP(padding.MGF1(sha), sha, None)
    for scheme in (padding.PKCS1v15(), oaep):
        for _ in range(2):
            assert key.decrypt(key.public_key().encrypt(b"x", scheme), scheme) == b"x"
            try:
                key.decrypt(b"\\x01" * 256, scheme)
            except ValueError as error:
                results.append(str(error))
"""


@pytest.mark.slow
@pytest.mark.parametrize("key_type", ["ec-p256", "rsa-2048"])
def test_keys_of_another_module(tpm_token: TpmToken, key_type: str) -> None:
    """The same keystore over another module: no PSS and no ECDH of its own, and failed operations stay active in it."""
    results = tpm_token.python(USE, tpm_token.uri("device"), key_type)
    assert isinstance(results, list)
    info = results[0]
    assert info["extractable"] is False
    assert info["attributes"]["CKA_NEVER_EXTRACTABLE"] is True
    assert info["attributes"]["CKA_LOCAL"] is True
    assert results[1:] == (["derive CKM_ECDH1_DERIVE"] if key_type == "ec-p256" else ["Decryption failed"] * 4)


PROBE = """
found = probe(sys.argv[1])
results.append([[kind.value for kind in found.key_types], found.operations, found.warnings])
"""


@pytest.mark.slow
def test_a_probe_that_fills_the_tpm(tpm_token: TpmToken) -> None:
    """The module leaves its objects in a TPM without a resource manager: what comes after is unknown, not impossible."""
    ((made, operations, warnings),) = tpm_token.python(PROBE, tpm_token.uri())  # type: ignore[misc]  # a list
    assert made[0] == "ec-p256"
    assert operations["sign-ecdsa-sha256"] is True
    assert len(warnings) == 1
    assert "ran out of room" in warnings[0]
    assert "nothing is known about ec-p384, ec-p521, rsa-2048" in warnings[0]


COUNT = """
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk.keystores.pkcs11.connections import connect
from device_sdk.keystores.pkcs11.login import PinOnce
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri
import threading
uri = Pkcs11Uri.parse(sys.argv[1])
key = create_key(uri, "ec-p256")
lease = connect(uri)
def sign():
    for _ in range(20):
        key.sign(b"x", ec.ECDSA(hashes.SHA256()))
        try:
            key.exchange(ec.ECDH(), key.public_key())
        except MechanismUnsupportedError:
            pass
threads = [threading.Thread(target=sign) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
results.append(lease.connection.status(PinOnce(uri, None)).sessions)
"""


@pytest.mark.slow
def test_the_token_itself_counts_no_leaked_session(tpm_token: TpmToken) -> None:
    """CK_TOKEN_INFO: after 160 signatures and 160 failures in 8 threads there are not more sessions than users."""
    (sessions,) = tpm_token.python(COUNT, tpm_token.uri("device"))  # type: ignore[misc]  # a list
    assert 1 <= sessions <= 9


IMPORT = """
import pathlib
before = len(list_keys(sys.argv[1].replace(";object=device", "")))
try:
    import_key(sys.argv[1], Secret(pathlib.Path(sys.argv[2]).read_bytes()))
except KeyStoreError as error:
    results.append([error.code, len(list_keys(sys.argv[1].replace(";object=device", ""))) - before])
"""


@pytest.mark.slow
@pytest.mark.parametrize("key_type", ["ec-p256", "rsa-2048"])
def test_est_202_a_module_without_any_way_in_for_private_keys(
    tpm_token: TpmToken, tmp_path: Path, key_type: str
) -> None:
    """tpm2-pkcs11 has neither C_CreateObject for private keys nor C_UnwrapKey: a typed error, and nothing is left."""
    (tmp_path / "key.der").write_bytes(pkcs8(key_type))
    code = "from device_sdk import Secret\n" + IMPORT
    results = tpm_token.python(code, tpm_token.uri("device"), str(tmp_path / "key.der"))
    assert results == [["mechanism-unsupported", 0]]
    listed = tpm_token.run(
        "pkcs11-tool", "--module", str(tpm_token.module), "--token-label", "tpm", "--login", "--pin", PIN, "-O"
    )
    assert "Object" not in listed
