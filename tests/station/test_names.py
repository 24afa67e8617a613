"""A station vouches for a name that is this device's, and gives nobody a certificate in another one."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from device_sdk_simulators.serial.board import Board

_IN_PROFILE = 'subject = "CN=${serial_number}"'


@dataclass
class Asking(Board):
    """A board that asks for what it likes."""

    names: tuple = ()
    usages: tuple = (ExtendedKeyUsageOID.CLIENT_AUTH,)

    def request(self, csrattrs: bytes) -> bytes:
        asked = x509.Name([x509.NameAttribute(oid, value) for oid, value in self.names])
        builder = x509.CertificateSigningRequestBuilder().subject_name(asked)
        builder = builder.add_extension(x509.ExtendedKeyUsage(self.usages), critical=False)
        return builder.sign(self.pending.key, hashes.SHA256()).public_bytes(Encoding.DER)


def _taken(
    lab, serial, names, *, subject=_IN_PROFILE, rules="", model="Board", usages=(ExtendedKeyUsageOID.CLIENT_AUTH,)
):
    """One run with such a board; how many certificates the server gave it."""
    board = Asking(serial, ("02:00:5e:10:00:01",), model=model, names=tuple(names), usages=usages)
    lab.more = rules
    text = lab.shop.profile("relay", rules)
    if subject is None:
        text = re.sub(r"\[device\]\nconfig = '''.*?'''", "", text, flags=re.DOTALL)
    else:
        text = text.replace(_IN_PROFILE, subject)
    lab.plug("line", board)
    before = len(list(lab.shop.server.est.register.entries()))
    tally = lab.run(profile=text)
    lab.record(board)
    return tally, len(list(lab.shop.server.est.register.entries())) - before


@pytest.mark.parametrize(
    ("serial", "subject", "model", "names"),
    [
        (
            "x,CN=SN-0001",
            _IN_PROFILE,
            "Board",
            [(NameOID.COMMON_NAME, "SN-0001"), (NameOID.SERIAL_NUMBER, "x,CN=SN-0001")],
        ),
        (
            "R10000001",
            'subject = "OU=${model},CN=${serial_number}"',
            "x,CN=R99999999,O=Example Admins",
            [
                (NameOID.ORGANIZATION_NAME, "Example Admins"),
                (NameOID.SERIAL_NUMBER, "R10000001"),
                (NameOID.COMMON_NAME, "R99999999"),
            ],
        ),
        ("SN", None, "Board", [(NameOID.COMMON_NAME, "SN-0001"), (NameOID.SERIAL_NUMBER, "SN")]),
    ],
    ids=["serial number", "model", "no configuration"],
)
def test_no_certificate_in_another_devices_name(lab, serial, subject, model, names):
    tally, issued = _taken(lab, serial, names, subject=subject, model=model)
    assert (tally.provisioned, tally.failed, issued) == (0, 1, 0)
    assert "which nobody said it may have" in lab.failure()["reason"]
    assert lab.failure()["step"] == "issue"


def test_no_certificate_of_a_server(lab):
    names = [(NameOID.COMMON_NAME, "est.example.com")]
    usages = (ExtendedKeyUsageOID.SERVER_AUTH,)
    tally, issued = _taken(lab, "est.example.com", names, usages=usages)
    assert (tally.failed, issued) == (1, 0)
    assert "extended key usage" in lab.failure()["reason"]


def test_the_whole_word_is_the_name_where_the_profile_says_so(lab):
    """A serial number with a comma is odd, and no reason to refuse the device."""
    serial = "A,CN=B"
    names = [(NameOID.COMMON_NAME, serial), (NameOID.SERIAL_NUMBER, serial)]
    tally, issued = _taken(lab, serial, names)
    assert (tally.provisioned, issued) == (1, 1)


def test_a_certificate_that_does_not_name_the_device_is_not_given_to_it(lab):
    """What the server made of a request is looked at before the device has it, and the ledger says which one to revoke."""
    board = lab.board()
    socket = lab.plug("line", board)
    lab.shop.server.faults.set("other_subject", times=1)
    tally = lab.run()
    assert (tally.provisioned, tally.failed) == (0, 1)
    assert "install" not in socket.asked
    assert not board.certificates
    facts = lab.failure()
    assert facts["step"] == "issue"
    assert "but 'somebody else'" in facts["reason"]
    assert "have the CA revoke it" in facts["reason"]
    assert re.search(r"the certificate [0-9a-f]{8,}, which was issued, is not given to the device", facts["reason"])
    lab.plug("line", board)
    assert lab.run().provisioned == 1
    assert lab.record(board).state == "provisioned"
