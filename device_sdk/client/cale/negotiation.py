"""What a certification request says of the answers its owner reads."""

from __future__ import annotations

from device_sdk.keystores.keys import EcDeviceKey, RsaDeviceKey
from device_sdk.keystores.trial import try_key
from device_sdk.model.csr import CsrSpec
from device_sdk.model.decryption import EVERYTHING, DecryptionPolicy
from device_sdk.model.keys import PrivateKey
from device_sdk.protocols.cale.documents import CONTENT_TYPES
from device_sdk.wire.csr_capabilities import SMIME_CAPABILITIES, with_capabilities


def negotiating_spec(spec: CsrSpec, key: PrivateKey, policy: DecryptionPolicy = EVERYTHING) -> CsrSpec:
    """The same request, saying what this key decrypts and the policy accepts, and that whole responses are read.

    For `build_csr` where a program registers by itself; CaleClient does it. A key in hardware is tried.

    Args:
        spec: one that has SMIMECapabilities already is left as it is.
        key: the key to register.
        policy: what its answers will be opened with.

    Raises:
        ConfigurationError: nothing that the policy accepts can be decrypted with this key.
        KeyStoreError: the key could not be tried.
    """
    if any(one.oid.dotted_string == SMIME_CAPABILITIES for one in spec.extensions):
        return spec
    operations = None
    if isinstance(key, EcDeviceKey | RsaDeviceKey) and key.info.hardware:
        operations = dict(try_key(key))
    return with_capabilities(spec, key.public_key(), policy, operations, CONTENT_TYPES[1:])
