"""A token or TPM at work: what it can do, how much of it there is, and how long a signature takes."""

from __future__ import annotations

import secrets
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from urllib.parse import quote

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from device_sdk.client.doctor_hardware import Verdict
from device_sdk.errors import ConfigurationError, DeviceSdkError
from device_sdk.keystores.registry import create_key, delete_key, probe
from device_sdk.model.keys import KeyType, Probe
from device_sdk.model.secret import NewKey, Secret, SecretProvider
from device_sdk.wire.key_uri import parse_key_uri

_NEEDED = ("sign-ecdsa-sha256",)
_WANTED = {
    "ecdh": "CALE and encrypted key packages to EC keys",
    "decrypt-pkcs1": "CALE and server-side key generation to RSA keys",
}
_SIGNATURES = 20
_SLOW_S = 1.0
# who owns the part is nobody's business
_UNSAID = ("serial", "label", "token")


class Trial:
    """See the module.

    Args:
        uri: token or TPM, without an object.
        pin: gives the PIN where the URI names none.
        thorough: RSA keys, too.
    """

    def __init__(self, uri: str, pin: SecretProvider | None, *, thorough: bool) -> None:
        self._uri, self._pin, self._thorough = uri, pin, thorough
        self._probe: Probe | None = None
        self._times: dict[str, dict[str, float]] = {}

    def abilities(self) -> Verdict:
        """What it says it is, and what it can do; every operation is tried."""
        found = self._probe = probe(self._uri, pin=self._pin)
        name = " ".join(
            value for key, value in found.description.items() if key in ("manufacturer", "model", "firmware")
        )
        missing = [one for one in _NEEDED if not found.operations.get(one)]
        if missing or KeyType.EC_P256 not in found.key_types:
            return (
                "failed",
                f"{name}: no P-256 keys that sign",
                "the SDK needs at least those; is the token initialised?",
            )
        kinds = ", ".join(kind.value for kind in found.key_types)
        unwanted = [f"{one} ({why})" for one, why in _WANTED.items() if not found.operations.get(one)]
        if unwanted:
            return "warning", f"{name}: {kinds}; without {', '.join(unwanted)}", None
        return "ok", f"{name}: {kinds}", None

    def limits(self) -> Verdict:
        """How much room there is, and what it warns of."""
        if self._probe is None:
            return "skipped", "it could not be tried", None
        words = ", ".join(f"{name} {value}" for name, value in self._probe.limits.items()) or "it names none"
        return ("warning", "; ".join(self._probe.warnings), words) if self._probe.warnings else ("ok", words, None)

    def signing(self) -> Verdict:
        """Keys made, used and destroyed again; every signature is checked."""
        kinds = [KeyType.EC_P256, *([KeyType.RSA_2048] if self._thorough else [])]
        for kind in kinds:
            if self._probe is None or kind in self._probe.key_types:
                self._times[kind.value] = self._timed(kind)
        words = ", ".join(
            f"{name}: made in {times['make_s']:.2f} s, signs in {times['sign_s'] * 1000:.1f} ms "
            f"(slowest {times['slowest_s'] * 1000:.1f})"
            for name, times in self._times.items()
        )
        if any(times["slowest_s"] > _SLOW_S for times in self._times.values()):
            return "warning", words, "give servers more time: every new TLS connection needs a signature"
        return "ok", words, None

    def to_json(self) -> dict[str, object]:
        """For the report."""
        if self._probe is None:
            return {"times": self._times}
        described = {
            name: value
            for name, value in self._probe.description.items()
            if not any(word in name.lower() for word in _UNSAID)
        }
        return self._probe.to_json() | {"description": described, "times": self._times}

    def _timed(self, kind: KeyType) -> dict[str, float]:
        with tempfile.TemporaryDirectory(prefix="device-sdk-doctor-") as place:
            uri = _new_key(self._uri, Path(place))
            begun = time.monotonic()
            key = create_key(uri, kind, pin=self._asked)
            made = time.monotonic() - begun
            try:
                with key:
                    return {"make_s": made} | _signatures(key)
            finally:
                with suppress(DeviceSdkError):
                    delete_key(uri, pin=self._pin)

    def _asked(self, what: str) -> Secret | None:
        """PINs of what is there; the key that is gone in a moment gets none, and nobody is asked while its time is taken."""
        return None if self._pin is None or isinstance(what, NewKey) else self._pin(what)


def _signatures(key: object) -> dict[str, float]:
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    times = []
    for _ in range(_SIGNATURES):
        data = secrets.token_bytes(32)
        begun = time.monotonic()
        if isinstance(key, ec.EllipticCurvePrivateKey):
            signature = key.sign(data, ec.ECDSA(hashes.SHA256()))
            times.append(time.monotonic() - begun)
            key.public_key().verify(signature, data, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, rsa.RSAPrivateKey):
            signature = key.sign(data, padding.PKCS1v15(), hashes.SHA256())
            times.append(time.monotonic() - begun)
            key.public_key().verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
    return {"sign_s": median(times), "slowest_s": max(times)}


def _new_key(uri: str, place: Path) -> str:
    """The URI of a key that nobody has yet, in the same token or TPM.

    Raises:
        ConfigurationError: the URI names a key already.
    """
    scheme = parse_key_uri(uri).scheme
    head, mark, query = uri.partition("?")
    if scheme == "tpm2":
        if "file=" in head or "handle=" in head or "dir=" in head:
            raise ConfigurationError(f"{uri}: names a place for a key", hint="name the TPM alone: --key tpm2:")
        return f"{head}file={quote(str(place / 'trial.tss2'))}{mark}{query}"
    if scheme == "pkcs11":
        if "object=" in head:
            raise ConfigurationError(f"{uri}: names a key", hint="name the token alone: --key pkcs11:token=...")
        comma = ";" if head.rstrip(":") != "pkcs11" else ""
        return f"{head}{comma}object=device-sdk-trial-{secrets.token_hex(6)}{mark}{query}"
    raise ConfigurationError(f"{uri}: is no hardware", hint="--key tpm2: or --key pkcs11:token=...")
