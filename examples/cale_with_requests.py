"""A program that uses requests gains CALE in one line: answers arrive encrypted to a key that stays in its hardware.

usage: python examples/cale_with_requests.py STATE_DIR KEY_URI EDGE_URL ANCHORS_FILE USER PASSWORD_FILE PATH...
"""

from __future__ import annotations

import sys
from pathlib import Path

import requests
from cryptography import x509

import device_sdk


def register(state: str, key_uri: str, edge_url: str, trust: device_sdk.ServerTrust, user: str, password: str) -> None:
    """Once: make a key and register it; killed half way, the next start goes on. `device-sdk cale register` does the same."""
    plan = device_sdk.CalePlan(
        edge_url,
        trust,
        device_sdk.CsrSpec(device_sdk.parse_dn("CN=reader-1")),
        key_uri=key_uri,
        key_type=device_sdk.KeyType.RSA_2048,
        credentials=device_sdk.Credentials(user, device_sdk.Secret(password)),
    )
    device_sdk.CaleApplication(state).register(plan)


def main(
    state: str, key_uri: str, edge_url: str, anchors_file: str, user: str, password_file: str, *paths: str
) -> None:
    trust = device_sdk.ServerTrust(tuple(x509.load_pem_x509_certificates(Path(anchors_file).read_bytes())))
    if not Path(state, "cale", "default.json").exists():
        register(state, key_uri, edge_url, trust, user, Path(password_file).read_text().strip())

    # the program as it was, with one line more: session.auth
    session = requests.Session()
    session.mount(edge_url, device_sdk.HardwareTlsAdapter(trust, total_s=120))
    session.auth = auth = device_sdk.CaleAuth.from_state(state)
    for path in paths:
        try:
            response = session.get(edge_url + path, timeout=30)
            response.raise_for_status()  # also for errors of the server behind the edge, which arrive encrypted
            print(response.json())
        except device_sdk.NotForUsError:
            # revoked, unknown, or no real answer: one says little, many in a row say more; asking again says nothing
            again = "register again" if auth.suspects_revocation else "go on"
            print(f"{path}: nothing for us; {again}")
        except requests.HTTPError as error:
            print(error)


if __name__ == "__main__":
    if len(sys.argv) < 8:
        sys.exit(__doc__)
    main(*sys.argv[1:])
