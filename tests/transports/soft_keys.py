"""Software keys that behave as if they were in hardware: nothing but the public half and signatures comes out."""

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from device_sdk.keystores.keys import EcDeviceKey, RsaDeviceKey
from device_sdk.model.keys import KeyInfo, KeyType


class _Common:
    """What EC and RSA share; `failure` is raised instead of a signature."""

    def __init__(self, inner):
        self._inner, self.failure, self.signatures = inner, None, 0

    def public_key(self):
        return self._inner.public_key()

    @property
    def info(self):
        return KeyInfo("test:", "file", KeyType.of(self.public_key()), "test", None, None, False, True)

    def close(self):
        pass

    def _signing(self):
        self.signatures += 1
        if self.failure is not None:
            raise self.failure


class SoftEcKey(_Common, EcDeviceKey):
    def _sign_digest(self, digest, algorithm):
        self._signing()
        return decode_dss_signature(self._inner.sign(digest, ec.ECDSA(Prehashed(algorithm))))

    def _agree(self, peer):
        raise AssertionError("TLS asked for a key agreement")


class SoftRsaKey(_Common, RsaDeviceKey):
    def _sign_pkcs1(self, digest, algorithm):
        self._signing()
        return self._inner.sign(digest, padding.PKCS1v15(), Prehashed(algorithm))

    def _sign_pss(self, digest, algorithm, mgf, salt_bytes):
        self._signing()
        return self._inner.sign(digest, padding.PSS(padding.MGF1(mgf), salt_bytes), Prehashed(algorithm))

    def _decrypt_pkcs1(self, ciphertext):
        raise AssertionError("TLS asked for a decryption")

    def _decrypt_oaep(self, ciphertext, algorithm, mgf):
        raise AssertionError("TLS asked for a decryption")


def soft_key(key_type="ec-p256"):
    kind = KeyType(key_type)
    if kind.is_ec:
        return SoftEcKey(ec.generate_private_key(kind.curve))
    return SoftRsaKey(rsa.generate_private_key(65537, kind.key_bits))


class PublicHalf:
    """A key for a CA to certify: it wants the public half only."""

    def __init__(self, key):
        self._key = key

    def public_key(self):
        return self._key.public_key()
