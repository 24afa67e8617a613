"""Why a certificate was revoked: said by Full CMC, read by openssl from the list (RFC 5280 section 5.3.1)."""

from __future__ import annotations

import re
import subprocess

import pytest

from device_sdk.wire.cmc.pki_data import pki_data, request_sequence, revoke_request
from tests.simulators.command import sim
from tests.simulators.server.full_cmc_requests import Draft, by, said, send, spki

pytestmark = pytest.mark.slow

# the words of openssl for RFC 5280's; what is None is not in the list
WORDS = {
    "unspecified": None,
    "keyCompromise": "Key Compromise",
    "cACompromise": "CA Compromise",
    "affiliationChanged": "Affiliation Changed",
    "superseded": "Superseded",
    "cessationOfOperation": "Cessation Of Operation",
    "certificateHold": "Certificate Hold",
    "privilegeWithdrawn": "Privilege Withdrawn",
    "aACompromise": "AA Compromise",
}


def revoked(server, reason: str) -> str:
    """Enrol, and revoke by the certificate itself; its serial number as openssl writes it."""
    draft = Draft()
    certificate = next(one for one in said(send(server, draft.message())).certificates if spki(one) == spki(draft.key))
    revoking, nothing = by(certificate, draft.key, more=(revoke_request(certificate, reason),)), request_sequence(None)
    assert send(server, revoking.wrap(pki_data(revoking.controls(nothing), nothing))).status == 200
    return openssl_hex(f"{certificate.serial_number:x}")


def openssl_hex(serial: str) -> str:
    return serial.upper().zfill(len(serial) + len(serial) % 2)


def shown(server) -> dict[str, str]:
    """Serial number and what openssl says of the entry, from the list of the CA that issues."""
    lists = sim("crl", "--state", server.state).stdout.encode()
    reading = ["openssl", "crl", "-noout", "-text"]  # the first of them
    text = subprocess.run(reading, input=lists, capture_output=True, timeout=60, check=True).stdout.decode()
    entries = text.partition("Revoked Certificates:")[2].partition("Signature Algorithm")[0]
    _, *parts = re.split(r"Serial Number: ([0-9A-F]+)\n", entries)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_rfc_5280_5_3_1_the_reason_is_in_the_list(cmc):
    """EST-127: "unspecified" is left out as the section wants it; an operator's `revoke` gives no reason."""
    expected = {revoked(cmc, reason): words for reason, words in WORDS.items()}
    draft = Draft()
    certificate = next(one for one in said(send(cmc, draft.message())).certificates if spki(one) == spki(draft.key))
    serial = f"{certificate.serial_number:x}"
    assert cmc.est.register.revoke(serial)
    expected[openssl_hex(serial)] = None
    found = shown(cmc)
    assert found.keys() == expected.keys()
    for number, words in expected.items():
        _, given, reason = found[number].partition("X509v3 CRL Reason Code:")
        assert (reason.strip() or None) == words
        assert "critical" not in found[number]
        assert bool(given) == (words is not None)


def test_a_state_directory_that_never_knew_full_cmc(server):
    """Its database has no reasons, and its lists are made all the same."""
    assert shown(server) == {}
