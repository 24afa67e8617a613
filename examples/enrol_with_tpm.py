"""Enrol a device whose key is born in a TPM 2.0, one EST operation at a time and without a state directory.

usage: python examples/enrol_with_tpm.py KEY_URI EST_URL CA_FINGERPRINT USER PASSWORD_FILE
KEY_URI is like tpm2:file=/var/lib/device/key.pem or tpm2:handle=0x81000010; the TPM is that of TPM2TOOLS_TCTI.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

import device_sdk


def main(key_uri: str, url: str, fingerprint: str, user: str, password_file: str) -> None:
    credentials = device_sdk.Credentials(user, device_sdk.Secret(Path(password_file).read_text().strip()))
    anchors = device_sdk.bootstrap(url, [device_sdk.parse_pin(fingerprint)]).anchors
    with device_sdk.create_key(key_uri, "ec-p256", reuse=True) as key:
        print(f"{key.info.uri}: {key.info.attributes}")
        with device_sdk.EstClient(url, device_sdk.ServerTrust(anchors), credentials=credentials) as est:
            enrolled = est.enroll(key, device_sdk.CsrSpec(device_sdk.parse_dn("CN=gateway-2,O=Example")))
        device_sdk.store_certificate(key_uri, enrolled.certificate)
        print(enrolled.certificate.public_bytes(Encoding.PEM).decode())

        identity = device_sdk.TlsIdentity(enrolled.chain, key)
        with device_sdk.EstClient(url, device_sdk.ServerTrust(anchors), identity=identity) as est:
            renewed = est.reenroll(key)
        print(f"renewed over TLS with the TPM's key: serial {renewed.certificate.serial_number:x}")


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    main(*sys.argv[1:])
