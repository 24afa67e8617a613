"""A firmware package out of a file: compressed, encrypted, signed, as it is wanted (F-03)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, BinaryIO

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pyasn1_alt_modules import rfc4108, rfc5652

from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.cale.key_agreement import key_agreement_recipient
from device_sdk_simulators.cale.shared_key import Kek
from device_sdk_simulators.est.server_key_package import transport_recipient
from device_sdk_simulators.packages.firmware import layers
from device_sdk_simulators.packages.firmware.layers import ContentKey
from device_sdk_simulators.packages.firmware.notes import Notes
from device_sdk_simulators.packages.signing import attribute, digest_of, key_identifier, sign
from device_sdk_simulators.softhsm import SimulatorError

FIRMWARE, COMPRESSED, ENCRYPTED = (
    "1.2.840.113549.1.9.16.1.16",
    "1.2.840.113549.1.9.16.1.9",
    "1.2.840.113549.1.7.6",
)


@dataclass(frozen=True)
class Encryption:
    """How a package is encrypted.

    Attributes:
        identifier: names the key (decrypt-key-identifier).
        key: the key.
        recipients: whose keys it is wrapped for; nobody's if the devices have it already.
        shared: keys it is wrapped with, likewise.
    """

    identifier: bytes
    key: ContentKey
    recipients: Sequence[x509.Certificate] = ()
    shared: Sequence[Kek] = ()

    def wrapped(self, content_type: str) -> list[rfc5652.Attribute]:
        """The wrapped-firmware-decryption-key attribute, if it is wrapped at all (RFC 4108 section 2.3.1)."""
        infos = [*map(self._for_certificate, self.recipients), *(kek.recipient(self.key.value) for kek in self.shared)]
        if not infos:
            return []
        envelope = rfc4108.WrappedFirmwareKey()
        envelope["version"] = 2
        for position, info in enumerate(infos):
            envelope["recipientInfos"][position] = info
        envelope["encryptedContentInfo"]["contentType"] = content_type
        envelope["encryptedContentInfo"]["contentEncryptionAlgorithm"] = self.key.algorithm()
        return [attribute(rfc4108.id_aa_wrappedFirmwareKey, envelope)]

    def _for_certificate(self, certificate: x509.Certificate) -> Any:
        key = certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey):
            return transport_recipient(key, key_identifier(certificate), self.key.value)
        if isinstance(key, ec.EllipticCurvePublicKey):
            return key_agreement_recipient(certificate, key, self.key.value, by_key=True)
        raise SimulatorError("packages are encrypted for EC and RSA keys only")


def make_package(
    firmware: BinaryIO,
    out: BinaryIO,
    notes: Notes,
    signer: Authority | None,
    *,
    compressed: bool = False,
    encryption: Encryption | None = None,
    certificates: Sequence[x509.Certificate] = (),
) -> None:
    """Write the package.

    Args:
        firmware: what it holds.
        out: where it goes.
        notes: what the signer says.
        signer: who signs; None makes a package that nobody signed.
        compressed: whether it is deflated.
        encryption: how it is encrypted, if it is.
        certificates: those that lead from the signer to an anchor.
    """
    with ExitStack() as files:
        content, kind, inner = firmware, FIRMWARE, FIRMWARE
        if compressed:
            content = _layer(files)
            layers.compress(firmware, content, _layer(files))
            kind = inner = COMPRESSED
        if encryption is not None:
            plain, content = content, _layer(files)
            layers.encrypt(plain, content, _layer(files), encryption.key, kind)
            kind = ENCRYPTED
        if signer is None:
            layers.content_info(content, out, kind)
            return
        said = notes.attributes(digest_of(firmware), encryption.identifier if encryption else None)
        wrapped = encryption.wrapped(inner) if encryption else []
        sign(content, out, kind, signer, said, certificates=certificates, unsigned=wrapped)


def _layer(files: ExitStack) -> BinaryIO:
    return files.enter_context(tempfile.TemporaryFile())
