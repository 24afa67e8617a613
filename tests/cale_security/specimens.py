"""Messages that are wrong in one way each and alike in everything that can be seen without the key.

All messages of a workshop have the same length, the same structure and the same recipient; what differs is under the
encryption. They are made from a template that pyasn1-alt-modules wrote, because writing each anew would take longer than
opening it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc4055, rfc5083, rfc5280, rfc5652

from tests.cms.handmade import auth_enveloped, enveloped, key_transport, pkcs1_block, rsa_block

SECRET = "the-plaintext-that-nobody-may-see"
PLAINTEXT = (b'{"secret": "%s", "filler": "%s"}' % (SECRET.encode(), b"." * 900)).ljust(1008)
RSAES_OAEP = "1.2.840.113549.1.1.7"
REFERENCE = "another content key"
"""The class all others are compared with: nothing is wrong with the RSA block, but the key in it opens nothing."""

DATA = str(rfc5652.id_data)
_PLACE = bytes(range(256))


@dataclass(frozen=True)
class Form:
    """How messages are made.

    Attributes:
        oaep_hash: "sha1" or "sha256" for OAEP, None for PKCS#1 v1.5.
        gcm: AES-GCM instead of AES-CBC.
    """

    oaep_hash: str | None = None
    gcm: bool = False

    def __str__(self) -> str:
        transport = f"OAEP {self.oaep_hash}" if self.oaep_hash else "PKCS#1 v1.5"
        return f"{transport}, {'GCM' if self.gcm else 'CBC'}"


FORMS = (
    Form(),
    Form(gcm=True),
    Form("sha1", gcm=True),
    Form("sha256", gcm=True),
)


class Workshop:
    """Makes messages for one RSA-2048 key.

    Args:
        public_key: of the victim.
        form: of all messages.
    """

    def __init__(self, public_key: rsa.RSAPublicKey, form: Form) -> None:
        self.form = form
        self._public = public_key
        self._modulus = public_key.public_numbers().n
        self._stranger = _stranger()
        recipient = key_transport(_PLACE)
        if form.oaep_hash:
            recipient = key_transport(_PLACE, algorithm=RSAES_OAEP)
            recipient["ktri"]["keyEncryptionAlgorithm"]["parameters"] = _oaep_parameters(form.oaep_hash)
        if form.gcm:
            self._template = auth_enveloped(bytes(32), PLAINTEXT, recipient)
        else:
            self._template = enveloped(bytes(32), PLAINTEXT, recipient)
        kind = rfc5083.AuthEnvelopedData() if form.gcm else rfc5652.EnvelopedData()
        content = decode(decode(self._template, asn1Spec=rfc5652.ContentInfo())[0]["content"], asn1Spec=kind)[0]
        info = content["authEncryptedContentInfo" if form.gcm else "encryptedContentInfo"]
        parameters = bytes(info["contentEncryptionAlgorithm"]["parameters"])
        self._nonce = bytes(decode(parameters)[0][0] if form.gcm else decode(parameters)[0])
        self._ciphertext = bytes(info["encryptedContent"])
        self._tag = bytes(content["mac"]) if form.gcm else b""
        self._additional = b""
        if form.gcm:
            attributes = univ.SetOf(componentType=rfc5652.Attribute())
            attributes.extend(content["authAttrs"])
            self._additional = encode(attributes)

    def good(self, plaintext: bytes = PLAINTEXT) -> bytes:
        """A message that opens; the plaintext has the length of PLAINTEXT."""
        return self._message(self._block, plaintext)

    def bad(self) -> Mapping[str, Callable[[], bytes]]:
        """Every way of being bad that only the key shows, by name; a new message at each call."""
        made: dict[str, Callable[[], bytes]] = {
            REFERENCE: lambda: self._message(lambda _: self._block(os.urandom(32))),
            "content key of 16 bytes": lambda: self._message(lambda key: self._block(key[:16])),
            "content key of 33 bytes": lambda: self._message(lambda key: self._block(key + b"\0")),
            "no content key": lambda: self._message(lambda _: self._block(b"")),
            "random block": lambda: self._message(lambda _: b"\0" + os.urandom(255)),
            "wrong recipient": self._sent_to_a_stranger,
        }
        made |= self._bad_oaep() if self.form.oaep_hash else self._bad_v15()
        if self.form.gcm:
            made["bad tag"] = lambda: self._message(self._block, damage=True)
        else:
            made["bad content padding"] = lambda: self._message(self._block, self._altered(), damage=True)
            made["sound padding, no JSON"] = lambda: self._message(self._block, self._altered())
        return made

    def garbage(self) -> bytes:
        """A message that opens to octets that nobody chose."""
        return self._message(self._block, os.urandom(len(PLAINTEXT)))

    def _altered(self) -> bytes:
        """As after Vaudenay's change of the last blocks: what comes before them is as it was."""
        return PLAINTEXT[:-32] + b"\xff" + os.urandom(31)

    def _bad_v15(self) -> dict[str, Callable[[], bytes]]:
        return {
            "block type 1": lambda: self._message(lambda key: pkcs1_block(key, kind=1)),
            "first octet not zero": lambda: self._message(lambda key: b"\x01" + pkcs1_block(key)[1:]),
            "no zero octet": lambda: self._message(lambda key: b"\0\2" + _without_zero(254)),
            "filler too short": lambda: self._message(
                lambda key: b"\0\2" + _without_zero(7) + b"\0" + _without_zero(214) + key
            ),
        }

    def _bad_oaep(self) -> dict[str, Callable[[], bytes]]:
        return {
            "first octet not zero": lambda: self._message(lambda key: b"\x01" + self._block(key)[1:]),
            "another label": lambda: self._message(lambda key: self._block(key, label=b"x")),
            "no marker": lambda: self._message(lambda key: self._block(key, marker=0)),
            "marker too early": lambda: self._message(lambda key: self._block(key, marker=3)),
        }

    def _block(self, content_key: bytes, *, label: bytes = b"", marker: int = 1) -> bytes:
        """What is raised to the public exponent."""
        if not self.form.oaep_hash:
            return pkcs1_block(content_key)
        length = hashlib.new(self.form.oaep_hash).digest_size
        data = hashlib.new(self.form.oaep_hash, label).digest()
        data += bytes(256 - 2 * length - 2 - len(content_key)) + bytes([marker]) + content_key
        seed = os.urandom(length)
        masked = _xor(data, self._mask(seed, len(data)))
        return b"\0" + _xor(seed, self._mask(masked, length)) + masked

    def _mask(self, seed: bytes, length: int) -> bytes:
        """MGF1 (RFC 8017 appendix B.2.1)."""
        name = str(self.form.oaep_hash)
        blocks = -(-length // hashlib.new(name).digest_size)
        return b"".join(hashlib.new(name, seed + n.to_bytes(4, "big")).digest() for n in range(blocks))[:length]

    def _sent_to_a_stranger(self) -> bytes:
        """As a decoy is, too: a sound message for another key of the same size."""
        while True:
            block = rsa_block(self._stranger, self._block(os.urandom(32)))
            # a larger one is refused by arithmetic, which anybody can do
            if int.from_bytes(block, "big") < self._modulus:
                return self._with(block, os.urandom(32))

    def _message(self, block: Callable[[bytes], bytes], plaintext: bytes = b"", *, damage: bool = False) -> bytes:
        key = os.urandom(32)
        return self._with(rsa_block(self._public, block(key)), key, plaintext, damage=damage)

    def _with(self, block: bytes, key: bytes, plaintext: bytes = b"", *, damage: bool = False) -> bytes:
        plaintext = plaintext or PLAINTEXT
        assert len(plaintext) == len(PLAINTEXT)
        nonce = os.urandom(len(self._nonce))
        if self.form.gcm:
            sealed = AESGCM(key).encrypt(nonce, plaintext, self._additional)
            ciphertext, tag = sealed[:-16], sealed[-16:]
            tag = os.urandom(16) if damage else tag
        else:
            fill = 16 - len(plaintext) % 16
            padded = plaintext + bytes([fill]) * (fill - 1) + bytes([0 if damage else fill])
            encryptor = Cipher(algorithms.AES(key), modes.CBC(nonce)).encryptor()
            ciphertext, tag = encryptor.update(padded) + encryptor.finalize(), b""
        return self._replace(
            {_PLACE: block, self._nonce: nonce, self._ciphertext: ciphertext} | ({self._tag: tag} if tag else {})
        )

    def _replace(self, parts: Mapping[bytes, bytes]) -> bytes:
        message = self._template
        for old, new in parts.items():
            assert message.count(old) == 1
            message = message.replace(old, new)
        return message


@cache
def _stranger() -> rsa.RSAPublicKey:
    """Somebody else's key; which one makes no difference."""
    return rsa.generate_private_key(65537, 2048).public_key()


def _oaep_parameters(name: str) -> univ.Any:
    digest = rfc5280.AlgorithmIdentifier()
    digest["algorithm"] = {"sha1": rfc4055.id_sha1, "sha256": rfc4055.id_sha256}[name]
    parameters = rfc4055.RSAES_OAEP_params()
    if name != "sha1":  # the default, which DER leaves out
        parameters["hashFunc"]["algorithm"] = digest["algorithm"]
        parameters["maskGenFunc"]["algorithm"] = rfc4055.id_mgf1
        parameters["maskGenFunc"]["parameters"] = encode(digest)
    return univ.Any(encode(parameters))


def oaep(name: str) -> padding.OAEP:
    """cryptography's name for it."""
    from cryptography.hazmat.primitives import hashes

    digest = {"sha1": hashes.SHA1, "sha256": hashes.SHA256}[name]()
    return padding.OAEP(padding.MGF1(digest), digest, None)


def _without_zero(count: int) -> bytes:
    return bytes(1 + octet % 255 for octet in os.urandom(count))


def _xor(left: bytes, right: bytes) -> bytes:
    assert len(left) == len(right)
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")
