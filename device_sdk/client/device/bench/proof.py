"""The proof that a device has the key of its certificate: one form of data, and no other is signed.

Whoever is on the line can ask for it as often as he likes. What he gets is a signature of bytes that begin with
PROOF_CONTEXT, which nothing else that this key signs begins with: TLS begins with 64 spaces (RFC 8446 section 4.4.3), or
signs what holds both sides' randomness (TLS 1.2), requests and CMS attributes begin with an ASN.1 tag.
"""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.client.bench.facts import PROOF_CONTEXT, Proof
from device_sdk.client.device.context import Context
from device_sdk.client.device.current import enrolled
from device_sdk.errors import ConfigurationError, MechanismUnsupportedError, StateError

NONCE_BYTES = 32


def prove(context: Context, nonce: bytes) -> Proof:
    """Sign with the key of the current certificate; see DeviceBench.prove."""
    if len(nonce) != NONCE_BYTES:
        raise ConfigurationError(f"the nonce has {len(nonce)} bytes", hint=f"it has to have {NONCE_BYTES}")
    state, chain, _ = context.state.snapshot()
    current, _ = enrolled(context.state, state)
    leaf, digest = chain[0], chain[0].fingerprint(hashes.SHA256())
    message = PROOF_CONTEXT + nonce + digest
    with context.open_key(current.key_uri) as key:
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):  # the SDK makes no others
            raise MechanismUnsupportedError(f"{current.key_uri}: neither RSA nor ECDSA", uri=current.key_uri)
        if key.public_key() != leaf.public_key():
            raise StateError(
                f"{current.key_uri}: is not the key of this device's certificate",
                hint="device-sdk doctor shows more; enrol again (--again)",
                path=str(context.state.path),
            )
        if isinstance(key, ec.EllipticCurvePrivateKey):
            signature = key.sign(message, ec.ECDSA(hashes.SHA256()))
        else:
            signature = key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    return Proof(leaf.public_bytes(Encoding.DER), signature)
