"""A program that uses requests gains CALE in one line: answers arrive encrypted to a key that stays in its hardware.

usage: python examples/cale_with_requests.py KEY_URI EDGE_URL ANCHORS_FILE USER PASSWORD_FILE
"""

from __future__ import annotations

import sys
from pathlib import Path

import requests
from cryptography import x509

import device_sdk


def main(key_uri: str, edge_url: str, anchors_file: str, user: str, password_file: str) -> None:
    # once: make a key and register it
    trust = device_sdk.ServerTrust(tuple(x509.load_pem_x509_certificates(Path(anchors_file).read_bytes())))
    credentials = device_sdk.Credentials(user, device_sdk.Secret(Path(password_file).read_text().strip()))
    key = device_sdk.create_key(key_uri, "rsa-2048", reuse=True)
    with device_sdk.CaleClient(edge_url, trust, key, credentials=credentials) as client:
        guid = client.register(device_sdk.CsrSpec(device_sdk.parse_dn("CN=reader-1"))).guid

    # the program as it was, with one line more: session.auth
    session = requests.Session()
    session.mount(edge_url, device_sdk.HardwareTlsAdapter(trust))
    session.auth = device_sdk.CaleAuth(key, guid, origin=edge_url)
    print(session.get(f"{edge_url}/resource", timeout=30).text)
    key.close()


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    main(*sys.argv[1:])
