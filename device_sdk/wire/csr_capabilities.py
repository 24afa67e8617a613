"""What a key decrypts, said in its certification request: SMIMECapabilities (RFC 8551 section 2.5.2, RFC 4262).

It goes into the extensionRequest, so that an authority copies it into certificates and whoever encrypts to one of them
knows what the key opens.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from device_sdk.errors import ConfigurationError
from device_sdk.model.csr import CsrSpec
from device_sdk.model.decryption import AEAD_CONTENTS, CBC_CONTENTS, EVERYTHING, DecryptionPolicy
from device_sdk.model.keys import PublicKey
from device_sdk.wire import der
from device_sdk.wire.cms import oids

SMIME_CAPABILITIES = "1.2.840.113549.1.9.15"

_NULL = b"\x05\x00"
_HASHES = {algorithm().name: oid for oid, algorithm in oids.HASHES.items()}
_STANDARD_ECDH = {
    "ecdh-sha1": "1.3.133.16.840.63.0.2",
    "ecdh-sha224": "1.3.132.1.11.0",
    "ecdh-sha256": "1.3.132.1.11.1",
    "ecdh-sha384": "1.3.132.1.11.2",
    "ecdh-sha512": "1.3.132.1.11.3",
}
_WRAPS = {f"aes-{8 * size}-wrap": oid for oid, size in oids.KEY_WRAP_BYTES.items()}
_CONTENTS = {cipher.name: oid for oid, cipher in oids.CIPHERS.items()}

# Read, but never asked for: nobody needs them, and each makes the certificate longer that travels in a header.
_NOT_OFFERED = frozenset(
    {name for name in (*AEAD_CONTENTS, *CBC_CONTENTS) if "-192-" in name or "-ccm" in name}
    | {"aes-192-wrap", "ecdh-sha1", "ecdh-sha224", "rsa-oaep-sha224"}
)


def with_capabilities(
    spec: CsrSpec,
    public_key: PublicKey,
    policy: DecryptionPolicy = EVERYTHING,
    operations: Mapping[str, bool] | None = None,
    contents: Collection[str] = (),
) -> CsrSpec:
    """The same request, saying what the key decrypts; see capabilities_extension."""
    extension = capabilities_extension(public_key, policy, operations, contents)
    return replace(spec, extensions=(*spec.extensions, extension))


def capabilities_extension(
    public_key: PublicKey,
    policy: DecryptionPolicy = EVERYTHING,
    operations: Mapping[str, bool] | None = None,
    contents: Collection[str] = (),
) -> x509.Extension[x509.ExtensionType]:
    """The extension smimeCapabilities for `CsrSpec.extensions`; never critical (RFC 4262 section 2).

    Args:
        public_key: of the key that decrypts.
        policy: what is accepted, in order of preference; AES-192, AES-CCM and the old hashes of a KDF are not asked for
            even where they are accepted.
        operations: what the key's token or TPM really does (`Probe.operations`); None for a key that does everything.
        contents: content types that the owner reads beside data, dotted; they come last.

    Raises:
        ConfigurationError: nothing that the policy accepts can be decrypted with this key.
    """
    offered = [name for name in policy.algorithms if name not in _NOT_OFFERED]
    ciphers = [_capability(_CONTENTS[name]) for name in offered if name in _CONTENTS]
    if isinstance(public_key, rsa.RSAPublicKey):
        methods = [_rsa_method(name) for name in offered if name.startswith("rsa-") and _works(name, operations)]
    else:
        able = operations is None or operations.get("ecdh", False)
        wraps = [_WRAPS[name] for name in offered if name in _WRAPS] if able else []
        agreements = [_STANDARD_ECDH[name] for name in offered if name in _STANDARD_ECDH]
        methods = [_capability(oid, _capability(wrap)) for oid in agreements for wrap in wraps]
    if not ciphers or not methods:
        raise ConfigurationError(
            "this key decrypts nothing that the policy accepts", hint="see device-sdk keys probe, or accept more"
        )
    oid = x509.ObjectIdentifier(SMIME_CAPABILITIES)
    value = x509.UnrecognizedExtension(oid, der.sequence(*ciphers, *methods, *map(_capability, contents)))
    return x509.Extension(oid, critical=False, value=value)


def _works(name: str, operations: Mapping[str, bool] | None) -> bool:
    """Whether a probe found that the hardware does it: "rsa-pkcs1" is tried as "decrypt-pkcs1", OAEP by its hash."""
    return operations is None or operations.get(name.replace("rsa-", "decrypt-", 1), False)


def _rsa_method(name: str) -> bytes:
    """RSA PKCS#1 v1.5, or OAEP with one hash for both; SHA-1 is OAEP's default and not written (RFC 4055 section 4.1)."""
    if name == "rsa-pkcs1":
        return _capability(oids.RSA_ENCRYPTION, _NULL)
    hash_name = name.removeprefix("rsa-oaep-")
    if hash_name == "sha1":
        return _capability(oids.RSAES_OAEP, der.sequence())
    digest = _capability(_HASHES[hash_name], _NULL)
    mask = _capability(oids.MGF1, digest)
    return _capability(oids.RSAES_OAEP, der.sequence(der.tlv(0xA0, digest), der.tlv(0xA1, mask)))


def _capability(dotted: str, parameters: bytes = b"") -> bytes:
    return der.sequence(der.oid(dotted), parameters)
