"""Who signs packages of one kind: a CA of its own (AMB-20).

Nobody who issues certificates to devices can also send them keys, reprogram them or change whom they trust.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from device_sdk_simulators.alone import alone
from device_sdk_simulators.ca.directory import single_authority
from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.ca.keys import digest_for, pem, write_file

ANCHORS, LOCK = "anchors.pem", "packages.lock"
_LIFETIME = timedelta(days=365)


class PackageAuthority:
    """One CA in a directory of the server's state, made at first use.

    Args:
        directory: where it is: `root.pem`, `root.key`, and `anchors.pem`, which is for devices.
        name: its common name.
        now: the present.
        extensions: of its certificate, beside those of every CA.
        kind: of its key, "ec-p256" for example; counts when it is made.

    Attributes:
        root: the CA.
        anchors: the file for devices.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        now: datetime,
        *,
        extensions: Sequence[x509.ExtensionType] = (),
        kind: str = "ec-p256",
    ) -> None:
        self.directory, self.anchors = directory, directory / ANCHORS
        if not self.anchors.exists():
            # commands may run at the same moment, and beside the server
            with alone(directory.parent / LOCK):
                root = single_authority(directory, name, kind, now, extensions=extensions)
                write_file(self.anchors, pem(root.certificate), 0o644)
        self.root: Authority = single_authority(directory, name, kind, now)

    def signer(
        self, name: str, now: datetime, *, extensions: Sequence[x509.ExtensionType] = (), decrypts: bool = False
    ) -> Authority:
        """A new key with a certificate of this CA: who signs, and issues nothing.

        Args:
            name: common name.
            now: the beginning.
            extensions: of the certificate, none of them critical.
            decrypts: for key agreement and not for signatures.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self.root.certificate
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(min(now + _LIFETIME, issuer.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(decrypts=decrypts), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.root.key.public_key()), critical=False
            )
        )
        for one in extensions:
            builder = builder.add_extension(one, critical=False)
        return Authority(builder.sign(self.root.key, digest_for(self.root.key)), key)


def _usage(*, decrypts: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not decrypts,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=decrypts,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
