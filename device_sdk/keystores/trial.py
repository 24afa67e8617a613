"""Trying what a hardware key can do, through the interface everybody uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from device_sdk.errors import (
    KeyStoreBusyError,
    KeyStoreError,
    KeyStoreFailedError,
    TokenNotFoundError,
    TokenRemovedError,
)
from device_sdk.keystores.keys import EcDeviceKey, RsaDeviceKey
from device_sdk.model.keys import PublicKey

_MESSAGE = b"device-sdk probe"
_HASHES = (hashes.SHA1(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512())  # noqa: S303  # tried, not relied upon


def try_key(key: EcDeviceKey | RsaDeviceKey) -> Iterator[tuple[str, bool]]:
    """Every operation of a key by its name in `Probe.operations`, and whether it does what it should.

    Raises:
        KeyStoreError: the token or TPM went away or stayed busy, which says nothing about the key.
    """
    return _try_ec(key) if isinstance(key, EcDeviceKey) else _try_rsa(key)


def prove(key: EcDeviceKey | RsaDeviceKey, public: PublicKey) -> None:
    """Have a key sign what `public` has to verify.

    Raises:
        KeyStoreFailedError: it does not.
    """
    try:
        if isinstance(key, EcDeviceKey) and isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(key.sign(_MESSAGE, ec.ECDSA(hashes.SHA256())), _MESSAGE, ec.ECDSA(hashes.SHA256()))
            return
        if isinstance(key, RsaDeviceKey) and isinstance(public, rsa.RSAPublicKey):
            signature = key.sign(_MESSAGE, padding.PKCS1v15(), hashes.SHA256())
            public.verify(signature, _MESSAGE, padding.PKCS1v15(), hashes.SHA256())
            return
    except InvalidSignature:
        pass  # the same answer as for a key of another kind
    uri = key.info.uri
    raise KeyStoreFailedError(
        f"{uri}: the key does not sign what its public half verifies", uri=uri, operation="test the key"
    )


def _try_ec(key: EcDeviceKey) -> Iterator[tuple[str, bool]]:
    public = key.public_key()

    def signs(scheme: ec.ECDSA) -> bool:
        public.verify(key.sign(_MESSAGE, scheme), _MESSAGE, scheme)
        return True

    for algorithm in _HASHES:
        yield f"sign-ecdsa-{algorithm.name}", _works(partial(signs, ec.ECDSA(algorithm)))
    peer = ec.generate_private_key(key.curve)
    yield "ecdh", _works(lambda: key.exchange(ec.ECDH(), peer.public_key()) == peer.exchange(ec.ECDH(), public))


def _try_rsa(key: RsaDeviceKey) -> Iterator[tuple[str, bool]]:
    public = key.public_key()

    def signs(scheme: padding.AsymmetricPadding, algorithm: hashes.HashAlgorithm) -> bool:
        public.verify(key.sign(_MESSAGE, scheme, algorithm), _MESSAGE, scheme, algorithm)
        return True

    def decrypts(scheme: padding.AsymmetricPadding) -> bool:
        return key.decrypt(public.encrypt(_MESSAGE, scheme), scheme) == _MESSAGE

    for algorithm in _HASHES:
        pss = padding.PSS(padding.MGF1(algorithm), padding.PSS.DIGEST_LENGTH)
        oaep = padding.OAEP(padding.MGF1(algorithm), algorithm, None)
        yield f"sign-pkcs1-{algorithm.name}", _works(partial(signs, padding.PKCS1v15(), algorithm))
        yield f"sign-pss-{algorithm.name}", _works(partial(signs, pss, algorithm))
        yield f"decrypt-oaep-{algorithm.name}", _works(partial(decrypts, oaep))
    yield "decrypt-pkcs1", _works(partial(decrypts, padding.PKCS1v15()))


def _works(attempt: Callable[[], bool]) -> bool:
    try:
        return attempt()
    except (TokenNotFoundError, TokenRemovedError, KeyStoreBusyError):
        raise
    except (KeyStoreError, InvalidSignature, ValueError):
        return False
