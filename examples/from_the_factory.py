"""A device from the factory to the field: it enrols once, and from then on its server's package list says everything (RFC 8295).

usage: python examples/from_the_factory.py STATE_DIR TOKEN_URI EST_URL FACTORY_DIR DATA_DIR USER PASSWORD_FILE
The factory has put into FACTORY_DIR whom the device believes: est.pem (the server), keys.pem (who signs packages of keys),
firmware.pem (who signs firmware); and has imported who may manage its trust anchors (device-sdk anchors import). A timer runs
this again and again. Certificates of peers and revocation lists, keys into the token, firmware into DATA_DIR/image, messages
about trust anchors, the CA's next key, renewals: whatever is on the list is done once, and the server is told.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cryptography import x509

import device_sdk

HARDWARE, SERIAL = "1.3.6.1.4.1.32473.1", b"\x00\xa1"


def enroll(device: device_sdk.Device, token: str, url: str, factory: Path, user: str, password: Path) -> None:
    """The one thing that is not on a list: the first certificate, for a key that is made in the token."""
    device.enroll(
        device_sdk.EnrolmentPlan(
            url=url,
            key_uri=f"{token};object=device-key" if "?" not in token else token.replace("?", ";object=device-key?", 1),
            spec=device_sdk.CsrSpec(device_sdk.parse_dn("CN=meter-17,O=Example")),
            anchors=certificates(factory / "est.pem"),
            credentials=device_sdk.Credentials(user, device_sdk.Secret(password.read_text().strip())),
        )
    )


def deliveries(token: str, factory: Path, data: Path) -> device_sdk.Deliveries:
    """What may be done with packages; nothing here is guessed."""

    def keys() -> device_sdk.KeyDelivery:
        return device_sdk.KeyDelivery(device_sdk.KeyPackagePolicy(certificates(factory / "keys.pem")), token)

    def firmware() -> device_sdk.FirmwareDelivery:
        policy = device_sdk.FirmwarePolicy(device_sdk.HardwareModule(HARDWARE, SERIAL))
        rules = device_sdk.FirmwareRules(certificates(factory / "firmware.pem"), policy)
        return device_sdk.FirmwareDelivery(rules, device_sdk.FileInstaller(data / "image"), data)

    return device_sdk.Deliveries(keys, firmware)


def certificates(file: Path) -> tuple[x509.Certificate, ...]:
    """What is not there yet vouches for nobody; it is asked for in every run, as revocation lists are about signers, too."""
    return tuple(x509.load_pem_x509_certificates(file.read_bytes())) if file.exists() else ()


def main(state_dir: str, token: str, url: str, factory: str, data: str, user: str, password_file: str) -> None:
    device = device_sdk.Device(state_dir)
    if not device.status().enrolled:
        enroll(device, token, url, Path(factory), user, Path(password_file))
    report = device.sync(deliveries=deliveries(token, Path(factory), Path(data)))
    for one in report.steps:
        print(f"{one.entry.type} {one.state.value}: {one.detail}")
    for message in report.delivery.sent:
        print(f"told the server: {message.about}")
    for words in report.delivery.words:
        print(f"not told: {words}")
    print(f"trust anchors: {', '.join(sorted(one.subject.rfc4514_string() for one in device.anchors))}")
    sys.exit(report.failed)


if __name__ == "__main__":
    if len(sys.argv) != 8:
        sys.exit(__doc__)
    main(*sys.argv[1:])
