"""What a certification request says of the answers its owner reads."""

from __future__ import annotations

from device_sdk.keystores.keys import EcDeviceKey, RsaDeviceKey
from device_sdk.keystores.trial import try_key
from device_sdk.model.csr import CsrSpec
from device_sdk.model.decryption import AEAD_CONTENTS, CBC_CONTENTS, EVERYTHING, DecryptionPolicy
from device_sdk.model.keys import PrivateKey
from device_sdk.protocols.cale.documents import CONTENT_TYPES
from device_sdk.wire.cms.envelope import is_altered_unseen
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
    # these are read where they are authenticated, and nowhere else
    others = CONTENT_TYPES[1:] if set(policy.algorithms) & set(AEAD_CONTENTS) else ()
    return with_capabilities(spec, key.public_key(), policy, operations, others)


def agreed_policy(answer: bytes, policy: DecryptionPolicy = EVERYTHING) -> DecryptionPolicy:
    """What later answers of a registration are opened with, whose own answer was this one.

    A server that was told what this client reads, and wrote AES-GCM then, has no reason to write AES-CBC later; who has the
    answers in between, and no key, has one: what is relabelled so can be guessed. So that is not accepted from then on.

    Args:
        answer: the body of the answer to the registration, which has been opened with this policy.
        policy: what the request said (`negotiating_spec`).
    """
    return policy if is_altered_unseen(answer) else policy.without(CBC_CONTENTS)
