"""A device that does what its server's package list asks for (RFC 8295): after its enrolment there is nothing but `sync`.

usage: python examples/driven_by_list.py STATE_DIR KEY_URI EST_URL CA_FINGERPRINT USER PASSWORD_FILE
The first run enrols; every run after that, from a timer for example, keeps the device as its server wants it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import device_sdk


def main(state_dir: str, key_uri: str, url: str, fingerprint: str, user: str, password_file: str) -> None:
    device = device_sdk.Device(state_dir)
    if not device.status().enrolled:
        device.enroll(
            device_sdk.EnrolmentPlan(
                url=url,
                key_uri=key_uri,
                spec=device_sdk.CsrSpec(device_sdk.parse_dn("CN=router-7,O=Example")),
                pins=(device_sdk.parse_pin(fingerprint),),
                credentials=device_sdk.Credentials(user, device_sdk.Secret(Path(password_file).read_text().strip())),
            )
        )
    report = device.sync()
    for one in report.steps:
        print(f"{one.entry.type} {one.state.value}: {one.detail}")
        for note in one.notes:
            print(f"  {note}")
    print(f"certificate {device.certificate.serial_number:x}")
    print(f"peers: {', '.join(sorted(peer.subject.rfc4514_string() for peer in device.peers)) or 'none'}")
    sys.exit(report.failed)


if __name__ == "__main__":
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    main(*sys.argv[1:])
