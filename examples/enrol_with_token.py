"""Enrol a device whose key is born in a PKCS#11 token, renew it, and use the identity for mutual TLS under requests.

usage: python examples/enrol_with_token.py STATE_DIR KEY_URI EST_URL CA_FINGERPRINT USER PASSWORD_FILE
KEY_URI is like pkcs11:token=router;object=device-key?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/pin
"""

from __future__ import annotations

import sys
from pathlib import Path

import requests

import device_sdk


def main(state_dir: str, key_uri: str, url: str, fingerprint: str, user: str, password_file: str) -> None:
    device = device_sdk.Device(state_dir)
    enrolled = device.enroll(
        device_sdk.EnrolmentPlan(
            url=url,
            key_uri=key_uri,
            spec=device_sdk.CsrSpec(
                device_sdk.parse_dn("CN=router-7,O=Example"),
                device=device_sdk.DeviceAttributes(mac_address="00:00:5e:00:53:07"),
            ),
            pins=(device_sdk.parse_pin(fingerprint),),
            credentials=device_sdk.Credentials(user, device_sdk.Secret(Path(password_file).read_text().strip())),
        )
    )
    print(f"enrolled {enrolled.certificate.subject.rfc4514_string()} with {enrolled.key_uri}")

    renewed = device.renew()
    print(f"renewed with {renewed.key_uri}")

    with device.key() as key, requests.Session() as session:
        print(f"extractable: {key.info.extractable}")
        trust = device_sdk.ServerTrust(device.anchors)
        identity = device_sdk.TlsIdentity(device.chain, key)
        session.mount(url, device_sdk.HardwareTlsAdapter(trust, identity))
        answer = session.get(f"{url}/.well-known/est/cacerts", timeout=30)
        print(f"requests over mutual TLS with the token's key: {answer.status_code}")


if __name__ == "__main__":
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    main(*sys.argv[1:])
