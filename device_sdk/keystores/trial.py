"""Trying what a key can do, by operation, with software as the judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from device_sdk.errors import KeyStoreBusyError, KeyStoreError, TokenNotFoundError, TokenRemovedError
from device_sdk.keystores.keys import EcDeviceKey, RsaDeviceKey

_MESSAGE = b"device-sdk probe"
_HASHES = (hashes.SHA1(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512())  # noqa: S303  # tried, not relied upon


def try_key(key: EcDeviceKey | RsaDeviceKey) -> Iterator[tuple[str, bool]]:
    """Every operation a key of this kind may do, by the names of Probe.operations, and whether it worked.

    Raises:
        KeyStoreError: the token or TPM went away or stayed busy.
    """
    return _try_ec(key) if isinstance(key, EcDeviceKey) else _try_rsa(key)


def _try_ec(key: EcDeviceKey) -> Iterator[tuple[str, bool]]:
    public = key.public_key()
    for algorithm in _HASHES:

        def signed(algorithm: hashes.HashAlgorithm = algorithm) -> bool:
            public.verify(key.sign(_MESSAGE, ec.ECDSA(algorithm)), _MESSAGE, ec.ECDSA(algorithm))
            return True

        yield f"sign-ecdsa-{algorithm.name}", _works(signed)
    peer = ec.generate_private_key(key.curve)
    agreed = _works(lambda: key.exchange(ec.ECDH(), peer.public_key()) == peer.exchange(ec.ECDH(), public))
    yield "ecdh", agreed


def _try_rsa(key: RsaDeviceKey) -> Iterator[tuple[str, bool]]:
    public = key.public_key()
    for algorithm in _HASHES:
        pss = padding.PSS(padding.MGF1(algorithm), padding.PSS.DIGEST_LENGTH)
        oaep = padding.OAEP(padding.MGF1(algorithm), algorithm, None)
        yield f"sign-pkcs1-{algorithm.name}", _works(_signs(key, public, padding.PKCS1v15(), algorithm))
        yield f"sign-pss-{algorithm.name}", _works(_signs(key, public, pss, algorithm))
        yield f"decrypt-oaep-{algorithm.name}", _works(_decrypts(key, public, oaep))
    yield "decrypt-pkcs1", _works(_decrypts(key, public, padding.PKCS1v15()))


def _signs(
    key: RsaDeviceKey, public: rsa.RSAPublicKey, scheme: padding.AsymmetricPadding, algorithm: hashes.HashAlgorithm
) -> Callable[[], bool]:
    def signed() -> bool:
        public.verify(key.sign(_MESSAGE, scheme, algorithm), _MESSAGE, scheme, algorithm)
        return True

    return signed


def _decrypts(key: RsaDeviceKey, public: rsa.RSAPublicKey, scheme: padding.AsymmetricPadding) -> Callable[[], bool]:
    return lambda: key.decrypt(public.encrypt(_MESSAGE, scheme), scheme) == _MESSAGE


def _works(attempt: Callable[[], bool]) -> bool:
    """Whether an operation does what it should; hardware that is gone or busy is no answer.

    Raises:
        KeyStoreError: the token or TPM went away or stayed busy.
    """
    try:
        return attempt()
    except (TokenNotFoundError, TokenRemovedError, KeyStoreBusyError):
        raise
    except (KeyStoreError, InvalidSignature, ValueError):
        return False
