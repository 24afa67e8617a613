"""Keys of simulated devices in a SoftHSM token or a swtpm, used by the command line tools that people have."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeAlias

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    PrivateFormat,
    load_der_public_key,
)

from device_sdk_simulators.serial.board_keys import KeyMaker, KeyRefusedError, MadeKey
from device_sdk_simulators.softhsm import SimulatorError, SoftHsm
from device_sdk_simulators.swtpm import Swtpm

_TIMEOUT_S = 120
_TPM_CURVES = {"ec-p256": "ecc256", "ec-p384": "ecc384"}
_PKCS11_CURVES = {"ec-p256": "prime256v1", "ec-p384": "secp384r1", "ec-p521": "secp521r1"}
_FIRST_HANDLE = 0x81000100
Buffer: TypeAlias = bytes | bytearray | memoryview
"""What can be signed."""


class ToolKey(ec.EllipticCurvePrivateKey):
    """An EC key that signs elsewhere.

    Args:
        public: the public half.
        sign_digest: gives a DER Ecdsa-Sig-Value for a SHA-256 digest.
    """

    def __init__(self, public: ec.EllipticCurvePublicKey, sign_digest: Callable[[bytes], bytes]) -> None:
        self._public, self._sign_digest = public, sign_digest

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public half."""
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        """Its curve."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """In bits."""
        return self._public.key_size

    def sign(self, data: Buffer, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """ECDSA with SHA-256, over data or their digest."""
        algorithm = signature_algorithm.algorithm
        if isinstance(algorithm, Prehashed):
            return self._sign_digest(bytes(data))
        if not isinstance(algorithm, hashes.SHA256):
            self._unable()
        return self._sign_digest(hashlib.sha256(bytes(data)).digest())

    def _unable(self) -> NoReturn:
        raise TypeError("this key signs SHA-256 digests where it is, and does nothing else")

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """Not done."""
        self._unable()

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        """Not to be had."""
        self._unable()

    def private_bytes(
        self,
        encoding: Encoding,
        format: PrivateFormat,  # noqa: A002 - its name there
        encryption_algorithm: KeySerializationEncryption,
    ) -> bytes:
        """Not to be had."""
        self._unable()

    def __copy__(self) -> ToolKey:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> ToolKey:
        return self


def _tool(words: Sequence[str], environment: dict[str, str], data: bytes = b"") -> bytes:
    try:
        done = subprocess.run(
            words, env=os.environ | environment, input=data, capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except FileNotFoundError as error:
        raise SimulatorError(f"{words[0]} not found: apt-get install opensc tpm2-tools") from error
    except subprocess.TimeoutExpired as error:
        raise SimulatorError(f"{words[0]} did not end in {_TIMEOUT_S} s") from error
    if done.returncode != 0:
        raise SimulatorError(f"{words[0]} failed: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return done.stdout


def _public(der: bytes) -> ec.EllipticCurvePublicKey:
    try:
        key = load_der_public_key(der)
    except ValueError as error:
        raise SimulatorError("the public key cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise SimulatorError("the public key is not EC")
    return key


class TokenKeys(KeyMaker):
    """Keys of one device in a token that a whole fleet may share.

    Args:
        token: the token.
        device: what its objects are called.
    """

    blocks = True

    def __init__(self, token: SoftHsm, device: str) -> None:
        self._token, self._device = token, device
        self.keystores = (f"pkcs11:token={token.label}",)

    def make(self, uri: str, key_type: str, number: int) -> MadeKey:
        """By pkcs11-tool."""
        if key_type not in _PKCS11_CURVES or not uri.startswith("pkcs11:"):
            raise KeyRefusedError(f"this device has a token, and no {key_type} at {uri[:80]}")
        label = f"{self._device}-{number}"
        identifier = hashlib.sha256(label.encode()).hexdigest()[:16]
        self._run("--keypairgen", "--key-type", f"EC:{_PKCS11_CURVES[key_type]}", "--label", label, "--id", identifier,
                  "--sensitive")  # fmt: skip
        public = _public(self._run("--read-object", "--type", "pubkey", "--id", identifier))
        says: dict[str, object] = {
            "keystore": "pkcs11", "token": self._token.label, "sensitive": True, "never_extractable": True, "simulated": "softhsm",
        }  # fmt: skip

        def sign_digest(digest: bytes) -> bytes:
            return self._run(
                "--sign", "--mechanism", "ECDSA", "--signature-format", "openssl", "--id", identifier, data=digest
            )

        made = f"{self.keystores[0]};object={label}"
        return MadeKey(ToolKey(public, sign_digest), made, key_type, says)

    def _run(self, *words: str, data: bytes = b"") -> bytes:
        token = self._token
        command = [
            "pkcs11-tool",
            "--module",
            token.module_path,
            "--token-label",
            token.label,
            "--login",
            "--pin",
            "env:SIM_PIN",
        ]
        return _tool([*command, *words], token.environment | {"SIM_PIN": token.pin}, data)


class TpmKeys(KeyMaker):
    """Keys of one device in a TPM of its own, which runs while it is needed.

    Args:
        directory: of the TPM.
    """

    keystores = ("tpm2:",)
    blocks = True

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._tpm: Swtpm | None = None
        self._lock = threading.RLock()

    def make(self, uri: str, key_type: str, number: int) -> MadeKey:
        """By tpm2-tools, as a persistent key."""
        if key_type not in _TPM_CURVES or not uri.startswith("tpm2:"):
            raise KeyRefusedError(f"this device has a TPM, and no {key_type} at {uri[:80]}")
        handle = f"{_FIRST_HANDLE + number:#x}"
        with self._lock, tempfile.TemporaryDirectory(prefix="tpm-") as place:
            primary, public, secret, key, der = (
                f"{place}/{name}" for name in ("primary", "public", "secret", "key", "der")
            )
            self._run("tpm2_createprimary", "-Q", "-C", "o", "-G", "ecc", "-c", primary)
            self._run("tpm2_create", "-Q", "-C", primary, "-G", _TPM_CURVES[key_type], "-u", public, "-r", secret, "-c", key,
                      "-a", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign")  # fmt: skip
            # without a resource manager the tools leave what they load in the TPM's few places
            self._run("tpm2_flushcontext", "-t")
            self._run("tpm2_evictcontrol", "-Q", "-C", "o", "-c", key, handle)
            self._run("tpm2_flushcontext", "-t")
            self._run("tpm2_readpublic", "-Q", "-c", handle, "-f", "der", "-o", der)
            point = _public(Path(der).read_bytes())
        says: dict[str, object] = {
            "keystore": "tpm2",
            "fixed_tpm": True,
            "sensitive_data_origin": True,
            "simulated": "swtpm",
        }
        return MadeKey(
            ToolKey(point, lambda digest: self._sign(handle, digest)), f"tpm2:handle={handle}", key_type, says
        )

    def _sign(self, handle: str, digest: bytes) -> bytes:
        with self._lock, tempfile.TemporaryDirectory(prefix="tpm-") as place:
            signature, hashed = (Path(place, name) for name in ("signature", "digest"))
            hashed.write_bytes(digest)
            self._run(
                "tpm2_sign", "-Q", "-c", handle, "-g", "sha256", "-d", "-f", "plain", "-o", str(signature), str(hashed)
            )
            return signature.read_bytes()

    def _run(self, *words: str) -> bytes:
        if self._tpm is None:
            self._tpm = Swtpm(self._directory)
        return _tool(words, self._tpm.environment)

    def rest(self) -> None:
        """Stop the TPM; it starts again when it is needed."""
        with self._lock:
            if self._tpm is not None:
                self._tpm.close()
            self._tpm = None

    def close(self) -> None:
        """The same."""
        self.rest()
