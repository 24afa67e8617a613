"""Servers whose answers hold the right object in the wrong wrapping, or somebody else's beside the right one."""

from __future__ import annotations

import base64
import string
from collections.abc import Callable

import pytest

from device_sdk.errors import RemoteProtocolError, ServerNotTrustedError
from tests.est.answers import bag, csr_of
from tests.est.pki import Ca, certs_only, one_line, server_certificate
from tests.est.scripted_server import Reply, Seen, http, pkcs7
from tests.hostile.case import Case, carry_out
from tests.hostile.conftest import Lab
from tests.hostile.host import Host

WISH = bytes.fromhex("3009060728060101010116")  # csrattrs: the MAC address
ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"


def armour(der: bytes, label: bytes) -> bytes:
    return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (label, base64.encodebytes(der), label)


def bits_left_over(der: bytes) -> bytes:
    """RFC 4648 section 3.5: the last character says more than the octets do; without padding it breaks the object."""
    text = base64.b64encode(der)
    place = len(text.rstrip(b"=")) - 1
    return text[:place] + ALPHABET[ALPHABET.index(chr(text[place])) | 1].encode() + text[place + 1 :]


WRAPPINGS: dict[str, Callable[[bytes], bytes]] = {
    "EST-38: a star inside": lambda der: base64.b64encode(der)[:8] + b"*" + base64.b64encode(der)[8:],
    "EST-38: the alphabet of URLs": lambda der: base64.b64encode(der)[:8] + b"-_-_" + base64.b64encode(der)[8:],
    "EST-38: a NUL inside": lambda der: base64.b64encode(der)[:8] + b"\0" + base64.b64encode(der)[8:],
    "EST-38: a letter missing": lambda der: base64.b64encode(der).rstrip(b"=")[:-1],
    "EST-38: padding too long": lambda der: base64.b64encode(der) + b"====",
    "EST-38: padding inside": lambda der: base64.b64encode(der[:10]) + base64.b64encode(der[10:]),
    "EST-38: bits left over": bits_left_over,
    "EST-38: a byte after the object": lambda der: base64.b64encode(der + b"\x17"),
    "EST-38: an object after the object": lambda der: base64.b64encode(der + b"\x05\0"),
    "EST-38: a byte after raw DER": lambda der: der + b"\x17",
    "EST-38: base64 twice": lambda der: base64.b64encode(base64.b64encode(der)),
    "EST-39: the label of a request": lambda der: armour(der, b"CERTIFICATE REQUEST"),
    "EST-39: the label of a key": lambda der: armour(der, b"PRIVATE KEY"),
    "EST-39: armour without an end": lambda der: armour(der, b"PKCS7")[:-12],
    "EST-39: raw DER with a length of its own": lambda der: der[:1] + bytes([der[1] ^ 1]) + der[2:],
}


def wrapped(operation: str, wrap: Callable[[bytes], bytes]) -> Callable[[Host], None]:
    """The honest answer of an operation in another wrapping."""

    def attack(host: Host) -> None:
        def cacerts(_seen: Seen) -> Reply:
            return pkcs7(wrap(certs_only(host.ca.certificate)))

        def csrattrs(_seen: Seen) -> Reply:
            return http(200, wrap(WISH), ("Content-Type", "application/csrattrs"))

        def simplereenroll(seen: Seen) -> Reply:
            return pkcs7(wrap(certs_only(host.ca.certify_csr(csr_of(seen)))))

        handlers = {"cacerts": cacerts, "csrattrs": csrattrs, "simplereenroll": simplereenroll}
        host.answer(**{operation: handlers[operation]})

    return attack


@pytest.mark.parametrize("operation", ["cacerts", "csrattrs", "simplereenroll"])
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_wrong_wrapping(lab: Lab, operation: str, wrapping: str) -> None:
    requirement, _, name = wrapping.partition(": ")
    attack = wrapped(operation, WRAPPINGS[wrapping])
    failure = carry_out(lab, Case(requirement, name, attack, RemoteProtocolError))
    assert f"/{operation}: the answer cannot be read" in str(failure)
    lab.assert_no_credential_left()


@pytest.mark.parametrize("operation", ["cacerts", "csrattrs", "simplereenroll"])
def test_the_tables_own_honesty(lab: Lab, operation: str) -> None:
    """The same answers in the right wrapping renew."""
    wrapped(operation, base64.b64encode)(lab.host)
    if operation == "csrattrs":
        lab.host.answer(csrattrs=lambda _seen: http(200, b"MAA=", ("Content-Type", "application/csrattrs")))
    assert lab.device.renew(lab.plan()).changed


def test_est_45_a_root_in_the_bag_beside_ours_is_not_trusted(lab: Lab) -> None:
    """The bag is read, the strangers in it are left alone, and one of them does not get far as a server."""
    before, stranger = lab.device.anchors, Ca.root("EST root")
    lab.host.answer(cacerts=bag(stranger.certificate, Ca.root("Other").certificate, lab.ca.certificate))
    assert lab.device.renew(lab.plan()).changed
    assert lab.device.anchors == before == (lab.ca.certificate,)
    lab.host.seen.clear()
    lab.host.show(*server_certificate(stranger), stranger.certificate)
    assert isinstance(lab.renewal_fails(), ServerNotTrustedError)
    assert lab.host.seen == []


def test_est_45_a_certificate_of_a_root_in_the_bag_is_not_accepted(lab: Lab) -> None:
    """Issued by a stranger whose root the same server put into the bag."""
    stranger = Ca.root("Stranger")

    def answer(seen: Seen) -> Reply:
        return pkcs7(one_line(certs_only(stranger.certify_csr(csr_of(seen)), stranger.certificate)))

    lab.host.answer(cacerts=bag(stranger.certificate, lab.ca.certificate), simplereenroll=answer)
    failure = lab.renewal_fails()
    assert failure.code == "certificate-mismatch", repr(failure)
    assert lab.device.anchors == (lab.ca.certificate,)
